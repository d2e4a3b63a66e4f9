"""One stream of a connection: its state, its windows, and what it has to send (RFC 9113 §5.1, §5.2)."""

from collections import deque
from enum import IntEnum
from math import inf

from netstack.http.engine.server import Sending
from netstack.http.wire import Request
from netstack.sansio import FileSlice, Readable, Transitions


class State(IntEnum):
    """RFC 9113 §5.1; a server that never pushes has no reserved streams."""

    IDLE = 0
    OPEN = 1
    HALF_CLOSED_REMOTE = 2
    HALF_CLOSED_LOCAL = 3
    CLOSED = 4


class Step(IntEnum):
    """What moves a stream."""

    HEADERS = 0
    HEADERS_AND_END = 1
    REMOTE_END = 2
    LOCAL_END = 3
    RESET = 4


STREAM: Transitions[State, Step] = Transitions(
    "a stream of HTTP/2",
    {
        (State.IDLE, Step.HEADERS): State.OPEN,
        (State.IDLE, Step.HEADERS_AND_END): State.HALF_CLOSED_REMOTE,
        (State.OPEN, Step.REMOTE_END): State.HALF_CLOSED_REMOTE,
        (State.OPEN, Step.LOCAL_END): State.HALF_CLOSED_LOCAL,
        (State.HALF_CLOSED_REMOTE, Step.LOCAL_END): State.CLOSED,
        (State.HALF_CLOSED_LOCAL, Step.REMOTE_END): State.CLOSED,
        (State.OPEN, Step.RESET): State.CLOSED,
        (State.HALF_CLOSED_REMOTE, Step.RESET): State.CLOSED,
        (State.HALF_CLOSED_LOCAL, Step.RESET): State.CLOSED,
    },
)


class SharedFile:
    """An open file in several slices: who closes last closes it."""

    __slots__ = ("_file", "_holders")

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._holders = 1

    def fileno(self) -> int:
        return self._file.fileno()

    def read_at(self, offset: int, length: int) -> bytes:
        return self._file.read_at(offset, length)

    def slice(self, offset: int, length: int) -> FileSlice:
        """A part that is closed by itself."""
        self._holders += 1
        return FileSlice(self, offset, length)

    def close(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._file.close()


class Stream:
    """A request that has come and whose response has not gone."""

    __slots__ = (
        "_at", "awaits_continue", "body_due", "body_part", "credit", "ending", "expected", "held", "id", "incremental",
        "left", "progress", "queue", "receive_window", "received", "request", "scheduled", "sending", "stalled_due",
        "state", "trailers", "tunnel", "urgency", "window",
    )  # fmt: skip

    def __init__(self, number: int, request: Request | None, window: int, receive_window: int) -> None:
        """`request` is None for one that was refused."""
        self.id = number
        self.request = request
        self.state = State.IDLE
        self.sending = Sending.OWED
        self.window = window
        """Octets that the client will take."""
        self.receive_window = receive_window
        self.credit = 0
        """Octets taken that the client was not told of yet."""
        self.expected: int | None = None
        """Of the body, as Content-Length says."""
        self.received = 0
        self.awaits_continue = False
        self.held = False
        """The client may not send more of the body than its window allows now."""
        self.urgency = 3
        self.incremental = False
        self.scheduled = False
        self.queue: deque[bytes | FileSlice] | tuple[()] = ()
        self._at = 0
        """Octets sent of the first piece, if it is one of octets."""
        self.ending = False
        """The response ends with what is in the queue, and then the trailers' field block, if there is one."""
        self.trailers = b""
        self.tunnel = False
        """Its two directions are those of a tunnel (RFC 9113 §8.5)."""
        self.left: int | None = None
        """Octets that a Content-Length still promises."""
        self.progress = 0
        """Octets sent since `stalled_due` was set."""
        self.body_part = 0
        """Octets of the body since `body_due` was set."""
        self.body_due = inf
        self.stalled_due = inf

    def __lt__(self, other: "Stream") -> bool:
        return self.id < other.id

    @property
    def receives(self) -> bool:
        """Whether the request's body is still to come."""
        return self.state in (State.OPEN, State.HALF_CLOSED_LOCAL)

    def put(self, piece: bytes | FileSlice) -> None:
        """Something more to send."""
        if isinstance(piece, FileSlice):
            if not piece.length:
                piece.file.close()
                return
            piece = FileSlice(SharedFile(piece.file), piece.offset, piece.length)
        elif not piece:
            return
        if not isinstance(self.queue, deque):
            self.queue = deque()
        self.queue.append(piece)

    def take(self, room: int) -> tuple[int, list[bytes | FileSlice]]:
        """At most `room` octets from the front of the queue, and how many they are."""
        queue, size = self.queue, 0
        taken: list[bytes | FileSlice] = []
        while queue and size < room:
            assert isinstance(queue, deque)  # noqa: S101  it has something
            piece, at = queue[0], self._at
            length = piece.length if isinstance(piece, FileSlice) else len(piece) - at
            if length <= room - size:
                queue.popleft()
                self._at = 0
                taken.append(piece if isinstance(piece, FileSlice) or not at else piece[at:])
            else:
                length = room - size
                if isinstance(piece, FileSlice):
                    assert isinstance(piece.file, SharedFile)  # noqa: S101  `put` made it so
                    taken.append(piece.file.slice(piece.offset, length))
                    queue[0] = FileSlice(piece.file, piece.offset + length, piece.length - length)
                else:
                    taken.append(piece[at : at + length])
                    self._at = at + length
            size += length
        return size, taken

    def drop(self) -> None:
        """Nothing more is sent."""
        for piece in self.queue:
            if isinstance(piece, FileSlice):
                piece.file.close()
        self.queue = ()
