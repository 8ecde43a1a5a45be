"""Changelog users and masks through lctl, with a script in its place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lustre_events.changelog.lctl import ChangelogUser, Lctl, Users, parse_users
from lustre_events.errors import ChangelogRefused, ChangelogUnavailable, ChangelogUserUnknown, ConfigError
from tests.support.rows import each_row
from tests.support.servers.lctl import MDT, fake_lctl


@pytest.fixture
def lctl(tmp_path: Path) -> Lctl:
    return Lctl(fake_lctl(tmp_path))


def test_users_of_a_real_system_are_read() -> None:
    """What lctl printed on a live Lustre, with and without a name and a mask, also for several MDTs at once."""
    text = (
        "mdd.lustre-MDT0000.changelog_users=\ncurrent_index: 9120\n"
        "ID                            index (idle) mask\n"
        "cl1                               0 (10)\n"
        "cl16-nm1   7912 (0) mask=MARK,CREAT,UNLNK\n"
    )

    assert parse_users(MDT, text) == Users(
        MDT,
        9120,
        (ChangelogUser("cl1", 0, 10, ()), ChangelogUser("cl16-nm1", 7912, 0, ("MARK", "CREAT", "UNLNK"))),
    )


def test_users_of_an_old_server_are_read() -> None:
    """Before 2.12 there is neither an idle time nor a mask."""
    found = parse_users(MDT, "current index: 5\nID    index\ncl2   3\n")

    assert found == Users(MDT, 5, (ChangelogUser("cl2", 3, None, ()),))


@each_row("text", ["", "nonsense", "ID index\ncl1 4\n"])
def test_other_text_is_refused(text: str) -> None:
    """What is no list of users is not taken for an empty one."""
    with pytest.raises(ChangelogRefused, match="current_index"):
        parse_users(MDT, text)


def test_the_mdts_of_an_mds(lctl: Lctl) -> None:
    """On an MDS that is no client, lctl knows which MDTs there are."""
    assert lctl.mdts() == [MDT, "lustre-MDT0002"]


def test_register_with_name_and_mask(lctl: Lctl) -> None:
    """The id that the server gave, with the name in it, comes back, and the user is listed with its mask."""
    assert lctl.register(MDT, "lustre-events", "creat unlnk") == "cl1-lustre-events"

    assert lctl.users(MDT).users == (ChangelogUser("cl1-lustre-events", 812, 0, ("CREAT", "UNLNK")),)


def test_an_old_server_registers_without_the_name(tmp_path: Path) -> None:
    """Where lctl knows no names the user is registered without one; a mask that was asked for is not dropped."""
    lctl = Lctl(fake_lctl(tmp_path, "old"))

    assert lctl.register(MDT, "audit") == "cl1"
    with pytest.raises(ChangelogRefused, match="invalid option"):
        lctl.register(MDT, "audit", "CREAT")
    assert len(lctl.users(MDT).users) == 1


def test_a_refusal_is_said_and_not_tried_again(tmp_path: Path) -> None:
    """Any other failure is the server's word: told once, with the command."""
    lctl = Lctl(fake_lctl(tmp_path, "full"))

    with pytest.raises(ChangelogRefused, match=f"No space left.*lctl --device {MDT} changelog_register -u audit"):
        lctl.register(MDT, "audit")
    assert (tmp_path / "calls").read_text().count("changelog_register") == 1


def test_deregister(lctl: Lctl) -> None:
    """A user that is not registered is told with those that are; one that is, goes."""
    lctl.register(MDT, "audit")
    with pytest.raises(ChangelogUserUnknown, match="registered are: cl1-audit"):
        lctl.deregister(MDT, "cl7")
    lctl.deregister(MDT, "cl1-audit")

    assert lctl.users(MDT).users == ()
    with pytest.raises(ConfigError, match="not a changelog user's id"):
        lctl.deregister(MDT, "audit; reboot")


@pytest.mark.parametrize(
    ("mask", "sent"),
    [("CREAT,CLOSE", "CREAT+CLOSE"), ("+open -atime", "+OPEN-ATIME"), ("ALL", "ALL"), ("creat", "CREAT")],
)
def test_masks_survive_old_servers_and_ssh(lctl: Lctl, mask: str, sent: str) -> None:
    """A mask is sent without commas (older servers) and without blanks (ssh splits at them)."""
    lctl.set_mask(MDT, mask)

    assert lctl.mask(MDT) == (sent,)


def test_the_mask_is_what_is_recorded(tmp_path: Path) -> None:
    """A server that has a mask per user is asked for what it records for all of them, not for its own mask."""
    assert Lctl(fake_lctl(tmp_path, "masks")).mask(MDT) == ("MARK", "CREAT", "MKDIR", "CLOSE")
    assert Lctl(fake_lctl(tmp_path, "old")).mask(MDT) == ("MARK", "CREAT", "MKDIR")


def test_a_wrong_mask_names_the_nearest(lctl: Lctl, tmp_path: Path) -> None:
    """An unknown symbol is refused here, before anything is set."""
    with pytest.raises(ConfigError, match=r"RENAME is not a record type; did you mean RENME\?"):
        lctl.set_mask(MDT, "CREAT,RENAME")
    assert not (tmp_path / "calls").exists()


def test_the_mdt_of_another_node_gives_the_command(lctl: Lctl) -> None:
    """On a node that is not the MDT's, the sentence has the exact command to run there."""
    with pytest.raises(ChangelogUnavailable, match=r"run: lctl get_param -n mdd\.other-MDT0001\.changelog_users$"):
        lctl.users("other-MDT0001")
    with pytest.raises(
        ChangelogUnavailable, match=r"run: lctl --device other-MDT0001 changelog_register -u audit -m CREAT,CLOSE$"
    ):
        lctl.register("other-MDT0001", "audit", "CREAT,CLOSE")


def test_without_lctl_the_command_is_given(tmp_path: Path) -> None:
    """Where there is no lctl at all, too."""
    with pytest.raises(ChangelogUnavailable, match=f"run: lctl --device {MDT} changelog_register$"):
        Lctl([str(tmp_path / "none")]).register(MDT)


def test_a_command_that_hangs_is_ended() -> None:
    """An ssh that gets no answer does not hang the command for ever."""
    with pytest.raises(ChangelogUnavailable, match="no answer within 0 s"):
        Lctl([sys.executable, "-P", "-c", "import time; time.sleep(60)"], timeout_seconds=0.3).mask(MDT)


def test_the_command_may_depend_on_the_mdt(tmp_path: Path) -> None:
    """{mdt} in the command stands for the MDT: each may live on another server."""
    program = "import sys; print('current_index: 1' if sys.argv[1] == 'mds-of-x-MDT0003' else 'wrong')"
    lctl = Lctl([sys.executable, "-P", "-c", program, "mds-of-{mdt}"])

    assert lctl.users("x-MDT0003").current_index == 1
