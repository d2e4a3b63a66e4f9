"""The resolver's short way for what its cache has, against the plain path, octet for octet, in virtual time."""

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import dns.edns
import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.dns.hardening import HARDENED, TEXTBOOK, Hardening
from netstack.dns.kept import TRUSTED, KeptAnswers
from netstack.dns.metrics import ServerMetrics
from netstack.dns.padding import query_on_stream
from netstack.dns.recursion import RecursiveAnswers
from netstack.dns.wire import Question
from tests.dns.internet import Answer, Internet, server

CLIENT = ("127.0.0.9", 4000)


def servers() -> dict[str, Answer]:
    """A root that knows all: short and long TTLs, aliases, sets of records, what does not exist."""
    return {
        "10.0.0.1": server(
            (
                ".",
                "@ NS a.root-servers.net.\na.root-servers.net. A 10.0.0.1\n"
                "one. 100 A 10.1.0.1\nthree. 70 A 10.1.0.1\nthree. 70 A 10.1.0.2\nthree. 70 A 10.1.0.3\n"
                "alias. 30 CNAME three.\nlong. 7d MX 10 one.\nlong. 7d MX 20 three.\nwWw.Case. 50 CNAME one.cAse.\n"
                "one.case. 60 A 10.1.0.9\nzero. 0 A 10.1.0.8\nout. 90 CNAME nowhere.\nloop. CNAME loop.\n"
                + "".join(f"big. 80 TXT {'x' * 200}{n}\n" for n in range(9)),
            )
        )
    }


class Resolver:
    """A resolver's role over an Internet in memory."""

    def __init__(self, hardening: Hardening = HARDENED, limit: int = 1 << 20) -> None:
        self.internet = Internet(servers(), hardening=hardening)
        self.metrics = ServerMetrics()
        recursor = self.internet.resolver
        recursion: Any = SimpleNamespace(
            machine=SimpleNamespace(reactor=SimpleNamespace(seconds=lambda: self.internet.now)),
            recursor=recursor,
            limits=recursor.limits,
            ask=self._ask,
        )
        self.answers = RecursiveAnswers(recursion, [ip_network("127.0.0.0/8")], self.metrics, 1232)
        self.kept = self.answers.keep(limit)
        self.bypass = KeptAnswers(self.kept, "1")

    def _ask(self, question: Question, answered: Any, checking_disabled: bool = False) -> None:
        waiter = object()
        self.internet.ask(question, waiter)
        self.internet.run()
        answered(self.internet.outcomes[waiter])

    def plain(self, data: bytes, source: tuple[str, int] = CLIENT) -> bytes | None:
        replies: list[bytes | None] = []
        self.answers.answer(data, source[0], "udp", replies.append)
        (reply,) = replies
        return reply

    def stream(self, data: bytes, source: tuple[str, int] = CLIENT) -> bytes | None:
        """Over TLS."""
        replies: list[bytes | None] = []
        self.answers.answer(data, source[0], "tls", replies.append)
        (reply,) = replies
        return reply

    def short(self, data: bytes, source: tuple[str, int] = CLIENT) -> bytes | None:
        return self.bypass.answer(data, lambda: source)

    def ask(self, data: bytes, source: tuple[str, int] = CLIENT) -> bytes | None:
        reply = self.short(data, source)
        return self.plain(data, source) if reply is None else reply


def query(name: str, rdtype: str = "A", **options: Any) -> bytes:
    return dns.message.make_query(name, rdtype, **options).to_wire()


NAMES = ("one.", "three.", "alias.", "ALIAS.", "long.", "www.case.", "WWW.CASE.", "zero.", "out.", "loop.", "big.", "none.")
steps = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(("A", "A", "A", "MX", "TXT", "CNAME", "ANY")),
    st.sampled_from((False, False, 0)),
    st.sampled_from((0x0100, 0x0100, 0x0100, 0, 0x0110, 0x0120)),
    st.sampled_from(("127.0.0.9", "127.0.0.9", "127.0.0.9", "10.9.9.9")),
    st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 100)),
    st.booleans(),
    st.sampled_from((False, False, True)),
)


@settings(deadline=None)
@given(st.sampled_from((HARDENED, TEXTBOOK)), st.lists(steps, max_size=25), st.integers(0, 40))
def test_replies_are_those_of_the_plain_path(hardening: Hardening, asked: list[Any], flush: int) -> None:
    resolver, oracle = Resolver(hardening), Resolver(hardening)
    oracle.answers.kept = None
    for number, (name, rdtype, edns, flags, client, later, twice, stream) in enumerate(asked):
        if number == flush:
            resolver.internet.resolver.flush()
            oracle.internet.resolver.flush()
        for _ in range(1 + twice):
            data = query(name, rdtype, use_edns=edns, flags=flags, id=number)
            if stream:
                padded = data if edns is False else query_on_stream(data, secure=True)
                assert resolver.stream(padded, (client, 5)) == oracle.stream(data, (client, 5))
            else:
                assert resolver.ask(data, (client, 5)) == oracle.plain(data, (client, 5))
        resolver.internet.now += later
        oracle.internet.now += later
    resolver.metrics.fold()
    assert resolver.metrics.requests == oracle.metrics.requests
    assert resolver.metrics.responses == oracle.metrics.responses
    assert resolver.internet.resolver.counts == oracle.internet.resolver.counts
    assert resolver.internet.log == oracle.internet.log


