"""The resolver's engine against an Internet of zones in memory, whole and broken."""

from collections import Counter
from collections.abc import Callable

import dns.message
import dns.name
import pytest
from dns.message import Message
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.limits import ResolverLimits
from netstack.dns.wire import AA, TC
from tests.dns.internet import Answer, Internet, question, server, textbook, texts

GAIA = ["gaia.cs.umass.edu. A 10.1.0.1"]


def altered(answer: Answer, change: Callable[[Message], object]) -> Answer:
    """The server, with a change made to each of its replies."""

    def change_reply(data: bytes, stream: bool) -> bytes | None:
        reply = answer(data, stream)
        if not isinstance(reply, bytes):
            return None
        message = dns.message.from_wire(reply)
        change(message)
        return message.to_wire()

    return change_reply


def silent(data: bytes, stream: bool) -> None:
    return None


def refusing(rcode: Rcode) -> Answer:
    def refuse(data: bytes, stream: bool) -> bytes:
        message = dns.message.make_response(dns.message.from_wire(data))
        message.set_rcode(rcode)
        return message.to_wire()

    return refuse


def two_servers(first: Answer) -> dict[str, Answer]:
    """umass.edu on two servers: the first as given, the second sound."""
    servers = textbook()
    both = "umass NS dns.umass\numass NS dns2.umass\ndns.umass A 10.0.0.4\ndns2.umass A 10.0.0.44\n"
    servers["10.0.0.2"] = server(("edu", "@ NS a.edu-servers.net.\n" + both))
    servers["10.0.0.44"] = servers["10.0.0.4"]
    servers["10.0.0.4"] = first
    return servers


def test_the_chapters_figure() -> None:
    net = Internet(textbook())
    outcome = net.resolve("gaia.cs.umass.edu")
    assert texts(outcome) == GAIA
    assert net.log == [
        ("10.0.0.1", "A gaia.cs.umass.edu?"),
        ("10.0.0.2", "A gaia.cs.umass.edu?"),
        ("10.0.0.4", "A gaia.cs.umass.edu?"),
    ]
    assert outcome.answer[0].ttl == 2 * 86400


def test_what_was_learned_is_not_asked_again() -> None:
    net = Internet(textbook())
    net.resolve("gaia.cs.umass.edu")
    net.log.clear()
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.log == []
    net.resolve("apricot.nyu.edu")
    assert [address for address, _ in net.log] == ["10.0.0.2", "10.0.0.6"]  # the TLD is known: no root
    net.now += 2 * 86400
    net.log.clear()
    net.resolve("gaia.cs.umass.edu")
    assert len(net.log) == 3  # all has ended


def test_the_ttl_counts_down() -> None:
    net = Internet(textbook())
    net.resolve("gaia.cs.umass.edu")
    net.now += 1000
    assert net.resolve("gaia.cs.umass.edu").answer[0].ttl == 2 * 86400 - 1000


@pytest.mark.parametrize(
    ("rotate", "firsts"), [(True, {"10.1.1.1": 20, "10.1.1.2": 20, "10.1.1.3": 20}), (False, {"10.1.1.1": 60})]
)
def test_cached_addresses_are_first_in_turn(rotate: bool, firsts: dict[str, int]) -> None:
    servers = textbook()
    servers["10.0.0.4"] = server(("umass.edu", "@ NS dns\ncnn A 10.1.1.1\ncnn A 10.1.1.2\ncnn A 10.1.1.3\n"))
    net = Internet(servers, rotate=rotate)
    assert Counter(net.resolve("cnn.umass.edu").answer[0][0].address for _ in range(60)) == firsts
    assert len(net.log) == 3


