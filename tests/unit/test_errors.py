"""The tree of errors: its picture, its exit codes, its offsets."""

from __future__ import annotations

import inspect
import re

from hypothesis import given
from hypothesis import strategies as st

from lustre_events import errors
from lustre_events.errors import LustreEventsError, QueryError, RecordDecodeError, UnknownExtension, one_line
from tests.support.rows import each_row

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, LustreEventsError)
}


def picture() -> dict[str, tuple[str, int | None]]:
    """Return class → (its parent, its exit code if one is drawn) as the module's docstring draws them."""
    drawn: dict[str, tuple[str, int | None]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"(?P<lead>[│├└─ ]*)(?P<name>[A-Z]\w+)\b(?: +(?:exit code )?(?P<code>\d))?", line)
        if match is None or match["name"] not in CLASSES:
            continue
        depth = len(match["lead"]) // 4
        del above[depth:]
        drawn[match["name"]] = (above[-1] if above else "Exception", int(match["code"]) if match["code"] else None)
        above.append(match["name"])
    return drawn


def test_the_picture_shows_every_class_under_its_parent() -> None:
    """The tree in the module's docstring is the tree of the classes."""
    assert {name: parent for name, (parent, _) in picture().items()} == {
        name: cls.__base__.__name__ for name, cls in CLASSES.items()
    }


def test_the_picture_shows_the_exit_codes() -> None:
    """A code in the docstring is the class's, and a class without one has its parent's."""
    for name, (parent, code) in picture().items():
        assert CLASSES[name].exit_code == (CLASSES[parent].exit_code if code is None else code)


def test_each_kind_has_its_own_exit_code() -> None:
    """A script can tell the kinds apart: no two direct children of the root share a code, none is 0 or 1."""
    ours = [cls for cls in LustreEventsError.__subclasses__() if cls.__module__ == LustreEventsError.__module__]
    kinds = [cls.exit_code for cls in ours]

    assert len(set(kinds)) == len(kinds)
    assert not {0, 1} & set(kinds)


def test_every_class_says_what_it_means() -> None:
    """Each class has a docstring of its own."""
    assert all(cls.__dict__.get("__doc__") for cls in CLASSES.values())


def test_only_what_can_pass_by_itself_is_retryable() -> None:
    """Retrying is for failures that end without anybody doing anything."""
    assert {name for name, cls in CLASSES.items() if cls.retryable} == {
        "ChangelogUnavailable",
        "ChangelogBroken",
        "StreamUnavailable",
        "StreamFull",
        "StreamMoved",
        "StreamDamaged",
        "IndexUnavailable",
        "ContainerFailed",
    }


@given(st.text(), st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_an_offset_can_be_moved(message: str, offset: int, base: int) -> None:
    """An error inside a buffer becomes the same error inside the file that the buffer was read from."""
    for cls in (RecordDecodeError, UnknownExtension):
        error = cls(message, offset).behind(base)

        assert type(error) is cls
        assert (error.offset, str(error)) == (base + offset, one_line(f"{message} (at byte {base + offset})"))


@each_row("cls", [cls for cls in CLASSES.values() if cls.__init__ is LustreEventsError.__init__])
def test_no_name_in_a_sentence_forges_another(cls: type[LustreEventsError]) -> None:
    """Whatever a file or user is called, an error is printable, and one line unless it shows a query."""
    said = str(cls("/home/a\n\x1b[2J\x9b\udcff: cannot be read"))
    assert said.replace("\n", "").isprintable()
    assert said == r"/home/a\n\x1b[2J\x9b\udcff: cannot be read" or cls is QueryError
