"""What an index keeps of a message's head, for lists, searches and threads."""

import re
from dataclasses import dataclass
from hashlib import blake2b

from netstack.mail.message import date_of, decoded, identifiers

OCTETS = 64 * 1024
"""Of a message that are looked at."""
_FIELD = re.compile(
    rb"^(message-id|in-reply-to|references|subject|from|to|cc|date)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.I | re.M
)
_END = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
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
    block = octets[:OCTETS]
    end = _END.search(block)
    of: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(block, 0, end.start() + 1 if end else len(block)):
        name = match[1].lower()
        if name not in of:
            of[name] = _FOLD.sub(b"", match[2]).strip()
    own = identifiers(of.get(b"message-id", b""))[:1]
    named = own + identifiers(of.get(b"in-reply-to", b""), 2) + identifiers(of.get(b"references", b""), 20)
    recipients = b", ".join(of[name] for name in (b"to", b"cc") if name in of)
    return Summary(
        own[0].decode("utf-8", "replace")[:TEXT] if own else "",
        decoded(of.get(b"subject", b""), TEXT).casefold(),
        decoded(of.get(b"from", b""), TEXT).casefold(),
        decoded(recipients, TEXT).casefold(),
        date_of(of[b"date"]) if b"date" in of else None,
        tuple({int.from_bytes(blake2b(name, digest_size=8).digest(), "big") >> 1: None for name in named}),
    )
