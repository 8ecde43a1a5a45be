"""Every change in a Lustre file system becomes a searchable document.

`connect` opens the index; see lustre_events.api.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["connect"]

if TYPE_CHECKING:  # loaded when first used: every command imports this package
    from lustre_events.api import connect


def __getattr__(name: str) -> Any:
    if name in __all__:
        from lustre_events import api  # noqa: PLC0415 - as above

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
