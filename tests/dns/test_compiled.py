"""The compiled replies against the plain path, octet for octet, over random zones and questions."""

from collections.abc import Callable
from random import Random
from typing import Any

import dns.edns
import dns.message
import dns.name
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.assembled import Assembler, ordinary
from netstack.dns.authority import Authority, Order, at_random, cyclic, fixed
from netstack.dns.compiled import CompiledAnswers, Memo
from netstack.dns.dnssec.signer import Denial
from netstack.dns.metrics import ServerMetrics
from netstack.dns.zone import Zone, ZoneError
from tests.dns.dnssec.signed import QUESTIONS, signed_zone

SOA = "$TTL 2d\n@ SOA ns. hostmaster. 1 2h 1h 2w 1h\n@ NS ns\n"
TYPES = ("A", "AAAA", "NS", "MX", "CNAME", "TXT", "SOA", "ANY", "HTTPS", "DS", "SRV", "TYPE97", "DNAME", "AXFR", "MAILB")
LABELS = ("a", "b", "ns", "WWW", "x\\000y", "*", "sub", "long" + "l" * 50)
ORIGINS = ("foo.com", "sub.foo.com", "net", ".")
COOKIE = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")

names = st.lists(st.sampled_from(LABELS), max_size=4).map(".".join)
targets = st.one_of(
    names, st.tuples(names, st.sampled_from(ORIGINS)).map(lambda it: f"{it[0]}.{it[1].rstrip('.')}.".lstrip("."))
)
numbers = st.integers(1, 9)
records = st.one_of(
    st.tuples(names, numbers).map(lambda it: f"{it[0] or '@'} A 10.0.0.{it[1]}"),
    st.tuples(names, numbers).map(lambda it: f"{it[0] or '@'} AAAA 2001:db8::{it[1]}"),
    st.tuples(names, targets).map(lambda it: f"{it[0] or '@'} NS {it[1] or '@'}"),
    st.tuples(names, numbers, targets).map(lambda it: f"{it[0] or '@'} MX {it[1]} {it[2] or '@'}"),
    st.tuples(names, targets).map(lambda it: f"{it[0] or '@'} CNAME {it[1] or '@'}"),
    st.tuples(names, targets).map(lambda it: f"{it[0] or '@'} DNAME {it[1] or '@'}"),
    st.tuples(names, numbers).map(lambda it: f"{it[0] or '@'} TXT {str(it[1]) * 200}"),
    st.tuples(names, numbers).map(lambda it: f"{it[0] or '@'} TYPE65280 \\# 1 0{it[1]}"),
    st.tuples(names, targets).map(lambda it: f"{it[0] or '@'} SRV 0 5 5060 {it[1] or '@'}"),
    st.tuples(names, st.integers(0, 2), targets).map(lambda it: f"{it[0] or '@'} HTTPS {it[1]} {it[2] or '@'}"),
)


def zone_of(origin: str, lines: list[str]) -> Zone:
    """A zone of as many of the lines as may stand together."""
    text = SOA
    for line in lines:
        try:
            Zone.from_text(origin, f"{text}{line}\n")
        except ZoneError:
            continue
        text = f"{text}{line}\n"
    return Zone.from_text(origin, text)


@st.composite
def questions(draw: st.DrawFn) -> bytes:
    """Queries as resolvers send them, and some that none would send."""
    labels = draw(st.lists(st.sampled_from(LABELS), max_size=4))
    text = ".".join([*labels, draw(st.sampled_from(ORIGINS)).rstrip(".")]).strip(".") + "."
    if draw(st.booleans()):
        text = text.swapcase()
    query = dns.message.make_query(
        dns.name.from_text(text.replace("..", ".")),
        draw(st.sampled_from(TYPES)),
        rdclass=draw(st.sampled_from(("IN", "IN", "IN", "IN", "CH", "ANY"))),
        use_edns=draw(st.sampled_from((False, False, 0, 0, 1))),
        want_dnssec=False,
        payload=draw(st.sampled_from((0, 512, 600, 1232, 4096, 65535))),
        id=draw(st.integers(0, 65535)),
    )
    if query.edns >= 0 and draw(st.booleans()):
        query.ednsflags |= draw(st.sampled_from((0x8000, 0x4000)))
    if query.edns >= 0 and draw(st.sampled_from((False, False, True))):
        query.use_edns(query.edns, query.ednsflags, query.payload, options=[COOKIE])
    wire = bytearray(query.to_wire())
    wire[2] = draw(st.sampled_from((0, 1, 1, 1, 0x21, 0x41, 0x80, 0x04)))
    wire[3] = draw(st.sampled_from((0, 0, 0x10, 0x20, 0x30, 0x40, 0x80)))
    if draw(st.sampled_from((False,) * 8 + (True,))):
        at = draw(st.integers(0, len(wire) - 1))
        wire[at] = draw(st.integers(0, 255))
    if draw(st.sampled_from((False,) * 8 + (True,))):
        wire += b"\0" * draw(st.integers(1, 12))
    return bytes(wire)


