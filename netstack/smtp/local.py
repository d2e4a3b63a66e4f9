"""Mail into mailboxes here: the queue's way to the store, and the straight one (RFC 5321 §4.4, §6.1)."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.mail.accounts import Account
from netstack.mail.addresses import Mailbox
from netstack.mail.store import MailStore, StoreError
from netstack.smtp.directory import Directory
from netstack.smtp.envelope import Destination, Fate
from netstack.smtp.queue import Job, Outcome


class LocalSession:
    """One worker's; all share the store, which writes together what comes together."""

    usable = True

    def __init__(self, directory: Directory, store: MailStore) -> None:
        self._directory = directory
        self._store = store

    async def deliver(self, job: Job) -> Sequence[Outcome]:
        """Into each recipient's INBOX; one that is there already (the queue did not note it) is not put there again."""
        waiting = [self._one(job, index, job.envelope.recipients[index]) for index in job.indexes]
        return list(await gatherResults(waiting))

    def close(self) -> None:
        """There is nothing to close."""

    def _one(self, job: Job, index: int, recipient: Destination) -> Deferred[Outcome]:
        return Deferred.fromCoroutine(self._deliver(job, index, recipient))

    async def _deliver(self, job: Job, index: int, recipient: Destination) -> Outcome:
        account = self._directory.account(recipient.mailbox)
        if account is None:
            return Outcome(Fate.FAILED, "5.1.1", f"{recipient.mailbox} is nobody's address here any more")
        try:
            await self._store.deliver(
                account.name, job.envelope.sender, job.content, once=name_of(job.number, index, job.envelope.arrived),
                quota=self._store.quota(account.octets, account.messages),
            )  # fmt: skip
        except StoreError as error:
            return Outcome(Fate.WAITING if error.temporary else Fate.FAILED, error.status, str(error))
        return Outcome(Fate.DELIVERED, "2.0.0", f"in the mailbox of {account.name}")


class Straight:
    """The way of a message that is for one mailbox here and nobody else: into the store before 250, never into the queue.

    Both are as durable. What the store does not take now goes into the queue, which tries again or tells the sender, and
    by the name of the delivery the store knows what it has in spite of an error.
    """

    log = Logger()

    def __init__(self, directory: Directory, store: MailStore) -> None:
        self._directory = directory
        self._store = store

    def account(self, mailbox: Mailbox) -> Account | None:
        """Whose mailbox it is."""
        return self._directory.account(mailbox)

    def deliver(
        self, account: Account, sender: Mailbox | None, content: bytes, number: int, now: float, patient: bool
    ) -> Deferred[bool]:
        """Fires with whether it is in the mailbox, durable. `patient`: others come soon, and may be waited for."""
        delivered = self._store.deliver(
            account.name, sender, content, date=now, once=name_of(number, 0, now), patient=patient,
            quota=self._store.quota(account.octets, account.messages),
        )  # fmt: skip
        return delivered.addCallbacks(_yes, self._not)

    def _not(self, failure: Failure) -> bool:
        failure.trap(StoreError)
        self.log.info("message goes into the queue: {why}", why=failure.getErrorMessage())
        return False


def name_of(number: int, index: int, arrived: float) -> str:
    """Of the delivery to one recipient of a message: by it the store knows it again."""
    return f"{number:X}/{index}/{arrived:.3f}"


def _yes(delivered: object) -> bool:
    return True
