"""Server cookies, options in octets, limits of queries and replies; and servers of a simulated world that have them."""

from functools import cache
from random import Random
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rrset
import pytest
from dns.message import Message
from dns.rcode import Rcode
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.authority import Authority
from netstack.dns.cookies import ServerCookies, derived, secrets_from_text, siphash24
from netstack.dns.guard import Admitted, CookieRule, Guard
from netstack.dns.limits import ServerLimits
from netstack.dns.options import opt_at, option, question_end, truncated, with_option
from netstack.dns.rates import kind
from netstack.dns.upstream import DatagramUpstream
from netstack.dns.zone import Zone
from netstack.sansio import Now
from netstack.world.loader import parse
from netstack.world.session import Session, open_session
from tests.dns.internet import SOA, server

CLIENT = bytes.fromhex("2464c4abcf10c957")
SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
AT = 1559731985


def test_siphash_is_that_of_its_paper() -> None:
    assert siphash24(bytes(range(16)), bytes(range(15))) == (0xA129CA6149BE45E5).to_bytes(8, "little")


def test_cookies_are_those_of_rfc_9018() -> None:
    """Appendix A.1."""
    cookies = ServerCookies(lambda now: [SECRET])
    assert cookies.make(CLIENT, "198.51.100.100", AT).hex() == "010000005cf79f111f8130c3eee29480"


def test_a_cookie_is_good_for_an_hour_at_its_address() -> None:
    cookies = ServerCookies(lambda now: [SECRET])
    cookie = cookies.make(CLIENT, "198.51.100.100", AT)
    checks = [
        (CLIENT, cookie, "198.51.100.100", AT, True), (CLIENT, cookie, "198.51.100.100", AT + 3600, True),
        (CLIENT, cookie, "198.51.100.100", AT + 3601, False), (CLIENT, cookie, "198.51.100.100", AT - 300, True),
        (CLIENT, cookie, "198.51.100.100", AT - 301, False), (CLIENT, cookie, "198.51.100.101", AT, False),
        (CLIENT, cookie, "2001:db8::1", AT, False), (CLIENT[::-1], cookie, "198.51.100.100", AT, False),
        (CLIENT, cookie[:-1] + b"?", "198.51.100.100", AT, False), (CLIENT, b"\2" + cookie[1:], "198.51.100.100", AT, False),
        (CLIENT, cookie + b"?", "198.51.100.100", AT, False), (CLIENT, cookie[:8], "198.51.100.100", AT, False),
    ]  # fmt: skip
    for client, server_cookie, address, now, good in checks:
        assert (cookies.fresh(client, server_cookie, address, now) is not None) is good
    assert cookies.fresh(CLIENT, cookie, "198.51.100.100", AT + 1800) == cookie
    assert cookies.fresh(CLIENT, cookie, "198.51.100.100", AT + 1801) == cookies.make(CLIENT, "198.51.100.100", AT + 1801)


def test_the_secret_is_replaced_and_the_one_before_it_stays_good() -> None:
    cookies, other, stranger = (ServerCookies(derived(master, 1000)) for master in (SECRET, SECRET, SECRET[::-1]))
    start = AT // 1000 * 1000
    first = cookies.make(CLIENT, "10.0.0.1", start)
    second = cookies.fresh(CLIENT, first, "10.0.0.1", start + 1000)
    assert second is not None
    assert second[:8] != first[:8]
    assert cookies.fresh(CLIENT, first, "10.0.0.1", start + 1500) is not None
    assert cookies.fresh(CLIENT, first, "10.0.0.1", start + 2000) is None
    assert cookies.fresh(CLIENT, second, "10.0.0.1", start + 2000) is not None
    assert other.fresh(CLIENT, second, "10.0.0.1", start + 1500) == second  # of the same master, as workers have it
    assert stranger.fresh(CLIENT, second, "10.0.0.1", start + 1500) is None


def test_secrets_that_servers_share() -> None:
    """RFC 9018 §5: the new one is known before it makes cookies, the old one stays good for a while."""
    old, new = (ServerCookies(lambda now, known=known: known) for known in ([SECRET, b"2" * 16], [b"2" * 16, SECRET]))
    cookie = old.make(CLIENT, "10.0.0.1", AT)
    renewed = new.fresh(CLIENT, cookie, "10.0.0.1", AT)
    assert renewed not in (None, cookie)
    assert old.fresh(CLIENT, renewed, "10.0.0.1", AT) is not None
    text = f"# ours\n{SECRET.hex()}\n\n{(b'2' * 16).hex()} # next\n"
    assert secrets_from_text(text) == (SECRET, b"2" * 16)
    for wrong in ("", "00", "x" * 32, SECRET.hex() + "00"):
        with pytest.raises(ValueError, match="32 hexadecimal digits"):
            secrets_from_text(wrong)


