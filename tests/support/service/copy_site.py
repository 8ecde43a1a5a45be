"""A tree with files of an owner, places to copy them to, and a worker for transfers in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from lustre_events.actions import transfer_commands
from lustre_events.actions.delivery import Delivery, Parcel
from lustre_events.actions.run_transitions import Attempt
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.transfers import endpoint_name
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from workers.file_copies import Transfers
from workers.files import Files
from workers.privileges import account_of
from workers.rights import Rights

FAR_NS = 1 << 62
OWNER = account_of(65534) if os.geteuid() == 0 else account_of(os.geteuid())
"""Whose files they are."""


class CopySite:
    """A worker for transfers to one endpoint, which is approved as it is."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self.tree = folder / "tree"
        self.tree.mkdir()
        files = Files(os.fsencode(self.tree), fid_of_fd)
        self.endpoint = endpoint
        self.work = Transfers(lambda: {self.endpoint.name: self.endpoint}, files, Rights(None))
        self.approve()

    def approve(self) -> None:
        """Approve the endpoint as it is now."""
        name = transfer_commands.identity_of(self.endpoint.name)
        approved = {name: transfer_commands.digest_of(self.endpoint)}
        self.work = replace(self.work, rights=replace(self.work.rights, approved=lambda: approved))

    def become(self, endpoint: Endpoint) -> None:
        """Copy to another endpoint from now on."""
        self.endpoint = endpoint
        self.approve()

    def write(self, path: bytes, content: bytes = b"words", mode: int = 0o640) -> bytes:
        """Make a file of the owner below the tree, and return its path."""
        whole = self.tree / os.fsdecode(path)
        self.make(whole.parent)
        whole.write_bytes(content)
        os.chown(whole, OWNER.uid, OWNER.gid)
        whole.chmod(mode)
        os.utime(whole, ns=(10**18, 10**18 + 123_000))
        return path

    def make(self, folder: Path) -> None:
        """Make directories of the owner below the tree."""
        for each in (*reversed(folder.parents), folder):
            if each.is_relative_to(self.tree) and each != self.tree and not each.exists():
                each.mkdir()
                os.chown(each, OWNER.uid, OWNER.gid)

    def parcel(self, path: bytes, strip: str = "", **more: Any) -> Parcel:
        """Return a run of a file; `more` is said in its order, too."""
        fid = str(fid_of_path(os.fsencode(self.tree) + b"/" + path)).strip("[]")
        order = {"fid": fid, "path": quote_from_bytes(b"/" + path), "strip": strip, **more}
        return Parcel(f"run-{path!r}", "key", json.dumps(order).encode())

    def attempts(self, events: Sequence[Parcel]) -> list[Attempt]:
        """Make one attempt of runs that are copied together; return how each went."""
        delivery = Delivery("a", endpoint_name(self.endpoint.name), FAR_NS, tuple(events))
        found = {event.run: attempt for event, attempt in self.work.attempts(delivery)}
        return [found[event.run] for event in events]

    def copied(self, path: bytes, strip: str = "", **more: Any) -> Attempt:
        """Make one attempt for one file; `more` is said in its order, too."""
        return self.attempts([self.parcel(path, strip, **more)])[0]
