"""Flags of messages: the system's as bits, keywords as words (RFC 9051 §2.3.2)."""

import re
from collections.abc import Iterable

SYSTEM = {"\\Seen": 1, "\\Answered": 2, "\\Flagged": 4, "\\Deleted": 8, "\\Draft": 16}
SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = SYSTEM.values()
LONGEST = 64
"""Octets of a keyword."""
_BITS = {name.lower(): bit for name, bit in SYSTEM.items()}
_KEYWORD = re.compile(r"[!#-'+-\[^-z|}~]+")  # an atom: no ( ) { % * " \ ] and no white space


def parsed(flags: Iterable[str], most: int = LONGEST) -> tuple[int, str]:
    """Bits, and the keywords as one text with a space before and after each. Raises ValueError for what is no flag."""
    bits = 0
    keywords: dict[str, str] = {}
    for flag in flags:
        if (bit := _BITS.get(flag.lower())) is not None:
            bits |= bit
        elif _KEYWORD.fullmatch(flag) and len(flag) <= LONGEST:
            keywords.setdefault(flag.lower(), flag)
        else:
            raise ValueError(f"{flag[:LONGEST]!r} is no flag")
    if len(keywords) > most:
        raise ValueError(f"a message has at most {most} keywords")
    return bits, joined(keywords.values())


def joined(keywords: Iterable[str]) -> str:
    """Sorted; the empty text for none."""
    words = sorted(keywords, key=str.lower)
    return f" {' '.join(words)} " if words else ""


def names(bits: int, keywords: str) -> tuple[str, ...]:
    """As a client sees them."""
    return (*(name for name, bit in SYSTEM.items() if bits & bit), *keywords.split())


def added(keywords: str, more: str) -> str:
    """Both, each once in any case."""
    words = {word.lower(): word for word in more.split()} | {word.lower(): word for word in keywords.split()}
    return joined(words.values())


def removed(keywords: str, fewer: str) -> str:
    """Without those of the other, in any case."""
    gone = {word.lower() for word in fewer.split()}
    return joined(word for word in keywords.split() if word.lower() not in gone)
