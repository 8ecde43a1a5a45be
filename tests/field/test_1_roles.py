"""Roles that a site adds later, by the page: each is a unit that does its job."""

from __future__ import annotations

import json

import pytest

from tests.support.field.machine import Machine
from tests.support.field.site import Site
from tests.support.field.truth import MOUNT
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.field, pytest.mark.timeout(600)]
SECONDS = 60.0
ETC = "/etc/lustre-events"
LISTENER = """
import http.server
class Told(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/run/told", "ab") as out:
            out.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8099), Told).serve_forever()
"""
ENDPOINT = """
[endpoint.listener]
kind = "webhook"
url = "http://127.0.0.1:8099/"
private = true
"""
RULE = """
[[rule]]
name = "told"
on = "content"
extensions = ["told"]
action = "webhook"
endpoint = "listener"
"""


def runs(machine: Machine, role: str) -> None:
    """See that the doctor has nothing against a role, and that its unit tells systemd how it stands."""
    unit = f"lustre-events-{role}"
    said = machine.says(f"systemctl show -p UnitFileState,ActiveState,StatusText,NRestarts {unit}")
    state = dict(line.split("=", 1) for line in said.splitlines())
    assert state.pop("StatusText"), unit
    assert state == {"UnitFileState": "enabled", "ActiveState": "active", "NRestarts": "0"}, unit
    found = [json.loads(line) for line in machine.says(f"lustre-events doctor --role {role} --json").splitlines()]
    assert [each for each in found if each["level"] not in {"ok", "info"}] == []
    exposed = machine.says(f"systemd-analyze security --no-pager {unit} | tail -1")
    assert float(exposed.split(": ")[-1].split()[0]) < 3, exposed


def test_the_history_is_kept(site: Site) -> None:
    """The unit of `history` writes down who did what to a file that is gone by now."""
    machine = site.machine
    site.follow("History")
    path = machine.at(MOUNT) / "short.csv"
    path.write_text("a,b\n1,2\n")
    wait_for(lambda: machine.run(f"lustre-events show {MOUNT}/short.csv", check=False).returncode == 0, SECONDS)
    path.unlink()

    def told() -> bool:
        said = machine.run(f"lustre-events history {MOUNT}/short.csv --json", check=False).stdout
        return {"CREAT", "UNLNK"} <= {json.loads(line)["type_name"] for line in said.splitlines()}

    wait_for(told, SECONDS)
    runs(machine, "history")


def test_the_courier_sends(site: Site) -> None:
    """The unit of `courier` tells an endpoint of a file that a rule of actions names."""
    machine = site.machine
    machine.at("/root/listener.py").write_text(LISTENER)
    machine.run("systemd-run -q --unit=listener python3 -I /root/listener.py")
    ask = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8099), 5)'"
    wait_for(lambda: machine.run(ask, check=False).returncode == 0, SECONDS)
    with machine.at(f"{ETC}/endpoints.toml").open("a") as out:
        out.write(ENDPOINT)
    with machine.at(f"{ETC}/rules.toml").open("a") as out:
        out.write(RULE)
    wait_for(lambda: "told" in machine.run("lustre-events actions list", check=False).stdout, SECONDS)
    said = site.follow("Actions")
    assert "listener" in said
    (machine.at(MOUNT) / "x.told").write_text("x")

    def sent() -> list[str]:
        return machine.says("cat /run/told 2>/dev/null || true").splitlines()

    wait_for(sent, SECONDS)
    (path,) = {json.loads(event)["data"]["path"] for event in sent()}
    assert path.endswith("/x.told")
    runs(machine, "courier")
    machine.run("systemctl stop listener")


def test_the_dashboard_looks_at_the_queues(site: Site) -> None:
    """The unit of `dashboard` shows the queues to an admin who logs in, and to nobody else."""
    machine = site.machine
    site.follow("rq-dashboard")
    machine.run(f"lustre-events web-password ada --password secret >>{ETC}/dashboard-users")
    machine.run(f"sed -i '/^\\[web\\]/a admins = [\"ada\"]' {ETC}/lustre-events.toml")
    machine.run("systemctl restart lustre-events-dashboard")
    ask = (
        "python3 -c 'import sys, base64, urllib.request as r;"
        ' q = r.Request("http://127.0.0.1:9181/0/data/queues.json",'
        ' headers={{"Authorization": "Basic " + base64.b64encode(b"ada:{word}").decode()}});'
        " print(r.urlopen(q, timeout=20).read().decode())'"
    )
    queues = json.loads(machine.says(ask.format(word="secret")))
    assert "builtin" in {each["name"] for each in queues["queues"]}
    assert machine.run(ask.format(word="wrong"), check=False).returncode
    runs(machine, "dashboard")
