"""The options of `find` and `lfs find` as queries."""

from __future__ import annotations

import pytest

from lustre_events.errors import QueryError
from lustre_events.index.query.find_options import below, read
from lustre_events.index.query.parser import parse
from tests.support.rows import each_row


@each_row(
    ("arguments", "tests"),
    [
        ("-name *.h5", "name.exact:*.h5"),
        ("-name a&b(1)", r"name.exact:a\&b\(1\)"),
        ("--iname run*", "name:run*"),
        ("-type f", "type:f"),
        ("-type f,d", "(type:f OR type:d)"),
        ("-size +1G", "size:>1073741824"),
        ("-size -4k", "size:<4096"),
        ("-size 1M", "size:{0 TO 1048576]"),
        ("-size 7", "size:7"),
        ("-size 0k", "size:0"),
        ("-user ada -group 7", "owner:ada AND group:7"),
        ("-uid +1000 -links -2", "uid:>1000 AND links:<2"),
        ("-mtime -7", "mtime:>now-7d"),
        ("-mtime +7", "mtime:<=now-8d"),
        ("-amin 0", "atime:{now-1m TO now-0m]"),
        ("-newermt 2026-11-22", 'mtime:>"2026-11-22"'),
        ("--stripe-count +4 -pool flash --mdt-index 1", "stripe_count:>4 AND pool:flash AND mdt:1"),
        ("! -name x -o -empty", "(NOT (name.exact:x) OR (type:f AND size:0))"),
        ("( -name x -or -name y ) -a -type f", "((name.exact:x OR name.exact:y)) AND type:f"),
        ("-not ( -name x -and -type d )", "NOT ((name.exact:x AND type:d))"),
        ("-name -x", r"name.exact:-x"),
    ],
)
def test_options_are_conditions_of_a_query(arguments: str, tests: str) -> None:
    """Each option, with one dash or two, with !, -a, -o and brackets, is a query that the index understands."""
    found = read(["/proj", *arguments.split()])

    assert (found.starts, found.tests) == (("/proj",), tests)
    parse(found.tests.replace("owner:ada", "owner:0"), now_ns=10**18)


def test_starts_depth_and_actions_are_told_apart() -> None:
    """Paths come first; without any it is the current directory; -maxdepth and -print0 are no conditions."""
    found = read(["a", "b c", "-maxdepth", "2", "-print0"])

    assert (found.starts, found.tests, found.depths, found.null) == (("a", "b c"), "", (2,), True)
    assert (read([]).starts, read(["-print"]).null) == ((".",), False)
    assert below(b"a/b c", ()) == r"(path:/a/b\ c OR path:/a/b\ c/**)"
    assert below(b"a", (2, 5)) == "(path:/a OR path:/a/* OR path:/a/*/*)"
    assert (below(b"", ()), below(b"", (0,))) == ("", "(fid:[0x200000007:0x1:0x0])")


@each_row(
    ("arguments", "said"),
    [
        ("-exec rm", "-exec: it only finds"),
        ("-nmae x", "-nmae: the index cannot answer this; did you mean name"),
        ("-perm 755", "cannot search by mode"),
        ("-size 1x", "write a size as 10M"),
        ("-mtime soon", "write a number"),
        ("-type x", "the types are"),
        ("-name [ab]*", "no \\[...\\]"),
        ("-maxdepth 11", "from 0 to 10"),
        ("-name", "-name needs a value"),
        ("!", "! needs a test"),
        ("( -name x", "bracket is not closed"),
        ("-name x )", "cannot stand here"),
        ("-name x y", "cannot stand here"),
        ("-name x -o", "-o needs a test on either side"),
    ],
)
def test_what_the_index_cannot_answer_gets_a_sentence(arguments: str, said: str) -> None:
    """An option that is not known or not possible, and a wrong value, are refused with what to do instead."""
    with pytest.raises(QueryError, match=said):
        read(arguments.split())
