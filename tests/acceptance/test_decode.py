"""`lustre-events decode` prints what `lfs changelog` prints."""

from __future__ import annotations

import json
from pathlib import Path

from lustre_events.changelog.record import scan
from tests.support.records import captures
from tests.support.service.command import lustre_events


def test_decode_prints_what_lfs_changelog_printed(tmp_path: Path) -> None:
    """For all captures, one behind the other, byte for byte."""
    found = [(folder, mdt) for folder in captures.FOLDERS for mdt in captures.mdts(folder)]
    raw = [(captures.CAPTURES / folder / f"{mdt}.nidbe.raw.gz").read_bytes() for folder, mdt in found]
    (tmp_path / "all.raw.gz").write_bytes(b"".join(raw))

    done = lustre_events("decode", tmp_path / "all.raw.gz")

    assert done.returncode == 0, done.stderr
    assert len(found) > 2
    assert done.stdout == b"".join(captures.read(folder, f"{mdt}.txt") for folder, mdt in found)


def test_json_lines_hold_every_record(tmp_path: Path) -> None:
    """--json prints one JSON object per record, names exact by surrogate escapes."""
    raw = captures.read("03-names-defmask", "lustre-MDT0001.raw")
    (tmp_path / "plain.raw").write_bytes(raw)

    done = lustre_events("decode", "--json", tmp_path / "plain.raw")

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    names = {row["name"].encode("utf-8", "surrogateescape") for row in rows}
    assert len(rows) == scan(raw).count
    assert {b"\xff\xfe\xfd", b"with\nnewline", b"a" * 255} <= names


def test_a_torn_file_prints_the_whole_records_then_one_sentence(tmp_path: Path) -> None:
    """What is whole is printed; the tear gives one sentence with its offset and exit code 3."""
    raw = captures.read("01-basic-defmask", "lustre-MDT0001.raw")
    whole = scan(raw).count
    (tmp_path / "torn.raw").write_bytes(raw[:-10])

    done = lustre_events("decode", tmp_path / "torn.raw")

    assert done.returncode == 3
    assert done.stdout.count(b"\n") == whole - 1
    assert done.stderr.count(b"\n") == 1
    assert b"torn" in done.stderr
    assert b"at byte" in done.stderr


def test_a_missing_file_gives_one_sentence(tmp_path: Path) -> None:
    """A wrong file name is a usage error with the name in it."""
    done = lustre_events("decode", tmp_path / "nothing.raw")

    assert done.returncode == 2
    assert b"nothing.raw" in done.stderr
    assert b"Traceback" not in done.stderr
