"""Heads that differ only in fields that no answer depends on: traces, cookies, whatever programs add to each request.

What is left of such a head when those lines are taken out finds the answer that is ready. Every line that is taken out is
judged by the grammar first: a head that the parser would refuse is never found.
"""

import re
from collections.abc import Iterable

from netstack.http.events import RequestReceived
from netstack.http.limits import HTTPLimits
from netstack.http.wire import TOKEN, VALUE

_LINE = re.compile(rb"(%b):%b" % (TOKEN, VALUE))
_ENGINE = frozenset(
    {
        "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-connection", "te",
        "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""What framing and connections depend on (RFC 9110 §7.6.1, RFC 9112 §6)."""
_SECRET = frozenset({"authorization", "proxy-authorization"})
"""Heads with these are not kept in any form."""
LINE = 256
"""Octets of a line that is remembered; a longer one is judged each time."""


class Alike:
    """Requests of one service by what is left of their heads."""

    def __init__(self, limits: HTTPLimits, regards: Iterable[str]) -> None:
        """`regards`: names, in lower case, of the fields that answers made ready depend on."""
        self._regards = _ENGINE.union(regards)
        self._fields, self._lines, self._most = limits.fields, limits.memo, max(1, limits.memo // 2)
        self._longest = min(limits.memo_head, limits.head) if limits.memo else 0
        self._ignored: set[bytes] = set()
        self._regarded: set[bytes] = set()
        self._found: dict[bytes, RequestReceived] = {}
        self._older: dict[bytes, RequestReceived] = {}
        """As in the memo of whole heads: what is asked for often moves from here into `_found`."""
        self._last: tuple[bytes, bytes | None] = b"", None
        """The head that was looked at last: who does not find an answer remembers it next."""

    def __len__(self) -> int:
        return len(self._found) + len(self._older)

    def find(self, head: bytes) -> RequestReceived | None:
        """An earlier request whose answer is that of `head`, one whole head; None also for what is no such head."""
        rest = self._rest(head)
        if rest is None:
            return None
        found = self._found.get(rest)
        if found is None:
            found = self._older.pop(rest, None)
            if found is not None:
                self._put(rest, found)
        return found

    def remember(self, head: bytes, received: RequestReceived) -> None:
        """A head that the parser has taken, for the first time."""
        rest = self._rest(head)
        if rest is None:
            return
        before = self._found.get(rest) or self._older.pop(rest, None)
        if before is not None:
            received.again, received.ready = True, before.ready
        self._put(rest, received)

    def _put(self, rest: bytes, received: RequestReceived) -> None:
        if len(self._found) >= self._most and rest not in self._found:
            self._older, self._found = self._found, {}
        self._found[rest] = received

    def _rest(self, head: bytes) -> bytes | None:
        """The start line and the lines that matter; None where one is no field line, or is secret."""
        last, rest = self._last
        if head != last:
            rest = self._take_out(head)
            self._last = head, rest
        return rest

    def _take_out(self, head: bytes) -> bytes | None:
        if len(head) > self._longest or head[-4:] != b"\r\n\r\n":
            return None
        start, *lines = head[:-4].split(b"\r\n")
        if len(lines) > self._fields:
            return None
        ignored, regarded = self._ignored, self._regarded
        kept = [start]
        for line in lines:
            if line not in ignored:
                if line not in regarded:
                    matters = self._matters(line)
                    if matters is None:
                        return None
                    if not matters:
                        continue
                kept.append(line)
        return b"\r\n".join(kept)

    def _matters(self, line: bytes) -> bool | None:
        """Whether answers depend on a field line; None where it keeps a head from being remembered."""
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        name = match[1].decode("ascii").lower()
        if name in _SECRET:
            return None
        matters = name in self._regards
        if len(line) <= LINE:
            known = self._regarded if matters else self._ignored
            if len(known) >= self._lines:
                known.clear()
            known.add(line)
        return matters
