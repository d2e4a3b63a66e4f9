"""Somebody who types lines at a server, as into telnet, and waits for its answer to each."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

PATIENCE = 60.0
"""Seconds for one answer."""


class _Typist(Protocol):
    def __init__(self) -> None:
        self.heard = b""
        self.waiting: Deferred[str] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self._answer()

    def connectionLost(self, reason: Failure | None = None) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.errback(ConnectionError("the server closed the connection"))

    def answer(self) -> Deferred[str]:
        waiting = self.waiting = Deferred()
        self._answer()
        return waiting

    def _answer(self) -> None:
        line, end, rest = self.heard.partition(b"\r\n")
        if end and self.waiting is not None:
            self.heard = rest
            waiting, self.waiting = self.waiting, None
            waiting.callback(line.decode("latin-1"))


async def converse(machine: Any, address: str, port: int, turns: Sequence[Sequence[str]]) -> list[str]:
    """The line that the server answers to each turn's lines; `port` is a standard one."""
    endpoint: Any = HostnameEndpoint(machine.reactor, address, machine.port(port), bindAddress=machine.address)
    typist = await connectProtocol(endpoint, _Typist())
    answers = []
    try:
        for lines in turns:
            for line in lines:
                typist.transport.write(line.encode() + b"\r\n")
            answer: Any = typist.answer().addTimeout(PATIENCE, machine.reactor)
            answers.append(await answer)
    finally:
        typist.transport.loseConnection()
    return answers
