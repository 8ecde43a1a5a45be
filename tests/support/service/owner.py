"""An ordinary user, whose files and commands a test has."""

from __future__ import annotations

import os
import pwd

from tests.support.need import need

OWNER = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
"""Who it is."""


def as_owner() -> list[str]:
    """Return what runs a command as the owner. Any checkout will do: it may be read."""
    if os.geteuid() != 0:
        return []
    ids = (f"--reuid={OWNER.pw_uid}", f"--regid={OWNER.pw_gid}", "--clear-groups")
    return [need("setpriv"), *ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
