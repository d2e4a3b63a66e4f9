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


@dataclass(slots=True)
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


@dataclass(slots=True)
class Appended:
    """Where a message is."""

    message: Message
    folder: int
    again: bool = False
    """It had been delivered before."""


def append(
    database: sqlite3.Connection, folder: int, arrivals: Sequence[Arrival], limits: StoreLimits
) -> list[Appended | OverQuota]:
    """New messages of a folder, all by a few statements, since each statement lets go of the interpreter; in their order.

    Raises NoSuchFolder.
    """
    before = _before(database, [each.once for each in arrivals if each.once is not None])
    [modseq, count, octets] = database.execute("SELECT modseq, messages, octets FROM account").fetchone()
    row = database.execute("SELECT next_uid FROM folder WHERE id = ?", (folder,)).fetchone()
    if row is None:
        raise NoSuchFolder("the folder is not there any more")
    last = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'file'").fetchone()
    file, uid, size = last[0] if last is not None else 0, row[0] - 1, 0
    results: list[Appended | OverQuota] = []
    added: list[tuple[Arrival, Message]] = []
    for arrival in arrivals:
        if arrival.once is not None and (known := before.get(arrival.once)) is not None:
            results.append(known)
            continue
        if count + 1 > arrival.quota.messages or octets + arrival.size > arrival.quota.octets:
            results.append(OverQuota(f"the mailbox is full: {count} messages of {octets} octets"))
            continue
        modseq, count, file, uid = modseq + 1, count + 1, file + 1, uid + 1
        octets, size = octets + arrival.size, size + arrival.size
        message = Message(uid, file, arrival.bits, arrival.keywords, modseq, arrival.size, arrival.date)
        results.append(Appended(message, folder))
        added.append((arrival, message))
        if arrival.once is not None:
            before[arrival.once] = Appended(message, folder, again=True)
    if added:
        threads = _threads(database, [(message.file, arrival.summary.mentions) for arrival, message in added])
        rows = zip(added, threads, strict=True)
        _insert(database, "file", [_file_row(message.file, thread, arrival) for (arrival, message), thread in rows])
        _insert(database, "arrived", [(message.file, arrival.octets, arrival.source) for arrival, message in added])
        _insert(database, f"message (folder, {MESSAGE})", [(folder, *message) for _, message in added])
        database.execute(
            "UPDATE folder SET next_uid = ?, messages = messages + ?, octets = octets + ?, modseq = ? WHERE id = ?",
            (uid + 1, len(added), size, modseq, folder),
        )
        _count(database, modseq, len(added), size)
        _remember(database, folder, added, limits)
    return results


def _file_row(file: int, thread: int, arrival: Arrival) -> tuple[object, ...]:
    return file, arrival.size, arrival.crc, thread, *_kept(arrival.summary)


def _kept(seen: Summary) -> tuple[object, ...]:
    return seen.sent, seen.identifier, seen.subject, seen.sender, seen.recipients


def _insert(database: sqlite3.Connection, into: str, rows: Sequence[tuple[object, ...]]) -> None:
    """So many rows of one statement that only a few different statements are prepared, and kept."""
    start = 0
    for most in (64, 32, 16, 8, 4, 2, 1):
        while len(rows) - start >= most:
            part = rows[start : start + most]
            values = ",".join([f"({','.join('?' * len(part[0]))})"] * most)
            database.execute(f"INSERT INTO {into} VALUES {values}", [each for row in part for each in row])  # noqa: S608
            start += most


def _remember(
    database: sqlite3.Connection, folder: int, added: Sequence[tuple[Arrival, Message]], limits: StoreLimits
) -> None:
    """Deliveries that have a name; old ones are forgotten now and then, all at once."""
    rows = [(arrival.once, message.file, folder, message.uid) for arrival, message in added if arrival.once is not None]
    if not rows:
        return
    _insert(database, "once (key, file, folder, uid)", rows)
    [last] = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'once'").fetchone()
    each = min(_FORGET, limits.remembered)
    if last // each != (last - len(rows)) // each:
        database.execute("DELETE FROM once WHERE number <= ?", (last - last % each - limits.remembered,))


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


def place_file(database: sqlite3.Connection, file: int, size: int, crc: int, seen: Summary) -> None:
    """A new row of a file."""
    [thread] = _threads(database, [(file, seen.mentions)])
    _insert(database, "file", [(file, size, crc, thread, *_kept(seen))])


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


def _before(database: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Appended]:
    """Deliveries that are known, by their names."""
    found: dict[str, Appended] = {}
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        rows = database.execute(
            f"SELECT key, file, folder, uid FROM once WHERE key IN ({','.join('?' * len(part))})",  # noqa: S608
            part,
        )
        for key, file, folder, uid in rows:
            found[key] = Appended(Message(uid, file, 0, "", 0, 0, 0.0), folder, again=True)
    return found


def _threads(database: sqlite3.Connection, files: Sequence[tuple[int, Sequence[int]]]) -> list[int]:
    """The thread of each file by its mentions: that of one that is known, which has all of them from now on; else a new one.

    A new thread has the number of its first file: numbers that only grow are cheap to index.
    """
    mentions = list({mention for _, own in files for mention in own})
    known: dict[int, int] = {}
    for start in range(0, len(mentions), _AT_ONCE):
        part = mentions[start : start + _AT_ONCE]
        known.update(
            database.execute(f"SELECT hash, thread FROM mention WHERE hash IN ({','.join('?' * len(part))})", part)  # noqa: S608
        )
    new: dict[int, int] = {}
    threads = []
    for file, own in files:
        thread = next((known[mention] for mention in own if mention in known), file)
        threads.append(thread)
        for mention in own:
            if mention not in known:
                known[mention] = new[mention] = thread
    _insert(database, "mention", list(new.items()))
    return threads


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