def test_flush_makes_it_cold() -> None:
    net = Internet(textbook())
    net.resolve("gaia.cs.umass.edu")
    net.resolver.flush()
    net.log.clear()
    net.resolve("gaia.cs.umass.edu")
    assert len(net.log) == 3


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode", "answer", "queries"),
    [
        ("far.umass.edu", "A", "NOERROR",
         ["far.umass.edu. CNAME www.enterprise.com.", "www.enterprise.com. CNAME relay1.west-coast.enterprise.com.",
          "relay1.west-coast.enterprise.com. A 10.1.0.2"], 6),
        ("far.umass.edu", "CNAME", "NOERROR", ["far.umass.edu. CNAME www.enterprise.com."], 3),
        ("www.enterprise.com", "MX", "NOERROR", ["www.enterprise.com. CNAME relay1.west-coast.enterprise.com."], 3),
        ("lost.enterprise.com", "A", "NXDOMAIN", ["lost.enterprise.com. CNAME nowhere.enterprise.com."], 3),
        ("nowhere.enterprise.com", "A", "NXDOMAIN", [], 3),
        ("enterprise.com", "AAAA", "NOERROR", [], 3),
        ("nowhere", "A", "NXDOMAIN", [], 1),
        ("loop.umass.edu", "A", "SERVFAIL", [], 3),
        ("www.glueless.edu", "A", "NOERROR", ["www.glueless.edu. A 10.1.0.3"], 6),
        ("umass.edu", "NS", "NOERROR", ["umass.edu. NS dns.umass.edu."], 3),
        ("dns.umass.edu", "A", "NOERROR", ["dns.umass.edu. A 10.0.0.4"], 3),
        ("umass.edu", "DS", "NOERROR", [], 2),
        (".", "NS", "NOERROR", [". NS a.root-servers.net."], 1),
    ],
)  # fmt: skip
def test_resolutions(name: str, rdtype: str, rcode: str, answer: list[str], queries: int) -> None:
    net = Internet(textbook())
    for expected in (queries, None):
        net.log.clear()
        outcome = net.resolve(name, rdtype)
        assert (outcome.rcode.name, texts(outcome)) == (rcode, answer)
        if expected is not None:
            assert len(net.log) == expected
        elif rcode != "SERVFAIL":
            assert net.log == []  # absence and aliases are remembered too


def test_absence_ends_with_the_soas_minimum() -> None:
    net = Internet(textbook())
    outcome = net.resolve("nowhere.enterprise.com")
    assert outcome.soa is not None
    assert outcome.soa.ttl == 3600
    net.resolve("nowhere.enterprise.com", "MX")
    assert len(net.log) == 3  # NXDOMAIN holds for all types
    net.now += 3600
    net.resolve("nowhere.enterprise.com")
    assert len(net.log) == 4


def test_one_server_of_two_is_silent() -> None:
    for seed in range(6):
        net = Internet(two_servers(silent), seed=seed)
        assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
        net.resolver.cache.flush()
        net.resolve("gaia.cs.umass.edu")
        net.resolver.cache.flush()
        net.resolve("gaia.cs.umass.edu")
        assert [address for address, _ in net.log].count("10.0.0.4") == 1  # tried once; then the quick one is asked


@pytest.mark.parametrize(
    "fault",
    [
        refusing(Rcode.REFUSED),
        refusing(Rcode.SERVFAIL),
        refusing(Rcode.NOTAUTH),
        refusing(Rcode.FORMERR),
        refusing(Rcode.NOERROR),  # nothing, without authority
        lambda data, stream: data[:2] + b"\x84\0" + bytes(3),  # nonsense
        altered(textbook()["10.0.0.4"], lambda message: setattr(message, "flags", message.flags & ~AA)),
        server((".", "@ NS a.root-servers.net.\nedu. NS a.edu-servers.net.\n")),  # refers upwards
        server(("edu", "@ NS a.edu-servers.net.\numass NS dns.umass\n")),  # refers to itself
    ],
)
def test_one_server_of_two_is_lame(fault: Answer) -> None:
    for seed in range(6):
        net = Internet(two_servers(fault), seed=seed)
        assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
        assert net.now < 1001.0  # without waiting for a time-out


def test_a_lame_server_is_not_asked_again_soon() -> None:
    net = Internet(two_servers(refusing(Rcode.REFUSED)), limits=ResolverLimits(max_ttl=10))
    for _ in range(6):
        net.now += 9
        assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert [address for address, _ in net.log].count("10.0.0.4") <= 1


def test_a_server_that_fails_at_one_name_is_asked_for_others() -> None:
    net = Internet(textbook())
    assert net.resolve("loop.umass.edu").rcode == Rcode.SERVFAIL
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.resolver.counts.lame == 0


def test_all_servers_silent() -> None:
    servers = textbook()
    servers["10.0.0.4"] = silent
    net = Internet(servers)
    assert net.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL
    assert len(net.log) == 2 + 3
    assert net.now - 1000 < 15.1


def test_a_slow_server_is_waited_for() -> None:
    net = Internet(textbook(), delay=3.0, limits=ResolverLimits(deadline=60))
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA  # the late reply to the first try counts


def test_truncation_leads_to_tcp() -> None:
    servers = textbook()
    sound = servers["10.0.0.4"]

    def cut(message: Message) -> None:
        message.answer = []
        message.flags |= TC

    def truncate(data: bytes, stream: bool) -> bytes | list[bytes] | None:
        return sound(data, stream) if stream else altered(sound, cut)(data, stream)

    servers["10.0.0.4"] = truncate
    net = Internet(servers)
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.log[2:] == [("10.0.0.4", "A gaia.cs.umass.edu?"), ("10.0.0.4", "A gaia.cs.umass.edu? tcp")]


