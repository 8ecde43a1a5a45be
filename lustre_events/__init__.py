"""Every change in a Lustre file system becomes a searchable document.

`connect` opens the index (api.py); `subscribe` gives every record of all MDTs (streams/subscription.py).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["connect", "subscribe"]

if TYPE_CHECKING:  # loaded when first used: every command imports this package
    from lustre_events.api import connect
    from lustre_events.streams.subscription import subscribe

_HOMES = {"connect": "lustre_events.api", "subscribe": "lustre_events.streams.subscription"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
