"""What an operation of the API is: its route, its parameters, what it takes and gives. Values only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lustre_events.config.nearest import nearest
from lustre_events.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the address.

    Args:
        name: as it is written.
        help: one line.
        default: what it is where it is not given; its type is the parameter's. None: a text, or nothing.
        needed: it must be given.
        many: it may be given several times, and is a list.
        least: the smallest number. `most`: the greatest, or the most entries of a list.
        choices: the values that a text may have; empty: any.
        in_path: it is a part of the path.
    """

    name: str
    help: str
    default: str | int | None = None
    needed: bool = False
    many: bool = False
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()
    in_path: bool = False

    def read(self, given: list[str]) -> Any:
        """Return the value that an address has. Raises ConfigError: it is wrong."""
        if self.needed and not given:
            raise ConfigError(f"the parameter {self.name} is missing: {self.help}")
        if self.many:
            if len(given) > self.most:
                raise ConfigError(f"{self.name} may be given {self.most} times at most")
            return given
        if len(given) > 1:
            raise ConfigError(f"{self.name} may be given once")
        if not given:
            return self.default
        return self._number(given[0]) if isinstance(self.default, int) else self._text(given[0])

    def _number(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 19 and self.least <= int(text) <= self.most):
            raise ConfigError(f"{self.name} is a whole number from {self.least} to {self.most}, not {text!r}")
        return int(text)

    def _text(self, text: str) -> str:
        if self.choices and text not in self.choices:
            raise ConfigError(f"{self.name} is one of {', '.join(self.choices)}, not {text!r}")
        return text

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        if self.many:
            return {"type": "array", "items": {"type": "string"}, "maxItems": self.most}
        if isinstance(self.default, int):
            return {"type": "integer", "minimum": self.least, "maximum": self.most, "default": self.default}
        return {"type": "string"} | ({"enum": list(self.choices)} if self.choices else {})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: a method on a path.

    Args:
        method: GET, POST, PUT or DELETE.
        path: below the prefix, with `{name}` for parameters in it.
        name: its operationId.
        help: one line.
        answer: the type of what it gives.
        run: carries it out: a call (calls.Call) in, JSON types out.
        parameters: those of the address.
        body: the type of the JSON that it takes; None: none.
        scope: what the token must be for. Only what is read may also be asked by a browser that has logged in.
        how: who may ask: `token` (or a browser's session, for what is read), `password` (HTTP Basic), `anybody`.
    """

    method: str
    path: str
    name: str
    help: str
    answer: type
    run: Callable[[Any], Any]
    parameters: tuple[Parameter, ...] = ()
    body: type | None = None
    scope: str = "read"
    how: str = "token"

    def read(self, in_path: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Return the values of all parameters. Raises ConfigError: one is wrong, or not known."""
        given: dict[str, list[str]] = {name: [value] for name, value in in_path.items()}
        known = [each.name for each in self.parameters if not each.in_path]
        for name, value in pairs:
            if name not in known:
                raise ConfigError(f"there is no parameter {name!r}{nearest(name, known or ('none',))}")
            given.setdefault(name, []).append(value)
        return {each.name: each.read(given.get(each.name, [])) for each in self.parameters}
