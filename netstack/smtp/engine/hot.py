"""The server's hot path: command lines that came before, and whole messages, without a parse and without events.

Clients say the same lines again and again. What a line means is remembered, never what is answered: that is the clerk's,
who is asked each time. The plain engine says the same to the same octets (tests/smtp/test_hot.py).
"""

from collections.abc import Iterator

from netstack.sansio import Command, Event, Now
from netstack.smtp.engine.server import ServerEngine
from netstack.smtp.engine.states import STATES, State, Step
from netstack.smtp.events import (
    Answer,
    Attend,
    Clerk,
    HelloReceived,
    MailReceived,
    MessageBegun,
    MessageEnded,
    RecipientReceived,
)
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.offer import Offer
from netstack.smtp.wire import DataReader, Reply

REMEMBERED = 4096
"""Lines, of all connections of a listener; then all are forgotten."""
_LONGEST = 512
_STATES = {
    HelloReceived: (State.GREETED,),
    MailReceived: (State.READY,),
    RecipientReceived: (State.SENDER, State.RECIPIENTS),
    MessageBegun: (State.RECIPIENTS,),
}
"""Where each needs nothing but its answer."""
_Key = tuple[bytes, bool, bool, bool]


class Memo(dict[_Key, Event]):
    """What lines mean, after HELO or EHLO, without or with TLS, in a transaction without or with SMTPUTF8."""

    def keep(self, key: _Key, event: Event) -> None:
        """One more; a listener's connections share them."""
        if len(key[0]) <= _LONGEST:
            if len(self) >= REMEMBERED:
                self.clear()
            self[key] = event


class HotServerEngine(ServerEngine):
    """A ServerEngine with a hot path (`sansio.Hot`), used when the role has sent Attend."""

    def __init__(self, offer: Offer, limits: SMTPLimits, memo: Memo) -> None:
        super().__init__(offer, limits)
        self._memo = memo
        self._clerk: Clerk | None = None
        self._line = b""
        self._settled: tuple[Event, Reply] | None = None
        """A refusal of the clerk's, for `receive` to send and count."""
        self._looked = 0.0
        """When the timer was looked at, or set: monotonic seconds."""

    def at_once(self, data: bytes, seconds: float) -> bytes | None:
        clerk = self._clerk
        if clerk is None or self._asked is not None or self._buffer or self._draining:
            return None
        if self._reader is not None:
            return self._content_at_once(data, self._reader, clerk, seconds)
        event = self._memo.get(self._key(data))
        if event is None or self._chunk is not None or self.state not in _STATES[type(event)]:
            return None
        kind = type(event)
        if kind is RecipientReceived:
            if self._recipients >= self._limits.recipients:
                return None
        elif kind is MailReceived:
            if self._transactions >= self._limits.messages:
                return None
        elif kind is MessageBegun:
            if self._binary:  # DATA brings none (RFC 3030 §3)
                return None
        elif kind is HelloReceived:
            if self._idle >= self._limits.idle_commands:
                return None
            self._idle += 1
        reply = clerk.answer(event)
        if reply.code >= 400:
            self._settled = event, reply
            return None
        now = Now(seconds, 0.0)
        self._answered(event, reply, now)
        self._renew(now)
        [octets] = self.data_to_send()
        return octets

    def _content_at_once(self, data: bytes, reader: DataReader, clerk: Clerk, seconds: float) -> bytes | None:
        """A part of a message; with its last one it is answered later."""
        if self._fault is not None or self._content + len(data) > self._limits.message:
            return None
        content = reader.whole(data)
        if content is None:
            part = reader.part(data)
            if part is None:
                return None
            self._content += len(part)
            self._renew(Now(seconds, 0.0))
            clerk.part(part)
            return b""
        self._content += len(content)
        self.state = STATES.next(self.state, Step.END)
        self._reader = None
        self._transactions += 1
        self._idle = 0
        self._asked = MessageEnded(self._content)
        clerk.take(content)
        return b""

    def said(self, command: Command, seconds: float) -> bytes | None:
        asked = self._asked
        if type(command) is not Answer or type(asked) is not MessageEnded or command.reply.code != 250:
            return None
        if self._buffer or self._ended:
            return None
        now = Now(seconds, 0.0)
        self._asked = None
        self._answered(asked, command.reply, now)
        self._renew(now)
        [octets] = self.data_to_send()
        return octets

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        settled, self._settled = self._settled, None
        if settled is not None:  # `data` is the line that was refused
            self._answered(*settled, now)
            self._renew(now)
            data = b""
        return super().receive(data, now)

    def send(self, command: Command, now: Now) -> None:
        if isinstance(command, Attend):
            self._clerk = command.clerk
        else:
            super().send(command, now)

    def next_timer(self) -> float | None:
        """Early enough for whatever a line on the hot path leads to: the time for DATA may be the shorter one."""
        due = super().next_timer()
        return due if due is None else min(due, self._looked + self._limits.data_seconds)

    def on_timer(self, now: Now) -> Iterator[Event]:
        self._looked = now.monotonic
        return super().on_timer(now)

    def _renew(self, now: Now) -> None:
        self._looked = now.monotonic
        super()._renew(now)

    def _key(self, line: bytes) -> _Key:
        return line, self.extended, self.secure, self._mail is not None and self._mail.utf8

    def _take_command(self, line: bytes, now: Now) -> Iterator[Event]:
        self._line = line
        return super()._take_command(line, now)

    def _tell(self, event: Event) -> Iterator[Event]:
        if type(event) in _STATES and self._chunk is None:
            self._memo.keep(self._key(self._line), event)
        return super()._tell(event)
