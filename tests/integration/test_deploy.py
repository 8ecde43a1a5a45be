"""deploy/: what a site installs is taken by the programs that it is for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lustre_events.inspect.metrics import METRICS, PREFIX
from tests.support.need import need
from tests.support.service.command import REPOSITORY, clean_environment
from tests.support.service.images import extractors

DEPLOY = REPOSITORY / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def run(*words: str | Path, folder: Path = REPOSITORY, seconds: float = 240) -> str:
    """Run a command and return what it said; it must do well."""
    done = subprocess.run(
        [*map(str, words)], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False,
        env=clean_environment({"LUSTRE_EVENTS_WORKER_EXTRACTORS": str(REPOSITORY / "extractors")}),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    """systemd-analyze finds nothing unknown in them; programs stand in for ours, which is not installed."""
    name = unit.name.replace("@", "@lustre-MDT0000")
    text = unit.read_text()
    assert "ExecStart=/usr/bin/lustre-events " in text
    (tmp_path / name).write_text(text.replace("/usr/bin/lustre-events", "/bin/true"))
    shutil.copy(DEPLOY / "systemd" / "lustre-events.target", tmp_path)
    said = run(need("systemd-analyze"), "verify", f"./{name}", folder=tmp_path)
    assert [line for line in said.splitlines() if "lustre-events" in line] == []


@pytest.mark.parametrize("unit", [path for path in UNITS if "worker" not in path.name], ids=lambda path: path.name)
def test_what_needs_no_containers_is_hardened(unit: Path) -> None:
    """None of them can gain rights, see homes or write outside of its own folders."""
    lines = unit.read_text().splitlines()
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes"):
        assert line in lines
    assert any(line.startswith("CapabilityBoundingSet=") for line in lines)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_are_closed(unit: Path) -> None:
    """`systemd-analyze security` gives all but the worker, which makes containers, less than 3 of 10."""
    said = run(need("systemd-analyze"), "security", "--offline=yes", "--no-pager", unit)
    exposed = float(said.splitlines()[-1].split(": ")[-1].split()[0])
    assert ("worker" in unit.name) or exposed < 3, said


def test_no_unit_leaves_a_core_dump() -> None:
    """What a process holds (logins, documents) is not written to a disk when it crashes."""
    assert len(UNITS) > 5
    assert [unit.name for unit in UNITS if "\nLimitCORE=0\n" not in unit.read_text()] == []


def test_workers_leave_a_node_room() -> None:
    """What all containers of a worker hold is bounded, and too much of it ends one of them, not the worker."""
    (worker,) = (unit.read_text().splitlines() for unit in UNITS if "worker" in unit.name)
    assert {"MemoryMax=80%", "TasksMax=4096", "OOMPolicy=continue"} <= {*worker}


def test_a_worker_has_state_of_its_own() -> None:
    """Root without CAP_DAC_OVERRIDE cannot write to the dispatcher's state, so the worker's unit has its own."""
    (worker,) = (unit.read_text().splitlines() for unit in UNITS if "worker" in unit.name)
    assert {"StateDirectory=lustre-events-worker", "StateDirectoryMode=0700"} <= {*worker}


def test_every_command_of_a_unit_exists() -> None:
    """What units start are commands of ours, with options that these have."""
    for unit in UNITS:
        (command,) = re.findall(r"^ExecStart=/usr/bin/lustre-events (\S+)", unit.read_text(), re.MULTILINE)
        usage = run(sys.executable, "-P", "-m", "lustre_events", command, "--help")
        for option in re.findall(r" (--\w+)", unit.read_text().split("ExecStart=")[1].splitlines()[0]):
            assert option in usage


def test_prometheus_takes_the_alerts_and_they_fire() -> None:
    """Promtool checks the rules, and its tests see each alert at its time and not before."""
    promtool = need("promtool")
    run(promtool, "check", "rules", "alerts.yml", folder=DEPLOY / "prometheus")
    assert "SUCCESS" in run(promtool, "test", "rules", "alerts_test.yml", folder=DEPLOY / "prometheus")
    alerts = set(re.findall(r"alert: (\w+)", (DEPLOY / "prometheus" / "alerts.yml").read_text()))
    assert alerts == set(re.findall(r"alertname: (\w+)", (DEPLOY / "prometheus" / "alerts_test.yml").read_text()))


def queries() -> list[str]:
    """Return what the dashboard asks."""
    dashboard = json.loads((DEPLOY / "grafana" / "lustre-events.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_dashboard_and_alerts_ask_only_for_metrics_that_there_are() -> None:
    """Each name is one of the exporter's (a counter with _total)."""
    asked = "\n".join([*queries(), (DEPLOY / "prometheus" / "alerts.yml").read_text()])
    names = set(re.findall(rf"{PREFIX}(\w+)", asked))
    assert {re.sub(r"_(total|bucket|sum|count)\Z", "", name) for name in names} - set(METRICS) == set()


