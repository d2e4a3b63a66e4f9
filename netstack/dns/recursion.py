"""The resolver's roles: clients' queries go to the Recursor, whose queries go out by sockets of their own."""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from types import MappingProxyType
from typing import Protocol

from dns.message import Message
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset, from_text
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from netstack.dns.dnssec.evidence import DENIALS, without_double
from netstack.dns.dnssec.validator import Validator
from netstack.dns.events import (
    NOT_AUTHORITATIVE,
    PROHIBITED,
    Dismiss,
    ExtendedError,
    Outcome,
    Proto,
    QueryReceived,
    Resolved,
    SendReply,
    SendUpstream,
)
from netstack.dns.forwarders import Forwarder
from netstack.dns.guard import Admitted, Guard
from netstack.dns.kept import KeptReplies
from netstack.dns.limits import ResolverLimits
from netstack.dns.local import LocalZones
from netstack.dns.metrics import ServerMetrics
from netstack.dns.options import explain
from netstack.dns.padding import reply_on_stream, without_stream_options
from netstack.dns.recursor import Recursor
from netstack.dns.streams import DOT, PooledUpstream, PoolLimits, Server, StreamPool
from netstack.dns.upstream import DatagramUpstream, HTTPSUpstream, SharedSocket, Upstream
from netstack.dns.wire import AD, LARGEST, RA, Query, Question, Refusal, make_reply, parse_query, to_wire
from netstack.kernel.datagrams import DatagramDriver
from netstack.kernel.listen import ListenError
from netstack.kernel.machine import Machine
from netstack.kernel.roles import Connection
from netstack.sansio import Event

Network = IPv4Network | IPv6Network
_NOT_ALLOWED = Outcome(Rcode.REFUSED, error=ExtendedError(PROHIBITED))
_NO_RECURSION = Outcome(Rcode.REFUSED, error=ExtendedError(NOT_AUTHORITATIVE, "recursion was not desired"))
Answered = Callable[[Outcome], None]
AskHTTPS = Callable[[Forwarder, bytes], Deferred[bytes]]
"""Sends a query to a server over HTTPS and gives the reply, with whatever id, or fails with the reason."""


