"""A byte buffer with a bound, from which engines take lines and blocks."""

from netstack.sansio.errors import RemoteProtocolError


class ByteBuffer:
    """Bytes that wait to be parsed; more than `limit` octets is the peer's fault.

    A line is searched for from where the last search ended, so that octets arriving one by one cost linear time.
    """

    __slots__ = ("_data", "_searched", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data = bytearray()
        self._searched = 0

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def feed(self, data: bytes) -> None:
        """Append; raises RemoteProtocolError above the limit."""
        if len(self._data) + len(data) > self.limit:
            raise RemoteProtocolError(f"more than {self.limit} octets wait to be read")
        self._data += data

    def peek(self, count: int) -> bytes:
        """The first octets, at most `count`, which stay in the buffer."""
        return bytes(self._data[:count])

    def take(self, count: int) -> bytes | None:
        """Exactly `count` octets, or None until they are there."""
        if len(self._data) < count:
            return None
        taken = bytes(self._data[:count])
        del self._data[:count]
        self._searched = 0
        return taken

    def take_all(self) -> bytes:
        """Everything that is there, maybe nothing."""
        taken = bytes(self._data)
        self._data.clear()
        self._searched = 0
        return taken

    def take_until(self, end: bytes) -> bytes | None:
        """Everything up to and including the first `end`, or None until it is there."""
        at = self._data.find(end, self._searched)
        if at < 0:
            self._searched = max(0, len(self._data) - len(end) + 1)
            return None
        return self.take(at + len(end))
