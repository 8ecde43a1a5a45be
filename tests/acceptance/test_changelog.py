"""`lustre-events changelog` with a script in lctl's place: its users and masks, and what it says without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.servers.lctl import MDT, fake_lctl
from tests.support.service.command import lustre_events


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a node with one MDT, whose MDS is reached over a command."""
    path = tmp_path / "settings.toml"
    path.write_text(
        f"[filesystem]\nmdts = ['{MDT}']\nlctl = {json.dumps(fake_lctl(tmp_path))}\nstate = '{tmp_path}/state'\n"
        "[reader]\nuser = 'lustre-events'\n"
    )
    return path


def run(*arguments: str | Path, code: int = 0) -> str:
    """Run `lustre-events changelog` and return what it printed, on stderr where it fails."""
    done = lustre_events("changelog", *arguments)
    text = (done.stdout if code == 0 else done.stderr).decode()
    assert done.returncode == code, done.stderr.decode()
    assert "Traceback" not in text
    return text


def test_a_user_from_registration_to_its_end(config: Path) -> None:
    """Register (with our name), list as text and as JSON, deregister."""
    assert run("users", "--config", config) == f"{MDT}: current index 812\n  no users: nothing is recorded\n"
    assert run("register", "--config", config) == f"{MDT} cl1-lustre-events\n"
    assert run("register", "--name", "audit", "--mask", "CREAT,UNLNK", "--config", config) == f"{MDT} cl2-audit\n"

    assert run("users", "--config", config).splitlines() == [
        f"{MDT}: current index 812",
        "  cl1-lustre-events: cleared 812, 0 behind, idle 0 s, mask of the server, ours",
        "  cl2-audit: cleared 812, 0 behind, idle 0 s, mask CREAT,UNLNK",
    ]
    assert [user["id"] for user in json.loads(run("users", "--json", "--config", config))[0]["users"]] == [
        "cl1-lustre-events",
        "cl2-audit",
    ]
    assert run("deregister", "cl2-audit", "--config", config) == f"{MDT}: cl2-audit deregistered\n"
    assert "registered are: cl1-lustre-events" in run("deregister", "cl2-audit", "--config", config, code=4)


def test_what_was_registered_is_kept_for_this_nodes_readers(config: Path, tmp_path: Path) -> None:
    """`register` says what to write, in one line, and keeps the id; `deregister` takes a name, and forgets it."""
    done = lustre_events("changelog", "register", "--config", config)
    kept = tmp_path / "state" / "changelog-users" / MDT

    assert done.stderr.decode().strip().endswith(f'[reader] users = ["{MDT}:cl1-lustre-events"]')
    assert 'user = "lustre-events"' in done.stderr.decode()
    assert kept.read_text() == "cl1-lustre-events\n"
    assert run("deregister", "lustre-events", "--config", config) == f"{MDT}: cl1-lustre-events deregistered\n"
    assert not kept.exists()


def test_one_id_is_not_deregistered_on_several_mdts(config: Path) -> None:
    """It can be another consumer's there: the sentence asks for one MDT or a name."""
    several = ("--mdt", MDT, "--mdt", "lustre-MDT0001", "--config", config)

    assert "one id for 2 MDTs" in run("deregister", "cl1", *several, code=2)


def test_the_mask_is_shown_and_set(config: Path) -> None:
    """Without an argument the mask is printed, with one it is set first."""
    assert run("mask", "--config", config) == f"{MDT}: MARK CREAT MKDIR\n"
    assert run("mask", "CREAT,CLOSE", "--config", config) == f"{MDT}: CREAT+CLOSE\n"


def test_away_from_the_mds_the_command_is_printed(config: Path) -> None:
    """Where lctl does not reach the MDT, one sentence ends with the command to run there, exit code 4."""
    sentence = run("register", "--mdt", "other-MDT0002", "--config", config, code=4)

    assert sentence.endswith("run: lctl --device other-MDT0002 changelog_register -u lustre-events\n")
    assert sentence.count("\n") == 1
