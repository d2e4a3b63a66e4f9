"""The authoritative server's roles: plain questions are answered from the zones at once, other messages by `special`."""

from dns.rdatatype import RdataType

from netstack.dns.assembled import Assembler
from netstack.dns.authority import Authority
from netstack.dns.events import Proto, QueryReceived, SendReply
from netstack.dns.guard import Admitted, Guard
from netstack.dns.metrics import ServerMetrics
from netstack.dns.nameserver import special
from netstack.dns.padding import reply_on_stream
from netstack.dns.special import Sending, SpecialAnswers
from netstack.dns.upstream import too_old
from netstack.kernel.datagrams import DatagramDriver
from netstack.kernel.machine import Machine
from netstack.kernel.roles import Connection
from netstack.sansio import Event


class PlainAnswers:
    """Replies to plain questions, for all sockets of one server; a guard decides who gets one."""

    def __init__(self, machine: Machine, authority: Authority, metrics: ServerMetrics, guard: Guard | None) -> None:
        self.machine = machine
        self.authority = authority
        self.metrics = metrics
        self.guard = guard
        self._assembler = Assembler(authority)

    def answer(self, data: bytes, proto: Proto, address: str) -> bytes | None:
        """The reply; None: none is due."""
        guard, now = self.guard, self.machine.now
        if guard is None:
            return self._reply(data, proto, address)
        admitted = guard.admit(data, address, proto != "udp", now())
        if not isinstance(admitted, Admitted):
            return admitted
        return guard.finish(admitted, self._reply(data, proto, address), now())

    def _reply(self, data: bytes, proto: Proto, address: str) -> bytes | None:
        metrics, seconds = self.metrics, self.machine.reactor.seconds
        began = seconds()
        made = self._assembler.answer(data, self.authority.order, proto != "udp")
        if made is not None:
            metrics.tally(proto, "2" if ":" in address else "1", RdataType(made.rdtype), made.rcode).count += 1
            metrics.replies(1, seconds() - began)
            return made.wire
        reply = self.authority.answer(data, proto != "udp")
        if reply is None:
            metrics.dropped += 1
            return None
        metrics.request(proto, address, reply.question)
        metrics.response(reply.rcode, seconds() - began)
        return reply.data


class AuthoritativeDatagrams:
    """Answers one socket's queries."""

    def __init__(self, plain: PlainAnswers, answers: SpecialAnswers) -> None:
        self.plain = plain
        self.special = answers

    def handle(self, event: Event, socket: DatagramDriver) -> None:
        if isinstance(event, QueryReceived) and event.source is not None:
            source = event.source

            def send(reply: bytes | None) -> None:
                socket.send(SendReply(reply, source))

            if special(event.data) and self.special.receive(event.data, "udp", source[0], send):
                return
            send(self.plain.answer(event.data, "udp", source[0]))


class AuthoritativeStream:
    """Answers one connection's queries, in order."""

    def __init__(self, plain: PlainAnswers, answers: SpecialAnswers, idle: float) -> None:
        """`idle`: seconds after which the engine closes the connection."""
        self.plain = plain
        self.special = answers
        self.idle = idle
        self._sending = Sending(answers)

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, QueryReceived):
            data, peer = event.data, connection.peer
            secure = peer.security is not None
            proto: Proto = "tls" if secure else "tcp"
            if special(data) and self.special.receive(
                data,
                proto,
                peer.remote[0],
                lambda reply: connection.send(SendReply(reply)),
                None if too_old(peer) else lambda transfer: self._sending.begin(transfer, connection),
            ):
                return
            reply = self.plain.answer(data, proto, peer.remote[0])
            connection.send(SendReply(reply and reply_on_stream(data, reply, self.idle, secure)))

    def writable(self, connection: Connection) -> None:
        self._sending.go_on(connection)

    def lost(self, reason: str) -> None:
        self._sending.end()
