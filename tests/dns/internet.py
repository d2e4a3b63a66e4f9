"""An Internet of zones in memory for the pure resolver: servers by address, delays, faults, and a clock of its own."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

import dns.name
from dns.rdatatype import RdataType

from netstack.dns.authority import Authority, fixed
from netstack.dns.dnssec.trust import Trust
from netstack.dns.dnssec.validator import Validator
from netstack.dns.events import Dismiss, Outcome, Resolved, SendUpstream
from netstack.dns.limits import ResolverLimits
from netstack.dns.recursor import Recursor
from netstack.dns.wire import Question, summary
from netstack.dns.zone import Zone

SOA = "$TTL 2d\n@ SOA ns. hostmaster. 1 2h 1h 2w 1h\n"

Answer = Callable[[bytes, bool], "bytes | list[bytes] | None"]
"""A server: query and whether it came over a stream; its reply, several replies, or silence."""


def question(name: str, rdtype: str = "A") -> Question:
    return Question(dns.name.from_text(name), RdataType.from_text(rdtype))


def server(*zones: tuple[str, str]) -> Answer:
    """An authoritative server of (origin, records without SOA)."""
    authority = Authority([Zone.from_text(origin, SOA + text) for origin, text in zones], fixed)

    def answer(data: bytes, stream: bool) -> bytes | None:
        reply = authority.answer(data, stream)
        return None if reply is None else reply.data

    return answer


def textbook() -> dict[str, Answer]:
    """Root, TLDs and the authoritative servers of the chapter's examples."""
    return {
        "10.0.0.1": server(
            (
                ".",
                "@ NS a.root-servers.net.\na.root-servers.net. A 10.0.0.1\n"
                "edu. NS a.edu-servers.net.\na.edu-servers.net. A 10.0.0.2\n"
                "com. NS a.gtld-servers.net.\nnet. NS a.gtld-servers.net.\na.gtld-servers.net. A 10.0.0.3\n",
            )
        ),
        "10.0.0.2": server(
            (
                "edu",
                "@ NS a.edu-servers.net.\numass NS dns.umass\ndns.umass A 10.0.0.4\n"
                "glueless NS dns.enterprise.com.\nnyu NS ns.nyu\nns.nyu A 10.0.0.6\n",
            )
        ),
        "10.0.0.3": server(
            ("com", "@ NS a.gtld-servers.net.\nenterprise NS dns.enterprise\ndns.enterprise A 10.0.0.5\n"),
            ("net", "@ NS a.gtld-servers.net.\na.gtld-servers A 10.0.0.3\n"),
        ),
        "10.0.0.4": server(
            (
                "umass.edu",
                "@ NS dns\ndns A 10.0.0.4\ngaia.cs A 10.1.0.1\nfar CNAME www.enterprise.com.\n"
                "loop CNAME loop2\nloop2 CNAME loop\n",
            )
        ),
        "10.0.0.5": server(
            (
                "enterprise.com",
                "@ NS dns\n@ A 10.1.0.9\ndns A 10.0.0.5\nwww CNAME relay1.west-coast\nrelay1.west-coast A 10.1.0.2\n"
                "lost CNAME nowhere\n",
            ),
            ("glueless.edu", "@ NS dns.enterprise.com.\nwww A 10.1.0.3\n"),
        ),
        "10.0.0.6": server(("nyu.edu", "@ NS ns\nns A 10.0.0.6\napricot A 10.1.0.7\n")),
    }  # fmt: skip


class Internet:
    """Joins one Recursor to servers in virtual time; `log` keeps (address, summary) of each query."""

    def __init__(self, servers: dict[str, Answer], delay: float = 0.01, seed: int = 1, **options: Any) -> None:
        self.servers = servers
        self.delay = delay
        self.now = 1000.0
        limits = options.pop("limits", ResolverLimits())
        hints = options.pop("hints", (("a.root-servers.net", "10.0.0.1"),))
        anchors = options.pop("anchors", ())
        self.wall = options.pop("wall", 0.0)
        """The wall clock at the start; it goes on with `now`."""
        recursor = Recursor(hints, limits, Random(seed), dnssec=bool(anchors), **options)
        self.resolver: Any = recursor
        if anchors:
            self.resolver = Validator(recursor, Trust(anchors), lambda: self.wall + self.now - 1000.0)
        self.log: list[tuple[str, str]] = []
        self.open: dict[int, SendUpstream] = {}
        self.most_open = 0
        self.outcomes: dict[object, Outcome] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time: float, action: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._events, (time, self._count, action))

    def resolve(self, name: str, rdtype: str = "A") -> Outcome:
        """Ask and run until all is quiet."""
        waiter = object()
        self.ask(question(name, rdtype), waiter)
        self.run()
        return self.outcomes[waiter]

    def ask(self, asked: Question, waiter: object) -> None:
        self.resolver.ask(asked, waiter, self.now)
        self._carry_out()

    def run(self) -> None:
        """Until nothing is under way."""
        for _ in range(100_000):
            timer = self.resolver.next_timer()
            if self._events and (timer is None or self._events[0][0] <= timer):
                self.now, _, action = heappop(self._events)
                action()
            elif timer is not None and self.resolver.in_flight:
                self.now = max(self.now, timer)
                self.resolver.on_timer(self.now)
            else:
                break
            self._carry_out()
        else:
            raise AssertionError("does not come to an end")
        assert not self.open, "a socket was left open"

    def _carry_out(self) -> None:
        for event in self.resolver.output():
            if isinstance(event, SendUpstream):
                self._send(event)
            elif isinstance(event, Dismiss):
                del self.open[event.key]
            elif isinstance(event, Resolved):
                assert event.waiter not in self.outcomes, "answered twice"
                self.outcomes[event.waiter] = event.outcome

    def _send(self, event: SendUpstream) -> None:
        self.open[event.key] = event
        self.most_open = max(self.most_open, len(self.open))
        address = event.destination[0]
        self.log.append((address, summary(event.data) + (" tcp" if event.stream else "")))
        answer = self.servers.get(address)
        replies = None if answer is None else answer(event.data, event.stream)
        if replies is None:
            return
        for reply in [replies] if isinstance(replies, bytes) else replies:
            self.at(self.now + self.delay, lambda reply=reply: self._deliver(event, reply))

    def _deliver(self, event: SendUpstream, reply: bytes) -> None:
        self.resolver.receive(event.key, reply, event.destination, self.now)


def texts(outcome: Outcome) -> list[str]:
    """The answer's records as text without TTL."""
    return [f"{rrset.name} {rrset.rdtype.name} {rdata}" for rrset in outcome.answer for rdata in rrset]
