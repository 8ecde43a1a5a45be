"""`transfer`: rules that copy files, or all below a directory, to an endpoint by rsync or rclone; such endpoints.

    [endpoint.archive]
    kind = "transfer"
    url = "rsync://archive.example.org/incoming"    # file:///archive/incoming, rclone://REMOTE/BUCKET/PATH
    secret = "/etc/lustre-events/secrets/archive"   # rsync://: a file with USER:PASSWORD
    config = "/etc/lustre-events/rclone.conf"       # rclone://: a file of rclone with [REMOTE]

File workers of the site do it, as the owner of each file, with a program that the site has approved there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from lustre_events.config.tables import Location
from lustre_events.domain.triggers import AFTER, CONTENT, CREATED, DIRECTORY, DOCUMENT, RENAMED

KIND = "transfer"
SCHEMES = ("rsync", "file", "rclone")
"""How the URL of such an endpoint begins: a daemon of rsync, a directory of the node, a remote of rclone."""
PROGRAMS = {"rsync": "/usr/bin/rsync", "file": "/usr/bin/rsync", "rclone": "/usr/bin/rclone"}
SECONDS = 3_600.0
"""How long one attempt may take, where the endpoint does not say it."""
BANDWIDTH = re.compile(r"[1-9]\d{0,6}[kMG]\Z")
_REMOTE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")
_TRIGGERS = frozenset({CONTENT, CREATED, RENAMED, DOCUMENT, DIRECTORY, AFTER})
_ELSEWHERE = ("body", "audience", "outputs")


def endpoint_name(name: str) -> str:
    """Return what an endpoint of the site's file is called where file workers copy to it; none is named so."""
    return f"{KIND}:{name}"


def target_of(endpoint: str) -> str:
    """Return the endpoint that `endpoint_name` was given; empty: this is another one."""
    return endpoint.removeprefix(f"{KIND}:") if endpoint.startswith(f"{KIND}:") else ""


def scheme_of(url: str) -> str:
    """Return how a URL begins."""
    return urlsplit(url).scheme


def program_of(url: str, program: str) -> str:
    """Return the program that copies to a URL, with its path."""
    return program or PROGRAMS[scheme_of(url)]


def path_of(url: str) -> bytes:
    """Return the path in a URL, without the slash that begins it."""
    return unquote_to_bytes(urlsplit(url).path)[1:]


def remote_of(url: str) -> str:
    """Return the remote of rclone that a URL names, as it is written."""
    return urlsplit(url).netloc


def check_url(location: Location, url: str, *, secret: str, config: str, private: bool) -> None:
    """Refuse what no endpoint of this kind has. Raises `location.error`."""
    parts, at = urlsplit(url), location.at
    _check_path(location, url)
    if parts.scheme != "rsync" and secret:
        raise at("secret").refusal("is for rsync:// only; what rclone needs is in its `config`")
    if (parts.scheme == "rclone") != bool(config):
        raise at("config").refusal(
            f"must name a file of rclone with [{remote_of(url)}] in it" if not config else "is for rclone:// only"
        )
    if parts.scheme == "rclone":
        _check_remote(location, parts.netloc, private=private)


def _check_path(location: Location, url: str) -> None:
    parts, path, at = urlsplit(url), path_of(url), location.at("url")
    if parts.query or b"\0" in path:
        raise at.refusal("has a ? or a zero byte in it, which no such place has; remove it")
    if {b".", b".."} & set(path.split(b"/")):
        raise at.refusal("has . or .. in its path; write where it leads")
    if parts.scheme == "file" and (parts.netloc or not path.strip(b"/")):
        raise at.refusal("must be file:///DIRECTORY, with three slashes and not the root directory")
    if parts.scheme == "rsync" and not path.strip(b"/"):
        raise at.refusal("must be rsync://HOST/MODULE, perhaps with a path behind it")


def _check_remote(location: Location, remote: str, *, private: bool) -> None:
    if not _REMOTE.match(remote):
        raise location.at("url").refusal("must be rclone://REMOTE/PATH; in REMOTE use a-z, A-Z, 0-9, ., - and _")
    if not private:
        raise location.at("private").refusal(
            "must be true: rclone's own file says where a remote is, so its address cannot be checked in advance"
        )


def check(location: Location, table: Mapping[str, Any], on: frozenset[str]) -> None:
    """Refuse what a rule of `transfer` cannot say. Raises `location.error`."""
    for name in _ELSEWHERE:
        if name in table:
            raise location.at(name).refusal("is not for transfer, which copies the file itself; remove it")
    if not on <= _TRIGGERS:
        raise location.at("on").refusal(
            f"has {', '.join(sorted(on - _TRIGGERS))}; a transfer copies what is there:"
            f" {', '.join(sorted(_TRIGGERS - {AFTER}))}"
        )
    if tuple(table.get("types", ("f",))) != ("f",):
        raise location.at("types").refusal(
            f"has more than f; a transfer copies files, or all below a directory with on = {DIRECTORY!r}"
        )
    given = table.get("with")
    if DIRECTORY in on or (isinstance(given, dict) and "files" in given):
        check_alone(location, table.get("batch", 1))


def check_alone(location: Location, batch: int) -> None:
    """Refuse that runs go out together each of which copies many files. Raises `location.error`."""
    if batch > 1:
        raise location.at("batch").refusal(
            "is for rules that copy one file each, and a run of this rule copies many files; remove it"
        )


def check_granted(location: Location, settings: Mapping[str, Any]) -> None:
    """Refuse that a user copies outputs to an endpoint that is granted for some directories only.

    A grant is asked about the run's own file, and its outputs may lie elsewhere. Raises `location.error`.
    """
    if "files" in settings:
        raise location.at("with").refusal(
            "has files, and the site grants this endpoint for some directories only; ask for one without"
            " `directories`"
        )
