"""What XML of well-known shapes is about: metadata of data, of publications, of instruments' files and models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from extractor_facts import box, common
from structured_records import known

Facts = dict[str, Any]
Counts = Mapping[str, int]  # how many elements there are of each name; empty where not all were counted
NUMBER = re.compile(r"\s*[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?\s*")
AUTHORS = {"author", "aut", "creator", "cre"}
SIDES = ("west", "south", "east", "north")
ISO_SIDES = ("westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude")
SERIAL_NUMBER = "MS:1000529"


def counted(counts: Counts, **names: str) -> Facts:
    """Return how many elements there are, by the key of the document; nothing where not all were counted."""
    return {key: counts.get(name, 0) for key, name in names.items()} if counts else {}


def number(word: str) -> float | None:
    """Return a number as it is written; None for what is none."""
    return float(word) if NUMBER.fullmatch(word) else None


def union(boxes: Iterable[list[float] | None]) -> list[float] | None:
    """Return the only box; of many the one around all of them, where none crosses the date line."""
    found = [one for one in boxes if one]
    if len(found) < 2:
        return found[0] if found else None
    if any(one[0] > one[2] for one in found):
        return None
    west, south, east, north = zip(*found, strict=True)
    return [min(west), min(south), max(east), max(north)]


def sides(node: Any, *names: str) -> list[float] | None:
    """Return the box whose west, south, east and north stand below these names."""
    return box(*(number(node.word(name)) for name in names))


def datacite(root: Any, _: Counts) -> Facts:
    """Return what metadata of DataCite say."""
    dates = {node.attributes.get("dateType", ""): node.said() for node in root.every("dates/date")}
    start, _slash, end = dates.get("Collected", "").partition("/")
    own = [
        one.said() for one in root.every("identifier") if one.attributes.get("identifierType", "").upper() == "DOI"
    ]
    said = known(
        version=root.word("version"), license=root.words("rightsList/rights"), publisher=root.word("publisher"),
        type=root.word("resourceType"),
    )  # fmt: skip
    return said | common(
        title=root.word("titles/title"), creator=root.words("creators/creator/creatorName"), doi=own,
        keywords=root.words("subjects/subject"), start=start, end=end or start, created=dates.get("Created"),
        bbox=union(sides(one, *ISO_SIDES) for one in root.every("geoLocations/geoLocation/geoLocationBox")),
    )  # fmt: skip


def dublin_core(root: Any, _: Counts) -> Facts:
    """Return what a record of Dublin Core says."""
    return known(license=root.words("rights"), publisher=root.word("publisher"), type=root.word("type")) | common(
        title=root.word("title"), creator=root.words("creator"), keywords=root.words("subject"),
        doi=root.words("identifier"), created=root.word("created"),
    )  # fmt: skip


def _names(node: Any) -> list[str]:
    """Return the people of a record of MODS: names with a role of an author, else all."""
    everybody = list(node.every("name"))
    authors = [one for one in everybody if AUTHORS & {word.lower() for word in one.words("role/roleTerm")}]
    found = []
    for one in authors or everybody:
        parts = {part.attributes.get("type", ""): part.said() for part in one.every("namePart")}
        name = ", ".join(parts[kind] for kind in ("family", "given") if parts.get(kind))
        found.append(name or parts.get("", ""))
    return found


def mods(root: Any, _: Counts) -> Facts:
    """Return what a record of MODS says."""
    one = next(root.below("mods"), root) if root.name == "modsCollection" else root
    dois = [node.said() for node in one.every("identifier") if node.attributes.get("type", "").lower() == "doi"]
    return known(publisher=one.word("originInfo/publisher"), type=one.word("genre")) | common(
        title=" ".join(one.words("titleInfo/nonSort")[:1] + one.words("titleInfo/title")[:1]), creator=_names(one),
        keywords=one.words("subject/topic"), doi=dois, created=one.word("originInfo/dateCreated"),
    )  # fmt: skip


def mets(root: Any, counts: Counts) -> Facts:
    """Return what METS says of an object: how many files it has, and what MODS or Dublin Core in it say."""
    head = next(root.every("metsHdr"), None)
    about = next(root.below("mods"), None)
    said = mods(about, counts).get("common", {}) if about is not None else {}
    given = {"title": root.attributes.get("LABEL"), "created": head.attributes.get("CREATEDATE") if head else None}
    given = {key: value for key, value in given.items() if value} | said
    return counted(counts, files="file") | known(type=root.attributes.get("TYPE")) | common(**given)


def eml(root: Any, _: Counts) -> Facts:
    """Return what the Ecological Metadata Language says of a data set."""
    data = next(root.every("dataset"), root)
    people = []
    for one in data.every("creator"):
        name = " ".join(one.words("individualName/givenName") + one.words("individualName/surName"))
        people.append(name or one.word("organizationName"))
    cover = next(data.every("coverage"), data)
    places = [f"boundingCoordinates/{side}BoundingCoordinate" for side in SIDES]
    begin = cover.word("*/beginDate/calendarDate", "*/singleDateTime/calendarDate")
    tables = data.words("dataTable/entityName")
    boxes = [sides(one, *places) for one in cover.every("geographicCoverage")]
    return known(license=data.words("intellectualRights"), resources=tables) | common(
        title=data.word("title"), creator=people, keywords=data.words("keywordSet/keyword"), start=begin,
        end=cover.word("*/endDate/calendarDate") or begin, bbox=union(boxes),
        doi=[*data.words("alternateIdentifier"), root.attributes.get("packageId", "")],
    )  # fmt: skip


def iso_19115(root: Any, _: Counts) -> Facts:
    """Return what metadata of ISO 19115 say of data."""
    kinds = ("MD_DataIdentification", "SV_ServiceIdentification")
    about = next((node for name in kinds for node in root.below(name)), root)
    boxes = [sides(one, *ISO_SIDES) for one in about.below("EX_GeographicBoundingBox")]
    people = [one.said() for one in about.every("pointOfContact/*/individualName")]
    people = people or about.words("pointOfContact/*/organisationName")
    code = next((one.said() for one in root.below("RS_Identifier") if one.said()), "")
    digits = code.rpartition(":")[2].strip()
    dates = {
        kind.attributes.get("codeListValue", ""): node.word("date")
        for node in about.every("citation/CI_Citation/date/CI_Date")
        for kind in node.below("CI_DateTypeCode")
    }
    return common(
        title=about.word("citation/CI_Citation/title"), creator=people,
        keywords=about.words("descriptiveKeywords/MD_Keywords/keyword"), bbox=union(boxes),
        start=about.word("*/beginPosition"), end=about.word("*/endPosition"), created=dates.get("creation"),
        crs=f"EPSG:{digits}" if "EPSG" in code.upper() and digits.isdigit() else code,
    )  # fmt: skip


def ome(root: Any, counts: Counts) -> Facts:
    """Return what OME-XML says of images."""
    images = list(root.every("Image"))
    pixels = [one for image in images for one in image.every("Pixels")]
    scope = [one.attributes for one in root.every("Instrument/Microscope")]
    dates = sorted(word for image in images if (word := image.word("AcquisitionDate", "AcquiredDate")))
    shape = {
        key: int(pixels[0].attributes[key])
        for key in ("SizeX", "SizeY", "SizeZ", "SizeC", "SizeT")
        if pixels and pixels[0].attributes.get(key, "").isdigit() and len(pixels[0].attributes[key]) < 10
    }
    names = [one.attributes.get("Name", "") for one in images]
    channels = [one.attributes.get("Name", "") for each in pixels for one in each.every("Channel")]
    said = counted(counts, images="Image") | ({"pixels": shape} if shape else {})
    return said | known(channels=[name for name in channels if name]) | common(
        title=next(filter(None, names), None), start=dates[0] if dates else None, end=dates[-1] if dates else None,
        creator=[" ".join(filter(None, (one.attributes.get("FirstName"), one.attributes.get("LastName"))))
                 for one in root.every("Experimenter")],
        instrument=[" ".join(filter(None, (one.get("Manufacturer"), one.get("Model")))) for one in scope],
        software=[root.attributes.get("Creator", "")],
    )  # fmt: skip


def svg(root: Any, _: Counts) -> Facts:
    """Return what a drawing says."""
    said = known(**{key: root.attributes.get(key) for key in ("width", "height", "viewBox")})
    work = next(root.below("Work"), root)
    title = root.word("title") or work.word("title")
    return said | common(
        title=title, creator=work.words("creator/Agent/title", "creator"), created=work.word("date"),
        keywords=work.words("subject/Bag/li"), software=[root.attributes.get("generator", "")],
    )  # fmt: skip


def mzml(root: Any, counts: Counts) -> Facts:
    """Return what a file of mass spectrometry says: instrument, sample, software, and how many spectra it has."""
    top = next(root.below("mzML"), root)
    groups = {
        one.attributes.get("id"): one for one in top.every("referenceableParamGroupList/referenceableParamGroup")
    }
    terms: list[str] = []
    for one in top.every("instrumentConfigurationList/instrumentConfiguration"):
        named = [ref.attributes.get("ref") for ref in one.every("referenceableParamGroupRef")]
        for part in [one, *(groups[name] for name in named if name in groups)]:
            said = [term.attributes for term in part.every("cvParam")]
            terms += [each.get("name", "") for each in said if each.get("accession") != SERIAL_NUMBER]
    tools = [
        " ".join(filter(None, (term.attributes.get("name"), one.attributes.get("version"))))
        for one in top.every("softwareList/software") for term in list(one.every("cvParam"))[:1]
    ]  # fmt: skip
    started = next((one.attributes.get("startTimeStamp") for one in top.every("run")), None)
    samples = [one.attributes.get("name", "") for one in top.every("sampleList/sample")]
    spectra = next((one.attributes.get("count", "") for one in top.every("run/spectrumList")), "")
    told = {"spectra": int(spectra)} if spectra.isdigit() and len(spectra) < 12 else {}
    return (
        counted(counts, spectra="spectrum", chromatograms="chromatogram")
        | told
        | common(instrument=terms, software=tools, sample=samples, start=started, technique=["mass spectrometry"])
    )


def sbml(root: Any, counts: Counts) -> Facts:
    """Return what a model of systems biology has."""
    model = next(root.every("model"), root)
    lists = {key: key for key in ("species", "reaction", "compartment", "parameter")}
    said = known(version=f"{root.attributes.get('level', '')}.{root.attributes.get('version', '')}")
    return (
        said | counted(counts, **lists) | common(title=model.attributes.get("name") or model.attributes.get("id"))
    )


def jats(root: Any, _: Counts) -> Facts:
    """Return what an article says of itself."""
    meta = next(root.below("article-meta"), root)
    people = [
        " ".join(one.words("name/given-names") + one.words("name/surname")) or one.word("collab")
        for one in meta.every("contrib-group/contrib")
        if one.attributes.get("contrib-type", "author") == "author"
    ]
    dois = [one.said() for one in meta.every("article-id") if one.attributes.get("pub-id-type") == "doi"]
    journal = root.word("front/journal-meta/journal-title-group/journal-title", "front/journal-meta/journal-title")
    return known(publisher=journal, type=root.attributes.get("article-type")) | common(
        title=meta.word("title-group/article-title"), creator=people, doi=dois, keywords=meta.words("kwd-group/kwd")
    )


def tei(root: Any, _: Counts) -> Facts:
    """Return what the header of a text in TEI says."""
    head = next(root.every("teiHeader/fileDesc"), root)
    return known(publisher=head.word("publicationStmt/publisher")) | common(
        title=head.word("titleStmt/title"), creator=head.words("titleStmt/author"),
        keywords=root.words("teiHeader/profileDesc/textClass/keywords/*/term"),
    )  # fmt: skip


def ddi(root: Any, counts: Counts) -> Facts:
    """Return what the codebook of a survey says."""
    study = next(root.every("stdyDscr"), root)
    return counted(counts, variables="var") | common(
        title=study.word("citation/titlStmt/titl"),
        creator=study.words("citation/rspStmt/AuthEnty"),
        keywords=study.words("stdyInfo/subject/keyword"),
    )


def votable(root: Any, counts: Counts) -> Facts:
    """Return what a table of the Virtual Observatory has."""
    fields = [one.attributes for one in root.below("FIELD")]
    units = list(dict.fromkeys(one["unit"] for one in fields if one.get("unit")))
    rows = counted(counts, rows="TR") if counts.get("TR") else {}
    tables = counted(counts, tables="TABLE")
    names = known(columns=[one["name"] for one in fields if one.get("name")])
    return tables | rows | names | common(title=root.word("DESCRIPTION", "RESOURCE/DESCRIPTION"), units=units)


def untold(_: Any, __: Counts) -> Facts:
    """Return nothing: that it is of this shape is all."""
    return {}


# shape, root, what its namespace holds (nothing: any), whether it holds data rather than metadata, what reads it
SHAPES: tuple[tuple[str, set[str], str, bool, Callable[[Any, Counts], Facts]], ...] = (
    ("datacite", {"resource"}, "datacite.org/schema/kernel", False, datacite),
    ("dublin-core", {"dc", "metadata"}, "oai_dc", False, dublin_core),
    ("mods", {"mods", "modsCollection"}, "loc.gov/mods", False, mods),
    ("mets", {"mets"}, "loc.gov/METS", False, mets),
    ("eml", {"eml"}, "eml", False, eml),
    ("iso-19115", {"MD_Metadata", "MI_Metadata"}, "", False, iso_19115),
    ("ome-xml", {"OME"}, "openmicroscopy.org", False, ome),
    ("svg", {"svg"}, "", True, svg),
    ("mzml", {"mzML", "indexedmzML"}, "", True, mzml),
    ("sbml", {"sbml"}, "sbml.org", True, sbml),
    ("jats", {"article"}, "", True, jats),
    ("tei", {"TEI"}, "tei-c.org", True, tei),
    ("ddi", {"codeBook"}, "", False, ddi),
    ("votable", {"VOTABLE"}, "", True, votable),
    ("gpx", {"gpx"}, "", True, untold),
    ("kml", {"kml"}, "", True, untold),
    ("xsd", {"schema"}, "w3.org/2001/XMLSchema", True, untold),
    ("pom", {"project"}, "maven.apache.org", False, untold),
)  # fmt: skip


def facts(root: Any, namespace: str, counts: Counts) -> tuple[Facts, bool]:
    """Return what the first shape that fits says, and whether the rest of it is data; nothing of another."""
    for shape, names, part, is_data, read in SHAPES:
        if root.name in names and part in namespace:
            return {"shape": shape} | read(root, counts), is_data
    return {}, False
