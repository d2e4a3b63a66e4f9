"""The servers as Twisted services: their listeners, their start and stop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from netstack.dns.authority import Authority
from netstack.dns.caching import CacheControl
from netstack.dns.compiled import CompiledAnswers
from netstack.dns.dnssec.following import Following
from netstack.dns.dnssec.trust import Trust
from netstack.dns.dnssec.validator import Validator
from netstack.dns.engine import Datagrams, ServerStream
from netstack.dns.forwarders import Forwarder
from netstack.dns.guard import Guard
from netstack.dns.keeper import ZoneKeeper
from netstack.dns.kept import KeptAnswers
from netstack.dns.limits import ResolverLimits, ServerLimits, ZoneLimits
from netstack.dns.metrics import guarded, handshakes, resolver_collector, server_metrics, zone_counts
from netstack.dns.nameserver import Nameserver
from netstack.dns.passing import guarded_bypass
from netstack.dns.recursion import (
    Answers,
    AskHTTPS,
    GuardedAnswers,
    Network,
    Recursion,
    RecursiveAnswers,
    RecursiveDatagrams,
    RecursiveStream,
)
from netstack.dns.recursor import Recursor
from netstack.dns.serial import serial_of
from netstack.dns.server import AuthoritativeDatagrams, AuthoritativeStream, PlainAnswers
from netstack.dns.special import SpecialAnswers
from netstack.dns.upstream import ALPN
from netstack.dns.wire import name_text
from netstack.kernel.datagrams import Bypass, DatagramDriver, DatagramRole
from netstack.kernel.listen import DatagramListener, Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Role


class DNSService(MultiService):
    """A server behind its endpoints."""

    log = Logger()

    def __init__(self, machine: Machine) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.machine = machine
        self.listeners: list[DatagramListener | StreamListener] = []

    def listen(
        self,
        endpoints: Sequence[Endpoint],
        limits: ServerLimits,
        datagrams: Callable[[], DatagramRole],
        stream: Callable[[], Role],
        bypass: Callable[[str], Bypass | None] = lambda family: None,
    ) -> None:
        """A listener for each endpoint, with the role that answers there; datagrams may have a bypass, by family 1 or 2."""
        machine = self.machine
        counted = traffic(machine.registry, "dns", "server")
        secured = handshakes(machine.registry, "server")
        bounds = replace(machine.limits, connections=limits.tcp_connections)
        for endpoint in endpoints:
            listener: DatagramListener | StreamListener
            if endpoint.kind == "udp":
                passing = bypass("2" if ":" in endpoint.interface else "1")
                driver = DatagramDriver(machine, "dns", Datagrams(server=True), datagrams(), counted, passing)
                listener = DatagramListener(machine, endpoint, driver, limits.udp_buffer)
            else:
                listener = StreamListener(
                    machine,
                    endpoint,
                    "dns",
                    lambda: ServerStream(limits.tcp_pipeline, limits.tcp_idle, secured),
                    stream,
                    counted,
                    bounds,
                    ALPN,
                )
            listener.setServiceParent(self)  # type: ignore[no-untyped-call]
            self.listeners.append(listener)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for listener in self.listeners:
            self.log.info(
                "{name} {does} on {endpoint}", name=self.machine.name, does=self.does(), endpoint=listener.endpoint
            )

    def does(self) -> str:
        """What it does at its endpoints, for the log."""
        raise NotImplementedError


class AuthoritativeService(DNSService):
    """An Authority behind its endpoints."""

    def __init__(
        self,
        machine: Machine,
        authority: Authority,
        endpoints: Sequence[Endpoint],
        limits: ServerLimits,
        keeper: ZoneKeeper | None = None,
        guard: Guard | None = None,
    ) -> None:
        super().__init__(machine)
        self.authority = authority
        metrics = server_metrics(machine.registry, "authoritative")
        counts = zone_counts(machine.registry)
        counts.serials = lambda: {origin: serial_of(zone.soa) for origin, zone in authority.zones.items()}
        self.keeper = keeper or ZoneKeeper(machine, Nameserver(authority, {}), {}, {}, ZoneLimits(), counts)
        self.keeper.setServiceParent(self)  # type: ignore[no-untyped-call]
        nameserver, transfers = self.keeper.nameserver, self.keeper.limits.transfers_out
        authority.complain = lambda origin, why: self.log.error("{zone}: {why}", zone=name_text(origin), why=why)
        self.special = special = SpecialAnswers(machine, nameserver, self.keeper, metrics, counts, transfers, guard)
        if guard is not None:
            guarded(machine.registry, "authoritative", guard.counts)
            guard.counted = authority.source_of
        plain = PlainAnswers(machine, authority, metrics, guard)
        self.listen(
            endpoints,
            limits,
            lambda: AuthoritativeDatagrams(plain, special),
            lambda: AuthoritativeStream(plain, special, limits.tcp_idle),
            lambda family: _under(guard, CompiledAnswers(authority, metrics, family, limits.compiled_bytes), machine),
        )

    def does(self) -> str:
        return f"serves {len(self.authority.zones) + len(self.authority.unavailable)} zones"

    def awaited(self) -> int:
        """Zones of which there is no copy to be served yet."""
        return len(self.authority.unavailable)

    def counters(self) -> dict[str, int]:
        """For the control socket: zones and their transfers."""
        counts = self.keeper.counts
        return {
            "zones": len(self.authority.zones),
            "zones_unavailable": len(self.authority.unavailable),
            "transfers_out": self.special.sending,
            "transfers_in_failed": counts.transfers["in", "failed"],
            "updates": counts.updates.total(),
        }


class ResolverService(DNSService):
    """A Recursor behind its endpoints."""

    def __init__(
        self,
        machine: Machine,
        recursor: Recursor,
        endpoints: Sequence[Endpoint],
        allow: Sequence[Network],
        limits: ResolverLimits,
        server_limits: ServerLimits,
        trust: Trust | None = None,
        guard: Guard | None = None,
        forwarders: Mapping[str, Forwarder] = MappingProxyType({}),
        https: AskHTTPS | None = None,
    ) -> None:
        """With `trust` answers are validated (DNSSEC); the recursor must ask for what proves them then.

        `forwarders`: by their keys, those that are asked by encrypted streams; `https` asks those of HTTPS.
        """
        super().__init__(machine)
        self.recursor = recursor
        self.resolver = recursor if trust is None else Validator(recursor, trust, machine.wall)
        self.recursion = Recursion(machine, self.resolver, limits, forwarders, https)
        self.following: Following | None = None
        """What follows the trust anchors, where that is wanted."""
        if trust is not None and recursor.hardening.follow_anchors:
            self.following = Following(machine, self.recursion, trust)
            self.following.setServiceParent(self)  # type: ignore[no-untyped-call]
        self.cache_control = CacheControl(machine, self.resolver)
        collector = resolver_collector(machine.registry)
        collector.resolver = recursor.counts
        collector.streams = self.recursion.streams.counts
        collector.gauges["cache_entries"] = lambda: len(recursor.cache)
        collector.gauges["cache_bytes"] = lambda: recursor.cache.size
        collector.gauges["resolver_questions_active"] = lambda: recursor.in_flight
        answers = RecursiveAnswers(
            self.recursion,
            allow,
            server_metrics(machine.registry, "resolver"),
            server_limits.udp_payload,
        )
        kept = answers.keep(server_limits.compiled_bytes)
        guarding: Answers = answers
        if guard is not None:
            guarding = GuardedAnswers(answers, guard, machine)
            guarded(machine.registry, "resolver", guard.counts)
        self.answers = guarding
        """What answers clients, also those of listeners that are not made here."""
        self.listen(
            endpoints,
            server_limits,
            lambda: RecursiveDatagrams(guarding),
            lambda: RecursiveStream(guarding, server_limits.tcp_idle),
            lambda family: _under(guard, KeptAnswers(kept, family), machine),
        )

    def does(self) -> str:
        return "resolves names"

    def startService(self) -> None:
        super().startService()
        if self.recursor.identity.weak:
            self.log.warn(
                "{name} CAN BE POISONED: {identity}; forgers guess its queries' ids and ports. This is for labs:"
                " take --source-port, --id, --ports and --ids away anywhere else",
                name=self.machine.name,
                identity=self.recursor.identity,
            )

    def stopService(self) -> Deferred[Any]:
        stopped: Deferred[Any] = maybeDeferred(super().stopService)
        self.recursion.close()
        return stopped

    def flush(self) -> None:
        """Forget all that was learned: the next question is asked from the root."""
        self.resolver.flush()

    def counters(self) -> dict[str, int]:
        """For the control socket: the cache and what was asked of servers."""
        counts = self.recursor.counts
        return {
            "cache_entries": len(self.recursor.cache),
            "cache_bytes": self.recursor.cache.size,
            "cache_requests": counts.cache_requests,
            "cache_hits": counts.cache_hits,
            "queries": counts.queries_udp + counts.queries_tcp + counts.queries_encrypted.total(),
            "timeouts": counts.timeouts,
            "lame": counts.lame,
            "mismatched": counts.mismatched,
            "failures": counts.failures,
            "stale": counts.stale,
            "prefetches": counts.prefetches,
            "secure": counts.secure,
            "insecure": counts.insecure,
            "bogus": counts.bogus,
            "synthesised": counts.synthesised,
        }


def _under(guard: Guard | None, bypass: CompiledAnswers | KeptAnswers, machine: Machine) -> Bypass:
    return bypass if guard is None else guarded_bypass(bypass, guard, machine.now)
