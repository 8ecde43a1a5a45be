"""Who an extractor runs as: the table of workers/rights.py, and what approves an extractor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.catalog.manifest import Manifest
from lustre_events.errors import ConfigError, ExtractorRefused
from tests.support.service.images import write_extractor
from workers import approvals, trial
from workers.privileges import Account, account_named, account_of
from workers.rights import OwnerRefused, Rights

SERVICE = Account("service", 900, 900)
ADA = Account("ada", 1001, 1001, (1001, 4000))
SYSTEM = Account("system", 200, 200)
USERS = {account.uid: account for account in (ADA, SYSTEM)}
NAMES = {account.name: account for account in USERS.values()}
ROOT = Rights(SERVICE, own_uid=0, by_uid=USERS.__getitem__, by_name=NAMES.__getitem__)
ADAS = replace(ROOT, account=None, own_uid=ADA.uid)
IMAGE = "0" * 64


@pytest.fixture
def site(tmp_path: Path) -> Manifest:
    """An extractor of the site."""
    return write_extractor(tmp_path, "tables", "")


@pytest.fixture
def adas(site: Manifest) -> Manifest:
    """Ada's own extractor."""
    return replace(site, owner="ada", uid=ADA.uid)


def as_owner(rights: Rights, *approved: Manifest) -> Rights:
    """Return rights by which extractors run as the owner of each file, where they are approved."""
    lines = {approvals.key_of(one): approvals.digest(one, IMAGE) for one in approved}
    return replace(rights, account=None, as_owner=True, approved=lambda: lines)


def test_one_account_for_all_files(site: Manifest) -> None:
    """With an account in run_as the site's extractors run as that, whoever owns the file."""
    assert [ROOT.account_for(site, IMAGE, uid) for uid in (0, ADA.uid)] == [SERVICE, SERVICE]
    assert ADAS.account_for(site, IMAGE, 4711) is None


def test_owner_of_the_opened_file(site: Manifest) -> None:
    """An approved extractor runs as the owner of each file, with that user's groups."""
    assert as_owner(ROOT, site).account_for(site, IMAGE, ADA.uid) == ADA


@pytest.mark.parametrize(
    ("uid", "reason"), [(0, "below [worker] min_uid = 1000"), (200, "below"), (5000, "not a user on this node")]
)
def test_no_system_user_and_no_stranger(site: Manifest, uid: int, reason: str) -> None:
    """Nothing runs as root, as a user below min_uid, or as one that this node does not know."""
    with pytest.raises(OwnerRefused) as caught:
        as_owner(ROOT, site).account_for(site, IMAGE, uid)

    assert reason in str(caught.value)
    assert f"uid {uid}" in str(caught.value)


def test_what_is_not_approved_does_not_run_as_owner(site: Manifest) -> None:
    """Without approval, with another image, or with another program than the approved one it is refused."""
    rights = as_owner(ROOT, site)
    changed = replace(site, digest="1" * 64)

    for refused, manifest, image in (
        (as_owner(ROOT), site, IMAGE),
        (rights, site, "2" * 64),
        (rights, changed, IMAGE),
    ):
        with pytest.raises(ExtractorRefused, match="then run: lustre-events extractor approve tables"):
            refused.account_for(manifest, image, ADA.uid)


def test_own_extractor_runs_as_its_user_only(adas: Manifest) -> None:
    """A user's own extractor runs as that user, whatever run_as says, and never as a system user."""
    assert ROOT.account_for(adas, IMAGE, 4711) == ADA
    assert as_owner(ROOT).account_for(adas, IMAGE, 4711) == ADA
    assert ADAS.account_for(adas, IMAGE, 4711) is None
    with pytest.raises(ExtractorRefused, match="uid 200 of system is below min_uid = 1000"):
        ROOT.account_for(replace(adas, owner="system"), IMAGE, 200)
    with pytest.raises(ExtractorRefused, match="bob is not a user on this node"):
        ROOT.account_for(replace(adas, owner="bob"), IMAGE, 200)


