"""One account's mail: what a server of any protocol does with it. Changes are durable when their Deferred fires."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.kernel.database import Database, DatabaseBusy, DatabaseLimits, Together
from netstack.kernel.disk import Disk, OpenFile
from netstack.kernel.machine import Machine
from netstack.mail.store import files, flags, folders, intake, ledger, messages, recovery, search
from netstack.mail.store.arriving import Arrived, Arriving, append, fire
from netstack.mail.store.errors import MessageTooLarge, StoreBusy, StoreFailed
from netstack.mail.store.limits import StoreLimits
from netstack.mail.store.messages import Appended, How
from netstack.mail.store.placing import Placing
from netstack.mail.store.schema import FILE, INBOX, SCHEMA, Change, Folder, Message, Quota, Usage
from netstack.mail.store.search import Where
from netstack.mail.store.settling import Room, Settler

T = TypeVar("T")
COST = 0.001
"""Seconds that a large message takes to be copied, in the simulation alone."""
Watcher = Callable[[Change], None]


class AccountStore:
    """Opened by its first use. `disk` is the account's own directory."""

    log = Logger()

    def __init__(self, machine: Machine, disk: Disk, name: str, limits: StoreLimits, room: Room) -> None:
        self.name = name
        self._machine = machine
        self._disk = disk
        self._limits = limits
        self._room = room
        self._database, self._arrivals = self._new_database()
        self._placing = Placing(disk, machine.offload)
        self._settler = Settler(machine, disk, self._run, limits, room)
        self._watchers: dict[int, list[Watcher]] = {}
        self._opening: Deferred[None] | None = None
        self._opened = self._closed = False
        self._working = self._incoming = self._users = 0
        self._usual = min(limits.inline, limits.message)
        """Octets of what is committed at once."""

    @property
    def idle(self) -> bool:
        """Whether nobody needs it now."""
        return not (self._working or self._users or self._watchers) and self._settler.idle

    def use(self) -> Callable[[], None]:
        """Keep it open, as a session does, until what comes back is called (once)."""
        self._users += 1

        def done() -> None:
            self._users -= 1

        return done

    # Messages

    def append(
        self, folder: str, incoming: intake.Incoming, make: bool = False, patient: bool = False
    ) -> Deferred[Appended]:
        """A message into a folder, made if need be and `make`; `patient`: others come soon. Those that come together share
        a commit. Fails with StoreError; the file is closed in any case."""
        size = incoming.size
        usual = folder == INBOX and type(incoming.message) is bytes and size <= self._usual
        if usual and self._opened and not self._closed and size <= self._room.free:
            self._room.hold(size)
            return self._enter(Arriving(INBOX, make, incoming, None, size), patient)
        return Deferred.fromCoroutine(self._append(folder, incoming, make, patient))

    async def _append(self, folder: str, incoming: intake.Incoming, make: bool, patient: bool) -> Appended:
        try:
            name = folders.canonical(folder, self._limits)
            if incoming.size > self._limits.message:
                raise MessageTooLarge(f"a message has at most {self._limits.message} octets")
            await self._open()
            prepared: messages.Arrival | None = None
            taken = 0
            if intake.is_large(incoming, self._limits):
                self._incoming += 1
                path = files.incoming_path(self._incoming)
                if intake.is_huge(incoming, self._limits):
                    prepared = await self._offloaded(lambda: intake.large(incoming, self._disk, path))
                else:
                    prepared, others_follow = await self._placed(incoming, path)
                    patient = patient or others_follow
            else:
                taken = incoming.size
                await self._room.take(taken)
        except BaseException:
            incoming.close()
            raise
        return await self._enter(Arriving(name, make, incoming, prepared, taken), patient)

    async def _placed(self, incoming: intake.Incoming, path: str) -> tuple[messages.Arrival, bool]:
        self._working += 1
        try:
            return await self._placing.add(incoming, path)
        except OSError as error:
            raise self._why(error) from error
        finally:
            self._working -= 1

    def _enter(self, arriving: Arriving, patient: bool) -> Deferred[Appended]:
        self._working += 1
        try:
            self._arrivals.add(arriving, patient)
        except DatabaseBusy:
            self._arrived([arriving], Failure())
        return arriving.done

    def _arrived(self, group: Sequence[Arriving], outcome: list[Arrived] | Failure) -> None:
        """They are committed, or none of them is: the reactor's part of it, once for all."""
        self._working -= len(group)
        results = outcome if not isinstance(outcome, Failure) else [Arrived(self._why(outcome.value))] * len(group)
        added: dict[int, list[Message]] = {}
        for each, result in zip(group, results, strict=True):
            each.incoming.close()
            if result.made is not None:
                self._settler.tell(ledger.folder_line(result.made))
            if isinstance(result.outcome, Appended) and not result.outcome.again and result.arrival is not None:
                message, arrival = result.outcome.message, result.arrival
                content = arrival.octets if arrival.octets is not None else arrival.source or ""
                self._settler.arrived(message.file, each.taken, content)
                added.setdefault(result.outcome.folder, []).append(message)
            else:
                self._room.give(each.taken)
        for folder, those in added.items():
            self._came(folder, those)
        for each, result in zip(group, results, strict=True):
            self._answer(each, result.outcome)

    def _answer(self, arriving: Arriving, outcome: Appended | BaseException) -> None:
        if isinstance(outcome, OSError):
            outcome = self._why(outcome)
        source = arriving.prepared.source if arriving.prepared is not None else None
        if source is not None and (isinstance(outcome, BaseException) or outcome.again):
            Deferred.fromCoroutine(self._discard(source)).addBoth(lambda _: fire(arriving.done, outcome))
        else:
            fire(arriving.done, outcome)

    def _target(self, database: sqlite3.Connection, name: str, make: bool) -> tuple[Folder, Folder | None]:
        """A folder, and once more if it is new."""
        if not make:
            return folders.find(database, name), None
        found = folders.ensured(database, name, self._machine.wall(), self._limits)
        return found, found if found.next_uid == 1 else None

    async def snapshot(self, folder: str) -> tuple[Folder, list[Message]]:
        """The folder and its messages by UID, as of one moment. Raises StoreError."""
        name = folders.canonical(folder, self._limits)

        def work(database: sqlite3.Connection) -> tuple[Folder, list[Message]]:
            found = folders.find(database, name)
            return found, messages.every(database, found.id)

        return await self._ready(work)

    async def since(self, folder: int, modseq: int) -> tuple[list[Message], list[int] | None]:
        """What is new or changed after a modseq, and what was expunged after it; None where that is not remembered."""
        return await self._ready(lambda database: messages.since(database, folder, modseq))

    async def change_flags(
        self, folder: int, uids: Sequence[int], how: How, names: Iterable[str], unchanged_since: int | None = None
    ) -> tuple[list[Message], list[int]]:
        """The messages as they are then, and UIDs of those that changed meanwhile (RFC 7162 §3.1.3).

        Raises ValueError for what is no flag, StoreError.
        """
        bits, keywords = flags.parsed(names, self._limits.keywords)
        shown, changed, refused = await self._ready(
            lambda database: messages.change_flags(database, folder, uids, how, bits, keywords, unchanged_since)
        )
        if changed:
            self._settler.tell(ledger.flags_line(folder, changed))
            self._notify(Change(folder, changed=tuple(changed)))
        return shown, refused

    async def expunge(self, folder: int, uids: Sequence[int]) -> list[int]:
        """Remove messages: the UIDs that were there. Raises StoreError."""
        gone = await self._ready(lambda database: messages.expunge(database, folder, uids, self._limits))
        self._gone(folder, gone)
        return gone

    async def copy(
        self, folder: int, uids: Sequence[int], target: str, quota: Quota
    ) -> tuple[Folder, list[tuple[int, int]]]:
        """Into another folder: that one, and pairs of UIDs here and there (RFC 4315 §3). Raises StoreError."""
        name = folders.canonical(target, self._limits)

        def work(database: sqlite3.Connection) -> tuple[Folder, list[tuple[int, Message]]]:
            found = folders.find(database, name)
            return found, messages.copy(database, folder, uids, found.id, quota)

        found, pairs = await self._ready(work)
        self._came(found.id, [message for _, message in pairs])
        return found, [(uid, message.uid) for uid, message in pairs]

    async def move(self, folder: int, uids: Sequence[int], target: str) -> tuple[Folder, list[tuple[int, int]]]:
        """Into another folder, or to the end of the same one (RFC 6851). Raises StoreError."""
        name = folders.canonical(target, self._limits)

        def work(database: sqlite3.Connection) -> tuple[Folder, list[tuple[int, Message]]]:
            found = folders.find(database, name)
            return found, messages.move(database, folder, uids, found.id, self._limits)

        found, pairs = await self._ready(work)
        self._came(found.id, [message for _, message in pairs])
        self._gone(folder, [uid for uid, _ in pairs])
        return found, [(uid, message.uid) for uid, message in pairs]

    async def search(self, folder: int, where: Where) -> list[int]:
        """UIDs of the messages that are meant. Raises StoreError."""
        return await self._ready(lambda database: search.found(database, folder, where))

    async def threads(self, folder: int, uids: Sequence[int]) -> dict[int, int]:
        """THREADID by UID (RFC 8474)."""
        return await self._ready(lambda database: search.threads(database, folder, uids))

    def content(self, message: Message) -> OpenFile:
        """The octets of a message that was just looked at. Raises OSError; FileNotFoundError where it is expunged by now."""
        return files.checked(self._settler.content(message.file), message.size)

    async def usage(self) -> Usage:
        """What the account has."""
        row = await self._ready(lambda database: database.execute("SELECT messages, octets FROM account").fetchone())
        return Usage(*row)

    # Folders

    async def folders(self) -> list[Folder]:
        """All, by name."""
        return await self._ready(folders.every)

    async def folder(self, name: str) -> tuple[Folder, int]:
        """One, and how many of its messages are unseen. Raises NoSuchFolder."""
        canonical = folders.canonical(name, self._limits)

        def work(database: sqlite3.Connection) -> tuple[Folder, int]:
            found = folders.find(database, canonical)
            return found, folders.unseen(database, found.id)

        return await self._ready(work)

    async def create(self, name: str, special: str = "") -> Folder:
        """A new folder. Raises FolderRefused."""
        canonical, wall = folders.canonical(name, self._limits), self._machine.wall()
        return self._told(
            await self._ready(lambda database: folders.create(database, canonical, wall, self._limits, special))
        )

    async def rename(self, old: str, new: str) -> list[Folder]:
        """A folder and those inside of it; of INBOX, its messages (RFC 9051 §6.3.6). Raises StoreError."""
        before, after = (folders.canonical(name, self._limits) for name in (old, new))
        wall = self._machine.wall()
        changed, moved = await self._ready(lambda database: folders.rename(database, before, after, wall, self._limits))
        for folder in changed:
            self._told(folder)
        if moved is not None:
            inbox, pairs = moved
            self._came(changed[0].id, [message for _, message in pairs])
            self._gone(inbox, [uid for uid, _ in pairs])
        return changed

    async def delete(self, name: str) -> None:
        """A folder with its messages; those inside of it stay. Raises StoreError."""
        canonical = folders.canonical(name, self._limits)
        folder, change = await self._ready(lambda database: folders.delete(database, canonical, self._limits))
        self._settler.tell(ledger.no_folder_line(folder.id))
        self._settler.removed()
        self._notify(change)

    async def subscribe(self, name: str, subscribed: bool = True) -> Folder:
        """Raises NoSuchFolder."""
        canonical = folders.canonical(name, self._limits)
        return self._told(await self._ready(lambda database: folders.subscribe(database, canonical, subscribed)))

    def watch(self, folder: int, watcher: Watcher) -> Callable[[], None]:
        """Be told of each change of a folder once it is durable, until what comes back is called."""
        self._watchers.setdefault(folder, []).append(watcher)

        def stop() -> None:
            watchers = self._watchers.get(folder, [])
            if watcher in watchers:
                watchers.remove(watcher)
            if not watchers:
                self._watchers.pop(folder, None)

        return stop

    async def close(self) -> None:
        """Settles what waits, and takes no more."""
        if self._opened and not self._closed:
            await self._settler.close()
        self._closed = True
        self._database.close()

    def drop(self) -> None:
        """Close one that is idle, at once."""
        self._closed = True
        self._database.close()

    # Inside

    async def _ready(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await self._open()
        return await self._run(work)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._working += 1
        try:
            return await self._database.run(work)
        except (DatabaseBusy, sqlite3.Error, OSError) as error:
            raise self._why(error) from error
        finally:
            self._working -= 1

    async def _offloaded(self, work: Callable[[], T]) -> T:
        self._working += 1
        try:
            return await self._machine.offload(work, COST)
        except OSError as error:
            raise self._why(error) from error
        finally:
            self._working -= 1

    def _why(self, error: BaseException | None) -> BaseException:
        """What the store's users are told of it."""
        if isinstance(error, DatabaseBusy):
            return StoreBusy(str(error))
        if isinstance(error, sqlite3.Error | OSError):
            self.log.error("{account}: {error}", account=self.name, error=error)
            return StoreFailed("the mailbox cannot be written")
        return error or StoreFailed()

    async def _discard(self, path: str) -> None:
        await self._offloaded(lambda: self._disk.remove_all([path]))

    async def _open(self) -> None:
        """Once; all who come meanwhile wait. After a failure the next one tries again."""
        if self._closed:
            raise StoreBusy("the store is closing")
        if self._opened:
            return
        if self._opening is None:
            self._opening = Deferred()
            try:
                await self._restore()
                self._opened = True
            finally:
                opening, self._opening = self._opening, None
                opening.callback(None)
        else:
            turn: Deferred[None] = Deferred()
            self._opening.addCallback(lambda _: turn.callback(None))
            await turn
        if not self._opened:
            raise StoreFailed("the mailbox cannot be opened")

    async def _restore(self) -> None:
        wall = self._machine.wall()
        crashed = recovery.is_open(self._disk)
        try:
            found = await self._database.run(lambda database: self._restored(database, wall))
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # others are of the moment: locked, full, a failing disk
                raise StoreFailed(str(error)) from error
            self._database.close()
            aside = await self._offloaded(lambda: recovery.set_aside(self._disk, wall))
            self.log.error(
                "{account}: the index was damaged, see {aside}: {error}", account=self.name, error=error, aside=aside
            )
            self._database, self._arrivals = self._new_database()
            found = await self._run(lambda database: self._restored(database, wall))
        except (DatabaseBusy, OSError) as error:
            raise StoreFailed(str(error)) from error
        recovered, octets, count = found
        self._room.counts.anew += recovered.anew
        self._room.counts.adopted += recovered.adopted
        if recovered.anew or recovered.adopted:
            self.log.warn(
                "{account}: the index is {how}; {adopted} files were adopted into INBOX, {dropped} are missing",
                account=self.name, how="made anew" if recovered.anew else "complete again",
                adopted=recovered.adopted, dropped=recovered.dropped,
            )  # fmt: skip
        # Above those, too, that are in their places already, but that the index still looks for under their first names.
        sources = [files.incoming_number(source) for _, _, source in recovered.arrived if source is not None]
        self._incoming = max(sources + files.listed(self._disk, files.INCOMING), default=0)
        self._settler.began(octets, count)
        for file, held, source in recovered.arrived:
            self._room.hold(len(held or b""))
            self._settler.arrived(file, len(held or b""), held if held is not None else source or "")
        if recovered.lines:
            self._settler.tell(*recovered.lines)
        if recovered.removing:
            self._settler.removed()
        if crashed and not recovered.anew:
            self._settler.untold()

    def _restored(self, database: sqlite3.Connection, wall: float) -> tuple[recovery.Recovered, int, int]:
        """In a thread."""
        found = recovery.restore(database, self._disk, wall, self._limits)
        try:
            octets = self._disk.stat(files.LEDGER).size
        except FileNotFoundError:
            octets = 0
        [count] = database.execute("SELECT messages FROM account").fetchone()
        return found, octets, count

    def _new_database(self) -> tuple[Database, Together[Arriving]]:
        limits = DatabaseLimits(waiting=self._limits.waiting, octets=self._limits.index)
        database = Database(self._disk, FILE, SCHEMA, limits, self._machine.offload)

        def work(connection: sqlite3.Connection, group: Sequence[Arriving]) -> list[Arrived]:
            return append(connection, group, self._target, self._limits)

        return database, Together(database, work, self._arrived, self._machine.reactor)

    def _told(self, folder: Folder) -> Folder:
        self._settler.tell(ledger.folder_line(folder))
        return folder

    def _came(self, folder: int, added: Sequence[Message]) -> None:
        if added:
            self._settler.tell(ledger.messages_line(folder, added))
            self._notify(Change(folder, added=tuple(added)))

    def _gone(self, folder: int, uids: Sequence[int]) -> None:
        if uids:
            self._settler.tell(ledger.expunged_line(folder, uids))
            self._settler.removed()
            self._notify(Change(folder, vanished=tuple(uids)))

    def _notify(self, change: Change) -> None:
        for watcher in tuple(self._watchers.get(change.folder, ())):
            watcher(change)
