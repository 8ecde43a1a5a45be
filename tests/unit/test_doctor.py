"""The doctor's checks: each says ok, or what is wrong and what fixes it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.changelog import users
from lustre_events.changelog.lctl import ChangelogUser, Users
from lustre_events.config.settings import Settings
from lustre_events.domain.record_meaning import Kind
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import LibraryMissing
from lustre_events.inspect.status.text import lines as status_lines
from lustre_events.llapi import Library
from lustre_events.node.doctor import (
    FAILURE,
    INFO,
    OK,
    WARNING,
    Finding,
    changelog,
    examine,
    extractor_images,
    node,
    redis,
    service,
    space,
    units,
)
from tests.support.rows import each_row
from tests.support.servers.lctl import fake_lctl
from tests.support.service.images import extractors
from tests.support.service.statuses import status_of

MDT = "lustre-MDT0000"
MOUNT = "36 35 98:0 / {path} rw,noatime master:1 - {kind} 10.0.0.1@tcp:/lustre rw"
ALL = {*changelog.NAMES, "CLOSE", "TRUNC", "SATTR", "XATTR", "HSM", "LYOUT"}


def levels(findings: Iterable[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def one(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_every_finding_that_is_not_well_names_what_mends_it(tmp_path: Path) -> None:
    """No warning and no failure leaves its reader without the next step."""
    found = [
        *changelog.mount(str(tmp_path / "nowhere"), "lustre", ""),
        *changelog.mount(str(tmp_path), "lustre", ""),
        *changelog.devices(tmp_path, []),
        *changelog.devices(tmp_path, [MDT]),
        *changelog.user(Users(MDT, 9, ()), "cl1", set(), {Kind.CONTENT}),
        *changelog.user(Users(MDT, 9, ()), "", set(), {Kind.CONTENT}),
        *extractor_images.images(extractors(), tmp_path, "base", used=extractors()),
        *redis.memory({"used_memory": 99, "maxmemory": 100}),
        *redis.memory({}),
        *redis.memory({}, private=True),
        *redis.persistence({"aof_last_write_status": "err"}),
        *service.readers(status_of({"mdts": {}}), [MDT]),
        *service.dispatcher(status_of({})),
    ]
    assert OK not in levels(found)
    assert [finding for finding in found if not finding.fix] == []


def test_a_history_that_is_not_written_or_falls_behind_is_named() -> None:
    """A keeper that is silent or has no room is a failure, one far behind a warning; no history is no fault."""
    second = 10**9
    said: dict[str, object] = {"updated_ns": 500 * second, "behind": 5}
    states: dict[str, dict[str, object]] = {
        "well": {}, "never": {"updated_ns": 0}, "silent": {"updated_ns": second}, "full": {"waiting": "no room"},
        "slow": {"behind": 2_000_000},
    }  # fmt: skip
    found = {
        name: list(service.history(status_of({"time_ns": 501 * second, "history": said | more})))
        for name, more in states.items()
    }
    assert {name: one(each).level for name, each in found.items()} == {
        "well": OK, "never": FAILURE, "silent": FAILURE, "full": FAILURE, "slow": WARNING
    }  # fmt: skip
    assert all(one(each).fix for name, each in found.items() if name != "well")
    assert not list(service.history(status_of({})))


def test_indexers_that_are_set_and_do_not_run_are_found() -> None:
    """Fewer than are set is a failure; running where none are set, being behind, or refusals, a warning."""
    second = 10**9

    def levels(wanted: int, waiting: int, *heard: int, refused: int = 0) -> list[str]:
        indexers = {
            f"n1.{number}": {"alive_ns": at * second, "refused": refused} for number, at in enumerate(heard)
        }
        told = {"time_ns": 500 * second, "indexers": {"waiting": waiting, "indexers": indexers}}
        return [each.level for each in service.indexers(status_of(told), wanted)]

    assert levels(2, 0, 499, 498) == [OK]
    assert levels(2, 7, 499, 1) == [FAILURE]
    assert levels(1, service.INDEXERS_BEHIND, 499) == [OK]
    assert levels(1, service.INDEXERS_BEHIND + 1, 499) == [WARNING]
    assert levels(0, 7, 499) == [WARNING]
    assert levels(0, 0, 1) == levels(0, 3, 1) == []
    assert levels(1, 0, 499, refused=2) == [OK, WARNING]
    assert [each.level for each in service.indexers(status_of({}), 1)] == [FAILURE]
    assert not list(service.indexers(status_of({}), 0))


def test_what_cannot_be_looked_at_says_so_in_one_sentence() -> None:
    """Where a check cannot begin, the error's sentence is the next step, and no other one is made up."""
    found = next(
        each for each in examine(Settings(), "sqlite:////nowhere/index.db", ["web"]) if "index" in each.text
    )
    assert (found.level, found.fix) == (FAILURE, "")
    assert found.text.startswith("/nowhere/index.db: there is no index")


