"""Tables that nobody would write on purpose, for the tests of the suite."""

from __future__ import annotations

from pathlib import Path


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    (folder / "wide-header.csv").write_bytes(b"a," * 10_000_000 + b"b\n" + b"1," * 100 + b"\n")
    (folder / "one-line.csv").write_bytes(b"x" * 20_000_000)
    (folder / "open-quote.csv").write_bytes(b'a,b\n1,"' + b"y\n" * 3_000_000)
    (folder / "many-keys.json").write_bytes(b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(300_000)) + b"}")
    (folder / "deep.json").write_bytes(b'{"a":' * 1_000_000)
    (folder / "deep-list.json").write_bytes(b"[" * 9_000_000)
    (folder / "long-number.json").write_bytes(b'{"a":' + b"9" * 9_000_000 + b"}")
    (folder / "long-number.csv").write_bytes(b"a,b\n" + b"9" * 900_000 + b",1\n")
    (folder / "many-keys.jsonl").write_bytes(b"".join(b'{"k%d":1}\n' % n for n in range(100_000)))
    (folder / "zeros.csv").write_bytes(b"a,b\n" + bytes(5_000_000))
    (folder / "footer.parquet").write_bytes(b"PAR1" + b"\xff" * 200 + b"\xff\xff\xff\x7f" + b"PAR1")
    (folder / "no-footer.parquet").write_bytes(b"PAR1" + bytes(100) + b"\x40\0\0\0PAR1")
    (folder / "huge-message.arrows").write_bytes(b"\xff\xff\xff\xff\xf0\xff\xff\x7f" + bytes(100))
    (folder / "circle.arrow").write_bytes(b"ARROW1\0\0" + b"\xff" * 64 + b"\x40\0\0\0ARROW1")


def large(folder: Path, size_bytes: int) -> Path:
    """Write one table of about `size_bytes`."""
    path = folder / "large.csv"
    rows = b"".join(b"%d,%d.5,station-%d\n" % (n, n, n % 9) for n in range(50_000))
    with path.open("wb") as file:
        file.write(b"id,value,station\n")
        for _ in range(size_bytes // len(rows)):
            file.write(rows)
    return path
