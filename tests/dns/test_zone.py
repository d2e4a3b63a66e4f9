"""The look-up of RFC 1034 §4.3.2, branch by branch, and the wildcards of RFC 4592."""

import dns.name
import pytest
from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.zone import Alias, Delegation, Found, NoData, NoName, Zone, ZoneError, hints_from_text

SOA = "$TTL 2d\n@ SOA ns. hostmaster. 1 2h 1h 2w 1h\n"

DEPARTMENTS = Zone.from_text(
    "umass.edu",
    SOA
    + """
@           NS    dns
            NS    dns2.elsewhere.net.
dns         A     10.0.0.1
            AAAA  2001:db8::1
www         CNAME gaia.cs
gaia.phys   A     10.0.0.2
cs          NS    dns.cs
            NS    dns.math
            DS    1 8 2 ( 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff )
dns.cs      A     10.0.0.3
deep.in.cs  A     10.0.0.4
math        NS    dns.math
dns.math    A     10.0.0.5
gone        NS    ns.gone.elsewhere.net.
""",
)

# RFC 4592 §2.2.1, to the letter
WILD = Zone.from_text(
    "example",
    """$TTL 3600
example.                 SOA   ns.example.com. x. 1 2 3 4 5
example.                 NS    ns.example.com.
example.                 NS    ns.example.net.
*.example.               TXT   "this is a wildcard"
*.example.               MX    10 host1.example.
sub.*.example.           TXT   "this is not a wildcard"
host1.example.           A     192.0.2.1
_ssh._tcp.host1.example. SRV   0 0 22 host1.example.
_ssh._tcp.host2.example. SRV   0 0 22 host2.example.
subdel.example.          NS    ns.example.com.
subdel.example.          NS    ns.example.net.
*.alias.example.         CNAME host1.example.
""",
)


def show(zone: Zone, name: str, rdtype: str) -> str:
    """The result as one line."""
    result = zone.lookup(dns.name.from_text(name), RdataType.from_text(rdtype))
    match result:
        case Found(rrset):
            return f"{rrset.name} {' '.join(map(str, rrset))}"
        case Alias(rrset):
            return f"{rrset.name} -> {rrset[0].target}"
        case Delegation(cut, servers, glue):
            known = " ".join(f"{each.name}={each[0].address}" for each in glue)
            return f"see {cut} {' '.join(str(each.target) for each in servers)} ({known})"
        case NoData():
            return "no data"
        case NoName():
            return "no name"


CS = "see cs.umass.edu. dns.cs.umass.edu. dns.math.umass.edu. (dns.cs.umass.edu.=10.0.0.3 dns.math.umass.edu.=10.0.0.5)"


