"""Messages as octets and back (RFC 1035 §4, RFC 3597, RFC 6891), and their one-line summaries for the journal."""

from dataclasses import dataclass
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
from dns.message import Message
from dns.name import Name
from dns.opcode import Opcode
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from netstack.dns import library as library  # before messages are read: bounds what dnspython remembers of them
from netstack.sansio import ProtocolError

HEADER = 12
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
PLAIN_UDP = 512
"""RFC 1035 §4.2.1: the largest UDP message without EDNS(0)."""
LARGEST = 65535


class Question(NamedTuple):
    """What is asked. Class is IN."""

    name: Name
    rdtype: RdataType

    def __str__(self) -> str:
        return f"{type_text(self.rdtype)} {name_text(self.name)}"


class MalformedMessage(ProtocolError):
    """The octets are not a DNS message."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query that can be answered, with what its reply must take over."""

    id: int
    question: Question
    recursion_desired: bool
    checking_disabled: bool
    edns: bool
    payload: int
    """The largest UDP reply that the client takes."""
    dnssec_ok: bool
    rdclass: RdataClass = RdataClass.IN
    """Or ANY, where that was allowed."""
    authentic_data: bool = False
    """The client understands AD in the reply (RFC 6840 §5.7)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A query that is answered by an error alone: `reply` is ready to be sent."""

    rcode: Rcode
    reply: bytes


def parse_query(data: bytes, udp_payload: int, classes: tuple[RdataClass, ...] = (RdataClass.IN,)) -> Query | Refusal | None:
    """What a server has received. None: no reply is due (not a query, or no header).

    FORMERR and NOTIMP keep the id, also where nothing else could be read; unknown EDNS versions are BADVERS
    (RFC 6891 §6.1.3), more than one question is FORMERR (RFC 9619), other classes are REFUSED.
    What is behind the last record is not looked at.
    """
    if len(data) < HEADER or data[2] & 0x80:
        return None
    flags = int.from_bytes(data[2:4], "big")
    opcode = flags >> 11 & 15
    if opcode != Opcode.QUERY:
        return Refusal(Rcode.NOTIMP, header_reply(data, Rcode.NOTIMP))
    try:
        message = _from_wire(data, trailing=True)
    except MalformedMessage:
        return Refusal(Rcode.FORMERR, header_reply(data, Rcode.FORMERR))
    if message.edns > 0:
        return _refuse(message, Rcode.BADVERS, udp_payload)
    if message.had_tsig:
        return _refuse(message, Rcode.NOTAUTH, udp_payload)
    if len(message.question) != 1 or message.answer:
        return Refusal(Rcode.FORMERR, header_reply(data, Rcode.FORMERR))
    asked = message.question[0]
    if asked.rdtype in (RdataType.OPT, RdataType.TSIG, RdataType.TKEY):
        return _refuse(message, Rcode.FORMERR, udp_payload)
    if asked.rdtype in (RdataType.MAILA, RdataType.MAILB):
        return _refuse(message, Rcode.NOTIMP, udp_payload)
    if asked.rdclass not in classes or asked.rdtype in (RdataType.AXFR, RdataType.IXFR):
        return _refuse(message, Rcode.REFUSED, udp_payload)
    edns = message.edns == 0
    return Query(
        message.id,
        Question(asked.name, asked.rdtype),
        bool(flags & RD),
        bool(flags & CD),
        edns,
        max(PLAIN_UDP, min(message.payload, udp_payload)) if edns else PLAIN_UDP,
        edns and bool(message.ednsflags & dns.flags.DO),
        asked.rdclass,
        bool(flags & AD),
    )


def parse_reply(data: bytes) -> Message:
    """A reply as a client got it; raises MalformedMessage, also for a query."""
    if len(data) < HEADER or not data[2] & 0x80:
        raise MalformedMessage("not a reply")
    return _from_wire(data)


def make_query(
    identity: int, question: Question, recursion_desired: bool, edns_payload: int | None, dnssec_ok: bool = False
) -> bytes:
    """A query's octets; `edns_payload` None sends no OPT record. `dnssec_ok` asks for signatures (RFC 3225)."""
    message = dns.message.QueryMessage(id=identity)
    message.flags = dns.flags.Flag(RD if recursion_desired else 0)
    message.find_rrset(message.question, question.name, RdataClass.IN, question.rdtype, create=True)
    if edns_payload is not None:
        message.use_edns(0, dns.flags.DO if dnssec_ok else 0, edns_payload)
    return bytes(message.to_wire())


