"""The server's role: answers each sentence with what `answers.py` makes of it."""

from netstack.kernel.datagrams import DatagramDriver
from netstack.kernel.roles import Connection
from netstack.sansio import Event
from netstack.sockets.answers import Answering
from netstack.sockets.events import Answer, SentenceReceived, SourceRefused
from netstack.sockets.metrics import Sentences
from netstack.sockets.wire import LARGEST_DATAGRAM


class StreamAnswers:
    """Answers the one sentence of a connection."""

    def __init__(self, answering: Answering, counts: Sentences) -> None:
        self._answering = answering
        self._counts = counts

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, SentenceReceived):
            self._counts.answered += 1
            self._counts.cut += event.is_cut
            connection.send(Answer(self._answering(event.sentence)))

    def lost(self, reason: str) -> None:
        """Nothing is kept for a connection."""


class DatagramAnswers:
    """Answers every datagram of a socket."""

    def __init__(self, answering: Answering, counts: Sentences) -> None:
        self._answering = answering
        self._counts = counts

    def handle(self, event: Event, socket: DatagramDriver) -> None:
        if isinstance(event, SentenceReceived):
            answer = self._answering(event.sentence)
            self._counts.answered += 1
            self._counts.cut += len(answer) > LARGEST_DATAGRAM
            socket.send(Answer(answer, event.source))
        elif isinstance(event, SourceRefused):
            self._counts.refused += 1
