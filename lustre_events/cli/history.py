"""`lustre-events history`: who did what to a file or in a directory, and when."""

from __future__ import annotations

import fnmatch
import json
import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from lustre_events.changelog.fid import FID
from lustre_events.cli.options import index_of, with_index, with_settings, with_viewer
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError
from lustre_events.history import lines
from lustre_events.history.archive import Archive
from lustre_events.history.story import Deed, Former, Present, Story, Teller
from lustre_events.index import open_search
from lustre_events.index.query.literals import time_interval
from lustre_events.index.reading import Reading
from lustre_events.index.search.hits import printable
from lustre_events.index.visibility import DirectoryAccess, Viewer, user_name
from lustre_events.inspect.tail import types_of


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which deeds are shown."""

    since_ns: int
    until_ns: int
    uid: int | None
    job: str
    types: frozenset[int]

    def __contains__(self, deed: Deed) -> bool:
        record = deed.happening.record
        return (
            self.since_ns <= record.time_ns < self.until_ns
            and self.uid in {None, record.uid}
            and (not self.job or fnmatch.fnmatchcase(record.jobid.decode("utf-8", "surrogateescape"), self.job))
            and (not self.types or record.type in self.types)
        )


def _time(_ctx: click.Context, option: click.Parameter, text: str | None) -> tuple[int, int] | None:
    try:
        return None if text is None else time_interval(text, time.time_ns())
    except ValueError as exc:
        raise ConfigError(f"--{(option.name or '').replace('_', '-')} {text}: {exc}") from exc


def _uid(_ctx: click.Context, _option: click.Parameter, name: str | None) -> int | None:
    if name is None or name.isdecimal():
        return None if name is None else int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as exc:
        raise ConfigError(f"--user {name}: this machine knows no such user; give the UID") from exc


@click.command("history")
@click.argument("target", metavar="FID|PATH|DIRECTORY/**")
@click.option("--since", callback=_time, metavar="TIME", help="From then on: 2026-11-22, 2026-11-22T10:00, now-7d.")
@click.option("--until", callback=_time, metavar="TIME", help="Up to then, that day or minute too.")
@click.option("--user", "uid", callback=_uid, help="Only what this user did: a name or a UID.")
@click.option("--job", default="", metavar="JOBID", help="Only what this job did; * and ? stand for anything.")
@click.option("--types", default="", help="Only these record types, e.g. UNLNK,RENME.")
@click.option("--as-of", callback=_time, metavar="TIME", help="List what was in a directory then.")
@with_viewer
@with_settings
@with_index
@click.option("--json", "as_json", is_flag=True, help="One JSON object per record.")
def history_command(
    target: str,
    *,
    since: tuple[int, int] | None,
    until: tuple[int, int] | None,
    uid: int | None,
    job: str,
    types: str,
    as_of: tuple[int, int] | None,
    viewer: Viewer | None,
    settings: Settings,
    index_url: str | None,
    as_json: bool,
) -> None:
    """Say who did what to a file, or in a directory and all below it (DIRECTORY/**), and when.

    Each line has the time (UTC), what happened, the path at that time, and the user, job and client as far as the
    records say. A path may be one that is gone; renames are followed both ways. Standard error says where the
    history does not reach, or records are missing.
    """
    wanted = _Wanted(
        since[0] if since else 0,
        until[1] if until else 1 << 63,
        uid,
        job,
        types_of(types) if types else frozenset(),
    )
    path = _below(target, settings.filesystem.mount)
    with _teller(settings, index_of(settings, index_url), viewer) as teller:
        if as_of is not None:
            _print_former(teller, path, as_of[1] - 1, as_json=as_json)
            return
        story = _story(teller, path)
    for deed in story.deeds:
        if deed in wanted:
            click.echo(json.dumps(lines.as_json(deed)) if as_json else lines.line(deed, printable, user_name))
    for remark in lines.remarks(story, wanted.since_ns):
        click.echo(remark, err=True)


@contextmanager
def _teller(settings: Settings, index_url: str, viewer: Viewer | None) -> Iterator[Teller]:
    archive = Archive(Path(settings.history.folder))
    with open_search(index_url) as search, search.moment(visible_to=viewer) as (reading, access):
        yield Teller(archive, present(reading, access, viewer))


def present(reading: Reading, access: DirectoryAccess | None, viewer: Viewer | None) -> Present:
    """Return what a moment of the index knows, as a history asks for it."""

    def entries(directory: FID, after: bytes, limit: int) -> list[tuple[bytes, FID, str | None]]:
        return [(each.name, each.fid, each.type) for each in reading.entries(directory, after, limit)]

    uid = None if viewer is None else viewer.uid
    return Present(reading.links, reading.child, entries, access, uid)


def _story(teller: Teller, path: bytes) -> Story:
    if path.endswith(b"/**") or path == b"**":
        return teller.of_tree(_objects(teller, path[:-2].rstrip(b"/")))
    return teller.of_objects(_objects(teller, path))


def _objects(teller: Teller, path: bytes) -> set[FID]:
    if path.lstrip(b"[").startswith(b"0"):
        with suppress(ConfigError, UnicodeDecodeError):
            return {FID.parse(path.decode("ascii"))}
    found = teller.fids_at(path)
    if not found:
        raise ConfigError(
            f"/{printable(path.strip(b'/'))}: neither the index nor the history knows such a path; "
            "names count as they are written, with their case"
        )
    return found


def _print_former(teller: Teller, path: bytes, time_ns: int, *, as_json: bool) -> None:
    former, coverage = teller.as_of(_objects(teller, path), time_ns)
    for each in former:
        click.echo(json.dumps(_former_json(each)) if as_json else f"{each.fid}  {printable(each.name)}")
    for remark in lines.coverage_remarks(coverage, time_ns):
        click.echo(remark, err=True)


def _former_json(each: Former) -> dict[str, object]:
    name = each.name.decode("utf-8", "surrogateescape")
    return {"fid": str(each.fid), "name": name, "certain": each.certain}


def _below(target: str, mount: str) -> bytes:
    """Return a path as the index has it: also one that begins with the mount point will do."""
    return os.fsencode(target).removeprefix(os.fsencode(mount).rstrip(b"/") + b"/")
