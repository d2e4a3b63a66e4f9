"""Zone transfers as messages: out (AXFR, RFC 5936 §2-4; IXFR, RFC 1995 §4) and in, which trusts nothing it is sent; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from typing import Any

import dns.message
import dns.rdataclass
from dns.name import Name
from dns.opcode import Opcode
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.history import Difference, Record, records_of, rrsets_of
from netstack.dns.serial import newer, serial_of
from netstack.dns.wire import AA, HEADER, QR, TC, MalformedMessage, Question, name_text, parse_reply
from netstack.dns.zone import Zone, ZoneError

MESSAGE = 32 * 1024
"""Octets after which a transfer goes on in another message; a larger record has one for itself."""
_ROOM = 65_000
"""Octets of the largest message that has room for a signature."""


def whole_zone(zone: Zone) -> Iterator[Record]:
    """The records of an AXFR (RFC 5936 §2.2): SOA first and last."""
    rest = (records_of(rrset) for rrset in zone.snapshot() if rrset is not zone.soa and rrset.rdtype != RdataType.SOA)
    return chain(records_of(zone.soa), chain.from_iterable(rest), records_of(zone.soa))


def increments(soa: RRset, differences: Iterable[Difference]) -> Iterator[Record]:
    """The records of an IXFR (RFC 1995 §4): each difference from its old SOA to its new one, within the latest SOA."""
    parts = (
        chain(records_of(each.old), each.deleted, records_of(each.new), each.added) for each in differences
    )  # fmt: skip
    return chain(records_of(soa), chain.from_iterable(parts), records_of(soa))


def messages(
    identity: int, question: Question, records: Iterable[Record], size: int = MESSAGE, options: bytes = b""
) -> Iterator[bytes]:
    """The records in as few messages as `size` allows; the question is in the first alone (RFC 5936 §2.2.1).

    `options` is the OPT record of every message, or empty.
    """
    body = _Body(question)
    for record in records:
        if not body.add(record, size):
            yield body.message(identity, options)
            body = _Body(None)
            body.add(record, _ROOM)
    yield body.message(identity, options)


class _Body:
    """One message while it grows."""

    def __init__(self, question: Question | None) -> None:
        self._file = BytesIO()
        self._file.write(bytes(HEADER))
        self._known: dict[Name, int] = {}
        self._count = 0
        self._questions = 0
        if question is not None:
            question.name.to_wire(self._file, self._known)
            self._file.write(question.rdtype.to_bytes(2, "big") + RdataClass.IN.to_bytes(2, "big"))
            self._questions = 1

    def add(self, record: Record, size: int) -> bool:
        """False: the record would go beyond `size` and there are others in the message."""
        file = self._file
        start = file.tell()
        record.name.to_wire(file, self._known)
        file.write(record.rdtype.to_bytes(2, "big") + RdataClass.IN.to_bytes(2, "big") + record.ttl.to_bytes(4, "big"))
        file.write(b"\0\0")
        before = file.tell()
        record.rdata.to_wire(file, self._known)
        end = file.tell()
        if end > size and self._count:
            file.seek(start)
            file.truncate()
            return False
        file.seek(before - 2)
        file.write((end - before).to_bytes(2, "big"))
        file.seek(end)
        self._count += 1
        return True

    def message(self, identity: int, options: bytes) -> bytes:
        """Its octets."""
        head = (identity, QR | AA, self._questions, self._count, 0, 1 if options else 0)
        return b"".join(field.to_bytes(2, "big") for field in head) + self._file.getvalue()[HEADER:] + options


# In


class TransferError(Exception):
    """The primary did not send what it should; the text says what."""


class NotIncremental(TransferError):
    """The primary cannot do IXFR, or its differences do not fit: the whole zone is to be asked for."""


@dataclass(frozen=True, slots=True)
class Current:
    """The primary has no newer version than `serial`."""

    serial: int


@dataclass(frozen=True, slots=True)
class WholeZone:
    """All records of the zone came."""

    zone: Zone


@dataclass(frozen=True, slots=True)
class Increments:
    """Differences came, the first from our own version."""

    differences: tuple[Difference, ...]


Transferred = Current | WholeZone | Increments


class Incoming:
    """Reads the reply to one AXFR or IXFR query, message by message, in order."""

    def __init__(self, identity: int, origin: Name, serial: int | None, records: int = 10_000_000) -> None:
        """`serial`: of our version, when the query was IXFR. `records`: more of them are an error."""
        self.identity = identity
        self.question = Question(origin, RdataType.AXFR if serial is None else RdataType.IXFR)
        self.origin = origin
        self.serial = serial
        self._room = records
        self._last: RRset | None = None
        """The SOA that came first, which ends the transfer too."""
        self._whole: list[Record] = []
        self._differences: list[Difference] = []
        self._old: RRset | None = None
        self._new: RRset | None = None
        self._deleted: list[Record] = []
        self._added: list[Record] = []
        self._count = 0
        self._done: Transferred | None = None

    def receive(self, data: bytes) -> Transferred | None:
        """The outcome once all has come; raises TransferError."""
        for record in self._records(data):
            if self._done is not None:
                raise TransferError("records after the last one")
            self._count += 1
            if self._count > self._room:
                raise TransferError(f"more than {self._room} records")
            self._take(record)
        if self._done is None and self._count == 1 and self.serial is not None and self._last is not None:
            # RFC 1995 §4: the SOA alone; nothing newer, or differences that the primary does not have
            if newer(serial_of(self._last), self.serial):
                raise NotIncremental("the primary sends its SOA alone")
            self._done = Current(serial_of(self._last))
        return self._done

    def _records(self, data: bytes) -> list[Record]:
        try:
            message = dns.message.from_wire(data, keyring=False, one_rr_per_rrset=True)
        except Exception as error:  # the library's decoders raise whatever they stumble over
            raise TransferError(f"malformed message: {type(error).__name__}: {error}") from error
        flags = int(message.flags)
        if message.id != self.identity or not flags & QR or message.opcode() != Opcode.QUERY:
            raise TransferError("a message that is no reply to the query")
        if message.rcode() != Rcode.NOERROR:
            kind = NotIncremental if self.serial is not None and not self._count else TransferError
            raise kind(f"the primary says {Rcode.to_text(message.rcode())}")
        if flags & TC:
            raise TransferError("a truncated message")
        asked: Any = message.question
        if asked and (len(asked) > 1 or (asked[0].name, asked[0].rdtype) != self.question):
            raise TransferError("a reply to another question")
        if not self._count and not message.answer:
            raise TransferError("no SOA in the first message")
        found = []
        for rrset in message.answer:
            if rrset.rdclass != RdataClass.IN or not rrset.name.is_subdomain(self.origin):
                raise TransferError(f"{name_text(rrset.name)} is not of the zone")
            if rrset.rdtype == RdataType.SOA and rrset.name != self.origin:
                raise TransferError(f"a SOA record of {name_text(rrset.name)}")
            found.append(Record(rrset.name, rrset.ttl, rrset[0]))
        return found

    def _take(self, record: Record) -> None:
        soa = rrsets_of([record])[0] if record.rdtype == RdataType.SOA else None
        if self._last is None:
            if soa is None:
                raise TransferError("the first record is no SOA")
            self._last = soa
        elif self._old is not None:
            self._take_difference(record, soa, self._old, self._last)
        elif self._count == 2 and soa is not None and self.serial is not None and serial_of(soa) == self.serial:
            if not newer(serial_of(self._last), self.serial):
                raise TransferError("differences to a version that is not newer")
            self._old = soa
        elif soa is None:
            self._whole.append(record)
        else:
            self._end_whole(soa, self._last)

    def _end_whole(self, soa: RRset, last: RRset) -> None:
        if serial_of(soa) != serial_of(last):
            raise TransferError("the last SOA is not the first one")
        try:
            self._done = WholeZone(Zone(self.origin, [*rrsets_of(self._whole), last]))
        except ZoneError as error:
            raise TransferError(str(error)) from error

    def _take_difference(self, record: Record, soa: RRset | None, old: RRset, last: RRset) -> None:
        if soa is None:
            (self._deleted if self._new is None else self._added).append(record)
        elif self._new is None:
            if not newer(serial_of(soa), serial_of(old)):
                raise TransferError("a difference to a version that is not newer")
            self._new = soa
        else:
            made = Difference(old, self._new, tuple(self._deleted), tuple(self._added))
            self._differences.append(made)
            if serial_of(soa) != serial_of(self._new):
                raise TransferError("differences that do not follow each other")
            self._old, self._new, self._deleted, self._added = soa, None, [], []
            if serial_of(soa) == serial_of(last):
                self._done = Increments(tuple(self._differences))


def soa_of(data: bytes, identity: int, origin: Name) -> RRset:
    """The SOA in the reply to a refresh query; raises TransferError."""
    try:
        message = parse_reply(data)
    except MalformedMessage as error:
        raise TransferError(str(error)) from error
    asked: Any = message.question
    if message.id != identity or not asked or (asked[0].name, asked[0].rdtype) != (origin, RdataType.SOA):
        raise TransferError("a message that is no reply to the query")
    if message.rcode() != Rcode.NOERROR:
        raise TransferError(f"the primary says {Rcode.to_text(message.rcode())}")
    if not int(message.flags) & AA:
        raise TransferError("the primary is not authoritative for the zone")
    for rrset in message.answer:
        if rrset.name == origin and rrset.rdtype == RdataType.SOA and rrset.rdclass == dns.rdataclass.IN:
            return rrset
    raise TransferError("a reply without the SOA")
