"""A mail host as a Twisted service: doors where mail comes in, the queue, the courier that takes it on (RFC 5321 §2.3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.smtp.dialogue import PROTOCOL
from netstack.smtp.directory import Directory
from netstack.smtp.engine.hot import HotServerEngine, Memo
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.offer import Offer
from netstack.smtp.queue import Queue
from netstack.smtp.reception import Reception
from netstack.smtp.tlspolicy import Policies


@dataclass(frozen=True, slots=True)
class Door:
    """Where one kind of mail comes in."""

    endpoints: Sequence[Endpoint]
    """As they are bound; `tls` for TLS from the first octet."""
    offer: Offer
    reception: Reception


class Mailboxes(Protocol):
    """Where local mail ends."""

    def close(self) -> Deferred[None]: ...


class SMTPService(MultiService):
    """Takes mail at its doors and keeps the queue moving. Stopping lets what is on its way come to an end."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        doors: Sequence[Door],
        queue: Queue,
        mailboxes: Mailboxes,
        smtp: SMTPLimits,
        connections: StreamLimits,
        grace: float = 5.0,
        policies: Policies | None = None,
    ) -> None:
        """`mailboxes` are closed when nothing is on its way any more, and so are the courier's `policies`."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.machine = machine
        self.queue = queue
        self.listeners: list[StreamListener] = []
        self.mailboxes = mailboxes
        self.policies = policies
        self.know: Callable[[Directory], None] = lambda directory: None
        """Replaces who is here by others; what is in the queue stays."""
        counts = traffic(machine.registry, PROTOCOL, "server")
        for door in doors:
            for endpoint in door.endpoints:
                listener = StreamListener(
                    machine, endpoint, PROTOCOL, _engine(door.offer, smtp), door.reception.conversation, counts, connections,
                    grace=grace,
                )  # fmt: skip
                listener.setServiceParent(self)  # type: ignore[no-untyped-call]
                self.listeners.append(listener)

    def startService(self) -> None:
        if self.policies is not None:
            self.policies.start()
        self.queue.start()
        super().startService()  # type: ignore[no-untyped-call]
        for listener in self.listeners:
            self.log.info("{name} takes mail on {endpoint}", name=self.machine.name, endpoint=listener.endpoint)

    def stopService(self) -> Deferred[Any]:
        """Doors first, then the queue, then the mailboxes."""
        stopped = maybeDeferred(super().stopService)
        stopped.addBoth(lambda _: self.queue.stop())
        stopped.addBoth(lambda _: None if self.policies is None else self.policies.stop())
        return stopped.addBoth(lambda _: self.mailboxes.close())


def _engine(offer: Offer, limits: SMTPLimits) -> Callable[[], HotServerEngine]:
    memo = Memo()
    return lambda: HotServerEngine(offer, limits, memo)
