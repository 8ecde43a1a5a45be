"""The end of the page: a node on which nothing of ours is left."""

from __future__ import annotations

import pytest

from tests.support.field.site import Site, files

pytestmark = [pytest.mark.field, pytest.mark.timeout(600)]


def test_nothing_is_left(site: Site) -> None:
    """After the page's last block files, accounts and units are as before its first; packages stay."""
    site.follow("Remove")
    assert site.left == []
    after = files(site.machine.root)
    left = sorted(path for path in after if after[path] != site.before.get(path))
    gone = sorted(site.before.keys() - after.keys())
    assert not left + gone, "\n".join(left + gone)
    assert site.machine.says("grep -rl --exclude='*-' lustre /etc || true") == ""
    assert site.machine.says("systemctl list-units --all --plain --no-legend 'lustre-events*'") == ""
    assert site.machine.says("systemctl is-active redis-server") == "active"
    assert site.machine.says("pgrep -f '[l]ustre-events' || true") == ""
    assert site.passed_over == []
