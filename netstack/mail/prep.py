"""SASLprep (RFC 4013): user names and passwords that look alike are alike."""

import stringprep as tables
import unicodedata

_PROHIBITED = (
    tables.in_table_c12,
    tables.in_table_c21_c22,
    tables.in_table_c3,
    tables.in_table_c4,
    tables.in_table_c5,
    tables.in_table_c6,
    tables.in_table_c7,
    tables.in_table_c8,
    tables.in_table_c9,
)


def saslprep(text: str, stored: bool = False) -> str:
    """The prepared string; `stored` ones have no unassigned code points (RFC 3454 §7). Raises ValueError."""
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(" " if tables.in_table_c12(c) else c for c in text if not tables.in_table_b1(c))
    prepared = unicodedata.normalize("NFKC", mapped)
    for character in prepared:
        if any(prohibited(character) for prohibited in _PROHIBITED):
            raise ValueError(f"U+{ord(character):04X} is in no user name or password (RFC 4013 §2.3)")
        if stored and tables.in_table_a1(character):
            raise ValueError(f"U+{ord(character):04X} is not assigned (RFC 3454 §7)")
    if any(tables.in_table_d1(character) for character in prepared):
        ends = tables.in_table_d1(prepared[0]) and tables.in_table_d1(prepared[-1])
        if not ends or any(tables.in_table_d2(character) for character in prepared):
            raise ValueError("text of both directions (RFC 3454 §6)")
    return prepared
