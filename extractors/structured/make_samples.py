#!/usr/bin/env python3
"""Write the samples of the structured extractor anew: the same bytes each time."""

from __future__ import annotations

import gzip
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "samples"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
SAMPLES = {
    "CITATION.cff": """cff-version: 1.2.0
message: Please cite it as below.
title: Symmetry tools
authors:
  - family-names: Noether
    given-names: Emmy
    orcid: https://orcid.org/0000-0001-2345-6789
  - name: The Symmetry Team
version: "2.10"
license: Apache-2.0
doi: 10.5281/ZENODO.123456
identifiers:
  - type: doi
    value: 10.5281/zenodo.123457
keywords: [symmetry, physics]
date-released: 2024-05-01
""",
    "environment.yaml": """name: beamline
channels: [conda-forge]
dependencies:
  - python=3.12
  - numpy>=1.26
  - pip
  - pip:
      - h5py==3.11
""",
    "compose.yaml": """x-common: &common
  restart: always
services:
  web: {<<: *common, image: "nginx:1.27", ports: ["8080:80"]}
  db: {<<: *common, image: "postgres:16"}
""",
    "deployment.yaml": """apiVersion: apps/v1
kind: Deployment
metadata: {name: search}
spec:
  replicas: 2
  template: {spec: {containers: [{name: web, image: "registry.example/search:1.4"}]}}
---
apiVersion: v1
kind: Service
metadata:
  name: search
""",
    "scan.yaml": """# settings of a scan
sample: {name: wafer 7, thickness_um: 525}
energies_eV: [6.5, 7.0, 7.5]
dark: no
flag: true
start: 12:30:45
note: |
  two
  lines
detector:
  - {name: left, pixels: [1024, 512]}
  - {name: right, pixels: [1024, 512]}
""",
    "pyproject.toml": """[build-system]
requires = ["setuptools>=77"]

[project]
name = "symmetry-tools"
version = "2.10"
description = "Finds symmetries"
requires-python = ">=3.11"
license = "Apache-2.0"
authors = [{name = "Emmy Noether", email = "emmy@example.org"}]
keywords = ["symmetry"]
dependencies = ["numpy>=1.26", "h5py[extra]; python_version > '3.11'"]
""",
    "Cargo.toml": """[package]
name = "waves"
version = "0.3.1"
edition = "2021"
authors = ["Ada Lovelace <ada@example.org>"]

[dependencies]
serde = { version = "1", features = ["derive"] }
ndarray = "0.16"
""",
    "run.toml": """title = "Run 7"
started = 2024-05-01T10:00:00+02:00
[detector]
gain = 1.5
channels = [1, 2, 3]
""",
    "datacite.xml": HEAD + """<resource xmlns="http://datacite.org/schema/kernel-4">
 <identifier identifierType="DOI">10.1234/ABC</identifier>
 <creators><creator><creatorName nameType="Personal">Noether, Emmy</creatorName></creator></creators>
 <titles><title>Growth of <i>E. coli</i> in H<sub>2</sub>O</title></titles>
 <publisher>Example Repository</publisher><publicationYear>2024</publicationYear>
 <resourceType resourceTypeGeneral="Dataset">Dataset</resourceType>
 <subjects><subject>physics</subject><subject>symmetry</subject></subjects>
 <dates><date dateType="Collected">2023-01-01/2023-03-31</date><date dateType="Created">2023-04-02</date></dates>
 <geoLocations><geoLocation><geoLocationBox><westBoundLongitude>11.5</westBoundLongitude>
  <eastBoundLongitude>12.5</eastBoundLongitude><southBoundLatitude>50.9</southBoundLatitude>
  <northBoundLatitude>51.9</northBoundLatitude></geoLocationBox></geoLocation></geoLocations>
 <rightsList><rights>CC-BY-4.0</rights></rightsList>
</resource>
""",
    "mets.xml": HEAD + """<mets:mets xmlns:mets="http://www.loc.gov/METS/" xmlns:mods="http://www.loc.gov/mods/v3"
 LABEL="Notebook 3">
 <mets:metsHdr CREATEDATE="2020-02-03T04:05:06Z"/>
 <mets:dmdSec ID="d1"><mets:mdWrap MDTYPE="MODS"><mets:xmlData><mods:mods>
  <mods:titleInfo><mods:nonSort>The</mods:nonSort><mods:title>third notebook</mods:title></mods:titleInfo>
  <mods:name><mods:namePart type="given">Emmy</mods:namePart><mods:namePart type="family">Noether</mods:namePart>
   <mods:role><mods:roleTerm>author</mods:roleTerm></mods:role></mods:name>
  <mods:name><mods:namePart>A Librarian</mods:namePart></mods:name>
  <mods:subject><mods:topic>algebra</mods:topic></mods:subject>
 </mods:mods></mets:xmlData></mets:mdWrap></mets:dmdSec>
 <mets:fileSec><mets:fileGrp><mets:file ID="f1"/><mets:file ID="f2"/></mets:fileGrp></mets:fileSec>
</mets:mets>
""",
    "plots.eml": HEAD + """<eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0"
 packageId="doi:10.6073/pasta/abc" system="x">
 <dataset>
  <title>Trees on 12 plots</title>
  <creator><individualName><givenName>Ann</givenName><surName>Miller</surName></individualName></creator>
  <pubDate>2021</pubDate>
  <keywordSet><keyword>forest</keyword><keyword>growth</keyword></keywordSet>
  <coverage>
   <geographicCoverage><geographicDescription>plots</geographicDescription><boundingCoordinates>
    <westBoundingCoordinate>-72.5</westBoundingCoordinate><eastBoundingCoordinate>-72.1</eastBoundingCoordinate>
    <northBoundingCoordinate>42.6</northBoundingCoordinate><southBoundingCoordinate>42.4</southBoundingCoordinate>
   </boundingCoordinates></geographicCoverage>
   <temporalCoverage><rangeOfDates><beginDate><calendarDate>2001-05-01</calendarDate></beginDate>
    <endDate><calendarDate>2019-10-31</calendarDate></endDate></rangeOfDates></temporalCoverage>
  </coverage>
  <dataTable><entityName>trees.csv</entityName></dataTable>
 </dataset>
</eml:eml>
""",
    "cells.ome": HEAD + """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"
 Creator="OME Bio-Formats 6.7">
 <Instrument ID="Instrument:0"><Microscope Manufacturer="Zeiss" Model="LSM 880"/></Instrument>
 <Image ID="Image:0" Name="cells 1"><AcquisitionDate>2022-03-04T05:06:07</AcquisitionDate>
  <Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16"
   SizeX="512" SizeY="256" SizeZ="10" SizeC="2" SizeT="1">
   <Channel ID="Channel:0:0" Name="DAPI"/><Channel ID="Channel:0:1" Name="GFP"/></Pixels></Image>
</OME>
""",
    "drawing.svg": """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns="http://www.w3.org/2000/svg" width="120" height="80" viewBox="0 0 120 80"><title>Set-up</title>
<g><path d="M0 0L10 10"/><path d="M1 1L9 9"/></g></svg>
""",
    "tiny.mzML": HEAD + """<mzML xmlns="http://psi.hupo.org/ms/mzml" version="1.1.0">
 <referenceableParamGroupList count="1"><referenceableParamGroup id="g">
  <cvParam cvRef="MS" accession="MS:1000449" name="LTQ Orbitrap"/>
  <cvParam cvRef="MS" accession="MS:1000529" name="instrument serial number" value="SN7"/>
 </referenceableParamGroup></referenceableParamGroupList>
 <sampleList count="1"><sample id="s" name="plasma 7"/></sampleList>
 <softwareList count="1"><software id="p" version="3.0">
  <cvParam cvRef="MS" accession="MS:1000615" name="ProteoWizard"/></software></softwareList>
 <instrumentConfigurationList count="1"><instrumentConfiguration id="IC">
  <referenceableParamGroupRef ref="g"/></instrumentConfiguration></instrumentConfigurationList>
 <run id="r" startTimeStamp="2021-06-07T08:09:10Z">
  <spectrumList count="2"><spectrum id="1"/><spectrum id="2"/></spectrumList></run>
</mzML>
""",
    "stars.vot": HEAD + """<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>
 <FIELD name="ra" datatype="double" unit="deg"/><FIELD name="mag" datatype="float" unit="mag"/>
 <DATA><TABLEDATA><TR><TD>10.5</TD><TD>7.1</TD></TR>
 <TR><TD>11.5</TD><TD>8.2</TD></TR><TR><TD>12.5</TD><TD/></TR></TABLEDATA></DATA>
</TABLE></RESOURCE></VOTABLE>
""",
    "instrument.xml": HEAD + """<settings><lamp on="true">600 W</lamp><filter>UV</filter>
<filter>IR</filter></settings>
""",
    "torn.xml": HEAD + "<settings><lamp>600 W</lamp><filter>U",
    "torn.yaml": "sample: wafer\nlist: [1, 2\nnext: 3\n",
    "bad-entity.xml": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>\n',
    "bad-settings.ini": "[lamp]\npower = 600 W\n",
    "bad-text.yaml": "Only some words.\n",
    "bad-json.yaml": '{"a": [1, 2]}\n',
    "bad-empty.toml": "",
}  # fmt: skip


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in SAMPLES.items():
        (FOLDER / name).write_bytes(content.encode())
    (FOLDER / "scan.yaml.gz").write_bytes(gzip.compress(SAMPLES["scan.yaml"].encode(), mtime=0))
    (FOLDER / "scan-utf16.yaml").write_bytes(SAMPLES["scan.yaml"].encode("utf-16"))


if __name__ == "__main__":
    main()
