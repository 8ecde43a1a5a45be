"""docs/researcher.md: the runs of an instrument in a month are found, and a token is made, as the page shows it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from functools import partial
from pathlib import Path

from werkzeug.security import generate_password_hash

from lustre_events.index.sqlite.database import APPLICATION_ID
from lustre_events.index.sqlite.database import _schemas as schemas
from tests.support.index.tables import add_file, add_object, make_index
from tests.support.pages import commands, shows
from tests.support.servers.https import serving
from tests.support.service.api import OWNER
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.service.images import write_extractor
from tests.support.service.service import PARTS, Service
from tests.support.service.web import Console
from tests.support.waiting import wait_for

PAGE = (REPOSITORY / "docs" / "researcher.md").read_text()
TEXT = re.compile(r"^```text\n(.*?)^```", re.DOTALL | re.MULTILINE)
(ASKED,) = [block for block in TEXT.findall(PAGE) if "--facets common.instrument" in block]
(TOKEN,) = [block for block in TEXT.findall(PAGE) if "token create" in block]
SECONDS = 60
RULE = '[[rule]]\nname = "runs"\nextensions = ["nxs"]\nextractor = "runs"\n'
PROGRAM = """
import json, sys
with open(sys.argv[-1]) as file:
    print(json.dumps({"common": json.load(file)}))
"""
RUNS = {
    "run3/map.nxs": {"instrument": "ARPES", "start": "2026-03-14T09:30:00Z"},
    "run4/map.nxs": {"instrument": "ARPES", "start": "2026-04-02T16:00:00Z"},
    "run5/tip.nxs": {"instrument": "STM", "start": "2026-03-20T11:15:00Z"},
}


def test_the_runs_of_an_instrument_in_march_are_found(open_folder: Path) -> None:
    """The page's two commands list the instruments, and find the runs of one of them that began in March."""
    with Service(open_folder, rules=RULE) as service:
        write_extractor(service.extractors, "runs", PROGRAM, contract='"single"')
        for name, common in RUNS.items():
            path = service.files / "campaign" / name
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(common))
        service.start_redis()
        for part in PARTS:
            service.start_part(part)
        said: list[str] = []
        for words, printed in commands(ASKED):
            wait_for(partial(_says, service, words[1:], printed, said), 60, said.__str__)


def _says(service: Service, words: list[str], printed: list[str], said: list[str]) -> bool:
    done = lustre_events(*words, environment={"LUSTRE_EVENTS_CONFIG": str(service.config)})
    said[:] = (done.stdout + done.stderr).decode().replace(str(service.files), "/mnt/lustre").splitlines()
    return shows(printed, said)


TYPED = "a secret of ada"


def test_a_token_is_made_and_used_on_a_login_node(tmp_path: Path) -> None:
    """The page's commands ask for the password on the terminal, keep the token, and then search as its owner."""
    console = a_console(tmp_path)
    console.users.write_text(f"{OWNER}:{generate_password_hash(TYPED)}\n")
    console.users.chmod(0o640)
    home = tmp_path / "home"
    home.mkdir()
    with serving(console.app(), tmp_path) as (address, certificate):
        settings = tmp_path / "client.toml"
        settings.write_text(f'[client]\nserver = "{address}"\nca = "{certificate}"\n')
        environment = {"LUSTRE_EVENTS_CONFIG": str(settings), "HOME": str(home), "LOGNAME": OWNER}
        for words, printed in commands(TOKEN):
            said = on_a_terminal(words[1:], environment) if "token" in words else asked(words[1:], environment)
            for there, shown in ((address, "https://events.example.org"), (str(home), "/home/ada"), (OWNER, "ada")):
                said = said.replace(there, shown)
            assert shows(without_id(printed), without_id(said.splitlines())), f"{words} prints:\n{said}"


def a_console(folder: Path) -> Console:
    """Return a console over an index that has the page's run."""
    connection = make_index(str(folder / "index.db"))
    facts = {"mtime_ns": 10**18, "ctime_ns": 10**18, "uid": 0, "gid": 0}
    add_object(connection, 0, type="d", mode=0o755, **facts)
    document = {"hdf5": {"common": {"instrument": "ARPES"}}}
    add_file(connection, 2, b"campaign/run3/map.nxs", document, size=56, mode=0o644, **facts)
    connection.execute("UPDATE object SET uid = 0, gid = 0, mode = 493 WHERE type = 'd'")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(schemas())}")
    connection.close()
    return Console(folder / "index.db", folder / "users")


def without_id(lines: list[str]) -> list[str]:
    """Return lines with a word in the place of a token's id, and without space at their ends."""
    return [re.sub(r"\b[0-9a-f]{12}\b", "ID", line).rstrip() for line in lines]


def asked(words: list[str], environment: dict[str, str]) -> str:
    """Return what a command prints."""
    done = lustre_events(*words, environment=environment)
    return (done.stdout + done.stderr).decode()


def on_a_terminal(words: list[str], environment: dict[str, str]) -> str:
    """Run a command on a terminal, type the password when it asks for one, and return what the terminal shows."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "lustre_events", *words], stdin=theirs, stdout=theirs, stderr=theirs,
        cwd=REPOSITORY, env=clean_environment(environment), start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown, typed = b"", False
        while select.select([ours], [], [], SECONDS)[0]:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # it has ended
                break
            if not typed and shown.endswith(b": "):
                os.write(ours, f"{TYPED}\n".encode())
                typed = True
        process.kill()
    os.close(ours)
    return shown.decode()
