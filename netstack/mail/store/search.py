"""Which messages of a folder are meant: conditions on what the index keeps, joined as IMAP's are (RFC 9051 §6.4.4)."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from netstack.mail.store import flags


@dataclass(frozen=True, slots=True)
class Where:
    """A condition; `&`, `|` and `~` join them."""

    sql: str
    values: tuple[object, ...] = ()

    def __and__(self, other: "Where") -> "Where":
        return Where(f"({self.sql} AND {other.sql})", self.values + other.values)

    def __or__(self, other: "Where") -> "Where":
        return Where(f"({self.sql} OR {other.sql})", self.values + other.values)

    def __invert__(self) -> "Where":
        return Where(f"(NOT {self.sql})", self.values)


EVERY = Where("1")


def flagged(flag: str) -> Where:
    """Has the flag or keyword; raises ValueError for what is none."""
    bits, keyword = flags.parsed([flag])
    if bits:
        return Where("(message.bits & ? != 0)", (bits,))
    return Where("(instr(lower(message.keywords), ?) > 0)", (keyword.lower(),))


def text(column: Literal["subject", "sender", "recipients"], words: str) -> Where:
    """Has the words in it, in any case."""
    return Where(f"(instr(file.{column}, ?) > 0)", (words.casefold(),))


def identifier(message_id: str) -> Where:
    """Has that Message-ID."""
    return Where("(file.identifier = ?)", (message_id,))


def between(column: Literal["date", "sent"], start: float | None, end: float | None) -> Where:
    """Came in, or was sent by its own Date, from `start` until before `end`."""
    name = "message.date" if column == "date" else "coalesce(file.sent, message.date)"
    low = Where(f"({name} >= ?)", (start,)) if start is not None else EVERY
    return low & (Where(f"({name} < ?)", (end,)) if end is not None else EVERY)


def size(more_than: int | None = None, less_than: int | None = None) -> Where:
    """Octets, exclusive at both ends."""
    low = Where("(message.size > ?)", (more_than,)) if more_than is not None else EVERY
    return low & (Where("(message.size < ?)", (less_than,)) if less_than is not None else EVERY)


def thread(number: int) -> Where:
    """Is of that thread."""
    return Where("(file.thread = ?)", (number,))


def changed(modseq: int) -> Where:
    """Has at least that modseq (RFC 7162 §3.1.5)."""
    return Where("(message.modseq >= ?)", (modseq,))


def within(ranges: Iterable[tuple[int, int]]) -> Where:
    """Has a UID in one of the ranges, ends included."""
    found: Where | None = None
    for low, high in ranges:
        one = Where("(message.uid BETWEEN ? AND ?)", (low, high))
        found = one if found is None else found | one
    return found if found is not None else ~EVERY


def found(database: sqlite3.Connection, folder: int, where: Where) -> list[int]:
    """The UIDs, ascending."""
    rows = database.execute(
        "SELECT message.uid FROM message JOIN file ON file.id = message.file"  # noqa: S608 -- made above, without values
        f" WHERE message.folder = ? AND {where.sql} ORDER BY message.uid",
        (folder, *where.values),
    )
    return [uid for (uid,) in rows]


def threads(database: sqlite3.Connection, folder: int, uids: Iterable[int]) -> dict[int, int]:
    """THREADID (RFC 8474) of messages by UID."""
    rows = database.execute(
        "SELECT message.uid, file.thread FROM message JOIN file ON file.id = message.file WHERE message.folder = ?",
        (folder,),
    )
    wanted = set(uids)
    return {uid: number for uid, number in rows if uid in wanted}