def orders() -> tuple[Callable[[], Order], ...]:
    return (lambda: cyclic, lambda: fixed, lambda: at_random(Random(3).randrange))


def both(
    order: Callable[[], Order], *zones: tuple[str, list[str]], limit: int = 1 << 20
) -> tuple[CompiledAnswers, Authority]:
    """The bypass and the plain path over equal zones, each with turns of its own."""

    def authority() -> Authority:
        return Authority([zone_of(origin, lines) for origin, lines in zones], order())

    return CompiledAnswers(authority(), ServerMetrics(), "1", limit), authority()


def plain(authority: Authority, data: bytes) -> bytes | None:
    reply = authority.answer(data, False)
    return None if reply is None else reply.data


def nobody() -> Any:
    raise AssertionError("nobody needs to know who asks")


def ask(bypass: CompiledAnswers, data: bytes) -> bytes | None:
    """What a client gets: of the bypass or, where it does not answer, of its plain path."""
    reply = bypass.answer(data, nobody)
    return plain(bypass.authority, data) if reply is None else reply


@given(
    st.sampled_from(orders()),
    st.lists(records, max_size=12),
    st.lists(records, max_size=8),
    st.lists(questions(), min_size=1, max_size=6),
    st.sampled_from((2000, 1 << 20)),
    st.data(),
)
def test_replies_are_those_of_the_plain_path(
    order: Callable[[], Order], first: list[str], second: list[str], asked: list[bytes], limit: int, data: st.DataObject
) -> None:
    bypass, oracle = both(order, ("foo.com", first), ("net", second), limit=limit)
    for question in asked * 3:
        identity = data.draw(st.binary(min_size=2, max_size=2))
        query = identity + question[2:]
        assert ask(bypass, query) == plain(oracle, query)
    replaced = zone_of("foo.com", [*second, "new A 10.9.9.9"])
    bypass.authority.put(replaced)
    oracle.put(zone_of("foo.com", [*second, "new A 10.9.9.9"]))
    for question in asked:
        assert ask(bypass, question) == plain(oracle, question)


def query(name: str, rdtype: str = "A", **options: Any) -> bytes:
    return dns.message.make_query(name, rdtype, **options).to_wire()


