"""Servers asked over TLS though nothing says so (RFC 9539): what is remembered of them, and what it costs."""

from random import Random
from typing import Any

import pytest
from twisted.internet.task import deferLater

from netstack.dns.events import Probe, Resolved, SendUpstream
from netstack.dns.hardening import FEATURES, HARDENED, Hardening
from netstack.dns.limits import ResolverLimits
from netstack.dns.probing import PATIENCE, Probing
from netstack.dns.recursor import Recursor
from netstack.dns.servers import REMEMBERED
from netstack.world.loader import parse
from netstack.world.session import Session, open_session
from tests.dns.internet import question, server

HOST, RESOLVER, ROOT, SERVER = "host.lan.edu", "resolver.lan.edu", "10.0.0.1", "ns.lan.edu"
ANSWER = server(
    (".", "@ NS a.root-servers.net.\na.root-servers.net. A 10.0.0.1\nx A 10.9.9.9\ny A 10.9.9.8\nz A 10.9.9.7\n")
)


def test_what_is_remembered() -> None:
    probing = Probing(persistence=100, damping=50)
    assert not probing.good("a", 0)
    assert probing.due("a", 0)
    assert not probing.due("a", PATIENCE - 1)
    probing.succeeded("a", 2)
    assert (probing.good("a", 101), probing.good("a", 102)) == (True, False)
    assert not probing.due("a", 101)
    assert probing.due("a", 102)
    probing.failed("a", 103)
    assert (probing.good("a", 104), probing.due("a", 152), probing.due("a", 153)) == (False, False, True)
    for number in range(REMEMBERED + 5):
        probing.failed(str(number), 200)
    assert probing.due("0", 201)
    assert not probing.due("9", 201)


def test_it_is_in_no_profile_by_itself() -> None:
    assert "encrypt" in FEATURES
    assert not HARDENED.encrypt


class Resolver:
    """A Recursor and one server that answers all; `sent` has its queries: ways "udp", "tcp", "tls"."""

    def __init__(self) -> None:
        self.recursor = Recursor(
            [("a.root-servers.net", ROOT)], ResolverLimits(), Random(1), hardening=Hardening(encrypt=True)
        )
        self.now = 0.0
        self.probes = 0
        self.last: Any = None

    def ask(self, name: str) -> str:
        """How the question is asked first."""
        self.recursor.ask(question(name), name, self.now)
        return self.way()

    def way(self) -> str:
        way = ""
        for event in self.recursor.output():
            if isinstance(event, Probe):
                self.probes += 1
            elif isinstance(event, SendUpstream):
                self.last = event
                way = "tls" if event.secure else "tcp" if event.stream else "udp"
            elif isinstance(event, Resolved):
                way = "done"
        return way

    def reply(self) -> str:
        reply = ANSWER(self.last.data, True)
        assert isinstance(reply, bytes)
        self.recursor.receive(self.last.key, reply, (ROOT, 53), self.now)
        return self.way()

    def wait(self) -> str:
        """Until the next query."""
        due = self.recursor.next_timer()
        assert due is not None
        self.now = due
        self.recursor.on_timer(due)
        return self.way()


def test_a_server_is_asked_in_the_clear_until_a_handshake_succeeded() -> None:
    resolver = Resolver()
    assert (resolver.ask("x"), resolver.probes) == ("udp", 1)
    assert resolver.reply() == "done"
    assert (resolver.ask("y"), resolver.probes) == ("udp", 1)
    assert resolver.reply() == "done"
    resolver.recursor.probed(ROOT, True, resolver.now)
    assert (resolver.ask("z"), resolver.probes) == ("tls", 1)
    assert resolver.reply() == "done"
    assert resolver.recursor.counts.queries_encrypted == {"tls": 1}


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_a_server_that_speaks_it_no_more_is_asked_in_the_clear(how: str) -> None:
    """At once where its connection breaks, after one time-out where it says nothing; then for a day."""
    resolver = Resolver()
    resolver.recursor.probed(ROOT, True, 0)
    assert resolver.ask("x") == "tls"
    if how == "refused":
        resolver.recursor.failed(resolver.last.key, resolver.now, "reset")
        assert (resolver.way(), resolver.now) == ("udp", 0)
    else:
        assert (resolver.wait(), resolver.now) == ("udp", 2)
    assert resolver.reply() == "done"
    assert (resolver.ask("y"), resolver.probes) == ("udp", 0)
    resolver.reply()
    resolver.now += 86400
    assert (resolver.ask("z"), resolver.probes) == ("udp", 1)


def world(listen: list[str], features: list[str]) -> Session:
    table = {
        "sites": {"core": {"resolver": False, "delay": "20 ms"}, "lan": {"resolver": RESOLVER, "delay": "20 ms"}},
        "zones": {".": {"site": "core", "servers": ["a.root"]}, "root": {"servers": ["a.root"]},
                  "edu": {"site": "core", "servers": ["ns.edu"]},
                  "lan.edu": {"site": "core", "servers": [SERVER], "records": "www A 10.9.9.9\nftp A 10.9.9.8\n"}},
        "hosts": {RESOLVER: {"site": "lan", "services": {"resolver": {"features": features}}}, HOST: {"site": "lan"},
                  SERVER: {"services": {"dns": {"listen": listen}}}},
    }  # fmt: skip
    internet = open_session(parse(table), "simulated", seed=5)
    internet.record()
    return internet


def asked(internet: Session, name: str) -> float:
    """Seconds of a look-up."""
    internet.clear()
    began = internet.seconds()
    assert internet.resolve(name, host=HOST).records
    return internet.seconds() - began


@pytest.mark.parametrize("secure", [True, False])
def test_in_a_world(secure: bool) -> None:
    """The second question goes over TLS to a server that has it; nothing takes longer, also where 853 is closed."""
    listen = ["udp:53", "tcp:53", *(["tls:853"] if secure else [])]
    with world(listen, []) as plain:
        before = [asked(plain, name) for name in ("www.lan.edu", "ftp.lan.edu")]
    with world(listen, ["encrypt"]) as internet:
        took = [asked(internet, "www.lan.edu")]
        internet.ask(HOST, lambda machine: deferLater(machine.reactor, 1))
        took.append(asked(internet, "ftp.lan.edu"))
        sent = [(row.secure, row.summary) for row in internet.rows() if row.destination_name == SERVER]
        assert sent == [(secure, "A ftp.lan.edu?")]
        assert took == pytest.approx(before, abs=0.002)
        registry = internet.running.hosts[RESOLVER].machine.registry
        assert registry.get_sample_value("netstack_dns_resolver_queries_total", {"proto": "tls"}) == (1 if secure else None)
