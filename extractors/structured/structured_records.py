"""What YAML and TOML of well-known shapes are about: software and its citation, environments, packages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from extractor_facts import common, first, text

MAX_LIST = 500
NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
CONDA = {"name", "channels", "dependencies", "prefix", "variables", "platforms", "category"}
Facts = dict[str, Any]


def every(value: Any) -> list[Any]:
    """Return a list as it is, and anything else in one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def words(value: Any, *keys: str) -> list[str]:
    """Return the texts in a list: texts, and of objects the first of `keys` that they have."""
    found = []
    for part in every(value):
        word: Any = part
        if isinstance(part, dict):
            word = next((part[key] for key in keys if isinstance(part.get(key), str)), None)
        if shown := text(word):
            found.append(shown)
    return found


def inner(value: Any, *keys: str) -> Any:
    """Return what stands at nested keys; None where nothing does."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def known(**given: Any) -> Facts:
    """Return what is there: texts and numbers, and lists of texts up to a bound."""
    found: Facts = {}
    for key, value in given.items():
        if isinstance(value, list):
            kept: Any = first(list(dict.fromkeys(value)), MAX_LIST, key)
        else:
            kept = f"{value}" if isinstance(value, (int, float)) and not isinstance(value, bool) else text(value)
        if kept:
            found[key] = kept
    return found


def people(value: Any) -> list[str]:
    """Return names of people as CFF and Schema.org write them, and of those who have one name."""
    found = []
    for part in every(value):
        if not isinstance(part, dict):
            found += [re.sub(r"\s*<[^<>]*>", "", word) for word in words(part)]
            continue
        given = words([part.get("given-names", part.get("givenName")), part.get("name-particle")])
        family = words([part.get("family-names", part.get("familyName")), part.get("name-suffix")])
        name = " ".join(given + family) or next(iter(words([part.get("name"), part.get("title")])), "")
        found += [name] if name else []
    return found


def citation(top: Facts) -> Facts | None:
    """Return what a CITATION.cff says."""
    if "cff-version" not in top:
        return None
    identifiers = [part for part in every(top.get("identifiers")) if isinstance(part, dict)]
    dois = words(top.get("doi")) + [
        word for part in identifiers if part.get("type") == "doi" for word in words(part.get("value"))
    ]
    said = known(
        version=top.get("version"), license=words(top.get("license")), repository=top.get("repository-code"),
        type=top.get("type"),
    )  # fmt: skip
    return {"shape": "citation-cff"} | said | common(
        title=top.get("title"), creator=people(top.get("authors")), doi=dois, keywords=words(top.get("keywords")),
    )  # fmt: skip


def codemeta(top: Facts) -> Facts | None:
    """Return what CodeMeta in YAML says."""
    context = " ".join(words(top.get("@context")))
    if "codemeta" not in context and "schema.org" not in context:
        return None
    said = known(name=top.get("name"), version=top.get("version"), license=words(top.get("license"), "@id", "url"))
    return {"shape": "codemeta"} | said | common(
        title=top.get("name"), creator=people(top.get("author") or top.get("creator")),
        keywords=words(top.get("keywords")), created=top.get("dateCreated"), doi=words(top.get("identifier")),
    )  # fmt: skip


def conda(top: Facts) -> Facts | None:
    """Return what an environment of conda has."""
    parts = top.get("dependencies")
    if not isinstance(parts, list) or not set(top) <= CONDA:
        return None
    pip = [word for part in parts if isinstance(part, dict) for word in words(part.get("pip"))]
    return {"shape": "conda-environment"} | known(
        name=top.get("name"), channels=words(top.get("channels")), dependencies=words(parts) + pip
    )


def compose(top: Facts) -> Facts | None:
    """Return what services Docker Compose starts."""
    services = top.get("services")
    if not isinstance(services, dict) or not any(
        isinstance(one, dict) and {"image", "build"} & set(one) for one in services.values()
    ):
        return None
    images = [word for one in services.values() if isinstance(one, dict) for word in words(one.get("image"))]
    names = [f"{name}" for name in services]
    return {"shape": "compose"} | known(name=top.get("name"), services=names, images=images)


def workflow(top: Facts) -> Facts | None:
    """Return what a workflow of GitHub runs."""
    jobs = top.get("jobs")
    if not isinstance(jobs, dict) or not any(isinstance(job, dict) and "runs-on" in job for job in jobs.values()):
        return None
    return {"shape": "github-workflow"} | known(name=top.get("name"), jobs=[f"{name}" for name in jobs])


def openapi(top: Facts) -> Facts | None:
    """Return what an OpenAPI description is of."""
    if not {"openapi", "swagger"} & set(top) or not isinstance(top.get("info"), dict):
        return None
    info = top["info"]
    return {"shape": "openapi"} | known(version=info.get("version")) | common(title=info.get("title"))


def workflow_language(top: Facts) -> Facts | None:
    """Return what a file in the Common Workflow Language says."""
    if "cwlVersion" not in top:
        return None
    return (
        {"shape": "cwl"}
        | known(type=top.get("class"), version=top.get("cwlVersion"))
        | common(title=top.get("label"))
    )


def data_package(top: Facts) -> Facts | None:
    """Return what a data package of Frictionless says."""
    parts = top.get("resources")
    if not isinstance(parts, list) or not any(
        isinstance(one, dict) and {"path", "data"} & set(one) for one in parts
    ):
        return None
    said = known(
        name=top.get("name"), version=top.get("version"), license=words(top.get("licenses"), "name", "path")
    )
    return {"shape": "data-package"} | said | known(resources=words(parts, "name", "path")) | common(
        title=top.get("title"), creator=words(top.get("contributors"), "title"), created=top.get("created"),
        keywords=words(top.get("keywords")), doi=words(top.get("id")),
    )  # fmt: skip


def asdf(top: Facts) -> Facts | None:
    """Return what an ASDF file says of its writer."""
    writer = top.get("asdf_library")
    if not isinstance(writer, dict):
        return None
    name = " ".join(words([writer.get("name"), f"{writer.get('version', '')}"]))
    instrument = words(inner(top, "meta", "instrument", "name"))
    start = inner(top, "meta", "observation", "start_time")
    return {"shape": "asdf"} | common(
        title=inner(top, "meta", "title"), software=[name], instrument=instrument, start=start
    )


def _pods(value: Any) -> Iterator[Any]:
    for spec in (inner(value, "spec"), inner(value, "spec", "template", "spec"),
                 inner(value, "spec", "jobTemplate", "spec", "template", "spec")):  # fmt: skip
        for key in ("containers", "initContainers"):
            yield from every(inner(spec, key))


def kubernetes(documents: list[Any]) -> Facts | None:
    """Return what objects a manifest of Kubernetes has."""
    parts = [one for one in documents if isinstance(one, dict)]
    if not parts or not all(isinstance(one.get("kind"), str) and "apiVersion" in one for one in parts):
        return None
    images = [word for one in parts for word in words(list(_pods(one)), "image")]
    names = [word for one in parts for word in words(inner(one, "metadata", "name"))]
    return {"shape": "kubernetes"} | known(kinds=[text(one["kind"]) for one in parts], images=images, names=names)


def needed(value: Any) -> list[str]:
    """Return the names of what is needed: keys, or the names in front of versions."""
    if isinstance(value, dict):
        return [f"{name}" for name in value]
    return [match[0] for word in words(value) if (match := NAME.match(word))]


def pyproject(top: Facts) -> Facts | None:
    """Return what a project of Python says."""
    poetry = inner(top, "tool", "poetry")
    project = top.get("project") if isinstance(top.get("project"), dict) else poetry
    if not isinstance(project, dict):
        return {"shape": "pyproject"} if {"build-system", "tool"} & set(top) else None
    needs = needed(project.get("dependencies"))
    licence = project.get("license")
    said = known(
        name=project.get("name"), version=project.get("version"), license=words(licence, "text", "file"),
        python=project.get("requires-python"), dependencies=[name for name in needs if name != "python"],
    )  # fmt: skip
    return (
        {"shape": "pyproject"}
        | said
        | common(
            title=project.get("name"),
            creator=people(project.get("authors")),
            keywords=words(project.get("keywords")),
        )
    )


def cargo(top: Facts) -> Facts | None:
    """Return what a package of Rust says."""
    package = top.get("package")
    if not isinstance(package, dict) or not {"edition", "version", "license", "build"} & set(package):
        return {"shape": "cargo"} if isinstance(inner(top, "workspace", "members"), list) else None
    said = known(
        name=package.get("name"), version=package.get("version"), license=words(package.get("license")),
        dependencies=needed(top.get("dependencies") or []), repository=package.get("repository"),
    )  # fmt: skip
    return (
        {"shape": "cargo"}
        | said
        | common(
            title=package.get("name"),
            creator=people(package.get("authors")),
            keywords=words(package.get("keywords")),
        )
    )


def julia(top: Facts) -> Facts | None:
    """Return what a project of Julia says."""
    if not isinstance(top.get("deps"), dict) or "package" in top:
        return None
    said = known(name=top.get("name"), version=top.get("version"), dependencies=needed(top["deps"]))
    return {"shape": "julia-project"} | said | common(title=top.get("name"), creator=people(top.get("authors")))


YAML: tuple[Callable[[Facts], Facts | None], ...] = (
    citation, codemeta, asdf, conda, compose, workflow, openapi, workflow_language, data_package,
)  # fmt: skip
TOML: tuple[Callable[[Facts], Facts | None], ...] = (pyproject, cargo, julia)


def facts(form: str, documents: list[Any]) -> Facts:
    """Return what the first shape that fits says; nothing of another."""
    top = documents[0] if documents and isinstance(documents[0], dict) else {}
    if form == "yaml" and (found := kubernetes(documents)):
        return found
    return next((found for shape in (YAML if form == "yaml" else TOML) if (found := shape(top))), {})
