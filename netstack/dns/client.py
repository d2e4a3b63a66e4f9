"""The client: a stub resolver (RFC 1034 §5.3.1) that asks a list of recursive servers, and single queries."""

from collections.abc import Callable, Sequence
from typing import Any

import dns.exception
import dns.name
from dns.message import Message
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from netstack.dns.streams import PooledUpstream, Received, Server, StreamPool
from netstack.dns.upstream import DatagramUpstream, StreamUpstream, Upstream
from netstack.dns.wire import AD, TC, MalformedMessage, Question, make_query, parse_reply
from netstack.kernel.listen import ListenError
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import NameNotFound, ResolutionError, is_address
from netstack.sansio import Address

_NO_ANSWER = (Rcode.SERVFAIL, Rcode.REFUSED, Rcode.FORMERR, Rcode.NOTIMP)
"""Replies after which the next server is asked."""


class StubResolver:
    """The kernel's Resolver interface, answered by recursive servers: each is asked in turn, `attempts` times around."""

    def __init__(
        self,
        machine: Machine,
        servers: Sequence[Address | Server],
        types: Sequence[str] = ("A", "AAAA"),
        patience: float = 5.0,
        attempts: int = 2,
        udp_payload: int = 1232,
    ) -> None:
        """A server with a name is asked over TLS alone, and must prove that it is the one of this name."""
        self.machine = machine
        self.servers = tuple(Server(*server) if isinstance(server, tuple) else server for server in servers)
        self.streams = StreamPool(machine)
        self.types = tuple(RdataType.from_text(rdtype) for rdtype in types)
        """What `addresses` asks for."""
        self.patience = patience
        """Seconds for one query to one server."""
        self.attempts = attempts
        self.udp_payload = udp_payload

    async def addresses(self, name: str) -> Sequence[str]:
        if is_address(name):
            return [name]
        owner = _name(name)
        found: list[str] = []
        for rdtype in self.types:
            found += await self._find(Question(owner, rdtype))
        return found

    async def records(self, name: str, rdtype: str) -> Sequence[str]:
        return await self._find(Question(_name(name), _type(rdtype)))

    async def proved(self, name: str, rdtype: str) -> Sequence[str] | None:
        reply = await self.query(Question(_name(name), _type(rdtype)), dnssec_ok=True)
        if reply.rcode() == Rcode.NXDOMAIN:
            raise NameNotFound(name)
        found = [str(rdata) for rrset in reply.answer if rrset.rdtype == _type(rdtype) for rdata in rrset]
        return found if reply.flags & AD else None

    async def query(self, question: Question, dnssec_ok: bool = False) -> Message:
        """The first answer that is one (NOERROR or NXDOMAIN); raises ResolutionError, temporary."""
        reason = "no server is configured"
        for _ in range(self.attempts):
            for server in self.servers:
                reply = await exchange(
                    self.machine, (server.address, server.port), question, patience=self.patience,
                    udp_payload=self.udp_payload, dnssec_ok=dnssec_ok, streams=self.streams, name=server.name,
                )  # fmt: skip
                if reply is None:
                    reason = f"no reply from {server.address} port {server.port}"
                elif reply.rcode() in _NO_ANSWER:
                    reason = f"{server.address} says {Rcode.to_text(reply.rcode())}"
                else:
                    return reply
        raise ResolutionError(f"{question}: {reason}", temporary=True)

    async def _find(self, question: Question) -> list[str]:
        reply = await self.query(question)
        if reply.rcode() == Rcode.NXDOMAIN:
            raise NameNotFound(question.name.to_text(omit_final_dot=True))
        return [str(rdata) for rrset in reply.answer if rrset.rdtype == question.rdtype for rdata in rrset]


async def query(
    machine: Machine,
    server: Address,
    name: str,
    rdtype: str = "A",
    recursion_desired: bool = True,
    patience: float = 5.0,
    attempts: int = 2,
    dnssec_ok: bool = False,
) -> Message:
    """Ask one server one question; whatever it replies is returned. Raises ResolutionError when it does not reply."""
    question = Question(_name(name), RdataType.from_text(rdtype))
    for _ in range(attempts):
        reply = await exchange(machine, server, question, recursion_desired, patience, dnssec_ok=dnssec_ok)
        if reply is not None:
            return reply
    raise ResolutionError(f"{question}: no reply from {server[0]} port {server[1]}", temporary=True)


async def exchange(
    machine: Machine,
    server: Address,
    question: Question,
    recursion_desired: bool = True,
    patience: float = 5.0,
    udp_payload: int = 1232,
    dnssec_ok: bool = False,
    streams: StreamPool | None = None,
    name: str | None = None,
) -> Message | None:
    """One query over UDP, then over TCP when the reply was truncated; None when there is no reply in time.

    With `streams` TCP is shared with other queries; with the `name` of the server as well, all is over TLS.
    """

    def made(identity: int) -> bytes:
        return make_query(identity, question, recursion_desired, udp_payload, dnssec_ok)

    def opened(received: Received, lost: Callable[[], None]) -> Upstream:
        if streams is None:
            return StreamUpstream(machine, server, received, lost)
        return PooledUpstream(streams, Server(*server, name), server, received, lambda reason: lost())

    if name is None:
        reply = await _Exchange(machine, server, question, made, patience, None).done
        if reply is None or not reply.flags & TC:
            return reply
    return await _Exchange(machine, server, question, made, patience, opened).done


class _Exchange:
    """One query on a socket of its own; `done` fires with the reply that belongs to it, or None."""

    def __init__(
        self,
        machine: Machine,
        server: Address,
        question: Question,
        made: Callable[[int], bytes],
        patience: float,
        stream: Callable[[Received, Callable[[], None]], Upstream] | None,
    ) -> None:
        self.server = server
        self.question = question
        self.done: Deferred[Message | None] = Deferred(lambda _: self._end())
        identity = machine.rng.getrandbits(16)
        self._identity = identity.to_bytes(2, "big")
        self._upstream: Upstream | None = None
        self._timer: IDelayedCall | None = machine.reactor.callLater(patience, self._finish, None)
        try:
            if stream is not None:
                self._upstream = stream(self._received, lambda: self._finish(None))
            else:
                self._upstream = DatagramUpstream(machine, server, self._received)
        except ListenError:
            self._finish(None)
            return
        self._upstream.send(made(identity))

    def _received(self, data: bytes, source: Address) -> None:
        if source != self.server or data[:2] != self._identity:
            return
        try:
            reply = parse_reply(data)
        except MalformedMessage:
            return
        asked: Any = reply.question
        if asked and (asked[0].name, asked[0].rdtype) != self.question:
            return
        self._finish(reply)

    def _finish(self, reply: Message | None) -> None:
        self._end()
        if not self.done.called:
            self.done.callback(reply)

    def _end(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()


def _type(text: str) -> RdataType:
    try:
        return RdataType.from_text(text)
    except (dns.exception.DNSException, ValueError) as error:
        raise ResolutionError(f"{text!r} is not a record type", temporary=False) from error


def _name(text: str) -> dns.name.Name:
    try:
        return dns.name.from_text(text)
    except dns.exception.DNSException as error:
        raise ResolutionError(f"{text!r} is not a domain name: {error}", temporary=False) from error
