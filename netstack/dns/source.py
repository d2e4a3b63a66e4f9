"""Where a zone's master file is: read, with what it includes from its own directory, again and again."""

import hashlib
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field

import dns.exception
import dns.name
from dns.name import Name

from netstack.dns.check import doubts
from netstack.dns.master import Contents, Include, IncludeError, Remark, read_master
from netstack.dns.stored import StoredZone
from netstack.dns.zone import Zone, ZoneError
from netstack.dns.zonefile import HEADER, is_compiled
from netstack.kernel.disk import Disk


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as it was read: the zone, what is doubtful about it, and a hash of all octets it was made of."""

    zone: Zone
    remarks: tuple[Remark, ...]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """The master file `file` at the root of a disk, which is its directory: $INCLUDE cannot lead out of it."""

    origin: str
    disk: Disk
    file: str
    reading: Reading | None = field(default=None, compare=False, repr=False)
    """What it was, where it has been read already."""

    @classmethod
    def on(cls, origin: str, disk: Disk, path: str) -> "Source":
        """A file anywhere below a disk's root."""
        directory, file = posixpath.split(path)
        return cls(origin, disk.below(directory) if directory else disk, file)

    @property
    def name(self) -> Name:
        """The zone's; raises ZoneError."""
        try:
            return dns.name.from_text(self.origin)
        except dns.exception.DNSException as error:
            raise ZoneError(f"zone {self.origin!r}: the origin is not a domain name: {error}") from error

    def read(self) -> Reading:
        """The file as it is now, a master file or a compiled one; raises ZoneError that names file and line."""
        stored = self._stored()
        if stored is not None:
            return stored
        digest = hashlib.sha256()
        contents = self.contents(digest)
        for remark in contents.errors:
            raise ZoneError(f"zone {self.origin}: {remark}")
        try:
            zone = Zone(self.name, contents.rrsets)
        except ZoneError as error:
            raise ZoneError(f"{self.file}: {error}") from error
        for hidden in zone.occluded():
            raise ZoneError(f"{self.file}: {hidden}")
        return Reading(zone, tuple(contents.remarks), digest.digest())

    def _stored(self) -> Reading | None:
        """A compiled file, which stays open; None where it is none."""
        try:
            file = self.disk.open(self.file)
        except OSError:
            return None  # whoever reads it says so
        if not is_compiled(file.read_at(0, HEADER)):
            file.close()
            return None
        try:
            zone = StoredZone(self.name, file, file.stat.size)
        except ZoneError as error:
            file.close()
            raise ZoneError(f"zone {self.origin}: {self.file}: {error}") from error
        return Reading(zone, (), zone.about.digest)

    def contents(self, digest: "hashlib._Hash | None" = None) -> Contents:
        """What the file says, right or wrong; raises ZoneError when it cannot be read at all."""

        def read(path: str) -> bytes:
            data = self.disk.read(path)
            if digest is not None:
                digest.update(data)
            return data

        try:
            text = read(self.file).decode("utf-8")
            return read_master(self.name, text, self.file, including(self.file, read))
        except UnicodeDecodeError as error:
            raise ZoneError(f"zone {self.origin}: {self.file}: not text in UTF-8: {error}") from error
        except OSError as error:
            raise ZoneError(f"zone {self.origin}: {self.file}: {error.strerror or error}") from error


def including(file: str, read: Callable[[str], bytes]) -> Include:
    """The texts of what `file` includes; `read` gives the octets of a file of its directory, or raises OSError."""

    def include(path: str) -> str:
        try:
            return read(path).decode("utf-8")
        except UnicodeDecodeError:
            raise IncludeError("not text in UTF-8") from None
        except OSError as error:
            raise IncludeError(f"{error.strerror or error}; expected a file in the directory of {file}") from None

    return include


def checked(source: Source) -> tuple[Zone | None, list[Remark]]:
    """The zone of a file, None where it is none, and all that is wrong with it or doubtful, in order."""
    try:
        contents = source.contents()
        remarks = list(contents.remarks)
        if contents.errors:
            return None, remarks
        zone = Zone(source.name, contents.rrsets)
    except ZoneError as error:
        return None, [Remark(source.file, 0, str(error))]
    remarks += (Remark(source.file, 0, hidden) for hidden in zone.occluded())
    remarks += (Remark(source.file, 0, text, serious=False) for text in doubts(zone))
    return zone, remarks
