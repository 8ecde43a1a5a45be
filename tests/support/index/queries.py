"""Queries and files of any kind, and the naive filter that says which files a query finds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import translate
from typing import Any

from hypothesis import strategies as st

from lustre_events.index.query import tree as q
from lustre_events.index.values import VALUE_GAP, flatten
from tests.support.index.paths import expression
from tests.support.records.builders import fid_of

NOW = 1_800_000_000_000_000_000


@dataclass(frozen=True)
class File:
    """What the naive filter sees."""

    number: int
    path: bytes
    facts: dict[str, int | bytes | str]
    documents: dict[str, dict[str, Any]] = field(hash=False)
    failed: frozenset[str] = frozenset()


def glob_matches(glob: str, text: str) -> bool:
    return re.match(translate(glob), text) is not None


def matches(node: q.Node, file: File) -> bool:  # noqa: C901, PLR0911, PLR0912 - one arm for each node
    """Whether a file matches: the meaning of each node, read off its docstring."""
    name = file.path.rsplit(b"/", 1)[-1].decode("utf-8", "surrogateescape")
    match node:
        case q.All():
            return True
        case q.And(nodes):
            return all(matches(item, file) for item in nodes)
        case q.Or(nodes):
            return any(matches(item, file) for item in nodes)
        case q.Not(item):
            return not matches(item, file)
        case q.Fact(column, low, high):
            value = file.facts.get(column)
            return isinstance(value, int) and (low is None or value >= low) and (high is None or value < high)
        case q.Type(letter):
            return letter == "f"
        case q.HasFid(fid):
            return fid == fid_of(file.number)
        case q.JobId(glob):
            jobid = file.facts.get("jobid")
            return isinstance(jobid, bytes) and glob_matches(glob, jobid.decode())
        case q.Name(glob, exact):
            return glob_matches(glob, name) if exact else glob_matches(glob.lower(), name.lower())
        case q.NameWords(text, prefix):
            return has_words({"name": name}, text, prefix=prefix)
        case q.Extension(text):
            return len(name) > len(text) + 1 and name.lower().endswith("." + text.lower())
        case q.Path(glob):
            return expression(glob).match(file.path + b"/") is not None
        case q.HasDocument(glob):
            return any(glob_matches(glob, extractor) for extractor in file.documents)
        case q.Failed(glob):
            return any(glob_matches(glob, extractor) for extractor in file.failed)
        case q.Mime(glob):
            mime = file.facts.get("mime")
            return isinstance(mime, str) and glob_matches(glob.lower(), mime)
        case q.Released(value):
            return bool(file.facts.get("released")) is value
        case q.Readable():
            return True
        case q.Text(text, prefix):
            return any(has_words(body, text, prefix=prefix) for body in file.documents.values())
        case q.KeyEquals(key, word, number, time, wild):
            numbers, words, parts = values_of(file, key, wild=wild)
            if time is not None and any(time[0] <= moment < time[1] for moment in times_of(words)):
                return True
            if " " in word:
                return any(f" {word} " in f" {value} " for value in words)
            return number in numbers | numbers_of(words) or word in words | parts
        case q.KeyRange(key, low_, high_, include_low, include_high, span, wild):
            numbers, words, _ = values_of(file, key, wild=wild)
            textual = isinstance(low_, str) or isinstance(high_, str)
            if span is not None and any(
                (span[0] is None or moment >= span[0]) and (span[1] is None or moment < span[1])
                for moment in times_of(words)
            ):
                return True
            typed: set[Any] = set() if textual and span else words if textual else numbers | numbers_of(words)
            return any(
                (low_ is None or value > low_ or (include_low and value == low_))
                and (high_ is None or value < high_ or (include_high and value == high_))
                for value in typed
            )
        case q.KeyGlob(key, glob, wild):
            _, words, parts = values_of(file, key, wild=wild)
            return any(glob_matches(glob, word) for word in words | parts)
        case q.KeyExists(key, wild):
            numbers, words, _ = values_of(file, key, wild=wild)
            return bool(numbers or words)
    raise AssertionError(node)


def has_words(body: dict[str, Any], words: str, *, prefix: bool) -> bool:
    wanted = re.findall("[a-z0-9]+", words.lower())
    for value in flatten(body).text.split(VALUE_GAP):
        tokens = re.findall("[a-z0-9]+", value.lower())
        for start in range(len(tokens) - len(wanted) + 1):
            here = tokens[start : start + len(wanted)]
            if not wanted or here[:-1] != wanted[:-1]:
                continue
            if here[-1] == wanted[-1] or (prefix and here[-1].startswith(wanted[-1])):
                return True
    return False


def numbers_of(words: set[str]) -> set[float]:
    """The numbers that whole values are which are text."""
    return {float(word) for word in words if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", word)}


def times_of(words: set[str]) -> set[int]:
    """The times that whole values are, as Python reads ISO 8601."""
    found = set()
    for word in words:
        if "-" not in word:
            continue
        try:
            moment = datetime.fromisoformat(word.upper())
        except ValueError:
            continue
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        found.add(round(moment.timestamp()) * 10**9)
    return found


def values_of(file: File, field_name: str, *, wild: bool) -> tuple[set[float], set[str], set[str]]:
    numbers: set[float] = set()
    words: set[str] = set()
    parts: set[str] = set()
    for extractor, body in file.documents.items():
        flat = flatten(body)
        keys = {name for pairs in (flat.numbers, flat.words, flat.parts) for name, _ in pairs}
        for key in keys:
            names = (key, f"{extractor}.{key}")
            if any(glob_matches(field_name, name) for name in names) if wild else field_name in names:
                numbers |= {value for name, value in flat.numbers if name == key}
                words |= {value for name, value in flat.words if name == key}
                parts |= {value for name, value in flat.parts if name == key}
    return numbers, words, parts


words = st.sampled_from(
    [
        "red",
        "green",
        "Red",
        "blue green",
        "green, red_blue",
        "red-1",
        "",
        "2026-01-05",
        "1",
        "2026-01-05T12:00:00+02:00",
        "2025-12-31 23:59:59",
        "-2.5",
        "007",
    ]
)


bodies = st.fixed_dictionaries(
    {},
    optional={
        "k": words | st.lists(words, max_size=3),
        "n": st.integers(-3, 3) | st.lists(st.floats(-3, 3), max_size=2) | st.booleans(),
        "x": st.fixed_dictionaries({"k": words | st.integers(0, 2)}),
    },
)


files = st.lists(
    st.builds(
        File,
        number=st.integers(1, 100),
        path=st.sampled_from([b"a.csv", b"b.CSV", b"d/a.csv", b"d/e/a.h5", b"f/b", b"d/[x]*"]),
        facts=st.fixed_dictionaries({}, optional={
            "size": st.integers(0, 4000), "uid": st.integers(0, 3), "gid": st.integers(0, 3),
            "mtime_ns": st.integers(0, 3).map(lambda days: NOW - days * 86_400 * 10**9),
            "jobid": st.sampled_from([b"cp.0", b"tar.1"]), "released": st.integers(0, 1),
            "mime": st.sampled_from(["text/csv", "image/png"]),
        }),
        documents=st.dictionaries(st.sampled_from(["x", "tab"]), bodies, max_size=2),
        failed=st.frozensets(st.sampled_from(["x", "h5"])),
    ),
    max_size=8, unique_by=(lambda file: file.number, lambda file: file.path),
)  # fmt: skip


terms = st.sampled_from([
    "*", "red", "gre*", '"blue green"', '"red blue"', "k:red", "k:green", 'k:"blue green"', "k:re*", "k:*", 'k:""',
    "k:1", "x.k:red", "x.k:1", "x.x.k:1", "tab.k:red", "tab.n:*", "n:1", "n:>0", "n:[-1 TO 1}", "n:true", "n:*",
    "k:>=2026-01-01", "k:{g TO red]", "k:[* TO green]", "size:>1k", "size:<=2k", "size:[1k TO 2k]", "size:*",
    "mtime:>now-1d", "mtime:now-1d", "owner:0", "uid:>=2", "gid:1", "name:a.csv", "name:*.csv", r"name:\[x\]\*",
    "name:?.?5",
    "name:B.csv", "name.exact:B.*", "name.exact:b.CSV", "csv", "A.CS*", '"b csv"',
    "ext:csv", "ext:h5", "path:/d/**", "path:/d/*", "path:/**", "path:/d/e/a.h5", "path:/f/*",
    "path:e/**", "path:**/e/*", "path:*.csv", "path:/none/**", "path:/d/*/a.h5", "path:/d/**/a*",
    "type:f", "type:d", "jobid:cp.*", "jobid:tar.1", "extractor:x", "extractor:t*", "extractor:none", "nokey:1",
    "fid:[0x200000401:0x1:0x0]", "failed:x", "failed:*", "mime:text/csv", "mime:IMAGE/*",
    "mime:*/png", "released:true", "released:no", 'k:"blue  Green"', "x.x.k:>1", "n:{-1 TO 2]", "k:b*e", "x.k:*",
    "k:2026", "k:2026-01", "*.k:red", "?:1", "x.*:>0", "n*:true", "*.*.k:*", "t*.k:re*", "*k:[* TO green]",
    "k:<2026", "k:[2026-01-05 TO now]", "k:>now-3000d", "k:7", "k:<0", "k:2026-01-05T10:00",
])  # fmt: skip


queries = st.recursive(
    terms,
    lambda inner: (
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} {pair[1]})")
        | st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})")
        | inner.map(lambda text: f"NOT {text}")
    ),
    max_leaves=5,
)
