"""What an index keeps of a message's head, for lists, searches and threads."""

from dataclasses import dataclass
from hashlib import blake2b

from netstack.mail.limits import HeadLimits
from netstack.mail.message import date_of, decoded, head, identifiers

LIMITS = HeadLimits(octets=64 * 1024, fields=200)
TEXT = 500
"""Characters that are kept of a value."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Texts are decoded, and as people compare them (casefolded)."""

    identifier: str
    subject: str
    sender: str
    recipients: str
    sent: float | None
    mentions: tuple[int, ...]
    """Numbers of its own identifier and of those that it refers to: messages which share one are of one thread."""


def summary(octets: bytes) -> Summary:
    """From the message's first octets."""
    of: dict[bytes, bytes] = {}
    for field in head(octets, LIMITS).fields:
        if field.name in _WANTED and field.name not in of:
            of[field.name] = field.value
    own = identifiers(of.get(b"message-id", b""))[:1]
    named = own + identifiers(of.get(b"in-reply-to", b""), 2) + identifiers(of.get(b"references", b""), 20)
    recipients = b", ".join(of[name] for name in (b"to", b"cc") if name in of)
    return Summary(
        own[0].decode("utf-8", "replace")[:TEXT] if own else "",
        decoded(of.get(b"subject", b""), TEXT).casefold(),
        decoded(of.get(b"from", b""), TEXT).casefold(),
        decoded(recipients, TEXT).casefold(),
        date_of(of[b"date"]) if b"date" in of else None,
        tuple({int.from_bytes(blake2b(name, digest_size=8).digest(), "big", signed=True) for name in named}),
    )


_WANTED = frozenset({b"message-id", b"in-reply-to", b"references", b"subject", b"from", b"to", b"cc", b"date"})
