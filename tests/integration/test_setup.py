"""`lustre-events setup`: done below a root folder by the real programs, looked at, told, repeated, undone."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from lustre_events.cli.doctor import report
from lustre_events.config.places import REDIS_URL, login
from lustre_events.config.settings import load
from lustre_events.errors import ConfigError
from lustre_events.node import setup, steps
from lustre_events.node.doctor.findings import FAILURE
from lustre_events.node.roles import EXAMINED, INSTALLED, ROLES
from lustre_events.node.setup import KNOWN, Node
from tests.support.need import need
from tests.support.pages import CONSOLE, commands, shows
from tests.support.servers.slurm import free_ports
from tests.support.service.command import REPOSITORY, lustre_events
from tests.support.waiting import wait_for

ETC = "etc/lustre-events"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to accounts")
PAGE = list(commands("".join(CONSOLE.findall((REPOSITORY / "deploy" / "README.md").read_text("utf-8")))))
"""The commands of deploy/README.md whose output it shows, each with that."""
INSTALLED_BY_THE_PAGE = ("redis", "reader", "dispatcher", "worker", "web")
SECRET = ("*.env", "tls/*.key", "redis-users.acl", "web-secret", "*-users")


@pytest.fixture
def root(open_folder: Path) -> Path:
    """A root folder as a distribution leaves it, with a Redis."""
    for program in ("systemd-sysusers", "systemctl", "openssl", "userdel"):
        need(program)
    top = open_folder / "root"
    for name in ("etc/redis", "var/lib/redis", "usr/lib/systemd/system", "files"):
        (top / name).mkdir(parents=True)
    (top / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nredis:x:107:114::/var/lib/redis:/bin/false\n")
    (top / "etc/group").write_text("root:x:0:\nredis:x:114:\n")
    (top / "etc/redis/redis.conf").write_text("bind 127.0.0.1\nport 6379\n")
    (top / "usr/lib/systemd/system/redis-server.service").touch()
    return top


def node(root: Path, *roles: str, **more: Any) -> Node:
    """Return a node for a watched directory with every role, unless some are named."""
    changed = {"filesystem": {"source": "directory", "mount": str(root / "files")},
               "index": {"url": f"sqlite:///{root}/var/lib/lustre-events/index.db"},
               "worker": {"runtime": "process"}}  # fmt: skip
    return Node(roles or KNOWN, root, changed=changed, **more)


def done(root: Path, *roles: str, dry: bool = False, **more: Any) -> list[str]:
    """Set a node up and return what was told."""
    return list(steps.forward(setup.plan(node(root, *roles, **more)), dry=dry))


def undone(root: Path, *roles: str, purge: bool = False) -> list[str]:
    """Undo it and return what was told."""
    return list(steps.backward(setup.removal(node(root, *roles)), purge=purge))


def tree(root: Path) -> dict[str, str]:
    """Return everything below a folder with its content; programs of others leave copies that end in -."""
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() and not path.is_symlink() else ""
        for path in root.rglob("*") if not path.name.endswith("-") and path.name != ".pwd.lock"
    }  # fmt: skip


def test_it_is_repeated_without_harm_told_before_and_undone_as_a_whole(root: Path) -> None:
    """A dry run changes nothing and tells what is done; a second run does nothing; a purge leaves nothing."""
    before = tree(root)
    told = done(root, dry=True, enable=True)
    assert tree(root) == before

    assert done(root, enable=True) == told
    assert done(root, enable=True) == []
    assert {path.name for path in (root / "etc/systemd/system/multi-user.target.wants").iterdir()} >= {
        "lustre-events-reader@local-MDT0000.service", "lustre-events-dispatcher.service",
        "lustre-events-worker@builtin.service", "lustre-events-worker@1.service", "lustre-events-worker@2.service",
        "lustre-events-web.service",
    }  # fmt: skip
    undone(root)
    undone(root, purge=True)
    left = {path for path in tree(root) if path not in before}
    assert {path for path in left if "lustre" in path} == set()
    assert (root / "etc/redis/redis.conf").read_text() == before["etc/redis/redis.conf"]
    assert "lustre" not in (root / "etc/passwd").read_text() + (root / "etc/group").read_text()


def test_nobody_reads_what_is_not_for_him(root: Path) -> None:
    """Logins, keys, users and the console's secret are closed to others; settings hold no secret and are open."""
    done(root)
    etc = root / ETC
    closed = [path for pattern in SECRET for path in etc.glob(pattern)]
    assert len(closed) >= len(ROLES) + 6
    assert [path for path in closed if path.stat().st_mode & stat.S_IRWXO] == []
    assert stat.S_IMODE((etc / "lustre-events.toml").stat().st_mode) == 0o644
    assert "redis" not in (etc / "lustre-events.toml").read_text().split("[filesystem]")[1]
    assert (etc / "redis-users.acl").stat().st_gid == (etc / "tls/redis.key").stat().st_gid == 114
    assert load(etc / "lustre-events.toml", {}).web.secret.endswith("/web-secret")