def test_a_server_without_edns() -> None:
    servers = textbook()
    sound = servers["10.0.0.4"]

    def plain(data: bytes, stream: bool) -> bytes | list[bytes] | None:
        if dns.message.from_wire(data).edns >= 0:
            return data[:2] + b"\x80\1" + bytes(8)
        return sound(data, stream)

    servers["10.0.0.4"] = plain
    net = Internet(servers)
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    net.resolve("far.umass.edu", "CNAME")
    assert [address for address, _ in net.log].count("10.0.0.4") == 3  # remembered


def poison(message: Message) -> None:
    """What a server of edu has no say in."""
    name = dns.name.from_text
    message.authority.append(dns.rrset.from_text(name("enterprise.com"), 9, "IN", "NS", "evil.edu."))
    message.additional.append(dns.rrset.from_text(name("dns.enterprise.com"), 9, "IN", "A", "10.6.6.6"))
    message.additional.append(dns.rrset.from_text(name("a.root-servers.net"), 9, "IN", "A", "10.6.6.6"))
    message.additional.append(dns.rrset.from_text(name("unasked.edu"), 9, "IN", "A", "10.6.6.6"))


def test_nothing_is_learned_from_outside_the_bailiwick() -> None:
    servers = textbook()
    servers["10.0.0.2"] = altered(servers["10.0.0.2"], poison)
    servers["10.0.0.4"] = altered(servers["10.0.0.4"], poison)
    net = Internet(servers)
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert texts(net.resolve("enterprise.com")) == ["enterprise.com. A 10.1.0.9"]
    assert "10.6.6.6" not in {address for address, _ in net.log}
    assert net.resolve("unasked.edu").rcode == Rcode.NXDOMAIN


@pytest.mark.parametrize("rdtype", ["TYPE0", "TYPE65535", "CNAME", "TYPE128", "NSEC"])
def test_no_type_stands_for_others(rdtype: str) -> None:
    servers = textbook()
    servers["10.0.0.5"] = server(
        ("enterprise.com", "@ NS dns\n@ A 10.1.0.9\ndns A 10.0.0.5\nodd TYPE0 \\# 1 00\nodd A 10.1.0.8\n")
    )
    net = Internet(servers)
    for name in ("gaia.cs.umass.edu", "odd.enterprise.com"):
        assert net.resolve(name, rdtype).rcode == Rcode.NOERROR
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert texts(net.resolve("odd.enterprise.com")) == ["odd.enterprise.com. A 10.1.0.8"]


def test_glue_is_no_answer() -> None:
    servers = textbook()
    servers["10.0.0.2"] = server(("edu", "@ NS a.edu-servers.net.\numass NS dns.umass\ndns.umass A 10.0.0.4\n"))
    servers["10.0.0.4"] = server(("umass.edu", "@ NS dns\ndns A 10.0.0.99\ngaia.cs A 10.1.0.1\n"))
    net = Internet(servers)
    net.resolve("gaia.cs.umass.edu")
    assert texts(net.resolve("dns.umass.edu")) == ["dns.umass.edu. A 10.0.0.99"]


@pytest.mark.parametrize("forge", ["identity", "question", "source"])
def test_forged_replies_do_not_count(forge: str) -> None:
    net = Internet(textbook())
    sound = net.servers["10.0.0.4"]

    def attacked(data: bytes, stream: bool) -> list[bytes]:
        reply = sound(data, stream)
        assert isinstance(reply, bytes)
        message = dns.message.from_wire(reply)
        message.answer = [dns.rrset.from_text(message.question[0].name, 9, "IN", "A", "10.6.6.6")]
        if forge == "identity":
            message.id ^= 1
        elif forge == "question":
            message.question = [dns.rrset.RRset(dns.name.from_text("x.umass.edu"), 1, 1)]
        return [message.to_wire()] * 5 + [reply]

    net.servers["10.0.0.4"] = attacked
    if forge == "source":
        deliver = net.resolver.receive

        def elsewhere(key: int, data: bytes, source: tuple[str, int], now: float) -> None:
            forged = b"\x0a\x06\x06\x06" in data
            deliver(key, data, ("10.6.6.6", 53) if forged else source, now)

        net.resolver.receive = elsewhere  # type: ignore[method-assign]
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.resolver.counts.mismatched == 5


