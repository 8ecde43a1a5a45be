"""What a page says of its hits, on both databases: the same as counting all of them, as far as it goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.index.visibility import Viewer
from tests.support.index.contents import Contents
from tests.support.index.places import BACKENDS, EmptyPlace
from tests.support.profiles import examples

FIELDS = ("extractor", "ext", "owner", "mime", "columns")
NAMES = st.sampled_from([b"a.csv", b"b.CSV", b"c", b"d.h5"])
FILES = st.lists(st.tuples(NAMES, st.integers(1, 3), st.booleans(), st.sampled_from([0o600, 0o644])), max_size=8)


@pytest.mark.parametrize("backend", BACKENDS)
@examples(25)
@given(
    files=FILES,
    most=st.integers(1, 9),
    sort=st.sampled_from([None, "-size"]),
    viewer=st.sampled_from([None, Viewer(1)]),
)
def test_a_summary_is_what_is_common_to_the_first_hits(  # noqa: PLR0917 - what is given
    empty_place: EmptyPlace,
    backend: str,
    files: list[tuple[bytes, int, bool, int]],
    most: int,
    sort: str | None,
    viewer: Viewer | None,
) -> None:
    """A whole one equals count and facets; one that is not says how many objects it looked at."""
    with Contents(empty_place(backend)) as index:
        index.object(0, type="d", uid=0, gid=0, mode=0o755)
        for number, (name, uid, has_document, mode) in enumerate(files, start=1):
            documents = {"tabular": {"columns": ["x", str(uid)]}} if has_document else {}
            path = b"%d%s" % (number, name)
            index.file(number, path, documents, type="f", uid=uid, gid=1, mode=mode, size=number, mime="text/csv")
        search = index.search()
        count = search.count("type:f", visible_to=viewer)
        facets = search.facets("type:f", FIELDS, visible_to=viewer)

        page, found = search.overview("type:f", FIELDS, limit=1, sort=sort, most=most, visible_to=viewer)
        same = search.page("type:f", limit=1, sort=sort, visible_to=viewer)

    assert page.hits == same.hits
    assert (page.cursor is None) == (same.cursor is None)
    assert (found.files, found.whole) == (min(count, most), count <= most)
    assert sum(each.files for each in found.facets["owner"]) == found.files
    if found.whole:
        assert found.facets == facets
