"""Master files: what is read, what is said of each line, what is included from where, what is doubtful about a zone."""

from pathlib import Path

import dns.name
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.check import doubts
from netstack.dns.master import DEPTH, IncludeError, canonical, lines_of, read_master
from netstack.dns.source import Source, checked
from netstack.dns.zone import Zone, ZoneError
from netstack.kernel.disk import RealDisk

FOO = dns.name.from_text("foo.com")
BESIDE = "expected no other data beside a CNAME record (RFC 1034 §3.6.2)"
HEAD = "$TTL 2d\n@ SOA ns h 1 2h 1h 2w 1h\n@ NS ns\nns A 10.0.0.1\n"


def said(text: str, origin: dns.name.Name = FOO) -> list[str]:
    return [f"{remark}{'' if remark.serious else ' (warning)'}" for remark in read_master(origin, text).remarks]


def shown(text: str) -> list[str]:
    return [line for rrset in read_master(FOO, text).rrsets for line in lines_of(rrset)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 60 IN A 10.0.0.1", ["a.foo.com. 60 IN A 10.0.0.1"]),
        ("a IN 1h30m A 10.0.0.1", ["a.foo.com. 5400 IN A 10.0.0.1"]),
        ("$TTL 5\na a 10.0.0.1 ; why\n\n  \n;\n\tTXT b", ["a.foo.com. 5 IN A 10.0.0.1", 'a.foo.com. 5 IN TXT "b"']),
        ("$ORIGIN x\n$TTL 5\na A 10.0.0.1\n@ A 10.0.0.2", ["a.x.foo.com. 5 IN A 10.0.0.1", "x.foo.com. 5 IN A 10.0.0.2"]),
        ("a 5 TXT ( b ; (\n  \"c;(\" )\nd A 10.0.0.1", ['a.foo.com. 5 IN TXT "b" "c;("', "d.foo.com. 5 IN A 10.0.0.1"]),
        ("@ SOA a b ( 1 ; serial\n 2 3 4\n 9 )\nx A 10.0.0.1",
         ["foo.com. 9 IN SOA a.foo.com. b.foo.com. 1 2 3 4 9", "x.foo.com. 9 IN A 10.0.0.1"]),
        ("a 5 A 10.0.0.1\nb A 10.0.0.2\n", ["a.foo.com. 5 IN A 10.0.0.1", "b.foo.com. 5 IN A 10.0.0.2"]),
        ("a 5 TYPE65280 \\# 3 010203\nb 5 TYPE1 \\# 4 0a000001\n",
         ["a.foo.com. 5 IN TYPE65280 \\# 3 010203", "b.foo.com. 5 IN A 10.0.0.1"]),
        ("a\\.b 5 TXT \"\\\"\\059\"", ['a\\.b.foo.com. 5 IN TXT "\\";"']),
        ("$TTL 5\n$GENERATE 1-3 h$ A 10.0.0.$\n", [f"h{n}.foo.com. 5 IN A 10.0.0.{n}" for n in (1, 2, 3)]),
        ("in 5 A 10.0.0.1", ["in.foo.com. 5 IN A 10.0.0.1"]),
        ("a 5 CLASS1 A 10.0.0.1", ["a.foo.com. 5 IN A 10.0.0.1"]),
        ("a 5 A 10.0.0.1\r\nb 5 A 10.0.0.1\r\n", ["a.foo.com. 5 IN A 10.0.0.1", "b.foo.com. 5 IN A 10.0.0.1"]),
    ],
)  # fmt: skip
def test_what_is_read(text: str, expected: list[str]) -> None:
    assert shown(text) == expected
    assert not read_master(FOO, text).errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$TTL 5\na Q 1\nb A x\nc A 10.0.0.1 10.0.0.2\nd",
         ["line 2: unknown record type 'Q'", "line 3: A: Text input is malformed.",
          "line 4: A: expected EOL or EOF, got 3 \"10.0.0.2\"", "line 5: expecting an identifier"]),
        ("$TTL 5\n\na TXT (\nb\nc A 10.0.0.1\n", ["line 3: a parenthesis is not closed, or the entry is too long"]),
        ("$TTL 5\na TXT \"b\nc A 10.0.0.1\n", ["line 2: TXT: Text input ended unexpectedly."]),
        ("a A 10.0.0.1", ["line 1: no TTL: expected $TTL above, or one before the type"]),
        (" 5 A 10.0.0.1", ["line 1: expected a name before the first record"]),
        ("a 5 CH TXT x", ["line 1: expected class IN, got CH"]),
        ("a 5 ANY x", ["line 1: expected class IN, got ANY"]),
        ("a 5 AXFR x", ["line 1: AXFR is no type of records"]),
        ("a 99999999999 A 10.0.0.1", ["line 1: TTL should be between 0 and 2**32 - 1 (inclusive)"]),
        ("$FOO x", ["line 1: $FOO: expected $TTL, $ORIGIN, $INCLUDE or $GENERATE"]),
        ("$TTL", ["line 1: expecting an identifier"]),
        ("$INCLUDE x", ["line 1: $INCLUDE x: expected none, as this zone has no directory"]),
        ("$TTL 5\n$GENERATE 0-99999999 h$ A 10.0.0.1", ["line 2: $GENERATE: expected at most 65536 records"]),
        ("$TTL 5\na CNAME b\na A 10.0.0.1", ["line 3: a.foo.com: " + BESIDE]),
        ("$TTL 5\na A 10.0.0.1\na CNAME b", ["line 3: a.foo.com: " + BESIDE]),
        ("$TTL 5\na CNAME b\na CNAME c", ["line 3: a.foo.com: expected one CNAME record"]),
        ("$TTL 5\na DNAME b\na DNAME c", ["line 3: a.foo.com: expected one DNAME record"]),
        ("$TTL 5\na SOA a b 1 2 3 4 5", ["line 2: a.foo.com: expected a SOA record at foo.com alone"]),
        (f"$TTL 5\n{'a' * 64} A 10.0.0.1", ["line 2: A DNS label is > 63 octets long."]),
        # doubts
        ("a 5 A 10.0.0.1\na 6 A 10.0.0.2", ["line 2: a.foo.com A: TTL 6 is not that of the RRset, which is 5 (warning)"]),
        ("a 5 A 10.0.0.1\na 5 A 10.0.0.1", ["line 2: a.foo.com A: the record is given twice (warning)"]),
        ("a. 5 A 10.0.0.1", ["line 1: a is outside of the zone, and ignored (warning)"]),
        ("@ SOA a b 1 2 3 4 9", ["line 1: no TTL; the SOA record's minimum is taken (warning)"]),
    ],
)  # fmt: skip
def test_what_is_said(text: str, expected: list[str]) -> None:
    assert said(text) == expected


