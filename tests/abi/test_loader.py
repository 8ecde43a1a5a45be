"""Finding liblustreapi: lazily, where it was named, else in the usual places."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lustre_events import llapi
from lustre_events.errors import LibraryMissing
from lustre_events.llapi.loader import ENVIRONMENT_NAME
from tests.support.need import need


@pytest.fixture
def wrong_library(tmp_path: Path) -> Path:
    source, target = tmp_path / "other.c", tmp_path / "libother.so"
    source.write_text("int other(void) { return 0; }\n", encoding="utf-8")
    subprocess.run([need("gcc"), "-shared", "-fPIC", str(source), "-o", str(target)], check=True, timeout=60)
    return target


def test_importing_loads_no_library() -> None:
    """Without Lustre everything can be imported; ctypes opens the library only when asked."""
    program = (
        "import ctypes\n"
        "def refuse(*a, **k): raise AssertionError('loaded at import')\n"
        "ctypes.CDLL.__init__ = refuse\n"
        "import lustre_events.llapi, lustre_events.sources.lustre\n"
        "print('imported')\n"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", program], check=False, timeout=30, capture_output=True, text=True
    )

    assert done.stdout == "imported\n", done.stderr


def test_named_path_wins(standin_path: Path) -> None:
    """A path in the configuration is taken, whatever the environment says."""
    library = llapi.load(str(standin_path), {ENVIRONMENT_NAME: "/nowhere.so"}, ())

    assert library.path == str(standin_path)


def test_environment_is_asked_next(standin_path: Path) -> None:
    """Without a path the environment variable names the library."""
    library = llapi.load("", {ENVIRONMENT_NAME: str(standin_path)}, ())

    assert library.path == str(standin_path)


def test_usual_places_are_tried_in_order(tmp_path: Path, standin_path: Path, old_path: Path) -> None:
    """The first usual place that holds a library is taken, and a place without one is passed over."""
    places = (str(tmp_path / "missing.so"), str(old_path), str(standin_path))

    assert llapi.load("", {}, places).path == str(old_path)


def test_missing_library_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    """Where no library is, the message lists the places and the ways to name one."""
    place = str(tmp_path / "liblustreapi.so.1")

    with pytest.raises(LibraryMissing) as caught:
        llapi.load("", {}, (place,))

    assert place in str(caught.value)
    assert ENVIRONMENT_NAME in str(caught.value)
    assert "install the Lustre client" in str(caught.value)
    assert caught.value.exit_code == 4


def test_file_that_is_no_library_is_told_from_a_missing_one(tmp_path: Path) -> None:
    """A file that is there but cannot be loaded gives the linker's reason."""
    place = tmp_path / "liblustreapi.so"
    place.write_text("not a library", encoding="utf-8")

    with pytest.raises(LibraryMissing, match=r"too short|invalid ELF"):
        llapi.load("", {}, (str(place),))


def test_named_path_is_the_only_one_tried(standin_path: Path) -> None:
    """A wrong path is an error, not a reason to take another library in silence."""
    with pytest.raises(LibraryMissing, match=r"/nowhere\.so: liblustreapi cannot be loaded"):
        llapi.load("/nowhere.so", {}, (str(standin_path),))


def test_another_library_is_refused(wrong_library: Path) -> None:
    """A library without the needed functions is refused by name when it is loaded, not at the first call."""
    with pytest.raises(LibraryMissing, match="no llapi_changelog_start"):
        llapi.load(str(wrong_library))


def test_older_library_lacks_only_its_optional_functions(old_path: Path) -> None:
    """A library without start_user and in_buf loads; calling those says from which version on they exist."""
    library = llapi.load(str(old_path))

    assert "llapi_changelog_start" in library
    assert "llapi_changelog_start_user" not in library
    with pytest.raises(LibraryMissing, match=r"llapi_changelog_in_buf, which came with Lustre 2\.13"):
        library.call("llapi_changelog_in_buf", None)


CLEAR = """
import ctypes, sys
from lustre_events import llapi
from lustre_events.errors import LustreEventsError
quiet, path = sys.argv[1] == "quiet", sys.argv[2]
if quiet:
    try:
        llapi.clear(llapi.load(path), "lustre-MDT0000", "cl9", 1)
    except LustreEventsError:
        print("refused")
else:
    ctypes.CDLL(path).llapi_changelog_clear(b"lustre-MDT0000", b"cl9", ctypes.c_longlong(1))
"""


@pytest.mark.parametrize("how", ["quiet", "as it is"])
def test_the_library_prints_nothing(standin_path: Path, how: str) -> None:
    """What the library would say on stderr is off once it is loaded: our own sentence tells the failure."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", CLEAR, how, standin_path], check=False, timeout=30, capture_output=True,
        text=True,
    )  # fmt: skip

    assert (done.stdout, done.stderr == "") == (("refused\n", True) if how == "quiet" else ("", False))


def test_a_library_without_levels_can_be_loaded(old_path: Path) -> None:
    """Where the library has no function to quieten it, it is used all the same."""
    assert "llapi_msg_set_level" not in llapi.load(str(old_path))
