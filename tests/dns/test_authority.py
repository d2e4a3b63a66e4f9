"""The authoritative server's replies, in memory."""

from collections import Counter
from random import Random

import dns.edns
import dns.flags
import dns.message
import dns.name
import pytest
from dns.message import Message
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.authority import Authority, at_random, fixed
from netstack.dns.zone import Zone

SOA = "$TTL 2d\n@ SOA ns. hostmaster. 1 2h 1h 2w 1h\n"

FOO = SOA + "\n".join(
    [
        "@ NS dns", "@ MX 10 mail", "@ MX 20 mail.foo.net.", "@ A 10.0.0.9", "dns A 10.0.0.1", "dns AAAA 2001:db8::1",
        "mail A 10.0.0.2", "www CNAME relay1.west", "relay1.west A 10.0.0.3", "out CNAME elsewhere.org.",
        "net CNAME www.foo.net.", "netless CNAME nowhere.foo.net.", "typeless CNAME www", "below CNAME x.sub",
        "ring CNAME ring2", "ring2 CNAME ring", "sub NS dns.sub", "dns.sub A 10.0.0.4", "_sip._tcp SRV 0 5 5060 mail",
        "svc HTTPS 1 . alpn=h2,http/1.1", "_dns SVCB 1 dns", "odd TYPE65280 \\# 3 010203",
        "svcalias HTTPS 0 svc2", "svc2 HTTPS 0 svc3", "svc3 HTTPS 1 .", "svc3 A 10.0.0.8", "svcring SVCB 0 svcring",
        "svcout SVCB 0 elsewhere.org.", "svcnone SVCB 0 .", "svchost SVCB 0 mail", "rr A 10.1.0.1", "rr A 10.1.0.2",
        "rr A 10.1.0.3", "*.wild A 10.1.0.1", "*.wild A 10.1.0.2", "txt TXT a", "txt TXT b",
    ]
)  # fmt: skip
LONG = "".join(f"c{n} CNAME c{n + 1}\n" for n in range(40)) + "c40 A 10.0.0.1\n"
BIG = "".join(f"big TXT {'x' * 200}{n:03}\n" for n in range(20))


@pytest.fixture
def authority() -> Authority:
    return Authority(
        [
            Zone.from_text("foo.com", FOO + "\n" + LONG + BIG),
            Zone.from_text("foo.net", SOA + "@ NS dns.foo.com.\nwww A 10.0.0.5\nmail A 10.0.0.6\n"),
            Zone.from_text("child.foo.net", SOA + "@ NS dns.foo.com.\n@ A 10.0.0.7\n"),
        ],
        fixed,
    )


def ask(authority: Authority, name: str, rdtype: str = "A", stream: bool = False, **options: object) -> Message:
    query = dns.message.make_query(name, rdtype, **options)  # type: ignore[arg-type]
    reply = authority.answer(query.to_wire(), stream)
    assert reply is not None
    message = dns.message.from_wire(reply.data)
    assert query.is_response(message)
    assert reply.rcode == message.rcode()
    return message


def show(message: Message) -> str:
    """RCODE, AA, then the sections as NAME TYPE DATA."""
    sections = (
        ", ".join(f"{rrset.name} {rrset.rdtype.name} {rdata}" for rrset in section for rdata in rrset)
        for section in (message.answer, message.authority, message.additional)
    )
    aa = " AA" if message.flags & dns.flags.AA else ""
    return f"{message.rcode().name}{aa} | " + " | ".join(sections)


NEGATIVE = "foo.com. SOA ns. hostmaster. 1 7200 3600 1209600 3600"
NEGATIVE_NET = NEGATIVE.replace("foo.com", "foo.net")


