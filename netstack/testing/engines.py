"""Two engines joined in memory: every octet that one sends is received by the other, in pieces of any size."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from netstack.sansio import Close, Command, Engine, Event, Now, Peer

Answering = Callable[[Event], "Command | None"]
"""A role in one function: what to answer to an event, if anything."""

CLIENT = Peer(("192.0.2.1", 40000), ("192.0.2.2", 12000))
SERVER = Peer(CLIENT.remote, CLIENT.local)
START = Now(0.0, 0.0)


class Side:
    """One engine with its role, and what happened to it so far."""

    def __init__(self, engine: Engine, answering: Answering = lambda event: None) -> None:
        self.engine = engine
        self.answering = answering
        self.events: list[Event] = []
        self.closed = False
        self.finished = False
        """The other side's end was told."""

    def step(self, events: Iterable[Event], now: Now) -> bytes:
        """Dispatch events as the driver does; the octets that are to be sent."""
        self._dispatch(events, now)
        return b"".join(bytes(part) for part in self.engine.data_to_send() if isinstance(part, bytes))

    def _dispatch(self, events: Iterable[Event], now: Now) -> None:
        again = False
        for event in events:
            self.events.append(event)
            self.closed |= isinstance(event, Close)
            command = None if isinstance(event, Close) else self.answering(event)
            if command is not None:
                self.engine.send(command, now)
                again = True
        if again and not self.closed:
            self._dispatch(self.engine.receive(b"", now), now)

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]


def pieces(data: bytes, size: int | None) -> Iterator[bytes]:
    """`data` in pieces of `size` octets; in one when `size` is None."""
    if data:
        yield from (data[at : at + (size or len(data))] for at in range(0, len(data), size or len(data)))


def converse(client: Side, server: Side, size: int | None = None, now: Now = START) -> None:
    """Connect two sides and carry octets until both have nothing more to send; then tell each that the other closed."""
    waiting = {server: client.step(client.engine.connected(CLIENT, now), now)}
    waiting[client] = server.step(server.engine.connected(SERVER, now), now)
    while True:
        side = next((side for side, data in waiting.items() if data), None)
        if side is not None:
            other = client if side is server else server
            data, waiting[side] = waiting[side], b""
            for piece in pieces(data, size):
                if not side.closed:
                    waiting[other] += side.step(side.engine.receive(piece, now), now)
            continue
        ended = next((s for s, o in ((client, server), (server, client)) if o.closed and not s.finished), None)
        if ended is None:
            return
        ended.finished = True
        if not ended.closed:
            waiting[server if ended is client else client] += ended.step(ended.engine.eof(now), now)