# Octets


def reply_with(records: int, options: list[tuple[int, bytes]], edns: bool = True) -> bytes:
    message = dns.message.make_response(dns.message.make_query("www.umass.edu", "A"))
    for number in range(records):
        message.answer.append(dns.rrset.from_text(f"x{number}.umass.edu.", 60, "IN", "TXT", "a" * (number % 200 + 1)))
    if edns:
        message.use_edns(0, 0, 1232, options=[dns.edns.GenericOption(code, value) for code, value in options])  # type: ignore[arg-type]
    return message.to_wire()


@given(st.integers(0, 8), st.lists(st.tuples(st.integers(65001, 65534), st.binary(max_size=40)), max_size=4), st.booleans())
def test_options_are_read_and_added_as_dnspython_does(records: int, options: list[tuple[int, bytes]], edns: bool) -> None:
    wire = reply_with(records, options, edns)
    at = opt_at(wire)
    assert (at is not None) is edns
    if at is None:
        assert with_option(wire, 10, b"12345678") == wire
        return
    for code, value in options:
        if [other for other, _ in options].count(code) == 1:
            assert option(wire, at, code) == value
    longer = dns.message.from_wire(with_option(wire, 10, b"12345678"))
    assert [(it.otype, it.to_wire()) for it in longer.options] == [*options, (10, b"12345678")]
    assert len(longer.answer) == len(dns.message.from_wire(wire).answer)
    short = dns.message.from_wire(truncated(wire))
    assert (short.rcode(), short.answer, bool(short.flags & dns.flags.TC)) == (0, [], True)
    assert [(it.otype, it.to_wire()) for it in short.options] == options


@given(st.binary(max_size=80), st.integers(0, 5), st.integers(0, 80))
def test_damaged_octets_are_no_trouble(noise: bytes, records: int, cut: int) -> None:
    wire = reply_with(records, [(10, b"12345678")])
    for message in (noise, wire[:cut], wire[:cut] + noise, noise.ljust(12, b"\0") + wire[cut:]):
        if len(message) >= 12:
            question_end(message)
            kind(truncated(message))
            kind(message)
            at = opt_at(message)
            if at is not None:
                option(message, at, 10)
                with_option(message, 10, b"12345678")
        guard = Guard(ServerLimits(client_rate=5, response_rate=5), "on", lambda: SECRET)
        admitted = guard.admit(message, "10.0.0.1", False, Now(0.0, AT))
        if isinstance(admitted, Admitted):
            admitted = guard.finish(admitted, wire, Now(0.0, AT))
        assert admitted is not None


def test_kinds_of_replies() -> None:
    answer = server(("umass.edu", "@ NS dns\ndns A 10.0.0.4\nx A 10.1.0.1\nsub NS dns.sub\ndns.sub A 10.0.0.9\n"))

    def of(name: str, rdtype: str = "A") -> object:
        reply = answer(dns.message.make_query(name, rdtype).to_wire(), False)
        assert isinstance(reply, bytes)
        return kind(reply)

    assert of("x.umass.edu") == of("X.umass.edu") != of("dns.umass.edu")
    assert of("a.umass.edu") == of("b.c.umass.edu") != of("x.umass.edu", "TXT") == of("dns.umass.edu", "TXT")
    assert of("a.sub.umass.edu") == of("b.sub.umass.edu") != of("a.umass.edu")
    assert of("a.nyu.edu") == of("b.poly.edu") == Rcode.REFUSED


# Guard


@cache
def serving(records: str) -> Any:
    return server(("umass.edu", "@ NS dns\ndns A 10.0.0.4\n" + records))


def ask(guard: Guard, cookie: bytes | None = None, now: float = 0.0, stream: bool = False, **options: Any) -> Message | None:
    """What a client at 10.0.0.1 gets, when the server itself would say 10.1.0.1."""
    query = dns.message.make_query("x.umass.edu", "A", use_edns=0, payload=options.get("payload", 1232))
    if cookie is not None:
        query.use_edns(0, 0, query.payload, options=[dns.edns.GenericOption(10, cookie)])  # type: ignore[arg-type]
    reply = serving(options.get("records", "x A 10.1.0.1\n"))
    admitted = guard.admit(query.to_wire(), options.get("address", "10.0.0.1"), stream, Now(now, AT + now))
    if isinstance(admitted, Admitted):
        admitted = guard.finish(admitted, reply(query.to_wire(), stream), Now(now, AT + now))  # type: ignore[arg-type]
    return None if admitted is None else dns.message.from_wire(admitted)