def make_reply(query: Query, udp_payload: int) -> Message:
    """An empty reply to a query: id, question, RD, CD and, where the query had it, EDNS(0) (RFC 6891 §6.1.1)."""
    message = dns.message.QueryMessage(id=query.id)
    message.flags = dns.flags.Flag(QR | (RD if query.recursion_desired else 0) | (CD if query.checking_disabled else 0))
    name, rdtype = query.question
    message.find_rrset(message.question, name, query.rdclass, rdtype, create=True, force_unique=True)
    if query.edns:
        message.use_edns(0, dns.flags.DO if query.dnssec_ok else 0, udp_payload)
    return message


def to_wire(message: Message, size: int, additional_needed: bool = False) -> bytes:
    """The reply's octets, at most `size`.

    What does not fit: the additional section is left out unless it is needed (glue, RFC 9471 §3); else the reply is empty
    and has TC set (RFC 2181 §9: nobody uses a part of an RRset).
    """
    try:
        return bytes(message.to_wire(max_size=size, want_shuffle=False))
    except dns.exception.TooBig:
        pass
    if message.additional and not additional_needed:
        message.additional = []
        return to_wire(message, size)
    message.answer, message.authority, message.additional = [], [], []
    message.flags |= TC
    return bytes(message.to_wire(max_size=size))


def header_reply(data: bytes, rcode: Rcode) -> bytes:
    """A reply of the header alone, with id, opcode and RD of the query `data` (12 octets or more)."""
    flags = QR | int.from_bytes(data[2:4], "big") & (0x7800 | RD | CD) | rcode
    return data[:2] + flags.to_bytes(2, "big") + bytes(8)


def _refuse(message: Message, rcode: Rcode, udp_payload: int) -> Refusal:
    reply = dns.message.QueryMessage(id=message.id)
    reply.flags = dns.flags.Flag(QR | message.flags & (RD | CD))
    if len(message.question) == 1:
        reply.question = message.question
    if message.edns >= 0:
        reply.use_edns(0, 0, udp_payload)
    reply.set_rcode(rcode)
    return Refusal(rcode, bytes(reply.to_wire()))


def _from_wire(data: bytes, trailing: bool = False) -> Message:
    try:
        return dns.message.from_wire(data, keyring=False, ignore_trailing=trailing)
    except Exception as error:  # the library's decoders raise whatever they stumble over; all of it is the sender's fault
        raise MalformedMessage(f"{type(error).__name__}: {error}") from error


# Summaries


def summary(data: bytes) -> str:
    """One line for the journal.

    "A gaia.cs.umass.edu?", "A gaia.cs.umass.edu: 127.1.2.3", "referral to edu NS a.edu-servers.net", "NXDOMAIN x.edu".
    """
    try:
        message = _from_wire(data)
    except MalformedMessage:
        if len(data) >= HEADER and data[2] & 0x80 and len(data) == HEADER:
            return Rcode(data[3] & 15).name
        return f"malformed message of {len(data)} octets"
    asked = message.question[0] if message.question else None
    question = f"{type_text(asked.rdtype)} {name_text(asked.name)}" if asked is not None else "no question"
    if not data[2] & 0x80:
        opcode = message.opcode()
        return f"{question}?" if opcode == Opcode.QUERY else f"{_opcode_text(opcode)} {question}"
    return _reply_summary(message, question) + (" (truncated)" if message.flags & TC else "")


def _reply_summary(message: Message, question: str) -> str:
    rcode = message.rcode()
    parts = [
        f"{'CNAME ' if rrset.rdtype == RdataType.CNAME and not question.startswith('CNAME ') else ''}{_rdata_text(rdata)}"
        for rrset in message.answer
        for rdata in rrset
    ]
    shown = ", ".join(parts[:6]) + (f", ... ({len(parts)} records)" if len(parts) > 6 else "")
    if rcode != Rcode.NOERROR:
        name = question.partition(" ")[2] if rcode == Rcode.NXDOMAIN else question
        return f"{dns.rcode.to_text(rcode)} {name}" + (f": {shown}" if shown else "")
    if parts:
        return f"{question}: {shown}"
    for rrset in message.authority:
        if rrset.rdtype == RdataType.NS and not message.flags & AA:
            return f"referral to {name_text(rrset.name)} NS " + ", ".join(_rdata_text(rdata) for rdata in rrset)
    if message.flags & TC:
        return question
    return f"no data for {question}"


def name_text(name: Name) -> str:
    """A name as people write it: no final dot, except for the root."""
    return name.to_text(omit_final_dot=True) if len(name.labels) > 1 else "."


def type_text(rdtype: RdataType) -> str:
    """A type's mnemonic, or TYPE1234 (RFC 3597 §5)."""
    return dns.rdatatype.to_text(rdtype)


def _rdata_text(rdata: object) -> str:
    text = str(rdata)
    return text[:-1] if text.endswith(".") and len(text) > 1 else text


def _opcode_text(opcode: Opcode) -> str:
    return dns.opcode.to_text(opcode)
