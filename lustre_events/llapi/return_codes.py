"""What a negative return value of liblustreapi means: one table per function, errno to error and sentence.

A sentence says what happened, to what, and what to do next. An errno that is in no table gets its function's
default.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from lustre_events.errors import (
    ChangelogBroken,
    ChangelogError,
    ChangelogRefused,
    ChangelogUnavailable,
    ChangelogUserUnknown,
)

Kind = type[ChangelogError]
DEFAULT = 0

_NO_RIGHTS = (
    ChangelogUnavailable,
    "{mdt}: this process may not open the changelog ({error}); the device is for root: run as root",
)

_TOO_LONG = (
    ChangelogRefused,
    "{mdt:.40}...: too long for the name of an MDT; write it as lustre-MDT0000",
)

START: Mapping[int, tuple[Kind, str]] = {
    errno.ENOENT: (
        ChangelogUnavailable,
        (
            "{mdt}: no changelog of an MDT of this name; mount the file system on this node as a client, "
            "then see what there is with: ls /dev/changelog-*"
        ),
    ),
    errno.EACCES: _NO_RIGHTS,
    errno.EPERM: _NO_RIGHTS,
    errno.EOVERFLOW: _TOO_LONG,
    errno.ENAMETOOLONG: _TOO_LONG,
    errno.EINVAL: (ChangelogRefused, "{mdt}: cannot read from index {index}; begin at 0 or above"),
    DEFAULT: (
        ChangelogUnavailable,
        "{mdt}: the changelog cannot be opened ({error}); check that the MDT is up: lfs check mds",
    ),
}

START_USER: Mapping[int, tuple[Kind, str]] = {
    errno.ENOENT: (
        ChangelogUserUnknown,
        "{mdt}: changelog user {user} is not registered; on the MDS run: lctl --device {mdt} changelog_register",
    ),
    DEFAULT: (
        ChangelogUnavailable,
        "{mdt}: the changelog cannot be opened for user {user} ({error}); open it without a user",
    ),
}

READ: Mapping[int, tuple[Kind, str]] = {
    errno.EIO: (
        ChangelogBroken,
        "{mdt}: the changelog broke off ({error}), as when the MDT restarts; open it again at the last index + 1",
    ),
    errno.ENOMEM: (
        ChangelogBroken,
        "{mdt}: no memory for the next record ({error}); free some and open it again at the last index + 1",
    ),
    DEFAULT: (
        ChangelogBroken,
        "{mdt}: the changelog cannot be read any further ({error}); open it again at the last index + 1",
    ),
}

CLEAR: Mapping[int, tuple[Kind, str]] = {
    errno.ENOENT: (
        ChangelogUserUnknown,
        (
            "{mdt}: changelog user {user} is not registered, or has cleared more than {index} already; look with "
            "lctl get_param mdd.{mdt}.changelog_users on the MDS; if it is gone run there: "
            "lctl --device {mdt} changelog_register"
        ),
    ),
    errno.EINVAL: (
        ChangelogRefused,
        (
            "{mdt}: cannot clear up to {index} for {user}: the index lies behind the last record, or {user} is no "
            "changelog user's id such as cl1; compare with lctl get_param mdd.{mdt}.changelog_users on the MDS"
        ),
    ),
    errno.EACCES: _NO_RIGHTS,
    errno.EPERM: _NO_RIGHTS,
    DEFAULT: (
        ChangelogUnavailable,
        "{mdt}: cannot clear up to {index} for {user} ({error}); try again when the MDT is up: lfs check mds",
    ),
}

_NOT_LUSTRE = (
    ChangelogUnavailable,
    "{mount}: not a mounted Lustre file system ({error}); mount it, or correct [filesystem] mount",
)
_NO_PATHS = (
    ChangelogUnavailable,
    "{mount}: this process may not ask for the paths of a FID ({error}); run as root or mount with user_fid2path",
)

FID2PATH: Mapping[int, tuple[Kind, str]] = {
    errno.EPERM: _NO_PATHS,
    errno.EACCES: _NO_PATHS,
    errno.ENODEV: _NOT_LUSTRE,
    errno.ENOTTY: _NOT_LUSTRE,
    errno.EINVAL: (
        ChangelogRefused,
        "{mount}: {fid} has no path here ({error}); check that it is a FID of this file system",
    ),
    DEFAULT: (
        ChangelogUnavailable,
        "{mount}: cannot find the paths of {fid} ({error}); check that the MDTs are up: lfs check mds",
    ),
}


def failure(table: Mapping[int, tuple[Kind, str]], number: int, **what: object) -> ChangelogError:
    """Return the error for the positive errno `number`; `what` fills the sentence."""
    kind, sentence = table.get(number, table[DEFAULT])
    name = errno.errorcode.get(number, str(number))
    return kind(sentence.format(error=f"{name}: {os.strerror(number)}", **what), number)
