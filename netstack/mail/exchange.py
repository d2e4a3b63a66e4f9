"""Mailboxes of other programs: Maildirs with folders (Maildir++) and mbox files, read and written in their own directory."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from netstack.mail import utf7
from netstack.mail.message import head
from netstack.mail.store.schema import INBOX

LETTERS = {"D": "\\Draft", "F": "\\Flagged", "P": "$Forwarded", "R": "\\Answered", "S": "\\Seen", "T": "\\Deleted"}
"""Flags in a Maildir's names."""
_STATUS = {"R": "\\Seen", "A": "\\Answered", "F": "\\Flagged", "T": "\\Draft", "D": "\\Deleted"}
"""Letters of Status and X-Status in an mbox."""
_FIELDS = (b"status", b"x-status", b"x-keywords")
_FROM = re.compile(rb"^(>*From )", re.M)
_QUOTED = re.compile(rb"^>(>*From )", re.M)
_LINE = re.compile(rb"\r?\n")


class NotAMailbox(ValueError):
    """The text says what was expected."""


@dataclass(frozen=True, slots=True)
class Item:
    """One message on its way."""

    folder: str
    octets: bytes
    """With CRLF."""
    flags: tuple[str, ...]
    date: float | None
    """When it came, seconds since 1970."""
    sender: str = ""
    """Of an mbox's line."""


def read(path: Path, folder: str, most: int) -> Iterator[Item]:
    """A Maildir or an mbox file; what is no folder of its own comes into `folder`. Raises NotAMailbox, OSError.

    A message of more than `most` octets is an error: nobody takes it.
    """
    if (path / "cur").is_dir():
        return read_maildir(path, folder, most)
    if path.is_file():
        return read_mbox(path, folder, most)
    raise NotAMailbox(f"{path}: a Maildir (with cur, new and tmp) or an mbox file was expected")


def read_maildir(path: Path, folder: str, most: int) -> Iterator[Item]:
    """By folder, as they came. Files that begin with a dot are none."""
    inner = [(each, _folder_of(each.name)) for each in sorted(path.iterdir()) if _is_folder(each)]
    for directory, name in [(path, folder), *inner]:
        files = [each for part in ("cur", "new") if (directory / part).is_dir() for each in (directory / part).iterdir()]
        for file in sorted(files, key=lambda each: each.name):
            if file.name.startswith(".") or not file.is_file():
                continue
            if file.stat().st_size > most:
                raise NotAMailbox(f"{file}: a message has at most {most} octets")
            letters = file.name.rpartition(":2,")[2] if ":2," in file.name else ""
            flags = tuple(flag for letter, flag in LETTERS.items() if letter in letters)
            yield Item(name, with_crlf(file.read_bytes()), flags, file.stat().st_mtime)


def write_maildir(path: Path, items: Iterable[Item]) -> int:
    """Into a Maildir, made if need be, beside what is there: how many. Each file is whole before it has its name."""
    count = 0
    made: dict[str, Path] = {}
    for count, item in enumerate(items, 1):
        if item.folder not in made:
            directory = path if item.folder == INBOX else path / _directory_of(item.folder)
            for part in ("tmp", "new", "cur"):
                (directory / part).mkdir(mode=0o700, parents=True, exist_ok=True)
            if directory != path:
                (directory / "maildirfolder").touch()
            made[item.folder] = directory
        date = item.date or 0.0
        letters = "".join(letter for letter, flag in LETTERS.items() if flag in item.flags)
        name = f"{int(date)}.M{int(date % 1 * 1e6)}P{os.getpid()}Q{count}.netstack"
        temporary = made[item.folder] / "tmp" / name
        temporary.write_bytes(with_lf(item.octets))
        os.utime(temporary, (date, date))
        temporary.rename(made[item.folder] / "cur" / f"{name}:2,{letters}")
    return count


