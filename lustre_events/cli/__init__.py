"""The command `lustre-events`: each command parses, builds, calls and prints; the work is done elsewhere.

An expected failure prints one sentence to stderr and ends with the exit code of its class (errors.py);
`-v` adds the traceback.
"""

from lustre_events.cli.main import cli, main

__all__ = ["cli", "main"]