@pytest.mark.parametrize(
    ("name", "rdtype", "result"),
    [
        # step 3a: the whole name is matched
        ("dns.umass.edu", "A", "dns.umass.edu. 10.0.0.1"),
        ("DNS.Umass.EDU", "AAAA", "dns.umass.edu. 2001:db8::1"),
        ("umass.edu", "NS", "umass.edu. dns.umass.edu. dns2.elsewhere.net."),
        ("umass.edu", "SOA", "umass.edu. ns. hostmaster. 1 7200 3600 1209600 3600"),
        ("www.umass.edu", "A", "www.umass.edu. -> gaia.cs.umass.edu."),
        ("www.umass.edu", "CNAME", "www.umass.edu. gaia.cs.umass.edu."),
        ("www.umass.edu", "ANY", "www.umass.edu. gaia.cs.umass.edu."),
        ("dns.umass.edu", "ANY", "dns.umass.edu. 10.0.0.1"),
        ("dns.umass.edu", "MX", "no data"),
        ("dns.umass.edu", "TYPE65280", "no data"),
        ("phys.umass.edu", "A", "no data"),
        ("phys.umass.edu", "ANY", "no data"),
        # step 3b: a delegation, at the cut, below it, over glue
        ("cs.umass.edu", "A", CS),
        ("cs.umass.edu", "NS", CS),
        ("gaia.cs.umass.edu", "A", CS),
        ("dns.cs.umass.edu", "A", CS),
        ("deep.in.cs.umass.edu", "A", CS),
        ("in.cs.umass.edu", "A", CS),
        ("a.b.c.cs.umass.edu", "ANY", CS),
        ("x.gone.umass.edu", "A", "see gone.umass.edu. ns.gone.elsewhere.net. ()"),
        # the DS is the parent's (RFC 4035 §3.1.4.1); below the cut it is the child's
        ("cs.umass.edu", "DS", "cs.umass.edu. 1 8 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
        ("math.umass.edu", "DS", "no data"),
        ("x.math.umass.edu", "DS", "see math.umass.edu. dns.math.umass.edu. (dns.math.umass.edu.=10.0.0.5)"),
        # step 3c: no match, no wildcard
        ("nowhere.umass.edu", "A", "no name"),
        ("x.dns.umass.edu", "A", "no name"),
        ("x.www.umass.edu", "A", "no name"),
        ("x.phys.umass.edu", "A", "no name"),
    ],
)
def test_lookup(name: str, rdtype: str, result: str) -> None:
    assert show(DEPARTMENTS, name, rdtype) == result


@pytest.mark.parametrize(
    ("name", "rdtype", "result"),
    [
        # the examples of RFC 4592 §2.2.1: responses synthesised from the wildcard
        ("host3.example", "MX", "host3.example. 10 host1.example."),
        ("host3.example", "A", "no data"),
        ("foo.bar.example", "TXT", 'foo.bar.example. "this is a wildcard"'),
        # ... and not
        ("host1.example", "MX", "no data"),
        ("sub.*.example", "MX", "no data"),
        ("_telnet._tcp.host1.example", "SRV", "no name"),
        ("host.subdel.example", "A", "see subdel.example. ns.example.com. ns.example.net. ()"),
        ("ghost.*.example", "MX", "no name"),
        # further: empty non-terminals block, the wildcard itself, an alias from a wildcard
        ("_tcp.host2.example", "TXT", "no data"),
        ("host2.example", "MX", "no data"),
        ("x.host2.example", "MX", "no name"),
        ("*.example", "MX", "*.example. 10 host1.example."),
        ("x.alias.example", "A", "x.alias.example. -> host1.example."),
        ("alias.example", "A", "no data"),
        ("host3.example", "ANY", "host3.example. 10 host1.example."),
    ],
)
def test_wildcards(name: str, rdtype: str, result: str) -> None:
    assert show(WILD, name, rdtype) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a SOA record at the origin"),
        ("@ 60 NS a\n", "expected a SOA record at the origin"),
        ("@ 60 SOA a b 1 2 3 4 5\n", "expected at least one NS record"),
        (SOA + "@ NS a\nb\tQ 1\n", "line 4"),
        (SOA + "@ NS a\nb A 300.1.1.1\n", "line 4: A: Text input is malformed"),
        (SOA + "@ NS a\nb CNAME c\nb A 1.2.3.4\n", "CNAME"),
        (SOA + "@ NS a\nb SOA a b 1 2 3 4 5\n", "line 4: b.x: expected a SOA record at x alone"),
        (SOA + "@ NS a\n$INCLUDE /etc/passwd\n", "INCLUDE"),
    ],
)
def test_what_is_no_zone_is_said(text: str, message: str) -> None:
    with pytest.raises(ZoneError, match=message) as error:
        Zone.from_text("x", text)
    assert str(error.value).startswith("zone x")


def test_a_bad_origin_is_said() -> None:
    with pytest.raises(ZoneError, match="not a domain name"):
        Zone.from_text("a..b", SOA)


def test_the_negative_ttl_is_the_lesser_one() -> None:
    assert DEPARTMENTS.negative_soa.ttl == 3600
    assert DEPARTMENTS.soa.ttl == 2 * 86400


def test_hints() -> None:
    text = ". 60 NS A.\nA. 60 A 10.0.0.1\nA. 60 AAAA 2001:db8::1\nB. 60 A 10.0.0.2\n"
    assert hints_from_text(text) == [("A", "10.0.0.1"), ("A", "2001:db8::1")]
    with pytest.raises(ZoneError):
        hints_from_text("x y z")


LABEL = st.sampled_from(["a", "b", "*", "c"])
NAME = st.lists(LABEL, max_size=3).map(lambda labels: ".".join([*labels, "z"]))


@given(st.lists(st.tuples(NAME, st.sampled_from(["A 10.0.0.1", "NS ns.else.", "TXT x"])), max_size=8), NAME)
def test_lookup_agrees_with_a_plain_reading_of_the_rfcs(records: list[tuple[str, str]], name: str) -> None:
    records = [(owner, data) for owner, data in records if not (owner.startswith("*.") and data.startswith("NS"))]
    zone = Zone.from_text("z", SOA + "@ NS ns.else.\n" + "".join(f"{owner}. {data}\n" for owner, data in records))
    owners = {"z": {"SOA", "NS"}}
    for owner, data in records:
        owners.setdefault(owner, set()).add(data.split()[0])
        while "." in owner:
            owner = owner.partition(".")[2]
            owners.setdefault(owner, set())
    labels = name.split(".")
    above = [".".join(labels[index:]) for index in range(len(labels))]  # the name first, the origin last
    cuts = [each for each in above[:-1] if "NS" in owners.get(each, ())]
    encloser = next(each for each in above if each in owners)
    source = name if encloser == name else f"*.{encloser}"
    if cuts:
        expected: object = Delegation
    elif source not in owners:
        expected = NoName
    else:
        expected = Found if "A" in owners[source] else NoData
    assert type(zone.lookup(dns.name.from_text(name), RdataType.A)) is expected
