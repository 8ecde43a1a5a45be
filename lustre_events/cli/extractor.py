"""`lustre-events extractor`: a user's way to an extractor of their own, and what becomes of installed ones."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lustre_events import subprocesses
from lustre_events.catalog import build as building
from lustre_events.catalog import install, manifest, shipped, template
from lustre_events.cli.options import index_of, with_index, with_settings
from lustre_events.config import places
from lustre_events.config.settings import Settings
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.index.opening import open_search
from lustre_events.node import wiring
from lustre_events.repair.reprocess import reprocess

config_option = click.option(
    "--config", "config_path", envvar="LUSTRE_EVENTS_CONFIG", metavar="FILE", help="Settings (TOML)."
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per file.")


@click.group("extractor")
def extractor_command() -> None:
    """Make, check, try, install and list extractors."""


@extractor_command.command("init")
@click.argument("folder", metavar="NAME", type=click.Path(path_type=Path))
@click.option(
    "--contract",
    type=click.Choice(list(template.PROGRAMS)),
    default="batch",
    show_default=True,
    help="Many files per run, or one.",
)
def init(folder: Path, *, contract: str) -> None:
    """Make a folder with a working extractor to start from.

    NAME may be a path.
    """
    for path in template.write(folder, contract):
        click.echo(path)


@extractor_command.command("validate")
@click.argument("target", metavar="FOLDER|NAME")
@config_option
def validate(target: str, *, config_path: str | None) -> None:
    """Check an extractor, and run it on its samples.

    It checks manifest, program, image, and the document of each sample.
    """
    _workers(config_path, "validate", target)


@extractor_command.command("try")
@click.argument("target", metavar="FOLDER|NAME")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@as_json_option
@config_option
def try_(target: str, files: tuple[str, ...], *, as_json: bool, config_path: str | None) -> None:
    """Run an extractor on files as a worker would.

    It prints each document, or why there is none.
    """
    _workers(config_path, "try", *(["--json"] if as_json else []), target, "--", *files)


@extractor_command.command("build")
@click.argument("target", metavar="FOLDER|NAME")
@with_settings
def build(target: str, *, settings: Settings) -> None:
    """Build an extractor's image from NAME.def in its folder.

    The image goes into [worker] images.
    """
    found = _installed_or_folder(settings, target)
    name = found.image or settings.worker.default_image
    image = Path(settings.worker.images) / (name if name.endswith(".sif") else f"{name}.sif")
    click.echo(f"{image}: building it takes a minute or two", err=True)
    way = building.build(found.folder / f"{found.name}.def", image)
    click.echo(f"{image}: built, {way}")


@extractor_command.command("add")
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--link", is_flag=True, help="Link to FOLDER instead of copying it.")
@click.option(
    "--own", is_flag=True, help="Add it as your own, to [worker] user_extractors or [actions] user_actions."
)
@click.option("--no-validate", is_flag=True, help="Do not run it on its samples first.")
@config_option
def add(folder: Path, *, link: bool, own: bool, no_validate: bool, config_path: str | None) -> None:
    """Validate and install an extractor or action.

    It goes into the first folder of [worker] extractors, or of [actions] folders, where dispatcher and workers
    find it.
    """
    settings = places.settings(Path(config_path) if config_path else None)
    is_action = manifest.load(folder.absolute()).contract == manifest.ACTION
    place = _action_place(settings, own=own) if is_action else _place(settings, own=own)
    if not no_validate:
        done = subprocess.run(_workers_argv(config_path, "validate", f"{folder.absolute()}/"), check=False)
        if done.returncode:
            sys.exit(done.returncode)
    click.echo(f"{install.add(folder, place, link=link)}: added; dispatcher and workers find it by themselves")


@extractor_command.command("approve")
@click.option(
    "--kind",
    type=click.Choice(["extractor", "action"]),
    help="Whether NAME is an extractor or an action, if both exist.",
)
@click.argument("target", metavar="NAME")
@config_option
def approve(target: str, *, kind: str | None, config_path: str | None) -> None:
    """Approve an extractor or action to run as file owners.

    With [worker] run_as_owner it then runs as the owner of each file. If it changes, approve it again.
    """
    _workers(config_path, "approve", *(["--kind", kind] if kind else []), target)


@extractor_command.command("list")
@with_settings
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_(*, settings: Settings, as_json: bool) -> None:
    """List the installed extractors, and which are suspended."""
    states = _states(settings)
    for name, each in sorted(wiring.catalog(settings).extractors().items()):
        state = states.get(name, {})
        if as_json:
            click.echo(json.dumps(json.loads(manifest.to_json(each)) | {"identity": name, "state": state}))
        else:
            waits = " (disabled)" if state.get("disabled") else ""
            waits += f" (suspended: {state['suspended']})" if state.get("suspended") else ""
            click.echo(f"{name:<12} {each.version:<6} {each.description}{waits}")


@extractor_command.command("suspend")
@click.argument("name")
@click.option("--reason", default="", help="The reason, which `status` shows.")
@with_settings
def suspend(name: str, *, reason: str, settings: Settings) -> None:
    """Suspend NAME: its work waits until `resume`."""
    _change(settings, "suspend", name, reason=reason)


@extractor_command.command("resume")
@click.argument("name")
@with_settings
def resume(name: str, *, settings: Settings) -> None:
    """Resume NAME after `suspend`, or after it was suspended."""
    _change(settings, "resume", name)


@extractor_command.command("disable")
@click.argument("name")
@with_settings
def disable(name: str, *, settings: Settings) -> None:
    """Stop scheduling NAME: changes make no work for it.

    What changed meanwhile is caught up by `reprocess`, after `enable`.
    """
    _change(settings, "disable", name)


@extractor_command.command("enable")
@click.argument("name")
@with_settings
def enable(name: str, *, settings: Settings) -> None:
    """Schedule NAME again after `disable`.

    `reprocess` catches up on what changed meanwhile.
    """
    _change(settings, "enable", name)


@extractor_command.command("reprocess")
@click.argument("name")
@click.option(
    "--where", "query", required=True, metavar="QUERY", help="Which files, as a query of `search`; type:f: all."
)
@click.option("--detach", is_flag=True, help="Continue in the background.")
@with_index
@with_settings
def reprocess_command(name: str, *, query: str, detach: bool, index_url: str | None, settings: Settings) -> None:
    """Have files extracted again, e.g. by a new version.

    Those that QUERY finds and a rule gives to NAME; new and changed files go first.
    """
    if detach:
        _detach()
        return
    requests = wiring.requests(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rows, said = 0, ""
    with (
        open_search(index_of(settings, index_url)) as search,
        Progress(*columns, console=Console(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task(name, total=None)
        for each in reprocess(search, requests, name, query):
            bar.update(task, total=each.total, completed=each.done)
            rows = each.rows
            if each.waits != said:
                said = each.waits
                bar.console.print(f"{name}: {said or 'it works again'}", markup=False)
    click.echo(f"{name}: files that are extracted again: {rows}")


def _change(settings: Settings, action: str, name: str, **more: str) -> None:
    found = wiring.requests(settings).ask(action, {"name": name, **more})
    state = "disabled" if found["disabled"] else "enabled"
    state += f", suspended: {found['suspended']}" if found["suspended"] else ", at work"
    click.echo(f"{name}: {'' if found['changed'] else 'unchanged, '}{state}")


def _states(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the states that the dispatcher has published; nothing is known where there is none."""
    with contextlib.suppress(LustreEventsError, ValueError):
        states: dict[str, dict[str, Any]] = json.loads(wiring.streams(settings).state().get("extractors", "{}"))
        return states
    return {}


