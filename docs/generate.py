"""Write the pages of reference from the code: `python docs/generate.py`. A test sees that they are up to date."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import get_type_hints

import click

from lustre_events.cli.main import COMMANDS, cli
from lustre_events.config.settings import ENVIRONMENT_PREFIX, Settings, described
from lustre_events.domain.rules import action_file, rule_file
from lustre_events.index.fields import FIELDS
from lustre_events.index.remote.client import PREFIX
from lustre_events.inspect import metrics
from lustre_events.web.api.operation import Operation, Parameter
from lustre_events.web.api.routes import OPERATIONS

HERE = Path(__file__).resolve().parent
INTRODUCTION = """One TOML file, named by `--config` or `LUSTRE_EVENTS_CONFIG`; a variable wins over it.
`lustre-events config example` prints such a file, `lustre-events config check FILE` checks one.
"""
API_INTRODUCTION = """`lustre-events web` answers programs under `{prefix}`, in JSON. `{prefix}/openapi.json`
describes it for tools. Send a personal token with each request: `Authorization: Bearer TOKEN`
([how to get one](researcher.md#from-a-login-node-or-a-notebook)); you see what you may see in the file system.
From Python, `connect("https://HOST")` does all of this: [From Python](python.md).

A request that is refused is answered with `{{"error": SENTENCE, "kind": CLASS, "hints": [...]}}`
and a status: 400 (a wrong question), 401 or 403 (not allowed), 404, 429 (too often, or too many of
yours at the same time) or 503 (try again later).
"""
WHO = {"token": "A token of the scope `{}`.", "password": "Name and password (HTTP Basic).", "anybody": "Anybody."}
NOTE = "<!-- made by docs/generate.py -->\n\n"


def settings() -> str:
    """Return the page of all settings."""
    lines = [
        f"{NOTE}# Settings\n",
        INTRODUCTION,
    ]
    for name, section in get_type_hints(Settings).items():
        lines += [f"## [{name}]\n", f"{section.__doc__}\n", "| setting | default | meaning |", "|---|---|---|"]
        for key, default, of in described(section):
            meaning = of.doc + (f" ({', '.join(of.choices)})" if of.choices else "")
            shown = list(default) if isinstance(default, tuple) else default
            lines.append(f"| `{key}` | `{shown!r}` | {meaning.replace('|', chr(92) + '|')} |")
        lines.append(f"\nAs variables: `{ENVIRONMENT_PREFIX}{name.upper()}_...`\n")
    return "\n".join(lines)


def metrics_page() -> str:
    """Return the page of all metrics."""
    rows = [f"| `{metrics.PREFIX}{name}` | {text} |" for name, text in metrics.METRICS.items()]
    return "\n".join([
        f"{NOTE}# Metrics\n",
        "`lustre-events metrics --listen 127.0.0.1:9464` answers for all processes. Counters end in `_total`.",
        "Rows of the index are counted again when thirty times as long has passed as counting them took.\n",
        "| metric | meaning |", "|---|---|", *rows, "",
    ])  # fmt: skip


def fields() -> str:
    """Return the page of all fields of the query language."""
    rows = [
        f"| `{field.name}` | {field.type.value} | {field.help} | {field.visibility.value} |"
        f" {'yes' if field.sortable else ''} | {'yes' if field.countable else ''} |"
        for field in FIELDS.values()
    ]
    return "\n".join([
        f"{NOTE}# Fields of a search\n",
        "Every other field is a key of the documents: `columns`, or `tabular.columns`, with its extractor.\n",
        "| field | value | what it tells | who sees it | `--sort` | `--facets`, `du --by` |",
        "|---|---|---|---|---|---|",
        *rows, "",
    ])  # fmt: skip


def commands() -> str:
    """Return the page of all commands."""
    lines = [f"{NOTE}# Commands\n"]
    context = click.Context(cli, info_name="lustre-events", **cli.context_settings)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            lines += list(_command(command, context, name, 2))
    return "\n".join(lines)


def _command(command: click.Command, above: click.Context, name: str, level: int) -> list[str]:
    context = click.Context(command, info_name=name, parent=above, **command.context_settings)
    lines = [f"{'#' * min(level, 3)} {context.command_path}\n", "```text", command.get_help(context), "```\n"]
    if isinstance(command, click.Group):
        for each in sorted(command.commands):
            lines += _command(command.commands[each], context, each, level + 1)
    return lines


def api() -> str:
    """Return the page of the operations of the API."""
    lines = [f"{NOTE}# API\n", API_INTRODUCTION.format(prefix=PREFIX)]
    for each in OPERATIONS:
        lines += [f"## {each.method} {PREFIX}{each.path}\n", f"{each.help} {_asked(each)}\n"]
        if each.parameters:
            lines += ["| parameter | meaning |", "|---|---|", *map(_parameter, each.parameters), ""]
    return "\n".join(lines)


def _asked(operation: Operation) -> str:
    who = WHO["token" if operation.how == "token" else operation.how].format(operation.scope)
    fields = getattr(operation.body, "__struct_fields__", ())
    body = f" It takes JSON with {', '.join(f'`{name}`' for name in fields)}." if fields else ""
    return f"*{who}*{body}"


def _parameter(parameter: Parameter) -> str:
    says = [parameter.help]
    if parameter.needed and not parameter.in_path:
        says.append("required")
    if parameter.many:
        says.append(f"up to {parameter.most} times")
    elif parameter.choices:
        says.append("one of " + ", ".join(f"`{each}`" for each in parameter.choices))
    elif isinstance(parameter.default, int):
        says.append(f"{parameter.least} to {parameter.most}, default {parameter.default}")
    return f"| `{parameter.name}` | {'; '.join(says)} |".replace("||", "|")


def rules() -> str:
    """Return the page of what a file of rules may say: the example that the readers of that file carry."""
    site, own = (textwrap.dedent(doc).strip() for doc in _parts(str(rule_file.__doc__)))
    _, action = str(action_file.__doc__).split("\n\n", 1)
    return "\n".join([
        f"{NOTE}# Rules\n",
        "A file of rules says which extractor reads which files, and who is notified when something happens.",
        "`lustre-events rules check FILE` reads it; `rules test PATH` says which rule holds for a file, and why.\n",
        "## A rule of an extractor\n", "```toml", site, "```\n", own, "",
        "## A rule of an action\n", "```toml", action.strip(), "```\n",
        "What each trigger means: [Actions](actions.md).", "",
    ])  # fmt: skip


def _parts(doc: str) -> tuple[str, str]:
    """Return the indented example of a docstring, and what follows it."""
    lines = doc.splitlines()[2:]
    end = next(number for number, line in enumerate(lines) if line and not line.startswith(" "))
    return "\n".join(lines[:end]), "\n".join(lines[end:]).partition("\n\n")[2]


PAGES = {"settings.md": settings, "metrics.md": metrics_page, "fields.md": fields, "commands.md": commands,
         "rules.md": rules, "api.md": api}  # fmt: skip

if __name__ == "__main__":
    for page, make in PAGES.items():
        (HERE / page).write_text(make(), encoding="utf-8")
