"""A query to a server, and how its reply is told from a forged one: 0x20 and cookies (RFC 5452, RFC 7873 §5.3); pure."""

from collections.abc import Callable
from enum import Enum, auto

import dns.edns
from dns.flags import DO, Flag
from dns.message import Message, QueryMessage
from dns.name import Name
from dns.rcode import Rcode
from dns.rdataclass import RdataClass

from netstack.dns.servers import Servers
from netstack.dns.tasks import Exchange
from netstack.dns.wire import CD, HEADER, RD, Question

CLIENT_COOKIE = 8
"""Octets (RFC 7873 §4)."""
_BARE = (Rcode.FORMERR, Rcode.NOTIMP, Rcode.REFUSED, Rcode.SERVFAIL)
"""Replies that may come without the question."""


class Verdict(Enum):
    """What a reply with the right source and id is."""

    GENUINE = auto()
    FOREIGN = auto()
    """It belongs to another query, or is forged: it is dropped."""
    DOUBTFUL = auto()
    """The server may be odd, or somebody guesses well: TCP will tell (RFC 5452 §9.1)."""


def in_random_case(name: Name, bits: Callable[[int], int]) -> Name:
    """The name with each letter in upper or lower case; `bits(n)` gives n random ones."""
    labels = []
    for label in name.labels:
        chosen = bits(max(1, len(label)))
        labels.append(
            bytes(
                octet ^ (0x20 if chosen >> place & 1 and (0x41 <= octet <= 0x5A or 0x61 <= octet <= 0x7A) else 0)
                for place, octet in enumerate(label)
            )
        )
    return Name(labels)


def compose(
    identity: int, question: Question, recursion: bool, payload: int | None, cookie: bytes | None, dnssec: bool = False
) -> bytes:
    """A query's octets. `payload` None: no EDNS(0), hence no cookie. `dnssec`: signatures are wanted, and judged by us."""
    message = QueryMessage(id=identity)
    message.flags = Flag((RD | (CD if dnssec else 0)) if recursion else 0)
    message.find_rrset(message.question, question.name, RdataClass.IN, question.rdtype, create=True)
    if payload is not None:
        options: list[dns.edns.Option] = (
            [] if cookie is None else [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)]
        )
        message.use_edns(0, DO if dnssec else 0, payload, options=options)
    return bytes(message.to_wire())


def in_our_case(exchange: Exchange, data: bytes) -> tuple[bytes, bool]:
    """The reply with the question's name as it is to be known, and whether the server kept the case that was sent.

    Names of the reply that are compressed (RFC 1035 §4.1.4) point into the question: all of them lose the random case.
    """
    sent, known = exchange.question.name, exchange.plain
    if sent is known:
        return data, True
    end = HEADER + sum(len(label) + 1 for label in sent.labels)
    kept = data[HEADER:end] == sent.to_wire()
    return (data[:HEADER] + (known.to_wire() or b"") + data[end:] if kept else data), kept


def verdict(exchange: Exchange, message: Message, kept: bool, servers: Servers) -> Verdict:
    """Judge a reply, which `kept` the question's case or did not; server cookies are learned from it."""
    asked = message.question
    sent = exchange.question
    if asked:
        if len(asked) != 1 or asked[0].rdclass != RdataClass.IN or (asked[0].name, asked[0].rdtype) != sent:
            return Verdict.FOREIGN
    elif message.rcode() not in _BARE:
        return Verdict.FOREIGN
    if exchange.cookie is not None:
        cookie = cookie_in(message)
        if cookie is not None and cookie[:CLIENT_COOKIE] != exchange.cookie:
            return Verdict.FOREIGN
        if cookie is not None and CLIENT_COOKIE + 8 <= len(cookie) <= CLIENT_COOKIE + 32:
            servers.learn_cookie(exchange.address, cookie[CLIENT_COOKIE:])
        elif servers.has_cookie(exchange.address):
            if not exchange.stream:
                return Verdict.DOUBTFUL
            servers.forget_cookie(exchange.address)
    if asked and not kept:
        if not exchange.stream:
            return Verdict.DOUBTFUL
        servers.loses_case(exchange.address)
    return Verdict.GENUINE


def cookie_in(message: Message) -> bytes | None:
    """The COOKIE option's octets."""
    for option in message.options:
        if option.otype == dns.edns.OptionType.COOKIE:
            return bytes(option.to_wire() or b"")
    return None