def _installed_or_folder(settings: Settings, target: str) -> manifest.Manifest:
    if "/" in target or (Path(target) / manifest.FILE_NAME).is_file():
        return manifest.load(Path(target).absolute())
    installed = wiring.catalog(settings).extractors()
    if target not in installed:
        raise ConfigError(f"{target}: no folder with an extractor, and none is installed")
    return installed[target]


def _place(settings: Settings, *, own: bool) -> Path:
    if own and settings.worker.user_extractors:
        return Path(settings.worker.user_extractors) / getpass.getuser()
    if own:
        raise ConfigError("[worker] user_extractors is empty: this site has no users' own extractors")
    if not settings.worker.extractors:
        raise ConfigError(
            "[worker] extractors is empty; write into the settings this folder, and that of the shipped ones: "
            f'extractors = ["/etc/lustre-events/extractors", "{shipped.extractors()}"]'
        )
    return Path(settings.worker.extractors[0])


def _action_place(settings: Settings, *, own: bool) -> Path:
    if own and settings.actions.user_actions:
        return Path(settings.actions.user_actions) / getpass.getuser()
    if own:
        raise ConfigError("[actions] user_actions is empty: this site has no users' own actions")
    if not settings.actions.folders:
        raise ConfigError("[actions] folders is empty; name the folder that actions are to be added to")
    return Path(settings.actions.folders[0])


def _detach() -> None:
    """Run this command again without --detach, away from the terminal."""
    argv = [sys.executable, "-P", "-m", "lustre_events", *(word for word in sys.argv[1:] if word != "--detach")]
    child = subprocesses.start(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    click.echo(f"goes on as process {child.pid}; see `lustre-events status`, pending for reprocess")


def _workers(config_path: str | None, *words: str) -> NoReturn:
    argv = _workers_argv(config_path, *words)
    os.execv(argv[0], argv)  # noqa: S606 - the service names the workers, and never imports them


def _workers_argv(config_path: str | None, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "workers", *(["--config", config_path] if config_path else []), *words]
