"""The index of one account: tables, and the values of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

FILE = "index.sqlite"
INBOX = "INBOX"

SCHEMA: Sequence[str] = (
    # `validity` is the last UIDVALIDITY given out; `opened` is 1 while a process has the index.
    "CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY CHECK (id = 1), modseq INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, octets INTEGER NOT NULL, validity INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO account VALUES (1, 1, 0, 0, 0)",
    # `floor`: what was expunged up to this modseq is not remembered.
    "CREATE TABLE IF NOT EXISTS folder (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " validity INTEGER NOT NULL, next_uid INTEGER NOT NULL, modseq INTEGER NOT NULL, floor INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, octets INTEGER NOT NULL, subscribed INTEGER NOT NULL, special TEXT NOT NULL)",
    # One row for each file: what is in its head, whatever folders it is in.
    "CREATE TABLE IF NOT EXISTS file (id INTEGER PRIMARY KEY AUTOINCREMENT, size INTEGER NOT NULL, crc INTEGER NOT NULL,"
    " thread INTEGER NOT NULL, sent REAL, identifier TEXT NOT NULL, subject TEXT NOT NULL, sender TEXT NOT NULL,"
    " recipients TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS file_thread ON file (thread)",
    # Not yet in its file: the octets themselves, or where they are.
    "CREATE TABLE IF NOT EXISTS arrived (file INTEGER PRIMARY KEY, octets BLOB, source TEXT)",
    # Files without messages, to be removed.
    "CREATE TABLE IF NOT EXISTS removing (file INTEGER PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS message (folder INTEGER NOT NULL REFERENCES folder, uid INTEGER NOT NULL,"
    " file INTEGER NOT NULL REFERENCES file, bits INTEGER NOT NULL, keywords TEXT NOT NULL, modseq INTEGER NOT NULL,"
    " size INTEGER NOT NULL, date REAL NOT NULL, PRIMARY KEY (folder, uid)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS message_file ON message (file)",
    "CREATE INDEX IF NOT EXISTS message_modseq ON message (folder, modseq)",
    "CREATE INDEX IF NOT EXISTS message_unseen ON message (folder) WHERE bits & 1 = 0",
    "CREATE TABLE IF NOT EXISTS vanished (folder INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE,"
    " uid INTEGER NOT NULL, modseq INTEGER NOT NULL, PRIMARY KEY (folder, uid)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS mention (hash INTEGER PRIMARY KEY, thread INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS mention_thread ON mention (thread)",
    "CREATE TABLE IF NOT EXISTS once (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,"
    " file INTEGER NOT NULL, folder INTEGER NOT NULL, uid INTEGER NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it is now."""

    id: int
    """Stays the same when it is renamed (RFC 8474 MAILBOXID)."""
    name: str
    """Levels separated by "/"."""
    validity: int
    """UIDVALIDITY."""
    next_uid: int
    modseq: int
    """HIGHESTMODSEQ (RFC 7162)."""
    floor: int
    """What was expunged up to this modseq is not remembered any more."""
    messages: int
    octets: int
    subscribed: bool
    special: str
    """`\\Sent` and the like (RFC 6154), or empty."""


class Message(NamedTuple):
    """One message of a folder."""

    uid: int
    file: int
    bits: int
    """The system's flags (`store/flags.py`)."""
    keywords: str
    modseq: int
    size: int
    date: float
    """INTERNALDATE, seconds since 1970."""


FOLDER = "id, name, validity, next_uid, modseq, floor, messages, octets, subscribed, special"
MESSAGE = "uid, file, bits, keywords, modseq, size, date"


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account has."""

    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account may have."""

    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit did to a folder, for those who look at it."""

    folder: int
    added: tuple[Message, ...] = ()
    changed: tuple[Message, ...] = ()
    vanished: tuple[int, ...] = ()
    gone: bool = False
    """The folder is deleted."""
