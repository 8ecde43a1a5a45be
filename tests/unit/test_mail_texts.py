"""What a mail says: in words, on one line for each path, whatever bytes a name has."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from email import message_from_bytes, policy

from hypothesis import given
from hypothesis import strategies as st

from lustre_events.actions import bodies
from lustre_events.actions.delivery import Parcel
from lustre_events.actions.endpoints.mail_message import letters_of
from lustre_events.catalog.subscriptions import MOST_IN_A_MAIL, FollowedSearch, rule_of
from lustre_events.changelog.fid import FID
from lustre_events.domain.action_run import Run, Seen
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.triggers import AFTER, DIRECTORY, DOCUMENT, TRIGGERS
from tests.support.model import actions
from tests.support.model.actions import ENDPOINTS, KNOWN, own_rules_of, rules_of
from tests.support.rows import each_row
from tests.support.service.command import REPOSITORY

ALICE = replace(actions.ALICE, allowance=replace(actions.ALICE.allowance, body_bytes=16 << 10))
PAGE = REPOSITORY / "docs" / "actions.md"
SITE = '[[rule]]\nname = "raw data"\naction = "mail"\nendpoint = "managers"\n'
NAMES = st.binary(min_size=1, max_size=255).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
HOSTILE = (
    b"two\nlines",
    b"return\rhere",
    b"caf\xe9",
    b"x" * 255,
    "\u202egnp.exe".encode(),
    b"a\r\nBcc: x@example.org",
)


def site_rule(more: str = "") -> ActionRule:
    """Return a rule of the site that sends a mail."""
    return rules_of(SITE + more).actions.rules[0]


def follows(name: str = "hot") -> ActionRule:
    """Return the rule of alice's subscription to a search."""
    return rule_of(ALICE, FollowedSearch(name, "temperature:>300", "managers"), KNOWN)


def said(rule: ActionRule, *paths: bytes, trigger: str = "content") -> list[tuple[str, list[str]]]:
    """Return subject and lines of the mails about paths, as a mail program reads them."""
    letters, refused = letters_of([parcel(rule, path, trigger) for path in paths], ENDPOINTS["managers"], _nobody)
    assert refused == {}
    found = [message_from_bytes(each.message.as_bytes(), policy=policy.default) for each in letters]
    return [(str(each["Subject"]), each.get_content().splitlines()) for each in found]


def parcel(rule: ActionRule, path: bytes, trigger: str) -> Parcel:
    """Return what is sent about a path."""
    run = Run(
        id="1", key=path.hex(), rule=rule.name, digest="d", trigger=trigger, endpoint="managers", action="mail",
        fid=FID(0x200000400, 1, 0), event_ns=1_700_000_000 * 10**9,
    )  # fmt: skip
    seen = Seen(size=12, uid=1000, gid=100, mtime_ns=1_600_000_000 * 10**9)
    return Parcel("1", run.key, bodies.rendered(rule, run, bodies.known_of(run, path, seen, {})))


def _nobody(_key: str) -> frozenset[str]:
    return frozenset()


def test_a_subscription_says_which_files_match_which_search_and_how_it_ends() -> None:
    """The subject has count and search; the text has the paths, the query, and where to stop."""
    ((subject, lines),) = said(follows(), b"proj/b.h5", b"proj/a.h5", trigger=DOCUMENT)
    assert subject == "2 new or changed files match your search 'hot'"
    assert lines == [
        "2 new or changed files match your search 'hot':",
        "",
        "/proj/a.h5",
        "/proj/b.h5",
        "",
        "The query: temperature:>300",
        "",
        "This mail comes because alice subscribed to this search. To stop these mails, open the console as",
        "alice, follow the link 'Saved searches', and press 'Stop' beside 'hot'.",
    ]
    ((subject, lines),) = said(follows(), b"proj/a.h5", trigger=DOCUMENT)
    assert subject == "1 new or changed file matches your search 'hot'"
    assert "/proj/a.h5" in lines


def test_the_page_of_actions_shows_these_mails() -> None:
    """The two mails on docs/actions.md are what a subscription and a rule of alice's send."""
    (rule,) = own_rules_of(SITE.replace("raw data", "my tables"), ALICE).actions.by_name.values()
    shown = re.findall(r"^```eml\nSubject: (.*)\n\n((?:.*\n)*?)```", PAGE.read_text(), re.MULTILINE)
    found = said(follows(), b"proj/a.h5", b"proj/b.h5", trigger=DOCUMENT) + said(rule, b"home/alice/today.csv")
    assert [(subject, text.splitlines()) for subject, text in shown] == found


