"""Users' folders and files on a file system that never answers (one of FUSE): others do not wait for them."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.actions.kinds import KINDS
from lustre_events.catalog import own_extractors, template
from lustre_events.catalog.catalog import Catalog, Places
from lustre_events.catalog.looks import Looks
from lustre_events.errors import ManifestError
from tests.support.need import missing
from tests.support.service.images import write_extractor
from workers.container import ContainerRuntime
from workers.images import Images

USER, OTHER = "daemon", "nobody"
RULE = '[[rule]]\nextractor = "words"\n'
ACTION = '[[rule]]\nname = "a"\naction = "mail"\nendpoint = "myself"\n'
ENDPOINTS = """
[endpoint.myself]
kind = "mail"
url = "smtp://a.example.org"
sender = "a@example.org"
to = ["{user}@example.org"]
[grant.all]
users = ["*"]
endpoints = ["myself"]
directories = ["/home/**"]
"""


@contextlib.contextmanager
def silent(place: Path) -> Iterator[None]:
    """Put a file system there that takes questions and answers none."""
    if os.geteuid():
        missing("only root mounts a file system here")
    mode = "40000" if place.is_dir() else "100000"
    try:
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        missing("there is no /dev/fuse")
    try:
        subprocess.run(
            ["mount", "-i", "-t", "fuse", "-o", f"fd={fd},rootmode={mode},user_id=0,group_id=0,allow_other",
             "none", str(place)],
            pass_fds=[fd], check=True, timeout=20,
        )  # fmt: skip
        yield
    finally:
        os.close(fd)  # whoever waits there gets an error
        subprocess.run(["umount", "-l", str(place)], check=False, timeout=20)


def test_who_reads_what_users_have_waits_for_nobody_for_long(tmp_path: Path) -> None:
    """Two folders and a file hang: others' changes count, what was read stays, a grant that goes counts."""
    rules, own, endpoints = tmp_path / "rules", tmp_path / "own", tmp_path / "endpoints.toml"
    for each in (rules, own / USER, own / OTHER, tmp_path / "site"):
        each.mkdir(parents=True)
    template.write(tmp_path / "site" / "words", "single")
    for user in (USER, OTHER):
        template.write(own / user / "mine", "single")
        (rules / f"{user}.toml").write_text(RULE + ACTION)
        subprocess.run(["chown", "-R", user, str(own / user), str(rules / f"{user}.toml")], check=True)
    endpoints.write_text(ENDPOINTS)
    now = [0.0]
    catalog = Catalog(
        Places(
            None, rules, (tmp_path / "site",), own, endpoints=endpoints,
            kinds={name: kind.read_with for name, kind in KINDS.items()},
        ),
        Looks(0.5, lambda: now[0] + time.monotonic()),
    )  # fmt: skip
    uid, other = pwd.getpwnam(USER).pw_uid, pwd.getpwnam(OTHER).pw_uid
    before = catalog.load()
    assert (before.problems, set(before.rules.users)) == ((), {uid, other})

    with silent(own / USER / "mine"), silent(rules / f"{USER}.toml"):
        (rules / f"{OTHER}.toml").write_text(RULE)
        found = catalog.look()
        assert found is not None
        assert set(found.extractors) == {"words", f"{USER}/mine", f"{OTHER}/mine"}
        assert set(found.rules.users) == {uid, other}
        assert set(found.rules.actions.users) == {uid}
        assert len(found.problems) == 2
        assert all(f"{USER}" in each and "did not answer within 0.5 s" in each for each in found.problems)
        catalog.look()  # at those that the first one put off
        assert catalog.look() is None
        endpoints.write_text(ENDPOINTS.partition("[grant")[0])
        found = catalog.look()
        assert found is not None
        assert found.rules.actions.users == {}
        endpoints.write_text(ENDPOINTS)
    now[0] += 1_000
    for thread in threading.enumerate():
        if thread.name == "look":
            thread.join(20)
    catalog.look()
    assert catalog.found.problems == ()


def test_a_job_ends_where_its_users_folder_does_not_answer(tmp_path: Path) -> None:
    """A worker fails a user's own extractor, with a sentence, instead of waiting for its folder."""
    (tmp_path / USER / "mine").mkdir(parents=True)
    with silent(tmp_path / USER / "mine"), pytest.raises(ManifestError, match=r"did not answer within 0\.2 s"):
        own_extractors.load_user(tmp_path, f"{USER}/mine", looks=Looks(0.2))


def test_a_worker_prepares_others_where_a_users_images_do_not_answer(tmp_path: Path) -> None:
    """A worker says whose image it could not look at, and goes on with those of the site."""
    made = write_extractor(tmp_path / "extractors", "ours", "")
    for place in (tmp_path / "images" / "base.sif", tmp_path / "extractors" / "images" / "base.sif"):
        place.parent.mkdir()
        place.write_bytes(b"an image")
    program = tmp_path / "apptainer"
    program.write_text("#!/bin/sh\necho apptainer version 1.4.0\n")
    program.chmod(0o755)
    runtime = ContainerRuntime(Images(tmp_path / "images"), None, str(program), Looks(0.2))
    with silent(tmp_path / "extractors" / "images"):
        for _ in range(2):
            (sentence,) = runtime.prepare([replace(made, owner=USER, uid=1), made])
            assert "did not answer" in sentence
    assert runtime.prepare([made]) == []
