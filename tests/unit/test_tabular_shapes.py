"""Text tables of instruments and programs are read as they are meant, or the document says why that is doubtful."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from tests.support.programs import program, written
from tests.support.rows import each_row

program("tabular")  # so that its modules are found
TEN = range(10)


def blanks(width: int, rows: int = 10) -> str:
    """Return rows of numbers with blanks between."""
    return "".join(" ".join(f"{row + place / 4:9.3f}" for place in range(width)) + "\n" for row in range(rows))


MESA = "  1  2\n  initial_mass  compiler\n  1.5  'gfortran'\n\n  1  2\n  model_number  age\n"
TOA5 = '"TOA5","mast","CR1000"\n"TIMESTAMP","RECORD","Air"\n"TS","RN","Deg C"\n"","","Avg"\n'
CTD = "* Sea-Bird SBE 9\n# nquan = 2\n# name 0 = prDM: Pressure [db]\n# name 1 = flag:  0.0\n*END*\n"
ICARTT = (
    "17, 1001\nNoether, Emmy\nX\nX\nX\n1, 1\n2026, 01, 01, 2026, 01, 02\n0\nTime, s\n2\n1, 1\n-999, -99\n"
    "CO, ppb\nO3, ppb\n0\n0\nTime,CO,O3\n0,1.5,2\n1,-999,3\n"
)
XVG = '# by gmx\n@ title "Energies"\n@ xaxis label "Time (ps)"\n@TYPE xy\n@ s0 legend "Pot"\n'
SPEC = "#F a\n#S 1 ascan\n#N 3\n#L Theta  Epoch Time  Counts\n"
READ: dict[str, tuple[str, list[str], int, dict[str, Any]]] = {
    # what it is: content, names, rows, what else must be true of it
    "MESA": (MESA + "1 2\n2 3\n3 4\n", ["model_number", "age"], 3, {
        "comments": ["initial_mass = 1.5", "compiler = gfortran"]}),
    "a table of Markdown": ("| id | v |\n|----|:--:|\n| 1 | 2.5 |\n| 2 | 3.5 |\n", ["id", "v"], 2, {"units": None}),
    "bars at the ends of each line": (
        "|obsid |  x |  object  | rad|\n|3102  |  0.32 |  Q1250-A |  9|\n|877   |  4.5 |  'Source 82' | 12.5 |\n",
        ["obsid", "x", "object", "rad"], 2, {"ragged_rows": None},
    ),
    "a table of psql": (" id | v\n----+----\n  1 | 2\n  3 | 4\n(2 rows)\n", ["id", "v"], 2, {"ragged_rows": None}),
    "a table of mysql": ("+----+---+\n| id | vv |\n+----+---+\n| 1 | 2 |\n+----+---+\n", ["id", "vv"], 1, {}),
    "reStructuredText": ("==  ==\nA   B\n==  ==\n1   2\n3   4\n==  ==\n", ["A", "B"], 2, {}),
    "a logger's four lines": (TOA5 + '"2026-01-01 00:00:00",0,1.5\n' * 3, ["TIMESTAMP", "RECORD", "Air"], 3, {
        "units": {"Air": "Deg C"}}),
    "a CTD's head": (CTD + blanks(2), ["prDM", "flag"], 10, {"units": {"prDM": "db"}}),
    "ICARTT": (ICARTT, ["Time", "CO", "O3"], 2, {"units": {"Time": "s", "CO": "ppb", "O3": "ppb"}}),
    "ARFF": ("% iris\n@relation i\n@ATTRIBUTE 'a b' NUMERIC\n@attribute c {x,y}\n@DATA\n1.5,x\n?,y\n", ["a b", "c"],
             2, {"comments": ["iris"]}),
    "an ASCII grid": ("ncols 3\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 5\nNODATA_value -9\n1 2 -9\n3 4 5\n",
                      ["column1", "column2", "column3"], 2, {"header": False}),
    "Grace": (XVG + blanks(2), ["Time (ps)", "Pot"], 10, {"ragged_rows": None}),
    "SPEC": (SPEC + blanks(3), ["Theta", "Epoch Time", "Counts"], 10, {}),
    "PLUMED": ("#! FIELDS time phi\n0 1.5\n1 2.5\n", ["time", "phi"], 2, {}),
    "Touchstone": ("! by a VNA\n# GHZ S MA R 50\n! freq mag ang\n1 0.5 -30\n2 0.6 -20\n", ["freq", "mag", "ang"], 2,
                   {"ragged_rows": None}),
    "comments after semicolons": ("; file.raw\n5.0 100\n5.5 101\n", ["column1", "column2"], 2, {}),
    "numbers that count blocks": ("# block 0\n1 2\n3 4\n\n\n# block 1\n1 2\n", ["column1", "column2"], 3, {}),
    "a plate": (",1,2\nA,0.1,0.2\nB,0.3,0.4\n", ["unnamed", "1", "2"], 2, {}),
    "values of the same width before it": ("Sample,A\nDate,2026-01-01\nNo,7\nwave,abs\n1,2\n2,3\n", ["wave", "abs"],
                                           2, {"comments": ["Sample,A", "Date,2026-01-01", "No,7"]}),
    "a unit that marks comments": ("EXPL\nTAG\tCV\n\tPt\tT\n\t#\ts\n" + "".join(f"\t{n}\t{n / 2}\n" for n in TEN),
                                   ["unnamed", "Pt", "T"], 10, {"units": {"Pt": "#", "T": "s"}}),
    "words for a value": ("sample,conc\nS-1,1.5\nS-2,BDL\nS-3,2.5\n", ["sample", "conc"], 3, {}),
    "a mark within quotes": ('n,w\n1,"a\n#"\n' + "2,a\n" * 6, ["n", "w"], 7, {"ragged_rows": None}),
    "intervals": ('bin,n\n"[0, 1)",5\n"[1, 2)",7\n', ["bin", "n"], 2, {}),
    "one column in quotes": ('"note"\n"a, b"\n"c, d"\n', ["note"], 2, {}),
    "decimal commas that look like thousands": ("1000,000 0,500\n1000,000 1000,250\n0,000 0,000\n1,250 0,125\n",
                                                ["column1", "column2"], 4, {"decimal": ","}),
    "a column whose name begins as a block of STAR": ("data_id,value\n1,2\n3,4\n", ["data_id", "value"], 2, {}),
    "columns whose names begin so": ("data_x\tdata_y\n1\t2\n3\t4\n", ["data_x", "data_y"], 2, {}),
    "a table of tracks": ("track pt eta\n" + blanks(3), ["track", "pt", "eta"], 10, {}),
    "decimal commas in quotes": ('id,gain\n1,"0,125"\n2,"0,154"\n', ["id", "gain"], 2, {}),
    "a short rule of Markdown": ("| a | b |\n|-|-|\n| 1 | 2 |\n| 3 | 4 |\n", ["a", "b"], 2, {"units": None}),
    "what mysql says at its end": (
        "+----+---+\n| id | v |\n+----+---+\n| 1 | 2 |\n| 3 | 4 |\n+----+---+\n2 rows in set\n",
        ["id", "v"], 2, {}),
    "decimal commas with a zero behind them": ("x;y\n1,05;2,5\n3,2;4\n", ["x", "y"], 2, {"decimal": ","}),
    "decimal commas of one length": (
        "x;y\n" + "".join(f"{n};{n}1,{n}\n" for n in TEN), ["x", "y"], 10, {"decimal": ","}),
    "decimal points of three places": ("x;y\n1.234;2.5\n3.456;4.5\n", ["x", "y"], 2, {}),
    "a separator at the end of each line": ("a b;c;\nd e;f;\ng h;i;\n", ["a b", "c", "unnamed"], 2, {}),
    "numbers in quotes as names": ('"","0","1"\n"5",27,29\n"6",59,53\n', ["unnamed", "0", "1"], 2, {}),
    "grouped thousands": ('city,n\nA,"1,234"\nB,999\n', ["city", "n"], 2, {}),
}  # fmt: skip
DOUBTED = {
    # what it is: content, words of the reason
    "a MESA run with restarts": (MESA + "1 2\n2 3\n2 4\n", "restarted"),
    "numbers that touch": ("".join(f"{-1000.5 * n:9.3f}{-2000.2 * n:9.3f}\n" for n in TEN[1:]), "between them"),
    "a log of LAMMPS": ("LAMMPS (29 Sep 2026)\nunits lj\nStep Temp\n0 1.5\n", "a LAMMPS log"),
    "a dump of LAMMPS": ("ITEM: TIMESTEP\n0\nITEM: ATOMS id x\n1 2\n", "a LAMMPS dump"),
    "a cube of Gaussian": (
        " cube\n density\n 1 0 0 0\n 2 1 0 0\n 2 0 1 0\n 2 0 0 1\n 8 0 0 0 1\n" + blanks(6), "columns"),
    "a header of ENVI": ("ENVI\nsamples = 6\nlines = 5\nbands = 1\n", "an ENVI header"),
    "SPICE": ("Title: rc\nDate: x\nPlotname: AC\nVariables:\n\t0\ttime\ttime\nValues:\n0\t1\n", "SPICE"),
    "JCAMP-DX": ("##TITLE=x\n##JCAMP-DX=4.24\n##XYDATA=(X++(Y..Y))\n450 98 97\n452 96 95\n", "JCAMP-DX"),
    "PDB": ("".join(f"ATOM  {n:5}  CA  ALA A{n:4}    {n:8.3f}{n:8.3f}\n" for n in range(1, 9)), "a PDB file"),
    "VOTable": ('<?xml version="1.0"?>\n<VOTABLE>\n<TR><TD>1</TD></TR>\n</VOTABLE>\n', "markup"),
    "STAR": ("\ndata_\n\nloop_\n_rlnX #1\n_rlnY #2\n1 2\n3 4\n", "STAR"),
    "a genome browser's track": ("track type=bedGraph\nchr1\t0\t10\t1.5\nchr1\t10\t20\t2.5\n", "genome browser"),
    "commas before decimals or thousands": ('n,eur\n1,"1,037"\n2,"2,100"\n', "group thousands"),
    "commas of both kinds": ('n,eur\n1,"1,250"\n2,"0,125"\n3,7\n', "group thousands"),
    "thousands without a comma beside": ('n,eur\n1,"1,250"\n2,1250\n', "group thousands"),
    "commas of decimals or between two values": ("1,2;3,4\n5,6;7,8\n", "between values"),
    "commas of decimals or of places": ("id;place\n1;52,13\n2;48,11\n", "between values"),
    "lists in cells": ("id;list\n1;1,2,3\n2;3,4\n3;5,6\n", "between values"),
    "points of decimals or thousands": ("day;n\n01.02.2026;1.234\n02.02.2026;12.345\n", "group thousands"),
    "prose": ("The fox, which was tired, sat down.\n" * 3 + "It then, after a while, went home.\n" * 3, "prose"),
    "statements of C": ("int a = 1;\nint b = 2;\nfloat c = 3.0;\n", "statements"),
    "statements of SQL": ("SELECT a, b FROM t;\nSELECT c, d FROM t;\n", "SQL"),
    "a script": ("#!/bin/sh\ncp a b\nmv c d\n", "a script"),
    "a program": ("import os\nx = 1, 2\ny = 3, 4\n", "a program"),
    "daily values of GHCN": ("".join(f"USC00011{n:03}202601TMAX{n:5}  6{n:5}  6\n" for n in TEN), "GHCN"),
    "sets of Grace": (XVG + blanks(2) + "&\n" + blanks(2), "several sets"),
    "a later scan of SPEC": (SPEC + blanks(3, 5000) + "\n#S 2 ascan\n#N 3\n#L a  b  c\n1 2 3\n", "several scans"),
    "scans of SPEC": (SPEC + blanks(3) + "\n#S 2 ascan\n#N 1\n#L Theta\n1\n2\n", "several scans"),
    "SAM": ("@HD\tVN:1.6\nr1\t0\tchr1\t1\nr2\t0\tchr1\t5\n", "a SAM file"),
    "FASTA": (">a\nACGT\n>b\nGGCC\n", "FASTA"),
    "settings": ("[a]\nx=1\ny=2\n", "settings"),
    "a sparse matrix": ("%%MatrixMarket matrix coordinate real\n3 3 2\n1 1 2.5\n2 2 1.5\n", "Matrix Market"),
    "XYZ": ("3\nwater\nO 0 0 0.1\nH 0 0.7 -0.5\nH 0 -0.7 -0.5\n", "each line is one column"),
    "keys and values": ("name: test\nvalue: 5\nunit: m\n", "each line is one column"),
    "colons": ("root:x:0\nbin:x:1\nsys:x:2\n", "':' may separate"),
    "brackets": ("0 ((1 2) (0 0))\n1 ((1 3) (0 0))\n2 ((1 4) (0 0))\n", "brackets"),
    "ampersands": ("a & b\n1 & 2\n3 & 4\n", "not separated"),
    "a second table": ("a,b\n1,2\n3,4\n\nc,d,e\n5,6,7\n8,9,10\n11,12,13\n", "another table"),
    "a second header": ("t,v\n0,1\n1,2\nt,v\n2,3\n3,4\n", "another table"),
    "names in two rows": (",x,x\n,mean,std\nA,1,2\nB,3,4\nC,5,6\n", "two rows"),
    "comments with names and units": ("# made by hand\n# time signal\n# s V\n" + blanks(2), "two comments"),
    "a row of words": ("g,n\n5,1\n6,2\n7,3\n* a,see notes\n", "row 4 has words"),
    "a grid whose lines are broken": ("ncols 4\nnrows 1\n1 2\n3 4\n", "number of fields"),
    "many widths": ("Cycle,Cap\n,Step,Name\n,,Record,V\n1,10\n,1,CC\n,,1,3.0\n,,2,3.1\n", "number of fields"),
    "fields without a separator": (" 1  abc    1.5\n 2         2.5\n 3  def    3.5\n", "blank in all"),
}  # fmt: skip


@each_row("name", READ)
def test_a_table_of_a_program_is_read_as_it_is_meant(tmp_path: Path, name: str) -> None:
    """Names, rows and units are those that its format gives them, and nothing is doubtful."""
    content, columns, rows, more = READ[name]
    found = written(tmp_path, "a.dat", content.encode())

    assert (found["columns"], found["rows"]) == (columns, rows)
    assert {key: found.get(key) for key in more} == more
    assert "partial" not in found


@each_row("name", DOUBTED)
def test_what_may_be_no_such_table_says_so(tmp_path: Path, name: str) -> None:
    """Columns that are no more than a guess are never given without the reason for doubt."""
    content, reason = DOUBTED[name]

    assert reason in written(tmp_path, "a.dat", content.encode())["partial"]


def test_what_stands_for_no_value_is_none(tmp_path: Path) -> None:
    """Ranges have no number that the head of the file declares to be none."""
    grid = written(tmp_path, "a.asc", READ["an ASCII grid"][0].encode())["column"]["column3"]
    flight = written(tmp_path, "a.ict", READ["ICARTT"][0].encode())["column"]
    assert grid == {"type": "integer", "values": 1, "empty": 1, "min": 5, "max": 5}
    assert flight["CO"] == {"type": "number", "values": 1, "empty": 1, "min": 1.5, "max": 1.5}
    bad = CTD.replace("*END*", "# bad_flag = -9.990e-29\n*END*") + "1.5 2\n-9.990e-29 3\n"
    assert written(tmp_path, "a.cnv", bad.encode())["column"]["prDM"] == flight["CO"]
    flags = "\n0\n2\nULOD_FLAG: -7777\nLLOD_FLAG: -8888\nTime"
    reach = ICARTT.replace("17, 1001", "19, 1001").replace("\n0\n0\nTime", flags)
    low = written(tmp_path, "b.ict", reach.replace("1,-999,3", "1,-8888,3").encode())["column"]
    assert low["CO"] == flight["CO"]
    quoted = written(tmp_path, "a.csv", READ["decimal commas in quotes"][0].encode())["column"]["gain"]
    assert (quoted["type"], quoted.get("max")) == ("text", None)
    arff = '@relation r\n@attribute n NUMERIC\n@attribute s STRING\n@data\n1,"x y"\n2,"z"\n'
    assert written(tmp_path, "a.arff", arff.encode())["column"]["s"]["first"] == "x y"
    assert written(tmp_path, "a.csv", READ["grouped thousands"][0].encode())["column"]["n"]["max"] == 1234


def test_rows_of_a_shape_of_their_own_are_counted_to_the_end(tmp_path: Path) -> None:
    """Records of several lines are counted as rows also where no more than their number is found."""
    tabular = program("tabular")
    head = "#N ID X \\\n#U ## pix \\\n#F %-4d %-6.1f \\\n#\n#N NOTE\n#U ##\n#F %-9s\n#\n"
    records = "".join(f"{n:<4}{n / 2:<6}\\\n  a note\n" for n in range(300))
    (tmp_path / "a.mag").write_text(head + records)
    for closely in (1, 3000, 1 << 20):
        with (tmp_path / "a.mag").open("rb") as file:
            found = tabular.from_text(tabular.Source(file), closely)
        assert (found["columns"], found["rows"], found["units"]) == (["ID", "X", "NOTE"], 300, {"X": "pix"})


def test_names_without_a_table_are_told_in_linear_time() -> None:
    """Heads that nearly are those of another format cost no more than their length."""
    doubts = program("tabular", "tabular_doubts")
    for line, (pattern, _) in itertools.product(
        ("\n", "#\n", "browser x\n", "#S 1 \n", "Title: x\n"), doubts.KNOWN
    ):
        assert pattern.search(line * (doubts.HEAD // len(line))) is None or line == "#S 1 \n"
