"""Messages of an account: each function is work of one transaction (`kernel.database`)."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from netstack.mail.store import flags
from netstack.mail.store.errors import NoSuchFolder, OverQuota
from netstack.mail.store.limits import StoreLimits
from netstack.mail.store.schema import MESSAGE, Message, Quota
from netstack.mail.store.summary import Summary

How = Literal["replace", "add", "remove"]
_AT_ONCE = 500
"""Values of one statement."""
_FORGET = 64
"""Deliveries after which old ones are forgotten, all at once."""
_INSERT = f"INSERT INTO message (folder, {MESSAGE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 -- no values


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that comes in."""

    octets: bytes | None
    """None where they are in a file already."""
    source: str | None
    """That file."""
    size: int
    crc: int
    date: float
    bits: int
    keywords: str
    summary: Summary
    once: str | None
    quota: Quota


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a message is."""

    message: Message
    folder: int
    thread: int
    again: bool = False
    """It had been delivered before."""


def append(database: sqlite3.Connection, folder: int, arrival: Arrival, limits: StoreLimits) -> Appended:
    """A new message of a folder; raises OverQuota."""
    if arrival.once is not None and (before := _before(database, arrival.once)) is not None:
        return before
    [modseq, count, octets] = database.execute("SELECT modseq + 1, messages, octets FROM account").fetchone()
    if count + 1 > arrival.quota.messages or octets + arrival.size > arrival.quota.octets:
        raise OverQuota(f"the mailbox is full: {count} messages of {octets} octets")
    file, thread = place_file(database, None, arrival.size, arrival.crc, arrival.summary)
    database.execute("INSERT INTO arrived VALUES (?, ?, ?)", (file, arrival.octets, arrival.source))
    [uid] = _next_uids(database, folder, 1, arrival.size, modseq)
    message = Message(uid, file, arrival.bits, arrival.keywords, modseq, arrival.size, arrival.date)
    database.execute(_INSERT, (folder, *message))
    _count(database, modseq, 1, arrival.size)
    if arrival.once is not None:
        number = database.execute(
            "INSERT INTO once (key, file, folder, uid) VALUES (?, ?, ?, ?)", (arrival.once, file, folder, uid)
        ).lastrowid
        if number is not None and number % min(_FORGET, limits.remembered) == 0:
            database.execute("DELETE FROM once WHERE number <= ?", (number - limits.remembered,))
    return Appended(message, folder, thread)


def change_flags(
    database: sqlite3.Connection,
    folder: int,
    uids: Iterable[int],
    how: How,
    bits: int,
    keywords: str,
    unchanged_since: int | None = None,
) -> tuple[list[Message], list[Message], list[int]]:
    """The messages as they are then, those of them that changed, and the UIDs of those that were left alone, since they had
    changed after `unchanged_since` (RFC 7162 §3.1.3)."""
    [modseq] = database.execute("SELECT modseq + 1 FROM account").fetchone()
    shown: list[Message] = []
    changed: list[Message] = []
    refused: list[int] = []
    for message in some(database, folder, uids):
        if unchanged_since is not None and message.modseq > unchanged_since:
            refused.append(message.uid)
            continue
        if how == "replace":
            now = bits, keywords
        elif how == "add":
            now = message.bits | bits, flags.added(message.keywords, keywords) if keywords else message.keywords
        else:
            now = message.bits & ~bits, flags.removed(message.keywords, keywords) if keywords else message.keywords
        if now != (message.bits, message.keywords):
            message = message._replace(bits=now[0], keywords=now[1], modseq=modseq)
            changed.append(message)
        shown.append(message)
    if changed:
        database.executemany(
            "UPDATE message SET bits = ?, keywords = ?, modseq = ? WHERE folder = ? AND uid = ?",
            [(each.bits, each.keywords, modseq, folder, each.uid) for each in changed],
        )
        _advance(database, folder, modseq)
    return shown, changed, refused


def copy(
    database: sqlite3.Connection, folder: int, uids: Iterable[int], target: int, quota: Quota | None
) -> list[tuple[int, Message]]:
    """UIDs there and messages here, in order (RFC 4315 §3); raises StoreError. Nobody pays a quota for `None`."""
    found = some(database, folder, uids)
    size = sum(message.size for message in found)
    [modseq, count, octets] = database.execute("SELECT modseq + 1, messages, octets FROM account").fetchone()
    if quota is not None and (count + len(found) > quota.messages or octets + size > quota.octets):
        raise OverQuota(f"the mailbox is full: {count} messages of {octets} octets")
    made = _next_uids(database, target, len(found), size, modseq)
    copies = [message._replace(uid=uid, modseq=modseq) for uid, message in zip(made, found, strict=True)]
    database.executemany(_INSERT, [(target, *each) for each in copies])
    _count(database, modseq, len(found), size)
    return [(message.uid, made) for message, made in zip(found, copies, strict=True)]


def move(
    database: sqlite3.Connection, folder: int, uids: Iterable[int], target: int, limits: StoreLimits
) -> list[tuple[int, Message]]:
    """As `copy`, and they are here no more (RFC 6851)."""
    pairs = copy(database, folder, uids, target, None)
    expunge(database, folder, [uid for uid, _ in pairs], limits)
    return pairs


def expunge(database: sqlite3.Connection, folder: int, uids: Iterable[int], limits: StoreLimits) -> list[int]:
    """The UIDs that were there; files that no folder has any more are to be removed."""
    found = some(database, folder, uids)
    if not found:
        return []
    [modseq] = database.execute("SELECT modseq + 1 FROM account").fetchone()
    database.executemany("DELETE FROM message WHERE folder = ? AND uid = ?", [(folder, each.uid) for each in found])
    database.executemany("INSERT OR REPLACE INTO vanished VALUES (?, ?, ?)", [(folder, each.uid, modseq) for each in found])
    size = sum(each.size for each in found)
    database.execute(
        "UPDATE folder SET messages = messages - ?, octets = octets - ? WHERE id = ?", (len(found), size, folder)
    )
    database.execute("UPDATE account SET messages = messages - ?, octets = octets - ?", (len(found), size))
    _advance(database, folder, modseq)
    for file in {each.file for each in found}:
        if database.execute("SELECT 1 FROM message WHERE file = ?", (file,)).fetchone() is None:
            _forget(database, file)
    [kept] = database.execute("SELECT COUNT(*) FROM vanished WHERE folder = ?", (folder,)).fetchone()
    if kept > limits.vanished:
        _forget_vanished(database, folder, kept - limits.vanished)
    return [each.uid for each in found]


def some(database: sqlite3.Connection, folder: int, uids: Iterable[int]) -> list[Message]:
    """Those that are there, by UID."""
    wanted = sorted(set(uids))
    found: list[Message] = []
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        if part[-1] - part[0] == len(part) - 1:  # one range
            where, values = "uid BETWEEN ? AND ?", [part[0], part[-1]]
        else:
            where, values = f"uid IN ({','.join('?' * len(part))})", part
        rows = database.execute(
            f"SELECT {MESSAGE} FROM message WHERE folder = ? AND {where} ORDER BY uid",  # noqa: S608 -- no values
            (folder, *values),
        )
        found.extend(map(Message._make, rows))
    return found


def every(database: sqlite3.Connection, folder: int) -> list[Message]:
    """All of a folder, by UID."""
    rows = database.execute(f"SELECT {MESSAGE} FROM message WHERE folder = ? ORDER BY uid", (folder,))  # noqa: S608
    return list(map(Message._make, rows))


def since(database: sqlite3.Connection, folder: int, modseq: int) -> tuple[list[Message], list[int] | None]:
    """Messages that are new or changed after a modseq, and UIDs expunged after it; None where those are not remembered."""
    rows = database.execute(
        f"SELECT {MESSAGE} FROM message WHERE folder = ? AND modseq > ? ORDER BY uid",  # noqa: S608
        (folder, modseq),
    )
    changed = list(map(Message._make, rows))
    row = database.execute("SELECT floor FROM folder WHERE id = ?", (folder,)).fetchone()
    if row is None:
        raise NoSuchFolder("the folder is not there any more")
    if modseq < row[0]:
        return changed, None
    gone = database.execute("SELECT uid FROM vanished WHERE folder = ? AND modseq > ? ORDER BY uid", (folder, modseq))
    return changed, [uid for (uid,) in gone]


def place_file(database: sqlite3.Connection, file: int | None, size: int, crc: int, seen: Summary) -> tuple[int, int]:
    """A new row of a file: its number, which may be given, and its thread."""
    thread = _thread(database, seen.mentions)
    number = database.execute(
        "INSERT INTO file (id, size, crc, thread, sent, identifier, subject, sender, recipients)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (file, size, crc, thread or 0, seen.sent, seen.identifier, seen.subject, seen.sender, seen.recipients),
    ).lastrowid
    if thread is None:
        database.execute("UPDATE file SET thread = id WHERE id = ?", (number,))
    return number or 0, thread or number or 0


def next_uid(database: sqlite3.Connection, folder: int) -> tuple[int, int]:
    """The UID and the modseq of a message that comes now; raises NoSuchFolder."""
    [modseq] = database.execute("SELECT modseq + 1 FROM account").fetchone()
    row = database.execute(
        "UPDATE folder SET next_uid = next_uid + 1, modseq = ? WHERE id = ? RETURNING next_uid - 1", (modseq, folder)
    ).fetchone()
    if row is None:
        raise NoSuchFolder("the folder is not there any more")
    return row[0], modseq


def place(database: sqlite3.Connection, folder: int, message: Message) -> None:
    """Into a folder, and into the counts."""
    database.execute(_INSERT, (folder, *message))
    database.execute("UPDATE folder SET messages = messages + 1, octets = octets + ? WHERE id = ?", (message.size, folder))
    _count(database, message.modseq, 1, message.size)


def _before(database: sqlite3.Connection, once: str) -> Appended | None:
    row = database.execute("SELECT file, folder, uid FROM once WHERE key = ?", (once,)).fetchone()
    if row is None:
        return None
    file, folder, uid = row
    return Appended(Message(uid, file, 0, "", 0, 0, 0.0), folder, 0, again=True)


def _thread(database: sqlite3.Connection, mentions: Sequence[int]) -> int | None:
    """The thread of a mention that is known, which has all of them from now on; else a new one, None without mentions.

    A new thread has the number of its first mention.
    """
    if not mentions:
        return None
    thread = mentions[0]
    if len(mentions) == 1:
        made = database.execute("INSERT OR IGNORE INTO mention VALUES (?1, ?1)", (thread,))
        if made.rowcount:
            return thread
    for mention in mentions:
        row = database.execute("SELECT thread FROM mention WHERE hash = ?", (mention,)).fetchone()
        if row is not None:
            thread = row[0]
            break
    database.executemany("INSERT OR IGNORE INTO mention VALUES (?, ?)", [(mention, thread) for mention in mentions])
    return thread


def _next_uids(database: sqlite3.Connection, folder: int, count: int, size: int, modseq: int) -> range:
    row = database.execute(
        "UPDATE folder SET next_uid = next_uid + ?1, messages = messages + ?1, octets = octets + ?2, modseq = ?3"
        " WHERE id = ?4 RETURNING next_uid",
        (count, size, modseq, folder),
    ).fetchone()
    if row is None:
        raise NoSuchFolder("the folder is not there any more")
    return range(row[0] - count, row[0])


def _count(database: sqlite3.Connection, modseq: int, messages: int, octets: int) -> None:
    database.execute(
        "UPDATE account SET modseq = MAX(modseq, ?), messages = messages + ?, octets = octets + ?",
        (modseq, messages, octets),
    )


def _advance(database: sqlite3.Connection, folder: int, modseq: int) -> None:
    database.execute("UPDATE account SET modseq = ?", (modseq,))
    database.execute("UPDATE folder SET modseq = ? WHERE id = ?", (modseq, folder))


def _forget(database: sqlite3.Connection, file: int) -> None:
    [thread] = database.execute("SELECT thread FROM file WHERE id = ?", (file,)).fetchone()
    database.execute("DELETE FROM file WHERE id = ?", (file,))
    database.execute("DELETE FROM arrived WHERE file = ?", (file,))
    database.execute("INSERT OR IGNORE INTO removing VALUES (?)", (file,))
    if database.execute("SELECT 1 FROM file WHERE thread = ?", (thread,)).fetchone() is None:
        database.execute("DELETE FROM mention WHERE thread = ?", (thread,))


def _forget_vanished(database: sqlite3.Connection, folder: int, count: int) -> None:
    rows = database.execute(
        "SELECT uid, modseq FROM vanished WHERE folder = ? ORDER BY modseq, uid LIMIT ?", (folder, count)
    ).fetchall()
    database.execute("UPDATE folder SET floor = MAX(floor, ?) WHERE id = ?", (rows[-1][1], folder))
    database.execute("DELETE FROM vanished WHERE folder = ? AND modseq <= ?", (folder, rows[-1][1]))
