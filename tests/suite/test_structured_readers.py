"""The golden documents of YAML, TOML and XML are what PyYAML, tomllib and lxml say of the samples."""

from __future__ import annotations

import gzip
import io
import json
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from lxml import etree

from tests.suite.families import families
from tests.support.profiles import examples
from tests.support.programs import load, program
from workers.contract import checked

FAMILY = families()["structured"]
SAMPLES = [path for path in FAMILY.good if not path.name.startswith("torn")]
XML = [path for path in SAMPLES if FAMILY.expected(path)["format"] == "xml"]
OTHERS = [path for path in SAMPLES if path not in XML]
STRUCTURED = load("structured")
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cs", "Cc"]), max_size=12)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
SCALARS = st.one_of(
    WORDS, st.integers(-(1 << 62), 1 << 62), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)
TREES = st.dictionaries(
    NAMES,
    st.one_of(SCALARS, st.lists(SCALARS, min_size=1, max_size=5), st.dictionaries(NAMES, SCALARS, max_size=4)),
    min_size=1, max_size=6,
)  # fmt: skip


KEPT = ("float", "null", "merge")


def plain() -> Any:
    """Return PyYAML's loader, which resolves as YAML 1.1 does, told what YAML 1.2 resolves otherwise."""
    loader: Any = type("Plain", (yaml.SafeLoader,), {"yaml_implicit_resolvers": {}})
    for sign, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items():
        loader.yaml_implicit_resolvers[sign] = [pair for pair in pairs if pair[0].rpartition(":")[2] in KEPT]
    loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("[-+]?[0-9]+$"), list("-+0123456789"))
    loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?:true|false)$"), list("tf"))
    return loader


def leaves(value: Any, place: str = "") -> Counter[str]:
    """Return each word, number and truth with the keys that lead to it."""
    if isinstance(value, dict):
        pairs = [(f"{place}.{key}" if place else f"{key}", part) for key, part in value.items()]
    elif isinstance(value, list):
        pairs = [(place, part) for part in value]
    else:
        said = value.isoformat() if hasattr(value, "isoformat") else value
        return Counter() if value is None else Counter([f"{place}={said!r}"])
    return sum((leaves(part, at) for at, part in pairs), Counter())


