"""The index from Python: its documented example runs, and the package stays light."""

from __future__ import annotations

import doctest
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import lustre_events
from lustre_events import api
from lustre_events.errors import ConfigError, IndexUnavailable, QueryError
from lustre_events.index.search.asking import pages
from lustre_events.index.sqlite.database import open_database
from tests.support.index.tables import add_file
from tests.support.records.builders import fid_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An index with two measurements and a table."""
    path = tmp_path / "index.db"
    writer = open_database(path)
    for number, (name, temperature) in enumerate([(b"map", 12.5), (b"warm", 290)], 1):
        document = {"instrument": "ARPES", "temperature": temperature}
        add_file(writer, number, b"proj/run7/" + name + b".h5", {"hdf5": document}, size=4096 * number, uid=0)
    add_file(writer, 3, b"readme.csv", size=300, uid=0)
    writer.close()
    return path


def test_the_documented_example_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the docstring shows is what it gives."""
    monkeypatch.chdir(path.parent)
    writer = open_database(path)
    writer.execute("UPDATE object SET type = NULL WHERE type = 'd'")
    writer.execute("DELETE FROM object WHERE type IS NULL")  # the example knows files only
    writer.close()

    assert doctest.testmod(api, raise_on_error=True).attempted > 0


def test_hits_come_over_all_pages(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search yields every hit, whatever a page holds; a limit ends it."""
    monkeypatch.setattr(api, "pages", partial(pages, portion=1))
    with api.connect(f"sqlite:///{path}") as index:
        names = [hit.paths[0] for hit in index.search("type:f", sort="size")]
        first = [hit.paths[0] for hit in index.search("type:f", sort="size", limit=2)]

    assert names == [b"readme.csv", b"proj/run7/map.h5", b"proj/run7/warm.h5"]
    assert first == names[:2]


def test_the_settings_name_the_index(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a URL it is the index of the settings: of the environment, or of the file that it names."""
    monkeypatch.delenv("LUSTRE_EVENTS_CONFIG", raising=False)
    monkeypatch.setenv("LUSTRE_EVENTS_INDEX_URL", f"sqlite:///{path}")
    with lustre_events.connect() as index:
        assert index.count("ext:h5") == 2
    monkeypatch.delenv("LUSTRE_EVENTS_INDEX_URL")
    (tmp_path / "settings.toml").write_text(f'[index]\nurl = "sqlite:///{path}"\n')
    monkeypatch.setenv("LUSTRE_EVENTS_CONFIG", str(tmp_path / "settings.toml"))
    with lustre_events.connect() as index:
        assert index.count("ext:h5") == 2


def test_objects_and_sums(path: Path) -> None:
    """An object by its path or FID, sums of a subtree, what a viewer sees: nothing where modes are not known."""
    with api.connect(f"sqlite:///{path}") as index:
        assert index.show("/proj/run7/map.h5").fid == index.show(fid_of(1)).fid == fid_of(1)
        assert {facet.value: facet.files for facet in index.du("/proj", "ext")}["h5"] == 2
        assert index.page("type:f", limit=1).cursor
        assert list(index.search("*", visible_to=api.Viewer(4242))) == []
        assert index.count("type:f", visible_to="0") == 3
        with pytest.raises(ConfigError, match="no such path"):
            index.show("/none")
        with pytest.raises(QueryError, match=r"\^"):
            list(index.search("size:>1x"))
    with pytest.raises(IndexUnavailable):
        api.connect("sqlite:////none/index.db")


@pytest.mark.long
def test_the_package_is_light() -> None:
    """Importing it loads nothing of the index, and an unknown name is refused as usual."""
    code = "import sys, lustre_events; assert 'lustre_events.index' not in sys.modules; lustre_events.connect"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[2])

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lustre_events.nothing  # noqa: B018
