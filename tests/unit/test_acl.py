"""Access lists: only what the kernel would take for one can grant anything."""

from __future__ import annotations

import base64
import errno
import os
import re
import struct
from pathlib import Path

from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from lustre_events.domain import acl
from lustre_events.index.visibility import Viewer, permits
from tests.support.need import missing
from tests.support.profiles import examples
from tests.support.records.strategies import TWO_OF_ONE_KIND, access_lists
from workers.files import acl_text

NAME = "system.posix_acl_access"
LETTERS = {1: "U", 2: "u", 4: "G", 8: "g", 16: "M", 32: "O"}
any_value = access_lists() | st.binary(max_size=60)


def kernel_takes(value: bytes) -> bool:
    """Say again, in other words, what posix_acl_valid and posix_acl_from_xattr of Linux take."""
    if value[:4] != b"\2\0\0\0" or len(value) % 8 != 4:
        return False
    entries = [struct.unpack("<HHI", value[at : at + 8]) for at in range(4, len(value), 8)]
    kinds = "".join(LETTERS.get(tag, "?") for tag, _, _ in entries)
    return (
        re.fullmatch("UGO|Uu*Gg*MO", kinds) is not None
        and all(bits in range(8) for _, bits, _ in entries)
        and all(id_ != 2**32 - 1 for tag, _, id_ in entries if tag in {2, 8})
    )


@given(any_value)
@example(TWO_OF_ONE_KIND)
@example(b"")
def test_what_is_well_formed_is_what_the_kernel_takes(value: bytes) -> None:
    """For all bytes: they count as an access list exactly if they follow the kernel's rule."""
    assert acl.is_well_formed(value) is kernel_takes(value)


@given(any_value, st.integers(0, 0o7777), st.integers(0, 7))
@example(TWO_OF_ONE_KIND, 0o644, 4)
def test_what_is_not_well_formed_denies(value: bytes, mode: int, wanted: int) -> None:
    """A list that the kernel would not take gives nobody but the owner anything, whatever the mode says."""
    stranger, owner = Viewer(1, frozenset({3})), Viewer(2)
    if not kernel_takes(value):
        assert not permits(stranger, 2, 3, mode, value, wanted)
        assert not acl.allows(value, 1, {3}, 3, wanted)
    assert permits(owner, 2, 3, mode, value, wanted) is permits(owner, 2, 3, mode, None, wanted)


@examples(100, HealthCheck.function_scoped_fixture)
@given(value=access_lists())
def test_this_kernel_agrees(tmp_path: Path, value: bytes) -> None:
    """What this machine's kernel stores as an access list is well-formed, and what it refuses is not."""
    path = tmp_path / "file"
    path.touch()
    try:
        os.setxattr(path, NAME, value)
    except OSError as exc:
        if exc.errno == errno.EOPNOTSUPP and value.startswith(b"\2\0\0\0"):
            missing("a file system with access lists")
        taken = False
    else:
        taken = len(value) > 4  # a list without entries removes the file's
    assert acl.is_well_formed(value) is taken


@given(any_value)
@example(TWO_OF_ONE_KIND)
def test_a_list_is_judged_where_it_is_read(value: bytes) -> None:
    """A worker tells an access list as it is, and one that the kernel would not take as one that cannot be read."""
    assert base64.b64decode(acl_text(value)) == (value if kernel_takes(value) else b"")
