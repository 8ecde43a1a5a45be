"""The names of the Redis keys (interface.py lists them with type, meaning and lifetime) and of lease holders."""

from __future__ import annotations

import os
import socket
import uuid

MDTS = "le:stream:mdts"
READERS = "le:reader:mdts"
RESULTS = "le:result:waiting"
DOCUMENTS = "le:document:waiting"
PORTIONS = "le:document:portions"
MOVED = "le:document:moved"
INDEXERS = "le:document:indexers"
DISPATCHER_STATE = "le:dispatcher:state"
DISPATCHER_LEASE = "le:dispatcher:lease"
DISPATCHER_STANDBY = "le:dispatcher:standby"
GROUPS = "le:group:names"
ASKED = "le:group:asked"
REQUESTS = "le:request:waiting"
DELIVERIES = "le:courier:jobs"
ANSWERS = "le:courier:answers"
RUN_ANSWERS = "le:action:answers"
HISTORY_STATE = "le:history:state"


def stream(mdt: str, epoch: int) -> str:
    """Return the key of one epoch's blocks."""
    return f"le:stream:{mdt}:{epoch}"


def epochs(mdt: str) -> str:
    """Return the key of the list of an MDT's epochs."""
    return f"le:stream:epochs:{mdt}"


def lease(mdt: str) -> str:
    """Return the key of the lease of an MDT's reader."""
    return f"le:reader:lease:{mdt}"


def reader_state(mdt: str) -> str:
    """Return the key of the state of an MDT's reader."""
    return f"le:reader:state:{mdt}"


def continuity(mdt: str) -> str:
    """Return the key of what was lost of an MDT's records."""
    return f"le:reader:continuity:{mdt}"


def committed(mdt: str) -> str:
    """Return the key of what the dispatcher committed of an MDT."""
    return f"le:dispatcher:committed:{mdt}"


def dropped(mdt: str) -> str:
    """Return the key of the newest epoch of an MDT that was dropped."""
    return f"le:dispatcher:dropped:{mdt}"


def stranger(name: str) -> str:
    """Return what to do about a name among the MDTs that is none, as a sentence."""
    return (
        f"{name!r} is not an MDT's name, so what is stored under it is left alone; "
        f"if a reader was started for it, stop that, then run: redis-cli SREM {MDTS} NAME"
    )


def reply(request_id: str) -> str:
    """Return the key of the dispatcher's answer to a request."""
    return f"le:dispatcher:reply:{request_id}"


def lost(group: str) -> str:
    """Return the key of what a subscriber group has lost."""
    return f"le:group:lost:{group}"


def make_token() -> str:
    """Return a token for a lease: unique, and readable for whoever wants to know who holds it."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
