"""What the processes of one service say to each other: questions with one answer each, over pipes, relayed by the parent.

A frame: octets that follow (4), kind (1), the worker that it is for or from (1), the question's number (4), then the
question's subject and a line feed, or the answer.
"""

import struct
from collections.abc import Callable
from enum import IntEnum

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_HEAD = struct.Struct("!IBBI")
PARENT = 255
LARGEST = 1 << 30
"""Octets of a frame: a whole zone may be one."""


class Kind(IntEnum):
    """What a frame is."""

    QUESTION = 1
    ANSWER = 2
    FAILED = 3


class Unanswered(Exception):
    """The other process is gone, or could not do it."""


Handler = Callable[[int, bytes], "Deferred[bytes] | bytes"]
"""Given who asks and what; the answer, now or later."""


class Channel:
    """One end of a pair of pipes. Questions to `PARENT` are the other end's own, or, at the parent, the parent's."""

    log = Logger()

    def __init__(
        self, write: Callable[[bytes], object], relay: Callable[[int, Kind, int, bytes], bool] | None = None
    ) -> None:
        """`relay(to, kind, number, body)` passes on what is for another worker; False: there is none."""
        self._write = write
        self._relay = relay
        self._buffer = bytearray()
        self._number = 0
        self._asked: dict[int, Deferred[bytes]] = {}
        self.handlers: dict[str, Handler] = {}
        """By subject."""
        self.open = True

    def ask(self, subject: str, data: bytes = b"", to: int = PARENT) -> Deferred[bytes]:
        """The answer; fails with Unanswered."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        number = self._number
        answered: Deferred[bytes] = Deferred()
        if not self.open:
            answered.errback(Failure(Unanswered("the process is gone")))
            return answered
        self._asked[number] = answered
        self.send(Kind.QUESTION, to, number, subject.encode() + b"\n" + data)
        return answered

    def send(self, kind: Kind, place: int, number: int, body: bytes) -> None:
        """Write a frame."""
        if self.open:
            self._write(_HEAD.pack(len(body) + 6, kind, place, number) + body)

    def receive(self, data: bytes) -> None:
        """Octets came; raises ValueError for what is no frame."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD.size:
            size, kind, place, number = _HEAD.unpack_from(buffer)
            if not 6 <= size <= LARGEST:
                raise ValueError(f"a frame of {size} octets")
            if len(buffer) < size + 4:
                return
            body = bytes(buffer[_HEAD.size : size + 4])
            del buffer[: size + 4]
            self._frame(Kind(kind), place, number, body)

    def lost(self) -> None:
        """The other end is gone: nobody will answer."""
        self.open = False
        asked, self._asked = self._asked, {}
        for each in asked.values():
            each.errback(Failure(Unanswered("the process is gone")))

    def _frame(self, kind: Kind, place: int, number: int, body: bytes) -> None:
        if self._relay is not None and place != PARENT:
            if not self._relay(place, kind, number, body) and kind is Kind.QUESTION:
                self.send(Kind.FAILED, place, number, b"that worker does not run")
            return
        if kind is Kind.QUESTION:
            self._question(place, number, body)
            return
        waiting = self._asked.pop(number, None)
        if waiting is None:
            return
        if kind is Kind.ANSWER:
            waiting.callback(body)
        else:
            waiting.errback(Failure(Unanswered(body.decode("utf-8", "replace"))))

    def _question(self, place: int, number: int, body: bytes) -> None:
        subject, _, data = body.partition(b"\n")
        handler = self.handlers.get(subject.decode("ascii", "replace"))
        if handler is None:
            self.send(Kind.FAILED, place, number, b"nobody answers that here")
            return
        answer = maybeDeferred(handler, place, data)
        answer.addCallbacks(
            lambda found: self.send(Kind.ANSWER, place, number, found),
            lambda failure: self._failed(place, number, failure),
        )
        answer.addErrback(lambda failure: self.log.failure("an answer ended in an error", failure))

    def _failed(self, place: int, number: int, failure: Failure) -> None:
        if failure.check(Unanswered) is None:
            self.log.failure("a question of another process ended in an error", failure)
        self.send(Kind.FAILED, place, number, failure.getErrorMessage().encode())
