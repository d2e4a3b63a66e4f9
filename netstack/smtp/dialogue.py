"""One connection to a server, as a role: what it says becomes results that a coroutine waits for (RFC 5321 §3)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred

from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import connect_stream
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic
from netstack.kernel.roles import Connection
from netstack.sansio import Command, Event, LocalProtocolError, Peer
from netstack.smtp.engine import ClientEngine
from netstack.smtp.events import (
    Answered,
    Ask,
    Authenticate,
    AuthenticationEnded,
    Challenged,
    Content,
    ContentWanted,
    EndContent,
    Greeted,
    MessageAnswered,
    Quit,
    Recipient,
    RecipientAnswered,
    RespondToChallenge,
    SayHello,
    Secured,
    SecureRefused,
    SenderAnswered,
    SendMessage,
    ServerClosing,
    ServerReady,
    StartSecure,
)
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.wire import Reply

PROTOCOL = "smtp"
_PIECE = 64 * 1024
T = TypeVar("T")


class DialogueError(Exception):
    """The connection ended, or could not be had. `reply` is what the server said last, where it said something."""

    def __init__(self, text: str, reply: Reply | None = None) -> None:
        super().__init__(text)
        self.reply = reply


def accepted(reply: Reply) -> None:
    """Go on only with a server that takes us; raises DialogueError."""
    if not reply.positive:
        raise DialogueError(str(reply), reply)


class Sent:
    """What a server said to one message."""

    def __init__(self, recipients: int) -> None:
        self.sender: Reply | None = None
        self.recipients: list[Reply | None] = [None] * recipients
        self.final: Reply | None = None
        """The reply that ended the transaction."""

    def of(self, index: int) -> Reply:
        """What counts for a recipient: its own refusal, or what became of the message."""
        own = self.recipients[index]
        if own is not None and not own.positive:
            return own
        if self.sender is not None and not self.sender.positive:
            return self.sender
        return self.final or Reply(451, ("the connection was lost",), "4.4.2")


class Dialogue:
    """A client's side. One call at a time; each raises DialogueError when the connection ends instead of an answer."""

    def __init__(self, limits: SMTPLimits) -> None:
        self.engine = ClientEngine(limits)
        self.connection: Connection | None = None
        self.peer: Peer | None = None
        self.error: DialogueError | None = None
        self.progress: Callable[[int], None] = lambda given: None
        """Told how many octets of a message are given to the connection."""
        self._waiting: Deferred[object] | None = None
        self._sent: Sent | None = None
        self._content = b""
        """Of the message in hand, whole; empty once all of it was given."""
        self._at = 0
        self._wanted = False

    @property
    def extensions(self) -> Mapping[str, str]:
        """What the server offered to EHLO."""
        return self.engine.extensions

    @property
    def usable(self) -> bool:
        """Whether another command may be sent."""
        return self.error is None and self.connection is not None

    # Calls

    async def greeting(self) -> Reply:
        """The server's greeting, once the connection is up."""
        found = await self._wait()
        assert isinstance(found, Reply)  # noqa: S101  what ServerReady gives
        return found

    async def hello(self, name: str, extended: bool = True) -> Reply:
        return await self._reply(SayHello(name, extended))

    async def start_tls(self) -> Reply | Peer:
        """The peer, now under TLS, or the server's refusal."""
        found = await self._ask(StartSecure())
        assert isinstance(found, Reply | Peer)  # noqa: S101
        return found

    async def authenticate(self, mechanism: str, initial: bytes | None) -> Reply | bytes:
        """A challenge, which `respond` answers, or the end."""
        found = await self._ask(Authenticate(mechanism, initial))
        assert isinstance(found, Reply | bytes)  # noqa: S101
        return found

    async def respond(self, response: bytes | None) -> Reply | bytes:
        found = await self._ask(RespondToChallenge(response))
        assert isinstance(found, Reply | bytes)  # noqa: S101
        return found

    async def ask(self, verb: str, argument: str = "") -> Reply:
        return await self._reply(Ask(verb, argument))

    async def send(
        self,
        sender: str,
        recipients: Sequence[Recipient],
        content: bytes,
        parameters: Sequence[tuple[str, str | None]] = (),
        chunked: bool = False,
    ) -> Sent:
        """One message; the result has what the server said, also when the connection was lost in the middle."""
        sent = self._sent = Sent(len(recipients))
        self._content, self._at, self._wanted = content, 0, False
        try:
            await self._ask(SendMessage(sender, recipients, parameters, chunked))
        except DialogueError as error:
            sent.final = sent.final or error.reply or Reply(451, (str(error),), "4.4.2")
        finally:
            self._sent, self._content = None, b""
        return sent

    def quit(self) -> None:
        """Say QUIT, wait for nothing; the connection closes by itself."""
        if self.connection is None or self.error is not None:
            return
        if self.engine.busy:
            self.connection.abort()
        else:
            self.connection.send(Quit())

    def abort(self) -> None:
        if self.connection is not None:
            self.connection.abort()

    # As a role

    def handle(self, event: Event, connection: Connection) -> None:
        sent = self._sent
        if isinstance(event, RecipientAnswered):
            if sent is not None:
                sent.recipients[event.index] = event.reply
        elif isinstance(event, SenderAnswered):
            if sent is not None:
                sent.sender = event.reply
        elif isinstance(event, ContentWanted):
            self._wanted = True
            self._more(connection)
        elif isinstance(event, MessageAnswered):
            if sent is not None:
                sent.final = event.reply
            self._fire(event.reply)
        elif isinstance(event, ServerReady):
            self.peer = event.peer
            self._fire(event.reply)
        elif isinstance(event, Secured):
            self.peer = event.peer
            self._fire(event.peer)
        elif isinstance(event, Challenged):
            self._fire(event.data)
        elif isinstance(event, ServerClosing):
            self._end(DialogueError(f"the server closes the connection: {event.reply}", event.reply))
        elif isinstance(event, Greeted | SecureRefused | AuthenticationEnded | Answered):
            self._fire(event.reply)

    def writable(self, connection: Connection) -> None:
        """There is room for more of the message."""
        if self._content and self._wanted:
            self._more(connection)

    def lost(self, reason: str) -> None:
        self._end(DialogueError(self.engine.fault or f"the connection was lost: {reason}"))

    def _more(self, connection: Connection) -> None:
        """Give of the message what there is room for."""
        content = self._content
        while self._content and connection.writable:
            piece = content[self._at : self._at + _PIECE]
            self._at += len(piece)
            if self._at >= len(content):
                self._content = b""
            try:
                connection.send(Content(piece))
                self.progress(min(self._at, len(content)))
                if not self._content:
                    connection.send(EndContent())
            except (
                LocalProtocolError
            ) as error:  # content that cannot be sent as it is: nothing that could be taken for whole
                connection.abort()
                self._end(DialogueError(str(error), Reply(554, (str(error),), "5.6.0")))
                return
        if not content:
            connection.send(EndContent())

    # Waiting

    async def _reply(self, command: Command) -> Reply:
        found = await self._ask(command)
        assert isinstance(found, Reply)  # noqa: S101  what the events of these commands give
        return found

    async def _ask(self, command: Command) -> object:
        if self.error is not None:
            raise self.error
        if self.connection is None:
            raise DialogueError("the connection is not up")
        waiting = self._wait()
        try:
            self.connection.send(command)
        except LocalProtocolError:
            self._waiting = None
            raise
        return await waiting

    def _wait(self) -> Awaitable[object]:
        waiting: Deferred[object] = Deferred()
        self._waiting = waiting
        if self.error is not None:
            self._waiting = None
            waiting.errback(self.error)
        return waiting

    def _fire(self, result: object) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(result)

    def _end(self, error: DialogueError) -> None:
        if self.error is None:
            self.error = error
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(self.error)


async def connect(
    machine: Machine,
    address: str,
    port: int,
    traffic: Traffic,
    smtp: SMTPLimits,
    connections: StreamLimits,
    tls_name: str | None = None,
    start_tls_name: str | None = None,
    verify: bool = True,
) -> tuple[Dialogue, Reply]:
    """A connection to a server that has greeted; `tls_name` for TLS from the start. Raises DialogueError.

    Without `verify` STARTTLS takes any certificate, and `Dialogue.peer.security` says what is wrong with it.
    """
    dialogue = Dialogue(smtp)
    greeting = dialogue.greeting()
    first = Deferred.fromCoroutine(greeting)
    try:
        dialogue.connection = await connect_stream(
            machine, address, port, PROTOCOL, dialogue.engine, dialogue, traffic, connections, tls_name,
            start_tls_name=start_tls_name, verify=verify,
        )  # fmt: skip
        return dialogue, await first
    except CancelledError:
        first.addErrback(lambda _: None)
        raise
    except DialogueError:
        raise
    except Exception as error:  # connecting fails in more ways than can be listed
        first.addErrback(lambda _: None)
        dialogue.error = dialogue.error or DialogueError(str(error))
        raise DialogueError(str(error) or type(error).__name__) from None
