"""The ledger: a second copy of what an index knows and no message says, as lines, from which an index is made anew.

Each line is a JSON array that says how something is now, so that the last one about it counts:
`["F", id, name, validity, next_uid, subscribed, special]` a folder, `["D", id]` no folder any more,
`["M", folder, [[uid, file, bits, keywords, date], ...]]` messages, `["G", folder, [[uid, bits, keywords], ...]]` flags of
messages, `["X", folder, [uid, ...]]` no messages any more.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from netstack.mail.store.schema import Folder, Message

GAP = 100_000
"""UIDs left out when an index is made anew: the ledger's end may be missing, and no UID is ever given twice."""


def folder_line(folder: Folder) -> bytes:
    """A folder as it is."""
    values = folder.id, folder.name, folder.validity, folder.next_uid, int(folder.subscribed), folder.special
    return _line("F", *values)


def no_folder_line(folder: int) -> bytes:
    """A folder that is deleted."""
    return _line("D", folder)


def messages_line(folder: int, messages: Iterable[Message]) -> bytes:
    """Messages that are new in a folder."""
    return _line("M", folder, [(each.uid, each.file, each.bits, each.keywords, round(each.date, 3)) for each in messages])


def flags_line(folder: int, messages: Iterable[Message]) -> bytes:
    """Messages whose flags changed."""
    return _line("G", folder, [(each.uid, each.bits, each.keywords) for each in messages])


def expunged_line(folder: int, uids: Sequence[int]) -> bytes:
    """Messages that are no more."""
    return _line("X", folder, uids)


_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(slots=True)
class Told:
    """One folder, as a ledger tells it."""

    name: str
    validity: int
    next_uid: int
    subscribed: bool
    special: str
    messages: dict[int, tuple[int, int, str, float]] = field(default_factory=dict)
    """File, bits, keywords and date by UID."""


def replay(octets: bytes) -> dict[int, Told]:
    """Folders by number. Lines that are damaged, as the last one may be, say nothing."""
    folders: dict[int, Told] = {}
    for line in octets.split(b"\n"):
        try:
            kind, number, *rest = json.loads(line)
            _tell(folders, kind, _whole(number, 1), rest)
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            continue
    return folders


def _tell(folders: dict[int, Told], kind: str, number: int, rest: list[Any]) -> None:
    if kind == "F":
        name, validity, next_uid, subscribed, special = rest
        messages = folders[number].messages if number in folders else {}
        values = _whole(validity, 1, 2**32 - 1), _whole(next_uid, 1), bool(subscribed), str(special)
        folders[number] = Told(str(name), *values, messages)
        return
    if kind == "D":
        folders.pop(number, None)
        return
    told = folders[number]
    if kind == "M":
        for uid, file, bits, keywords, date in rest[0]:
            if not isfinite(float(date)):
                raise ValueError(date)
            told.messages[_whole(uid, 1)] = (_whole(file, 1), _whole(bits), str(keywords), float(date))
            told.next_uid = max(told.next_uid, uid + 1)
    elif kind == "G":
        for uid, bits, keywords in rest[0]:
            file, _, _, date = told.messages[uid]
            told.messages[uid] = (file, _whole(bits), str(keywords), date)
    elif kind == "X":
        for gone in rest[0]:
            told.messages.pop(gone, None)


def _whole(value: object, least: int = 0, most: int = 2**53) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(value)
    return value


def _line(*values: object) -> bytes:
    return _ENCODE(values).encode() + b"\n"
