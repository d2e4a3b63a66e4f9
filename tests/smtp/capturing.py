"""A server of the simulated Internet that has no engine of ours: it keeps every octet, and says what it is told."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.protocol import Factory, Protocol

from netstack.world.simulated import Simulation

ENDINGS = {
    "LF . LF": b"\n.\n", "LF . CRLF": b"\n.\r\n", "CRLF . LF": b"\r\n.\n", "CRLF . CR": b"\r\n.\r",
    "CR . CRLF": b"\r.\r\n", "CR . CR": b"\r.\r", "CR . LF": b"\r.\n", "LF . CR": b"\n.\r", "LF CR . CRLF": b"\n\r.\r\n",
    "CR CRLF . CRLF": b"\r\r\n.\r\n", "CRLF . CR CRLF": b"\r\n.\r\r\n", "LF LF . CRLF": b"\n\n.\r\n",
    "CRLF NUL . CRLF": b"\r\n\0.\r\n", "CRLF . NUL CRLF": b"\r\n.\0\r\n", "CR NUL LF . CRLF": b"\r\0\n.\r\n",
    "CRLF . CR NUL LF": b"\r\n.\r\0\n", "CRLF . CRLF": b"\r\n.\r\n", "two dots": b"\r\n..\r\n",
    "a dot and a blank": b"\r\n. \r\n",
    "at the beginning": b".\r\n", "CR at the end": b"\r\n.\r\n\r",
}  # fmt: skip
"""What somebody takes for the end of a message (RFC 5321 §4.1.1.4 has CRLF . CRLF alone), and others for text."""
SECOND = b"MAIL FROM:<evil@crepes.fr>\r\nRCPT TO:<x@elsewhere.test>\r\nDATA\r\nsmuggled\r\n.\r\n"


class Captured:
    """What came over all connections."""

    def __init__(self, extensions: str = "", replies: Mapping[str, bytes] | None = None) -> None:
        self.extensions = extensions.split()
        self.replies = dict(replies or {})
        """Verb, or "." for a message, -> what is said instead of yes."""
        self.octets = bytearray()
        self.commands: list[bytes] = []
        self.data: list[bytes] = []
        """Messages that came by DATA, as they were on the wire, with the dot that ends them."""
        self.chunks: list[bytes] = []
        """What BDAT brought, together until LAST."""

    def on(self, simulation: Simulation, name: str = "elsewhere.test", address: str = "192.0.2.4") -> "Captured":
        """Let it listen on port 25 of a new host."""
        host = simulation.host(name, address)
        factory = Factory.forProtocol(lambda: _Server(self))  # type: ignore[arg-type]
        assert host.reactor is not None
        host.reactor.listenTCP(25, factory)
        return self

    @property
    def mails(self) -> list[bytes]:
        """Every MAIL command."""
        return [each for each in self.commands if each.upper().startswith(b"MAIL")]


class _Server(Protocol):
    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        self._buffer = b""
        self._chunk = b""
        self._step: Callable[[], bool] = self._command

    def connectionMade(self) -> None:
        self._say(b"220 elsewhere.test ESMTP")

    def dataReceived(self, data: bytes) -> None:
        self._captured.octets += data
        self._buffer += data
        while self._step():
            pass

    def _say(self, *lines: bytes) -> None:
        transport: Any = self.transport
        transport.write(b"".join(line + b"\r\n" for line in lines))

    def _answer(self, verb: str, usual: bytes) -> None:
        self._say(self._captured.replies.get(verb, usual))

    def _command(self) -> bool:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        self._captured.commands.append(line)
        verb = line.split(b" ")[0].upper().decode("latin-1")
        if verb == "EHLO" and verb not in self._captured.replies:
            offered = [each.encode() for each in self._captured.extensions]
            self._say(*(b"250-" + each for each in (b"elsewhere.test", *offered)), b"250 HELP")
        elif verb == "DATA":
            self._answer(verb, b"354 go on")
            if "DATA" not in self._captured.replies:
                self._step = self._message
        elif verb == "BDAT":
            self._left, self._last = int(line.split(b" ")[1]), line.upper().endswith(b" LAST")
            self._step = self._take_chunk
        elif verb == "QUIT":
            self._say(b"221 bye")
        else:
            self._answer(verb, b"250 ok")
        return True

    def _message(self) -> bool:
        at = 0 if self._buffer.startswith(b".\r\n") else self._buffer.find(b"\r\n.\r\n") + 2
        if at == 1:
            return False
        self._captured.data.append(self._buffer[: at + 3])
        self._buffer = self._buffer[at + 3 :]
        self._step = self._command
        self._answer(".", b"250 taken")
        return True

    def _take_chunk(self) -> bool:
        taken, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._chunk += taken
        self._left -= len(taken)
        if self._left:
            return False
        if self._last:
            self._captured.chunks.append(self._chunk)
            self._chunk = b""
        self._step = self._command
        self._answer("." if self._last else "BDAT", b"250 taken")
        return True


def unstuffed(data: bytes) -> bytes:
    """A message without its dots (RFC 5321 §4.5.2)."""
    lines = data.removesuffix(b".\r\n").split(b"\r\n")
    return b"\r\n".join(line.removeprefix(b".") for line in lines)