def test_prometheus_understands_the_dashboards_queries(tmp_path: Path) -> None:
    """Each query is PromQL."""
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert "SUCCESS" in run(need("promtool"), "check", "rules", tmp_path / "rules.yml")


def test_the_dashboard_is_what_its_program_writes() -> None:
    """Nobody has changed the one without the other."""
    made = run(sys.executable, DEPLOY / "grafana" / "make_dashboard.py")
    assert made == (DEPLOY / "grafana" / "lustre-events.json").read_text()


def test_the_batch_script_is_a_script_and_asks_for_a_command_that_there_is() -> None:
    """Bash can read it; `worker --until` exists."""
    script = DEPLOY / "slurm" / "workers.sbatch"
    run("bash", "-n", script)
    assert "worker --until" in script.read_text()
    assert "--until" in run(sys.executable, "-P", "-m", "workers", "--help")


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All wheels that an installation needs."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    run(DEPLOY / "package" / "wheelhouse.sh", folder)
    return folder


@pytest.mark.slow
def test_a_wheelhouse_installs_twice_without_changing_what_is_there(wheelhouse: Path, tmp_path: Path) -> None:
    """The installed program sets up a node by itself; a second run changes nothing; it can be removed."""
    root = tmp_path / "root"
    install = (DEPLOY / "install.sh", "--root", root, wheelhouse)
    run(*install)
    program = root / "opt" / "lustre-events" / metadata.version("lustre-events") / "bin" / "lustre-events"
    assert "reader" in run(program, "--help", folder=tmp_path)
    assert "installed already" in run(*install)
    told = run(program, "setup", "reader", "web", "--dry-run", "--root", root, folder=tmp_path)
    assert "lustre-events-reader@.service" in told
    assert "lustre-events-worker@.service" not in told
    assert (root / "usr" / "share" / "lustre-events" / "extractors").readlink().match("*/lustre_events/extractors")
    run(DEPLOY / "install.sh", "--root", root, "--remove")
    assert [path for path in root.rglob("*lustre*") if path.is_file()] == []


