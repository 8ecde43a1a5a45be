"""The commands search and du, as a user runs them."""

from __future__ import annotations

import csv
import io
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from lustre_events.cli.output import print_csv
from lustre_events.index.sqlite.database import open_database
from tests.support.index.tables import add_file, add_object
from tests.support.service.command import lustre_events


@pytest.fixture
def index(tmp_path: Path) -> str:
    """Three files: one with a name that is no text, one that only its owner can read."""
    path = tmp_path / "index.db"
    writer = open_database(path)
    access: dict[str, Any] = {"gid": 0, "mode": 0o755}
    add_object(writer, 0, type="d", uid=0, **access)
    add_file(writer, 1, b"a,b\n\xff.csv", {"tabular": {"columns": ["x"]}}, size=5, uid=0, **access)
    add_file(writer, 2, b"d/two.csv", {"tabular": {"columns": ["x"]}}, size=7, uid=0, gid=0, mode=0o600)
    add_file(writer, 3, b"d/three.h5", size=9, uid=61_001, **access)
    writer.execute("UPDATE object SET uid = 0, gid = 0, mode = ? WHERE type = 'd'", (0o755,))
    writer.close()
    return f"sqlite:///{path}"


def out(index: str, *arguments: str) -> bytes:
    done = lustre_events(*arguments, "--index", index)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_paths_for_people_and_programs(index: str) -> None:
    """Text is safe on a terminal; paths with NUL, and CSV, have every byte of a name; JSON is a line each."""
    assert out(index, "search", "ext:csv") == b"/mnt/lustre/a,b\\n\\xff.csv\n/mnt/lustre/d/two.csv\n"
    assert out(index, "search", "ext:csv", "--null") == b"/mnt/lustre/a,b\n\xff.csv\0/mnt/lustre/d/two.csv\0"
    text = out(index, "search", "ext:csv", "--csv").decode("utf-8", "surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["path"], row["size"], row["mode"]) for row in rows] == [
        ("/mnt/lustre/a,b\n\udcff.csv", "5", "0755"), ("/mnt/lustre/d/two.csv", "7", "0600"),
    ]  # fmt: skip
    hits = [json.loads(line) for line in out(index, "search", "ext:csv", "--json").splitlines()]
    assert [hit["paths"] for hit in hits] == [["/mnt/lustre/a,b\n\udcff.csv"], ["/mnt/lustre/d/two.csv"]]
    assert [hit["mode"] for hit in hits] == ["0755", "0600"]


def test_what_matched_is_told(index: str) -> None:
    """Text has what matched below each path, where a person reads it or asks for it; JSON has it always."""
    asked = ("search", "columns:x AND name:*TWO*", "--sort", "size")
    text = out(index, *asked, "--excerpts").decode()
    (hit,) = [json.loads(line) for line in out(index, *asked, "--json").splitlines()]

    assert text.splitlines() == ["/mnt/lustre/d/two.csv", "    tabular.columns: x", "    name: two.csv"]
    assert hit["matched"] == [
        {"extractor": "tabular", "key": "columns", "text": "x"},
        {"extractor": "", "key": "name", "text": "two.csv"},
    ]  # fmt: skip
    assert out(index, *asked) == b"/mnt/lustre/d/two.csv\n"


def test_find_answers_as_find_does(index: str) -> None:
    """Paths that match are printed, the starting point too, with NUL if asked for; --explain prints the query."""
    assert out(index, "find", "/", "-name", "*.csv", "!", "-size", "+6c") == b"/mnt/lustre/a,b\\n\\xff.csv\n"
    assert sorted(out(index, "find", "/mnt/lustre/d", "-print0").split(b"\0")) == [
        b"", b"/mnt/lustre/d", b"/mnt/lustre/d/three.h5", b"/mnt/lustre/d/two.csv",
    ]  # fmt: skip
    explained = out(index, "find", "/d", "--type", "f", "-maxdepth", "1", "--explain")
    assert explained == b"(path:/d OR path:/d/*) AND type:f\n"
    nothing = lustre_events("find", "/d", "-name", "TWO.csv", "--index", index)
    assert (nothing.returncode, nothing.stdout) == (1, b"")
    assert b"TWO.csv" in nothing.stderr


def test_report_sums_up_what_is_there(index: str) -> None:
    """It has owners, extensions, sizes, ages, directories and the largest files, of a part of a tree, too."""
    found = json.loads(out(index, "report", "--json"))
    part = json.loads(out(index, "report", "/mnt/lustre/d", "--query", "ext:h5", "--json"))
    either = json.loads(out(index, "report", "--query", "ext:h5 OR ext:csv", "--json"))
    lines = out(index, "report", "/d").decode().splitlines()

    assert {each["value"]: each["files"] for each in either["size"] if each["files"]} == {"up to 4 KiB": 3}
    assert found["total"] == {"files": 4, "bytes": 21}
    assert {each["value"]: each["bytes"] for each in found["owner"]} == {"root": 12, "61001": 9}
    assert {each["value"]: each["files"] for each in found["ext"]} == {"csv": 2, "h5": 1, None: 1}
    assert found["size"][1] == {"value": "up to 4 KiB", "files": 3, "bytes": 21}
    assert [each["value"] for each in found["directories"]] == ["/mnt/lustre/d"]
    assert [hit["size"] for hit in found["largest"]] == [9, 7, 5]
    assert (part["total"], part["largest"][0]["paths"]) == (
        {"files": 1, "bytes": 9}, ["/mnt/lustre/d/three.h5"]
    )  # fmt: skip
    assert lines[0].split() == ["total", "3", "files", "16", "bytes"]
    assert lines[-1].split() == ["largest", "7", "bytes", "/mnt/lustre/d/two.csv"]
    assert lustre_events("report", "/nowhere", "--index", index).stderr.endswith(b"no such path in the index\n")


