"""Whose rights a container has: really another user's, with that user's groups, on files of one owner each."""

from __future__ import annotations

import json
import os
import pwd
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lustre_events.catalog import own_extractors
from lustre_events.catalog.manifest import Manifest
from lustre_events.errors import ManifestError
from lustre_events.jobs.messages import Result
from tests.support.need import missing
from tests.support.service.images import write_extractor
from workers import approvals, trial
from workers.container import ContainerRuntime
from workers.privileges import Account, account_named
from workers.rights import Rights

pytestmark = [
    pytest.mark.apptainer,
    pytest.mark.skipif(os.geteuid() != 0, reason="only a worker that is root becomes somebody else"),
]

SECONDS = 60.0
TELL = """
import json, os, sys
asked = [json.loads(line) for line in sys.stdin]
for one in asked:
    document = {"uid": os.getuid(), "text": open(one["path"]).read(), "beside": len(asked)}
    print(json.dumps({"id": one["id"], "document": document}))
print(json.dumps({"end": len(asked)}))
"""


@pytest.fixture
def ada() -> Account:
    """An ordinary user of this machine."""
    names = [entry.pw_name for entry in pwd.getpwall() if 1000 <= entry.pw_uid < 60_000]
    if not names:
        missing("this machine has no ordinary user")
    return account_named(names[0])


