"""The table of the fields of a search: what it says is what parser, search and completion do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lustre_events.errors import QueryError
from lustre_events.index.backend import Row
from lustre_events.index.fields import FIELDS, Field, FieldType, Visibility
from lustre_events.index.query.parser import parse
from lustre_events.index.query.tree import And, KeyEquals, KeyExists, Readable, limited

EXAMPLES = {
    FieldType.SIZE: "1k",
    FieldType.COUNT: "2",
    FieldType.TIME: "2026-11-22",
    FieldType.USER: "0",
    FieldType.GROUP: "0",
    FieldType.GLOB: "/a",
    FieldType.WORDS: "a",
    FieldType.FACT_WORDS: "a",
    FieldType.EXTENSION: "csv",
    FieldType.FILE_TYPE: "dir",
    FieldType.FID: "[0x200000401:0x1:0x0]",
    FieldType.BOOLEAN: "true",
}
every_field = pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS.keys())


@every_field
def test_a_field_of_the_table_is_no_key(field: Field) -> None:
    """What the table lists is understood as a field, never as a key of documents."""
    node = parse(f'{field.name}:"{EXAMPLES[field.type]}"', now_ns=0)

    assert not isinstance(node, KeyEquals | KeyExists)


@every_field
def test_ranges_are_for_what_has_an_order(field: Field) -> None:
    """A field takes a range if its type has an order, and says so if not."""
    query = f'{field.name}:>="{EXAMPLES[field.type]}"'
    if field.ranged:
        parse(query, now_ns=0)
        return
    with pytest.raises(QueryError, match="has no order"):
        parse(query, now_ns=0)


@every_field
def test_what_tells_of_content_is_for_who_can_read_it(field: Field) -> None:
    """The table's visibility is that of the search: content is matched only where it is readable."""
    node = limited(parse(f'{field.name}:"{EXAMPLES[field.type]}"', now_ns=0))

    guarded = isinstance(node, And) and Readable() in node.nodes
    assert guarded is (field.visibility is Visibility.CONTENT)


def test_what_can_be_sorted_is_a_column() -> None:
    """Sorting is by columns that every object has."""
    assert {field.source for field in FIELDS.values() if field.sortable} <= set(Row.__struct_fields__)


@pytest.mark.long
def test_a_shell_completes_fields() -> None:
    """A shell is offered the fields that begin as the last word does."""
    completion = {
        "_LUSTRE_EVENTS_COMPLETE": "bash_complete",
        "COMP_WORDS": "x search 'size:>1 mt",
        "COMP_CWORD": "2",
    }

    found = subprocess.run(
        [sys.executable, "-P", "-m", "lustre_events"], env={**os.environ, **completion}, capture_output=True,
        text=True, timeout=60, check=True,
    ).stdout  # fmt: skip

    assert "size:>1 mtime:" in found
    assert "ctime" not in found