def cookie_of(message: Message | None) -> bytes:
    assert message is not None
    return next((it.to_wire() for it in message.options if it.otype == 10), b"") or b""


@pytest.mark.parametrize(("rule", "first"), [("on", Rcode.NOERROR), ("required", 23), ("off", Rcode.NOERROR)])
def test_cookies_are_given_and_wanted(rule: CookieRule, first: int) -> None:
    guard = Guard(ServerLimits(), rule, lambda: SECRET)
    reply = ask(guard, CLIENT)
    assert reply is not None
    assert (reply.rcode(), bool(reply.answer)) == (first, first == 0)
    cookie = cookie_of(reply)
    assert len(cookie) == (0 if rule == "off" else 24)
    again = ask(guard, cookie or CLIENT)
    assert again is not None
    assert again.answer
    assert ask(guard).answer  # type: ignore[union-attr]
    wrong = ask(guard, CLIENT + b"12345678")
    assert wrong is not None
    assert wrong.rcode() == first
    assert guard.counts.bad_cookies == (0 if rule == "off" else 1)
    for length in (0, 7, 9, 15, 41):
        malformed = ask(guard, bytes(length))
        assert malformed is not None
        assert malformed.rcode() == Rcode.FORMERR
    assert ask(guard, CLIENT, stream=True).answer  # type: ignore[union-attr]


def test_a_cookie_for_which_there_is_no_room_cuts_the_reply() -> None:
    guard = Guard(ServerLimits(), "on", lambda: SECRET)
    records = "".join(f"x A 10.1.0.{n}\n" for n in range(28))
    plain, cooked = ask(guard, payload=512, records=records), ask(guard, CLIENT, payload=512, records=records)
    assert plain is not None
    assert cooked is not None
    assert (bool(plain.flags & dns.flags.TC), bool(cooked.flags & dns.flags.TC)) == (False, True)
    assert len(cookie_of(cooked)) == 24


def test_equal_replies_are_held_back() -> None:
    guard = Guard(ServerLimits(response_rate=5), "on", lambda: SECRET)
    replies = [ask(guard, now=number / 1000) for number in range(500)]
    answered = [it for it in replies if it is not None and it.answer]
    slipped = [it for it in replies if it is not None and it.flags & dns.flags.TC]
    assert len(answered) == 5
    assert len(slipped) == 495 // 2
    assert guard.counts.limited == 495
    neighbours = [ask(guard, address=f"10.0.0.{number}", now=1.0) for number in range(20)]
    assert not any(it is not None and it.answer for it in neighbours)
    assert ask(guard, address="10.0.1.1", now=1.0).answer  # type: ignore[union-attr]
    assert ask(guard, stream=True, now=1.0).answer  # type: ignore[union-attr]
    known = cookie_of(ask(guard, CLIENT, stream=True, now=1.0))
    assert all(ask(guard, known, now=1.0).answer for _ in range(50))  # type: ignore[union-attr]
    assert ask(guard, now=30.0).answer  # type: ignore[union-attr]


RANDOM_NAMES = "*.wild TXT w\n*.cut.wild A 10.1.0.2\nold DNAME new.edu.\nx A 10.1.0.1\ny A 10.1.0.1\n"


@pytest.mark.parametrize(("name", "rdtype", "answered"), [
    ("{}.wild", "TXT", 5), ("a.{}.wild", "TXT", 5), ("{}.cut.wild", "A", 5), ("{}.old", "A", 5), ("{}.X", "A", 5),
    ("x", "A", 5), ("{}", "A", 10),
])  # fmt: skip
def test_random_names_that_one_record_answers_are_equal_replies(name: str, rdtype: str, answered: int) -> None:
    """A wildcard's or DNAME's victim gets no more than that of any other name (as BIND's rate-limit has it)."""
    authority = Authority([Zone.from_text("umass.edu", SOA + "@ NS dns\ndns A 10.0.0.4\n" + RANDOM_NAMES)])
    guard = Guard(ServerLimits(response_rate=5, response_slip=1000), "on", lambda: SECRET)
    guard.counted = authority.source_of
    sent = 0
    for number in range(100):
        label = "xy"[number % 2] if name == "{}" else f"r{number}"
        query = dns.message.make_query(name.format(label) + ".umass.edu", rdtype).to_wire()
        admitted, reply = guard.admit(query, "10.0.0.1", False, Now(0.0, AT)), authority.answer(query, False)
        assert isinstance(admitted, Admitted)
        assert reply is not None
        sent += guard.finish(admitted, reply.data, Now(0.0, AT)) is not None
    assert sent == answered


