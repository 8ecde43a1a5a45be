"""Who an extractor runs as: by what this worker may, who owns the opened file, and what the site has approved.

    worker        extractor       [worker]               runs as
    root          the site's      run_as_owner = false   the account `run_as`, for every file
    root          the site's      run_as_owner = true    the owner of the opened file, if approved by digest
    root          a user's own    (any)                  that user, on whatever files that user may read
    a user's      the site's      run_as_owner = false   the worker's user
    a user's      the site's      run_as_owner = true    the worker's user, on that user's files only
    a user's      a user's own    (any)                  the worker's user, if it is that user's

The uid is that of the file that was opened (fstat), never one that came through Redis, and neither it nor that of a
user's own extractor may be below `min_uid`, or have root's group for its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lustre_events.catalog.manifest import Manifest
from lustre_events.errors import ExtractorRefused
from workers import approvals
from workers.privileges import Account, account_named, account_of

_OF_ROOT = "who has root's group, so nothing runs as that user; give the user another group with: usermod -g"


class OwnerRefused(ExtractorRefused):
    """Nothing runs as the owner of this file; other owners' files are not concerned."""


@dataclass(frozen=True, slots=True)
class Rights:
    """The settings that decide, and how accounts are found (KeyError: no such user)."""

    account: Account | None
    """That of `run_as`; None: the worker keeps its own user, or `run_as_owner` holds."""
    as_owner: bool = False
    min_uid: int = 1000
    approved: Callable[[], Mapping[str, str]] = dict
    own_uid: int = os.geteuid()
    by_uid: Callable[[int], Account] = account_of
    by_name: Callable[[str], Account] = account_named

    def account_for(self, manifest: Manifest, image_digest: str, uid: int) -> Account | None:
        """Return who runs `manifest` on a file of `uid`; None: this worker's own user.

        Raises:
            OwnerRefused: nothing runs as the owner of this file.
            ExtractorRefused: the extractor may not run here at all.
        """
        if manifest.owner:
            return self._user(manifest)
        if not self.as_owner:
            return self.account
        if self.own_uid != 0:
            if uid == self.own_uid:
                return None
            raise ExtractorRefused(
                f"the file belongs to uid {uid}, and with run_as_owner = true a worker that is not root reads only "
                f"files of its own user (uid {self.own_uid}); run a worker as root, or as that user"
            )
        if self.approved().get(approvals.key_of(manifest)) != approvals.digest(manifest, image_digest):
            raise ExtractorRefused(
                f"{manifest.identity} as it is now is not approved to run as the owner of each file; look at it, "
                f"then run: lustre-events extractor approve {manifest.identity}"
            )
        return self._by_uid(uid)

    def owner(self, uid: int) -> Account | None:
        """Return the account of a file's owner; None: this worker's own user. Raises OwnerRefused."""
        if self.own_uid == 0:
            return self._by_uid(uid)
        if uid != self.own_uid:
            raise OwnerRefused(f"it belongs to uid {uid}, and this worker is uid {self.own_uid}")
        return None

    def _by_uid(self, uid: int) -> Account:
        if uid < self.min_uid:
            raise OwnerRefused(f"it belongs to uid {uid}, which is below [worker] min_uid = {self.min_uid}")
        try:
            account = self.by_uid(uid)
        except KeyError as exc:
            raise OwnerRefused(f"it belongs to uid {uid}, which is not a user on this node") from exc
        if account.gid == 0:
            raise OwnerRefused(f"it belongs to {account.name}, {_OF_ROOT}")
        return account

    def _user(self, manifest: Manifest) -> Account | None:
        try:
            account = self.by_name(manifest.owner)
        except KeyError as exc:
            raise ExtractorRefused(f"{manifest.identity}: {manifest.owner} is not a user on this node") from exc
        if account.uid == self.own_uid and self.own_uid != 0:
            return None
        if self.own_uid != 0:
            raise ExtractorRefused(
                f"{manifest.identity} runs as {manifest.owner} only, and this worker is not root, so it stays uid "
                f"{self.own_uid}; run a worker as root, or as {manifest.owner}"
            )
        if account.uid < self.min_uid:
            raise ExtractorRefused(
                f"{manifest.identity}: uid {account.uid} of {manifest.owner} is below min_uid = {self.min_uid}"
            )
        if account.gid == 0:
            raise ExtractorRefused(f"{manifest.identity} belongs to {account.name}, {_OF_ROOT}")
        return account

    def said_at_start(self, manifests: Iterable[Manifest]) -> list[str]:
        """Return a sentence for each thing that this worker will refuse for want of rights."""
        said = []
        if self.as_owner and self.own_uid != 0:
            said.append(
                "run_as_owner is true, but this worker is not root and cannot become another user: it refuses "
                f"files that are not of uid {self.own_uid}"
            )
        for manifest in manifests:
            try:
                if manifest.owner:
                    self._user(manifest)
            except ExtractorRefused as exc:
                said.append(str(exc))
        return said
