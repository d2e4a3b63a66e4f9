"""What an index keeps of a message's head, for lists, searches and threads."""

import re
from dataclasses import dataclass
from hashlib import blake2b

from netstack.mail.message import date_of, decoded, identifiers

OCTETS = 64 * 1024
"""Of a message that are looked at."""
_FIELDS = frozenset({b"message-id", b"in-reply-to", b"references", b"subject", b"from", b"to", b"cc", b"date"})
_END = re.compile(rb"\n\r?\n")
_WHITE = (b" ", b"\t")
TEXT = 500
"""Characters that are kept of a value."""


@dataclass(slots=True)
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
    found: dict[bytes, list[bytes]] = {}
    lines: list[bytes] | None = None
    for line in (block[: end.start()] if end else block).split(b"\n"):
        if line.startswith(_WHITE):
            if lines is not None:
                lines.append(line)
            continue
        before, colon, value = line.partition(b":")
        name = before.rstrip(b" \t").lower()
        lines = [value] if colon and name in _FIELDS and name not in found else None
        if lines is not None:
            found[name] = lines
    of = {name: _unfolded(lines).strip() for name, lines in found.items()}
    own = identifiers(of[b"message-id"])[:1] if b"message-id" in of else []
    named = own
    if b"in-reply-to" in of or b"references" in of:
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


def _unfolded(lines: list[bytes]) -> bytes:
    """A field's lines without what ends each but the last (RFC 5322 §2.2.3)."""
    return lines[0] if len(lines) == 1 else b"".join([line.removesuffix(b"\r") for line in lines[:-1]]) + lines[-1]
