"""What a name server makes of messages that are more than questions: signed ones, transfers, NOTIFY, updates; pure.

Plain questions are the Authority's; `special` tells them apart by a look at the octets.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import dns.exception
import dns.message
import dns.name
from dns.message import Message
from dns.name import Name
from dns.opcode import Opcode
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from netstack.dns.access import Access, UpdatePolicy
from netstack.dns.authority import Authority, Reply
from netstack.dns.dnssec.signer import Signing
from netstack.dns.history import History, records_of
from netstack.dns.serial import newer, serial_of
from netstack.dns.transfer import MESSAGE, increments, messages, whole_zone
from netstack.dns.tsig import Key, Keyring, Signer, Unverified, Verified, verify
from netstack.dns.update import Update, parse_update
from netstack.dns.wire import AA, HEADER, LARGEST, PLAIN_UDP, QR, RD, TC, MalformedMessage, Question
from netstack.dns.zone import Zone
from netstack.sansio import Now

_MARKS = (b"\x00\xfa\x00\xff", b"\x00\xfb\x00\x01", b"\x00\xfc\x00\x01")
"""TSIG of class ANY, IXFR and AXFR of class IN. Other octets may look like them; that costs time alone."""
_TRANSFERS = frozenset({(RdataType.AXFR, RdataClass.IN), (RdataType.IXFR, RdataClass.IN)})
SMALL = 100
"""Records of differences that are always sent as such; more than the zone has are sent as the zone (RFC 1995 §4)."""


@dataclass(slots=True)
class ZoneRules:
    """What one zone's server grants, and the versions it remembers."""

    transfer: Access = field(default_factory=Access)
    policy: UpdatePolicy | None = None
    """None: no updates."""
    frozen: bool = False
    """Updates are refused for the time being, so that the zone's file may be changed."""
    notify_from: Access | None = None
    """Whose NOTIFY counts; None: this server is the zone's primary."""
    history: History = field(default_factory=History)
    signing: Signing | None = None
    """How this server signs the zone; None: it does not."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A reply of many messages, each made when it is asked for."""

    messages: Iterator[bytes]
    question: Question
    whole: bool
    """False: differences."""
    seal: "Seal"

    def next_message(self, wall: float) -> bytes | None:
        """The next message, signed; None at the end."""
        data = next(self.messages, None)
        return None if data is None else self.seal.close(data, wall)


@dataclass(frozen=True, slots=True)
class Notified:
    """A primary says that a zone has changed (RFC 1996 §3.7); `serial` where it tells."""

    reply: Reply
    origin: Name
    address: str
    serial: int | None


@dataclass(frozen=True, slots=True)
class Announced:
    """A child of a zone of ours says that it has CDS records (RFC 9859 §4)."""

    reply: Reply
    origin: Name
    child: Name


@dataclass(frozen=True, slots=True)
class Change:
    """An update that may be carried out; `seal` makes the octets of the reply."""

    origin: Name
    update: Update
    key: Key | None
    seal: "Seal"


class Plain(Enum):
    """An unsigned question like any other, for the Authority: the octets only looked special."""

    QUESTION = 1


Outcome = Reply | Transfer | Notified | Announced | Change


@dataclass(frozen=True, slots=True)
class Seal:
    """How replies to one message go out: signed as it was, no longer than it allows."""

    query: bytes
    """What was signed."""
    signer: Signer | None
    limit: int

    @property
    def room(self) -> int:
        """Octets for a reply without its signature."""
        return self.limit - (self.signer.size if self.signer is not None else 0)

    def close(self, reply: bytes, wall: float) -> bytes:
        """The reply as it is sent; empty with TC where it is too long (RFC 8945 §5.3)."""
        if self.signer is None:
            return reply
        if len(reply) > self.room:
            reply = echo(self.query, Rcode(reply[3] & 15), int.from_bytes(reply[2:4], "big") & AA | TC)
        return self.signer.sign(reply, wall)

    def error(self, rcode: Rcode, wall: float, flags: int = 0) -> Reply:
        """A reply of header and question alone."""
        return Reply(self.close(echo(self.query, rcode, flags), wall), rcode, None)


def special(data: bytes) -> bool:
    """Whether a message may be more than a plain question."""
    return len(data) >= HEADER and (bool(data[2] & 0x78) or any(mark in data for mark in _MARKS))


