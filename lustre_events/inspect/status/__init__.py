"""What the service says of itself: as values, as JSON, and as text for a screen."""

from lustre_events.inspect.status.collect import (
    SECOND_NS,
    Earlier,
    collect,
    of_continuity,
    of_groups,
    of_index,
    of_mdt,
    with_rates,
)
from lustre_events.inspect.status.parts import ExtractorStatus, IndexStatus, LossStatus, MdtStatus, Status
from lustre_events.inspect.status.sums import READER_SUMS, SUMS, sums
from lustre_events.inspect.status.text import (
    group_lines,
    history_lines,
    index_lines,
    lines,
    loss_line,
    mdt_lines,
    size_text,
    span_text,
    time_text,
)

__all__ = [
    "READER_SUMS",
    "SECOND_NS",
    "SUMS",
    "Earlier",
    "ExtractorStatus",
    "IndexStatus",
    "LossStatus",
    "MdtStatus",
    "Status",
    "collect",
    "group_lines",
    "history_lines",
    "index_lines",
    "lines",
    "loss_line",
    "mdt_lines",
    "of_continuity",
    "of_groups",
    "of_index",
    "of_mdt",
    "size_text",
    "span_text",
    "sums",
    "time_text",
    "with_rates",
]
