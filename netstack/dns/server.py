"""The authoritative server's role: what arrives is answered from the zones at once."""

from netstack.dns.authority import Authority
from netstack.dns.events import QueryReceived, SendReply
from netstack.dns.metrics import ServerMetrics
from netstack.kernel.datagrams import DatagramDriver
from netstack.kernel.machine import Machine
from netstack.kernel.roles import Connection
from netstack.sansio import Event


class AuthoritativeDatagrams:
    """Answers one socket's queries."""

    def __init__(self, machine: Machine, authority: Authority, metrics: ServerMetrics) -> None:
        self.machine = machine
        self.authority = authority
        self.metrics = metrics

    def handle(self, event: Event, socket: DatagramDriver) -> None:
        if isinstance(event, QueryReceived) and event.source is not None:
            reply = _answer(self, event.data, "udp", event.source[0])
            if reply is not None:
                socket.send(SendReply(reply, event.source))


class AuthoritativeStream:
    """Answers one connection's queries, in order."""

    def __init__(self, machine: Machine, authority: Authority, metrics: ServerMetrics) -> None:
        self.machine = machine
        self.authority = authority
        self.metrics = metrics

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, QueryReceived):
            connection.send(SendReply(_answer(self, event.data, "tcp", connection.peer.remote[0])))

    def lost(self, reason: str) -> None:
        pass


def _answer(role: AuthoritativeDatagrams | AuthoritativeStream, data: bytes, proto: str, address: str) -> bytes | None:
    metrics, seconds = role.metrics, role.machine.reactor.seconds
    began = seconds()
    reply = role.authority.answer(data, proto == "tcp")
    if reply is None:
        metrics.dropped += 1
        return None
    metrics.request(proto, address, reply.question)
    metrics.response(reply.rcode, seconds() - began)
    return reply.data