@pytest.mark.parametrize(
    ("name", "rdtype"), [("one.", "A"), ("alias.", "A"), ("none.", "A"), ("one.", "MX"), ("long.", "MX")]
)
@pytest.mark.parametrize("options", [{}, {"use_edns": 0, "payload": 4096}, {"want_dnssec": True}])
def test_what_the_cache_has_takes_the_short_way(name: str, rdtype: str, options: dict[str, Any]) -> None:
    resolver = Resolver()
    data = query(name, rdtype, **options)
    assert resolver.short(data) is None
    asked = resolver.plain(data)
    assert resolver.short(data) is None  # it was not the cache that knew
    for _ in range(3):
        resolver.plain(data)  # each record is first once
    resolver.internet.now += 2.5
    short = resolver.short(data.replace(name[:-1].encode(), name[:-1].upper().encode()))
    assert asked is not None
    assert short is not None
    first, later = dns.message.from_wire(asked), dns.message.from_wire(short)
    assert later.question[0].name.to_text() == name.upper()
    before, after = (sorted(rrset.ttl for rrset in it.answer + it.authority) for it in (first, later))
    assert [ttl - 3 for ttl in before] == after
    assert {str(rdata) for rrset in first.answer for rdata in rrset} == {
        str(rdata) for rrset in later.answer for rdata in rrset
    }


def warm(name: str = "one.", hardening: Hardening = TEXTBOOK) -> tuple[Resolver, bytes]:
    resolver, data = Resolver(hardening), query(name)
    for _ in range(4):
        resolver.plain(data)
    assert resolver.short(data) is not None
    return resolver, data


def test_strangers_are_left_to_the_plain_path() -> None:
    resolver, data = warm()
    assert resolver.short(data, ("10.9.9.9", 1)) is None
    assert resolver.short(data, ("10.9.9.9", 1)) is None
    assert resolver.short(data) is not None


def test_what_is_flushed_replaced_or_pushed_out_is_not_given_again() -> None:
    resolver, data = warm()
    resolver.internet.resolver.flush()
    assert resolver.short(data) is None
    resolver, data = warm()
    cache = resolver.internet.resolver.cache
    entry = next(it for key, it in cache._entries.items() if key[0].to_text() == "one.")
    cache.limit = 0
    cache.put(query_name := dns.message.from_wire(query("x.")).question[0].name, 1, entry, resolver.internet.now)
    assert len(cache) == 0
    assert query_name.to_text() == "x."
    assert resolver.short(data) is None


def test_the_plain_path_sees_each_question_now_and_then() -> None:
    resolver, data = warm("long.")
    data = query("one.")
    resolver.plain(data)
    resolver.plain(data)
    resolver.internet.now += TRUSTED - 0.1
    assert resolver.short(data) is not None
    resolver.internet.now += 0.2
    assert resolver.short(data) is None
    resolver.plain(data)
    assert resolver.short(data) is not None


def test_what_is_to_be_fetched_anew_is_seen_by_the_plain_path() -> None:
    resolver, data = warm("alias.", HARDENED)  # 30 s, of which the last 3 are for prefetching
    resolver.internet.now += 26.5
    assert resolver.short(data) is not None
    resolver.internet.now += 1
    assert resolver.short(data) is None
    resolver.plain(data)
    assert resolver.internet.resolver.counts.prefetches == 1


def test_what_is_kept_is_bounded() -> None:
    resolver = Resolver(limit=20_000)
    for number in range(200):
        for _ in range(2):
            resolver.plain(query(f"x{number}."))
        assert len(resolver.kept.memo) < 40


def test_forms_of_one_question_are_bounded() -> None:
    resolver = Resolver()
    forms = [query("one.", use_edns=0, payload=600 + number) for number in range(60)]
    resolver.plain(forms[0])
    for data in forms:
        resolver.plain(data)
    assert sum(resolver.short(data) is not None for data in forms) == 32
    resolver.internet.now += 50
    resolver.plain(query("alias."))
    assert resolver.short(forms[0]) is not None
    resolver.internet.resolver.flush()
    assert [resolver.short(data) for data in forms] == [None] * 60


def test_a_reply_to_a_client_with_a_cookie_is_kept_for_all() -> None:
    resolver = Resolver()
    cookie = dns.edns.GenericOption(10, b"12345678")
    with_cookie, without = query("one.", use_edns=0, options=[cookie], id=5), query("one.", use_edns=0, id=5)
    resolver.plain(with_cookie)
    resolver.plain(with_cookie)
    assert resolver.short(with_cookie) is None  # the guard gives it without
    assert resolver.short(without) == resolver.plain(without)
