"""The dispatcher: the index's only writer. `loop` says what one step is; the others are its parts."""

from lustre_events.dispatcher.jobs import JobQueue
from lustre_events.dispatcher.loop import Dispatcher
from lustre_events.dispatcher.work_planner import STAT_IDENTITY

__all__ = ["STAT_IDENTITY", "Dispatcher", "JobQueue"]