def content(path: Path) -> bytes:
    """Return a sample, expanded."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


@pytest.mark.parametrize("path", OTHERS, ids=lambda p: p.name)
def test_values_are_those_of_an_independent_reader(path: Path) -> None:
    """Every word, number and truth of YAML and TOML stands below its keys, and nothing else does."""
    golden = FAMILY.expected(path)
    if golden["format"] == "toml":
        read: list[Any] = [tomllib.loads(content(path).decode())]
    else:
        read = list(yaml.load_all(content(path), Loader=plain()))
    expected = sum((leaves(one) for one in read), Counter())

    assert set(leaves(golden["value"])) == set(expected)
    assert golden["keys"] == list(read[0])
    assert golden.get("documents", 1) == len(read)


@pytest.mark.parametrize("path", XML, ids=lambda p: p.name)
def test_elements_are_those_of_lxml(path: Path) -> None:
    """Elements are counted by name as lxml has them; root, namespace and depth are its, and no text is lost."""
    golden, root = FAMILY.expected(path), etree.fromstring(content(path)).getroottree().getroot()
    elements = list(root.iter(etree.Element))
    assert golden["element"] == Counter(etree.QName(one).localname for one in elements)
    assert golden["elements"] == len(elements)
    assert (golden["root"], golden.get("namespace")) == (etree.QName(root).localname, etree.QName(root).namespace)
    assert golden["depth"] == max(len(list(one.iterancestors())) for one in elements) + 1
    if "value" in golden:
        said = json.dumps(golden["value"], ensure_ascii=False)
        assert [one.text for one in elements if (one.text or "").strip() and one.text.strip() not in said] == []


@pytest.mark.parametrize(
    ("name", "place", "path"),
    [
        ("datacite.xml", "title", "string(//*[local-name()='title'])"),
        ("datacite.xml", "creator", "string(//*[local-name()='creatorName'])"),
        ("datacite.xml", "created", "string(//*[local-name()='date'][@dateType='Created'])"),
        ("plots.eml", "title", "string(//dataset/title)"),
        ("plots.eml", "start", "string(//beginDate/calendarDate)"),
        ("plots.eml", "end", "string(//endDate/calendarDate)"),
        ("cells.ome", "title", "string(//*[local-name()='Image']/@Name)"),
        ("cells.ome", "software", "string(/*/@Creator)"),
        ("tiny.mzML", "start", "string(//*[local-name()='run']/@startTimeStamp)"),
        ("tiny.mzML", "sample", "string(//*[local-name()='sample']/@name)"),
        ("tiny.mzML", "instrument", "string(//*[@accession='MS:1000449']/@name)"),
        ("drawing.svg", "title", "string(/*/*[local-name()='title'])"),
    ],
)
def test_what_a_file_is_about_is_where_xpath_finds_it(name: str, place: str, path: str) -> None:
    """Title, people, times and instruments are the text that XPath finds in the sample."""
    found = FAMILY.expected(FAMILY.manifest.folder / "samples" / name)["common"][place]
    expected = etree.fromstring((FAMILY.manifest.folder / "samples" / name).read_bytes()).xpath(path)
    assert (found[0] if isinstance(found, list) else found) == expected


@examples(100, HealthCheck.function_scoped_fixture)
@given(tree=TREES)
def test_random_yaml_has_its_values(tmp_path: Path, tree: dict[str, Any]) -> None:
    """What PyYAML writes is read as it was, whatever its words look like."""
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    found = checked(STRUCTURED.extract(str(tmp_path / "a.yaml")))

    assert set(leaves(found.get("value", {}))) == set(leaves(tree))
    assert "partial" not in found


@pytest.mark.parametrize(
    ("word", "value"),
    [("yes", "yes"), ("NO", "NO"), ("12:30", "12:30"), ("0o17", 15), ("0x1F", 31), ("010", 10), ("1e3", 1000.0),
     (".5", 0.5), ("1.10", 1.1), ("true", True), ("2024-05-01", "2024-05-01"), ("1_000", "1_000"), ('"1"', "1")],
)  # fmt: skip
def test_words_are_those_of_yaml_1_2(tmp_path: Path, word: str, value: Any) -> None:
    """Words are resolved by the core schema of YAML 1.2: Norway is no truth, and a time no number."""
    (tmp_path / "a.yaml").write_text(f"a: {word}\n")
    found = STRUCTURED.extract(str(tmp_path / "a.yaml"))["value"]["a"]
    assert (found, type(found)) == (value, type(value))


def test_bombs_of_aliases_are_not_copied(tmp_path: Path) -> None:
    """Aliases that would be a billion words stay one object each, and what is left out is told."""
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    found = checked(STRUCTURED.extract(str(tmp_path / "a.yaml")))
    assert len(found["keys"]) == 20
    assert "values" in found["partial"]


def test_a_tag_constructs_nothing(tmp_path: Path) -> None:
    """A tag that would make PyYAML's unsafe loader call a function is passed over, and its values are kept."""
    made = tmp_path / "made"
    (tmp_path / "a.yaml").write_text(f"a: !!python/object/apply:os.mkdir [{made}]\n")
    found = STRUCTURED.extract(str(tmp_path / "a.yaml"))
    assert not made.exists()
    assert found["value"] == {"a": [str(made)]}
    yaml.load((tmp_path / "a.yaml").read_text(), Loader=yaml.UnsafeLoader)  # noqa: S506 - what it would have done
    assert made.exists()


def test_of_two_attributes_of_one_name_that_in_a_namespace_counts() -> None:
    """Attributes are told by their names without namespace, in whatever order they stand."""
    found: list[dict[str, str]] = []
    walk = program("structured", "extractor_xml").Walk(lambda _, attributes: found.append(attributes))
    walk.read(io.BytesIO(b'<a xmlns:w="w"><b w:id="1" id="2" n="3"/><b id="2" w:id="1"/><b w:x="4"/><b/></a>'))
    assert found == [{}, {"id": "1", "n": "3"}, {"id": "1"}, {"x": "4"}, {}]
