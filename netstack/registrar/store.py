"""What a registrar keeps on disk: a journal of what domains are to become and what they are.

A change is written down as intended before the registry hears of it, and as done once the registry has said so. After a
crash between the two the intention is carried on. Each line has its check sum; an end that a crash cut off is left out,
as nobody was told of it.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from netstack.kernel.disk import AppendedFile
from netstack.kernel.machine import Machine
from netstack.registrar.events import KINDS, Change, Delegation, NameServer, Registration

JOURNAL = "registrations/journal"
SYNC = 0.002
"""Seconds that a write takes in the simulation."""
COMPACT = 1 << 20
"""Octets by which the journal grows before it is written anew."""


class StoreError(ValueError):
    """The journal cannot be used; the text says where."""


class Store:
    """The registrations of one registrar, in memory and in a journal below its disk's `registrations`."""

    def __init__(self, machine: Machine) -> None:
        """Reads the journal; raises StoreError."""
        self._machine = machine
        self.domains: dict[str, Registration] = {}
        self.intended: dict[str, Change] = {}
        """Changes of which it is not known whether the registry carried them out."""
        self._growing = AppendedFile(machine.disk, JOURNAL)
        self._size = self._small = 0
        self._lines: list[bytes] = []
        self._waiting: list[Deferred[None]] = []
        self._writing = False
        self._broken = False
        """The journal's end is not known: it is written anew before anything else."""
        self._load()

    def intend(self, change: Change) -> Deferred[None]:
        """A change is about to be sent; fires when that is on disk, fails with OSError."""
        self.intended[change.name] = change
        return self._write({"intend": _change(change)})

    def done(self, change: Change) -> Deferred[None]:
        """The change has happened; fires when that is on disk, fails with OSError."""
        self._apply(change)
        return self._write({"done": _change(change)})

    def abandon(self, name: str) -> Deferred[None]:
        """The intended change of a domain will not happen."""
        self.intended.pop(name, None)
        return self._write({"abandon": name})

    def close(self) -> None:
        """Close the journal; the next write opens it again."""
        self._growing.close()

    def _apply(self, change: Change) -> None:
        self.intended.pop(change.name, None)
        if change.after is None:
            self.domains.pop(change.name, None)
        else:
            self.domains[change.name] = change.after

    def _load(self) -> None:
        try:
            data = self._machine.disk.read(JOURNAL)
        except FileNotFoundError:
            return
        lines = data.split(b"\n")
        for number, line in enumerate(lines[:-1], 1):
            check, _, text = line.partition(b" ")
            if check != _check(text):
                if number == len(lines) - 1:
                    break
                raise StoreError(f"{JOURNAL} line {number}: damaged; expected the line's check sum at its beginning")
            try:
                self._replay(json.loads(text))
            except (KeyError, TypeError, ValueError) as error:
                raise StoreError(f"{JOURNAL} line {number}: {error!r}") from error
        self._broken = True  # whatever its end is like, the first write replaces it

    def _replay(self, entry: dict[str, Any]) -> None:
        if "intend" in entry:
            change = _read_change(entry["intend"])
            self.intended[change.name] = change
        elif "done" in entry:
            self._apply(_read_change(entry["done"]))
        else:
            self.intended.pop(entry["abandon"], None)

    def _write(self, entry: dict[str, Any]) -> Deferred[None]:
        """Those that come while the disk writes share the next write."""
        done: Deferred[None] = Deferred()
        self._lines.append(_line(entry))
        self._waiting.append(done)
        self._go_on()
        return done

    def _go_on(self) -> None:
        if self._writing or not self._lines:
            return
        self._writing = True
        data, waiting = b"".join(self._lines), self._waiting
        self._lines, self._waiting = [], []
        anew = self._broken or self._size > 2 * self._small + COMPACT
        whole = self._whole() if anew else b""
        work: Callable[[], None] = (lambda: self._replace(whole)) if anew else (lambda: self._append(data))

        def written(result: object) -> None:
            self._writing = False
            self._broken = isinstance(result, Failure)
            for each in waiting:
                if isinstance(result, Failure):
                    each.errback(Failure(OSError(f"{JOURNAL} cannot be written: {result.getErrorMessage()}")))
                else:
                    each.callback(None)
            self._go_on()

        self._machine.offload(work, cost=SYNC).addBoth(written)

    def _whole(self) -> bytes:
        """All that counts now."""
        kept = [_line({"done": _change(Change("registration", None, each))}) for each in self.domains.values()]
        return b"".join((*kept, *(_line({"intend": _change(each)}) for each in self.intended.values())))

    def _replace(self, data: bytes) -> None:
        self.close()
        self._machine.disk.write(JOURNAL, data)
        self._size = self._small = len(data)

    def _append(self, data: bytes) -> None:
        self._growing.append(data)
        self._size += len(data)


def _line(entry: dict[str, Any]) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return _check(text) + b" " + text + b"\n"


def _check(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def _change(change: Change) -> dict[str, Any]:
    before, after = (None if each is None else asdict(each) for each in (change.before, change.after))
    return {"kind": change.kind, "before": before, "after": after}


def _read_change(table: dict[str, Any]) -> Change:
    kind = next((each for each in KINDS if each == table["kind"]), None)
    if kind is None:
        raise ValueError(f"unknown kind {table['kind']!r}")
    return Change(kind, _read_registration(table["before"]), _read_registration(table["after"]))


def _read_registration(table: dict[str, Any] | None) -> Registration | None:
    if table is None:
        return None
    told = table["delegation"]
    servers = tuple(NameServer(each["name"], tuple(each["addresses"])) for each in told["servers"])
    return Registration(**(table | {"delegation": Delegation(servers, tuple(told["ds"]))}))
