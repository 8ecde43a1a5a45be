"""`python -m lustre_events` is the command `lustre-events`."""

import sys

# Without -P, `-m` puts the current directory first: a file rq.py in it would run in place of the module.
if not sys.flags.safe_path and not (__file__ or "").startswith(sys.path[0] + "/"):
    del sys.path[0]

from lustre_events.cli import main

main()
