"""What the resolver does beyond RFC 1034's algorithm, each switch by itself, against servers that are whole and broken."""

from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import dns.edns
import dns.message
import dns.name
import pytest
from dns.message import Message
from dns.rcode import Rcode

from netstack.dns.hardening import HARDENED, TEXTBOOK, Hardening
from netstack.dns.limits import ResolverLimits
from netstack.dns.wire import TC
from tests.dns.internet import Answer, Internet, question, server, textbook, texts

GAIA = ["gaia.cs.umass.edu. A 10.1.0.1"]
SWITCHES = [field.name for field in fields(Hardening)]
NAMES = [
    ("gaia.cs.umass.edu", "A"), ("far.umass.edu", "A"), ("far.umass.edu", "CNAME"), ("www.enterprise.com", "MX"),
    ("lost.enterprise.com", "A"), ("a.b.nowhere.enterprise.com", "A"), ("enterprise.com", "AAAA"), ("nowhere", "A"),
    ("loop.umass.edu", "A"), ("www.glueless.edu", "A"), ("umass.edu", "NS"), ("umass.edu", "DS"), ("cs.umass.edu", "MX"),
    (".", "NS"), ("x.far.umass.edu", "A"), ("apricot.nyu.edu", "A"), ("x.apricot.nyu.edu", "TXT"),
]  # fmt: skip


def only(switch: str) -> Hardening:
    return replace(TEXTBOOK, **{switch: True})


def altered(answer: Answer, change: Any) -> Answer:
    """The server, with `change(query, reply)` made to each of its replies."""

    def change_reply(data: bytes, stream: bool) -> bytes | None:
        reply = answer(data, stream)
        if not isinstance(reply, bytes):
            return None
        message = dns.message.from_wire(reply)
        change(dns.message.from_wire(data), message)
        return message.to_wire()

    return change_reply


def silent(data: bytes, stream: bool) -> None:
    return None


def denying_empty_names(query: Message, reply: Message) -> None:
    """NXDOMAIN for a name that has others below it, as some servers say."""
    if not reply.answer and reply.rcode() == Rcode.NOERROR and reply.authority:
        reply.set_rcode(Rcode.NXDOMAIN)


def refusing_parts(query: Message, reply: Message) -> None:
    """REFUSED for all but whole names."""
    if not reply.answer:
        reply.set_rcode(Rcode.REFUSED)
        reply.authority = []


@pytest.mark.parametrize("hardening", [*map(only, SWITCHES), HARDENED], ids=[*SWITCHES, "all"])
def test_the_outcomes_are_the_same(hardening: Hardening) -> None:
    plain, hardened = Internet(textbook()), Internet(textbook(), hardening=hardening, seed=3)
    for _ in range(2):
        for name, rdtype in NAMES:
            want, have = plain.resolve(name, rdtype), hardened.resolve(name, rdtype)
            assert (have.rcode, texts(have)) == (want.rcode, texts(want)), name
            assert (have.soa is None) == (want.soa is None)


# Case


def test_the_case_of_questions_is_random() -> None:
    net = Internet(textbook(), hardening=only("mixed_case"))
    for number in range(30):
        net.resolve(f"gaia{number}.cs.umass.edu")
    asked = [summary.split()[1].rstrip("?") for _, summary in net.log]
    assert len({name[-9:] for name in asked}) > 20
    assert {name[-9:].lower() for name in asked} == {"umass.edu"}
    assert not any("tcp" in summary for _, summary in net.log)


def test_a_reply_in_another_case_leads_to_tcp() -> None:
    """The forger knows port and id, as after a long race; he does not know the case."""
    net = Internet(textbook(), hardening=only("mixed_case"))
    sound = net.servers["10.0.0.4"]

    def attacked(data: bytes, stream: bool) -> Any:
        if stream:
            return sound(data, stream)
        message = dns.message.make_response(dns.message.from_wire(data))
        message.flags |= 0x0400
        message.question[0].name = dns.name.from_text("gaia.cs.umass.edu")
        message.answer = [dns.rrset.from_text("gaia.cs.umass.edu.", 9, "IN", "A", "10.6.6.6")]
        return message.to_wire()

    net.servers["10.0.0.4"] = attacked
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.log[-1][1].lower() == "a gaia.cs.umass.edu? tcp"
    assert net.resolver.counts.doubtful == 1


