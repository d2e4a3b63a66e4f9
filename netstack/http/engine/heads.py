"""What the connections of one service share: heads that came before, and the lines that all responses have."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from netstack.http.engine.alike import Alike
from netstack.http.events import RequestReceived
from netstack.http.limits import HTTPLimits
from netstack.http.values import http_date
from netstack.http.wire import Request, parse_request
from netstack.sansio import Engine, Peer

Key = TypeVar("Key", bound=Hashable)


class Heads:
    """What the connections of one service share: the parse memo and the octets that all responses have."""

    def __init__(
        self,
        limits: HTTPLimits,
        server: str = "",
        fields: bytes = b"",
        date: bool = True,
        regards: Iterable[str] | None = None,
    ) -> None:
        """`fields` are field lines for every response; without `date` roles say it themselves (RFC 9110 §6.6.1).

        `regards`: names of the fields that answers made ready depend on, in lower case; None: they may depend on any.
        """
        self.limits = limits
        self.by_peer: Callable[[Peer], Heads] | None = None
        """Which are a client's, where that depends on who it is: answers that are ready serve all who share the heads."""
        self.http2: Callable[[], Engine] | None = None
        """Makes the engine of a connection whose client speaks HTTP/2."""
        self.memo: dict[Hashable, RequestReceived] = {}
        self._older: dict[Hashable, RequestReceived] = {}
        """Half of what is remembered: heads that come often move from here into `memo` before this half is forgotten."""
        self._seen: set[int] = set()
        """Hashes of heads that came while `memo` was full: only who comes again gets in, and a flood drives nobody out."""
        self.alike = Alike(limits, regards) if regards is not None and limits.memo else None
        """Finds answers by the fields that they depend on."""
        self._second = -1
        self._date = date
        self._server = f"Server: {server}\r\n".encode("latin-1") if server else b""
        self._server += fields
        self._common = b""

    def choose(self, peer: Peer) -> "Heads":
        """Those of a client."""
        return self if self.by_peer is None else self.by_peer(peer)

    @property
    def dated(self) -> bool:
        """Whether responses get a Date here."""
        return self._date

    @property
    def lines(self) -> bytes:
        """The field lines that all responses have and that never change."""
        return self._server

    def parse(self, head: bytes) -> RequestReceived:
        """The request of a head; raises BadMessage. A head that was seen before costs one look-up."""
        found = self.remembered(head, len(head), parse_request)
        if self.alike is not None and not found.again:
            self.alike.remember(head, found)
        return found

    def find(self, head: bytes) -> RequestReceived | None:
        """An earlier request that the answer made ready is the same for."""
        found = self.memo.get(head)
        return self.alike.find(head) if found is None and self.alike is not None else found

    def remembered(self, head: Key, octets: int, parse: Callable[[Key, HTTPLimits], Request]) -> RequestReceived:
        """As `parse`, for heads of any form."""
        found = self.memo.get(head)
        if found is not None:
            found.again = True
            return found
        found = self._older.pop(head, None)
        if found is None:
            found = RequestReceived(parse(head, self.limits))
            if octets > self.limits.memo_head or not self.limits.memo or "authorization" in found.request.fields:
                return found
            if len(self.memo) >= max(1, self.limits.memo // 2):
                mark = hash(head)
                if mark not in self._seen:
                    if len(self._seen) >= 4 * self.limits.memo:
                        self._seen.clear()
                    self._seen.add(mark)
                    return found
        else:
            found.again = True
        if len(self.memo) >= max(1, self.limits.memo // 2):
            self._older, self.memo = self.memo, {}
        self.memo[head] = found
        return found

    def common(self, wall: float) -> bytes:
        """The Date (RFC 9110 §6.6.1) and Server lines, made once a second."""
        second = int(wall)
        if second != self._second:
            self._second = second
            self._common = (f"Date: {http_date(wall)}\r\n".encode() if self._date else b"") + self._server
        return self._common