@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        ("dns.foo.com", "A", "NOERROR AA | dns.foo.com. A 10.0.0.1 |  | "),
        ("foo.com", "MX", "NOERROR AA | foo.com. MX 10 mail.foo.com., foo.com. MX 20 mail.foo.net. |  | "
                          "mail.foo.com. A 10.0.0.2"),
        ("foo.com", "NS", "NOERROR AA | foo.com. NS dns.foo.com. |  | dns.foo.com. A 10.0.0.1, "
                          "dns.foo.com. AAAA 2001:db8::1"),
        ("_sip._tcp.foo.com", "SRV", "NOERROR AA | _sip._tcp.foo.com. SRV 0 5 5060 mail.foo.com. |  | "
                                     "mail.foo.com. A 10.0.0.2"),
        ("nowhere.foo.com", "A", f"NXDOMAIN AA |  | {NEGATIVE} | "),
        ("dns.foo.com", "TXT", f"NOERROR AA |  | {NEGATIVE} | "),
        ("foo.com", "HTTPS", f"NOERROR AA |  | {NEGATIVE} | "),
        ("foo.com", "SVCB", f"NOERROR AA |  | {NEGATIVE} | "),
        ("foo.com", "TYPE65281", f"NOERROR AA |  | {NEGATIVE} | "),
        ("svc.foo.com", "HTTPS", 'NOERROR AA | svc.foo.com. HTTPS 1 . alpn="h2,http/1.1" |  | '),
        ("_dns.foo.com", "SVCB", "NOERROR AA | _dns.foo.com. SVCB 1 dns.foo.com. |  | "
                                 "dns.foo.com. A 10.0.0.1, dns.foo.com. AAAA 2001:db8::1"),
        ("svcalias.foo.com", "HTTPS", "NOERROR AA | svcalias.foo.com. HTTPS 0 svc2.foo.com. |  | "
                                      "svc2.foo.com. HTTPS 0 svc3.foo.com., svc3.foo.com. HTTPS 1 ., "
                                      "svc3.foo.com. A 10.0.0.8"),
        ("svcring.foo.com", "SVCB", "NOERROR AA | svcring.foo.com. SVCB 0 svcring.foo.com. |  | "),
        ("svcout.foo.com", "SVCB", "NOERROR AA | svcout.foo.com. SVCB 0 elsewhere.org. |  | "),
        ("svcnone.foo.com", "SVCB", "NOERROR AA | svcnone.foo.com. SVCB 0 . |  | "),
        ("svchost.foo.com", "SVCB", "NOERROR AA | svchost.foo.com. SVCB 0 mail.foo.com. |  | mail.foo.com. A 10.0.0.2"),
        ("odd.foo.com", "TYPE65280", "NOERROR AA | odd.foo.com. TYPE65280 \\# 3 010203 |  | "),
        ("foo.com", "ANY", "NOERROR AA | foo.com. A 10.0.0.9 |  | "),
        ("x.wild.foo.com", "A", "NOERROR AA | x.wild.foo.com. A 10.1.0.1, x.wild.foo.com. A 10.1.0.2 |  | "),
        # referrals
        ("x.sub.foo.com", "A", "NOERROR |  | sub.foo.com. NS dns.sub.foo.com. | dns.sub.foo.com. A 10.0.0.4"),
        ("dns.sub.foo.com", "A", "NOERROR |  | sub.foo.com. NS dns.sub.foo.com. | dns.sub.foo.com. A 10.0.0.4"),
        # alias chains: within the zone, out of it, into another of ours, into nothing, into a referral, in a circle
        ("www.foo.com", "A", "NOERROR AA | www.foo.com. CNAME relay1.west.foo.com., relay1.west.foo.com. A 10.0.0.3 |  | "),
        ("www.foo.com", "CNAME", "NOERROR AA | www.foo.com. CNAME relay1.west.foo.com. |  | "),
        ("out.foo.com", "A", "NOERROR AA | out.foo.com. CNAME elsewhere.org. |  | "),
        ("net.foo.com", "A", "NOERROR AA | net.foo.com. CNAME www.foo.net., www.foo.net. A 10.0.0.5 |  | "),
        ("netless.foo.com", "A", f"NXDOMAIN AA | netless.foo.com. CNAME nowhere.foo.net. | {NEGATIVE_NET} | "),
        ("www.foo.com", "MX", f"NOERROR AA | www.foo.com. CNAME relay1.west.foo.com. | {NEGATIVE} | "),
        ("below.foo.com", "A", "NOERROR AA | below.foo.com. CNAME x.sub.foo.com. | sub.foo.com. NS dns.sub.foo.com. | "
                               "dns.sub.foo.com. A 10.0.0.4"),
        ("ring.foo.com", "A", "SERVFAIL AA | ring.foo.com. CNAME ring2.foo.com., ring2.foo.com. CNAME ring.foo.com. |  | "),
        # the deepest zone answers; the parent's for DS
        ("child.foo.net", "A", "NOERROR AA | child.foo.net. A 10.0.0.7 |  | "),
        ("child.foo.net", "DS", f"NXDOMAIN AA |  | {NEGATIVE_NET} | "),
        ("foo.com", "DS", f"NOERROR AA |  | {NEGATIVE} | "),
        # not ours
        ("bar.com", "A", "REFUSED |  |  | "),
        (".", "NS", "REFUSED |  |  | "),
        ("com", "A", "REFUSED |  |  | "),
        ("foo.com", "AXFR", "REFUSED |  |  | "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_answers(authority: Authority, name: str, rdtype: str, expected: str, stream: bool) -> None:
    assert show(ask(authority, name, rdtype, stream)) == expected


def test_negative_answers_live_as_long_as_the_soa_says(authority: Authority) -> None:
    assert ask(authority, "nowhere.foo.com").authority[0].ttl == 3600
    assert ask(authority, "foo.com", "SOA").answer[0].ttl == 2 * 86400


def test_a_chain_is_followed_so_far(authority: Authority) -> None:
    assert len(ask(authority, "c0.foo.com", stream=True).answer) == 17
    assert len(ask(authority, "c30.foo.com").answer) == 11


def test_case_is_kept_in_the_question_and_ignored_in_the_zone(authority: Authority) -> None:
    reply = ask(authority, "DNS.fOO.com")
    assert reply.question[0].name.to_text() == "DNS.fOO.com."
    assert reply.answer[0][0].address == "10.0.0.1"


@pytest.mark.parametrize(
    ("options", "stream", "truncated"),
    [
        ({}, False, True),
        ({"use_edns": 0, "payload": 1232}, False, True),
        ({"use_edns": 0, "payload": 65535}, False, True),  # our own limit holds
        ({}, True, False),
        ({"use_edns": 0, "payload": 512}, True, False),
    ],
)
def test_truncation(authority: Authority, options: dict[str, int], stream: bool, truncated: bool) -> None:
    reply = ask(authority, "big.foo.com", "TXT", stream, **options)
    assert bool(reply.flags & dns.flags.TC) is truncated
    assert len(reply.answer) == (0 if truncated else 1)


def test_edns_is_answered_by_edns(authority: Authority) -> None:
    plain = ask(authority, "dns.foo.com")
    assert plain.edns == -1
    reply = ask(authority, "dns.foo.com", want_dnssec=True, payload=4096, options=[dns.edns.GenericOption(65001, b"x")])
    assert (reply.edns, reply.payload, reply.ednsflags & dns.flags.DO, reply.options) == (0, 1232, dns.flags.DO, ())
    bad = ask(authority, "dns.foo.com", use_edns=1)
    assert (bad.rcode().name, bad.edns, bad.answer) == ("BADVERS", 0, [])


def test_recursion_is_not_offered(authority: Authority) -> None:
    reply = ask(authority, "dns.foo.com")
    assert reply.flags & dns.flags.RD
    assert not reply.flags & dns.flags.RA


def test_replies_are_not_answered(authority: Authority) -> None:
    query = dns.message.make_query("foo.com", "A")
    reply = authority.answer(query.to_wire(), False)
    assert reply is not None
    assert authority.answer(reply.data, False) is None


def test_each_address_is_first_in_turn() -> None:
    authority = Authority([Zone.from_text("foo.com", FOO)])
    first = Counter()  # type: ignore[var-annotated]
    for _ in range(300):
        ask(authority, "foo.com", "MX")  # other questions do not disturb the turns
        addresses = [rdata.address for rdata in ask(authority, "rr.foo.com").answer[0]]
        assert sorted(addresses) == ["10.1.0.1", "10.1.0.2", "10.1.0.3"]
        first[addresses[0]] += 1
    assert set(first.values()) == {100}


def test_random_order_is_about_even() -> None:
    authority = Authority([Zone.from_text("foo.com", FOO)], at_random(Random(1).randrange))
    first = Counter(ask(authority, "rr.foo.com").answer[0][0].address for _ in range(600))
    assert all(150 < count < 250 for count in first.values())


def test_a_root_and_a_tld_are_the_same_program() -> None:
    root = Authority(
        [Zone.from_text(".", SOA + "@ NS a.root-servers.net.\nedu. NS a.edu-servers.net.\na.edu-servers.net. A 10.0.0.2\n")]
    )
    assert show(ask(root, "gaia.cs.umass.edu")) == (
        "NOERROR |  | edu. NS a.edu-servers.net. | a.edu-servers.net. A 10.0.0.2"
    )
    assert ask(root, "gaia.cs.umass.edu.nowhere").rcode().name == "NXDOMAIN"


@given(st.binary(max_size=100))
def test_garbage_gets_an_error_or_nothing(data: bytes) -> None:
    authority = Authority([Zone.from_text("foo.com", FOO)])
    for octets in (data, b"\0\1\0\0\0\1\0\0\0\0\0\0" + data):
        for stream in (False, True):
            reply = authority.answer(octets, stream)
            assert reply is None or reply.data[:2] == octets[:2]


@given(st.lists(st.tuples(st.integers(0, 45), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_queries_are_answered_within_the_limit(flips: list[tuple[int, int]]) -> None:
    authority = Authority([Zone.from_text("foo.com", FOO + "\n" + BIG)])
    octets = bytearray(dns.message.make_query("big.foo.com", "TXT", use_edns=0, payload=4096).to_wire())
    for place, value in flips:
        octets[place % len(octets)] = value
    reply = authority.answer(bytes(octets), False)
    assert reply is None or len(reply.data) <= 1232


def test_zones_come_and_go_while_serving(authority: Authority) -> None:
    changes: list[int] = []
    authority.watchers.append(lambda: changes.append(len(authority.zones)))
    authority.put(Zone.from_text("foo.net", SOA + "@ NS dns.foo.com.\nwww A 10.0.0.55\n"))
    assert show(ask(authority, "www.foo.net")).startswith("NOERROR AA | www.foo.net. A 10.0.0.55")
    authority.put(Zone.from_text("a.very.deep.origin.foo.org", SOA + "@ NS dns.foo.com.\n@ A 10.0.0.56\n"))
    assert "10.0.0.56" in show(ask(authority, "a.very.deep.origin.foo.org"))
    authority.withdraw(dns.name.from_text("foo.net"))
    assert show(ask(authority, "www.foo.net")).startswith("SERVFAIL")
    assert changes == [3, 4, 3]
