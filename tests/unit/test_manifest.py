"""The manifest: what is accepted, what is refused with which sentence, and what its digest depends on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from lustre_events.catalog import manifest, own_extractors, program_files
from lustre_events.errors import ManifestError
from tests.support.profiles import examples
from tests.support.rows import each_row
from tests.support.service.images import extractors, write_extractor

GOOD = {"name": "ours", "version": "1", "description": "x", "image": "base", "command": ["x"], "contract": "batch",
        "accepts": ["csv"]}  # fmt: skip
SCALARS = (
    st.integers(-(1 << 63), (1 << 63) - 1)
    | st.booleans()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(("batch", "action", "../x", "/x", "a\x1b[2J\n", "x" * 5000))
)
ANY = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
LIMITS = st.dictionaries(st.sampled_from(("seconds", "processes", "jobs")) | st.text(max_size=5), ANY, max_size=3)
KEYS = st.sampled_from((*GOOD, "trusted", "gpu", "limits", "outputs")) | st.text(max_size=6)


def test_manifests_of_this_repository_load() -> None:
    """Every extractor that is shipped has a valid manifest."""
    found = extractors()

    assert {"hdf5", "tabular"} <= set(found)
    assert all(one.contract == "batch" for one in found.values())


@each_row(
    ("key", "value", "sentence"),
    [
        ("contract", '"bach"', "contract is 'bach'; it must be one of: batch, single"),
        ("comand", '["x"]', "unknown key comand; did you mean command?"),
        ("command", "[]", "command is empty"),
        ("command", '"python3 x"', "command must be a list of strings"),
        ("image", '"../x"', "it must be a name inside the images folder"),
        ("image", '"/x.sif"', "it must be a name inside the images folder"),
        ("image", "3", "image must be a string, not 3"),
        ("name", '"Bad Name"', "it must be lower-case letters"),
        ("name", '"other"', "the folder is ours"),
        ("accepts", '[".csv"]', "without the dot"),
        ("trusted", '"yes"', "trusted must be true or false"),
        ("limits", "second = 3", "unknown key second in [limits]; did you mean seconds?"),
        ("limits", "seconds = 0", "[limits] seconds must be at least 1, not 0"),
    ],
)
def test_wrong_manifest_is_refused_by_file_and_key(tmp_path: Path, key: str, value: str, sentence: str) -> None:
    """A wrong manifest is refused with its file, the key, and what would be right."""
    with pytest.raises(ManifestError) as caught:
        write_extractor(tmp_path, "ours", "", **{key: value})

    assert sentence in str(caught.value)
    assert str(tmp_path / "ours" / "manifest.toml") in str(caught.value)


@pytest.mark.long
@examples(120, HealthCheck.function_scoped_fixture)
@given(st.dictionaries(KEYS, ANY | LIMITS, max_size=4), st.booleans())
def test_any_manifest_is_taken_or_refused_in_one_sentence(
    tmp_path: Path, odd: dict[str, object], own: bool
) -> None:
    """Whatever the values of its keys are, a manifest is one, or a printable sentence that names its file."""
    (tmp_path / "ours").mkdir(exist_ok=True)
    path = tmp_path / "ours" / "manifest.toml"
    path.write_text("".join(f"{toml(key)} = {toml(value)}\n" for key, value in (GOOD | odd).items()), "utf-8")
    said = "ours"
    try:
        said = manifest.load(tmp_path / "ours", *(("ada", path.stat().st_uid) if own else ())).name
    except ManifestError as exc:
        said = str(exc)
    assert said == "ours" or said.startswith(f"{tmp_path}/ours")
    assert said.isprintable()


def toml(value: object) -> str:
    """Return a value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def test_missing_key_is_named(tmp_path: Path) -> None:
    """A manifest without a needed key names the key."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "manifest.toml").write_text('name = "ours"\n')

    with pytest.raises(ManifestError, match="version is missing"):
        manifest.load(tmp_path / "ours")


def test_digest_follows_program_and_manifest_only(tmp_path: Path) -> None:
    """A changed program gives a new digest; samples and documentation do not."""
    first = write_extractor(tmp_path, "ours", "print(1)\n")
    (tmp_path / "ours" / "README.md").write_text("words")
    (tmp_path / "ours" / "samples").mkdir()
    (tmp_path / "ours" / "samples" / "a.csv").write_text("a\n")
    same = manifest.load(tmp_path / "ours").digest
    (tmp_path / "ours" / "program.py").write_text("print(2)\n")
    other = manifest.load(tmp_path / "ours").digest

    assert first.digest == same
    assert other != same


def test_two_extractors_of_one_name_are_refused(tmp_path: Path) -> None:
    """Two folders may not hold the same extractor: nobody could tell which one ran."""
    write_extractor(tmp_path / "a", "ours", "")
    write_extractor(tmp_path / "b", "ours", "")

    with pytest.raises(ManifestError, match="an extractor of the same name"):
        manifest.load_all((tmp_path / "a", tmp_path / "b"))


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    """A folder of extractors that is not there is said, not taken for an empty one."""
    with pytest.raises(ManifestError, match="no such folder"):
        manifest.load_all((tmp_path / "none",))


def test_bytes_per_second_alone_means_one_job(tmp_path: Path) -> None:
    """What is bounded by bytes per second has a number of jobs that share it: one, if none is named."""
    one = write_extractor(tmp_path / "a", "ours", "", limits="bytes_per_second = 5")
    three = write_extractor(tmp_path / "b", "ours", "", limits="bytes_per_second = 5\njobs = 3")
    free = write_extractor(tmp_path / "c", "ours", "", limits="bytes_per_second = 0")

    assert [each.limits.jobs for each in (one, three, free)] == [1, 3, 0]


@each_row("identity", ["nobody", "no\0body/x", "../x", "nobody/../x", "nobody/X", "/x", "-a/x", "a/b/c"])
def test_odd_identity_is_refused_unseen(tmp_path: Path, identity: str) -> None:
    """What a job calls a user's extractor is checked before it becomes a path."""
    with pytest.raises(ManifestError, match="no user's extractor has such a name"):
        own_extractors.load_user(tmp_path, identity)


def test_image_is_optional_and_its_digest_is_one(tmp_path: Path) -> None:
    """A manifest need not name an image, and an expected digest must look like one."""
    made = write_extractor(tmp_path / "a", "ours", "", image_digest=f'"{"a" * 64}"')
    text = (made.folder / "manifest.toml").read_text()
    (made.folder / "manifest.toml").write_text(text.replace('image = "base"\n', ""))

    assert manifest.load(made.folder).image == ""
    with pytest.raises(ManifestError, match="must be the 64 hex digits of sha256sum IMAGE"):
        write_extractor(tmp_path / "b", "ours", "", image_digest='"sha256:x"')


def test_program_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """A folder with more than a program's worth of bytes is refused before it is all read."""
    made = write_extractor(tmp_path, "ours", "")
    with (made.folder / "large").open("wb") as file:
        file.truncate(program_files.MOST_BYTES + 1)

    with pytest.raises(ManifestError, match="more than the 64 MiB that are left"):
        manifest.load(made.folder)


def test_program_that_changes_is_not_run_as_what_it_was(tmp_path: Path) -> None:
    """What a manifest's digest says is what is read for a run, or nothing is."""
    made = write_extractor(tmp_path, "ours", "print(1)")
    assert {file.name for file in made.program()} == {"manifest.toml", "program.py"}
    (made.folder / "program.py").write_text("print(2)")

    with pytest.raises(ManifestError, match="changed while it was read"):
        made.program()