def read_mbox(path: Path, folder: str, most: int) -> Iterator[Item]:
    """Messages between lines that begin with `From ` after an empty one; `>From ` is unquoted once (mboxrd)."""
    with path.open("rb") as file:
        start = file.readline(1000)
        if start and not start.startswith(b"From "):
            raise NotAMailbox(f"{path}: a line that begins with From was expected")
        lines: list[bytes] = []
        size, empty = 0, False
        while line := file.readline(most + 1):
            if empty and line.startswith(b"From "):
                yield _from_mbox(folder, start, lines)
                start, lines, size, empty = line, [], 0, False
                continue
            lines.append(line)
            size += len(line)
            empty = line in (b"\n", b"\r\n")
            if size > most:
                raise NotAMailbox(f"{path}: a message has at most {most} octets")
        if start:
            yield _from_mbox(folder, start, lines)


def write_mbox(path: Path, items: Iterable[Item]) -> int:
    """Appended to a file, made if need be: how many."""
    count = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        for item in items:
            file.write(_to_mbox(item))
            count += 1
    return count


def with_crlf(octets: bytes) -> bytes:
    """Lines end in CRLF."""
    return _LINE.sub(b"\r\n", octets)


def with_lf(octets: bytes) -> bytes:
    """Lines end in LF, as files of this system do."""
    return octets.replace(b"\r\n", b"\n")


def _from_mbox(folder: str, start: bytes, lines: list[bytes]) -> Item:
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines.pop()
    octets = with_crlf(_QUOTED.sub(rb"\1", b"".join(lines)))
    of = head(octets)
    letters = b"".join(of.all(b"status") + of.all(b"x-status")).decode("ascii", "replace")
    keywords = b" ".join(of.all(b"x-keywords")).decode("ascii", "replace").split()
    flags = [flag for letter, flag in _STATUS.items() if letter in letters]
    kept = b"".join(field.raw for field in of.fields if field.name not in _FIELDS)
    rest = octets[sum(len(field.raw) for field in of.fields) :]
    words = start.decode("ascii", "replace").split(None, 2)
    return Item(folder, kept + rest, (*flags, *keywords), _asctime(words[2] if len(words) > 2 else ""))


def _to_mbox(item: Item) -> bytes:
    of = head(item.octets)
    end = sum(len(field.raw) for field in of.fields)
    marked = b"".join(field.raw for field in of.fields if field.name not in _FIELDS)
    status = "".join(letter for letter, flag in _STATUS.items() if flag in item.flags)
    marked += f"Status: {'R' if 'R' in status else ''}O\r\nX-Status: {status.replace('R', '')}\r\n".encode()
    keywords = [flag for flag in item.flags if not flag.startswith("\\")]
    if keywords:
        marked += f"X-Keywords: {' '.join(keywords)}\r\n".encode()
    rest = item.octets[end:]
    if not rest.startswith(b"\r\n"):  # a message without a head, or without an empty line after it
        rest = b"\r\n" + rest
    sender = re.sub(r"\s", "", item.sender) or "MAILER-DAEMON"
    line = f"From {sender} {datetime.fromtimestamp(item.date or 0, UTC).ctime()}\n".encode()
    quoted = _FROM.sub(rb">\1", with_lf(marked + rest))
    return line + quoted + (b"\n" if quoted.endswith(b"\n") else b"\n\n")


def _asctime(text: str) -> float | None:
    try:
        return datetime.strptime(" ".join(text.split()[:5]), "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _is_folder(path: Path) -> bool:
    return path.name.startswith(".") and (path / "cur").is_dir()


def _folder_of(name: str) -> str:
    """`.Work.2026` is Work/2026."""
    levels = name[1:].split(".")
    try:
        return "/".join(utf7.decoded(level) for level in levels)
    except ValueError:
        return "/".join(levels)


def _directory_of(folder: str) -> str:
    """A dot separates levels, and is none of a name's: it becomes "_", as does what would lead elsewhere."""
    return "".join("." + utf7.encoded(level).replace(".", "_") for level in folder.split("/"))
