"""What images/prepare_eccodes.py does to ecCodes changes no name, short name or unit of any parameter."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import eccodes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import program
from tests.support.service.images import EXTRACTORS

prepare, started = program("images", "prepare_eccodes"), program("grid", "grid_eccodes")
PACKAGES = Path(eccodes.__file__).parents[1]
LIBRARY = PACKAGES / "eccodeslib"
EACH = 120  # of this many entries one is looked up
CENTRES = ("ecmf", "kwbc", "edzw", "rjtd", 0, 255)
TELL = """
import gribapi, sys
with open(sys.argv[1], "rb") as file:
    while (message := gribapi.grib_new_from_file(file, headers_only=True)) is not None:
        print([gribapi.grib_get(message, key, str) for key in ("shortName", "name", "units")])
        gribapi.grib_release(message)
"""


@examples(50)
@given(st.lists(st.tuples(st.text('ab #{}"=;', max_size=5), st.integers(0, 255), st.booleans()), max_size=40))
def test_each_entry_is_in_the_piece_that_its_messages_need(said: list[tuple[str, int, bool]]) -> None:
    """A piece has the entries of its messages, in their order: those of its tables, and those of any."""
    entries = [
        f"'{name}' = {{\n\t indicatorOfParameter = 7 ;\n" + (f"\t table2Version = {table} ;\n}}" if asks else "}")
        for name, table, asks in said
    ]
    found = prepare.pieces("# a remark\n" + "\n#another\n".join(entries), "table2Version")
    for number in range(prepare.PIECES):
        expected = [
            entry
            for entry, (_, table, asks) in zip(entries, said, strict=True)
            if not asks or table % prepare.PIECES == number
        ]
        assert found.get(number, "") == "".join(f"{entry}\n" for entry in expected)


@pytest.mark.parametrize("text", ["concept a(b, c);", "'a' = { discipline = 0 ;", "include 'a.def'"])
def test_a_list_with_something_else_is_not_cut(text: str) -> None:
    """A list that has more than entries is refused, so that a later ecCodes is not cut wrongly."""
    with pytest.raises(ValueError, match="it has more than entries"):
        prepare.pieces(text, "parameterCategory")


def message_of(edition: int, centre: str | int, old: bool, said: dict[str, str]) -> bytes:
    """Return a message with what an entry asks for, as far as it can be set."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    given: dict[str, str | int] = {"centre": centre}
    if edition == 2:
        given |= {"tablesVersion": 20 if old else 35}
        given |= {"productDefinitionTemplateNumber": 8} if "typeOfStatisticalProcessing" in said else {}
    for key, value in (given | {key: int(value) for key, value in said.items() if value.isdigit()}).items():
        with contextlib.suppress(eccodes.CodesInternalError):
            eccodes.codes_set(handle, key, value)
    content: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return content


def messages() -> list[bytes]:
    """Return messages for entries of all lists, of their own centre, and of any."""
    found = []
    texts = [(path, text) for path, text in prepare.lists(LIBRARY) if "/shortName" in path]
    entries = [(path, entry[1]) for path, text in texts for entry in prepare.ENTRY.finditer(text)]
    for number, (path, entry) in enumerate(entries[::EACH]):
        said = dict(re.findall(r"(\w+)\s*=\s*(\w+)\s*;", entry))
        local = re.search(r"localConcepts/(\w+)/", path)
        centre = local[1] if local and local[1] != "ecmf" else CENTRES[number % len(CENTRES)]
        found.append(message_of(int(path[4]), centre, "lte33" in path, said))
    return found


def test_names_are_those_without_pieces(tmp_path: Path) -> None:
    """For entries of each list, of all centres and both editions, names and units stay as they are."""
    (tmp_path / "a.grib").write_bytes(b"".join(messages()))
    prepare.write_pieces(LIBRARY, tmp_path / "pieces")
    command = [sys.executable, "-P", "-c", TELL, str(tmp_path / "a.grib")]
    plain, cut = (
        subprocess.run(command, env=os.environ | more, check=True, stdout=subprocess.PIPE, timeout=300).stdout
        for more in ({}, {"ECCODES_EXTRA_DEFINITION_PATH": str(tmp_path / "pieces")})
    )
    assert plain == cut
    assert len(set(plain.splitlines())) > 150


def test_declarations_are_those_of_the_package(tmp_path: Path) -> None:
    """With the declarations that were parsed before, the package is imported without cffi's parser, and reads."""
    prepare.write_declarations(PACKAGES / "gribapi", tmp_path / "eccodes_declarations.py")
    code = f"""
import sys
sys.path += [{str(tmp_path)!r}, {str(EXTRACTORS / "grid")!r}]
from grid_eccodes import gribapi
assert "pycparser" not in sys.modules, "cffi parses"
assert "configparser" not in sys.modules, "findlibs looks for the library everywhere"
handle = gribapi.grib_new_from_samples("regular_ll_sfc_grib2")
print(gribapi.grib_get(handle, "edition"), gribapi.grib_get(handle, "gridType"))
import cffi
assert cffi.FFI.__module__ == "cffi.api"
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], check=True, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"2 regular_ll\n"


def test_headers_need_no_more_of_numpy_than_its_core(tmp_path: Path) -> None:
    """In a prepared image the readers of GRIB and HDF4 are imported without the rest of numpy, and read."""
    samples = EXTRACTORS / "grid" / "samples"
    code = f"""
import sys
sys.path += [{str(EXTRACTORS / "base")!r}, {str(EXTRACTORS / "grid")!r}]
import grid_numpy
grid_numpy.PREPARED = {str(tmp_path)!r}
grid_numpy.prepare()
import grid
for name in ("old.grib1", "swath.hdf"):
    print(len(grid.extract({str(samples)!r} + "/" + name)) > 5)
assert "numpy._core._multiarray_umath" in sys.modules
assert "numpy.lib" not in sys.modules, "all of numpy is there"
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], check=True, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"True\nTrue\n"


def test_what_an_image_prepares_is_what_the_program_takes() -> None:
    """The image `grid` runs the preparation, which writes to where the program looks."""
    assert "run prepare_eccodes.py" in (EXTRACTORS / "images" / "grid.txt").read_text().splitlines()
    assert prepare.FOLDER == started.PIECES