def test_files_that_a_search_matches_meanwhile_come_together() -> None:
    """A subscription by mail is sent in batches; one by webhook sends each event as before."""
    assert (follows().batch, follows().search) == (MOST_IN_A_MAIL, "hot")
    assert rule_of(ALICE, FollowedSearch("hot", "*", "beamline"), KNOWN).batch == 1


@each_row("name", HOSTILE)
@each_row("rule", [follows(), site_rule(), site_rule('body = "{path}\\nthe end"\n')])
def test_a_hostile_name_is_one_line_of_a_mail(rule: ActionRule, name: bytes) -> None:
    """Whatever a name has, its mail has as many lines as one about a harmless name, and no header more."""
    ((subject, lines),) = said(rule, name)
    ((_, harmless),) = said(rule, b"a.csv")
    assert len(lines) == len(harmless)
    assert all(line.isprintable() for line in [subject, *lines])
    assert len(subject) <= 200


@given(NAMES, st.sampled_from([follows(), site_rule()]))
def test_no_name_breaks_a_mail(name: bytes, rule: ActionRule) -> None:
    """Any bytes of a name leave the mail readable: one subject, the same number of lines, all printable."""
    ((subject, lines),) = said(rule, name)
    assert len(lines) == len(said(rule, b"a")[0][1])
    assert all(line.isprintable() for line in [subject, *lines])


def test_a_rule_without_a_body_says_in_words_what_happened() -> None:
    """The default mail is text: what happened to which path, what is known of it, and who sends it."""
    ((subject, lines),) = said(site_rule(), b"raw/a.raw")
    assert subject == "a.raw was written (rule 'raw data')"
    assert lines == [
        "/raw/a.raw was written.",
        "",
        "Size in bytes: 12",
        "Modified: 2020-09-13T12:26:40.000000Z",
        "Owner (uid): 1000",
        "Group (gid): 100",
        "FID: [0x200000400:0x1:0x0]",
        "When: 2023-11-14T22:13:20.000000Z",
        "",
        "The site's rule 'raw data' sends this mail. To stop it, ask your administrators.",
    ]


@each_row("trigger", [*TRIGGERS, DOCUMENT, DIRECTORY, AFTER])
def test_whatever_happened_has_words(trigger: str) -> None:
    """Every trigger has a sentence of its own about the file."""
    rule = replace(site_rule(), after="reduce")
    ((subject, lines),) = said(rule, b"a.csv", trigger=trigger)
    assert subject.startswith(("a.csv was ", "a.csv has ", "a.csv is ", "a.csv: rule 'reduce' "))
    assert subject.removesuffix(" (rule 'raw data')") == lines[0].lstrip("/").rstrip(".")


def test_a_users_rule_says_whose_file_stops_it() -> None:
    """A mail of a user's own rule names the rule without the user, and the file to remove it from."""
    (rule,) = own_rules_of(SITE.replace("raw data", "my tables"), ALICE).actions.by_name.values()
    ((subject, lines),) = said(rule, b"home/a.csv")
    assert subject == "a.csv was written (rule 'my tables')"
    assert lines[-2:] == [
        "The rule 'my tables' of alice sends this mail. To stop it, remove the rule from alice.toml,",
        "the file of alice's own rules.",
    ]


def test_a_body_of_the_rules_own_is_sent_as_it_says() -> None:
    """A text stays the text; a table stays JSON, for programs that read mails."""
    assert said(site_rule('body = "{name} has {size} bytes"\n'), b"a.csv")[0][1] == ["a.csv has 12 bytes"]
    assert json.loads("".join(said(site_rule('body = { size = "{size}" }\n'), b"a.csv")[0][1])) == {"size": 12}


def test_a_name_that_is_no_utf8_says_so() -> None:
    """Percent signs that stand for bytes are explained beside the path."""
    ((_, lines),) = said(follows(), b"caf\xe9", trigger=DOCUMENT)
    assert "/caf%E9 (this name is not UTF-8: %XX stands for one byte)" in lines


def test_a_body_of_the_version_before_is_still_sent() -> None:
    """What a dispatcher of the version before has made, without a search in it, is a mail as it was."""
    old = {"subject": "root/search hot: document /a", "text": "{}", "time_ns": 10**18, "user": "root"}
    letters, refused = letters_of([Parcel("1", "k", json.dumps(old).encode())], ENDPOINTS["managers"], _nobody)
    assert (len(letters), refused) == (1, {})
