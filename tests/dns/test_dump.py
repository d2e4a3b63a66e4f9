"""Zones written as master files: read again they are the same zone, whatever is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.dnssec.signer import DENIALS, Denial
from netstack.dns.dump import lines
from netstack.dns.history import difference
from netstack.dns.zone import Zone
from tests.dns.dnssec.signed import signed_zone
from tests.dns.test_authority import SOA


def same(zone: Zone, again: Zone) -> bool:
    found = difference(zone, again)
    return not found.deleted and not found.added and zone.soa == again.soa and zone.soa.ttl == again.soa.ttl


def test_canonical_order_names_in_full() -> None:
    text = SOA + '@ NS ns\nz A 10.0.0.1\n*.a A 10.0.0.2\nB TXT "a;b"\na.b 5 TYPE65280 \\# 2 0102\n'
    assert list(lines(Zone.from_text("foo.com", text))) == [
        "; foo.com, serial 1",
        "foo.com. 172800 IN SOA ns. hostmaster. 1 7200 3600 1209600 3600",
        "foo.com. 172800 IN NS ns.foo.com.",
        "*.a.foo.com. 172800 IN A 10.0.0.2",
        'B.foo.com. 172800 IN TXT "a;b"',
        "a.b.foo.com. 5 IN TYPE65280 \\# 2 0102",
        "z.foo.com. 172800 IN A 10.0.0.1",
    ]


@pytest.mark.parametrize("denial", DENIALS)
def test_a_signed_zone_comes_back(denial: Denial) -> None:
    zone = signed_zone("umass.edu", denial=denial)
    again = Zone.from_text("umass.edu", "\n".join(lines(zone)))
    assert same(zone, again)
    assert len(list(again)) == len(list(zone))
    assert list(lines(again)) == list(lines(zone))


LABEL = st.binary(min_size=1, max_size=6).map(lambda label: "".join(f"\\{octet:03}" for octet in label))
DATA = st.one_of(
    st.binary(max_size=30).map(lambda data: f"TYPE65399 \\# {len(data)} {data.hex()}"),
    st.binary(min_size=1, max_size=30).map(lambda data: 'TXT "' + "".join(f"\\{octet:03}" for octet in data) + '"'),
    st.tuples(st.integers(0, 65535), LABEL).map(lambda it: f"MX {it[0]} {it[1]}"),
    st.sampled_from(["A 10.0.0.1", "AAAA 2001:db8::1", 'CAA 0 issue "x"', "HTTPS 1 . alpn=h2", "DNAME \\000\\046.foo."]),
)


@given(st.lists(st.tuples(st.lists(LABEL, min_size=1, max_size=3), st.integers(0, 2**31 - 1), DATA), max_size=8))
def test_any_zone_comes_back(records: list[tuple[list[str], int, str]]) -> None:
    seen: dict[str, int] = {}
    text = SOA + "@ NS ns\n"
    for number, (labels, ttl, data) in enumerate(records):
        name = f"n{number}.{'.'.join(labels)}"
        text += f"{name} {seen.setdefault(name, ttl)} {data}\n"
    zone = Zone.from_text("foo.com", text)
    assert same(zone, Zone.from_text("foo.com", "\n".join(lines(zone))))
