"""What a server keeps of its zones on disk: a copy, and a journal of the differences since (RFC 2136 §3.5).

A difference is on disk before it is answered for. A journal's end that a crash cut off is left out, as nobody was told.
"""

import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256

from dns.name import Name

from netstack.dns.history import Difference, changed, from_octets, to_octets, zone_from_octets, zone_to_octets
from netstack.dns.serial import serial_of
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone, ZoneError
from netstack.kernel.disk import AppendedFile, Disk

_MAGIC = b"netstack zone 1\n"
_HEAD = struct.Struct("!II")
"""Before each difference in the journal: octets, and their CRC-32."""


class StoreError(ZoneError):
    """The files of a zone cannot be used; the text names them."""


@dataclass(slots=True)
class Stored:
    """What was found on disk."""

    zone: Zone
    differences: list[Difference] = field(default_factory=list)
    """Those that led to it, the latest last."""
    torn: int = 0
    """Octets at the journal's end that are not a whole difference."""


def keep_under(disk: Disk, stamp: str, text: str, paths: Iterable[str]) -> None:
    """Remove files that were begun under another text than this one; the file `stamp` says under which."""
    digest = sha256(text.encode()).hexdigest().encode() + b"\n"
    try:
        if disk.read(stamp) == digest:
            return
    except FileNotFoundError:
        pass
    for path in paths:
        with suppress(FileNotFoundError):
            disk.remove(path)
    disk.write(stamp, digest)


class ZoneStore:
    """The files of one zone below `zones/`."""

    def __init__(self, disk: Disk, origin: Name) -> None:
        self.disk = disk
        self.origin = origin
        directory = "@" if len(origin) <= 1 else name_text(origin).lower().replace("/", "\\047")
        self._copy = f"zones/{directory}/copy"
        self._journal = f"zones/{directory}/journal"
        self._refreshed = f"zones/{directory}/refreshed"
        self._stamp = f"zones/{directory}/begun"
        self._growing = AppendedFile(disk, self._journal)
        self.journal_octets = 0
        """Of the journal that may be appended to; 0: there is none, or its end is torn."""

    def belong_to(self, text: str) -> None:
        """Forget what is kept unless it was begun under the same text, such as the master file that it grew from."""
        keep_under(self.disk, self._stamp, text, (self._copy, self._journal, self._refreshed))

    def load(self) -> Stored | None:
        """The copy with all whole differences; None where there is none. Raises StoreError."""
        try:
            data = self.disk.read(self._copy)
        except FileNotFoundError:
            return None
        if not data.startswith(_MAGIC) or data[-4:] != zlib.crc32(data[:-4]).to_bytes(4, "big"):
            raise StoreError(f"{self._copy}: not a copy of a zone")
        try:
            stored = Stored(zone_from_octets(self.origin, data[len(_MAGIC) : -4]))
        except ValueError as error:
            raise StoreError(f"{self._copy}: {error}") from error
        try:
            journal = self.disk.read(self._journal)
        except FileNotFoundError:
            return stored
        self._replay(stored, journal)
        return stored

    def _replay(self, stored: Stored, journal: bytes) -> None:
        at = 0
        due: list[Difference] = []
        serial = serial_of(stored.zone.soa)
        while at + _HEAD.size <= len(journal):
            size, check = _HEAD.unpack_from(journal, at)
            data = journal[at + _HEAD.size : at + _HEAD.size + size]
            if len(data) != size or zlib.crc32(data) != check:
                break
            at += _HEAD.size + size
            try:
                each = from_octets(data)
            except ValueError as error:
                raise StoreError(f"{self._journal}: {error}") from error
            if stored.differences and serial_of(stored.differences[-1].new) != serial_of(each.old):
                stored.differences.clear()
            stored.differences.append(each)
            if serial_of(each.old) == serial:
                due.append(each)
                serial = serial_of(each.new)
        stored.torn = len(journal) - at
        self.journal_octets = 0 if stored.torn else at
        if stored.differences and serial_of(stored.differences[-1].new) != serial:
            stored.differences.clear()  # of another life of the zone
        try:
            stored.zone = changed(stored.zone, due) if due else stored.zone
        except ZoneError as error:
            raise StoreError(f"{self._journal}: {error}") from error

    def write(self, zone: Zone, differences: list[Difference] | None = None) -> None:
        """Replace what is kept: the whole zone, and a journal of the differences that led to it."""
        data = _MAGIC + zone_to_octets(zone)
        self.close()
        self.disk.write(self._copy, data + zlib.crc32(data).to_bytes(4, "big"))
        journal = b"".join(_framed(each) for each in differences or ())
        self.disk.write(self._journal, journal)
        self.journal_octets = len(journal)

    def append(self, differences: list[Difference]) -> None:
        """Add to the journal; on disk when this returns."""
        data = b"".join(_framed(each) for each in differences)
        self._growing.append(data)
        self.journal_octets += len(data)

    def close(self) -> None:
        """Close the journal; the next difference opens it again."""
        self._growing.close()

    def refreshed(self, wall: float) -> None:
        """Keep when a secondary last knew that its copy was the primary's (seconds since 1970)."""
        self.disk.write(self._refreshed, f"{wall:.0f}\n".encode())

    def last_refresh(self) -> float | None:
        """When that was; None: not known."""
        try:
            return float(self.disk.read(self._refreshed))
        except (FileNotFoundError, ValueError):
            return None


def _framed(difference: Difference) -> bytes:
    data = to_octets(difference)
    return _HEAD.pack(len(data), zlib.crc32(data)) + data
