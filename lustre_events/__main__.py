"""`python -m lustre_events` is the command `lustre-events`."""

from lustre_events.cli import main

main()
