"""The zones of one server in several processes: one owns them and changes them, the others follow.

The owner numbers every version of every zone. A worker that starts asks for what differs from what it has, says that it is
there, asks once more, and only then serves; from then on each version is told to all, and an update is answered for when all
have it (`Owner.settled`). A follower that misses a version asks again before it says that it has one. Updates and
NOTIFY that come to a follower are handed to the owner.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import dns.name
from dns.name import Name
from dns.rcode import Rcode
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netstack.dns.authority import Authority, Reply
from netstack.dns.history import changed, from_octets, to_octets, zone_from_octets, zone_to_octets
from netstack.dns.keeper import ZoneKeeper
from netstack.dns.nameserver import Announced, Change, Notified
from netstack.dns.serial import serial_of
from netstack.dns.zone import Zone
from netstack.kernel.machine import Machine
from netstack.kernel.workers.channel import Unanswered
from netstack.kernel.workers.worker import Worker

AGAIN = 0.2
"""Seconds before an owner that does not answer is asked again."""
_ENTRY = struct.Struct("!BBQI")
"""Of each zone: what it is, octets of its name, number of its version, octets that follow the name."""
_SIZE = struct.Struct("!I")


class Entry(IntEnum):
    """What is told about a zone."""

    SAME = 1
    """What the follower has read from the zone's file."""
    WHOLE = 2
    CHANGED = 3
    """The number of the version before, then differences from it."""
    UNAVAILABLE = 4
    GONE = 5


@dataclass(frozen=True, slots=True)
class Told:
    """One zone in what an owner tells."""

    kind: Entry
    origin: Name
    version: int
    data: bytes = b""

    def octets(self) -> bytes:
        """As it is sent."""
        name = self.origin.to_wire() or b""
        return _ENTRY.pack(self.kind, len(name), self.version, len(self.data)) + name + self.data


def told_from(data: bytes) -> Iterator[Told]:
    """The entries."""
    at = 0
    while at < len(data):
        kind, named, version, size = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        origin, _ = dns.name.from_wire(data[at : at + named], 0)
        yield Told(Entry(kind), origin, version, data[at + named : at + named + size])
        at += named + size


