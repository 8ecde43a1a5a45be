"""`python -m tests.chaos`: rounds of chaos, one kind after the other, each with a seed that repeats it.

What is chosen (who is killed, when, what changes) follows from the seed; the moments at which the processes are hit
do not, so a failure may need more than one try.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from lustre_events.errors import LustreEventsError
from tests.chaos.rounds import Account, run
from tests.chaos.site import KINDS, Site, unmount


def main() -> int:
    """Run rounds until the time is up, and return 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="repeat the round of this seed; 0: new ones")
    parser.add_argument("--log", type=Path, help="file to which each round appends a line of JSON")
    parser.add_argument("--keep", type=Path, help="folder where what failed is kept")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left
    until = time.monotonic() + options.seconds
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    rounds: list[Account] = []
    while time.monotonic() < until and (not rounds or not options.seed):
        rounds.append(one_round(seed, until, options.log, options.keep))
        seed += 1
    wrong = [each for each in rounds if each.wrong]
    click.echo(
        f"{sum(each.kills for each in rounds)} kills in {len(rounds)} rounds, {len(wrong)} of them with faults"
    )
    return 1 if wrong else 0


def one_round(seed: int, until: float, log: Path | None, keep: Path | None) -> Account:
    """Do the round of a seed and tell about it."""
    kind = KINDS[seed % len(KINDS)]
    click.echo(f"SEED={seed} ({kind})")
    folder = Path(tempfile.mkdtemp(prefix="lustre-events-chaos-"))
    folder.chmod(0o755)
    try:
        try:
            site = Site(folder, kind, seed)
        except (subprocess.SubprocessError, LustreEventsError) as exc:
            click.echo(f"this round cannot begin: {exc}")
            return Account(seed, kind)
        account = run(site, seed, until, click.echo)
        if account.wrong:
            click.echo("\n".join([f"wrong, repeat it with SEED={seed}:", *account.wrong[:20]]))
            if keep is not None:
                shutil.copytree(folder, keep / str(seed), ignore=shutil.ignore_patterns("disk"))
    finally:
        unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)
    if log is not None:
        with log.open("a") as file:
            file.write(account.line() + "\n")
    return account


if __name__ == "__main__":
    sys.exit(main())