@pytest.fixture
def folder(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, in which runs stage."""
    (open_folder / "staging").mkdir()
    (open_folder / "staging").chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder / "staging"))
    return open_folder


@pytest.fixture
def runtime(base_image: Path) -> ContainerRuntime:
    """The container runtime; who it runs as comes with each file."""
    return ContainerRuntime(base_image, None)


def owned(path: Path, uid: int, gid: int, mode: int = 0o600) -> bytes:
    """Write a file with its name as its content, for an owner; return its path."""
    path.write_text(path.name)
    os.chown(path, uid, gid)
    path.chmod(mode)
    return os.fsencode(path)


def own(folder: Path, user: Account, name: str = "spy") -> Manifest:
    """Make a user's own extractor and return it as a worker finds it."""
    made = write_extractor(folder / "users" / user.name, name, TELL).folder
    for path in (made, *made.rglob("*")):
        os.chown(path, user.uid, user.gid)
    return own_extractors.load_user(folder / "users", f"{user.name}/{name}")


def told(result: Result) -> tuple[str, Any, Any, Any]:
    """Return what a test compares."""
    return result.status, result.document.get("uid"), result.document.get("text"), result.document.get("beside")


def test_each_owner_has_a_run_of_its_own(runtime: ContainerRuntime, folder: Path, ada: Account) -> None:
    """With run_as_owner private files are read as their owners, never two in one container, never as root."""
    nobody, spy = account_named("nobody"), write_extractor(folder, "spy", TELL)
    paths = [owned(folder / "a", ada.uid, ada.gid), owned(folder / "n", nobody.uid, nobody.gid)]
    paths += [owned(folder / "r", 0, 0, 0o644), owned(folder / "b", ada.uid, ada.gid)]
    digest = approvals.digest(spy, runtime.provenance(spy)["image_digest"])
    rights = Rights(None, as_owner=True, approved=lambda: {approvals.key_of(spy): digest})

    first, other, roots, second = trial.extract(spy, paths, runtime, SECONDS, rights)

    assert told(first) == ("ok", ada.uid, "a", 2)
    assert told(second) == ("ok", ada.uid, "b", 2)
    assert told(other) == ("ok", nobody.uid, "n", 1)
    assert (first.provenance["run_as"], other.provenance["run_as"]) == (ada.name, "nobody")
    assert (roots.status, roots.error) == ("failed", "it belongs to uid 0, which is below [worker] min_uid = 1000")
    assert roots.blame == "file"


def test_unapproved_and_changed_programs_are_refused(runtime: ContainerRuntime, folder: Path, ada: Account) -> None:
    """What was approved stops running as owner once its program changes, and is itself to blame."""
    spy, path = write_extractor(folder, "spy", TELL), owned(folder / "a", ada.uid, ada.gid)
    approvals.write(folder / "approved", spy, runtime.provenance(spy)["image_digest"])
    rights = Rights(None, as_owner=True, approved=lambda: approvals.read(folder / "approved"))

    (approved,) = trial.extract(spy, [path], runtime, SECONDS, rights)
    (spy.folder / "program.py").write_text(TELL + "# changed\n")
    (changed,) = trial.extract(spy, [path], runtime, SECONDS, rights)

    assert approved.status == "ok"
    assert (changed.status, changed.blame) == ("failed", "extractor")
    assert "lustre-events extractor approve spy" in changed.error


def test_own_extractor_reads_what_its_user_may(runtime: ContainerRuntime, folder: Path, ada: Account) -> None:
    """A user's own extractor reads own and group-readable files as that user, and nobody else's private one."""
    nobody, mine = account_named("nobody"), own(folder, ada)
    member = replace(ada, groups=(*ada.groups, 54_321))
    paths = [owned(folder / "own", ada.uid, ada.gid), owned(folder / "shared", nobody.uid, 54_321, 0o640)]
    paths += [owned(folder / "private", nobody.uid, nobody.gid)]
    rights = Rights(account_named("nobody"), by_name={ada.name: member}.__getitem__)

    its, shared, private = trial.extract(mine, paths, runtime, SECONDS, rights)

    assert told(its) == ("ok", ada.uid, "own", 1)
    assert told(shared)[:3] == ("ok", ada.uid, "shared")
    assert its.extractor == f"{ada.name}/spy"
    assert private.error == f"{ada.name}, the account that runs containers here, may not read it"


def test_own_extractor_cannot_make_root_read(runtime: ContainerRuntime, folder: Path, ada: Account) -> None:
    """A link, another's file or a foreign folder in a user's extractor is refused before anything of it is read."""
    made = own(folder, ada).folder
    (made / "loot.py").symlink_to("/etc/shadow")
    with pytest.raises(ManifestError, match=r"loot\.py: cannot be read"):
        own_extractors.load_user(folder / "users", f"{ada.name}/spy")
    (made / "loot.py").unlink()
    owned(made / "loot.py", 0, 0)
    with pytest.raises(ManifestError, match="not a regular file of its user"):
        own_extractors.load_user(folder / "users", f"{ada.name}/spy")
    (made / "loot.py").unlink()
    os.chown(made, 0, 0)

    found, wrong = own_extractors.together(*own_extractors.load_users(folder / "users"))

    assert found == {}
    assert wrong == [f"{made}: not owned by {ada.name}, so it is ignored; run: chown -R {ada.name} {made}"]


def test_container_is_never_roots(runtime: ContainerRuntime, folder: Path) -> None:
    """A worker that is root and knows no account runs nothing."""
    (result,) = trial.extract(write_extractor(folder, "spy", TELL), [owned(folder / "a", 0, 0)], runtime, SECONDS)

    assert result.error == "spy: a container is never run as root; name an account in run_as"


def test_ordinary_worker_reads_what_its_user_may(base_image: Path, folder: Path, ada: Account) -> None:
    """A worker of an ordinary user runs everything as that user and refuses another user's extractor."""
    nobody, spy, mine = account_named("nobody"), write_extractor(folder, "spy", TELL), own(folder, ada)
    paths = [owned(folder / "a", ada.uid, ada.gid), owned(folder / "n", nobody.uid, nobody.gid)]

    def work() -> list[Any]:
        rights, runtime = Rights(None, own_uid=os.geteuid()), ContainerRuntime(base_image, None)
        return [
            [told(result) for result in trial.extract(spy, paths, runtime, SECONDS, rights)],
            trial.extract(replace(mine, owner="nobody", uid=None), paths[:1], runtime, SECONDS, rights)[0].error,
        ]

    (its, others), refused = as_user(ada, work)

    assert its == ["ok", ada.uid, "a", 1]
    assert others[0] == "failed"
    assert "nobody/spy runs as nobody only, and this worker is not root" in refused


def as_user(user: Account, work: Callable[[], Any]) -> Any:
    """Return what `work` returns, as JSON, in a fork that has become `user`."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups(user.groups)
            os.setgid(user.gid)
            os.setuid(user.uid)
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said)
