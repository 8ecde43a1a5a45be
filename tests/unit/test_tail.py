"""How records out of the streams are printed; what is shown is in tests/acceptance/test_streams.py."""

from __future__ import annotations

import json

import pytest

from lustre_events.changelog.record import RecordType
from lustre_events.errors import ConfigError
from lustre_events.inspect.tail import Printer, types_of
from tests.support.model.fakes import block
from tests.support.records import builders as b

ONE, TWO = block(7, 1), block(7, 1, mdt="lustre-MDT0001")
EVIL = b.create(name=b"\x1b[2Jred\nfile\x7f")


def printed(*, as_json: bool = False, titles: bool = False, escape: bool = False) -> bytes:
    out: list[bytes] = []
    printer = Printer(out.append, as_json=as_json, titles=titles, escape=escape)
    for found in (ONE, ONE, TWO):
        printer.show(found, EVIL)
    return b"".join(out)


def test_titles_stand_where_the_mdt_changes() -> None:
    """A line says whose records follow, only when that changes."""
    titles = [line for line in printed(titles=True).splitlines() if line.startswith(b"==>")]

    assert titles == [b"==> lustre-MDT0000 <==", b"==> lustre-MDT0001 <=="]


def test_names_are_exact_for_programs_and_harmless_on_a_terminal() -> None:
    """A name with control characters cannot move the cursor of whoever looks; into a file it goes as it is."""
    assert printed().count(EVIL.name) == 3
    assert printed(escape=True).count(b"\\x1b[2Jred\\x0afile\\x7f\n") == 3


def test_json_says_where_a_record_is_from() -> None:
    """Each line has the MDT and the epoch, and the exact name."""
    rows = [json.loads(line) for line in printed(as_json=True, titles=True).splitlines()]

    assert [(row["mdt"], row["epoch"]) for row in rows] == [("lustre-MDT0000", 7)] * 2 + [("lustre-MDT0001", 7)]
    assert rows[0]["name"].encode("utf-8", "surrogateescape") == EVIL.name


def test_types_are_names() -> None:
    """Any case, commas or blanks; a wrong one is refused with the nearest."""
    assert types_of("creat, Renme") == {RecordType.CREAT, RecordType.RENME}
    assert types_of("") == frozenset()
    with pytest.raises(ConfigError, match="did you mean CREAT"):
        types_of("CREATE")