def test_many_forged_replies_lead_to_tcp() -> None:
    net = Internet(textbook())
    sound = net.servers["10.0.0.4"]

    def flooded(data: bytes, stream: bool) -> list[bytes] | bytes | None:
        if stream:
            return sound(data, stream)
        return [bytes([data[0] ^ 1]) + data[1:2] + b"\x84\0" + data[4:]] * 50

    net.servers["10.0.0.4"] = flooded
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.log[-1] == ("10.0.0.4", "A gaia.cs.umass.edu? tcp")


def test_ids_are_not_repeated() -> None:
    seen = []
    servers = textbook()
    for address, answer in servers.items():
        servers[address] = lambda data, stream, answer=answer: seen.append(data[:2]) or answer(data, stream)
    net = Internet(servers)
    for number in range(60):
        net.resolve(f"x{number}.umass.edu")
    assert len(set(seen)) > 55


def test_equal_questions_share_the_queries() -> None:
    net = Internet(textbook())
    for waiter in range(50):
        net.ask(question("Gaia.cs.umass.edu" if waiter % 2 else "gaia.cs.umass.edu"), waiter)
    net.run()
    assert len(net.log) == 3
    assert {tuple(texts(outcome)) for outcome in net.outcomes.values()} == {tuple(GAIA)}
    assert len(net.outcomes) == 50


def test_name_servers_that_need_each_other() -> None:
    servers = textbook()
    servers["10.0.0.3"] = server(
        ("com", "@ NS a.gtld-servers.net.\nchicken NS ns.egg\negg NS ns.chicken\n"),
        ("net", "@ NS a.gtld-servers.net.\na.gtld-servers A 10.0.0.3\n"),
    )
    net = Internet(servers)
    assert net.resolve("www.chicken.com").rcode == Rcode.SERVFAIL
    assert len(net.log) < 10
    for waiter, name in enumerate(("www.chicken.com", "www.egg.com")):
        net.ask(question(name), waiter)
    net.run()
    assert [net.outcomes[waiter].rcode for waiter in range(2)] == [Rcode.SERVFAIL] * 2
    assert net.now < 1005


def test_a_delegation_to_many_names_costs_little() -> None:
    """NXNSAttack: a referral that names many servers without addresses, each of which would cost queries."""
    servers = textbook()
    servers["10.0.0.2"] = server(
        ("edu", "@ NS a.edu-servers.net.\n" + "".join(f"victim NS ns{n}.nowhere{n}.com.\n" for n in range(100)))
    )
    net = Internet(servers)
    assert net.resolve("x.victim.edu").rcode == Rcode.SERVFAIL
    assert len(net.log) < 15


def test_a_chain_without_end_costs_little() -> None:
    def endless(data: bytes, stream: bool) -> bytes:
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        reply.flags |= AA
        name = query.question[0].name
        target = dns.name.Name((b"x%d" % (len(name.labels[0]) % 7), *name.labels))
        reply.answer = [dns.rrset.from_text(name, 60, "IN", "CNAME", target.to_text())]
        return reply.to_wire()

    servers = textbook()
    servers["10.0.0.4"] = endless
    net = Internet(servers)
    assert net.resolve("a.umass.edu").rcode == Rcode.SERVFAIL
    assert len(net.log) < 20


def test_a_tower_of_referrals_costs_no_more_than_the_budget() -> None:
    def deeper(data: bytes, stream: bool) -> bytes:
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        name = query.question[0].name
        labels = name.labels[-(2 + len(net.log)) :]
        cut = dns.name.Name(labels)
        reply.authority = [dns.rrset.from_text(cut, 60, "IN", "NS", "ns." + cut.to_text())]
        reply.additional = [dns.rrset.from_text("ns." + cut.to_text(), 60, "IN", "A", "10.0.0.1")]
        return reply.to_wire()

    net = Internet({"10.0.0.1": deeper}, limits=ResolverLimits(queries=10))
    assert net.resolve(".".join("a" * 100)).rcode == Rcode.SERVFAIL
    assert len(net.log) == 10


def test_too_many_at_once_are_turned_away() -> None:
    net = Internet(textbook(), limits=ResolverLimits(resolutions=5))
    for waiter in range(20):
        net.ask(question(f"x{waiter}.umass.edu"), waiter)
    net.run()
    rcodes = [net.outcomes[waiter].rcode.name for waiter in range(20)]
    assert (rcodes.count("NXDOMAIN"), rcodes.count("SERVFAIL")) == (5, 15)
    assert net.most_open == 5