def test_a_server_that_loses_the_case_is_asked_over_tcp_once() -> None:
    def lower(query: Message, reply: Message) -> None:
        reply.question[0].name = reply.question[0].name.canonicalize()

    servers = textbook()
    servers["10.0.0.4"] = altered(servers["10.0.0.4"], lower)
    net = Internet(servers, hardening=only("mixed_case"))
    for number in range(5):
        assert net.resolve(f"x{number}.cs.umass.edu").rcode == Rcode.NXDOMAIN
    assert [summary.endswith("tcp") for address, summary in net.log if address == "10.0.0.4"] == [
        False, True, False, False, False, False,
    ]  # fmt: skip


# Minimisation


def test_servers_are_told_no_more_than_they_need() -> None:
    net = Internet(textbook(), hardening=only("minimise"))
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.log == [
        ("10.0.0.1", "A edu?"),
        ("10.0.0.2", "A umass.edu?"),
        ("10.0.0.4", "A cs.umass.edu?"),
        ("10.0.0.4", "A gaia.cs.umass.edu?"),
    ]
    net.log.clear()
    net.resolve("gaia.cs.umass.edu", "TXT")
    assert net.log == [("10.0.0.4", "TXT gaia.cs.umass.edu?")]  # that cs.umass.edu exists is remembered


@pytest.mark.parametrize("change", [denying_empty_names, refusing_parts])
def test_servers_that_are_confused_by_parts_of_names(change: Any) -> None:
    servers = textbook()
    servers["10.0.0.4"] = altered(servers["10.0.0.4"], change)
    for hardening in (only("minimise"), HARDENED):
        net = Internet(servers, hardening=hardening)
        assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
        assert net.resolver.counts.lame == 0


def test_a_name_of_many_labels_costs_few_queries() -> None:
    net = Internet(textbook(), hardening=only("minimise"))
    assert net.resolve(".".join("a" * 100) + ".x.umass.edu").rcode == Rcode.NXDOMAIN
    assert len(net.log) <= 4
    deep = ".".join("a" * 100)
    net.servers["10.0.0.4"] = server(("umass.edu", f"@ NS dns\ndns A 10.0.0.4\n{deep} A 10.1.0.1\n"))
    net.resolver.flush()
    net.log.clear()
    assert net.resolve(deep + ".umass.edu").rcode == Rcode.NOERROR
    assert len(net.log) <= 2 + 11
    assert [len(line.split(".")) for _, line in net.log[:6]] == [1, 2, 3, 4, 21, 38]


def test_silent_servers_are_not_asked_twice_as_often() -> None:
    servers = textbook()
    servers["10.0.0.4"] = silent
    net = Internet(servers, hardening=only("minimise"))
    assert net.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL
    assert len(net.log) == 2 + 3


# Cookies


def with_cookies(answer: Answer, known: bytes = b"01234567", required: bool = False, seen: Any = None) -> Answer:
    """The server, sending a server cookie; `required`: BADCOOKIE without it."""

    def cook(query: Message, reply: Message) -> None:
        option = next((it for it in query.options if it.otype == dns.edns.OptionType.COOKIE), None)
        sent = b"" if option is None else option.to_wire()
        if seen is not None:
            seen.append(sent)
        if len(sent) >= 8:
            reply.use_edns(0, 0, 1232, options=[dns.edns.GenericOption(10, sent[:8] + known)])
            if required and sent[8:] != known:
                reply.answer, reply.authority, reply.additional = [], [], []
                reply.set_rcode(23)

    return altered(answer, cook)