def test_what_is_read_and_said_is_bounded() -> None:
    assert len(said("q Q\n" * 1000)) == 100
    assert len(said("a. 5 A 10.0.0.1\n" * 1000)) == 100
    assert said("a 5 TXT (\n" + f"{'x' * 1000}\n" * 2000) == [
        "line 1: a parenthesis is not closed, or the entry is too long"
    ]


def test_the_ttl_of_an_rrset_is_one() -> None:
    (rrset,) = read_master(FOO, "a 5 A 10.0.0.1\na 6 A 10.0.0.2").rrsets
    assert (rrset.ttl, len(rrset)) == (5, 2)  # RFC 2181 §5.2


# Files


def put(directory: Path, **texts: str) -> Source:
    for name, text in texts.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return Source("foo.com", RealDisk(directory), "main")


def test_files_are_included_from_the_directory_of_the_zone_file(tmp_path: Path) -> None:
    main = HEAD + 'a A 10.0.0.2\n$INCLUDE hosts\n$INCLUDE "sub/more" west ; comment\n  TXT still-a\nb A 10.0.0.3\n'
    source = put(tmp_path, main=main, hosts="$ORIGIN east\n$TTL 7\nh A 10.1.0.1\n", sub__more="h A 10.2.0.1\n@ TXT w\n")
    zone = source.read().zone
    lines = sorted(line for rrset in zone for line in lines_of(rrset))
    assert lines[:3] == [
        "a.foo.com. 172800 IN A 10.0.0.2",
        'a.foo.com. 172800 IN TXT "still-a"',
        "b.foo.com. 172800 IN A 10.0.0.3",
    ]
    assert "h.east.foo.com. 7 IN A 10.1.0.1" in lines
    assert "h.west.foo.com. 172800 IN A 10.2.0.1" in lines
    assert 'west.foo.com. 172800 IN TXT "w"' in lines
    assert source.read().digest == source.read().digest
    before = source.read().digest
    put(tmp_path, hosts="$ORIGIN east\n$TTL 8\nh A 10.1.0.1\n")
    assert source.read().digest != before


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/hostname", "paths are relative to the root"),
        ("../secret", "leads out of the root"),
        ("link", "leads out of the root"),
        ("nowhere", "No such file or directory"),
        ("sub", "Is a directory"),
        ("binary", "not text in UTF-8"),
        ("main", "more than 8 files deep"),
    ],
)
def test_what_cannot_be_included(tmp_path: Path, path: str, expected: str) -> None:
    (tmp_path / "secret").write_text("x TXT secret\n")
    directory = tmp_path / "zones"
    directory.mkdir()
    (directory / "sub").mkdir()
    (directory / "link").symlink_to(tmp_path / "secret")
    (directory / "binary").write_bytes(b"\xff\xfe")
    source = put(directory, main=HEAD + f"$INCLUDE {path}\n")
    with pytest.raises(ZoneError, match=rf"main:5: \$INCLUDE {path}: .*{expected}"):
        source.read()


def test_files_within_files_are_bounded() -> None:
    asked: list[str] = []

    def include(path: str) -> str:
        asked.append(path)
        if len(asked) > 100_000:
            raise IncludeError("enough")
        return "$INCLUDE x\n" * 50

    read_master(FOO, "$INCLUDE x\n", include=include)
    assert DEPTH < len(asked) <= 1000


