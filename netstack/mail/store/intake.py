"""What comes in: octets or a part of a file, made ready for the index in a thread."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from zlib import crc32

from netstack.kernel.disk import Disk
from netstack.mail.store.limits import StoreLimits
from netstack.mail.store.messages import Arrival
from netstack.mail.store.schema import Quota
from netstack.mail.store.summary import OCTETS, Summary, summary
from netstack.sansio import FileSlice

_CHUNK = 256 * 1024
_TOGETHER = 4
"""Times what is committed with its row: so much of a message is written to its file together with others."""


@dataclass(slots=True)
class Incoming:
    """A message before it has a place."""

    before: bytes
    """Put in front of the message."""
    message: bytes | FileSlice
    date: float
    bits: int
    keywords: str
    once: str | None
    quota: Quota

    @property
    def size(self) -> int:
        """Octets of it all."""
        own = self.message.length if isinstance(self.message, FileSlice) else len(self.message)
        return len(self.before) + own

    def close(self) -> None:
        """Give the file back, if it is one."""
        if isinstance(self.message, FileSlice):
            self.message.file.close()

    def arrival(self, octets: bytes | None, source: str | None, crc: int, seen: Summary) -> Arrival:
        """With what was read of it."""
        return Arrival(
            octets, source, self.size, crc, self.date, self.bits, self.keywords, seen, self.once, self.quota
        )  # fmt: skip


def small(incoming: Incoming) -> Arrival:
    """Into memory; raises OSError."""
    octets = whole(incoming)
    return incoming.arrival(octets, None, crc32(octets), summary(octets))


def whole(incoming: Incoming) -> bytes:
    """All of its octets; raises OSError."""
    message = incoming.message
    if isinstance(message, FileSlice):
        read = message.file.read_at(message.offset, message.length)
        if len(read) != message.length:
            raise OSError(f"a message of {message.length} octets has {len(read)}")
        message = read
    return incoming.before + message


def large(incoming: Incoming, disk: Disk, path: str) -> Arrival:
    """Into a file of its own, durable on return; raises OSError."""
    crc = crc32(incoming.before)
    head = incoming.before
    appender = disk.append(path)
    try:
        appender.write(incoming.before)
        read = _reader(incoming.message)
        left = incoming.size - len(incoming.before)
        while left > 0:
            part = read(incoming.size - len(incoming.before) - left, min(_CHUNK, left))
            if not part:
                raise OSError(f"{left} octets of a message are missing")
            appender.write(part)
            crc = crc32(part, crc)
            if len(head) < OCTETS:
                head += part[:OCTETS]
            left -= len(part)
        appender.sync()
    except OSError:
        appender.close()
        with suppress(OSError):
            disk.remove_all([path])
        raise
    appender.close()
    return incoming.arrival(None, path, crc, summary(head))


def is_large(incoming: Incoming, limits: StoreLimits) -> bool:
    """Whether it goes into its file before it is committed."""
    return incoming.size > limits.inline


def is_huge(incoming: Incoming, limits: StoreLimits) -> bool:
    """Whether that takes so long that others are not to wait for it."""
    return incoming.size > _TOGETHER * limits.inline


def _reader(message: bytes | FileSlice) -> Callable[[int, int], bytes]:
    if isinstance(message, FileSlice):
        start, file = message.offset, message.file
        return lambda offset, length: file.read_at(start + offset, length)
    return lambda offset, length: message[offset : offset + length]