LINES = [
    "www A 10.0.0.1", "www A 10.0.0.2", "www A 10.0.0.3", "@ MX 1 www", "@ MX 2 mail.foo.com.", "mail A 10.0.0.4",
    "alias CNAME www", "sub NS dns.sub", "dns.sub A 10.0.0.5", "*.wild A 10.0.0.6",
    *(f"big TXT {'x' * 200}{n}" for n in range(9)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rdtype"),
    [
        ("www.foo.com", "A"), ("foo.com", "MX"), ("alias.foo.com", "A"), ("www.foo.com", "AAAA"), ("nowhere.foo.com", "A"),
        ("x.y.sub.foo.com", "A"), ("x.wild.foo.com", "A"), ("big.foo.com", "TXT"), ("foo.com", "SOA"), ("foo.org", "A"),
        ("www.foo.com", "ANY"), ("www.foo.com", "HTTPS"), ("www.foo.com", "TYPE97"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"use_edns": 0, "payload": 4096}, {"want_dnssec": True}])
def test_ordinary_questions_take_the_short_way(name: str, rdtype: str, options: dict[str, Any]) -> None:
    bypass, oracle = both(lambda: cyclic, ("foo.com", LINES))
    for text in (name, name.upper(), name, name.title(), name):
        data = query(text, rdtype, **options)
        reply = bypass.answer(data, nobody)
        assert reply == plain(oracle, data)
    made_up = name.startswith(("nowhere", "x.wild", "foo.org"))
    assert len(bypass.memo) == (0 if made_up else 1)


@given(
    st.lists(records, max_size=16),
    st.lists(records, max_size=8),
    st.lists(questions(), min_size=1, max_size=8),
    st.sampled_from(("net", ".")),
    st.booleans(),
)
def test_replies_put_together_from_octets_are_those_of_the_plain_path(
    first: list[str], second: list[str], asked: list[bytes], origin: str, stream: bool
) -> None:
    bypass, oracle = both(lambda: cyclic, ("foo.com", first), (origin, second))
    bypass.authority.withdraw(dns.name.from_text("sub.foo.com"))
    oracle.withdraw(dns.name.from_text("sub.foo.com"))
    assembler = Assembler(bypass.authority)
    for data in asked:
        end = data.find(0, 12)
        if not ordinary(data, end):
            continue
        made = assembler.answer(data, cyclic, stream)
        expected = oracle.answer(data, stream)
        assert expected is not None
        if made is None:
            assert expected.rcode == Rcode.SERVFAIL
        else:
            assert (made.wire, made.rcode) == (expected.data, expected.rcode)


def options_of(draw: st.DrawFn) -> list[dns.edns.Option]:
    """EDNS(0) options, some of which no server understands."""
    codes = draw(st.lists(st.sampled_from((3, 8, 10, 10, 11, 12, 15, 18, 65001)), max_size=3))
    data = st.sampled_from((b"", b"c" * 8, b"c" * 9, b"c" * 24))
    return [dns.edns.GenericOption(dns.edns.OptionType.make(code), draw(data)) for code in codes]


@given(st.data(), st.sampled_from(("www.foo.com", "big.foo.com", "x.sub.foo.com", "no.foo.com", "foo.org")), st.booleans())
def test_options_change_nothing_in_an_answer(data: st.DataObject, name: str, stream: bool) -> None:
    bypass, oracle = both(lambda: cyclic, ("foo.com", LINES))
    options = data.draw(st.composite(options_of)())
    sent = query(name, use_edns=0, payload=1232, options=options, id=9)
    asked = bytearray(sent)
    if data.draw(st.sampled_from((False, False, True))):
        asked[data.draw(st.integers(12, len(asked) - 1))] = data.draw(st.integers(0, 255))
    made = Assembler(bypass.authority).answer(bytes(asked), cyclic, stream)
    expected = oracle.answer(bytes(asked), stream)
    if made is not None:
        assert expected is not None
        assert (made.wire, made.rcode) == (expected.data, expected.rcode)
    elif all(option.otype in (3, 11, 12) for option in options):
        assert bytes(asked) != sent


def test_a_flood_of_names_that_do_not_exist_is_not_kept() -> None:
    bypass, oracle = both(lambda: cyclic, ("foo.com", LINES))
    for number in range(300):
        for name in (f"x{number}.foo.com", f"x{number}.wild.foo.com", f"x{number}.elsewhere.org"):
            data = query(name, id=number)
            assert bypass.answer(data, nobody) == plain(oracle, data)
    assert len(bypass.memo) == 0


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
@pytest.mark.parametrize("payload", [512, 1232])
def test_signed_zones(denial: Denial, payload: int) -> None:
    zone = signed_zone("example.", denial=denial)
    bypass, oracle = CompiledAnswers(Authority([zone]), ServerMetrics(), "1", 1 << 24), Authority([zone])
    for asked in QUESTIONS:
        name, rdtype = asked.replace("ZONE", "example").split()
        for text in (name.lower(), name.upper()):
            for want in (True, False):
                data = query(text, rdtype, use_edns=0, want_dnssec=want, payload=payload)
                reply = bypass.answer(data, nobody)
                assert reply is not None
                for node in zone.nodes.values():
                    node.turns.clear()
                assert reply == plain(oracle, data)
                for node in zone.nodes.values():
                    node.turns.clear()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0" * 11, b"\0" * 40, query("foo.com", "AXFR"), query("foo.com", "A", rdclass="CH"), query("foo.com")[:-1],
        query("foo.com") + b"\0", query("foo.com", use_edns=1), query("foo.com", use_edns=0)[:-1],
        query("foo.com", options=[COOKIE]),
        query("foo.com", use_edns=0)[:-2] + b"\0\1", b"\0\0\1\0\0\1\0\0\0\0\0\0\xc0\x04\0\1\0\1",
        query("x\\000y.foo.com"),
    ],
    ids=range(13),  # not by their octets, for each run takes other message ids
)  # fmt: skip
def test_everything_else_takes_the_plain_path(data: bytes) -> None:
    bypass, _ = both(lambda: cyclic, ("foo.com", LINES))
    assert not ordinary(data, data.find(0, 12))
    assert bypass.answer(data, nobody) is None
    assert len(bypass.memo) == 0


