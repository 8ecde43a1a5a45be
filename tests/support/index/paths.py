"""Links in any state, patterns, and the naive model of what paths and patterns are."""

from __future__ import annotations

import re

from hypothesis import strategies as st

Links = dict[tuple[int, bytes], int | None]


# Objects 1 to 6 under the root 0, and 9, which nothing leads to.
links = st.dictionaries(
    st.tuples(st.sampled_from([0, 0, 1, 2, 3, 4, 9]), st.sampled_from([b"a", b"b", b"a.h5", b"\xff[", b"*"])),
    st.none() | st.integers(1, 6),
    max_size=14,
)


def all_paths(links: Links) -> dict[int, list[bytes]]:
    """The naive model: walk from the root along every link, never through an object twice."""
    found: dict[int, list[bytes]] = {number: [] for number in range(10)}

    def walk(directory: int, prefix: bytes, above: frozenset[int]) -> None:
        for (parent, name), fid in links.items():
            if parent == directory and fid is not None and fid not in above:
                found[fid].append(prefix + name)
                walk(fid, prefix + name + b"/", above | {fid})

    walk(0, b"", frozenset({0}))
    found[0] = [b"/"]
    return {number: sorted(paths) for number, paths in found.items()}


components = st.sampled_from(["a", "b", "a.h5", "*", "a*", "?", "*.h5", "**", "**", "\udcff[[]", "[*]", "?.?5"])


patterns = st.tuples(st.sampled_from(["/", ""]), st.lists(components, min_size=1, max_size=4)).map(
    lambda parts: parts[0] + "/".join(parts[1])
)


def expression(pattern: str) -> re.Pattern[bytes]:
    """The naive model of a path pattern: a regular expression over the whole path."""
    text = ("" if pattern.startswith("/") else "**/") + pattern.strip("/")
    parts = []
    for component in text.split("/"):
        if component == "**":
            parts.append("(?:[^/]+/)*")
        else:
            wild = component.replace("[[]", "\x01").replace("[*]", "\x02")
            wild = re.escape(wild).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
            parts.append(wild.replace("\x01", r"\[").replace("\x02", r"\*") + "/")
    if parts[-1] == "(?:[^/]+/)*":
        parts[-1] = "(?:[^/]+/)+"
    return re.compile("".join(parts).encode("utf-8", "surrogateescape") + rb"\Z")