def test_a_package_that_was_changed_comes_into_no_wheelhouse(tmp_path: Path) -> None:
    """Where an index serves other bytes under a version's name, nothing is made, and pip says which package."""
    served, made = tmp_path / "served", tmp_path / "made"
    served.mkdir()
    for name, version in re.findall(r"^(\S+)==(\S+)", (DEPLOY / "wheelhouse.txt").read_text(), re.MULTILINE):
        tag = f"{name.replace('-', '_')}-{version}"
        with zipfile.ZipFile(served / f"{tag}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(
                f"{tag}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
            wheel.writestr(f"{tag}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
            wheel.writestr(f"{tag}.dist-info/RECORD", "")
    done = subprocess.run(
        [DEPLOY / "package" / "wheelhouse.sh", made], capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(served)},
    )  # fmt: skip
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert list(made.iterdir()) == []


@pytest.mark.slow
def test_a_wheelhouse_serves_every_patch_of_its_python(wheelhouse: Path) -> None:
    """What a wheel needs on any 3.x.y of the Python it was made with is there: nodes have another patch."""
    wheels = list(metadata.distributions(path=[*map(str, wheelhouse.glob("*.whl"))]))
    there = {canonicalize_name(each.name) for each in wheels}
    series = f"{sys.version_info[0]}.{sys.version_info[1]}"
    needed = {
        canonicalize_name(need.name)
        for each in wheels for need in map(Requirement, each.requires or [])
        for patch in range(30)
        if need.marker is None or need.marker.evaluate({"python_full_version": f"{series}.{patch}", "extra": ""})
    }  # fmt: skip
    assert len(there) > 25
    assert needed - there == set()


def test_a_wheelhouse_for_another_python_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """The sentence names the Python that the wheels are for, and no half an installation is left."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("lustre_events-1.0-py3-none-any.whl", "hiredis-3.0-cp39-cp39-manylinux_2_28_x86_64.whl"):
        (wheels / name).touch()
    done = subprocess.run(
        [DEPLOY / "install.sh", "--root", tmp_path / "root", wheels], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "for Python 3.9, which is not on this node" in done.stderr
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("change", ["", "changed", "missing", "evil-1-py3-none-any.whl", "flask-99.0.tar.gz"])
def test_wheels_that_are_not_those_that_were_made_are_not_installed(tmp_path: Path, change: str) -> None:
    """What was changed, taken away or put beside the wheels is refused before anything is made."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("lustre_events-1.0-py3-none-any.whl", "flask-3.0-py3-none-any.whl"):
        (wheels / name).write_text(name)
    sums = run("sha256sum", *sorted(path.name for path in wheels.iterdir()), folder=wheels)
    (wheels / "SHA256SUMS").write_text(sums)
    if change == "missing":
        (wheels / "flask-3.0-py3-none-any.whl").unlink()
    elif change:
        (wheels / ("flask-3.0-py3-none-any.whl" if change == "changed" else change)).write_text("x")
    done = subprocess.run(
        [DEPLOY / "install.sh", "--root", tmp_path / "root", wheels], capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert ("is not as wheelhouse.sh made it" in done.stderr) == bool(change)
    assert (tmp_path / "root").exists() == (not change)


def test_no_source_beside_the_wheels_is_run(tmp_path: Path) -> None:
    """Nor where the wheelhouse has no sums: pip takes wheels alone, of which none can run anything as root."""
    wheels, mark = tmp_path / "wheels", tmp_path / "owned"
    wheels.mkdir()
    about = "Metadata-Version: 2.1\nName: lustre-events\nVersion: 1.0\nRequires-Dist: flask\n"
    with zipfile.ZipFile(wheels / "lustre_events-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("lustre_events-1.0.dist-info/METADATA", about)
        wheel.writestr("lustre_events-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("lustre_events-1.0.dist-info/RECORD", "")
    source = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "evil"\nbackend-path = ["."]\n',
        "evil.py": f"open({str(mark)!r}, 'w').close()\n",
        "PKG-INFO": "Metadata-Version: 2.1\nName: flask\nVersion: 99.0\n",
    }
    with tarfile.open(wheels / "flask-99.0.tar.gz", "w:gz") as archive:
        for name, text in source.items():
            (tmp_path / name).write_text(text)
            archive.add(tmp_path / name, f"flask-99.0/{name}")

    done = subprocess.run(
        [DEPLOY / "install.sh", "--root", tmp_path / "root", wheels], capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "does not have all that" in done.stderr
    assert not mark.exists()


def test_an_installation_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    """Where wheels are missing the venv that was begun goes away, and the sentence says what to do."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "lustre_events-1.0-py3-none-any.whl").write_text("no wheel")
    done = subprocess.run(
        [DEPLOY / "install.sh", "--root", tmp_path / "root", wheels], capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "make it on a node of this kind" in done.stderr
    assert list((tmp_path / "root/opt/lustre-events").iterdir()) == []


@pytest.mark.slow
def test_the_rpm_is_built_and_names_no_path_of_the_builder(wheelhouse: Path, tmp_path: Path) -> None:
    """The package is made from the wheelhouse, and its program says where it will lie, not where it was made."""
    need("rpmbuild")
    run(DEPLOY / "package" / "rpm.sh", wheelhouse, tmp_path / "rpms", "--nodeps", "--define", "python python3")
    (package,) = (tmp_path / "rpms").rglob("*.rpm")
    version = run("rpm", "-qp", "--queryformat", "%{VERSION}", package)
    assert version == metadata.version("lustre-events")
    listed = run("rpm", "-qpl", package)
    assert f"/opt/lustre-events/{version}/bin/lustre-events" in listed
    assert "/usr/share/lustre-events/deploy/systemd/lustre-events.target" in listed
    (tmp_path / "out").mkdir()
    run("bash", "-c", f"rpm2cpio {package} | cpio -id --quiet", folder=tmp_path / "out")
    program = tmp_path / "out" / "opt" / "lustre-events" / version / "bin" / "lustre-events"
    assert f"/opt/lustre-events/{version}/bin/python" in program.read_text()
    assert tempfile.gettempdir() not in program.read_text()


def test_the_example_rules_have_every_family() -> None:
    """What a site may copy names the shipped extractors, each with the ends of names that it accepts, if any."""
    rules = tomllib.loads((DEPLOY / "rules.toml").read_text())["rule"]
    found = {rule["extractor"]: rule["extensions"] for rule in rules if "extensions" in rule}
    assert found == {name: list(each.accepts) for name, each in extractors().items() if each.accepts}
    run(sys.executable, "-P", "-m", "lustre_events", "rules", "check", DEPLOY / "rules.toml")
