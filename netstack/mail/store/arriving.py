"""Messages on their way into one account: those that come together are a piece of work of its index."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from netstack.mail.store import intake, messages
from netstack.mail.store.errors import StoreError
from netstack.mail.store.limits import StoreLimits
from netstack.mail.store.messages import Appended, Arrival
from netstack.mail.store.schema import Folder

Target = Callable[[sqlite3.Connection, str, bool], tuple[Folder, Folder | None]]
"""A folder by its name, made if need be and wanted; and once more if it is new. Raises StoreError."""


@dataclass(slots=True, eq=False)
class Arriving:
    """One message before it is committed."""

    folder: str
    make: bool
    incoming: intake.Incoming
    prepared: Arrival | None
    """What is in a file already."""
    taken: int
    """Octets of room that are held for it."""
    done: Deferred[Appended] = field(default_factory=Deferred)


@dataclass(slots=True)
class Arrived:
    """What came of one."""

    outcome: Appended | BaseException
    arrival: Arrival | None = None
    made: Folder | None = None
    """Its folder, where it is new."""


def append(database: sqlite3.Connection, group: Sequence[Arriving], target: Target, limits: StoreLimits) -> list[Arrived]:
    """In a thread, as work of one transaction: each one's outcome. One that fails changes nothing."""
    found: list[Arrived] = []
    folders: dict[tuple[str, bool], list[Arrived]] = {}
    for each in group:
        try:
            one = Arrived(StoreError(), each.prepared or intake.small(each.incoming))
            folders.setdefault((each.folder, each.make), []).append(one)
        except OSError as error:
            one = Arrived(error)
        found.append(one)
    for (name, make), those in folders.items():
        try:
            folder, made = target(database, name, make)
            outcomes = messages.append(database, folder.id, [one.arrival for one in those if one.arrival], limits)
        except StoreError as error:
            for one in those:
                one.outcome = error
            continue
        for one, outcome in zip(those, outcomes, strict=True):
            one.outcome, one.made, made = outcome, made, None
    return found


def fire(done: Deferred[Appended], outcome: Appended | BaseException) -> None:
    """Tell who waits for a message."""
    if isinstance(outcome, BaseException):
        done.errback(outcome)
    else:
        done.callback(outcome)