@pytest.mark.parametrize(("rule", "cookie"), [("on", b"123"), ("required", CLIENT), ("on", CLIENT + b"123")])
def test_replies_of_the_guard_itself_are_held_back(rule: CookieRule, cookie: bytes) -> None:
    guard = Guard(ServerLimits(response_rate=5, response_slip=1000), rule, lambda: SECRET)
    assert sum(ask(guard, cookie) is not None for _ in range(100)) == 5
    assert all(ask(guard, cookie, stream=True) is not None for _ in range(100))


def test_what_an_amplifier_sends_is_bounded() -> None:
    """Octets sent to one victim for octets of forged queries: RRL makes it small."""
    records = "".join(f"x A 10.1.0.{n}\n" for n in range(60))
    factors = []
    for rate in (0.0, 5.0):
        guard = Guard(ServerLimits(response_rate=rate), "on", lambda: SECRET)
        came = sent = 0
        for number in range(150):
            reply = ask(guard, now=number / 1000, records=records, address=f"10.0.0.{number % 250}")
            came += 40
            sent += 0 if reply is None else len(reply.to_wire())
        factors.append(sent / came)
    assert factors[0] > 20
    assert factors[1] < factors[0] / 15


def test_a_client_that_asks_too_much_is_dropped() -> None:
    guard = Guard(ServerLimits(client_rate=10, response_slip=4), "on", lambda: SECRET)
    replies = [ask(guard) for _ in range(50)]
    assert [bool(it and it.answer) for it in replies] == [True] * 10 + [False] * 40
    assert sum(it is not None for it in replies) == 20
    assert ask(guard, address="10.0.0.2").answer  # type: ignore[union-attr]
    assert ask(guard, stream=True).rcode() == Rcode.REFUSED  # type: ignore[union-attr]
    assert ask(guard, now=1.0).answer  # type: ignore[union-attr]


# In a world


def world(dns_options: dict[str, object], resolver_options: dict[str, object]) -> Session:
    table = {
        "profile": "hardened",
        "sites": {"core": {"resolver": False}, "lan": {"resolver": "resolver.lan.edu"}},
        "zones": {".": {"site": "core", "servers": ["a.root"]}, "root": {"servers": ["a.root"]},
                  "edu": {"site": "core", "servers": ["ns.edu"]}, "lan.edu": {"site": "core", "servers": ["ns.lan.edu"]}},
        "hosts": {"ns.lan.edu": {"site": "core", "services": {"dns": dns_options}},
                  "resolver.lan.edu": {"site": "lan", "services": {"resolver": resolver_options}},
                  "host.lan.edu": {"site": "lan"}, "other.lan.edu": {"site": "lan"}},
    }  # fmt: skip
    return open_session(parse(table), "simulated", seed=5)


def flood(internet: Session, host: str, target: str, name: str, count: int) -> list[Message]:
    """Replies to so many equal queries at once."""
    address = internet.running.table.first(target)
    query = dns.message.make_query(name, "A", use_edns=0)
    got: list[Message] = []

    async def send(machine: Any) -> None:
        from twisted.internet.task import deferLater

        port = DatagramUpstream(
            machine, (address, machine.port(53)), lambda data, _: got.append(dns.message.from_wire(data))
        )
        for _ in range(count):
            port.send(query.to_wire())
        await deferLater(machine.reactor, 3.0)
        port.close()

    internet.ask(host, send)
    return got


def test_a_world_in_which_all_is_on() -> None:
    with world({"cookies": "required", "limits": {"response_rate": 5.0}}, {"limits": {}}) as internet:
        assert internet.resolve("host.lan.edu", host="host.lan.edu").records == (internet.address("host.lan.edu"),)
        replies = flood(internet, "other.lan.edu", "ns.lan.edu", "host.lan.edu", 100)
        assert sum(bool(it.answer) for it in replies) == 5
        assert sum(bool(it.flags & dns.flags.TC) for it in replies) == 47
        for number in range(20):  # the resolver has a cookie, so its queries are not held back
            assert internet.resolve(f"{number}.lan.edu", host="host.lan.edu").rcode == "NXDOMAIN"


def test_a_resolver_that_limits_its_clients() -> None:
    with world({}, {"server_limits": {"client_rate": 10}}) as internet:
        replies = flood(internet, "other.lan.edu", "resolver.lan.edu", "host.lan.edu", 50)
        assert sum(bool(it.answer) for it in replies) == 10
        assert internet.resolve("host.lan.edu", host="host.lan.edu").records


def test_secrets_come_from_the_machine() -> None:
    def guard(seed: int) -> Guard:
        rng = Random(seed)
        return Guard(ServerLimits(), "on", lambda: rng.randbytes(16))

    first, same, other = (cookie_of(ask(guard(seed), CLIENT)) for seed in (1, 1, 2))
    assert first == same != other