def test_what_a_site_has_changed_stays(root: Path) -> None:
    """Settings, passwords and a certificate of the site's own are kept by later runs, and by a removal."""
    done(root)
    changed = {
        "lustre-events.toml": '[filesystem]\nmount = "/ours"\n',
        "tls/redis.crt": "ours",
        "web-users": "ada:x",
    }
    for name, text in changed.items():
        (root / ETC / name).write_text(text)
    password = (root / ETC / "reader.env").read_text()
    done(root)
    (root / "var/lib/lustre-events/index.db").write_text("index")
    undone(root)
    assert {name: (root / ETC / name).read_text() for name in changed} == changed
    assert (root / ETC / "reader.env").read_text() == password
    index = (root / "var/lib/lustre-events/index.db").stat()
    assert (index.st_uid, (root / "var/lib/lustre-events").stat().st_mode & 0o077) == (0, 0)
    assert not list((root / "etc/systemd/system").glob("lustre-events*"))

    done(root)
    assert (root / "var/lib/lustre-events/index.db").stat().st_uid != 0


def test_one_role_is_removed_and_the_others_stay(root: Path) -> None:
    """Removing the console leaves dispatcher, accounts and settings as they are."""
    done(root)
    undone(root, "web")
    assert setup.installed(root) == [role for role in KNOWN if role != "web"]
    assert "lustre-events-web" in (root / "etc/passwd").read_text()
    assert done(root, *(role for role in KNOWN if role != "web")) == []


def test_readers_may_write_what_they_keep(root: Path) -> None:
    """[filesystem] state is the one folder that the reader's unit may write to."""
    done(root)
    unit = (root / "etc/systemd/system/lustre-events-reader@.service").read_text()
    state = load(root / ETC / "lustre-events.toml", {}).filesystem.state
    assert f"StateDirectory={Path(state).name}\n" in unit
    assert Path(state).parent == Path("/var/lib")
    assert stat.S_IMODE((root / state.lstrip("/")).stat().st_mode) == 0o700


def test_a_courier_elsewhere_reads_the_key_that_was_copied(root: Path) -> None:
    """Its node makes no key of its own; a copy is given to its account, and stays what it is."""
    done(root, "courier")
    key = root / ETC / "actions-key"
    assert not key.exists()
    key.write_text("of the dispatcher's node")
    key.chmod(0o600)
    done(root, "courier")
    group = next(line for line in (root / "etc/group").read_text().splitlines() if "lustre-events-courier" in line)
    assert key.stat().st_gid == int(group.split(":")[2])
    assert stat.S_IMODE(key.stat().st_mode) == 0o640
    assert key.read_text() == "of the dispatcher's node"


def test_an_index_elsewhere_may_be_written(root: Path) -> None:
    """Where [index] url names another disk, the dispatcher's unit gets the right to write there."""
    list(steps.forward(setup.plan(Node(["dispatcher"], root, changed={"index": {"url": "sqlite:////data/i.db"}}))))
    drop = root / "etc/systemd/system/lustre-events-dispatcher.service.d/index.conf"
    assert "ReadWritePaths=/data\n" in drop.read_text()


