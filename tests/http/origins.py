"""Origins that do what they are told, octet for octet, on the simulated Internet; and a receiver that notes what it gets."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.protocol import Factory, Protocol

from netstack.http import FetchError
from netstack.http.wire import Response

CLOSE, RESET = "close", "reset"
Step = bytes | float | str
"""Octets to send, seconds to wait, or how the connection ends."""


class ScriptedOrigin(Factory):
    """Plays one script for each request, whatever it says, in the order they come; the last one again and again."""

    noisy = False

    def __init__(self, reactor: Any, *scripts: Sequence[Step], heads: bool = True) -> None:
        """Without `heads` whatever comes is a request."""
        self.end = b"\r\n\r\n" if heads else b""
        self.reactor = reactor
        self.scripts = [*scripts]
        self.requests: list[str] = []
        """Request lines."""
        self.received = b""
        self.connections = 0
        self.lost: list[Any] = []

    def buildProtocol(self, addr: Any) -> "Player":
        self.connections += 1
        return Player(self)

    def next_script(self) -> Sequence[Step]:
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]


class Player(Protocol):
    """One connection."""

    def __init__(self, origin: ScriptedOrigin) -> None:
        self.origin = origin
        self.buffer = b""
        self.playing = False

    def dataReceived(self, data: bytes) -> None:
        self.origin.received += data
        self.buffer += data
        self.look()

    def connectionLost(self, reason: Any = None) -> None:
        self.origin.lost.append(reason)

    def look(self) -> None:
        end = self.origin.end
        if not self.playing and self.buffer and end in self.buffer:
            head, _, self.buffer = self.buffer.partition(end) if end else (self.buffer, b"", b"")
            self.origin.requests.append(head.partition(b"\r\n")[0].decode("latin-1"))
            self.playing = True
            self.play([*self.origin.next_script()])

    def play(self, steps: list[Step]) -> None:
        transport: Any = self.transport
        while steps:
            step = steps.pop(0)
            if isinstance(step, bytes):
                transport.write(step)
            elif isinstance(step, float):
                self.origin.reactor.callLater(step, self.play, steps)
                return
            elif step == CLOSE:
                transport.loseConnection()
                return
            else:
                transport.abortConnection()
                return
        self.playing = False
        self.look()


def reads_nothing(origin: ScriptedOrigin) -> Any:
    """A `buildProtocol` for it, whose connections read the first octets alone."""
    build = type(origin).buildProtocol

    def build_protocol(addr: Any) -> Any:
        protocol = build(origin, addr)
        received = protocol.dataReceived

        def once(data: bytes) -> None:
            received(data)
            protocol.transport.pauseProducing()

        protocol.dataReceived = once  # type: ignore[method-assign]
        return protocol

    return build_protocol


class Receiving:
    """A receiver that notes what it is told, and may pause after some octets."""

    def __init__(self) -> None:
        self.interims: list[int] = []
        self.response: Response | None = None
        self.body = b""
        self.trailers: Sequence[tuple[str, str]] | None = None
        self.error: FetchError | None = None
        self.told: list[str] = []
        self.room = 0
        self.on_head: Any = None
        self.on_data: Any = None

    @property
    def ended(self) -> bool:
        return self.trailers is not None or self.error is not None

    @property
    def outcome(self) -> str:
        """The status and the body, or what went wrong and what had come before."""
        came = "" if self.response is None else f"{self.response.status} {self.body[:40].decode()}".strip()
        return f"{came} {self.error.kind}".strip() if self.error is not None else came

    def interim(self, response: Response) -> None:
        self._told("interim")
        self.interims.append(response.status)

    def head(self, response: Response) -> None:
        self._told("head")
        self.response = response
        if self.on_head is not None:
            self.on_head()

    def data(self, data: bytes) -> None:
        self._told("data")
        self.body += data
        if self.on_data is not None:
            self.on_data()

    def end(self, trailers: Sequence[tuple[str, str]]) -> None:
        self._told("end")
        self.trailers = trailers

    def failed(self, error: FetchError) -> None:
        self._told("failed")
        self.error = error

    def writable(self) -> None:
        self.room += 1

    def _told(self, what: str) -> None:
        assert not self.ended, f"{what} after the end"
        if not self.told or self.told[-1] != what:
            self.told.append(what)