# Doubts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("@ NS nowhere", ["foo.com NS names nowhere.foo.com, which does not exist"]),
        ("@ NS t\nt TXT x", ["foo.com NS names t.foo.com, which has no address"]),
        ("@ MX 5 w\nw CNAME ns", ["foo.com MX names w.foo.com, which is an alias (RFC 2181 §10.3)"]),
        ("@ MX 0 .", []),
        ("@ MX 5 mail.elsewhere.org.", []),
        ("@ MX 5 mail.foo.com", ["foo.com MX names mail.foo.com.foo.com.: is a final dot missing?",
                                 "foo.com MX names mail.foo.com.foo.com, which does not exist"]),
        ("w CNAME nowhere", ["w.foo.com CNAME leads to nowhere.foo.com, which does not exist"]),
        ("sub NS dns.sub", ["sub.foo.com NS names dns.sub.foo.com, whose address (glue) is missing"]),
        ("sub NS dns.sub\ndns.sub AAAA 2001:db8::1", []),
        ("sub NS ns", []),
        ("sub NS dns.sub\ndns.sub A 10.0.0.2\nwww.sub A 10.0.0.3",
         ["www.sub.foo.com A is below sub.foo.com, which is another zone's, and is no glue"]),
        ("_x._tcp SRV 0 0 1 nowhere", ["_x._tcp.foo.com SRV names nowhere.foo.com, which does not exist"]),
        ("*.wild A 10.0.0.1\n@ MX 5 any.wild", []),
    ],
)  # fmt: skip
def test_doubts(text: str, expected: list[str]) -> None:
    assert list(doubts(Zone.from_text("foo.com", HEAD + text))) == expected


def test_times_that_cannot_work() -> None:
    zone = Zone.from_text("foo.com", HEAD.replace("1 2h 1h 2w 1h", "1 1h 2h 3h 9w"))
    assert [each.partition(" (")[0] for each in doubts(zone)] == [
        "SOA: retry",
        "SOA: expire",
        "SOA: what does not exist is remembered for 5443200 seconds",
    ]


def test_a_file_is_checked_whole(tmp_path: Path) -> None:
    zone, remarks = checked(put(tmp_path, main=HEAD + "a Q 1\nb A x\n"))
    assert zone is None
    assert [str(remark) for remark in remarks] == [
        "main:5: unknown record type 'Q'",
        "main:6: A: Text input is malformed.",
    ]
    zone, remarks = checked(put(tmp_path, main=HEAD + "old DNAME new\nx.old A 10.0.0.1\n"))
    assert [remark.text for remark in remarks if remark.serious] == [
        "x.old.foo.com: expected no names below a DNAME record (RFC 6672 §2.4)"
    ]
    zone, remarks = checked(put(tmp_path, main="@ 5 A 10.0.0.1\n"))
    assert zone is None
    assert "expected a SOA record" in remarks[0].text
    zone, remarks = checked(Source("foo.com", RealDisk(tmp_path), "nowhere"))
    assert (zone, "No such file" in remarks[0].text) == (None, True)


# The library is the oracle

LABELS = st.text(st.characters(codec="ascii", exclude_characters="."), min_size=1, max_size=5)
DATA = st.sampled_from(["A 10.0.0.1", 'TXT "a ; b" c', "MX 5 mail", "TYPE99 \\# 2 0102", "AAAA ::1", "TXT ( a\n b )"])


@given(st.lists(st.tuples(st.lists(LABELS, min_size=1, max_size=2), DATA), max_size=6))
def test_zones_are_read_as_the_library_reads_them(records: list[tuple[list[str], str]]) -> None:
    def escaped(label: str) -> str:
        return "".join(letter if letter.isalnum() else f"\\{ord(letter):03}" for letter in label)

    text = "$TTL 5\n" + "".join(f"{'.'.join(map(escaped, labels))} {data}\n" for labels, data in records)
    read = dns.zone.from_text(text, FOO, relativize=False, check_origin=False)
    expected = {(name, rdataset.rdtype, str(rdata)) for name, rdataset in read.iterate_rdatasets() for rdata in rdataset}
    contents = read_master(FOO, text)
    assert not contents.errors
    assert {(rrset.name, rrset.rdtype, str(rdata)) for rrset in contents.rrsets for rdata in rrset} == expected
    again = read_master(FOO, "\n".join(line for rrset in contents.rrsets for line in lines_of(rrset)))
    assert again.rrsets == contents.rrsets


@given(st.lists(st.lists(LABELS, max_size=3)))
def test_canonical_order_is_the_librarys(names: list[list[str]]) -> None:
    made = [dns.name.Name([label.encode() for label in labels] + [b""]) for labels in names]
    assert sorted(made, key=canonical) == sorted(made)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    contents = read_master(FOO, text)
    assert len(contents.remarks) <= 200
