"""Master files read record by record, as octets, for zones that are compiled: simple lines by themselves; pure."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import dns.exception
import dns.ipv6
import dns.name
from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import RdataType

from netstack.dns.master import Include, Reader, entries
from netstack.dns.octets import octets_of
from netstack.dns.wire import name_text
from netstack.dns.zone import ZoneError

_NUMBERS = {str(number): bytes([number]) for number in range(256)}
_LENGTHS = [bytes([number]) for number in range(64)]
_UNUSUAL = re.compile(r"[^\t\n\r -!#-'*-\[\]-~]|\r(?!\n)")
"""What only the whole reader understands: quotes, parentheses, escapes, control characters, letters beyond ASCII."""
_NAMES = 10_000
"""Names in records of which it is remembered how they are written."""
_MAX_TTL = 2**32 - 1
_MX = int(RdataType.MX)

Data = tuple[bytes, bytes]
"""A record's data, and the same with its names in lower case."""


class Record(NamedTuple):
    """One record; names in it are not compressed."""

    owner: bytes
    rdtype: int
    ttl: int
    rdata: bytes
    digest: bytes
    """The data with its names in lower case: what tells records apart."""


class MasterFile(Reader):
    """The records of one zone's file, in its order; those outside of the zone are left out. To be read once.

    A line without parentheses, quotes and escapes, of a common type, costs 2 to 3 microseconds; others go to the Reader.
    """

    def __init__(self, origin: Name, file: str = "", include: Include | None = None) -> None:
        """`file`: its name in errors."""
        super().__init__(origin, include)
        self._file = file
        self._apex = octets_of(origin)
        self._found: list[Record] = []
        self._known: dict[str, bytes] = {}
        self._types: dict[str, tuple[int, Callable[[str, bytes], Data | None]]] = {}
        for rdtype, read in (
            (RdataType.A, _address), (RdataType.AAAA, _long_address), (RdataType.NS, self._host),
            (RdataType.CNAME, self._host), (RdataType.PTR, self._host), (RdataType.MX, self._exchange),
        ):  # fmt: skip
            self._types[rdtype.name] = self._types[rdtype.name.lower()] = (int(rdtype), read)

    def records(self, lines: Iterable[str]) -> Iterator[Record]:
        """Of the file's lines, split at "\\n" alone; raises ZoneError that names file and line."""
        waiting = iter(lines)
        apex, current = self._apex, self._origin
        origin = current.to_wire() or b""
        owner: bytes | None = None
        inside = told = True
        number = 0
        for line in waiting:
            number += 1
            plain = line
            if ";" in line and '"' not in line and "\\" not in line:
                plain = line.partition(";")[0]
            simple = None
            if plain[:1] != "$" and not _UNUSUAL.search(plain):
                fields = plain.split()
                if not fields:
                    continue
                at, name = 0, owner
                if plain[0] not in " \t":
                    at, name = 1, self._name(fields[0], origin)
                if name is not None:
                    simple = self._simple(fields, at, origin)
            if simple is not None and name is not None:
                if at:
                    owner, told = name, False
                    inside = _below(name.lower(), apex)
                if inside:
                    yield Record(name, *simple)
                continue
            if not told and owner is not None:  # the reader learns of what was read without it
                self._owner = dns.name.from_wire(owner, 0)[0]
                told = True
            for first, entry in entries(chain((line,), waiting), number):
                number = first if entry is None else first + entry.count("\n")
                self._entry(first, entry, 0)
                if self._errors:
                    raise ZoneError(f"zone {name_text(self.zone)}: {next(it for it in self.remarks if it.serious)}")
                break
            found, self._found = self._found, []
            yield from found
            if self._origin is not current:
                current = self._origin
                origin = current.to_wire() or b""
                self._known.clear()
            owner = None if self._owner is None else self._owner.to_wire()
            inside = owner is not None and _below(owner.lower(), apex)

    def _add(self, name: Name, ttl: int, rdata: Rdata) -> None:
        if name.is_subdomain(self.zone):
            octets = rdata.to_wire() or b"", rdata.to_digestable() or b""
            self._found.append(Record(name.to_wire() or b"", int(rdata.rdtype), ttl, *octets))

    def _simple(self, fields: list[str], at: int, origin: bytes) -> tuple[int, int, bytes, bytes] | None:
        """[TTL] [IN] type data, of a type that is known here; None where the Reader must see to it."""
        count = len(fields)
        given = None
        if at < count and fields[at].isdigit():
            given = int(fields[at])
            if given > _MAX_TTL:
                return None
            at += 1
        if at < count and fields[at] in ("IN", "in"):
            at += 1
        kind = self._types.get(fields[at]) if at < count else None
        if kind is None or at + 1 == count or (count != at + 2 and kind[0] != _MX):
            return None
        rdtype, read = kind
        data = read(fields[at + 1] if count == at + 2 else " ".join(fields[at + 1 :]), origin)
        ttl = self._implicit() if given is None else given
        if data is None or ttl is None:
            return None
        if given is not None:
            self._last = given
        return rdtype, ttl, *data

    def _host(self, text: str, origin: bytes) -> Data | None:
        name = self._known.get(text)
        if name is None:
            found = self._name(text, origin)
            if found is None:
                return None
            if len(self._known) >= _NAMES:
                self._known.clear()
            name = self._known[text] = found
        return name, name.lower()

    def _exchange(self, text: str, origin: bytes) -> Data | None:
        preference, _, exchange = text.partition(" ")
        if not preference.isdigit() or not exchange or " " in exchange or int(preference) > 0xFFFF:
            return None
        found = self._host(exchange, origin)
        before = int(preference).to_bytes(2, "big")
        return None if found is None else (before + found[0], before + found[1])

    def _name(self, text: str, origin: bytes) -> bytes | None:
        """A name's octets; None where it cannot be read so."""
        if text == "@":
            return origin
        end = origin
        if text[-1] == ".":
            if text == ".":
                return b"\0"
            text, end = text[:-1], b"\0"
        octets = b""
        for label in text.encode().split(b"."):
            length = len(label)
            if not 0 < length < 64:
                return None
            octets += _LENGTHS[length] + label
        octets += end
        return octets if len(octets) <= 255 else None

    def _implicit(self) -> int | None:
        return self._default if self._default is not None else super()._implicit()


def _below(name: bytes, apex: bytes) -> bool:
    """Whether a name is at or below another; both in lower case."""
    if not name.endswith(apex):
        return False
    at, place = 0, len(name) - len(apex)
    while at < place:
        at += name[at] + 1
    return at == place


def _address(text: str, origin: bytes) -> Data | None:
    parts = text.split(".")
    if len(parts) != 4:
        return None
    try:
        octets = _NUMBERS[parts[0]] + _NUMBERS[parts[1]] + _NUMBERS[parts[2]] + _NUMBERS[parts[3]]
    except KeyError:
        return None
    return octets, octets


def _long_address(text: str, origin: bytes) -> Data | None:
    try:
        octets = dns.ipv6.inet_aton(text)
    except (dns.exception.DNSException, ValueError):
        return None
    return octets, octets