class Recursion:
    """Drives a Recursor: its queries, its one timer, its outcomes."""

    def __init__(
        self,
        machine: Machine,
        recursor: Recursor | Validator,
        limits: ResolverLimits,
        forwarders: Mapping[str, Forwarder] = MappingProxyType({}),
        https: AskHTTPS | None = None,
    ) -> None:
        """`forwarders`: by their keys, those that are asked over TLS and, by `https`, over HTTPS."""
        self.machine = machine
        self.recursor = recursor
        self.limits = limits
        self.forwarders = forwarders
        self.https = https
        self.streams = StreamPool(machine, PoolLimits(limits.streams, limits.stream_pipeline, limits.stream_idle))
        self.waiting = 0
        """Clients whose questions are under way."""
        self._upstreams: dict[int, Upstream] = {}
        self._shared: SharedSocket | None = None
        self._timer: IDelayedCall | None = None

    def ask(self, question: Question, answered: Answered, checking_disabled: bool = False) -> None:
        """Resolve; `answered` is called once, maybe before this returns. `checking_disabled`: without validation (CD)."""
        if self.waiting >= self.limits.clients:
            answered(Outcome(Rcode.SERVFAIL))
            return
        self.waiting += 1
        if isinstance(self.recursor, Validator):
            self.recursor.ask(question, answered, self._seconds(), checking_disabled)
        else:
            self.recursor.ask(question, answered, self._seconds())
        self._pump()

    def close(self) -> None:
        """Stop: no socket and no timer is left."""
        for upstream in self._upstreams.values():
            upstream.close()
        self._upstreams.clear()
        self.streams.close()
        if self._shared is not None:
            self._shared.close()
            self._shared = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _seconds(self) -> float:
        return self.machine.reactor.seconds()

    def _pump(self) -> None:
        output = self.recursor.output()
        while output:
            for event in output:
                if isinstance(event, SendUpstream):
                    self._send(event)
                elif isinstance(event, Dismiss):
                    upstream = self._upstreams.pop(event.key, None)
                    if upstream is not None:
                        upstream.close()
                elif isinstance(event, Resolved):
                    self.waiting -= 1
                    if callable(event.waiter):
                        event.waiter(event.outcome)
                else:
                    self._probe(event.address)
            output = self.recursor.output()
        self._set_timer()

    def _send(self, event: SendUpstream) -> None:
        key = event.key
        upstream = self._upstreams.get(key)
        if upstream is None:
            upstream = self._open(event)
            if upstream is None:
                self.recursor.failed(key, self._seconds())
                return
            self._upstreams[key] = upstream
        upstream.send(event.data)

    def _probe(self, address: str) -> None:
        def probed(success: bool) -> None:
            self.recursor.probed(address, success, self._seconds())

        self.streams.probe(Server(address, self.machine.port(DOT), encrypted=True), probed)

    def _open(self, event: SendUpstream) -> Upstream | None:
        if len(self._upstreams) >= self.limits.sockets:
            return None
        key = event.key

        def received(data: bytes, source: tuple[str, int]) -> None:
            self.recursor.receive(key, data, source, self._seconds())
            self._pump()

        def lost(reason: str) -> None:
            self._upstreams.pop(key, None)
            self.recursor.failed(key, self._seconds(), reason)
            self._pump()

        if event.stream:
            forwarder = self.forwarders.get(event.destination[0])
            https = self.https
            if forwarder is not None and forwarder.proto == "https" and https is not None:
                return HTTPSUpstream(lambda data: https(forwarder, data), event.destination, received, lost)
            place = Server(*event.destination)
            if event.secure:
                place = Server(event.destination[0], self.machine.port(DOT), encrypted=True)
            if forwarder is not None:
                place = Server(forwarder.address, self.machine.port(forwarder.port), forwarder.name)
            return PooledUpstream(self.streams, place, event.destination, received, lost)
        try:
            identity = self.recursor.identity
            if identity.source_port == "fixed":
                self._shared = self._shared or SharedSocket(self.machine)
                return self._shared.open(event.destination, received)
            return DatagramUpstream(self.machine, event.destination, received, identity.ports)
        except ListenError:
            return None

    def _set_timer(self) -> None:
        due = self.recursor.next_timer()
        timer = self._timer
        if timer is not None and timer.active():
            if due is not None and timer.getTime() <= due:
                return  # it fires early at worst, and is set anew then
            timer.cancel()
        self._timer = None
        if due is not None:
            self._timer = self.machine.reactor.callLater(max(0.0, due - self._seconds()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.recursor.on_timer(self._seconds())
        self._pump()


class RecursiveAnswers:
    """Turns a client's message into a reply, sooner or later; the same for datagrams and streams."""

    def __init__(
        self,
        recursion: Recursion,
        allow: Sequence[Network],
        metrics: ServerMetrics,
        udp_payload: int,
    ) -> None:
        self.recursion = recursion
        self.allow = tuple(allow)
        self.metrics = metrics
        self.udp_payload = udp_payload
        self.kept: KeptReplies | None = None
        local = recursion.recursor.hardening.local_zones
        self.local = LocalZones(recursion.recursor.algorithm.forward) if local else None

    def keep(self, limit: int) -> KeptReplies:
        """Keep replies, about `limit` octets of them, to be given around this object.

        Whoever decides in `answer` who is answered, or what, decides it there too.
        """
        recursion = self.recursion
        recursor = recursion.recursor
        self.kept = KeptReplies(
            self._allowed,
            recursion.machine.reactor.seconds,
            recursor.counts,
            self.metrics,
            limit,
            recursor.algorithm.rotate,
            recursion.limits.prefetch_part if recursor.hardening.prefetch else 0.0,
        )
        return self.kept

    def answer(self, data: bytes, address: str, proto: Proto, send: Callable[[bytes | None], None]) -> None:
        """Call `send` once: with the reply, or with None when none is due."""
        stream = proto != "udp"
        seconds = self.recursion.machine.reactor.seconds
        metrics, began = self.metrics, seconds()
        if stream:
            data = without_stream_options(data)
            known = None if self.kept is None else self.kept.on_stream(data, address, proto)
            if known is not None:
                metrics.replies(1, seconds() - began)
                send(known)
                return
        query = parse_query(data, self.udp_payload)
        if query is None:
            metrics.dropped += 1
            send(None)
            return
        metrics.request(proto, address, query.question if isinstance(query, Query) else None)
        if isinstance(query, Refusal):
            metrics.response(query.rcode, seconds() - began)
            send(query.reply)
            return

        def answered(outcome: Outcome) -> None:
            metrics.response(outcome.rcode, seconds() - began)
            reply = self._reply(query, outcome, stream)
            if self.kept is not None and (not stream or len(reply) <= query.payload):
                self.kept.keep(data, query, outcome, reply)
            send(reply)

        if not query.recursion_desired or not self._allowed(address):
            # without RD others would learn what our clients asked (cache snooping)
            answered(_NOT_ALLOWED if query.recursion_desired else _NO_RECURSION)
        elif query.question.rdtype == RdataType.ANY:
            answered(_any(query.question))
        elif self.local is not None and (local := self.local.answer(query.question)) is not None:
            answered(local)
        else:
            self.recursion.ask(query.question, answered, query.checking_disabled)

    def _reply(self, query: Query, outcome: Outcome, stream: bool) -> bytes:
        message = make_reply(query, self.udp_payload)
        message.flags |= RA
        message.set_rcode(outcome.rcode)
        if outcome.error is not None:
            explain(message, outcome.error)
        message.answer = list(outcome.answer)
        if outcome.soa is not None:
            message.authority = [outcome.soa]
        if query.dnssec_ok:
            _prove(message, outcome)
        if outcome.secure and (query.dnssec_ok or query.authentic_data) and not query.checking_disabled:
            message.flags |= AD
        return to_wire(message, LARGEST if stream else query.payload)

    def _allowed(self, address: str) -> bool:
        client = ip_address(address.partition("%")[0])
        return any(client in network for network in self.allow)


class Answers(Protocol):
    """Turns a message into a reply, sooner or later."""

    def answer(self, data: bytes, address: str, proto: Proto, send: Callable[[bytes | None], None]) -> None:
        """Call `send` once: with the reply, or with None when none is due."""


class GuardedAnswers:
    """Answers of others, for those whom a guard admits."""

    def __init__(self, answers: Answers, guard: Guard, machine: Machine) -> None:
        self.answers = answers
        self.guard = guard
        self.machine = machine

    def answer(self, data: bytes, address: str, proto: Proto, send: Callable[[bytes | None], None]) -> None:
        guard, machine = self.guard, self.machine
        admitted = guard.admit(data, address, proto != "udp", machine.now())
        if isinstance(admitted, Admitted):
            self.answers.answer(data, address, proto, lambda reply: send(guard.finish(admitted, reply, machine.now())))
        else:
            send(admitted)


class RecursiveDatagrams:
    """Answers one socket's queries."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def handle(self, event: Event, socket: DatagramDriver) -> None:
        if isinstance(event, QueryReceived) and event.source is not None:
            source = event.source
            self.answers.answer(event.data, source[0], "udp", lambda reply: socket.send(SendReply(reply, source)))


class RecursiveStream:
    """Answers one connection's queries, each when it is resolved."""

    def __init__(self, answers: Answers, idle: float) -> None:
        """`idle`: seconds after which the engine closes the connection."""
        self.answers = answers
        self.idle = idle

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, QueryReceived):
            peer, query = connection.peer, event.data
            secure = peer.security is not None

            def send(reply: bytes | None) -> None:
                connection.send(SendReply(reply and reply_on_stream(query, reply, self.idle, secure)))

            self.answers.answer(query, peer.remote[0], "tls" if secure else "tcp", send)

    def lost(self, reason: str) -> None:
        pass


def _prove(message: Message, outcome: Outcome) -> None:
    """Signatures beside what they cover, denials into the authority section (RFC 4035 §3.2.1)."""
    there = {(rrset.name, rrset.rdtype): rrset.ttl for rrset in outcome.answer}
    for rrset in without_double(outcome.proof):
        covered = there.get((rrset.name, rrset.covers))
        if covered is not None and rrset.rdtype not in DENIALS:
            message.answer.append(_lasting(rrset, covered))
        else:
            ttl = rrset.ttl if outcome.soa is None else min(rrset.ttl, outcome.soa.ttl)
            message.authority.append(_lasting(rrset, ttl))


def _lasting(rrset: RRset, ttl: int) -> RRset:
    """A copy with another TTL."""
    copy = RRset(rrset.name, rrset.rdclass, rrset.rdtype, rrset.covers)
    copy.update_ttl(ttl)
    copy.items = rrset.items
    return copy


def _any(question: Question) -> Outcome:
    """RFC 8482 §4.2: a synthesised HINFO record is answer enough to ANY."""
    return Outcome(Rcode.NOERROR, (from_text(question.name, 3600, "IN", "HINFO", '"RFC8482" ""'),))
