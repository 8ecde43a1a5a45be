"""docs/researcher.md: the runs of an instrument in a month are found as the page shows it."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

from tests.support.pages import commands, shows
from tests.support.service.command import REPOSITORY, lustre_events
from tests.support.service.images import write_extractor
from tests.support.service.service import PARTS, Service
from tests.support.waiting import wait_for

PAGE = (REPOSITORY / "docs" / "researcher.md").read_text()
TEXT = re.compile(r"^```text\n(.*?)^```", re.DOTALL | re.MULTILINE)
(ASKED,) = [block for block in TEXT.findall(PAGE) if "--facets common.instrument" in block]
RULE = '[[rule]]\nname = "runs"\nextensions = ["nxs"]\nextractor = "runs"\n'
PROGRAM = """
import json, sys
with open(sys.argv[-1]) as file:
    print(json.dumps({"common": json.load(file)}))
"""
RUNS = {
    "run3/map.nxs": {"instrument": "ARPES", "start": "2026-03-14T09:30:00Z"},
    "run4/map.nxs": {"instrument": "ARPES", "start": "2026-04-02T16:00:00Z"},
    "run5/tip.nxs": {"instrument": "STM", "start": "2026-03-20T11:15:00Z"},
}


def test_the_runs_of_an_instrument_in_march_are_found(open_folder: Path) -> None:
    """The page's two commands list the instruments, and find the runs of one of them that began in March."""
    with Service(open_folder, rules=RULE) as service:
        write_extractor(service.extractors, "runs", PROGRAM, contract='"single"')
        for name, common in RUNS.items():
            path = service.files / "campaign" / name
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(common))
        service.start_redis()
        for part in PARTS:
            service.start_part(part)
        said: list[str] = []
        for words, printed in commands(ASKED):
            wait_for(partial(_says, service, words[1:], printed, said), 60, said.__str__)


def _says(service: Service, words: list[str], printed: list[str], said: list[str]) -> bool:
    done = lustre_events(*words, environment={"LUSTRE_EVENTS_CONFIG": str(service.config)})
    said[:] = (done.stdout + done.stderr).decode().replace(str(service.files), "/mnt/lustre").splitlines()
    return shows(printed, said)
