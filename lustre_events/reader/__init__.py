"""The reader: one MDT's records into its stream. `loop` says what one turn is; the others are its parts."""

from lustre_events.reader.loop import Reader

__all__ = ["Reader"]
