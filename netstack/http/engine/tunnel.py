"""One end of a tunnel: octets come and go as they are, each direction with its own end (RFC 9110 §9.3.6)."""

from collections.abc import Iterator

from netstack.http.events import BodyReceived, Connected, Drain, EndResponse, HoldBody, RequestEnded, ResponseEnded, SendBody
from netstack.sansio import (
    Close,
    CloseWrite,
    Command,
    Event,
    FileSlice,
    LocalProtocolError,
    Now,
    Peer,
    Recorder,
    Timeless,
)


class TunnelEngine(Timeless, Recorder):
    """Events: BodyReceived, then RequestEnded of a client, Connected first and ResponseEnded of a server; commands:
    SendBody, HoldBody, EndResponse. The connection is closed when both directions have ended.

    Under TLS, which has no half close that peers agree on, the end of what is sent closes the connection.
    """

    duplex = True

    def __init__(self, of_client: bool, ended: bool = False) -> None:
        """`ended`: the peer has sent all it will, but for what is handed over with the connection."""
        self._of_client = of_client
        self._ended = ended
        """The peer has sent its FIN."""
        self._told = self._held = self._sent_all = self._shut = self._secure = False
        self._buffer = bytearray()
        """What came although it is held."""
        self._out: list[bytes | FileSlice] = []

    def connected(self, info: Peer, now: Now) -> Iterator[Event]:
        self._secure = info.security is not None
        if not self._of_client:
            yield Connected(info)

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if data:
            self._buffer += data
            if self.recording:
                self.record(False, "tunnel", data)
        if self._buffer and not self._held:
            data = bytes(self._buffer)
            self._buffer.clear()
            yield BodyReceived(data)
        if self._ended and not self._told and not self._buffer:
            self._told = True
            yield RequestEnded() if self._of_client else ResponseEnded(False)
        if self._sent_all and (self._told or self._secure):
            yield Close()
        elif self._sent_all and not self._shut:
            self._shut = True
            yield CloseWrite()

    def eof(self, now: Now) -> Iterator[Event]:
        self._ended = True
        self._held = self._held and not self._secure  # the connection goes with the end of TLS: nothing can wait
        yield from self.receive(b"", now)

    def send(self, command: Command, now: Now) -> None:
        if isinstance(command, SendBody):
            if self._sent_all:
                raise LocalProtocolError("this direction of the tunnel has ended")
            if command.data:
                self._out.append(command.data)
                if self.recording:
                    self.record(True, "tunnel", command.data)
        elif isinstance(command, HoldBody):
            self._held = command.held
        elif isinstance(command, EndResponse):
            self._sent_all = True
        elif not isinstance(command, Drain):  # a tunnel has no good place to end at
            raise LocalProtocolError(f"{type(command).__name__} is no command to a tunnel")

    def data_to_send(self) -> list[bytes | FileSlice]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return not self._held