def test_what_is_remembered_is_given_however_many_wait() -> None:
    net = Internet(textbook(), limits=ResolverLimits(resolutions=5))
    net.resolve("gaia.cs.umass.edu")
    for waiter in range(20):
        net.ask(question(f"x{waiter}.umass.edu"), waiter)
    net.ask(question("gaia.cs.umass.edu"), "gaia")
    assert texts(net.outcomes["gaia"]) == GAIA
    net.run()


def test_a_tiny_cache_still_resolves() -> None:
    net = Internet(textbook(), limits=ResolverLimits(cache_entries=1))
    for name in ("gaia.cs.umass.edu", "far.umass.edu", "www.glueless.edu"):
        assert net.resolve(name).rcode == Rcode.NOERROR
    assert len(net.resolver.cache) == 1


def test_ttl_zero_answers_are_given_and_forgotten() -> None:
    servers = textbook()
    servers["10.0.0.4"] = altered(
        servers["10.0.0.4"], lambda message: [setattr(rrset, "ttl", 0) for rrset in message.answer]
    )
    net = Internet(servers)
    for expected in (3, 1):
        net.log.clear()
        assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
        assert len(net.log) == expected


def test_expired_glue_leads_back_to_the_parent() -> None:
    servers = textbook()
    servers["10.0.0.2"] = altered(
        servers["10.0.0.2"], lambda message: [setattr(rrset, "ttl", 10) for rrset in message.additional]
    )
    net = Internet(servers)
    net.resolve("gaia.cs.umass.edu")
    net.now += 11
    net.log.clear()
    assert net.resolve("far.umass.edu", "CNAME").rcode == Rcode.NOERROR
    assert [address for address, _ in net.log] == ["10.0.0.2", "10.0.0.4"]


def test_priming_asks_the_hints_for_the_roots_servers() -> None:
    net = Internet(textbook(), priming=True, hints=(("old.root-servers.net", "10.0.0.1"),))
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.log[0] == ("10.0.0.1", "NS .?")
    net.resolve("x.com")
    assert [line for _, line in net.log].count("NS .?") == 1


def test_addresses_of_both_families() -> None:
    servers = textbook()
    servers["10.0.0.1"] = server((".", "@ NS a.root.\na.root. AAAA 2001:db8::1\nx. NS ns.x.\nns.x. AAAA 2001:db8::2\n"))
    servers["2001:db8::1"] = servers["10.0.0.1"]
    servers["2001:db8::2"] = server(("x", "@ NS ns\nns AAAA 2001:db8::2\n@ A 10.1.0.1\n"))
    net = Internet(servers, address_types=(RdataType.A, RdataType.AAAA), hints=(("a.root", "2001:db8::1"),))
    assert texts(net.resolve("x")) == ["x. A 10.1.0.1"]
    v4 = Internet(servers)
    assert v4.resolve("x").rcode == Rcode.SERVFAIL


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 3))
def test_damaged_replies_never_break_it(flips: list[tuple[int, int]], hop: int) -> None:
    servers = textbook()
    for address, answer in servers.items():

        def damage(data: bytes, stream: bool, answer: Answer = answer) -> bytes | None:
            reply = answer(data, stream)
            if not isinstance(reply, bytes) or len(net.log) % 4 != hop:
                return reply if isinstance(reply, bytes) else None
            octets = bytearray(reply)
            for place, value in flips:
                octets[2 + place % (len(octets) - 2)] = value
            return bytes(octets)

        servers[address] = damage
    net = Internet(servers)
    for name in ("gaia.cs.umass.edu", "far.umass.edu", "www.glueless.edu"):
        assert net.resolve(name).rcode in (Rcode.NOERROR, Rcode.SERVFAIL, Rcode.NXDOMAIN)
        assert net.resolver.in_flight == 0


@given(
    st.dictionaries(st.sampled_from(sorted(textbook())), st.sampled_from(["silent", "lame", "sound"])), st.integers(0, 99)
)
def test_whatever_fails_every_question_is_answered_once(faults: dict[str, str], seed: int) -> None:
    servers = textbook()
    for address, fault in faults.items():
        if fault != "sound":
            servers[address] = silent if fault == "silent" else refusing(Rcode.REFUSED)
    net = Internet(servers, seed=seed)
    names = ("gaia.cs.umass.edu", "far.umass.edu", "www.glueless.edu", "lost.enterprise.com", "dns.enterprise.com")
    for waiter, name in enumerate(names):
        net.ask(question(name), waiter)
    net.run()
    assert sorted(net.outcomes, key=str) == list(range(len(names)))
    assert net.now <= 1000 + 15.01
