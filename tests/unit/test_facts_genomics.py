"""Facts of sequences: what was written is what is counted, however it is wrapped, cut in blocks, or compressed."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import Later
from tests.support.rows import each_row

pysam, SeqIO = Later("pysam"), Later("Bio.SeqIO")
genomics, fastq = Later("genomics", "genomics"), Later("genomics_fastq", "genomics")
quick = examples(60, HealthCheck.function_scoped_fixture)
QUALITIES = "".join(map(chr, range(33, 127)))
READS = st.lists(
    st.text("ACGT", min_size=1, max_size=40).flatmap(
        lambda read: st.tuples(st.just(read), st.text(QUALITIES, min_size=len(read), max_size=len(read)))
    ),
    min_size=1, max_size=30,
)  # fmt: skip


def wrapped(text: str, width: int) -> str:
    """Return a text in lines of a width."""
    return "\n".join(text[place : place + width] for place in range(0, len(text), width))


@quick
@given(reads=READS, width=st.integers(1, 50), block=st.integers(1, 200), end=st.sampled_from(["\n", "\r\n"]))
def test_fastq_of_any_form_has_its_reads(reads: list[tuple[str, str]], width: int, block: int, end: str) -> None:
    """Reads, bases and lengths are right as Biopython has them, however lines are wrapped and qualities begin."""
    text = "".join(f"@r{n} x\n{wrapped(s, width)}\n+\n{wrapped(q, width)}\n" for n, (s, q) in enumerate(reads))
    data = text.replace("\n", end).encode()

    *_, found = fastq.fastq(data[place : place + block] for place in range(0, len(data), block))

    lengths = [len(read) for read, _ in reads]
    assert (found["reads"], found["bases"]) == (len(reads), sum(lengths))
    assert (found["shortest"], found["longest"], found["name"]) == (min(lengths), max(lengths), "r0")
    assert "partial" not in found
    assert [len(record) for record in SeqIO.parse(io.StringIO(text), "fastq")] == lengths


@quick
@given(reads=READS, cut=st.integers(1, 30))
def test_fastq_that_is_cut_off_says_so(reads: list[tuple[str, str]], cut: int) -> None:
    """Of a file that ends within a read the whole reads are counted, with the reason."""
    data = "".join(f"@r{n}\n{s}\n+\n{q}\n" for n, (s, q) in enumerate([*reads, ("A" * 40, "I" * 40)])).encode()
    *_, found = fastq.fastq([data[:-cut]])
    assert found["reads"] == len(reads) + (cut == 1)
    assert found.get("partial") == (None if cut == 1 else "the file ends within a read")


@each_row(
    ("record", "why"),
    [("@b\nAC GT\n+\nIIIII\n", "a sequence has characters other than letters"),
     ("@b\nACGT\n+\nII\x01I\n", "a quality is no letter, digit or sign"),
     ("oops\n", "comes a line that begins with no @")],
)  # fmt: skip
def test_what_is_no_read_ends_the_count(record: str, why: str) -> None:
    """A later record that breaks the rules ends the count, with the reason."""
    *_, found = fastq.fastq([b"@a\nACGT\n+\nIIII\n" + record.encode()])
    assert (found["reads"], found["partial"]) == (1, f"behind read 1 {why}")


def test_long_wrapped_reads_are_counted_in_one_pass() -> None:
    """A read of a million bases in short lines is counted, and colours of SOLiD have one quality less."""
    lines, qualities = b"ACGTACGTAC\n" * 100_000, b"IIIIIIIIII\n" * 100_000
    *_, found = fastq.fastq([b"@a\n" + lines + b"+\n" + qualities])
    assert (found["reads"], found["bases"]) == (1, 1_000_000)
    *_, found = fastq.fastq([b"@a\nT0123\n+\nIIII\n@b\nT0.\n+\nII\n"])
    assert found["reads"] == 2


def test_sequences_and_qualities_of_different_lengths_are_no_reads() -> None:
    """A later read whose qualities are too many ends the count, with the reason; a first one is no FASTQ file."""
    *_, found = fastq.fastq([b"@a\nACGT\n+\nIIII\n@b\nACGT\n+\nIIIIII\n"])
    assert (found["reads"], found["partial"]) == (1, "behind read 1 sequence and qualities are not of one length")
    with pytest.raises(ValueError, match="it is not a FASTQ file"):
        list(fastq.fastq([b"@Override\npublic void run() {\n}\n"]))


@quick
@given(records=st.lists(st.text("ACGTN", max_size=60), min_size=1, max_size=30), width=st.integers(1, 70))
def test_fasta_is_counted_as_biopython_counts(tmp_path: Path, records: list[str], width: int) -> None:
    """Sequences, letters and names are those of Biopython, within gzip and BGZF too."""
    text = "".join(f">s{n} about\n{wrapped(record, width)}\n" for n, record in enumerate(records))
    (tmp_path / "a.fa").write_text(text)
    (tmp_path / "a.gz").write_bytes(gzip.compress(text.encode()))
    found = genomics.extract(str(tmp_path / "a.fa"))
    read = list(SeqIO.parse(tmp_path / "a.fa", "fasta"))
    assert (found["sequences"], found["letters"]) == (len(read), sum(map(len, read)))
    assert found["names"] == [record.id for record in read]
    assert genomics.extract(str(tmp_path / "a.gz")) == found | {"compression": "gzip"}


@each_row(
    ("change", "reason"),
    [(("INFO\n", "INFO\t\n"), True), (("##source=x", "##\n##source=x"), True), (("\n", "\n"), False)],
)
def test_a_vcf_that_htslib_refuses_has_its_facts(tmp_path: Path, change: tuple[str, str], reason: bool) -> None:
    """Fields, contigs and records are told with the reason; of a sound file without one."""
    text = (
        '##fileformat=VCFv4.1\n##source=x\n##INFO=<ID=DP,Number=1,Type=Integer,Description="d">\n'
        "##contig=<ID=1,length=100>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n1\t10\t.\tA\tC\t.\tPASS\tDP=3\n"
    )
    (tmp_path / "a.vcf").write_text(text.replace(*change))
    found = genomics.extract(str(tmp_path / "a.vcf"))
    assert (found["format"], found["format_version"], found["records"]) == ("vcf", "VCFv4.1", 1)
    assert (found["info"], found["contigs"], found["source"]) == (["DP"], ["1"], "x")
    assert ("partial" in found) <= reason
    assert found["preview"]["table"]["rows"][0][:5] == ["1", "10", ".", "A", "C"]


@each_row("sequence", ["ACGT\tIIII", "*\t*", "ACGT\tIIII\tNM:i:0"])
def test_sam_needs_no_header(tmp_path: Path, sequence: str) -> None:
    """Lines with the eleven fields of SAM are a SAM file, and other tables are none."""
    (tmp_path / "a").write_text(f"r1\t0\tchr1\t1\t30\t4M\t*\t0\t0\t{sequence}\n")
    found = genomics.extract(str(tmp_path / "a"))
    assert (found["format"], found["reference_count"], found["references"]) == ("sam", 0, [])
    (tmp_path / "b").write_text("r1\t0\tchr1\t1\t30\tx\t*\t0\t0\tACGT\tIIII\n")
    with pytest.raises(ValueError, match="it is not a FASTA"):
        genomics.extract(str(tmp_path / "b"))


@each_row("line", ["@SQ\tSN:c1\n", "@SQ\tSN:c1\tLN:-4\n", "@RG\tSM:x\n"])
def test_a_sam_that_htslib_refuses_has_its_facts(tmp_path: Path, line: str) -> None:
    """Samples and references of a broken header are told, with the reason."""
    (tmp_path / "a.sam").write_text(f"@HD\tVN:1.6\n@RG\tID:a\tSM:leaf\n{line}")
    found = genomics.extract(str(tmp_path / "a.sam"))
    assert found["format"] == "sam"
    assert "leaf" in found["samples"]
    assert found["references"] == (["c1"] if "c1" in line else [])
    assert "htslib refuses its header" in found.get("partial", "htslib refuses its header")


def test_a_vcf_of_a_header_alone_has_its_facts(tmp_path: Path) -> None:
    """A file that ends behind the names of its columns, without an end of the line, has its document."""
    text = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    (tmp_path / "a.vcf").write_text(text)
    found = genomics.extract(str(tmp_path / "a.vcf"))
    assert (found["format_version"], found["records"]) == ("VCFv4.3", 0)


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_headers_are_those_that_pysam_wrote_and_long_lists_are_told(tmp_path: Path, mode: str) -> None:
    """Samples, platforms and dates stand under the shared keys; a list that is cut says how long it is."""
    header: dict[str, Any] = {
        "HD": {"VN": "1.6"}, "SQ": [{"SN": f"c{n}", "LN": 10} for n in range(6000)],
        "RG": [{"ID": "a", "SM": "leaf", "PL": "ILLUMINA", "PM": "NovaSeq", "CN": "Centre",
                "DT": "2024-02-29T01:00:00+01:00"}],
    }  # fmt: skip
    with pysam.AlignmentFile(str(tmp_path / "a"), mode, header=header):
        pass
    found = genomics.extract(str(tmp_path / "a"))
    assert (found["reference_count"], len(found["references"]), found["reference_bases"]) == (6000, 5000, 60_000)
    assert found["partial"] == "of 6000 references 5000 are listed"
    assert found["common"] == {
        "creator": ["Centre"], "instrument": ["NovaSeq"], "sample": ["leaf"], "start": "2024-02-29T00:00:00Z",
        "end": "2024-02-29T00:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize("letters", ["MKVDSRHGTK", "ACDGHKMNRSTVWYACD"])
def test_a_short_protein_is_not_taken_for_bases(tmp_path: Path, letters: str) -> None:
    """Letters that could stand for two bases or more, and mostly do not for one, are those of a protein."""
    (tmp_path / "a").write_text(f">peptide\n{letters}\n")
    found = genomics.extract(str(tmp_path / "a"))
    assert (found["molecule"], found.get("gc_percent")) == ("protein", None)


def test_fasta_with_the_line_ends_of_old_macs_has_its_sequences(tmp_path: Path) -> None:
    """Carriage returns end lines where there is nothing else."""
    (tmp_path / "a").write_bytes(b">one x\rACGT\rAC\r>two\rGGG\r")
    found = genomics.extract(str(tmp_path / "a"))
    assert (found["sequences"], found["letters"], found["names"]) == (2, 9, ["one", "two"])


@each_row(
    ("name", "qualities", "offset"),
    [
        ("M1:1:FC:1:1:1:1", "KKKKSSSS", 33),
        ("m64011/1/ccs", "PPPP~~~~", 33),
        ("HWI-EAS1:6:73:941:1973#0/1", "hhhhBBBB", 64),
    ],
)
def test_qualities_count_from_what_can_be_known(tmp_path: Path, name: str, qualities: str, offset: int) -> None:
    """High qualities of today's instruments, by names of reads or by their height, count from 33."""
    (tmp_path / "a").write_text(f"@{name} 1:N:0:1\nACGTACGT\n+\n{qualities}\n")
    found = genomics.extract(str(tmp_path / "a"))
    assert (found["quality_offset"], found["quality_max"]) == (offset, ord(max(qualities)) - offset)
