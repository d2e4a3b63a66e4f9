"""The authoritative server's role: plain questions are answered from the zones at once, other messages by `special`."""

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


class AuthoritativeDatagrams:
    """Answers one socket's queries."""

    def __init__(
        self,
        machine: Machine,
        authority: Authority,
        metrics: ServerMetrics,
        answers: SpecialAnswers | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.guard = guard
        self.machine = machine
        self.authority = authority
        self.assembler = Assembler(authority)
        self.metrics = metrics
        self.special = answers

    def handle(self, event: Event, socket: DatagramDriver) -> None:
        if isinstance(event, QueryReceived) and event.source is not None:
            source = event.source
            if (
                self.special is not None
                and special(event.data)
                and self.special.receive(event.data, "udp", source[0], lambda reply: socket.send(SendReply(reply, source)))
            ):
                return
            reply = _answer(self, event.data, "udp", event.source[0])
            if reply is not None:
                socket.send(SendReply(reply, event.source))


class AuthoritativeStream:
    """Answers one connection's queries, in order."""

    def __init__(
        self,
        machine: Machine,
        authority: Authority,
        metrics: ServerMetrics,
        answers: SpecialAnswers | None = None,
        guard: Guard | None = None,
        idle: float = 10.0,
        assembler: Assembler | None = None,
    ) -> None:
        """`idle`: seconds after which the engine closes the connection. `assembler`: one that all connections share."""
        self.guard = guard
        self.idle = idle
        self.machine = machine
        self.authority = authority
        self.assembler = assembler or Assembler(authority)
        self.metrics = metrics
        self.special = answers
        self._sending = None if answers is None else Sending(answers)

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, QueryReceived):
            sending, peer = self._sending, connection.peer
            secure = peer.security is not None
            proto: Proto = "tls" if secure else "tcp"
            if (
                self.special is not None
                and sending is not None
                and special(event.data)
                and self.special.receive(
                    event.data,
                    proto,
                    peer.remote[0],
                    lambda reply: connection.send(SendReply(reply)),
                    None if too_old(peer) else lambda transfer: sending.begin(transfer, connection),
                )
            ):
                return
            reply = _answer(self, event.data, proto, peer.remote[0])
            connection.send(SendReply(reply and reply_on_stream(event.data, reply, self.idle, secure)))

    def writable(self, connection: Connection) -> None:
        if self._sending is not None:
            self._sending.go_on(connection)

    def lost(self, reason: str) -> None:
        if self._sending is not None:
            self._sending.end()


def _answer(role: AuthoritativeDatagrams | AuthoritativeStream, data: bytes, proto: Proto, address: str) -> bytes | None:
    metrics, seconds = role.metrics, role.machine.reactor.seconds
    began, guard = seconds(), role.guard
    admitted: Admitted | bytes | None = None
    if guard is not None:
        admitted = guard.admit(data, address, proto != "udp", role.machine.now())
        if not isinstance(admitted, Admitted):
            return admitted
    made = role.assembler.answer(data, role.authority.order, proto != "udp")
    if made is not None:
        answer = made.wire
        metrics.tally(proto, "2" if ":" in address else "1", RdataType(made.rdtype), made.rcode).count += 1
        metrics.replies(1, seconds() - began)
    else:
        reply = role.authority.answer(data, proto != "udp")
        if reply is None:
            metrics.dropped += 1
            return None
        answer = reply.data
        metrics.request(proto, address, reply.question)
        metrics.response(reply.rcode, seconds() - began)
    return (
        answer if guard is None or not isinstance(admitted, Admitted) else guard.finish(admitted, answer, role.machine.now())
    )