def test_types_that_differ_as_letters_do_are_kept_apart() -> None:
    bypass, oracle = both(lambda: cyclic, ("foo.com", ["www TYPE65 \\# 3 000100", "www TYPE97 \\# 1 07"]))
    for rdtype in ("TYPE65", "TYPE97"):
        assert bypass.answer(query("www.foo.com", rdtype, id=1), nobody) == plain(oracle, query("www.foo.com", rdtype, id=1))


@pytest.mark.parametrize("alter", ["put", "withdraw", "changed"])
def test_a_changed_zone_is_answered_from_at_once(alter: str) -> None:
    bypass, _ = both(lambda: fixed, ("foo.com", LINES))
    authority, data = bypass.authority, query("mail.foo.com", id=7)
    before = bypass.answer(data, nobody)
    assert before is not None
    assert dns.message.from_wire(before).answer[0][0].to_text() == "10.0.0.4"
    if alter == "put":
        authority.put(zone_of("foo.com", ["mail A 10.0.0.44"]))
    elif alter == "withdraw":
        authority.withdraw(dns.name.from_text("foo.com"))
    else:
        node = authority.zones[dns.name.from_text("foo.com")].nodes[dns.name.from_text("mail.foo.com")]
        del node.rrsets[RdataType.A]
        authority.changed()
    after = ask(bypass, data)
    assert after == plain(authority, data)
    assert after != before


def test_replies_are_counted_as_on_the_plain_path() -> None:
    bypass, _ = both(lambda: cyclic, ("foo.com", LINES))
    for name, rdtype in (("www", "A"), ("www", "A"), ("nowhere", "AAAA"), ("www", "TYPE97")):
        assert bypass.answer(query(f"{name}.foo.com", rdtype), nobody) is not None
    bypass.answered(4, 0.003)
    metrics = bypass.tallies
    assert isinstance(metrics, ServerMetrics)
    metrics.fold()
    metrics.fold()
    assert metrics.requests == {("udp", "1", "A"): 2, ("udp", "1", "AAAA"): 1, ("udp", "1", "other"): 1}
    assert {rcode.name: count for rcode, count in metrics.responses.items()} == {"NOERROR": 3, "NXDOMAIN": 1}
    assert (sum(metrics.durations.counts), metrics.durations.counts[4]) == (4, 4)


def test_what_is_kept_is_bounded_and_what_is_asked_for_stays() -> None:
    text = f"{SOA}www A 10.0.0.1\n" + "".join(f"x{number} A 10.0.0.2\n" for number in range(1000))
    zone = Zone.from_text("foo.com", text)
    bypass, oracle = CompiledAnswers(Authority([zone]), ServerMetrics(), "1", 50_000), Authority([zone])
    for number in range(1000):
        for name in ("www", f"x{number}"):
            data = query(f"{name}.foo.com", id=number)
            assert bypass.answer(data, nobody) == plain(oracle, data)
        assert len(bypass.memo) < 120
    kept = bypass.memo.young | bypass.memo._old
    assert query("www.foo.com")[2:] in kept
    assert query("x10.foo.com")[2:] not in kept


def test_a_memo_keeps_about_what_it_may() -> None:
    memo: Memo[int] = Memo(1000)
    for number in range(100):
        memo.put(b"%d" % number, number, 100)
        assert len(memo) <= 11
    assert memo.find(b"99", lambda value: 100) is None
    assert memo.young[b"99"] == 99
    assert memo.find(b"94", lambda value: 100) == 94
    assert memo.young[b"94"] == 94
    memo.clear()
    assert len(memo) == 0
