"""The client's side of a connection (RFC 5321 §3, RFC 2920): replies are matched to commands in their order."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum, auto

from netstack.sansio import (
    Close,
    Command,
    Event,
    LocalProtocolError,
    Now,
    Peer,
    Recorder,
    RemoteProtocolError,
    StartTLS,
)
from netstack.sansio.record import Record
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
from netstack.smtp.wire import DotStuffer, Reply, ReplyReader, command_line


class Kind(Enum):
    """What a reply answers."""

    GREETING = auto()
    EHLO = auto()
    HELO = auto()
    STARTTLS = auto()
    AUTH = auto()
    RESET = auto()
    """RSET of our own, before a transaction."""
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    CHUNK = auto()
    END = auto()
    ASKED = auto()
    QUIT = auto()


class Phase(Enum):
    """How far a transaction is."""

    NONE = auto()
    ENVELOPE = auto()
    CONTENT = auto()
    ENDED = auto()


class ClientEngine(Recorder):
    """One connection to a server. One command is in hand at a time; `events.py` says what answers which."""

    def __init__(self, limits: SMTPLimits) -> None:
        self.extensions: Mapping[str, str] = {}
        """What the server offered to EHLO."""
        self.fault: str | None = None
        """What the server did against the protocol, once it has."""
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0
        self._out: list[bytes] = []
        self._expected: deque[Kind] = deque((Kind.GREETING,))
        self._replies = ReplyReader(limits.reply_lines)
        self._reply_octets = Record()
        self._name = ""
        self._closed = False
        self._due: float | None = None
        self._phase = Phase.NONE
        self._message: SendMessage | None = None
        self._unsent: deque[tuple[Kind, bytes]] = deque()
        """Commands of the envelope that wait for replies, where the server does not take them together."""
        self._answered = self._taken = 0
        """Recipients that were answered, and those taken."""
        self._failure: Reply | None = None
        """Why the transaction fails."""
        self._stuffer = DotStuffer()
        self._held = b""
        """The chunk that may be the last."""
        self._dirty = False
        """The server has a transaction open that we gave up."""
        self._sent = Record()

    @property
    def busy(self) -> bool:
        """Whether a command is in hand."""
        return bool(self._expected) or self._phase is not Phase.NONE

    # What the driver calls

    def connected(self, info: Peer, now: Now) -> Iterator[Event]:
        self._peer = info
        self._due = now.monotonic + self._limits.greeting_seconds
        if self._expected:
            return
        self.extensions = {}
        yield Secured(info)

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        self._buffer += data
        if data:
            self._renew(now)
        if self._phase is Phase.ENDED and not self._expected and self._failure is not None:
            yield self._done(self._failure)  # what was left of it was not sent
        while not self._closed:
            at = self._buffer.find(b"\n", self._searched)
            if at < 0:
                self._searched = len(self._buffer)
                if self._searched > self._limits.reply_line:
                    raise self._wrong(f"a line of more than {self._limits.reply_line} octets in a reply")
                return
            line = bytes(self._buffer[: at + 1])
            del self._buffer[: at + 1]
            self._searched = 0
            if self.recording:
                self._reply_octets.add(line)
            try:
                reply = self._replies.line(line.removesuffix(b"\n").removesuffix(b"\r"))
            except RemoteProtocolError as error:
                raise self._wrong(str(error)) from None
            if reply is None:
                continue
            if self.recording:
                octets, omitted = self._reply_octets.take()
                self.record(False, str(reply)[:80], octets, omitted=omitted)
            yield from self._take(reply)

    def eof(self, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        if self._expected and self._expected[0] is not Kind.QUIT:
            raise self._wrong("the server closed the connection instead of a reply")
        self._closed = True
        yield Close()

    def data_to_send(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return True

    def next_timer(self) -> float | None:
        return self._due if self._expected and not self._closed else None

    def on_timer(self, now: Now) -> Iterator[Event]:
        if self._expected and self._due is not None and now.monotonic >= self._due:
            raise self._wrong(f"no reply to {self._expected[0].name} in time")
        return iter(())

    def send(self, command: Command, now: Now) -> None:
        if self._closed:
            raise LocalProtocolError("this connection takes no more commands")
        if isinstance(command, Content | EndContent):
            if self._phase is not Phase.CONTENT:
                raise LocalProtocolError("content was not asked for")
            self._send_content(command)
        elif isinstance(command, RespondToChallenge):
            self._respond(command)
        elif self.busy:
            raise LocalProtocolError(f"{type(command).__name__} has to wait: a command is in hand")
        else:
            self._begin(command)
        self._renew(now)

    # Commands

    def _begin(self, command: Command) -> None:
        if isinstance(command, SayHello):
            self._name = command.name
            self._say(Kind.EHLO if command.extended else Kind.HELO, "EHLO" if command.extended else "HELO", command.name)
        elif isinstance(command, StartSecure):
            self._say(Kind.STARTTLS, "STARTTLS")
        elif isinstance(command, Authenticate):
            first = "" if command.initial is None else b64encode(command.initial).decode() or "="
            secret = f"AUTH {command.mechanism}{' ' + '*' * len(first) if first else ''}\r\n".encode()
            self._say(Kind.AUTH, "AUTH", f"{command.mechanism} {first}".strip(), secret)
        elif isinstance(command, SendMessage):
            self._begin_message(command)
        elif isinstance(command, Ask):
            self._dirty = self._dirty and command.verb != "RSET"
            self._say(Kind.ASKED, command.verb, command.argument)
        elif isinstance(command, Quit):
            self._say(Kind.QUIT, "QUIT")
        else:
            raise LocalProtocolError(f"{type(command).__name__} is no command of an SMTP client")

    def _say(self, kind: Kind, verb: str, argument: str = "", shown: bytes | None = None) -> None:
        self._write(kind, command_line(verb, argument), shown)

    def _write(self, kind: Kind, octets: bytes, shown: bytes | None = None) -> None:
        self._out.append(octets)
        self._expected.append(kind)
        if self.recording:
            shown = shown if shown is not None else octets
            self.record(True, shown.decode("utf-8", "replace").rstrip()[:80], shown)

    def _respond(self, command: RespondToChallenge) -> None:
        if self._expected or self._phase is not Phase.NONE:
            raise LocalProtocolError("no challenge waits for a response")
        octets = b"*" if command.response is None else b64encode(command.response)
        self._write(Kind.AUTH, octets + b"\r\n", b"*" * len(octets) + b"\r\n")

    def _begin_message(self, command: SendMessage) -> None:
        if not command.recipients:
            raise LocalProtocolError("a message needs a recipient")
        if command.chunked and "CHUNKING" not in self.extensions:
            raise LocalProtocolError("the server does not offer CHUNKING")
        queue = self._unsent
        if self._dirty:
            queue.append((Kind.RESET, command_line("RSET")))
            self._dirty = False
        queue.append((Kind.MAIL, command_line("MAIL", f"FROM:<{command.sender}>", command.parameters)))
        for each in command.recipients:
            queue.append((Kind.RCPT, command_line("RCPT", f"TO:<{each.path}>", each.parameters)))
        if not command.chunked:
            queue.append((Kind.DATA, command_line("DATA")))
        self._message, self._phase = command, Phase.ENVELOPE
        self._answered = self._taken = 0
        self._failure, self._stuffer, self._held = None, DotStuffer(), b""
        self._advance()

    def _advance(self) -> None:
        """Send what may be sent of the envelope."""
        if "PIPELINING" in self.extensions:
            while self._unsent:
                self._write(*self._unsent.popleft())
        elif self._unsent and not self._expected:
            self._write(*self._unsent.popleft())

    def _send_content(self, command: Content | EndContent) -> None:
        message = self._message
        assert message is not None  # noqa: S101  set with the phase
        if message.chunked:
            if isinstance(command, Content):
                if self._held:
                    self._send_chunk(False)
                self._held = command.data
                return
            self._send_chunk(True)
        elif isinstance(command, Content):
            self._give(self._stuffer.feed(command.data))
            return
        else:
            self._give(self._stuffer.end())
            self._expected.append(Kind.END)
        self._phase = Phase.ENDED
        if self.recording:
            octets, omitted = self._sent.take()
            self.record(True, f"message of {len(octets) + omitted} octets", octets, omitted=omitted)

    def _send_chunk(self, last: bool) -> None:
        if self._failure is not None:
            return  # the server has refused a chunk; it gets no more of this message
        data, self._held = self._held, b""
        self._expected.append(Kind.END if last else Kind.CHUNK)
        self._give(b"BDAT %d%b\r\n" % (len(data), b" LAST" if last else b"") + data)

    def _give(self, octets: bytes) -> None:
        self._out.append(octets)
        if self.recording:
            self._sent.add(octets)

    # Replies

    def _take(self, reply: Reply) -> Iterator[Event]:
        if reply.code == 421:
            self._expected.clear()
            self._phase, self._closed = Phase.NONE, True
            yield ServerClosing(reply)
            yield Close()
            return
        if not self._expected:
            raise self._wrong(f"a reply that nothing asked for: {reply}"[:200])
        kind = self._expected.popleft()
        if kind is Kind.GREETING:
            yield ServerReady(reply, self._peer)
        elif kind in (Kind.EHLO, Kind.HELO):
            yield from self._take_hello(kind, reply)
        elif kind is Kind.STARTTLS:
            if reply.code == 220:
                if self._buffer:
                    raise self._wrong("the server said more before the TLS handshake")  # CVE-2011-0411, the other way round
                yield StartTLS()
            else:
                yield SecureRefused(reply)
        elif kind is Kind.AUTH:
            yield from self._take_authentication(reply)
        elif kind is Kind.ASKED:
            yield Answered(reply)
        elif kind is Kind.QUIT:
            self._closed = True
            yield Close()
        else:
            yield from self._take_transaction(kind, reply)

    def _take_hello(self, kind: Kind, reply: Reply) -> Iterator[Event]:
        if kind is Kind.EHLO and reply.code != 250 and reply.lasting:
            self._say(Kind.HELO, "HELO", self._name)
            return
        self.extensions = {}
        if kind is Kind.EHLO and reply.code == 250:
            found = (line.partition(" ") for line in reply.lines[1:])
            self.extensions = {keyword.upper(): rest.strip() for keyword, _, rest in found}
        yield Greeted(reply, self.extensions)

    def _take_authentication(self, reply: Reply) -> Iterator[Event]:
        if reply.code != 334:
            yield AuthenticationEnded(reply)
            return
        try:
            data = b64decode(reply.text.encode(), validate=True)
        except (NotBase64, ValueError):
            self._write(Kind.AUTH, b"*\r\n")
            return
        yield Challenged(data)

    def _take_transaction(self, kind: Kind, reply: Reply) -> Iterator[Event]:
        if kind is Kind.MAIL:
            if not reply.positive:
                self._failure = reply
                self._unsent.clear()
            yield SenderAnswered(reply)
        elif kind is Kind.RCPT:
            if self._failure is None:
                self._taken += reply.positive
                yield RecipientAnswered(self._answered, reply)
            self._answered += 1
        elif kind is Kind.DATA:
            yield from self._take_data(reply)
            return
        elif kind is Kind.CHUNK:
            if not reply.positive and self._failure is None:
                self._failure = reply
                self._dirty = True
        elif kind is Kind.END:
            yield self._done(self._failure or reply, sent=self._failure is None)
            return
        yield from self._go_on(reply)

    def _go_on(self, reply: Reply) -> Iterator[Event]:
        """After a reply inside of a transaction."""
        if self._phase is Phase.ENVELOPE:
            message = self._message
            everybody = message is not None and self._answered == len(message.recipients)
            if everybody and self._taken == 0 and self._failure is None:
                self._failure, self._dirty = reply, True
                self._unsent.clear()  # only DATA is left
            self._advance()
            if self._expected:
                return
            if self._failure is not None:
                yield self._done(self._failure)
            elif everybody:  # by BDAT, which nobody has to ask for
                self._phase = Phase.CONTENT
                yield ContentWanted()
        elif self._phase is Phase.ENDED and not self._expected and self._failure is not None:
            yield self._done(self._failure)

    def _take_data(self, reply: Reply) -> Iterator[Event]:
        if reply.code == 354:
            if self._failure is None:
                self._phase = Phase.CONTENT
                yield ContentWanted()
            else:  # the server wants a message for nobody: an empty one (RFC 2920 §3.1)
                self._give(b".\r\n")
                self._dirty = False
                self._expected.append(Kind.END)
            return
        if self._failure is None:
            self._failure, self._dirty = reply, True
        yield self._done(self._failure)

    def _done(self, reply: Reply, sent: bool = False) -> MessageAnswered:
        """What came of the message; unless it was `sent`, a yes is none, be it to DATA (RFC 5321 §3.3)."""
        if reply.code < 400 and not (sent and reply.positive):
            reply = Reply(451, (f"the server answers out of turn: {reply}",), "4.5.0")
        self._phase, self._message = Phase.NONE, None
        self._unsent.clear()
        self._sent = Record()
        return MessageAnswered(reply)

    def _renew(self, now: Now) -> None:
        ending = bool(self._expected) and self._expected[0] is Kind.END
        self._due = now.monotonic + (self._limits.final_seconds if ending else self._limits.greeting_seconds)

    def _wrong(self, reason: str) -> RemoteProtocolError:
        self._closed = True
        self.fault = reason
        return RemoteProtocolError(reason)
