"""Master files read fast against dnspython's reader."""

import io

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.master import read_master
from netstack.dns.masterfile import MasterFile, Record
from netstack.dns.octets import octets_of
from netstack.dns.zone import ZoneError
from netstack.dns.zonefile import rrsets_of

ORIGIN = dns.name.from_text("foo.com")
words = st.sampled_from(
    ("@", "a", "B.c", "www", "*", "x.foo.com.", "foo.com.", "y.Bar.org.", ".", "a..b", "l" * 64, "\\097b", '"q"', "ü", "IN",
     "A", "7")
)  # fmt: skip
ttls = st.sampled_from(("", "", "", "60", "0", "1h", "4294967295", "4294967296", "-1", "3w2d"))
classes = st.sampled_from(("", "", "IN", "in", "CH", "In"))
datas = st.one_of(
    st.tuples(st.sampled_from(("A", "a")), st.sampled_from(("10.0.0.1", "10.0.0.2", "10.0.0.01", "10.0.0", "300.1.1.1", "")))
    .map(" ".join),
    st.sampled_from(("AAAA ::1", "AAAA 2001:db8::A", "AAAA ::g", "AAAA 1.2.3.4", "aaaa ::FFFF:1.2.3.4")),
    st.tuples(st.sampled_from(("NS", "CNAME", "PTR", "ns", "DNAME")), words).map(" ".join),
    st.tuples(st.sampled_from(("MX 5", "MX 70000", "MX x", "MX 05", "MX", "mx 5")), words).map(" ".join),
    st.sampled_from(
        ('TXT "a b" c', "TXT a;b", "TXT a\\;b", "TYPE65280 \\# 1 07", "HTTPS 1 . alpn=h2", "A 10.0.0.3 extra", "NOTYPE x",
         "SOA ns h 1 2 3 4 5", "SOA ns h (\n 1 ; serial\n 2 3\n4 5 )", "TXT ( a\n b )", 'TXT "a\nb"', "A (\n10.0.0.4\n)",
         "NS a b")
    ),
)  # fmt: skip
ends = st.sampled_from(("\n", "\n", "\n", " ; comment\n", "\r\n", " ;(\n", "\t\n", '; "\n', "\n\n"))
lines = st.one_of(
    st.tuples(st.one_of(words, st.just(" "), st.just("\t")), ttls, classes, datas, ends).map(
        lambda it: " ".join(part for part in it[:4] if part) + it[4]
    ),
    st.tuples(words, classes, ttls, datas, ends).map(lambda it: " ".join(part for part in it[:4] if part) + it[4]),
    st.sampled_from(
        ("$TTL 300\n", "$TTL 1d\n", "$TTL x\n", "$ORIGIN sub\n", "$ORIGIN sub.foo.com.\n", "$ORIGIN org.\n", "$ORIGIN .\n",
         "$GENERATE 1-3 h$ A 10.1.0.$\n", "$INCLUDE f\n", "; nothing\n", "   \n", "  ; nothing\n", "\x0b\n",
         "$origin foo.com.\n")
    ),
)  # fmt: skip


Grouped = dict[tuple[bytes, int], tuple[int, list[bytes]]]
"""TTL and data by name and type."""


def whole(text: str) -> Grouped | None:
    """By the house's Reader alone; None where it is an error."""
    contents = read_master(ORIGIN, text)
    if contents.errors:
        return None
    return {
        (octets_of(rrset.name), int(rrset.rdtype)): (rrset.ttl, [rdata.to_wire() or b"" for rdata in rrset])
        for rrset in contents.rrsets
    }


def fast(text: str) -> Grouped | None:
    found: Grouped = {}
    names: dict[bytes, list[Record]] = {}
    try:
        for record in MasterFile(ORIGIN).records(io.StringIO(text)):
            names.setdefault(record.owner.lower(), []).append(record)
        for name, records in names.items():
            for rdtype, (ttl, rdatas) in rrsets_of(name, records, name == octets_of(ORIGIN)).items():
                found[name, rdtype] = ttl, list(rdatas.values())
    except ZoneError:
        return None
    return found


@given(st.lists(lines, max_size=8).map("".join), st.booleans())
def test_the_records_are_those_of_the_whole_reader(text: str, with_ttl: bool) -> None:
    text = ("$TTL 1h\n" if with_ttl else "") + text
    assert fast(text) == whole(text)


class Watched(MasterFile):
    """Remembers which lines were not simple."""

    def __init__(self) -> None:
        super().__init__(ORIGIN)
        self.asked: list[str | None] = []

    def _entry(self, line: int, entry: str | None, depth: int) -> None:
        self.asked.append(entry)
        super()._entry(line, entry, depth)


def test_each_simple_form_is_read_without_the_whole_reader() -> None:
    forms = (
        "www A 10.0.0.1", "www 60 A 10.0.0.2", "www IN A 10.0.0.3", " 60 IN AAAA ::1", "x.foo.com. NS ns", "@ MX 5 a",
        "b CNAME @ ; c",
    )  # fmt: skip
    master = Watched()
    assert len(list(master.records(["$TTL 1h\n", *(f"{form}\n" for form in forms)]))) == len(forms)
    assert master.asked == ["$TTL 1h"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$TTL 1h\n\nwww A 10.0.0\n", "z:3: A: "), ("$TTL 1h\nwww NOTYPE x\n", "z:2: unknown record type 'NOTYPE'"),
        ("www A 10.0.0.1\n", "z:1: no TTL"), ("$INCLUDE x\n", "z:1: $INCLUDE x: "),
        ("$TTL 1h\n@ SOA a b (\n1 2\n3\n", "z:2: a parenthesis is not closed"),
        ("$TTL 1h\n@ SOA a b (\n1 2 3\n4 5)\n\nwww A 1\n", "z:6: A: "), ("$TTL 1h\nwww A 10.0.0.1\n \\a A 1\n", "z:3: "),
    ],
)  # fmt: skip
def test_an_error_names_file_and_line(text: str, said: str) -> None:
    with pytest.raises(ZoneError) as caught:
        list(MasterFile(ORIGIN, "z").records(io.StringIO(text)))
    assert str(caught.value).startswith(f"zone foo.com: {said}")


def test_files_are_included() -> None:
    texts = {"hosts": "$TTL 60\na A 10.0.0.1\nb (\n AAAA ::1 )\n"}
    master = MasterFile(ORIGIN, "z", texts.__getitem__)
    found = list(master.records(["$TTL 1h\n", "$INCLUDE hosts sub\n", "c A 10.0.0.3\n"]))
    assert [(record.owner[:2], record.ttl) for record in found] == [(b"\1a", 60), (b"\1b", 60), (b"\1c", 3600)]
    assert found[0].owner == b"\1a\3sub\3foo\3com\0"
