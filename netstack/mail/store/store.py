"""The mail of all accounts of a host: deliveries, and who has a mailbox open."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from netstack.kernel.machine import Machine
from netstack.mail.addresses import Mailbox
from netstack.mail.metrics import counts
from netstack.mail.store import flags as flag_names
from netstack.mail.store.account import AccountStore
from netstack.mail.store.errors import StoreBusy, StoreError
from netstack.mail.store.intake import Incoming
from netstack.mail.store.limits import StoreLimits
from netstack.mail.store.messages import Appended
from netstack.mail.store.schema import INBOX, Quota, Usage
from netstack.mail.store.settling import Room
from netstack.sansio import FileSlice

LIMITS = StoreLimits()


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where a message is."""

    id: str
    """EMAILID (RFC 8474): the same in every folder that it is copied to."""
    folder: int
    uid: int
    again: bool = False
    """It had been delivered before, under the same `once`."""


class MailStore:
    """One for each host, in one process alone: whoever makes it holds the state directory."""

    def __init__(self, machine: Machine, limits: StoreLimits = LIMITS, directory: str = "mail") -> None:
        self.limits = limits
        self._machine = machine
        self._directory = directory
        self._counts = counts(machine.registry)
        self._room = Room(limits.unsettled, self._counts)
        self._accounts: OrderedDict[str, AccountStore] = OrderedDict()
        self._quota = Quota(self.limits.messages, self.limits.octets)
        self._closing = False

    def deliver(
        self,
        account: str,
        sender: Mailbox | None,
        message: bytes | FileSlice,
        folder: str = INBOX,
        *,
        flags: Iterable[str] = (),
        date: float | None = None,
        once: str | None = None,
        quota: Quota | None = None,
        patient: bool = False,
    ) -> Deferred[Delivered]:
        """A message into an account's mailbox, with its Return-Path in front (RFC 5321 §4.4); durable when it fires.

        Those that are delivered at once share a commit; `patient`: others come soon, and may be waited for. `once` names
        this delivery: the same again is recognised, and changes nothing. A FileSlice is read in a thread and closed. Fails
        with StoreError, ValueError for what is no flag.
        """
        path = f"Return-Path: <{sender or ''}>\r\n".encode()
        return self._append(account, folder, path, message, flags, date, once, quota, True, patient)

    def append(
        self,
        account: str,
        message: bytes | FileSlice,
        folder: str = INBOX,
        *,
        flags: Iterable[str] = (),
        date: float | None = None,
        quota: Quota | None = None,
        make: bool = False,
    ) -> Deferred[Delivered]:
        """As `deliver`, of a message as it is (IMAP's APPEND, an import); the folder is made only if `make`."""
        return self._append(account, folder, b"", message, flags, date, None, quota, make)

    def _append(
        self,
        account: str,
        folder: str,
        before: bytes,
        message: bytes | FileSlice,
        flags: Iterable[str],
        date: float | None,
        once: str | None,
        quota: Quota | None,
        make: bool,
        patient: bool = False,
    ) -> Deferred[Delivered]:
        try:
            bits, keywords = flag_names.parsed(flags, self.limits.keywords) if flags else (0, "")
            target = self.account(account)
        except (StoreError, ValueError) as error:
            if isinstance(message, FileSlice):
                message.file.close()
            return fail(error)
        when = self._machine.wall() if date is None else date
        incoming = Incoming(before, message, when, bits, keywords, once, quota or self._quota)
        return target.append(folder, incoming, make, patient).addCallbacks(self._stored, self._refused)

    def _stored(self, appended: Appended) -> Delivered:
        message = appended.message
        self._counts.messages["again" if appended.again else "stored"] += 1
        if not appended.again:
            self._counts.octets += message.size
        return Delivered(str(message.file), appended.folder, message.uid, appended.again)

    def _refused(self, failure: Failure) -> Failure:
        if isinstance(failure.value, StoreError):
            self._counts.messages[failure.value.result] += 1
        return failure

    def quota(self, octets: int = 0, messages: int = 0) -> Quota:
        """An account's, where 0 is the store's own bound."""
        if not (octets or messages):
            return self._quota
        return Quota(messages or self.limits.messages, octets or self.limits.octets)

    def usage(self, account: str) -> Deferred[Usage]:
        """What an account has. Fails with StoreError."""

        async def run() -> Usage:
            return await self.account(account).usage()

        return Deferred.fromCoroutine(run())

    def account(self, name: str) -> AccountStore:
        """An account's mail, by its canonical name; opened when it is used. Who keeps it calls its `use`.

        Raises StoreBusy.
        """
        if self._closing:
            raise StoreBusy("the store is closing")
        found = self._accounts.get(name)
        if found is not None:
            self._accounts.move_to_end(name)
            return found
        self._make_room()
        disk = self._machine.disk.below(f"{self._directory}/accounts/{quote(name, safe='@+')}")
        made = self._accounts[name] = AccountStore(self._machine, disk, name, self.limits, self._room)
        self._counts.open = len(self._accounts)
        return made

    def _make_room(self) -> None:
        if len(self._accounts) < self.limits.accounts:
            return
        unused = next((name for name, each in self._accounts.items() if each.idle), None)
        if unused is None:
            raise StoreBusy(f"{len(self._accounts)} mailboxes are open")
        self._accounts.pop(unused).drop()

    def close(self) -> Deferred[None]:
        """Writes what waits, and takes no more. What has been acknowledged is durable already."""
        self._closing = True

        async def run() -> None:
            for account in list(self._accounts.values()):
                await account.close()

        return Deferred.fromCoroutine(run())