class Nameserver:
    """The zones of an Authority with their rules: who may transfer and change them, and what changed lately."""

    def __init__(self, authority: Authority, keys: Keyring, rules: dict[Name, ZoneRules] | None = None) -> None:
        self.authority = authority
        self.keys = keys
        self.rules = rules or {}

    def receive(self, data: bytes, stream: bool, address: str, now: Now) -> Outcome | Plain | None:
        """What is to be done about a message; None: nothing is due (a reply, or too short)."""
        if len(data) < HEADER or data[2] & 0x80:
            return None
        try:
            found = verify(data, self.keys, now.wall)
        except MalformedMessage:
            return Reply(echo(data[:HEADER], Rcode.FORMERR), Rcode.FORMERR, None)
        if isinstance(found, Unverified):
            reply = found.attach(echo(data, found.rcode), now.wall)
            return Reply(reply, found.rcode, None)
        key, signer, message = None, None, data
        if isinstance(found, Verified):
            key, signer = found.key, found.signer
            message = data[:2] + found.message[2:]
        opcode = data[2] >> 3 & 15
        if opcode == Opcode.UPDATE:
            return self._update(Seal(message, signer, LARGEST), key, now)
        if signer is None and opcode != Opcode.NOTIFY and question_type(data) not in _TRANSFERS:
            return Plain.QUESTION
        try:
            parsed = dns.message.from_wire(message, keyring=False)
        except Exception:  # the library's decoders raise whatever they stumble over; all of it is the sender's fault
            return Seal(message, signer, LARGEST).error(Rcode.FORMERR, now.wall)
        seal = Seal(message, signer, LARGEST if stream else self._payload(parsed))
        if opcode == Opcode.NOTIFY:
            return self._notify(parsed, seal, key, address, now)
        asked: Any = parsed.question[0] if len(parsed.question) == 1 else None
        if opcode == Opcode.QUERY and asked is not None and (asked.rdtype, asked.rdclass) in _TRANSFERS:
            return self._transfer(parsed, seal, key, address, stream, now)
        plain = self.authority.answer(message, stream)
        return None if plain is None else Reply(seal.close(plain.data, now.wall), plain.rcode, plain.question)

    def rules_of(self, origin: Name) -> ZoneRules:
        """The rules of a zone; one that has none grants nothing."""
        return self.rules.setdefault(origin, ZoneRules())

    def _payload(self, message: Message) -> int:
        return max(PLAIN_UDP, min(message.payload, self.authority.udp_payload)) if message.edns >= 0 else PLAIN_UDP

    def _zone(self, origin: Name) -> Zone | Rcode:
        """The zone of exactly this origin, or why there is none."""
        zone = self.authority.zones.get(origin)
        if zone is not None:
            return zone
        return Rcode.SERVFAIL if origin in self.authority.unavailable else Rcode.NOTAUTH

    def _transfer(
        self, message: Message, seal: Seal, key: Key | None, address: str, stream: bool, now: Now
    ) -> Reply | Transfer:
        asked: Any = message.question[0]
        question = Question(asked.name, asked.rdtype)
        if question.rdtype == RdataType.AXFR and not stream:
            return seal.error(Rcode.FORMERR, now.wall)  # RFC 5936 §4.2
        zone = self._zone(question.name)
        if isinstance(zone, Rcode):
            return seal.error(zone, now.wall)
        rules = self.rules_of(zone.origin)
        if not rules.transfer.allows(key, address):
            return seal.error(Rcode.REFUSED, now.wall)
        options = b"" if message.edns < 0 else _options(self.authority.udp_payload)
        soa = zone.soa
        records, whole = whole_zone(zone), True
        if question.rdtype == RdataType.IXFR:
            theirs = next((each for each in message.authority if each.rdtype == RdataType.SOA), None)
            if theirs is None or theirs.name != zone.origin:
                return seal.error(Rcode.FORMERR, now.wall)
            if not newer(serial_of(soa), serial_of(theirs)):
                records, whole = records_of(soa), False
            else:
                differences = rules.history.since(serial_of(theirs))
                latest = differences is not None and serial_of(differences[-1].new) == serial_of(soa)
                if differences is not None and latest and _worth(sum(each.size for each in differences), zone):
                    records, whole = increments(soa, differences), False
        if not stream:
            found = list(messages(message.id, question, () if whole else records, seal.room, options))
            if whole or len(found) > 1 or len(found[0]) > seal.room:  # RFC 1995 §2: the SOA alone, go on over TCP
                found = list(messages(message.id, question, records_of(soa), seal.room, options))
            return Reply(seal.close(found[0], now.wall), Rcode.NOERROR, question)
        return Transfer(messages(message.id, question, records, MESSAGE, options), question, whole, seal)

    def _notify(self, message: Message, seal: Seal, key: Key | None, address: str, now: Now) -> Reply | Notified | Announced:
        asked: Any = message.question[0] if len(message.question) == 1 else None
        if asked is not None and asked.rdclass == RdataClass.IN and asked.rdtype == RdataType.CDS:
            return self._announced(asked.name, seal, now)
        if asked is None or asked.rdclass != RdataClass.IN or asked.rdtype != RdataType.SOA:
            return seal.error(Rcode.FORMERR, now.wall)
        rules = self.rules.get(asked.name)
        if rules is None and isinstance(self._zone(asked.name), Rcode):
            return seal.error(Rcode.NOTAUTH, now.wall)
        if rules is None or rules.notify_from is None or not rules.notify_from.allows(key, address):
            return seal.error(Rcode.REFUSED, now.wall)
        told = next((each for each in message.answer if each.rdtype == RdataType.SOA and each.name == asked.name), None)
        reply = seal.error(Rcode.NOERROR, now.wall, AA)
        return Notified(reply, asked.name, address, None if told is None else serial_of(told))

    def _announced(self, child: Name, seal: Seal, now: Now) -> Reply | Announced:
        """Anybody may say so: it is no more than a reason to look."""
        name = child
        while len(name) > 1:
            name = name.parent()
            zone = self.authority.zones.get(name)
            if zone is None:
                continue
            node, rules = zone.nodes.get(child), self.rules_of(name)
            if node is None or RdataType.DS not in node.rrsets or rules.notify_from is not None:
                break
            return Announced(seal.error(Rcode.NOERROR, now.wall, AA), name, child)
        return seal.error(Rcode.REFUSED, now.wall)

    def _update(self, seal: Seal, key: Key | None, now: Now) -> Reply | Change:
        try:
            update = parse_update(seal.query)
        except MalformedMessage:
            return Reply(seal.close(echo(seal.query[:HEADER], Rcode.FORMERR), now.wall), Rcode.FORMERR, None)
        zone = self._zone(update.zone) if update.rdclass == RdataClass.IN else Rcode.NOTAUTH
        if isinstance(zone, Rcode):
            return seal.error(zone, now.wall)
        rules = self.rules_of(zone.origin)
        if rules.notify_from is not None or rules.policy is None or rules.frozen or not rules.policy.knows(key):
            return seal.error(Rcode.REFUSED, now.wall)
        return Change(zone.origin, update, key, seal)


