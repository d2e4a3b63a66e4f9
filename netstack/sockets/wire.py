"""Octets <-> sentences of the socket-programming section: UTF-8 text without framing.

The section's programs call `sentence.decode()` and `.encode()`: UTF-8 (RFC 3629). Octets that are not UTF-8 make them die;
here they are carried through unchanged (Python's "surrogateescape"), so that every input has an answer.
"""

LARGEST_DATAGRAM = 65_507
"""Octets of payload in one UDP datagram over IPv4: 65 535 less the headers of IP and UDP (RFC 768, RFC 791 §3.1)."""

SUMMARY = 48
"""Characters of a sentence that a journal's line shows."""


def decode(octets: bytes) -> str:
    """The text of some octets. What is not UTF-8 becomes lone surrogates, which `encode` turns back."""
    return octets.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """The octets of a text that `decode` gave, whatever was done to its letters since."""
    return text.encode("utf-8", "surrogateescape")


def cut(octets: bytes, limit: int) -> bytes:
    """At most `limit` octets from the start, without half a character at the end (RFC 3629 §3)."""
    if len(octets) <= limit:
        return octets
    end = limit
    while end > 0 and limit - end < 3 and octets[end] & 0xC0 == 0x80:
        end -= 1
    return octets[:end] if octets[end] & 0xC0 == 0xC0 else octets[:limit]


def summary(octets: bytes) -> str:
    """A sentence in one printable line, for the journal."""
    text = octets[: 4 * SUMMARY].decode("utf-8", "replace")
    shown = text[:SUMMARY]
    if not shown.isprintable():
        shown = "".join(letter if letter.isprintable() else "·" for letter in shown)
    return f'"{shown}"' if len(shown) == len(text) and len(octets) <= 4 * SUMMARY else f'"{shown}…"'