def test_no_cell_of_csv_is_a_formula(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """What a spreadsheet would compute gets an apostrophe in front; all else stays as it is."""
    values = [
        "=cmd()",
        "+1+1",
        "-x",
        "@SUM(A1)",
        "\t=1",
        "a=b",
        "-5",
        "+1.5e3",
        "'x",
        "",
        None,
        -7,
        "\n=1",
        "\uff1dcmd()",
        "\uff20a",
    ]
    print_csv(("value",), ([value] for value in values))
    rows = [row[0] if row else "" for row in csv.reader(io.StringIO(capsysbinary.readouterr().out.decode()))]
    assert rows == [
        "value",
        "'=cmd()",
        "'+1+1",
        "'-x",
        "'@SUM(A1)",
        "'\t=1",
        "a=b",
        "-5",
        "+1.5e3",
        "'x",
        "",
        "",
        "-7",
        "'\n=1",
        "'\uff1dcmd()",
        "'\uff20a",
    ]


def test_a_search_without_hits_says_why(index: str) -> None:
    """What is wrong, and what finds something, stands on stderr; stdout stays as it is, and the exit code is 1."""
    for style in ([], ["--count"], ["--json"], ["--csv"], ["--facets", "ext"]):
        done = lustre_events("search", "colunms:x", *style, "--index", index)
        assert done.returncode == 1
        assert b"no file has the key colunms; did you mean columns (2 files)?" in done.stderr
        assert b"2 files: columns:x" in done.stderr
    assert lustre_events("search", "colunms:x", "--json", "--index", index).stdout == b""
    assert lustre_events("search", "colunms:x", "--count", "--index", index).stdout == b"0\n"
    for query, better in (("columns:y or columns:x", "columns:y OR columns:x"), ("size>8", "size:>8")):
        assert better in lustre_events("search", query, "--index", index).stderr.decode()
    failed = lustre_events("search", "failed:tabluar", "--index", index)
    assert (failed.returncode, b"did you mean tabular" in failed.stderr) == (1, True)
    sums = lustre_events("du", "/", "--by", "colunms", "--index", index)
    assert (sums.returncode, sums.stdout, b"did you mean columns" in sums.stderr) == (0, b"", True)


def test_pages_go_on_with_a_cursor(index: str) -> None:
    """When there are more hits the cursor is told on stderr, and gives exactly the rest."""
    first = lustre_events("search", "type:f", "--sort", "-size", "--limit", "2", "--index", index)
    cursor = first.stderr.decode().split("--cursor ")[1].strip()
    rest = lustre_events("search", "type:f", "--sort", "-size", "--cursor", cursor, "--index", index)
    other = lustre_events("search", "type:d", "--sort", "-size", "--cursor", cursor, "--index", index)

    assert first.stdout.splitlines() == [b"/mnt/lustre/d/three.h5", b"/mnt/lustre/d/two.csv"]
    assert (rest.stdout, rest.stderr) == (b"/mnt/lustre/a,b\\n\\xff.csv\n", b"")
    assert other.returncode == 6
    assert b"begin again without it" in other.stderr


def test_counts_facets_and_sums(index: str) -> None:
    """--count prints a number, --facets and du values with files and bytes, in all styles."""
    assert out(index, "search", "type:f", "--count") == b"3\n"
    facets = json.loads(out(index, "search", "type:f", "--facets", "ext,columns", "--json"))
    assert facets["ext"] == [{"value": "csv", "files": 2, "bytes": 12}, {"value": "h5", "files": 1, "bytes": 9}]
    assert facets["columns"] == [{"value": "x", "files": 2, "bytes": 12}]
    assert out(index, "du", "/d", "--by", "ext", "--csv").splitlines()[1:] == [
        b"ext,,1,0", b"ext,csv,1,7", b"ext,h5,1,9",
    ]  # fmt: skip
    assert b"61001" in out(index, "du", "/")
    missing = lustre_events("du", "/none", "--index", index)
    assert (missing.returncode, b"/none: no such path" in missing.stderr) == (2, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may search as somebody else")
def test_searching_as_somebody_else(index: str) -> None:
    """--as shows what that user could see; a user that this machine does not know is refused."""
    nobody = pwd.getpwnam("nobody").pw_name

    assert out(index, "search", "columns:x", "--as", nobody) == b"/mnt/lustre/a,b\\n\\xff.csv\n"
    assert out(index, "search", "type:f", "--as", nobody, "--count") == b"3\n"
    assert json.loads(out(index, "show", "/d/two.csv", "--as", nobody, "--json"))["documents"] == {}
    refused = lustre_events("search", "*", "--as", "no-such-user", "--index", index)
    assert (refused.returncode, b"no such user" in refused.stderr) == (2, True)


def test_all_hits_are_written_for_other_programs(index: str, tmp_path: Path) -> None:
    """`--format` writes every hit, to stdout or whole into a file; what is found or not is in the exit code."""
    lines = out(index, "search", "type:f", "--format", "jsonl").splitlines()
    assert len(lines) == int(out(index, "search", "type:f", "--count"))
    place = tmp_path / "hits.csv"
    assert out(index, "search", "ext:csv", "--format", "csv", "--output", str(place)) == b""
    assert place.read_bytes().count(b"/mnt/lustre/") == 2
    assert [path.name for path in tmp_path.glob("hits*")] == ["hits.csv"]
    none = lustre_events("search", "colunms:x", "--format", "jsonl", "--index", index)
    assert (none.returncode, none.stdout) == (1, b"")