def test_the_mount_must_be_a_lustre_client(tmp_path: Path) -> None:
    """Another type of file system at the mount point is named; a watched directory is well."""
    path = str(tmp_path.resolve())
    assert one(changelog.mount(path, "lustre", MOUNT.format(path=path, kind="lustre"))).level == OK
    assert "type nfs4" in one(changelog.mount(path, "lustre", MOUNT.format(path=path, kind="nfs4"))).text
    assert one(changelog.mount(path, "directory", "")).level == OK


def test_a_device_that_can_be_opened_is_well(tmp_path: Path) -> None:
    """The check is the open itself."""
    (tmp_path / f"changelog-{MDT}").touch()
    assert one(changelog.devices(tmp_path, [MDT])).level == OK


def test_a_broker_without_its_library_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the courier's node the doctor says what an endpoint of a broker lacks, and nothing of other kinds."""
    broker, hook = Endpoint("a", "kafka", "kafka://a", topic="t"), Endpoint("b", "webhook", "https://b")
    assert levels(node.libraries({"a": broker, "b": hook})) == [OK]
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    assert levels(node.libraries({"b": hook})) == [OK]
    found = one(node.libraries({"a": broker}))
    assert (found.level, found.fix) == (FAILURE, "pip install 'lustre-events[kafka]'")


def test_a_missing_library_is_a_failure() -> None:
    """What `load` says is what is said."""

    def load(path: str) -> Library:
        raise LibraryMissing(f"{path or 'liblustreapi'} is not there")

    assert one(changelog.library("", load)).text == "liblustreapi is not there"


@each_row(("idle_seconds", "level"), [(None, OK), (60, OK), (6 * 86_400, FAILURE)])
def test_a_user_about_to_be_idled_out_is_a_failure(idle_seconds: int | None, level: str) -> None:
    """Servers remove users that clear nothing; days before that it is said."""
    users = Users(MDT, 100, (ChangelogUser("cl1", 90, idle_seconds, ()),))
    assert levels(changelog.user(users, "cl1", ALL, set(Kind)))[0] == level


def test_a_mask_that_hides_names_is_a_failure_one_that_hides_a_rules_events_a_warning() -> None:
    """The mask is compared with what names always need, and with what rules want to hear of."""
    users = Users(MDT, 100, (ChangelogUser("cl1", 90, 0, ()),))
    without_rename = list(changelog.user(users, "cl1", ALL - {"RENME"}, {Kind.CONTENT}))[1]
    without_close = list(changelog.user(users, "cl1", ALL - {"CLOSE"}, {Kind.CONTENT}))[1]
    assert (without_rename.level, without_close.level) == (FAILURE, WARNING)
    assert without_rename.fix == f"lustre-events changelog mask +RENME --mdt {MDT}"
    assert levels(changelog.user(users, "cl1", (ALL - {"CLOSE"}) | {"MTIME"}, {Kind.CONTENT})) == [OK, OK]


def test_a_users_own_mask_counts_more_than_the_servers() -> None:
    """A user that was registered with a mask hears only of that."""
    users = Users(MDT, 100, (ChangelogUser("cl1", 90, 0, ("CREAT",)),))
    assert list(changelog.user(users, "cl1", ALL, {Kind.CONTENT}))[1].level == FAILURE


def test_a_user_is_looked_for_by_its_number() -> None:
    """An id is ours with and without the name that was registered with it."""
    users = Users(MDT, 100, (ChangelogUser("cl3-lustre-events", 90, 0, ()),))
    assert levels(changelog.user(users, "cl3", ALL, set(Kind)))[0] == OK
    assert levels(changelog.user(users, "cl1", ALL, set(Kind)))[0] == FAILURE


def test_the_memory_of_redis_has_three_levels() -> None:
    """Below three quarters it is well, above nine tenths the readers wait."""
    full = [levels(redis.memory({"used_memory": used, "maxmemory": 100}))[0] for used in (10, 80, 95)]
    assert full == [OK, WARNING, FAILURE]


