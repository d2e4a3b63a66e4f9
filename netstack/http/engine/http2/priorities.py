"""Which stream is sent next: the extensible priorities of RFC 9218."""

import re
from bisect import insort
from collections import deque
from typing import NamedTuple

from netstack.http.engine.http2.streams import Stream


class Priority(NamedTuple):
    """RFC 9218 §4."""

    urgency: int = 3
    incremental: bool = False


DEFAULT = Priority()
# RFC 8941 §3.2: the members of a dictionary that are of use here; others are passed over.
_MEMBER = re.compile(r'\s*([a-z*][a-z0-9_.*-]*)(?:=(\?[01]|-?[0-9]+|"(?:[^"\\]|\\.)*"|[^,; ]*))?(?:;[^,]*)?\s*(?:,|$)')


def parse_priority(value: str) -> Priority:
    """The Priority field; what is malformed or out of range counts as not sent (RFC 9218 §4)."""
    urgency, incremental = DEFAULT
    at = 0
    while at < len(value):
        match = _MEMBER.match(value, at)
        if match is None:
            return DEFAULT
        if match[1] == "u":
            urgency = int(match[2]) if match[2] and re.fullmatch("[0-7]", match[2]) else DEFAULT.urgency
        elif match[1] == "i":
            incremental = match[2] in (None, "?1")
        at = match.end()
    return Priority(urgency, incremental)


class Schedule:
    """The streams that have something to send: by urgency; of one urgency those that want all of it at once in the order of
    their requests, those that profit from parts in turns, one of either kind after the other (RFC 9218 §10)."""

    def __init__(self) -> None:
        self._whole: dict[int, list[tuple[int, Stream]]] = {}
        self._parts: dict[int, deque[Stream]] = {}
        self._level: list[int] = []
        """Urgencies that have streams, the most urgent first."""
        self._other = False
        """It is the turn of those that are sent in parts."""

    def __bool__(self) -> bool:
        return bool(self._level)

    def add(self, stream: Stream) -> None:
        """A stream has something to send that its window has room for."""
        if stream.scheduled:
            return
        stream.scheduled = True
        urgency = stream.urgency
        if urgency not in self._level:
            insort(self._level, urgency)
        if stream.incremental:
            self._parts.setdefault(urgency, deque()).append(stream)
        else:
            insort(self._whole.setdefault(urgency, []), (stream.id, stream))

    def remove(self, stream: Stream) -> None:
        """It has nothing more, or no room."""
        if not stream.scheduled:
            return
        stream.scheduled = False
        urgency = stream.urgency
        if stream.incremental:
            self._parts[urgency].remove(stream)
        else:
            self._whole[urgency].remove((stream.id, stream))
        if not self._whole.get(urgency) and not self._parts.get(urgency):
            self._level.remove(urgency)

    def change(self, stream: Stream, priority: Priority) -> None:
        """The client thinks differently of a stream now (RFC 9218 §7)."""
        scheduled = stream.scheduled
        self.remove(stream)
        stream.urgency, stream.incremental = priority
        if scheduled:
            self.add(stream)

    def next(self) -> Stream | None:
        """The stream that may send one frame now."""
        if not self._level:
            return None
        urgency = self._level[0]
        whole, parts = self._whole.get(urgency), self._parts.get(urgency)
        if whole and (not parts or not self._other):
            return whole[0][1]
        assert parts  # noqa: S101  the level is kept only while it has streams
        return parts[0]

    def sent(self, stream: Stream) -> None:
        """It has sent one frame: others of its urgency come first now."""
        self._other = not stream.incremental
        if stream.incremental and stream.scheduled:
            self._parts[stream.urgency].rotate(-1)
