"""A message as people read it: flags, records by section, what is glue; and which of many messages belong to one look-up."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rdatatype
from dns.message import Message
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.wire import AA, AD, CD, QR, RA, RD, TC
from netstack.dns.zone import ADDRESS_TYPES

FLAGS = ((AA, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (AD, "ad"), (CD, "cd"))
"""As dig writes them."""
MOST_RECORDS = 40
"""Of one section that are shown."""

MessageRow = Mapping[str, Any]
"""A journal's row as JSON, with its octets under "data"."""


def sections(data: bytes) -> dict[str, Any]:
    """{"flags", "rcode", "answer", "authority", "glue", "additional"} of a message, records as in a master file."""
    message = _parsed(data)
    if message is None:
        return {}
    shown: dict[str, Any] = {"flags": [text for bit, text in FLAGS if message.flags & bit]}
    if not message.flags & QR:
        return shown
    servers = {rdata.target for rrset in message.authority if rrset.rdtype == RdataType.NS for rdata in rrset}
    glue = [rrset for rrset in message.additional if rrset.rdtype in ADDRESS_TYPES and rrset.name in servers]
    rest = [rrset for rrset in message.additional if rrset not in glue]
    shown["rcode"] = Rcode.to_text(message.rcode())
    for name, found in (("answer", message.answer), ("authority", message.authority), ("glue", glue), ("additional", rest)):
        lines = [line for rrset in found for line in rrset.to_text().splitlines()]
        shown[name] = lines[:MOST_RECORDS]
    return shown


def octets(row: MessageRow) -> bytes:
    """The message of a row, without the length that streams put before it (RFC 1035 §4.2.2)."""
    data = base64.b64decode(row["data"])
    return data[2:] if row["transport"] == "tcp" else data


def conversation(rows: Iterable[MessageRow], client: str, name: str, rdtype: str) -> Iterator[MessageRow]:
    """Of rows in order of time, those of one look-up: the client's query, what others asked in turn for it, the replies.

    Others ask for the same name, for a part of it, for what its aliases and name servers are called: whatever else passes at
    the same moment is somebody else's. Rows of other protocols are left out.
    """
    wanted = {dns.name.from_text(name)}
    kind = dns.rdatatype.from_text(rdtype)
    active = {client}
    open_queries: dict[tuple[Any, ...], None] = {}
    for row in rows:
        message = _parsed(octets(row)) if row["protocol"] == "dns" else None
        if message is None or not message.question:
            continue
        asked, flow = message.question[0], (*row["from_address"], *row["to_address"], message.id)
        if not message.flags & QR:
            asks = row["from"] == client and (asked.name, asked.rdtype) == (dns.name.from_text(name), kind)
            helps = row["from"] != client and row["from"] in active and any(it.is_subdomain(asked.name) for it in wanted)
            if asks or helps:
                open_queries[flow] = None
                active.add(row["to"])
                yield row
        elif (*row["to_address"], *row["from_address"], message.id) in open_queries:
            wanted |= set(_leads_to(message))
            yield row


def _leads_to(message: Message) -> Iterator[Name]:
    """The names that a reply may make its reader ask for."""
    for rrset in (*message.answer, *message.authority):
        if rrset.rdtype in (RdataType.CNAME, RdataType.NS):
            for rdata in rrset:
                yield rdata.target


def _parsed(data: bytes) -> Message | None:
    try:
        return dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None


def texts(shown: Mapping[str, Any]) -> Iterator[str]:
    """`sections`, a line for each thing that a reader of the chapter looks for."""
    if "rcode" not in shown:
        return
    authoritative = "from the authority" if "aa" in shown["flags"] else "not from the authority"
    yield f"{shown['rcode']}, flags {' '.join(shown['flags']) or 'none'} ({authoritative})"
    for name in ("answer", "authority", "glue", "additional"):
        for line in shown[name]:
            yield f"{name}: {line}"
