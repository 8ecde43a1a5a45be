"""Recorded changelogs: captures come out byte for byte, damaged files give all that is whole."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.record import iter_records
from lustre_events.errors import ChangelogUnavailable, ConfigError, RecordDecodeError
from lustre_events.sources.replay import ReplaySource, discover
from tests.support.records.builders import CAPTURES, capture, create, each_capture, raw
from tests.support.rows import each_row

MDT = "lustre-MDT0000"
LIMIT = 1 << 20


def blocks_of(source: ReplaySource, limit_bytes: int = LIMIT) -> list[bytes]:
    """Read to the end."""
    return list(iter(lambda: source.read(limit_bytes, 0), b""))


@pytest.mark.parametrize("name", each_capture(".raw"))
def test_a_capture_comes_out_byte_for_byte(name: str) -> None:
    """A gzipped recording of a real changelog is read whole, in whole records."""
    source = ReplaySource(MDT, CAPTURES / f"{name}.gz")
    source.open(0)
    blocks = blocks_of(source, 5000)

    assert b"".join(blocks) == capture(name)
    assert all(list(iter_records(block)) for block in blocks)
    assert source.ended


@given(limit_bytes=st.integers(0, 3000), start_index=st.integers(0, 60), packed=st.booleans())
def test_any_limit_and_any_start_give_the_same_records(
    tmp_path_factory: pytest.TempPathFactory, limit_bytes: int, start_index: int, packed: bool
) -> None:
    """However it is cut, and from wherever, the records from the start index on come once and in order."""
    records = [create(fid=n, index=2 * n, name=b"n" * n) for n in range(1, 26)]
    path = tmp_path_factory.mktemp("replay") / "recording"
    path.write_bytes(gzip.compress(raw(*records)) if packed else raw(*records))
    source = ReplaySource(MDT, path)
    source.open(start_index)

    blocks = blocks_of(source, limit_bytes)

    assert b"".join(blocks) == raw(*(record for record in records if record.index >= start_index))
    source.close()


def test_records_come_whole_across_the_chunks_of_a_large_file(tmp_path: Path) -> None:
    """A record that lies across two chunks of the file is not torn."""
    data = raw(*(create(fid=n, index=n, name=b"n" * (n % 200)) for n in range(1, 12_000)))
    (tmp_path / "recording").write_bytes(data)
    source = ReplaySource(MDT, tmp_path / "recording")
    source.open(0)

    assert len(data) > 2 * LIMIT
    assert b"".join(blocks_of(source, 64 << 10)) == data


@each_row("packed", [False, True])
@each_row("missing", [1, 40, 100])
def test_a_torn_file_gives_what_is_whole_and_then_says_where_it_ends(
    tmp_path: Path, missing: int, packed: bool
) -> None:
    """Nothing before the tear is lost; the error names file and byte, comes again, and is not retryable."""
    records = [create(fid=n, index=n, name=b"name") for n in range(1, 11)]
    torn = raw(*records)[:-missing]
    path = tmp_path / "recording"
    path.write_bytes(gzip.compress(torn) if packed else torn)
    source = ReplaySource(MDT, path)
    source.open(0)
    whole = raw(*records[:-1])

    assert source.read(LIMIT, 0) == whole
    for _ in range(2):
        with pytest.raises(RecordDecodeError, match=f"{path}.*torn record.*byte {len(whole)}") as caught:
            source.read(LIMIT, 0)
    assert not caught.value.retryable
    assert not source.ended


def test_bytes_that_are_no_record_are_a_tear(tmp_path: Path) -> None:
    """Rubbish in the middle ends the recording there, however much follows."""
    records = raw(create(fid=1, index=1), create(fid=2, index=2))
    (tmp_path / "recording").write_bytes(records + b"\xff" * 5_000_000)
    source = ReplaySource(MDT, tmp_path / "recording")
    source.open(0)

    assert source.read(LIMIT, 0) == records
    with pytest.raises(RecordDecodeError, match="not a record") as caught:
        source.read(LIMIT, 0)
    assert caught.value.offset == len(records)


def test_a_gzip_file_that_was_cut_gives_what_can_be_unpacked(tmp_path: Path) -> None:
    """A copy that stopped half way gives whole records, and then the error."""
    data = capture("09-mdtest-defmask/lustre-MDT0000.raw")
    (tmp_path / "recording").write_bytes(gzip.compress(data)[:-500])
    source = ReplaySource(MDT, tmp_path / "recording")
    source.open(0)
    found: list[bytes] = []

    with pytest.raises(RecordDecodeError, match="copy the file again"):
        found.extend(iter(lambda: source.read(LIMIT, 0), b""))
    assert len(b"".join(found)) > len(data) // 2
    assert data.startswith(b"".join(found))


def test_an_empty_recording_ends_at_once(tmp_path: Path) -> None:
    """No records is no error."""
    (tmp_path / "recording").write_bytes(b"")
    source = ReplaySource(MDT, tmp_path / "recording")
    source.open(0)

    assert source.read(LIMIT, 10) == b""
    assert source.ended


def test_a_missing_recording_is_one_sentence(tmp_path: Path) -> None:
    """It names the MDT and the file."""
    with pytest.raises(ChangelogUnavailable, match=r"lustre-MDT0000.*nowhere.*No such file"):
        ReplaySource(MDT, tmp_path / "nowhere").open(0)


def test_a_folder_s_recordings_are_found_by_their_names(tmp_path: Path) -> None:
    """`<MDT>.raw` and `<MDT>.raw.gz`, without the big-endian copies and everything else."""
    folder = CAPTURES / "11-random-defmask"

    assert discover(folder) == {mdt: folder / f"{mdt}.raw.gz" for mdt in ("lustre-MDT0000", "lustre-MDT0001")}

    shutil.copy(folder / "lustre-MDT0001.raw.gz", tmp_path / "other-MDT00ff.raw")
    (tmp_path / "notes.raw").write_text("no MDT")

    assert discover(tmp_path) == {"other-MDT00ff": tmp_path / "other-MDT00ff.raw"}


def test_a_folder_without_recordings_or_with_two_of_one_mdt_is_refused(tmp_path: Path) -> None:
    """Each is one sentence that says what to do."""
    with pytest.raises(ConfigError, match="no recordings"):
        discover(tmp_path)
    with pytest.raises(ConfigError, match="name a folder"):
        discover(tmp_path / "nowhere")
    (tmp_path / f"{MDT}.raw").write_bytes(b"")
    (tmp_path / f"{MDT}.raw.gz").write_bytes(b"")
    with pytest.raises(ConfigError, match="of one MDT"):
        discover(tmp_path)