def test_each_server_has_a_cookie_of_its_own() -> None:
    servers, seen = textbook(), {address: [] for address in textbook()}  # type: ignore[var-annotated]
    for address, answer in servers.items():
        servers[address] = with_cookies(answer, address.encode(), seen=seen[address])
    net = Internet(servers, hardening=only("cookies"))
    for number in range(3):
        net.resolve(f"x{number}.umass.edu")
    assert [len(cookie) for cookie in seen["10.0.0.4"]] == [8, 16, 16]
    assert seen["10.0.0.4"][1][8:] == b"10.0.0.4"
    assert len({cookies[0][:8] for cookies in seen.values() if cookies}) == 3


def test_a_server_that_requires_cookies() -> None:
    servers = textbook()
    servers["10.0.0.4"] = with_cookies(servers["10.0.0.4"], required=True)
    net = Internet(servers, hardening=only("cookies"))
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert [address for address, _ in net.log].count("10.0.0.4") == 2
    servers["10.0.0.4"] = with_cookies(textbook()["10.0.0.4"], b"restarted", required=True)
    net.resolver.cache.flush()
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA


def test_a_server_that_is_never_content_with_a_cookie() -> None:
    def refuse(query: Message, reply: Message) -> None:
        reply.answer = []
        reply.set_rcode(23)

    servers = textbook()
    servers["10.0.0.4"] = altered(servers["10.0.0.4"], refuse)
    net = Internet(servers, hardening=only("cookies"))
    assert net.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL
    assert len(net.log) <= 2 + 3


@pytest.mark.parametrize("forged", [None, b"99999999"])
def test_a_reply_without_the_cookie_is_not_believed(forged: bytes | None) -> None:
    net = Internet(textbook(), hardening=only("cookies"))
    sound = net.servers["10.0.0.4"] = with_cookies(net.servers["10.0.0.4"])
    net.resolve("x.umass.edu")

    def attacked(data: bytes, stream: bool) -> Any:
        if stream:
            return sound(data, stream)
        message = dns.message.make_response(dns.message.from_wire(data))
        message.flags |= 0x0400
        message.answer = [dns.rrset.from_text("gaia.cs.umass.edu.", 9, "IN", "A", "10.6.6.6")]
        if forged is not None:
            message.use_edns(0, 0, 1232, options=[dns.edns.GenericOption(10, forged * 2)])
        return [message.to_wire(), sound(data, stream)]

    net.servers["10.0.0.4"] = attacked
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert (net.resolver.counts.doubtful, net.resolver.counts.mismatched) == ((1, 0) if forged is None else (0, 1))


def test_a_server_that_stops_sending_cookies_is_still_heard() -> None:
    net = Internet(textbook(), hardening=only("cookies"))
    sound = net.servers["10.0.0.4"]
    net.servers["10.0.0.4"] = with_cookies(sound)
    net.resolve("x.umass.edu")
    net.servers["10.0.0.4"] = sound
    for name in ("y.umass.edu", "z.umass.edu"):
        assert net.resolve(name).rcode == Rcode.NXDOMAIN
    assert sum("tcp" in summary for _, summary in net.log) == 1


# Absence and failure


def test_below_what_does_not_exist_nothing_exists() -> None:
    for cut, queries in ((True, 0), (False, 1)):
        net = Internet(textbook(), hardening=replace(TEXTBOOK, nxdomain_cut=cut))
        net.resolve("nowhere.enterprise.com")
        net.log.clear()
        outcome = net.resolve("a.b.nowhere.enterprise.com")
        assert (outcome.rcode, len(net.log)) == (Rcode.NXDOMAIN, queries)
        assert outcome.soa is not None
        assert net.resolve("www.enterprise.com").rcode == Rcode.NOERROR


def test_a_failure_is_remembered_for_longer_each_time() -> None:
    servers = textbook()
    servers["10.0.0.4"] = silent
    net = Internet(servers, hardening=only("remember_failures"))
    tried = []
    began = net.now
    for _ in range(400):
        net.log.clear()
        outcome = net.resolve("gaia.cs.umass.edu")
        assert outcome.rcode == Rcode.SERVFAIL
        assert outcome.error is not None
        assert outcome.error.code == (22 if net.log else 13)
        if net.log:
            tried.append(net.now)
        net.now += 1
    pauses = [round(later - earlier) for earlier, later in pairwise(tried)]
    assert all(later > earlier for earlier, later in pairwise(pauses))
    assert 5 <= pauses[0] <= 20
    assert len(tried) <= 7
    assert net.now - began > 400
    net.servers["10.0.0.4"] = textbook()["10.0.0.4"]
    net.now += 300
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.resolve("apricot.nyu.edu").rcode == Rcode.NOERROR


