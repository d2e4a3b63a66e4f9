"""A server that also asks for its clients what it has delegated: the chain of recursive queries (RFC 1034 §4.3.1)."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from netstack.dns.authority import Authority
from netstack.dns.caching import CacheControl
from netstack.dns.events import Proto
from netstack.dns.guard import Guard
from netstack.dns.hardening import TEXTBOOK, Hardening
from netstack.dns.limits import ResolverLimits, ServerLimits
from netstack.dns.metrics import guarded, resolver_collector, server_metrics
from netstack.dns.recursion import GuardedAnswers, Network, Recursion, RecursiveAnswers, RecursiveDatagrams, RecursiveStream
from netstack.dns.recursor import Recursor
from netstack.dns.server import PlainAnswers
from netstack.dns.service import DNSService
from netstack.dns.wire import RA, Query, parse_query
from netstack.dns.zone import Delegation, ZoneUnavailable
from netstack.kernel.listen import Endpoint
from netstack.kernel.machine import Machine


class ChainAnswers(RecursiveAnswers):
    """Answers from the zones; where these only refer to other servers and the client wishes it, those are asked."""

    def __init__(
        self,
        authority: Authority,
        machine: Machine,
        recursion: Recursion,
        recursor: Recursor,
        allow: Sequence[Network],
    ) -> None:
        """`recursor` is the one that `recursion` drives."""
        super().__init__(recursion, allow, server_metrics(machine.registry, "resolver"), authority.udp_payload)
        self.authority = authority
        self.recursor = recursor
        self.plain = PlainAnswers(machine, authority, server_metrics(machine.registry, "authoritative"), None)

    def answer(self, data: bytes, address: str, proto: Proto, send: Callable[[bytes | None], None]) -> None:
        if self._delegated(data, address):
            super().answer(data, address, proto, send)
            return
        reply = self.plain.answer(data, proto, address)
        if reply is not None and self._allowed(address):
            reply = reply[:3] + bytes([reply[3] | RA]) + reply[4:]
        send(reply)

    def _delegated(self, data: bytes, address: str) -> bool:
        """Whether others are to be asked; they are made known to the recursor."""
        query = parse_query(data, self.udp_payload)
        if not isinstance(query, Query) or not query.recursion_desired or not self._allowed(address):
            return False
        try:
            zone = self.authority.zone_of(*query.question)
        except ZoneUnavailable:
            return False
        found = None if zone is None else zone.lookup(*query.question)
        if not isinstance(found, Delegation):
            return False
        known = [rdata.address for rrset in found.glue for rdata in rrset if rrset.rdtype in self.recursor.types]
        if known:
            self.recursor.forward_to(found.cut, known)
        return bool(known)


class ChainService(DNSService):
    """Such a server behind its endpoints."""

    def __init__(
        self,
        machine: Machine,
        authority: Authority,
        recursor: Recursor,
        endpoints: Sequence[Endpoint],
        allow: Sequence[Network],
        limits: ServerLimits,
        guard: Guard,
    ) -> None:
        super().__init__(machine)
        self.authority = authority
        self.recursor = recursor
        self.recursion = Recursion(machine, recursor, recursor.limits)
        self.cache_control = CacheControl(machine, recursor)
        resolver_collector(machine.registry).resolver = recursor.counts
        answers = GuardedAnswers(ChainAnswers(authority, machine, self.recursion, recursor, allow), guard, machine)
        guarded(machine.registry, "authoritative", guard.counts)
        self.listen(
            endpoints, limits, lambda: RecursiveDatagrams(answers), lambda: RecursiveStream(answers, limits.tcp_idle)
        )

    def does(self) -> str:
        return f"serves {len(self.authority.zones)} zones and asks for others"

    def stopService(self) -> Deferred[Any]:
        stopped: Deferred[Any] = maybeDeferred(super().stopService)
        self.recursion.close()
        return stopped

    def flush(self) -> None:
        """Forget what other servers said."""
        self.recursor.flush()


def chain_service(
    machine: Machine,
    authority: Authority,
    endpoints: Sequence[Endpoint],
    allow: Sequence[Network],
    limits: ServerLimits,
    port: int,
    guard: Guard,
    asking: ResolverLimits | None = None,
    hardening: Hardening = TEXTBOOK,
) -> ChainService:
    """The service; `port` is that of the servers it asks, `asking` what that may cost."""
    recursor = Recursor(
        (), asking or ResolverLimits(), machine.rng, port=port, udp_payload=limits.udp_payload, hardening=hardening
    )
    return ChainService(machine, authority, recursor, endpoints, allow, limits, guard)
