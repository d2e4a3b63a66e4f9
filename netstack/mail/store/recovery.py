"""After a crash, and without an index: what is on the disk is brought together again. All of it is work for a thread."""

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from zlib import crc32

from netstack.kernel.disk import Disk
from netstack.mail.store import files, folders, ledger, messages
from netstack.mail.store.errors import FolderRefused
from netstack.mail.store.limits import StoreLimits
from netstack.mail.store.schema import FILE, INBOX, Message
from netstack.mail.store.summary import OCTETS, summary

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found when an account was opened."""

    arrived: list[tuple[int, bytes | None, str | None]]
    """Committed messages that are not in their files: number, octets or source."""
    adopted: int = 0
    """Files that no row knew, now in INBOX."""
    dropped: int = 0
    """Rows, or lines of the ledger, whose files are not there."""
    lines: tuple[bytes, ...] = ()
    """What the ledger does not know."""
    anew: bool = False
    """The index was made anew, and the lines are a whole ledger."""
    removing: bool = False
    """There are files that nobody has any more."""


def has_messages(disk: Disk) -> bool:
    """Whether an index would have something to say."""
    if files.listed(disk, files.FILES):
        return True
    with suppress(FileNotFoundError):
        return disk.stat(files.LEDGER).size > 0
    return False


def is_open(disk: Disk) -> bool:
    """Whether nobody has closed the index, which SQLite does not show otherwise: what the ledger has not been told then, it
    has to be told now."""
    with suppress(FileNotFoundError):
        return disk.stat(f"{FILE}-wal").size >= 0
    return False


def set_aside(disk: Disk, wall: float) -> str:
    """Gives a damaged index another name, which is returned; messages that only it has are written to their files if it can
    be read so far."""
    name = f"{FILE}.damaged-{int(wall)}"
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            disk.rename(FILE + end, name + end)
    with suppress(sqlite3.Error):
        damaged = disk.database(name)
        try:
            rows = damaged.execute("SELECT file, octets, source FROM arrived").fetchall()
            disk.write_all([(files.path_of(file), octets) for file, octets, _ in rows if octets is not None])
            disk.rename_all([(source, files.path_of(file)) for file, _, source in rows if source is not None])
        finally:
            damaged.close()
    return name


def restore(database: sqlite3.Connection, disk: Disk, wall: float, limits: StoreLimits) -> Recovered:
    """At each opening; an index that is empty, where there are messages, is made anew."""
    if database.execute("SELECT 1 FROM folder").fetchone() is None and has_messages(disk):
        return rebuild(database, disk, wall, limits)
    return recover(database, disk, wall, limits)


def recover(database: sqlite3.Connection, disk: Disk, wall: float, limits: StoreLimits) -> Recovered:
    """Files that came in and were never acknowledged are removed, files that no row knows are adopted."""
    arrived = database.execute("SELECT file, octets, source FROM arrived").fetchall()
    sources = {source for _, _, source in arrived}
    known = {f"{files.INCOMING}/{number}" for number in files.listed(disk, files.INCOMING)}
    disk.remove_all(sorted(known - sources))
    inbox = folders.ensured(database, INBOX, wall, limits)
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'file'").fetchone()
    orphans = list(files.above(disk, row[0] if row else 0))
    adopted = [_adopt(database, disk, inbox.id, file) for file in orphans]
    lines = (ledger.folder_line(folders.by_id(database, inbox.id)), ledger.messages_line(inbox.id, adopted))
    removing = database.execute("SELECT 1 FROM removing LIMIT 1").fetchone() is not None
    return Recovered(arrived, len(adopted), 0, lines if adopted or inbox.next_uid == 1 else (), removing=removing)


def rebuild(database: sqlite3.Connection, disk: Disk, wall: float, limits: StoreLimits) -> Recovered:
    """An empty index becomes what the ledger and the files tell; files that no line names are adopted.

    Folders keep their UIDVALIDITY, messages their UIDs and flags. Modseqs go on from the time in milliseconds, which no
    count of changes has reached, so that clients look at all messages again.
    """
    modseq = int(wall * 1000)
    told: dict[int, ledger.Told] = {}
    with suppress(FileNotFoundError):
        told = ledger.replay(disk.read(files.LEDGER))
    there = {file for each in files.listed(disk, files.FILES) for file in files.listed(disk, f"{files.FILES}/{each}")}
    wanted = {file for folder in told.values() for file, _, _, _ in folder.messages.values()}
    known = {
        file: _read_file(database, disk, file) for file in sorted(wanted & there)
    }  # in order: threads get their numbers
    names: set[str] = set()
    dropped = 0
    for number, folder in sorted(told.items()):
        name = _name(folder.name, number, names, limits)
        names.add(name)
        database.execute(
            "INSERT INTO folder VALUES (?1, ?2, ?3, ?4, ?5, ?5, 0, 0, ?6, ?7)",
            (
                number,
                name,
                folder.validity,
                folder.next_uid + ledger.GAP,
                modseq,
                int(folder.subscribed),
                folder.special,
            ),
        )
        for uid, (file, bits, keywords, date) in sorted(folder.messages.items()):
            if file not in there:
                dropped += 1
                continue
            messages.place(database, number, Message(uid, file, bits, keywords, modseq, known[file], date))
    newest = max((each.validity for each in told.values()), default=0)
    database.execute("UPDATE account SET modseq = ?, validity = ?", (modseq, newest))
    inbox = folders.ensured(database, INBOX, wall, limits)
    orphans = sorted(there - known.keys())
    adopted = [_adopt(database, disk, inbox.id, file) for file in orphans]
    again = tuple(ledger_lines(database))
    return Recovered([], len(adopted), dropped, again, anew=True)


def _name(told: str, number: int, taken: set[str], limits: StoreLimits) -> str:
    """A folder's name; another one where a line about it is damaged."""
    try:
        name = folders.canonical(told, limits)
    except FolderRefused:
        name = f"Folder {number}"
    return name if name not in taken else f"Folder {number}"


def ledger_lines(database: sqlite3.Connection) -> list[bytes]:
    """A whole new ledger."""
    lines = []
    for folder in folders.every(database):
        lines.append(ledger.folder_line(folder))
        rows = messages.every(database, folder.id)
        lines += [ledger.messages_line(folder.id, rows[start : start + 1000]) for start in range(0, len(rows), 1000)]
    return lines


def _adopt(database: sqlite3.Connection, disk: Disk, folder: int, file: int) -> Message:
    """A message of a folder from a file that nobody knows."""
    size = _read_file(database, disk, file)
    uid, modseq = messages.next_uid(database, folder)
    message = Message(uid, file, 0, "", modseq, size, disk.stat(files.path_of(file)).mtime)
    messages.place(database, folder, message)
    return message


def _read_file(database: sqlite3.Connection, disk: Disk, file: int) -> int:
    """The row of a file that has none, from its octets: its size."""
    opened = disk.open(files.path_of(file))
    try:
        size, crc = opened.stat.size, 0
        seen = summary(opened.read_at(0, OCTETS))
        for offset in range(0, size, _CHUNK):
            crc = crc32(opened.read_at(offset, _CHUNK), crc)
    finally:
        opened.close()
    messages.place_file(database, file, size, crc, seen)
    return size