# What has expired


def test_stale_answers_when_no_server_is_there() -> None:
    net = Internet(textbook(), hardening=only("serve_stale"))
    for name in ("gaia.cs.umass.edu", "nowhere.umass.edu", "far.umass.edu"):
        net.resolve(name)
    sound, net.servers = net.servers, {}
    net.now += 2 * 86400 + 3600
    asked = net.now
    outcome = net.resolve("gaia.cs.umass.edu")
    assert (texts(outcome), outcome.answer[0].ttl, outcome.error and outcome.error.code) == (GAIA, 30, 3)
    assert net.now - asked > 2  # the resolution went on
    absent = net.resolve("nowhere.umass.edu")
    assert absent.rcode == Rcode.SERVFAIL  # absence ended two days ago, which is too long
    far = net.resolve("far.umass.edu")
    assert [rrset.ttl for rrset in far.answer] == [30, 30, 30]
    net.servers = sound
    net.now += 600
    again = net.resolve("gaia.cs.umass.edu")
    assert (again.answer[0].ttl, again.error) == (2 * 86400, None)
    net.servers = {}
    net.now += 3 * 86400 + 1
    assert net.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL
    assert net.resolver.counts.stale == 2


def test_clients_do_not_wait_for_the_end_of_a_resolution() -> None:
    net = Internet(textbook(), hardening=only("serve_stale"))
    net.resolve("gaia.cs.umass.edu")
    net.servers = {}
    net.now += 2 * 86400 + 1
    answered: list[float] = []
    asked = net.now
    net.ask(question("gaia.cs.umass.edu"), "one")
    while not net.outcomes.get("one"):
        net.now = net.resolver.next_timer() or 0.0
        net.resolver.on_timer(net.now)
        net._carry_out()
        answered.append(net.now - asked)
    assert answered[-1] == pytest.approx(1.8)
    assert texts(net.outcomes["one"]) == GAIA
    net.run()


def test_without_the_switch_nothing_is_stale() -> None:
    net = Internet(textbook())
    net.resolve("gaia.cs.umass.edu")
    net.servers = {}
    net.now += 2 * 86400 + 1
    assert net.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL


# Prefetch


def test_popular_names_are_asked_for_before_they_expire() -> None:
    net = Internet(textbook(), hardening=only("prefetch"))
    net.resolve("gaia.cs.umass.edu")
    net.resolve("apricot.nyu.edu")
    net.now += 1.9 * 86400
    net.log.clear()
    for _ in range(3):
        assert net.resolve("gaia.cs.umass.edu").answer[0].ttl > 0
    net.resolve("apricot.nyu.edu")  # for the first time from the cache: it is not popular
    assert net.log == [("10.0.0.4", "A gaia.cs.umass.edu?")]
    assert net.resolver.counts.prefetches == 1
    net.now += 0.2 * 86400
    net.log.clear()
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.log == []


@pytest.mark.parametrize("hardening", [TEXTBOOK, only("prefetch"), replace(HARDENED, encrypt=False, follow_anchors=False)])
def test_a_zone_does_not_outlive_its_delegation(hardening: Hardening) -> None:
    """Whatever its own servers say of themselves: its parent decides how long they are asked ("ghost domains")."""
    servers = textbook()
    net = Internet(servers, hardening=hardening)
    assert net.resolve("gaia.cs.umass.edu").rcode == Rcode.NOERROR
    servers["10.0.0.2"] = server(("edu", "@ NS a.edu-servers.net.\n"))
    for hour in range(1, 72):
        net.now = 1000.0 + 3600 * hour - 60
        for name, rdtype in [("umass.edu", "NS"), ("dns.umass.edu", "A")] * 2:
            net.resolve(name, rdtype)
    net.now = 1000.0 + 3600 * 72
    assert net.resolve("new.umass.edu").rcode == Rcode.NXDOMAIN
    assert net.log[-1][0] == "10.0.0.2"