def test_workers_whose_runs_have_no_cgroup_are_named(tmp_path: Path) -> None:
    """Where the kernel could bound runs, a worker's unit that makes no cgroups is said, with what to do."""
    assert "counted" in one(node.cgroups(tmp_path)).text
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    unit = tmp_path / "system.slice" / "system-worker.slice" / "lustre-events-worker@1.service"
    unit.mkdir(parents=True)
    found = one(node.cgroups(tmp_path))
    assert (found.level, unit.name in found.text, "Delegate" in found.fix) == (WARNING, True, True)
    (unit / "worker").mkdir()
    assert (one(node.cgroups(tmp_path)).level, "each run" in one(node.cgroups(tmp_path)).text) == (OK, True)


def test_kernels_that_forbid_user_namespaces_are_named(tmp_path: Path) -> None:
    """The setting, its value and the command that changes it are said."""
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "max_user_namespaces").write_text("0\n")
    assert one(node.kernel(tmp_path)).fix.startswith("sysctl -w user.max_user_namespaces=")
    (tmp_path / "user" / "max_user_namespaces").write_text("96000\n")
    assert one(node.kernel(tmp_path)).level == OK


@each_row(
    ("url", "mode", "found"),
    [
        ("redis://le-admin:secret@host/0", 0o644, [FAILURE]),
        ("redis://le-admin:secret@host/0", 0o640, []),
        ("rediss://host/0", 0o644, []),
        ("redis://[", 0o644, []),
    ],
)
def test_a_password_in_settings_that_all_read_is_a_failure(
    tmp_path: Path, url: str, mode: int, found: list[str]
) -> None:
    """Doctor names the setting, and where a password belongs; a file that is closed to others may have one."""
    path = tmp_path / "lustre-events.toml"
    path.write_text(f'[redis]\nurl = "{url}"\n[index]\nurl = 7\n')
    path.chmod(mode)
    said = list(node.passwords(path))
    assert levels(said) == found
    assert "secret" not in "".join(each.text + each.fix for each in said)


def test_the_password_of_a_standby_is_one_too(tmp_path: Path) -> None:
    """Each setting that holds a URL with a login is looked at."""
    path = tmp_path / "lustre-events.toml"
    path.write_text('[index]\nsearch_url = "postgresql://reader:secret@standby/x"\n')
    path.chmod(0o644)
    (said,) = node.passwords(path)
    assert "LUSTRE_EVENTS_INDEX_SEARCH_URL" in said.fix


def test_images_are_looked_for_by_name_and_as_sif(tmp_path: Path) -> None:
    """A missing image is named once, with all the extractors that need it; without rules it is a warning."""
    found = list(extractor_images.images(extractors(), tmp_path, "base"))
    names = {finding.text.split(",", 1)[0] for finding in found}
    assert len(names) == len(found)
    assert set(levels(found)) == {WARNING}
    for finding in found:
        Path(finding.text.split(",", 1)[0]).touch()
    assert one(extractor_images.images(extractors(), tmp_path, "base")).level == OK


def test_only_images_that_rules_need_may_be_missed(tmp_path: Path) -> None:
    """What a rule needs and is not there is a failure, be it image or extractor; what no rule needs is told."""
    failed = one(extractor_images.images(extractors(), tmp_path, "base", used={"hdf5"}))
    assert failed.level == FAILURE
    assert "hdf5" in failed.text
    image = tmp_path / failed.text.split(",", 1)[0]
    image.touch()
    found = list(extractor_images.images(extractors(), tmp_path, "base", used={"hdf5", "lost", "ada/own"}))
    assert levels(found) == [OK, FAILURE]
    assert found[1].text == "a rule names lost, which is not installed on this node"
    idle = list(extractor_images.images(extractors(), tmp_path, "base", used=()))
    assert [(each.level, image.name in each.text) for each in idle] == [(OK, False), (INFO, True)]


def test_images_that_must_be_signed_are_verified(tmp_path: Path) -> None:
    """Where signatures are required, an image without one is a failure, once per image, with the reason."""
    for manifest in extractors().values():
        (tmp_path / f"{manifest.image}.sif").touch()
    found = list(extractor_images.images(extractors(), tmp_path, "base", lambda path: f"{path.name} has none"))
    assert len(found) == 1 + len(list(tmp_path.iterdir()))
    assert levels(found) == [*[FAILURE] * (len(found) - 1), OK]
    assert "base.sif has none" in found[0].text


def test_an_account_that_cannot_reach_the_images_is_a_failure(tmp_path: Path) -> None:
    """The first folder on the way that is closed to it is named, else each image; so is an unknown account."""
    for name in ("a.sif", "b.sif"):
        (tmp_path / name).touch()

    def found(*closed: Path) -> list[str]:
        said = extractor_images.open_to("worker", tmp_path, lambda _right, path: path not in closed)
        return [each.text.split()[0] for each in said]

    assert found() == []
    assert found(tmp_path.parent, tmp_path / "a.sif") == [str(tmp_path.parent)]
    assert found(tmp_path / "b.sif") == [str(tmp_path / "b.sif")]
    assert "not a user on this node" in one(extractor_images.open_to("no-such-user", tmp_path)).text