def test_worker_without_rights_says_and_refuses(site: Manifest, adas: Manifest) -> None:
    """A worker that is no root says at start what it will refuse, and refuses it as nobody's file's fault."""
    bobs = replace(ADAS, own_uid=1002)

    with pytest.raises(ExtractorRefused, match="this worker is not root"):
        bobs.account_for(adas, IMAGE, 1002)
    with pytest.raises(ExtractorRefused, match="belongs to uid 1001") as caught:
        as_owner(bobs).account_for(site, IMAGE, ADA.uid)

    assert not isinstance(caught.value, OwnerRefused)
    assert as_owner(bobs).account_for(site, IMAGE, 1002) is None
    assert [said[:27] for said in as_owner(bobs).said_at_start([site, adas])] == [
        "run_as_owner is true, but t", "ada/tables runs as ada only",
    ]  # fmt: skip
    assert ROOT.said_at_start([site, adas]) == []


def test_approvals_are_kept(site: Manifest, adas: Manifest, tmp_path: Path) -> None:
    """Approving writes one line per extractor, replaces the older one, and reading gives them back."""
    path = tmp_path / "etc" / "approved"
    assert approvals.read(path) == {}

    approvals.write(path, site, "1" * 64)
    approvals.write(path, adas, IMAGE)
    approvals.write(path, site, IMAGE)

    assert approvals.read(path) == {approvals.key_of(one): approvals.digest(one, IMAGE) for one in (site, adas)}
    assert path.read_text().splitlines()[0].startswith("extractor:ada/tables ")
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_extractor_and_an_action_of_one_name_are_both_approved(site: Manifest, tmp_path: Path) -> None:
    """Approving one takes nothing from the other, and a line of an earlier version stays good for its own."""
    path, action = tmp_path / "approved", replace(site, contract="action", digest="2" * 64)
    path.write_text(f"tables {approvals.digest(action, IMAGE)}\n")
    rights = replace(as_owner(ROOT), approved=lambda: approvals.read(path))
    assert rights.account_for(action, IMAGE, ADA.uid) == ADA
    with pytest.raises(ExtractorRefused, match="not approved"):
        rights.account_for(site, IMAGE, ADA.uid)

    approvals.write(path, site, IMAGE)
    assert [rights.account_for(each, IMAGE, ADA.uid) for each in (site, action)] == [ADA, ADA]
    approvals.write(path, replace(action, digest="3" * 64), IMAGE)
    assert rights.account_for(site, IMAGE, ADA.uid) == ADA
    with pytest.raises(ExtractorRefused, match="not approved"):
        rights.account_for(action, IMAGE, ADA.uid)


def test_what_has_two_kinds_must_be_told(site: Manifest) -> None:
    """A name that an extractor and an action have is not guessed at; with its kind it is found."""
    kinds = {"extractor": lambda: {"tables": site}, "action": lambda: {"tables": replace(site, contract="action")}}
    with pytest.raises(ConfigError, match="extractor and action have this name; say which: --kind action"):
        trial.find_one("tables", kinds)
    assert approvals.key_of(trial.find_one("tables", {"action": kinds["action"]})) == "action:tables"
    assert trial.find_one("tables", {"extractor": kinds["extractor"], "action": dict}) == site


def test_approvals_that_others_could_write_do_not_count(tmp_path: Path) -> None:
    """A file that others may change, or that is none of ours, approves nothing and is said."""
    path = tmp_path / "approved"
    path.write_text("tables 00\n")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="others could change it"):
        approvals.read(path)
    path.chmod(0o644)
    path.write_text("tables\n")
    with pytest.raises(ConfigError, match="each line must be a program and a digest"):
        approvals.read(path)


WHEEL = Account("wheel", 1002, 0)


def test_group_of_root_is_nobodys(site: Manifest, adas: Manifest) -> None:
    """An account has all groups of its user but root's, and who has that one first is refused, whatever runs."""
    rights = replace(as_owner(ROOT, site), by_uid=lambda _: WHEEL, by_name=lambda _: WHEEL)
    with pytest.raises(OwnerRefused, match="root's group"):
        rights.account_for(site, IMAGE, WHEEL.uid)
    with pytest.raises(OwnerRefused, match="root's group"):
        rights.owner(WHEEL.uid)
    with pytest.raises(ExtractorRefused, match="root's group"):
        rights.account_for(replace(adas, owner=WHEEL.name), IMAGE, WHEEL.uid)
    assert 0 not in account_named("root").groups
    assert account_of(account_named("nobody").uid).name == "nobody"
