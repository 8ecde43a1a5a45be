"""The page of the history: who did what to a file or in a directory, as far as the viewer may know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask

from lustre_events.errors import ConfigError
from lustre_events.history import formatting
from lustre_events.history.gaps import Missing
from lustre_events.history.lookup import Deed
from lustre_events.inspect import history
from lustre_events.inspect.history import ChosenDeeds
from lustre_events.web import signin

pages = flask.Blueprint("history", __name__)

MOST = 1_000
"""Deeds of one page: the last ones."""
SECONDS = 30.0
"""How long a history may hold one of the console's threads."""
FEW = 10
"""Deeds on the page of a file."""
FIELDS = ("path", "since", "until", "user", "job", "types", "as_of")


@pages.get("/history")
def happened() -> str | tuple[str, int]:
    """Show what happened at a path, in a directory, or to an object. The address is all of the page's state."""
    asked = {name: flask.request.args.get(name, "").strip() for name in FIELDS}
    shown: dict[str, Any] = {
        "asked": asked, "deeds": (), "former": None, "more": 0, "remarks": (), "mistake": "", "told": told,
        "begins_ns": begins_ns,
    }  # fmt: skip
    try:
        return flask.render_template("history.html", **shown | (_looked(asked) if asked["path"] else {}))
    except ConfigError as exc:
        return flask.render_template("history.html", **shown | {"mistake": str(exc)}), 400


def _looked(asked: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page shows of a path. Raises ConfigError."""
    site = flask.current_app.extensions["site"]
    choice = ChosenDeeds.of(*(asked[name] for name in FIELDS[1:-1]))
    if site.past is None:
        raise ConfigError("no history is kept here; an administrator sets [history] days")
    path = asked["path"].removeprefix(site.mount.rstrip("/") + "/").encode("utf-8", "surrogateescape")
    viewer = signin.person().viewer
    with site.search() as index, history.teller(site.past, index, viewer, SECONDS) as teller:
        if asked["as_of"]:
            former = history.stood(teller, path, history.moment("as of", asked["as_of"])[1] - 1)
            gaps = [gap.sentence for gap in former.gaps]
            return {"former": former.entries[:MOST], "remarks": [*gaps, *former.remarks],
                    "more": max(0, len(former.entries) - MOST)}  # fmt: skip
        story = history.story(teller, path)
    deeds = choice.of_story(story)
    shown = formatting.timeline(
        deeds[-MOST:], choice.gaps(story.coverage), lambda deed: deed.happening.time_ns, lambda gap: gap.after_ns
    )
    return {
        "deeds": list(shown)[::-1],
        "more": max(0, len(deeds) - MOST),
        "remarks": list(formatting.remarks(story, choice.since_ns)),
    }


def last(target: bytes) -> list[tuple[int, str]]:
    """Return the last deeds about an object, as (time in ns, sentence), the newest first."""
    site = flask.current_app.extensions["site"]
    if site.past is None:
        return []
    with site.search() as index:
        deeds = history.last_deeds(site.past, index, target, signin.person().viewer, FEW)
    return [(deed.happening.record.time_ns, told(deed)) for deed in reversed(deeds)]


def told(deed: Deed | Missing) -> str:
    """Return a deed without its time, or what is missing; the template escapes it."""
    if isinstance(deed, Missing):
        return formatting.gap_sentence(deed)
    return history.sentence(deed)


def begins_ns(deed: Deed | Missing) -> int:
    """Return when a deed happened, or behind which time records are missing."""
    return deed.after_ns if isinstance(deed, Missing) else deed.happening.record.time_ns
