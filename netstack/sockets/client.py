"""The client's role: asks one sentence and gives the answer, over UDP, TCP or TLS."""

from twisted.internet.defer import Deferred

from netstack.kernel.datagrams import DatagramDriver
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import connect_stream, open_datagram
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Connection
from netstack.sansio import Event
from netstack.sockets.engine import Bounds, DatagramClient, StreamClient
from netstack.sockets.events import AnswerMissed, AnswerReceived, Ask, Connected


class NoAnswer(Exception):
    """The server did not answer; the text says what happened instead."""


async def ask_stream(
    machine: Machine,
    address: str,
    port: int,
    sentence: bytes,
    tls_name: str | None = None,
    bounds: Bounds | None = None,
    limits: StreamLimits | None = None,
) -> bytes:
    """The answer of a TCP server; under TLS when `tls_name` is given, which the server's certificate must carry.

    Raises NoAnswer when the connection ends without one, what `connect_stream` raises when there is no connection, and
    ValueError for an empty sentence, which has no octet that a server could read.
    """
    if not sentence:
        raise ValueError("a sentence sent over a connection has at least one octet")
    role = _StreamQuestion(sentence)
    counts = traffic(machine.registry, "sockets", "client")
    engine = StreamClient(bounds or Bounds())
    try:
        await connect_stream(machine, address, port, "sockets", engine, role, counts, limits, tls_name)
    except Exception:
        role.answer.addErrback(lambda failure: None)  # nobody is left to be told twice
        raise
    return await role.answer


async def ask_datagram(machine: Machine, address: str, port: int, sentence: bytes, bounds: Bounds | None = None) -> bytes:
    """The answer of a UDP server, for which the sentence is sent up to `bounds.attempts` times. Raises NoAnswer."""
    role = _DatagramQuestion()
    counts = traffic(machine.registry, "sockets", "client")
    engine = DatagramClient((address, port), bounds or Bounds())
    socket = open_datagram(machine, "sockets", engine, role, counts)
    try:
        socket.send(Ask(sentence))
        return await role.answer
    finally:
        await socket.close()


class _StreamQuestion:
    """Asks when the connection is up; fires with the answer when it is complete."""

    def __init__(self, sentence: bytes) -> None:
        self.answer: Deferred[bytes] = Deferred()
        self._sentence = sentence

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, Connected):
            connection.send(Ask(self._sentence))
        elif isinstance(event, AnswerReceived) and not self.answer.called:
            self.answer.callback(event.answer)

    def lost(self, reason: str) -> None:
        if not self.answer.called:
            self.answer.errback(NoAnswer(f"no answer: {reason}"))


class _DatagramQuestion:
    """Fires with the answer, or with NoAnswer."""

    def __init__(self) -> None:
        self.answer: Deferred[bytes] = Deferred()

    def handle(self, event: Event, socket: DatagramDriver) -> None:
        if isinstance(event, AnswerReceived):
            self.answer.callback(event.answer)
        elif isinstance(event, AnswerMissed):
            self.answer.errback(NoAnswer(f"no answer after {event.attempts} datagrams"))
