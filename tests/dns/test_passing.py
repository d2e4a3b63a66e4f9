"""The guard on the short way against the guard on the plain path: the same replies, refusals, silences and counts."""

from typing import Any

import dns.edns
import dns.message
import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.authority import Authority, cyclic
from netstack.dns.compiled import CompiledAnswers
from netstack.dns.guard import Admitted, CookieRule, Guard
from netstack.dns.limits import ServerLimits
from netstack.dns.metrics import ServerMetrics
from netstack.dns.options import COOKIE, opt_at, option, without_cookie
from netstack.dns.passing import guarded_bypass
from netstack.sansio import Now
from tests.dns.test_compiled import LINES, zone_of

SECRET = bytes(range(16))
NAMES = (
    "www.foo.com",
    "WWW.Foo.com",
    "nowhere.foo.com",
    "big.foo.com",
    "x.sub.foo.com",
    "a.wild.foo.com",
    "foo.org",
    "foo.com",
)


class Server:
    """An authority and its guard, with a clock; on the short way where there is one."""

    def __init__(self, limits: ServerLimits, rule: CookieRule, short: bool) -> None:
        self.authority = Authority([zone_of("foo.com", LINES)], cyclic)
        self.guard = Guard(limits, rule, lambda: SECRET)
        self.time = 1000.0
        inner = CompiledAnswers(self.authority, ServerMetrics(), "1", 1 << 20)
        self.bypass = guarded_bypass(inner, self.guard, self.now) if short else None
        self.plainly = 0
        """Queries that took the plain path."""

    def now(self) -> Now:
        return Now(self.time, 1_700_000_000.0 + self.time)

    def ask(self, data: bytes, address: str) -> bytes | None:
        """What is sent to a client."""
        if self.bypass is not None:
            reply = self.bypass.answer(data, lambda: (address, 1))
            if reply is not None:
                return reply or None
        self.plainly += 1
        admitted = self.guard.admit(data, address, False, self.now())
        if not isinstance(admitted, Admitted):
            return admitted
        answer = self.authority.answer(data, False)
        return None if answer is None else self.guard.finish(admitted, answer.data, self.now())


def query(name: str, rdtype: str = "A", cookie: bytes | None = None, payload: int = 1232, more: bool = False) -> bytes:
    options = [] if cookie is None else [dns.edns.GenericOption(COOKIE, cookie)]
    if more:
        options.append(dns.edns.GenericOption(65001, b"x"))
    made = dns.message.make_query(name, rdtype, use_edns=0 if payload else False, payload=payload, options=options, id=7)
    return made.to_wire()


cookies = st.sampled_from((None, b"c" * 8, b"d" * 8, b"c" * 7, b"c" * 8 + b"s" * 16, b"c" * 24, b"c" * 41, "ours", "ours"))
asked = st.tuples(
    st.sampled_from(NAMES), st.sampled_from(("A", "TXT", "MX", "ANY")), cookies, st.sampled_from((0, 512, 1232, 4096)),
    st.sampled_from(("10.0.0.1", "10.0.0.2", "10.9.0.1", "2001:db8::1")), st.booleans(),
    st.sampled_from((0.0, 0.0, 0.1, 3.0, 2000.0)),
)  # fmt: skip


@given(
    st.sampled_from(("off", "on", "required")), st.sampled_from((0.0, 2.0)), st.sampled_from((0.0, 2.0)),
    st.integers(1, 3), st.lists(asked, max_size=20),
)  # fmt: skip
def test_the_short_way_says_what_the_plain_path_says(
    rule: CookieRule, clients: float, replies: float, slip: int, questions: list[Any]
) -> None:
    limits = ServerLimits(client_rate=clients, response_rate=replies, response_slip=slip)
    short, plain = Server(limits, rule, True), Server(limits, rule, False)
    given_before: bytes | None = None
    for name, rdtype, cookie, payload, address, more, passed in questions:
        short.time += passed
        plain.time += passed
        if cookie == "ours":
            cookie = given_before
        data = query(name, rdtype, cookie if payload else None, payload, more and bool(payload))
        expected = plain.ask(data, address)
        assert short.ask(data, address) == expected
        at = None if expected is None else opt_at(expected)
        if expected is not None and at is not None:
            given_before = option(expected, at, COOKIE) or given_before
        assert short.guard.counts == plain.guard.counts


@pytest.mark.parametrize("rates", [{}, {"client_rate": 1e6}, {"response_rate": 1e6}])
@pytest.mark.parametrize("cookie", [None, b"c" * 8, "ours"])
def test_common_questions_do_not_take_the_plain_path(rates: dict[str, float], cookie: Any) -> None:
    server = Server(ServerLimits(**rates), "on", True)
    if cookie == "ours":
        reply = server.ask(query("www.foo.com", cookie=b"c" * 8), "10.0.0.1")
        assert reply is not None
        cookie = option(reply, opt_at(reply) or 0, COOKIE)
    for name in NAMES:
        if name != "foo.org" or cookie is None:
            assert server.ask(query(name, cookie=cookie), "10.0.0.1") is not None
    assert server.plainly == 0


def test_a_client_that_asks_too_often_is_not_answered_and_nothing_is_looked_up() -> None:
    server = Server(ServerLimits(client_rate=2, response_slip=2), "on", True)
    replies = [server.ask(query("www.foo.com"), "10.0.0.1") for _ in range(6)]
    assert [None if reply is None else bool(reply[2] & 2) for reply in replies] == [False, False, None, True, None, True]
    assert server.plainly == 0
    assert server.ask(query("www.foo.com"), "10.0.0.2") is not None


def test_without_a_cookie() -> None:
    plain = query("www.foo.com")
    for length in (8, 16, 24, 40):
        assert without_cookie(query("www.foo.com", cookie=b"c" * length)) == (plain, b"c" * length)
    for data in (
        plain, query("www.foo.com", payload=0), query("www.foo.com", cookie=b"c" * 7),
        query("www.foo.com", cookie=b"c" * 12),
        query("www.foo.com", cookie=b"c" * 41), query("www.foo.com", cookie=b"c" * 8, more=True), b"", bytes(30),
        query("www.foo.com", cookie=b"c" * 8)[:-1], query("www.foo.com", cookie=b"c" * 8) + b"\0",
    ):  # fmt: skip
        assert without_cookie(data) is None


def test_cookies_that_are_remembered_are_bounded() -> None:
    guard = Guard(ServerLimits(), "on", lambda: SECRET)
    for number in range(25_000):
        guard.known(number.to_bytes(8, "big"), "10.0.0.1", Now(1.0, 1.0))
    assert len(guard._known) <= 10_000
