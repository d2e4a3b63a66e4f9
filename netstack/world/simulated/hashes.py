"""The two hashes of a run: packets (time, ends, size) and journal (plaintext). Equal runs have equal hashes."""

import sys
from array import array
from hashlib import blake2b

from netstack.kernel.journal import Row


class PacketHash:
    """Over (nanoseconds, source, destination, octets) of every packet sent; an end is (host number, port).

    Senders extend `pending` themselves with four integers; `flush` hashes them.
    """

    __slots__ = ("_hash", "pending", "sent")

    def __init__(self) -> None:
        self.pending: list[int] = []
        self.sent = 0
        self._hash = blake2b(digest_size=16)

    def flush(self) -> None:
        """Hash what is pending."""
        if self.pending:
            self.sent += len(self.pending) // 4
            block = array("q", self.pending)
            if sys.byteorder == "big":
                block.byteswap()
            self._hash.update(block.tobytes())
            self.pending.clear()

    def hexdigest(self) -> str:
        """Of all packets so far."""
        self.flush()
        return self._hash.hexdigest()


class JournalHash:
    """Over every row written; subscribe `add` to the journal."""

    __slots__ = ("_hash", "rows")

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self.rows = 0

    def add(self, row: Row) -> None:
        """One more row."""
        self.rows += 1
        head = f"{row.time!r} {row.transport} {row.protocol} {row.source} {row.destination} {row.summary} {row.secure}"
        self._hash.update(f"{len(head)} {len(row.data)} {head}".encode())
        self._hash.update(row.data)

    def hexdigest(self) -> str:
        """Of all rows so far."""
        return self._hash.hexdigest()