def test_a_reader_that_is_silent_lost_or_without_its_user_is_a_failure() -> None:
    """Silence, marks of lost records, and a user that is gone are three findings."""
    loss = {"epoch": 1, "first_index": 1, "last_index": 2, "time_ns": 1, "reason": "gap", "accepted": False}
    state = {"updated_ns": "1000000000", "behind": 3, "user_lost": "1", "user": "cl1",
             "losses": [loss, {**loss, "accepted": True}]}  # fmt: skip
    status = status_of({"time_ns": 61_000_000_000, "mdts": {MDT: state}})
    found = list(service.readers(status, []))
    assert levels(found) == [FAILURE] * 3
    assert found[0].text == "it has been silent for 60 s"
    assert found[2].fix == f"lustre-events continuity reconcile {MDT}"


def test_a_queue_without_workers_is_a_failure() -> None:
    """A queue that a rule names needs a worker even while nothing waits in it."""
    queues = {"default": {"waiting": 0}, "gpu": {"waiting": 5}}
    status = status_of({"rq": {"queues": queues, "workers": [{"queues": ["default"]}]}})
    found = {finding.subject: finding.level for finding in service.queues(status, ["default", "late"])}
    assert found == {"queue default": OK, "queue gpu": FAILURE, "queue late": FAILURE}
    (alone,) = service.queues(status_of({"rq": {"queues": {}, "workers": []}}), ["builtin"])
    assert (alone.level, "lustre-events-worker@builtin" in alone.fix) == (FAILURE, True)


def test_a_suspended_extractor_is_a_warning() -> None:
    """Its reason and the command that resumes it are said."""
    status = status_of({"extractors": {"hdf5": {"suspended": "the image is broken"}, "tabular": {}}})
    finding = one(service.extractors(status))
    assert (finding.level, finding.subject) == (WARNING, "extractor hdf5")
    assert "lustre-events extractor resume hdf5" in finding.fix


def test_actions_that_wait_for_a_person_are_found() -> None:
    """No courier while deliveries wait is a failure; what is held, fails or is dead a warning, with its command."""
    told = {
        "runs": {"tell": {"dead": 2, "waiting": 3}}, "failing": ["there"], "deliveries_waiting": 4,
        "held": [{"kind": "endpoint", "name": "here", "why": "it answered 404", "since_ns": 1}],
        "courier_silent_seconds": 20.0,
    }  # fmt: skip

    found = {each.subject: (each.level, each.fix) for each in service.actions(status_of({"actions": told}))}

    assert found == {
        "courier": ("failure", "systemctl start lustre-events-courier"),
        "endpoint here": ("warning", "lustre-events actions release 'here'"),
        "endpoint there": ("warning", "lustre-events endpoints check there"),
        "actions": ("warning", "lustre-events runs list --state dead; then: runs retry or runs drop"),
    }
    assert [each.level for each in service.actions(status_of({"actions": {"runs": {"tell": {"sent": 1}}}}))] == [
        "ok"
    ]
    held = next(service.actions(status_of({"actions": {"runs": {"tell": {"held": 7}}}})))
    wanted = ("warning", "lustre-events runs list --state held; then: runs release or runs drop")
    assert (held.level, held.fix) == wanted
    assert list(service.actions(status_of({}))) == []


def test_what_the_dispatcher_cannot_use_is_a_warning() -> None:
    """A broken file of rules is told with the command that checks it, not as a Redis that is away."""
    finding = one(service.rules(status_of({"rules_problems": ["rules.toml: no such key"]})))
    assert (finding.level, finding.text) == (WARNING, "rules.toml: no such key")
    assert "lustre-events rules check" in finding.fix


def unit(**found: object) -> str:
    """Return what `systemctl show` says of a unit."""
    return "".join(f"{name}={value}\n" for name, value in {"Id": "lustre-events-web.service", **found}.items())


@each_row(
    ("said", "level"),
    [
        ({"ActiveState": "active", "UnitFileState": "enabled", "NRestarts": 0}, OK),
        ({"ActiveState": "active", "UnitFileState": "disabled", "NRestarts": 0}, WARNING),
        ({"ActiveState": "inactive", "UnitFileState": "disabled", "NRestarts": 0}, INFO),
        ({"ActiveState": "activating", "UnitFileState": "enabled", "NRestarts": 9}, FAILURE),
        ({"ActiveState": "failed", "UnitFileState": "enabled", "NRestarts": 0}, FAILURE),
    ],
)
def test_units_that_end_again_and_again_or_are_not_enabled_are_found(said: dict[str, object], level: str) -> None:
    """What systemd tells of each unit is judged; the fix names that unit."""
    finding = one(units.look(lambda: unit(**said)))
    assert finding.level == level
    assert level == OK or "lustre-events-web.service" in finding.fix