def test_a_prefetch_does_not_make_clients_wait() -> None:
    net = Internet(textbook(), hardening=only("prefetch"))
    net.resolve("gaia.cs.umass.edu")
    net.now += 1.95 * 86400
    net.servers = {}
    net.resolve("gaia.cs.umass.edu")
    net.log.clear()
    for waiter in range(5):
        net.ask(question("gaia.cs.umass.edu"), waiter)
        assert texts(net.outcomes[waiter]) == GAIA
    assert len(net.log) == 1
    net.run()


# Bounds


def test_name_servers_looked_up_for_one_question_are_bounded() -> None:
    """Each of the names leads to a zone whose servers have no addresses either."""

    def endless(data: bytes, stream: bool) -> bytes:
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        cut = dns.name.Name(query.question[0].name.labels[-3:])
        for number in range(20):
            name = f"ns{number}.{len(net.log)}-{number}.com."
            reply.authority.append(dns.rrset.from_text(cut, 60, "IN", "NS", name))
        return reply.to_wire()

    servers = textbook()
    servers["10.0.0.3"] = endless
    net = Internet(servers, hardening=HARDENED, limits=ResolverLimits(hosts=7, queries=1000))
    assert net.resolve("www.victim.com").rcode == Rcode.SERVFAIL
    assert len(net.log) < 7 * 4


# Forwarding


def forwarder(data: bytes, stream: bool) -> bytes | None:
    """A recursive server with an Internet of its own."""
    query = dns.message.from_wire(data)
    outcome = Internet(textbook()).resolve(query.question[0].name.to_text(), query.question[0].rdtype.name)
    reply = dns.message.make_response(query, recursion_available=True)
    reply.set_rcode(outcome.rcode)
    reply.answer = list(outcome.answer)
    reply.authority = [outcome.soa] if outcome.soa is not None else []
    return reply.to_wire()


def test_a_forwarder_does_the_work() -> None:
    plain = Internet(textbook())
    for hardening in (TEXTBOOK, HARDENED):
        net = Internet({"10.9.9.9": forwarder}, hints=(), forward={dns.name.root: ["10.9.9.9"]}, hardening=hardening)
        for name, rdtype in NAMES:
            want, have = plain.resolve(name, rdtype), net.resolve(name, rdtype)
            assert (have.rcode, texts(have)) == (want.rcode, texts(want)), name
        net.log.clear()
        net.resolve("gaia.cs.umass.edu")
        assert net.log == []


def test_the_nearest_forward_zone_counts_and_the_rest_is_resolved() -> None:
    servers = textbook()
    servers["10.9.9.9"] = forwarder
    net = Internet(servers, forward={dns.name.from_text("umass.edu"): ["10.9.9.9"]})
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.log == [("10.9.9.9", "A gaia.cs.umass.edu?")]
    net.log.clear()
    net.resolve("apricot.nyu.edu")
    assert [address for address, _ in net.log] == ["10.0.0.1", "10.0.0.2", "10.0.0.6"]


def test_forwarders_that_are_of_no_use() -> None:
    def truncating(data: bytes, stream: bool) -> bytes | None:
        if stream:
            return forwarder(data, stream)
        reply = dns.message.make_response(dns.message.from_wire(data), recursion_available=True)
        reply.flags |= TC
        return reply.to_wire()

    unwilling = textbook()["10.0.0.1"]
    everywhere = {"10.9.9.9": truncating, "10.9.9.8": unwilling, "10.9.9.7": silent}
    for seed in range(4):
        net = Internet(everywhere, seed=seed, hints=(), forward={dns.name.root: list(everywhere)})
        assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    net = Internet({"10.9.9.8": unwilling}, hints=(), forward={dns.name.root: ["10.9.9.8"]})
    outcome = net.resolve("gaia.cs.umass.edu")
    assert outcome.error is not None
    assert (outcome.rcode, outcome.error.code) == (Rcode.SERVFAIL, 22)