def question_type(query: bytes) -> tuple[int, int] | None:
    """Type and class of the first question, where there is one to read."""
    try:
        _, used = dns.name.from_wire(query, HEADER)
        rdtype, rdclass = struct.unpack("!HH", query[HEADER + used : HEADER + used + 4])
    except (dns.exception.DNSException, struct.error):
        return None
    return rdtype, rdclass


def echo(query: bytes, rcode: Rcode, flags: int = 0) -> bytes:
    """A reply of the header and, where it can be read, the one question (or zone) of the query."""
    kept = QR | int.from_bytes(query[2:4], "big") & (0x7800 | RD) | flags | rcode & 15
    head = query[:2] + kept.to_bytes(2, "big")
    if query[4:6] == b"\0\1":
        try:
            _, used = dns.name.from_wire(query, HEADER)
        except dns.exception.DNSException:
            used = LARGEST
        if HEADER + used + 4 <= len(query):
            return head + b"\0\1" + bytes(6) + query[HEADER : HEADER + used + 4]
    return head + bytes(8)


def _options(payload: int) -> bytes:
    """An OPT record without options (RFC 6891 §6.1.2)."""
    return b"\0" + RdataType.OPT.to_bytes(2, "big") + payload.to_bytes(2, "big") + bytes(6)


def _worth(size: int, zone: Zone) -> bool:
    return size <= SMALL or size <= sum(map(len, zone))