def test_who_has_all_keys_is_found() -> None:
    """An owner whose further keys are not searched is named, with the extractor."""
    told = one(service.keys(status_of({"index": {"full": [["hdf5", 1000]]}})))
    assert (told.level, told.subject, "uid 1000" in told.text) == (WARNING, "keys of hdf5", True)
    assert list(service.keys(status_of({"index": {}}))) == []


def test_what_stops_the_dispatcher_is_found() -> None:
    """What the dispatcher says that it cannot do, e.g. write to a full disk, is a failure; nothing said is none."""
    told = status_of({"dispatcher": {"trouble": "/x/index.db: the disk is full; make room"}})
    assert (one(service.trouble(told)).level, "disk is full" in one(service.trouble(told)).text) == (FAILURE, True)
    assert "problem: the dispatcher cannot go on: /x/index.db: the disk is full" in "\n".join(status_lines(told))
    assert list(service.trouble(status_of({"dispatcher": {"trouble": ""}}))) == []


def test_a_disk_that_is_nearly_full_is_found(tmp_path: Path) -> None:
    """A tenth is a warning, a fiftieth a failure; of a large disk some GiB are enough."""
    gib = space.GIBIBYTE
    sizes = [(50, 100), (5, 100), (1, 100), (50, 10_000)]
    assert [space.room("disk", tmp_path, free * gib, total * gib).level for free, total in sizes] == [
        OK, WARNING, WARNING, OK,
    ]  # fmt: skip
    assert space.room("disk", tmp_path, gib // 2, 100 * gib).level == FAILURE
    assert "the disk is full" in space.room("disk", tmp_path, 0, gib).text


def test_a_user_that_was_never_registered_is_not_yet_wrong(tmp_path: Path) -> None:
    """Before `changelog register` the doctor tells the command; what was registered here and is gone is wrong."""
    usual = Settings()
    own = replace(usual.filesystem, lctl=tuple(fake_lctl(tmp_path)), mdts=(MDT,), state=str(tmp_path / "state"))
    named = replace(usual, filesystem=own, reader=replace(usual.reader, user="lustre-events"))

    def said() -> Finding:
        return next(
            each for each in examine(named, "sqlite:////none", ["reader"]) if each.subject == f"changelog {MDT}"
        )

    assert (said().level, "changelog register" in said().fix) == (INFO, True)
    users.keep(tmp_path / "state", MDT, "cl9-lustre-events")
    assert said().level == FAILURE


def test_a_setuid_starter_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a runtime has one, doctor names it and how to go without; without its bit, or leave, it is none."""
    conf = tmp_path / "apptainer.conf"
    program = tmp_path / "apptainer"
    program.write_text(
        "#!/bin/sh\n[ $1 = --version ] && exec echo apptainer version 1\n"
        f"echo LIBEXECDIR={tmp_path}/libexec\necho APPTAINER_CONF_FILE={conf}\n"
    )
    program.chmod(0o755)
    starter = tmp_path / "libexec" / "apptainer" / "bin" / "starter-suid"
    starter.parent.mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    said = []
    for mode, allows in ((None, ""), (0o755, ""), (0o4755, ""), (0o4755, "yes"), (0o4755, "no")):
        if mode is not None:
            starter.touch()
            starter.chmod(mode)
        if allows:
            conf.write_text(f"# allow setuid = no\nallow setuid = {allows}\n")
        said.append([(each.level, str(starter) in each.text) for each in node.runtime("apptainer")])
    quiet, warned = [("ok", False)], [("ok", False), ("warning", True)]
    assert said == [quiet, quiet, warned, warned, quiet]


def test_a_setuid_starter_is_found_by_either_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called singularity may be Apptainer, whose starter lies in a folder of its own name."""
    program = tmp_path / "singularity"
    program.write_text(f"#!/bin/sh\necho LIBEXECDIR={tmp_path}\n")
    program.chmod(0o755)
    starter = tmp_path / "apptainer" / "bin" / "starter-suid"
    starter.parent.mkdir(parents=True)
    starter.touch()
    starter.chmod(0o4755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert [each.level for each in node.runtime("apptainer")] == ["ok", "warning"]