def test_a_node_without_its_login_says_where_to_get_it(tmp_path: Path) -> None:
    """A worker's node names the files that it needs from Redis's; a wrong setting is refused before anything."""
    if not Path("/etc/lustre-events/worker.env").exists():
        with pytest.raises(ConfigError, match=r"worker\.env: copy it from Redis's node"):
            setup.check(Node(["worker"]))
    with pytest.raises(ConfigError, match="mont"):
        setup.check(Node(["worker"], tmp_path, changed={"filesystem": {"mont": "/mnt"}}))


@pytest.fixture
def at_home(root: Path) -> Iterator[Path]:
    """The folder of settings of a node that was set up, with its Redis running; paths are those below the root."""
    done(root)
    etc, port = root / ETC, free_ports(1)[0]
    for path in (*etc.glob("*.env"), etc / "redis.conf", etc / "lustre-events.toml"):
        text = path.read_text().replace("/etc/lustre-events", str(etc)).replace(":6379/", f":{port}/")
        text = text.replace("/var/lib/redis", str(root / "var/lib/redis"))
        path.write_text(text.replace("tls-port 6379", f"tls-port {port}"))
    with subprocess.Popen([need("redis-server"), etc / "redis.conf"], stdout=subprocess.DEVNULL) as server:
        url = login(etc / "admin.env")[REDIS_URL]

        def answers() -> bool:
            try:
                with redis.Redis.from_url(url) as client:
                    return bool(client.ping())
            except redis.ConnectionError:
                return False

        try:
            wait_for(answers)
            yield etc
        finally:
            server.terminate()


def test_doctor_is_content_with_each_role_that_was_set_up(
    at_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the shipped roles, TLS and each role's own login nothing fails before the first start."""
    for name in [name for name in os.environ if name.startswith("LUSTRE_EVENTS_")]:
        monkeypatch.delenv(name)
    for role in INSTALLED:
        worst = report(at_home / "lustre-events.toml", [role])
        said = capsys.readouterr().out
        assert (worst, FAILURE.upper() in said) == (0, False), said
        assert f"le-{role}" in said
    assert set(INSTALLED) <= set(EXAMINED)
    shutil.rmtree(at_home)


def test_the_page_shows_what_setup_and_pools_print(root: Path) -> None:
    """The lines of `setup`, `pool add` and `pool list` on deploy/README.md are what they print."""
    printed = {" ".join(words[1:3]): lines for words, lines in PAGE}
    assert shows(printed.pop("setup redis"), _at_top(done(root, *INSTALLED_BY_THE_PAGE), root))
    for name, words in {"pool add": ["genomics", "--user", "nobody"], "pool list": []}.items():
        said = lustre_events(*name.split(), *words, "--root", root)
        assert said.returncode == 0, said.stderr
        assert shows(printed.pop(name), _at_top(said.stdout.decode().splitlines(), root))
    assert printed.keys() == {"doctor --role", "doctor", "status"}  # the next test; tests/field


def test_the_page_shows_what_doctor_says_before_the_first_start(
    at_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the dispatcher has run, its role is as the page shows: nothing fails, and the first start is due."""
    for name in [name for name in os.environ if name.startswith("LUSTRE_EVENTS_")]:
        monkeypatch.delenv(name)
    ((_, printed),) = [each for each in PAGE if each[0][1:3] == ["doctor", "--role"]]
    report(at_home / "lustre-events.toml", ["dispatcher"])
    assert shows(printed, capsys.readouterr().out.splitlines())


def _at_top(lines: list[str], root: Path) -> list[str]:
    return [line.replace(str(root), "") for line in lines]


def test_logins_by_pam_have_a_process_of_root(root: Path) -> None:
    """With [web] login = "pam" systemd listens where the console asks, while the role is there; else not."""
    units = root / "etc/systemd/system"
    link, unit = units / "sockets.target.wants/lustre-events-login.socket", units / "lustre-events-login@.service"
    done(root, "redis", "web", enable=True)
    assert not link.is_symlink()
    assert not unit.exists()

    settings = root / ETC / "lustre-events.toml"
    settings.write_text(settings.read_text().replace("[web]\n", '[web]\nlogin = "pam"\n'))
    done(root, "web")  # as an upgrade does it: the console is enabled already
    assert link.is_symlink()
    assert unit.is_file()
    assert done(root, "web", enable=True) == []

    undone(root, "web")
    assert not link.is_symlink()
    assert not unit.exists()
