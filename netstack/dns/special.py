"""The role's side of messages that are more than questions: replies that wait for the disk, replies of many messages."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from dns.rcode import Rcode
from twisted.internet.interfaces import IDelayedCall

from netstack.dns.authority import Reply
from netstack.dns.events import Proto, SendReply
from netstack.dns.guard import Admitted, Guard
from netstack.dns.keeper import ZoneKeeper
from netstack.dns.metrics import ServerMetrics, ZoneCounts
from netstack.dns.nameserver import Announced, Change, Nameserver, Notified, Plain, Transfer
from netstack.dns.sharing import Forwarding
from netstack.dns.tsig import signed
from netstack.dns.wire import name_text
from netstack.dns.zone import ZoneUnavailable
from netstack.kernel.machine import Machine
from netstack.kernel.roles import Connection

BURST = 4
"""Messages of a transfer sent before others get their turn."""

Send = Callable[[bytes | None], None]
"""Sends a reply; None: none is due."""


class SpecialAnswers:
    """Answers such messages for all sockets of one server."""

    def __init__(
        self,
        machine: Machine,
        nameserver: Nameserver,
        keeper: ZoneKeeper,
        metrics: ServerMetrics,
        counts: ZoneCounts,
        transfers: int,
        guard: Guard | None = None,
    ) -> None:
        """`transfers`: out, at once. `guard` limits what is not signed as it limits plain questions."""
        self.guard = guard
        self.machine = machine
        self.nameserver = nameserver
        self.keeper = keeper
        self.metrics = metrics
        self.counts = counts
        self.transfers = transfers
        self.sending = 0
        """Transfers under way."""
        self.forwarding: Forwarding | None = None
        """To the process that owns the zones, where another does."""

    def receive(
        self, data: bytes, proto: Proto, address: str, send: Send, transfer: Callable[[Transfer], None] | None = None
    ) -> bool:
        """Answer a message by `send`, once, now or later; or hand a transfer on, which only a stream can carry.

        False: it is a plain question, which is not answered here.
        """
        began = self.machine.reactor.seconds()
        now = self.machine.now()
        outcome = self.nameserver.receive(data, proto != "udp", address, now)
        if isinstance(outcome, Plain):
            return False
        if outcome is None:
            self.metrics.dropped += 1
            send(None)
            return True
        admitted = Admitted(address, True, None, True, 0)
        if self.guard is not None and not (isinstance(outcome, Reply) and signed(outcome.data)):
            found = self.guard.admit(data, address, proto != "udp", now)
            if not isinstance(found, Admitted):
                send(found)
                return True
            admitted = replace(found, cookie=None)  # a signature is the last record of a message

        def answered(reply: Reply) -> None:
            self.metrics.request(proto, address, reply.question)
            self.metrics.response(reply.rcode, self.machine.reactor.seconds() - began)
            send(reply.data if self.guard is None else self.guard.finish(admitted, reply.data, self.machine.now()))

        if isinstance(outcome, Reply):
            answered(outcome)
        elif isinstance(outcome, Change | Notified | Announced) and self.forwarding is not None:
            self.forwarding.forward(data, proto, address, outcome, answered, lambda: send(None))
        elif isinstance(outcome, Notified):
            answered(outcome.reply)
            self.keeper.notified(outcome)
        elif isinstance(outcome, Announced):
            answered(outcome.reply)
            self.keeper.announced(outcome.origin, outcome.child)
        elif isinstance(outcome, Change):
            self.keeper.changes.submit(outcome, answered)
        elif transfer is None or self.sending >= self.transfers:
            answered(outcome.seal.error(Rcode.REFUSED, self.machine.wall()))
        else:
            self.metrics.request(proto, address, outcome.question)
            self.metrics.response(Rcode.NOERROR, self.machine.reactor.seconds() - began)
            self.keeper.log.info(
                "{zone}: {kind} to {address}", zone=name_text(outcome.question.name), address=address,
                kind="whole transfer" if outcome.whole else "differences",
            )  # fmt: skip
            transfer(outcome)
        return True


class Sending:
    """The transfers of one connection, one after the other, no faster than the other end reads."""

    def __init__(self, answers: SpecialAnswers) -> None:
        self._answers = answers
        self._transfers: deque[Transfer] = deque()
        self._soon: IDelayedCall | None = None

    def begin(self, transfer: Transfer, connection: Connection) -> None:
        """Send it when those before are sent."""
        self._answers.sending += 1
        self._transfers.append(transfer)
        self._schedule(connection)

    def go_on(self, connection: Connection) -> None:
        """The other end has read what was queued."""
        if self._transfers:
            self._schedule(connection)

    def end(self) -> None:
        """The connection is lost."""
        if self._transfers:
            self._answers.counts.transfers["out", "failed"] += len(self._transfers)
            self._answers.sending -= len(self._transfers)
            self._transfers.clear()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def _schedule(self, connection: Connection) -> None:
        if self._soon is None:
            self._soon = self._answers.machine.reactor.callLater(0, self._send, connection)

    def _send(self, connection: Connection) -> None:
        self._soon = None
        for _ in range(BURST):
            if not self._transfers or not connection.writable:
                return
            transfer = self._transfers[0]
            try:
                data = transfer.next_message(self._answers.machine.wall())
            except ZoneUnavailable:  # its file turned out to be damaged: half a zone must not look like a whole one
                connection.abort()
                return
            if data is not None:
                connection.send(SendReply(data, last=False))
                continue
            self._transfers.popleft()
            self._answers.sending -= 1
            self._answers.counts.transfers["out", "whole" if transfer.whole else "differences"] += 1
            connection.send(SendReply(None))
        self.go_on(connection)
