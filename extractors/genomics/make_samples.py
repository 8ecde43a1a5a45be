#!/usr/bin/env python3
"""Write the samples of the extractor anew: small files of every kind, the same bytes each time. Needs pysam."""

from __future__ import annotations

import gzip
from pathlib import Path

import pysam

HEADER = {
    "HD": {"VN": "1.6", "SO": "coordinate"},
    "SQ": [
        {"SN": "chr1", "LN": 5000, "AS": "TOY1", "SP": "Exemplum vulgare"},
        {"SN": "chr2", "LN": 3000, "AS": "TOY1", "SP": "Exemplum vulgare"},
    ],
    "RG": [
        {"ID": "a", "SM": "leaf", "LB": "lib1", "PL": "ILLUMINA", "CN": "Centre", "DT": "2024-02-29"},
        {"ID": "b", "SM": "root", "LB": "lib2", "PL": "ILLUMINA"},
    ],
    "PG": [{"ID": "bwa", "PN": "bwa", "VN": "0.7.17"}, {"ID": "x", "PN": "samtools", "VN": "1.16"}],
    "CO": ["a comment"],
}
VCF = """##fileformat=VCFv4.2
##fileDate=20240229
##source=toycaller
##reference=file:///toy.fa
##contig=<ID=chr1,length=5000,assembly=TOY1>
##contig=<ID=chr2,length=3000,assembly=TOY1>
##FILTER=<ID=q10,Description="low">
##INFO=<ID=DP,Number=1,Type=Integer,Description="depth">
##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tleaf\troot
chr1\t100\trs1\tA\tG\t50\tPASS\tDP=20\tGT\t0/1\t1/1
chr2\t200\t.\tC\tT\t8\tq10\tDP=5\tGT\t0/0\t0/1
"""
FASTA = ">chr1 toy chromosome\nACGTACGTNN\nGGCC\n>chr2\nTTTT\n"
PROTEIN = ">sp|P00001|TOY a protein\nMKLVWYE*\n>short\nMK\n"
READS = "".join(
    f"@INST7:42:FLOW9:3:1101:{n}:2000 1:N:0:ACGT\n{'ACGGT' * (n + 1)}\n+\n{'!5?II' * (n + 1)}\n" for n in range(4)
)

GFF = """##gff-version 3.2.1
##species Exemplum vulgare
##sequence-region chr1 1 5000
chr1\tmaker\tgene\t100\t900\t.\t+\t.\tID=g1;Name=leaf
chr1\tmaker\tmRNA\t100\t900\t.\t+\t.\tID=t1;Parent=g1
chr1\tmaker\texon\t100\t300\t.\t+\t.\tParent=t1
chr1\tmaker\texon\t500\t900\t.\t+\t.\tParent=t1
chr2\thand\tgene\t1\t50\t0.5\t-\t.\tID=g2
##FASTA
>chr1
ACGT
"""
GTF = """chr1\tref\tgene\t10\t90\t.\t+\t.\tgene_id "g1"; gene_name "leaf";
chr1\tref\texon\t10\t90\t.\t+\t.\tgene_id "g1"; transcript_id "t1";
"""
BED = """track name=peaks
chr1\t100\t200\tp1\t500\t+
chr1\t400\t450\tp2\t20\t-
chr3\t0\t10\tp3\t1\t.
"""
PAF = """read1\t1000\t0\t990\t+\tchr1\t5000\t10\t1000\t900\t990\t60\ttp:A:P
read2\t800\t5\t700\t-\tchr2\t900\t0\t695\t600\t695\t12
read1\t1000\t0\t100\t+\tchr2\t900\t700\t800\t80\t100\t0
"""


def alignments(path: Path, mode: str) -> None:
    """Write a SAM, BAM or CRAM file with two reads."""
    with pysam.AlignmentFile(
        str(path), mode, header=HEADER, format_options=[b"no_ref=1"] if mode == "wc" else None
    ) as out:
        for place in (100, 200):
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.query_sequence, read.flag = f"read{place}", "ACGT", 0
            read.reference_id, read.reference_start, read.mapping_quality = 0, place, 60
            read.cigarstring, read.query_qualities = "4M", pysam.qualitystring_to_array("IIII")
            out.write(read)


def samples(folder: Path) -> None:
    """Write all samples into `folder`."""
    folder.mkdir(exist_ok=True)
    for name, mode in (("toy.sam", "wh"), ("toy.bam", "wb"), ("toy.cram", "wc")):
        alignments(folder / name, mode)
    (folder / "toy.vcf").write_text(VCF)
    pysam.tabix_compress(str(folder / "toy.vcf"), str(folder / "toy.vcf.gz"), force=True)
    with (
        pysam.VariantFile(str(folder / "toy.vcf")) as file,
        pysam.VariantFile(str(folder / "toy.bcf"), "wb", header=file.header) as out,
    ):
        for record in file:
            out.write(record)
    (folder / "genome.fa").write_text(FASTA)
    (folder / "proteins.fasta").write_text(PROTEIN)
    (folder / "windows.fa").write_bytes(FASTA.replace("\n", "\r\n").encode())
    pysam.tabix_compress(str(folder / "genome.fa"), str(folder / "genome.fa.gz"), force=True)
    (folder / "reads.fastq").write_text(READS)
    (folder / "reads.fastq.gz").write_bytes(gzip.compress(READS.encode(), mtime=0))
    (folder / "torn.fastq").write_text(READS[:-30])
    (folder / "torn.bam").write_bytes((folder / "toy.bam").read_bytes()[:-28])
    (folder / "named.txt").write_text(READS)
    wrapped = "@r1\nACGTACGT\nACGT\n+\nIIIIIIII\n@III\n@r2\nAC\nGT\n+r2\n+I\n@I\n"
    (folder / "wrapped.fastq").write_text(wrapped)
    (folder / "refused.vcf").write_text(
        VCF.replace("leaf\troot\n", "leaf\troot\t\n").replace("##source", "##\n##source")
    )
    (folder / "headerless.sam").write_text("r1\t0\tchr1\t1\t30\t4M\t*\t0\t0\tACGT\tIIII\n")
    (folder / "genes.gff3").write_text(GFF)
    (folder / "genes.gtf").write_text(GTF)
    (folder / "peaks.bed").write_text(BED)
    (folder / "overlaps.paf").write_text(PAF)
    (folder / "bad-text.fa").write_text("> a mail\nHi, how are you?\n")
    (folder / "bad-torn.bam").write_bytes((folder / "toy.bam").read_bytes()[:60])


if __name__ == "__main__":
    samples(Path(__file__).resolve().parent / "samples")
