"""A binding to liblustreapi that is useful alone: changelogs, and the paths of a FID.

Importing needs no Lustre; `load` finds the library. Return codes are the exceptions of lustre_events.errors.
"""

from lustre_events.llapi.changelog import READ_ALL, Changelog, clear, fid2path
from lustre_events.llapi.loader import Library, load
from lustre_events.llapi.signatures import ALL_EXTRA, ExtraFlag, Flag

__all__ = ["ALL_EXTRA", "READ_ALL", "Changelog", "ExtraFlag", "Flag", "Library", "clear", "fid2path", "load"]
