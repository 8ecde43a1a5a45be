"""What README shows is what the program prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.pages import shows
from tests.support.service.command import REPOSITORY, lustre_events

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LINES = 64
"""README is one screen: longer lists belong into docs/."""


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of README in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def steady(text: str) -> str:
    """Replace what differs from run to run: seconds, the demo's directory, how many blocks and jobs it took."""
    text = re.sub(r"/tmp/lustre-events-demo-\w+", "DEMO", text)
    text = re.sub(r"^    (blocks|records|results) .*", r"    \1 ...", text, flags=re.MULTILINE)
    return re.sub(r"\d+\.\d s", "N s", text)


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first one builds the images
def test_the_demo_prints_what_readme_shows(demo_images: Path) -> None:
    """The block below `make demo` is what it prints; `...` stands for what README leaves out."""
    command, shown = next(block for block in blocks("console") if block.startswith("$ make demo")).split("\n", 1)

    done = lustre_events("demo", "--images", demo_images, seconds=120)

    assert command == "$ make demo"
    assert done.returncode == 0, done.stderr.decode()
    printed = [line for line in steady(done.stdout.decode()).splitlines() if line]
    assert shows([line for line in steady(shown).splitlines() if line], printed)


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    """README has no list of commands or settings; each link and picture is a file of the project."""
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert len(README.splitlines()) <= LINES
    assert len(links) > 15
    for link in links:
        assert (REPOSITORY / link).exists(), link
