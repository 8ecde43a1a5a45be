"""The keys of Redis: their names, and what is under them; and tokens of lease holders.

Each role has its key prefix, so that ACLs can separate them: reader, dispatcher, worker, indexer, courier, history,
the operator who asks the dispatcher for something, and subscribers (groups.py). Where a script of Lua makes names
from what it reads, it has their beginnings itself (append, acknowledge, join, leave, standing):

    key                                   type    written by   meaning; lifetime
    le:stream:mdts                        set     reader       MDTs that ever had a stream; for ever
    le:stream:epochs:<mdt>                list    reader       epochs of this MDT, oldest first; until drained
    le:stream:<mdt>:<epoch>               stream  reader       blocks, id <last index>-0; trimmed when committed and
                                                               read by the groups within the limit
    le:reader:lease:<mdt>                 string  reader       token of the reader at work; the lease time
    le:reader:state:<mdt>                 hash    reader       mark, cleared_for, anchor, user, caught_up_*,
                                                               counters; for ever
    le:reader:mdts                        set     reader       MDTs that ever had a reader; for ever
    le:reader:continuity:<mdt>            hash    reader,      losses: "<epoch>:<first>:<reason>" → "<last> <time
                                                  dispatcher   in ns>"; `accepted` → time in ns; for ever
    le:dispatcher:committed:<mdt>         hash    dispatcher   epoch → index committed to the index; until drained
    le:dispatcher:dropped:<mdt>           string  dispatcher   "<epoch> <committed index>" of the newest epoch that
                                                               was drained and forgotten; for ever
    le:dispatcher:state                   hash    dispatcher   counters and heartbeat for `status`; for ever
    le:dispatcher:lease                   string  dispatcher   token of the active one; the lease time
    le:dispatcher:standby                 hash    dispatcher   those that wait for the lease; a minute
    le:dispatcher:reply:<request>         stream  dispatcher   one entry, the answer to a request; five minutes
    le:request:waiting                    stream  operator     requests to the dispatcher; until answered, taken
                                                               back by who asked, or too old to be carried out
    le:result:waiting                     list    worker       results not yet in the index; deleted when committed
    le:document:waiting                   list    worker       results for indexers; until they move into the stream
    le:document:portions                  stream  indexer      the same, with their pool; until written
    le:document:moved                     hash    indexer      pool → how many entries that stream has of it
    le:document:indexers                  hash    indexer      name → how it goes; until silent for a day
    le:courier:jobs                       list    dispatcher   sealed deliveries; until a courier takes them
    le:courier:answers                    list    courier      its answers, each with an id; until committed
    le:action:answers                     list    file worker  the same of file workers, who get jobs of RQ
    le:group:names                        set     dispatcher   the subscriber groups; until removed
    le:group:asked                        list    subscriber   requests: join, accept a loss; until they are done
    le:group:lost:<group>                 hash    dispatcher   "<mdt> <epoch>" → "<first> <last> <time in ns>":
                                                               what it was cut off from; until accepted
    le:history:state                      hash    history      how far the history is, for `status`; for ever
    le:pool:*                                                  pools of workers: jobs/pools.py lists their keys
    rq:*                                          RQ           queues, jobs, workers
"""

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
