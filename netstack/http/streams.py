"""Roles of single requests on connections that have many: each stream of HTTP/2 gets a role of its own, as if it were a
connection of HTTP/1 with one request (RFC 9113 §5)."""

from collections.abc import Callable

from netstack.http.events import (
    BodyTaken,
    Drain,
    EndResponse,
    OnStream,
    RequestEnded,
    RequestReceived,
    RequestRefused,
    ResetStream,
    Respond,
    SendBody,
    StartResponse,
    StreamReset,
    ToStream,
)
from netstack.kernel.machine import Machine
from netstack.kernel.roles import Connection, Role
from netstack.sansio import Command, Event, Peer

HIGH = 256 * 1024
"""Octets of a streaming response that wait to be sent; then its role is asked to pause."""


class StreamConnection:
    """What the role of one stream has for its connection."""

    __slots__ = ("_connection", "_number", "_streams", "_waiting", "half", "role", "tunnel")

    def __init__(self, streams: "Streams", number: int, connection: Connection, role: Role) -> None:
        self._streams = streams
        self._number = number
        self._connection = connection
        self._waiting = 0
        self.role = role
        self.tunnel = self.half = False
        """Its directions end each by itself (RFC 9113 §8.5); one of them has ended."""

    @property
    def machine(self) -> Machine:
        return self._connection.machine

    @machine.setter
    def machine(self, machine: Machine) -> None:
        raise AttributeError("a stream is on its connection's machine")

    @property
    def peer(self) -> Peer:
        return self._connection.peer

    @peer.setter
    def peer(self, peer: Peer) -> None:
        raise AttributeError("a stream has its connection's peer")

    @property
    def writable(self) -> bool:
        """False while what was sent waits for the client; the role's `writable` is called when it may go on."""
        return self._waiting < HIGH and self._number in self._streams.open and self._connection.writable

    def send(self, command: Command) -> None:
        """As a connection's; without an effect once the stream is gone."""
        if self._number not in self._streams.open:
            return
        if isinstance(command, SendBody):
            self._waiting += len(command.data)
        elif isinstance(command, StartResponse):
            self.tunnel = self.tunnel and 200 <= command.status < 300
        elif isinstance(command, Respond | EndResponse):
            if isinstance(command, EndResponse) and self.tunnel and not self.half:
                self.half = True
            else:
                del self._streams.open[self._number]
        self._connection.send(ToStream(self._number, command))

    def close(self) -> None:
        """The response is complete, or else it is given up."""
        if self._number in self._streams.open:
            self.abort()

    def abort(self) -> None:
        """Give up this stream; the others go on."""
        if self._streams.open.pop(self._number, None) is not None:
            self._connection.send(ToStream(self._number, ResetStream()))

    def taken(self) -> None:
        """Nothing waits any more."""
        self._waiting = 0
        self.resume()

    def resume(self) -> None:
        """Tell the role that it may go on."""
        writable = getattr(self.role, "writable", None)
        if writable is not None and self.writable:
            writable(self)


class Streams:
    """The role of a connection of either version: HTTP/1 has one role, HTTP/2 one for each request."""

    __slots__ = ("_make", "_only", "open")

    def __init__(self, make: Callable[[], Role]) -> None:
        self._make = make
        self._only: Role | None = None
        self.open: dict[int, StreamConnection] = {}
        """Streams whose response is not complete."""

    def handle(self, event: Event, connection: Connection) -> None:
        if not isinstance(event, OnStream):
            if self._only is None:
                self._only = self._make()
            self._only.handle(event, connection)
            return
        number, inner = event.stream, event.event
        stream = self.open.get(number)
        if isinstance(inner, StreamReset):
            if stream is not None:
                del self.open[number]
                stream.role.lost("reset")
        elif isinstance(inner, BodyTaken):
            if stream is not None:
                stream.taken()
        else:
            if stream is None:
                if not isinstance(inner, RequestReceived | RequestRefused):
                    return  # more of a body whose request is answered already
                stream = self.open[number] = StreamConnection(self, number, connection, self._make())
                stream.tunnel = isinstance(inner, RequestReceived) and inner.request.method == "CONNECT"
            elif stream.tunnel and isinstance(inner, RequestEnded):
                if stream.half:
                    del self.open[number]
                stream.half = True
            stream.role.handle(inner, stream)

    def lost(self, reason: str) -> None:
        if self._only is not None:
            self._only.lost(reason)
        streams, self.open = self.open, {}
        for stream in streams.values():
            stream.role.lost(reason)

    def writable(self, connection: Connection) -> None:
        """The transport takes more."""
        writable = getattr(self._only, "writable", None)
        if writable is not None:
            writable(connection)
        for stream in [*self.open.values()]:
            stream.resume()

    def drain(self, connection: Connection) -> None:
        """The service stops: finish the requests in hand, then close."""
        drain = getattr(self._only, "drain", None)
        if drain is not None:
            drain(connection)
        else:
            connection.send(Drain())
        for stream in [*self.open.values()]:
            drain = getattr(stream.role, "drain", None)
            if drain is not None:
                drain(stream)
