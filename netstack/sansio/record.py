"""What the journal gets of a message that comes or goes in many pieces: its beginning."""

RECORDED = 1024 * 1024
"""Octets of one message that the journal gets at most."""


class Record:
    """The first RECORDED octets of a message, and how many there were beyond them."""

    __slots__ = ("_kept", "_omitted")

    def __init__(self) -> None:
        self._kept = bytearray()
        self._omitted = 0

    def __len__(self) -> int:
        return len(self._kept) + self._omitted

    def add(self, data: bytes) -> None:
        """Some more octets of the flow."""
        room = RECORDED - len(self._kept)
        self._kept += data[:room]
        self._omitted += max(0, len(data) - room)

    def take(self, unread: bytes = b"") -> tuple[bytes, int]:
        """The octets kept and the number of those omitted; the last ones, `unread`, begin the next message's record."""
        total = len(self) - len(unread)
        octets = bytes(self._kept[:total])
        self._kept.clear()
        self._omitted = 0
        self.add(unread)
        return octets, total - len(octets)
