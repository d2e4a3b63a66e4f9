"""Folders of an account: each function is work of one transaction (`kernel.database`)."""

import sqlite3
import unicodedata

from netstack.mail.store import messages
from netstack.mail.store.errors import FolderRefused, NoSuchFolder
from netstack.mail.store.limits import StoreLimits
from netstack.mail.store.schema import FOLDER, INBOX, Change, Folder, Message

SPECIAL = ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")
"""RFC 6154 §2."""


def canonical(name: str, limits: StoreLimits) -> str:
    """A folder's name in NFC, INBOX in capitals (RFC 9051 §5.1). Raises FolderRefused."""
    if name == INBOX:
        return name
    name = unicodedata.normalize("NFC", name)
    first, slash, rest = name.partition("/")
    if first.upper() == INBOX:
        name = INBOX + slash + rest
    if not name or len(name.encode("utf-8", "replace")) > limits.name:
        raise FolderRefused(f"a folder's name has 1 to {limits.name} octets")
    if any(
        not level or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for level in name.split("/") for c in level or " "
    ):
        raise FolderRefused("a folder's name has no empty levels and no control characters")
    return name


def every(database: sqlite3.Connection) -> list[Folder]:
    """All of them, by name."""
    return [_folder(row) for row in database.execute(f"SELECT {FOLDER} FROM folder ORDER BY name")]  # noqa: S608


def find(database: sqlite3.Connection, name: str) -> Folder:
    """By its canonical name; raises NoSuchFolder."""
    row = database.execute(f"SELECT {FOLDER} FROM folder WHERE name = ?", (name,)).fetchone()  # noqa: S608
    if row is None:
        raise NoSuchFolder(f"there is no folder {name!r}")
    return _folder(row)


def by_id(database: sqlite3.Connection, folder: int) -> Folder:
    """Raises NoSuchFolder."""
    row = database.execute(f"SELECT {FOLDER} FROM folder WHERE id = ?", (folder,)).fetchone()  # noqa: S608
    if row is None:
        raise NoSuchFolder("the folder is not there any more")
    return _folder(row)


def create(database: sqlite3.Connection, name: str, wall: float, limits: StoreLimits, special: str = "") -> Folder:
    """A new one, subscribed to where it has a special use or is INBOX; raises FolderRefused."""
    if special and special not in SPECIAL:
        raise FolderRefused(f"{special} is no special use (RFC 6154)")
    [count] = database.execute("SELECT COUNT(*) FROM folder").fetchone()
    if count >= limits.folders:
        raise FolderRefused(f"an account has at most {limits.folders} folders")
    [last, modseq] = database.execute("SELECT validity, modseq FROM account").fetchone()
    validity = max(last + 1, min(int(wall), 2**32 - 1))
    database.execute("UPDATE account SET validity = ?", (validity,))
    try:
        made = database.execute(
            "INSERT INTO folder (name, validity, next_uid, modseq, floor, messages, octets, subscribed, special)"
            " VALUES (?, ?, 1, ?, ?, 0, 0, ?, ?)",
            (name, validity, modseq, modseq, int(bool(special) or name == INBOX), special),
        )
    except sqlite3.IntegrityError:
        raise FolderRefused(f"there is a folder {name!r} already") from None
    return by_id(database, made.lastrowid or 0)


def ensured(database: sqlite3.Connection, name: str, wall: float, limits: StoreLimits) -> Folder:
    """The one of that name, made if need be; raises FolderRefused."""
    try:
        return find(database, name)
    except NoSuchFolder:
        return create(database, name, wall, limits)


def rename(
    database: sqlite3.Connection, old: str, new: str, wall: float, limits: StoreLimits
) -> tuple[list[Folder], tuple[int, list[tuple[int, Message]]] | None]:
    """The folders that have another name then: it and those inside of it. Raises StoreError.

    INBOX stays, and its messages go into a new folder (RFC 9051 §6.3.6): its number, UIDs in it and messages there.
    """
    folder = find(database, old)
    if new == old or new.startswith(old + "/"):
        raise FolderRefused("a folder is not moved into itself")
    if old == INBOX:
        made = create(database, new, wall, limits)
        uids = [uid for (uid,) in database.execute("SELECT uid FROM message WHERE folder = ?", (folder.id,))]
        pairs = messages.move(database, folder.id, uids, made.id, limits)
        return [by_id(database, made.id)], (folder.id, pairs)
    moved = [each for each in every(database) if each.name == old or each.name.startswith(old + "/")]
    for each in moved:
        name = canonical(new + each.name[len(old) :], limits)
        try:
            database.execute("UPDATE folder SET name = ? WHERE id = ?", (name, each.id))
        except sqlite3.IntegrityError:
            raise FolderRefused(f"there is a folder {name!r} already") from None
    return [by_id(database, each.id) for each in moved], None


def delete(database: sqlite3.Connection, name: str, limits: StoreLimits) -> tuple[Folder, Change]:
    """With all its messages; those inside of it stay. Raises StoreError."""
    if name == INBOX:
        raise FolderRefused("INBOX is always there")
    folder = find(database, name)
    uids = [uid for (uid,) in database.execute("SELECT uid FROM message WHERE folder = ?", (folder.id,))]
    messages.expunge(database, folder.id, uids, limits)
    database.execute("DELETE FROM folder WHERE id = ?", (folder.id,))
    return folder, Change(folder.id, vanished=tuple(uids), gone=True)


def subscribe(database: sqlite3.Connection, name: str, subscribed: bool) -> Folder:
    """Raises NoSuchFolder."""
    folder = find(database, name)
    database.execute("UPDATE folder SET subscribed = ? WHERE id = ?", (int(subscribed), folder.id))
    return by_id(database, folder.id)


def unseen(database: sqlite3.Connection, folder: int) -> int:
    """Messages without \\Seen."""
    [count] = database.execute("SELECT COUNT(*) FROM message WHERE folder = ? AND bits & 1 = 0", (folder,)).fetchone()
    return int(count)


def _folder(row: tuple[object, ...]) -> Folder:
    values = list(row)
    values[8] = bool(values[8])
    return Folder(*values)  # type: ignore[arg-type]