class Owner(Service):
    """Worker 0's side."""

    log = Logger()

    def __init__(
        self, machine: Machine, worker: Worker, keeper: ZoneKeeper, files: Mapping[Name, tuple[Zone, bytes]]
    ) -> None:
        """`files`: zones as they were read, and a digest of their text; while one is served so it need not be told."""
        self.machine = machine
        self.keeper = keeper
        self.authority: Authority = keeper.nameserver.authority
        self._worker = worker
        self._files = dict(files)
        self._boot = machine.rng.randbytes(8)
        self._number = 0
        self._served: dict[Name, Zone | None] = {}
        """None: unavailable."""
        self._versions: dict[Name, int] = {}
        self._telling: set[Deferred[bytes]] = set()
        self._waiting: list[tuple[set[Deferred[bytes]], Deferred[None]]] = []
        self._changed()
        self.authority.watchers.append(self._changed)
        keeper.changes.settled = self.settled
        worker.handle("sync", lambda asker, data: self._sync(data))
        worker.handle("special", lambda asker, data: self._special(data))

    def settled(self) -> Deferred[None]:
        """Fires when all workers have what is served now."""
        if not self._telling:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append((set(self._telling), waiting))
        return waiting

    def _changed(self) -> None:
        """Something else may be served: tell of it."""
        now: dict[Name, Zone | None] = {**self.authority.zones, **dict.fromkeys(self.authority.unavailable)}
        entries = []
        for origin in [origin for origin in self._served if origin not in now]:
            self._number += 1
            del self._served[origin], self._versions[origin]
            entries.append(Told(Entry.GONE, origin, self._number))
        for origin, zone in now.items():
            if origin in self._served and self._served[origin] is zone:
                continue
            self._number += 1
            before, version = self._served.get(origin), self._versions.get(origin, 0)
            self._served[origin], self._versions[origin] = zone, self._number
            if self.running:
                entries.append(self._difference(origin, zone, before, version))
        if entries and self.running:
            self._tell(b"".join([self._boot, *(each.octets() for each in entries)]))

    def _difference(self, origin: Name, zone: Zone | None, before: Zone | None, version: int) -> Told:
        if zone is not None and before is not None:
            found = self.keeper.nameserver.rules_of(origin).history.since(serial_of(before.soa))
            if found and serial_of(found[-1].new) == serial_of(zone.soa):
                parts = [to_octets(each) for each in found]
                data = version.to_bytes(8, "big") + b"".join(_SIZE.pack(len(part)) + part for part in parts)
                return Told(Entry.CHANGED, origin, self._number, data)
        return self._entry(origin)

    def _entry(self, origin: Name) -> Told:
        zone = self._served[origin]
        if zone is None:
            return Told(Entry.UNAVAILABLE, origin, self._versions[origin])
        return Told(Entry.WHOLE, origin, self._versions[origin], zone_to_octets(zone))

    def _tell(self, data: bytes) -> None:
        answer = self._worker.tell_others("zones", data)
        self._telling.add(answer)
        answer.addErrback(lambda failure: None)  # the parent is gone, and so will this process be
        answer.addCallback(lambda _: self._told(answer))

    def _told(self, answer: Deferred[bytes]) -> None:
        self._telling.discard(answer)
        waiting, self._waiting = self._waiting, []
        for among, each in waiting:
            among.discard(answer)
            if among:
                self._waiting.append((among, each))
            else:
                each.callback(None)

    def _sync(self, data: bytes) -> bytes:
        """What differs from what the asker has: boot, then for each zone the version and the digest of its file."""
        boot, rest = data[:8], data[8:]
        theirs = {each.origin: each for each in told_from(rest)}
        entries = [Told(Entry.GONE, origin, self._number) for origin in theirs if origin not in self._served]
        for origin, version in self._versions.items():
            has = theirs.get(origin)
            if has is not None and boot == self._boot and has.version == version:
                continue
            zone, digest = self._files.get(origin, (None, b""))
            if has is not None and has.kind is Entry.SAME and zone is self._served[origin] and has.data == digest:
                entries.append(Told(Entry.SAME, origin, version))
            else:
                entries.append(self._entry(origin))
        return b"".join([self._boot, *(each.octets() for each in entries)])

    def _special(self, data: bytes) -> Deferred[bytes]:
        """An update or NOTIFY that came to another worker; its reply."""
        proto, _, rest = data.partition(b"\n")
        address, _, message = rest.partition(b"\n")
        nameserver, done = self.keeper.nameserver, Deferred[bytes]()
        outcome: Any = nameserver.receive(message, proto != b"udp", address.decode(), self.machine.now())
        if isinstance(outcome, Change):
            self.keeper.changes.submit(outcome, lambda reply: done.callback(reply.data))
        elif isinstance(outcome, Notified):
            self.keeper.notified(outcome)
            done.callback(outcome.reply.data)
        elif isinstance(outcome, Announced):
            self.keeper.announced(outcome.origin, outcome.child)
            done.callback(outcome.reply.data)
        elif isinstance(outcome, Reply):
            done.callback(outcome.data)
        else:
            done.errback(Unanswered("it is no update and no NOTIFY"))
        return done


