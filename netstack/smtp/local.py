"""Mail into mailboxes here: the queue's way to the store (RFC 5321 §4.4, §6.1)."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults

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
                account.name, job.envelope.sender, job.content, once=f"{job.number:X}/{index}/{job.envelope.arrived:.3f}"
            )
        except StoreError as error:
            return Outcome(Fate.WAITING if error.temporary else Fate.FAILED, error.status, str(error))
        return Outcome(Fate.DELIVERED, "2.0.0", f"in the mailbox of {account.name}")
