"""The query language: what each form means, and that no text breaks it."""

from __future__ import annotations

import grp
import pwd

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.errors import QueryError
from lustre_events.index.query.parser import parse
from lustre_events.index.query.tree import (
    All,
    And,
    Extension,
    Fact,
    Failed,
    HasDocument,
    HasFid,
    JobId,
    KeyEquals,
    KeyExists,
    KeyGlob,
    KeyRange,
    Mime,
    Name,
    NameWords,
    Node,
    Not,
    Or,
    Path,
    Released,
    Text,
    Type,
)
from tests.support.rows import each_row

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
DAY = 86_400 * SECOND
NOV_22 = 1_795_305_600 * SECOND  # 2026-11-22T00:00Z


def words(text: str, *, prefix: bool = False) -> Or:
    """What a bare word means: it is in a document or in a name."""
    return Or((Text(text, prefix), NameWords(text, prefix)))


def word(key: str, text: str) -> KeyEquals:
    return KeyEquals(key, text, None)


@each_row(
    ("query", "tree"),
    [
        ("graphene", words("graphene")),
        ('"silicon carbide"', words("silicon carbide")),
        ("graph*", words("graph", prefix=True)),
        ("*", All()),
        ("*:*", All()),
        ("a b", And((words("a"), words("b")))),
        ("a b OR c", Or((And((words("a"), words("b"))), words("c")))),
        ("a OR b c", Or((words("a"), And((words("b"), words("c")))))),
        ("a AND (b OR NOT c)", And((words("a"), Or((words("b"), Not(words("c"))))))),
        ("a && b || !c", Or((And((words("a"), words("b"))), Not(words("c"))))),
        ("+a -b", And((words("a"), Not(words("b"))))),
        ("a-b", words("a-b")),
        (r"a\ \*\:b", words("a *:b")),
        ('"a \\" b"', words('a " b')),
        ("to TO and", And((words("to"), words("TO"), words("and")))),
        ("columns:Temperature", word("columns", "temperature")),
        ("tabular.columns:x", word("tabular.columns", "x")),
        ('"scan time":"a  B"', word("scan time", "a b")),
        (r"scan\ time:a", word("scan time", "a")),
        ("columns:(a OR b)", Or((word("columns", "a"), word("columns", "b")))),
        ("columns:(a -b)", And((word("columns", "a"), Not(word("columns", "b"))))),
        ("t:-5.5", KeyEquals("t", "-5.5", -5.5)),
        ("t:(-5 OR 5)", Or((KeyEquals("t", "-5", -5.0), KeyEquals("t", "5", 5.0)))),
        ('t:"5"', word("t", "5")),
        ("t:nan", word("t", "nan")),
        ("t:temp*", KeyGlob("t", "temp*")),
        ("t:*", KeyExists("t")),
        ("t:[10 TO 20]", KeyRange("t", 10.0, 20.0, include_low=True, include_high=True)),
        ("t:{-10 TO *]", KeyRange("t", -10.0, None, include_low=False, include_high=True)),
        ("t:>1e3", KeyRange("t", 1000.0, None, include_low=False, include_high=True)),
        ("t:<=5", KeyRange("t", None, 5.0, include_low=True, include_high=True)),
        ("d:>=2026-01-01", KeyRange("d", "2026-01-01", None, True, True, (1_767_225_600 * 10**9, None))),
        ("d:2026-01-01", KeyEquals("d", "2026-01-01", None, (1_767_225_600 * 10**9, 1_767_312_000 * 10**9))),
        ("*.d*:red", KeyEquals("*.d*", "red", None, None, wild=True)),
        ("*.d:*", KeyExists("*.d", wild=True)),
        ("d:<1970", KeyRange("d", None, 1970, True, False, (None, 0))),
        ('d:"2026-01-01"', KeyEquals("d", "2026-01-01", None)),
        ("id:9007199254740993", KeyEquals("id", "9007199254740993", 2**53 + 1)),
        ("id:99999999999999999999", KeyEquals("id", "99999999999999999999", None)),
        ('d:["B b" TO 5}', KeyRange("d", "b b", "5", include_low=True, include_high=False)),
        ("size:1k", Fact("size", 1024, 1025)),
        ("size:>1k", Fact("size", 1025, None)),
        ("size:>=1.5M", Fact("size", 3 << 19, None)),
        ("size:<2GiB", Fact("size", None, 2 << 30)),
        ("size:[1k TO 2KB}", Fact("size", 1024, 2048)),
        ("size:*", Fact("size", None, None)),
        ("size:<999999999999T", Fact("size", None, None)),
        ("links:>1", Fact("nlink", 2, None)),
        ("mtime:2026-11-22", Fact("mtime_ns", NOV_22, NOV_22 + DAY)),
        ("mtime:>2026-11-22", Fact("mtime_ns", NOV_22 + DAY, None)),
        ("mtime:<=2026-11-22", Fact("mtime_ns", None, NOV_22 + DAY)),
        ("mtime:2026-11", Fact("mtime_ns", NOV_22 - 21 * DAY, NOV_22 + 9 * DAY)),
        ("mtime:2026/11", Fact("mtime_ns", NOV_22 - 21 * DAY, NOV_22 + 9 * DAY)),
        ("mtime:1970-1", Fact("mtime_ns", 0, 31 * DAY)),
        ("mtime:1970-1-2", Fact("mtime_ns", DAY, 2 * DAY)),
        ("k:1970-1", KeyEquals("k", "1970-1", None, (0, 31 * DAY))),
        ("mtime:1970", Fact("mtime_ns", 0, 365 * DAY)),
        ("mtime:2026-11-22T10:00", Fact("mtime_ns", NOV_22 + 36_000 * SECOND, NOV_22 + 36_060 * SECOND)),
        ("mtime:2026-11-22T10", Fact("mtime_ns", NOV_22 + 36_000 * SECOND, NOV_22 + 39_600 * SECOND)),
        ("mtime:2026-11-22T10:00:00+01:00", Fact("mtime_ns", NOV_22 + 32_400 * SECOND, NOV_22 + 32_401 * SECOND)),
        ("mtime:>=2026-11-22T00:00:00.25Z", Fact("mtime_ns", NOV_22 + SECOND // 4, None)),
        ("ctime:>now-7d", Fact("ctime_ns", NOW - 7 * DAY + 1, None)),
        ("mtime:(>now-1d-2h OR <2026-11-22T10:00)", Or((
            Fact("mtime_ns", NOW - DAY - 7200 * SECOND + 1, None),
            Fact("mtime_ns", None, NOV_22 + 36_000 * SECOND),
        ))),
        ("owner:0 group:0", And((Fact("uid", 0, 1), Fact("gid", 0, 1)))),
        ("type:d", Type("d")),
        ("type:Symlink", Type("l")),
        ("ext:.tar.gz", Extension("tar.gz")),
        ("name:a?*.h5", Name("a?*.h5")),
        (r"name:a\*[1].h5", Name("a[*][[]1].h5")),
        ('name:"a *"', Name("a [*]")),
        ("path:/proj/run7/**", Path("/proj/run7/**")),
        ("NOT path:/proj/*", Not(Path("/proj/*"))),
        ("jobid:cp.*", JobId("cp.*")),
        ("extractor:tabular", HasDocument("tabular")),
        ("failed:hdf5 failed:*", And((Failed("hdf5"), Failed("*")))),
        ("mime:image/*", Mime("image/*")),
        ("released:true NOT released:No", And((Released(value=True), Not(Released(value=False))))),
        ("size:[1M TO 2G]", Fact("size", 1 << 20, (2 << 30) + 1)),
        ("fid:[0x200000401:0x1:0x0]", HasFid(FID(0x200000401, 1))),
        ("fid:0x200000401:0x1:0x0 x", And((HasFid(FID(0x200000401, 1)), words("x")))),
        ("(fid:[0x200000401:0x1:0x0])", HasFid(FID(0x200000401, 1))),
    ],
)  # fmt: skip
def test_forms(query: str, tree: Node) -> None:
    """Each form of the language means this."""
    assert parse(query, now_ns=NOW) == tree


def test_owner_and_group_by_name() -> None:
    """Names of users and groups are those of this machine."""
    user, group = pwd.getpwuid(0).pw_name, grp.getgrgid(0).gr_name

    assert parse(f"owner:{user} group:{group}", now_ns=NOW) == And((Fact("uid", 0, 1), Fact("gid", 0, 1)))


@each_row(
    ("query", "message", "place"),
    [
        ("", "empty", 0),
        ("a AND", "too early", 5),
        ("size:", "too early", 5),
        ("(a OR b", "too early", 7),
        ("AND a", "'AND' cannot stand here", 0),
        ("a) b", "'\\)' cannot stand here", 1),
        ("t:[1 2]", "'2' cannot stand here", 5),
        ('a "b', "quote is not closed", 2),
        ("a :b", "field's name is missing", 2),
        ("size:>1x", "size: write a size", 6),
        ("mtime:2026-13-01", "mtime: write a time", 6),
        ("mtime:0000", "mtime: write a time", 6),
        ("x mtime:now-7y", "mtime: write a time", 8),
        ("size:1*", "takes no \\*", 5),
        ("owner:no-such-user", "knows no user", 6),
        ("type:x", "the types are", 5),
        ("fid:12", "not a FID", 4),
        ("released:maybe", "true or false", 9),
        ("mime:[a TO b]", "has no order", 6),
        ("a path:" + "/a" * 101, "100 components", 7),
        (">5", "needs a field", 1),
        ("[a TO b]", "needs a field", 1),
        ("name:[a TO b]", "has no order", 6),
        ("t:[a* TO b]", "inside", 3),
        ("a *b*", "one \\*", 2),
        ('name:"a"*.csv', "put a space here", 8),
        ("a\0b", "cannot have this character", 1),
        ("\ud800", "cannot have this character", 0),
    ],
)
def test_wrong_queries(query: str, message: str, place: int) -> None:
    """A wrong query is answered with one sentence, and the query with a caret under the place."""
    with pytest.raises(QueryError, match=message) as caught:
        parse(query, now_ns=NOW)

    sentence, shown, caret = str(caught.value).split("\n")
    assert sentence
    assert len(shown) == min(len(query), place + 60) + 2
    assert caret == "  " + " " * place + "^"


@each_row("query", ["(" * 100 + "a" + ")" * 100, "NOT " * 200 + "a", "a " * 400, "x" * 10_001])
def test_queries_beyond_all_measure(query: str) -> None:
    """Queries too deep or too long for any database are refused in a sentence, with an excerpt."""
    with pytest.raises(QueryError, match="may have") as caught:
        parse(query, now_ns=NOW)

    assert len(str(caught.value)) < 400


pieces = st.sampled_from([
    "a", "b*", "*", "?", "AND", "OR", "NOT", "TO", "&&", "||", "!", "+", "-", "(", ")", "[", "]", "{", "}", ":",
    '"', "\\", "<", ">=", "/", "~", "^", " ", "size:", "mtime:", "now-7d", "2026-11-22T10:00", "1k", "path:/a/**",
    "x.y:", "fid:", "[0x200000401:0x1:0x0]", "type:", "owner:", "\n", "é",
])  # fmt: skip


@given(st.text(max_size=40) | st.lists(pieces, max_size=14).map("".join))
@example("[1 TO")
@example("0 <0")
@example("0 [1 TO 2]")
@example("a:(b:(c")
@example("\\")
@example("size:\u0661k")
def test_any_text_is_understood_or_refused(query: str) -> None:
    """Whatever is typed parses or raises QueryError, never anything else."""
    try:
        tree = parse(query, now_ns=NOW)
    except QueryError as error:
        assert str(error).count("\n") == 2  # noqa: PT017 - the sentence, the query, the caret
    else:
        hash(tree)