class Follower(MultiService):
    """Any other worker: serves what the owner serves, once it has it. `service` has the listeners."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        worker: Worker,
        keeper: ZoneKeeper,
        service: IService,
        files: Mapping[Name, tuple[Zone, bytes]],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        service.setServiceParent(self)
        self.machine = machine
        self.authority = keeper.nameserver.authority
        self.service: Any = service
        self._nameserver = keeper.nameserver
        self._worker = worker
        self._files = dict(files)
        self._boot = bytes(8)
        self._versions: dict[Name, int] = {}
        self._turn = DeferredLock()
        worker.handle("zones", lambda asker, data: self._in_turn(lambda: self._take(data)))
        worker.handle("owner", lambda asker, data: self._in_turn(self._sync))

    def privilegedStartService(self) -> None:
        """The sockets are bound; nothing is served yet."""

    def startService(self) -> None:
        Service.startService(self)
        self._in_turn(self._begin).addErrback(lambda failure: self.log.failure("zones cannot be taken over", failure))

    def _in_turn(self, work: Callable[[], Any]) -> Deferred[bytes]:
        turn: Deferred[bytes] = self._turn.run(lambda: Deferred.fromCoroutine(work()))
        return turn

    async def _begin(self) -> None:
        await self._sync()
        await self._worker.channel.ask("join")
        await self._sync()
        if self.running:
            self.service.startService()

    async def _sync(self) -> bytes:
        """Ask for what differs, until there is an owner that answers."""
        while self.running:
            try:
                answer = await self._worker.ask_owner("sync", self._boot + b"".join(self._has()))
            except Unanswered:
                reactor: Any = self.machine.reactor
                await deferLater(reactor, AGAIN, lambda: None)
                continue
            self._boot = answer[:8]
            for each in told_from(answer[8:]):
                self._put(each)
            break
        return b""

    async def _take(self, data: bytes) -> bytes:
        """A new version."""
        fits = data[:8] == self._boot
        for each in told_from(data[8:]) if fits else ():
            has = self._versions.get(each.origin, 0)
            if each.version <= has:
                continue
            if each.kind is Entry.CHANGED and int.from_bytes(each.data[:8], "big") != has:
                fits = False
                break
            self._put(each)
        return b"" if fits else await self._sync()

    def _has(self) -> Iterable[bytes]:
        for origin in {**self.authority.zones, **dict.fromkeys(self.authority.unavailable)}:
            zone, digest = self._files.get(origin, (None, b""))
            as_read = zone is not None and self.authority.zones.get(origin) is zone
            kind, data = (Entry.SAME, digest) if as_read else (Entry.WHOLE, b"")
            yield Told(kind, origin, self._versions.get(origin, 0), data).octets()

    def _put(self, told: Told) -> None:
        self._versions[told.origin] = told.version
        authority, rules = self.authority, self._nameserver.rules_of(told.origin)
        if told.kind is Entry.CHANGED:
            differences, at = [], 8
            while at < len(told.data):
                (size,) = _SIZE.unpack_from(told.data, at)
                differences.append(from_octets(told.data[at + 4 : at + 4 + size]))
                at += 4 + size
            zone = changed(authority.zones[told.origin], differences)
            for each in differences:
                rules.history.add(each)
            authority.put(zone)
        elif told.kind is Entry.WHOLE:
            rules.history.clear()
            authority.put(zone_from_octets(told.origin, told.data))
        elif told.kind is Entry.UNAVAILABLE:
            authority.withdraw(told.origin)
        elif told.kind is Entry.GONE:
            del self._versions[told.origin]
            authority.zones.pop(told.origin, None)
            authority.unavailable.discard(told.origin)
            authority.changed()


class Forwarding:
    """Hands messages to the owner."""

    def __init__(self, machine: Machine, worker: Worker, most: int) -> None:
        """`most`: under way at once; one more is SERVFAIL."""
        self.machine = machine
        self._worker = worker
        self._most = most
        self._under_way = 0

    def forward(
        self,
        data: bytes,
        proto: str,
        address: str,
        outcome: Change | Notified | Announced,
        answered: Callable[[Reply], None],
        dropped: Callable[[], None],
    ) -> None:
        """`answered` gets the owner's reply; where there is none, SERVFAIL for an update, and a NOTIFY is `dropped`."""

        def without() -> None:
            if isinstance(outcome, Change):
                answered(outcome.seal.error(Rcode.SERVFAIL, self.machine.wall()))
            else:
                dropped()

        if self._under_way >= self._most:
            without()
            return
        self._under_way += 1
        reply = self._worker.ask_owner("special", f"{proto}\n{address}\n".encode() + data)

        def done(found: Any) -> None:
            self._under_way -= 1
            if isinstance(found, bytes):
                answered(Reply(found, Rcode(found[3] & 15), None))
            else:
                without()

        reply.addBoth(done)
