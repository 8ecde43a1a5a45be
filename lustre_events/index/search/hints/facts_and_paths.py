"""Why a condition on paths, owners, sizes or times matches nothing: what is nearest to it, and how many files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

from lustre_events.index.backend import Order
from lustre_events.index.fields import FIELDS
from lustre_events.index.paths import components_of
from lustre_events.index.query.lexer import Token, tokenise
from lustre_events.index.query.literals import group_interval, owner_interval
from lustre_events.index.query.slips import Part, literal, replaced, with_part, written
from lustre_events.index.query.tree import Fact, Path
from lustre_events.index.query.wildcards import escape, literal_of, name_bytes
from lustre_events.index.search.hints.hint import Hint, counted, meant, near, shown
from lustre_events.index.search.hints.known import Known
from lustre_events.index.search.hits import name_text, time_text
from lustre_events.index.visibility import group_name, user_name

MOST_ENTRIES = 2_000
"""Names of a directory that are compared with one that is not there."""
MOST_SHOWN = 3

_OWNERS: dict[str, tuple[Callable[[str, int], tuple[int, int]], Callable[[int], str], str, str]] = {
    "uid": (owner_interval, user_name, "is owned by", "user"),
    "gid": (group_interval, group_name, "belongs to the group", "group"),
}
_ENDS = {
    "size": ("the smallest file has", "the largest file has", "size"),
    "mtime_ns": ("the oldest change is of", "the newest change is of", "mtime"),
    "ctime_ns": ("the oldest change is of", "the newest change is of", "ctime"),
    "atime_ns": ("the oldest reading is of", "the newest reading is of", "atime"),
}


def of_fact(known: Known, query: str, part: Part, node: Fact) -> Hint | None:
    """Return why no file has such a fact; None: that is not known of this one."""
    if node.column in _OWNERS:
        return _of_owner(known, query, part, node)
    return _of_end(known, query, part, node) if node.column in _ENDS else None


def _of_owner(known: Known, query: str, part: Part, node: Fact) -> Hint | None:
    interval, name, is_owned, _ = _OWNERS[node.column]

    def is_meant(text: str) -> bool:
        try:
            return interval(text, 0) == (node.low, node.high)
        except ValueError:
            return False

    if node.low is None or node.high != node.low + 1:
        return None
    typed = name(node.low)
    text = f"no file{known.you_may('see')} {is_owned} {shown(typed)}"
    return _with_owners(known, text, node.column, typed, lambda new: replaced(query, part, "t", is_meant, new))


def of_unknown_owners(known: Known, query: str) -> Iterator[Hint]:
    """Yield what is said of users and groups in a query that this machine does not know: such a query is wrong."""
    for before, term in pairwise(tokenise(query)):
        field = FIELDS.get(before.text) if before.kind == "f" and term.kind == "t" else None
        if field is None or field.source not in _OWNERS:
            continue
        interval, _, _, kind = _OWNERS[field.source]
        try:
            interval(term.text, known.now_ns)
        except ValueError:
            better = partial(_with_term, query, term)
            text = f"this machine knows no {kind} {shown(term.text)}"
            yield _with_owners(known, text, field.source, term.text, better)


def _with_term(query: str, term: Token, new: str) -> str:
    return query[: term.start] + new + query[term.end :]


def _with_owners(known: Known, text: str, column: str, typed: str, better: Callable[[str], str]) -> Hint:
    """Say who owns files: those of a name that is like the one that was typed, else those with most files."""
    name = _OWNERS[column][1]
    names = {name(int(each)): int(each) for each in known.values(column)}
    wanted = near(typed, names, MOST_SHOWN) or [*names][:MOST_SHOWN]
    found = [(each, known.files(Fact(column, names[each], names[each] + 1))) for each in wanted]
    if not found:
        return Hint(text)
    others = ", ".join(f"{shown(each)} ({counted(count)})" for each, count in found)
    return _tried(known, f"{text}; there are {others}", better(literal(found[0][0])))


def _of_end(known: Known, query: str, part: Part, node: Fact) -> Hint | None:
    """Say which size or time is the last one, where one beyond it is asked for."""
    smallest, largest, field = _ENDS[node.column]
    for descending, sign, told in ((True, ">=", largest), (False, "<=", smallest)):
        every = known.found(Fact(node.column, None, None))
        row = next(iter(known.reading.find(every, Order(node.column, descending), None, 1)), None)
        value = None if row is None else getattr(row, node.column)
        if value is None:
            return None
        beyond = node.low is not None and value < node.low if descending else node.high and value >= node.high
        if beyond:
            said, typed = _said(node.column, value)
            better = with_part(query, part, f"{field}:{sign}{typed}")
            text = f"no file{known.you_may('see')} matches {shown(part.text)}; {told} {said}"
            return _tried(known, text, better)
    return None


def _said(column: str, value: int) -> tuple[str, str]:
    """Return a size or a time as a person reads it, and as a query takes it."""
    if column == "size":
        return f"{value:,} bytes", str(value)
    second = time_text(value)[:19]
    return second.replace("T", " "), second


def of_path(known: Known, query: str, part: Part, glob: str) -> Hint:
    """Say how far a path exists, and which names there are like the first step that does not."""
    steps, there = components_of(glob), b""
    for number, step in enumerate(steps):
        name = literal_of(step)
        if name is None:
            break
        following = there + b"/" + name_bytes(name)
        if known.path(following) is None:
            text = f"there is no {shown(name)} in {_place(there)}{known.you_may('see')}"
            close = _near_names(known, there, name)
            if not close:
                return Hint(text)
            better = replaced(query, part, "t", lambda _: True, written(_with_step(glob, number, close[0][0])))
            return _tried(known, text + meant(close), better)
        there = following
    return Hint(f"nothing{known.you_may('see')} below {_place(there)} matches {shown(glob)}")


def _with_step(glob: str, number: int, name: str) -> str:
    """Return the glob of a path with another name as its step of a number."""
    pieces = glob.split("/")
    places = [place for place, piece in enumerate(pieces) if piece]
    pieces[places[number]] = _glob(name)
    return "/".join(pieces)


def _near_names(known: Known, directory: bytes, name: str) -> list[tuple[str, int]]:
    """Return names in a directory, like one that is not there, with the files below each, or itself."""
    fid = known.path(directory)
    if fid is None or (known.access is not None and not known.access.listed(fid)):
        return []
    known.in_time()
    names = [name_text(each.name) for each in known.reading.entries(fid, b"", MOST_ENTRIES)]
    above = _glob(name_text(directory))

    def files(each: str) -> int:
        here = f"{above}/{_glob(each)}"
        return known.files(Path(f"{here}/**")) or known.files(Path(here))

    return known.near(name, names, files)


def _glob(text: str) -> str:
    return "".join(map(escape, text))


def _place(path: bytes) -> str:
    return shown(name_text(path)) or "/"


def _tried(known: Known, text: str, query: str) -> Hint:
    files = known.found_by(query)
    return Hint(text, query, files) if files else Hint(text)
