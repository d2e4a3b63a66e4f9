"""A client's request until its response has gone: octets of a stored object, or of one that is still coming."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from netstack.cache.objects import Gone, Stored, Writing
from netstack.cache.policy.forwarding import END_TO_END, HOP_BY_HOP, end_to_end
from netstack.cache.targets import Target
from netstack.http.events import (
    Continue,
    EndResponse,
    HoldBody,
    Interim,
    RequestReceived,
    Respond,
    SendBody,
    StartResponse,
)
from netstack.http.values import tokens
from netstack.http.wire import Request, Response, field_block
from netstack.kernel.roles import Connection
from netstack.sansio import FileSlice

if TYPE_CHECKING:
    from netstack.cache.fetching import Fetch
    from netstack.cache.policy import Forward
    from netstack.cache.proxy import Proxy

NO_TRAILERS = HOP_BY_HOP | END_TO_END | {"authorization", "set-cookie", "content-encoding", "content-range", "location"}
"""Fields that frame, route or control, and are not merged from trailers (RFC 9110 §6.5.1)."""
TOGETHER = 64 * 1024
"""Octets of a body up to which a head waits for it until the end of the turn."""
PIECE = 64 * 1024
"""Octets that are handed to a connection at once."""
Segment = bytes | tuple[int, int]
"""Octets that are known; or an offset in a body and a length, -1 for all that comes."""


class Delivery:
    """One request. Whatever becomes of its client, nobody else waits for it."""

    __slots__ = (
        "_body_end", "_early", "_head", "_later", "_left", "_segments", "alone", "connection", "fetch", "key", "offset",
        "plan", "proxy", "reading", "received", "sent", "started", "status", "stored", "target", "tries", "words", "writing",
    )  # fmt: skip

    def __init__(
        self, proxy: "Proxy", received: RequestReceived, connection: Connection, target: Target, key: bytes
    ) -> None:
        self.proxy = proxy
        self.received = received
        self.connection: Connection | None = connection
        """None when the client is gone, or its response has."""
        self.target = target
        self.key = key
        self.plan: Forward | None = None
        """Why it needs the origin."""
        self.fetch: Fetch | None = None
        """What it waits for."""
        self.alone = False
        """It waits for nobody else's response."""
        self.tries = 0
        """How often it was planned."""
        self.started = False
        """The head of the response has gone."""
        self.status = 0
        self.words = ""
        """What the cache did, for the log."""
        self.sent = 0
        """Octets of content."""
        self.writing: Writing | None = None
        """What it reads from, if that is still coming; else `stored`."""
        self.stored: Stored | None = None
        self.reading = False
        self.offset = 0
        """In the body that it reads."""
        self._left = 0
        """Octets of the segment in hand; -1 for all that comes."""
        self._segments: Iterator[Segment] = iter(())
        self._head: StartResponse | None = None
        """Not sent yet."""
        self._later: IDelayedCall | None = None
        self._early: list[bytes] = []
        """Of the request's body, before there is somebody who takes it."""
        self._body_end: Sequence[tuple[str, str]] | None = None

    @property
    def request(self) -> Request:
        return self.received.request

    # Responses

    def respond(self, answer: Respond, words: str) -> None:
        """A whole response."""
        connection = self.connection
        if connection is None:
            _let_go(answer.body)
            return
        if self.started:
            self.break_off()
            _let_go(answer.body)
            return
        self.status, self.words = answer.status, words
        pieces = answer.body if isinstance(answer.body, tuple) else (answer.body,)
        if self.has_content(answer.status):
            self.sent = sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in pieces)
        self._over()
        connection.send(answer)
        self.proxy.delivered(self, connection.peer)

    def empty(self, status: int, fields: bytes, words: str) -> None:
        """A response without content to a request that asks for none, where nobody knows how long that would be (HEAD)."""
        connection = self.connection
        if connection is not None:
            self.status, self.words = status, words
            self._over()
            connection.send(StartResponse(status, fields))
            connection.send(EndResponse())
            self.proxy.delivered(self, connection.peer)

    def start(
        self,
        status: int,
        fields: bytes,
        length: int | None,
        source: Writing | Stored,
        segments: Sequence[Segment],
        words: str,
    ) -> None:
        """A response whose content is read from `source` as its client takes it."""
        connection = self.connection
        if connection is None:
            return
        self.status, self.words, self.started = status, words, True
        if isinstance(source, Writing):
            self.writing = source
        else:
            self.stored = source
            source.hold()
        self._segments = iter(segments if self.has_content(status) else ())
        self._left = 0
        self.reading = True
        self._head = StartResponse(status, fields, length)
        whole = segments in (((0, -1),), ((0, length),))
        if isinstance(source, Writing) and not source.size and length and length <= TOGETHER and whole:
            self._later = self.proxy.later(0.0, self._go)  # its body may come with it
        else:
            self._go()

    def _go(self) -> None:
        """Send the head, and on."""
        head, self._later, self._head = self._head, None, None
        if head is not None and self.connection is not None:
            self.connection.send(head)
            self.pump()

    def _together(self, head: StartResponse) -> None:
        """Head and body in one piece, when they came so."""
        writing, connection = self.writing, self.connection
        if writing is None or connection is None or (writing.size < (head.length or 0) and not writing.ended):
            return
        if self._later is not None:
            self._later.cancel()
        if writing.ended or writing.start or not self.has_content(head.status):
            self._go()
            return
        parts = []
        while self.offset < writing.size:
            parts.append(writing.read(self.offset, writing.size))
            self.offset += len(parts[-1])
        self._later = self._head = None
        self.sent = self.offset
        self._over()
        connection.send(Respond(head.status, head.fields, b"".join(parts)))
        self.proxy.delivered(self, connection.peer)

    def has_content(self, status: int) -> bool:
        """Whether a response to this request has any (RFC 9110 §6.4.1)."""
        return self.request.method != "HEAD" and status not in (204, 304)

    def pump(self) -> None:
        """Send on what there is, as far as the client takes it."""
        if self._head is not None:
            self._together(self._head)
            return
        while self.reading and (connection := self.connection) is not None and connection.writable:
            data = self._next()
            if data is None:
                self._finish(connection)
            elif not data:
                break
            else:
                self.sent += len(data)
                connection.send(SendBody(data))
        if self.fetch is not None:
            self.fetch.pumped()

    def _next(self) -> bytes | None:
        """The next octets, none when they have not come yet, None at the end."""
        while not self._left:
            segment = next(self._segments, None)
            if segment is None:
                return None
            if isinstance(segment, bytes):
                return segment
            self.offset, self._left = segment
        limit = PIECE if self._left < 0 else min(PIECE, self._left)
        if self.writing is not None:
            try:
                data = self.writing.read(self.offset, limit)
            except (Gone, OSError):
                self.break_off()
                return b""
            if not data and self.writing.ended:
                if self._left > 0 or (self.fetch is not None and self.fetch.broken):
                    self.break_off()
                    return b""
                self._left = 0
                return self._next()
        else:
            assert self.stored is not None  # noqa: S101  one of the two is read
            try:
                data = octets_of(self.stored.part(self.offset, limit))
            except OSError:
                data = b""
            if not data:
                self.break_off()
                return b""
        self.offset += len(data)
        if self._left > 0:
            self._left -= len(data)
        return data

    def _finish(self, connection: Connection) -> None:
        trailers = b"" if self.fetch is None else self._trailers(self.fetch.trailers)
        self._over()
        connection.send(EndResponse(trailers))
        self.proxy.delivered(self, connection.peer)

    def _trailers(self, lines: Sequence[tuple[str, str]]) -> bytes:
        """For a client that says that it wants them (RFC 9110 §6.5.1, §10.1.4)."""
        wanted = self.request.fields.get("te")
        if not lines or wanted is None or "trailers" not in tokens(wanted):
            return b""
        return field_block((name, value) for name, value in lines if name.lower() not in NO_TRAILERS)

    def break_off(self) -> None:
        """The response cannot be completed: the client is made to see that (RFC 9112 §8)."""
        connection = self.connection
        if connection is None:
            return
        self._over()
        self.words += "; broken"
        self.proxy.delivered(self, connection.peer)
        connection.abort()

    def lost(self) -> None:
        """The client is gone."""
        connection = self.connection
        if connection is not None:
            self._over()
            self.words += "; aborted"
            self.proxy.delivered(self, connection.peer)

    def _over(self) -> None:
        """Whoever served this request need not any more."""
        self.connection = None
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self.reading = False
        if self.stored is not None:
            self.stored.release()
            self.stored = None
        if self.fetch is not None:
            self.fetch.leave(self)

    # The request's body

    def hold_body(self) -> None:
        """No more of it may come for now."""
        if self.connection is not None:
            self.connection.send(HoldBody(True))

    def body(self, data: bytes) -> None:
        """Some of it has come."""
        if self.connection is None:
            return
        if self.fetch is None:
            self._early.append(data)  # no more than a window of HTTP/2: it is held
            return
        self.fetch.upload(self, data)
        if not self.fetch.takes_more:
            self.hold_body()

    def body_begins(self) -> None:
        """There is an exchange that takes it."""
        early, self._early = self._early, []
        for data in early:
            self.body(data)
        if self.fetch is not None and self._body_end is not None:
            self.fetch.uploaded(self, self._body_end)
        self.body_wanted()

    def body_ended(self, trailers: Sequence[tuple[str, str]]) -> None:
        """It is complete."""
        trailers = [(name, value) for name, value in trailers if name.lower() not in NO_TRAILERS]
        if self.fetch is not None:
            self.fetch.uploaded(self, trailers)
        else:
            self._body_end = trailers

    def body_wanted(self) -> None:
        """Go on, if the origin takes more."""
        if self.connection is not None and (self.fetch is None or self.fetch.takes_more):
            self.connection.send(HoldBody(False))

    def interim(self, response: Response) -> None:
        """The origin has something to say before the response (RFC 9110 §15.2)."""
        connection = self.connection
        if connection is None or self.started:
            return
        if response.status == 100:
            connection.send(Continue())
        elif response.status != 101:
            lines = end_to_end(response.field_lines, response.fields.get("connection"))
            connection.send(Interim(response.status, field_block(lines)))


def octets_of(part: bytes | FileSlice) -> bytes:
    """The octets, and the file closed."""
    if isinstance(part, bytes):
        return part
    try:
        return part.file.read_at(part.offset, part.length)
    finally:
        part.file.close()


def _let_go(body: bytes | FileSlice | tuple[bytes | FileSlice, ...]) -> None:
    """Close the files of a response that nobody gets."""
    for piece in body if isinstance(body, tuple) else (body,):
        if isinstance(piece, FileSlice):
            piece.file.close()
