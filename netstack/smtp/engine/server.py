"""The server's side of a connection (RFC 5321 §3, §4.1.4): one command in hand at a time, pipelined ones wait in the buffer.

What the protocol alone decides is answered here: order, syntax, bounds, parameters of extensions, NOOP, RSET, HELP, QUIT.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator

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
from netstack.smtp.arguments import chunk_arguments, hello_name, mail_arguments, recipient_arguments
from netstack.smtp.engine.states import STATES, State, Step
from netstack.smtp.events import (
    LOG_IN,
    Answer,
    Attend,
    AuthenticationBegun,
    AuthenticationContinued,
    Challenge,
    ClientConnected,
    CommandRefused,
    ContentReceived,
    Drain,
    HelloReceived,
    LookupReceived,
    MailReceived,
    MessageBegun,
    MessageDropped,
    MessageEnded,
    QuitReceived,
    RecipientReceived,
    ResetReceived,
    Secured,
)
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.offer import Offer
from netstack.smtp.wire import BadCommand, DataReader, Reply, bare_line_end, encode_reply, split_command

_OTHER_PROTOCOLS = frozenset({"GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS", "HOST:", "USER-AGENT:", "CONTENT-TYPE:"})
"""A browser that was made to speak to this port: its next line could be a command (cross-protocol request forgery)."""
_OBSOLETE = frozenset({"SEND", "SOML", "SAML", "TURN", "ETRN", "ATRN", "BURL", "XCLIENT", "XFORWARD"})
_BARE = Reply(554, ("lines of a message end in CRLF; BODY=BINARYMIME sends any octets",), "5.6.0")
_HELP = ("Commands: HELO EHLO MAIL RCPT DATA BDAT RSET VRFY EXPN HELP NOOP QUIT STARTTLS AUTH", "See RFC 5321")


class ServerEngine(Recorder):
    """One connection of a client; `events.py` says what it tells and what it wants to be told."""

    def __init__(self, offer: Offer, limits: SMTPLimits) -> None:
        self.state = State.CONNECTED
        self.secure = False
        self.authenticated = False
        self.extended = False
        """The client said EHLO."""
        self._offer = offer
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0
        self._out: list[bytes] = []
        self._asked: Event | None = None
        """What the role owes an Answer for."""
        self._told: Iterator[Event] = iter(())
        self._challenged = False
        self._discarding_line = ""
        """The enhanced code of a line that is too long, until its end has come."""
        self._mail: MailReceived | None = None
        self._recipients = 0
        self._reader: DataReader | None = None
        self._content = 0
        self._begun = 0.0
        self._fault: Reply | None = None
        """Why the message that is coming will be refused."""
        self._chunk: int | None = None
        """Octets of the chunk in hand that have not come; None outside of one."""
        self._last_chunk = False
        self._chunk_before = b""
        self._transactions = self._errors = self._idle = 0
        self._due: float | None = None
        self._draining = self._ended = False
        self._record = Record()

    @property
    def closed(self) -> bool:
        """Whether the connection's end is decided."""
        return self.state is State.CLOSED

    # What the driver calls

    def connected(self, info: Peer, now: Now) -> Iterator[Event]:
        if info.security is not None and self.state is not State.CONNECTED:
            self.secure = True
            self._renew(now)
            yield Secured(info)
            return
        self.secure = info.security is not None
        self._asked = event = ClientConnected(info)
        yield event

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if self.closed:
            return
        self._buffer += data
        if data and self._asked is None:
            self._renew(now)
        while self._asked is None and not self.closed:
            if self._chunk is not None:
                if not self._buffer and self._chunk:
                    break
                yield from self._take_chunk(now)
            elif self._reader is not None:
                before = len(self._buffer)
                yield from self._take_data(self._reader, now)
                if self._reader is not None and len(self._buffer) == before:
                    break
            else:
                line = self._take_line()
                if line is None:
                    break
                yield from self._take_command(line, now)
        if self._ended and self._asked is None and not self.closed:
            yield from self._drop("the client closed the connection")
            yield self._close()

    def eof(self, now: Now) -> Iterator[Event]:
        self._ended = True
        yield from self.receive(b"", now)

    def send(self, command: Command, now: Now) -> None:
        if type(command) is Attend or type(command) is Drain:
            self._draining = self._draining or type(command) is Drain
            return
        asked, self._asked = self._asked, None
        if asked is None:
            raise LocalProtocolError(f"{type(command).__name__} answers nothing: no command is in hand")
        if isinstance(command, Challenge) and isinstance(asked, LOG_IN):
            self._challenged = True
            self._reply(Reply(334, (b64encode(command.data).decode(),)))
        elif isinstance(command, Answer):
            self._answered(asked, command.reply, now)
        else:
            raise LocalProtocolError(f"{type(command).__name__} does not answer {type(asked).__name__}")
        self._renew(now)

    def data_to_send(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return len(self._buffer) < self._limits.buffered or (self._asked is None and not self.closed)

    def next_timer(self) -> float | None:
        return self._due if self._asked is None and not self.closed else None

    def on_timer(self, now: Now) -> Iterator[Event]:
        if self._due is not None and now.monotonic >= self._due and not self.closed:
            yield from self._drop("the client took too long")
            yield from self._say_goodbye(Reply(421, (f"{self._offer.name} waited too long for you, closing",), "4.4.2"))

    # Lines

    def _take_line(self) -> bytes | None:
        """The next line with its end, or None; of one that is too long only the end, and `_discarding_line` says so."""
        buffer = self._buffer
        at = buffer.find(b"\n", self._searched)
        end = at + 1 if at >= 0 else len(buffer)
        credentials = self._challenged or buffer[:5].upper() == b"AUTH "
        if end > (self._limits.auth_line if credentials else self._limits.command_line):
            self._discarding_line = self._discarding_line or ("5.5.6" if credentials else "5.5.2")  # RFC 4954 §6
            end = end - 2 if at >= 0 else end
            del buffer[:end]
            end, at = (2, 1) if at >= 0 else (0, at)
        self._searched = 0 if at >= 0 else end
        if at < 0:
            return None
        line = bytes(buffer[:end])
        del buffer[:end]
        return line

    def _take_command(self, line: bytes, now: Now) -> Iterator[Event]:
        try:
            if self._discarding_line:
                enhanced, self._discarding_line, self._challenged = self._discarding_line, "", False
                raise BadCommand(500, enhanced, "the line is too long")
            if not line.endswith(b"\r\n") or line.find(b"\r") < len(line) - 2:
                raise BadCommand(521, "5.5.2", "lines end in CRLF; who types with nc uses `nc -C` or telnet")
            if self._challenged:
                self._challenged = False
                self._note("(credentials)", b"*" * (len(line) - 2) + b"\r\n")
                yield from self._tell(self._take_response(line[:-2]))
                return
            verb, argument = split_command(line[:-2])
            shown = f"{verb} {argument}".strip()
            if verb == "AUTH" and " " in argument:
                mechanism, _, secret = argument.partition(" ")
                shown = f"AUTH {mechanism} ***"
                line = f"AUTH {mechanism} {'*' * len(secret)}\r\n".encode()
            self._note(shown[:80], line)
            yield from self._command(verb, argument, now)
        except BadCommand as refusal:
            reply = Reply(refusal.code, (str(refusal),), refusal.enhanced)
            yield from self._refuse(reply, line[:80].decode("latin-1").rstrip())
            if refusal.code == 421 and not self.closed:
                yield from self._drop(str(refusal))
                yield self._close()
            elif refusal.code == 521:
                yield from self._drop(str(refusal))
                self.state = STATES.next(self.state, Step.CLOSE)
                raise RemoteProtocolError(str(refusal), 521) from None

    def _note(self, summary: str, octets: bytes) -> None:
        if self.recording:
            self.record(False, summary, octets)

    def _tell(self, event: Event) -> Iterator[Event]:
        """Hand an event on that the role answers."""
        self._asked = event
        yield event

    def _refuse(self, reply: Reply, line: str) -> Iterator[Event]:
        self._reply(reply)
        yield CommandRefused(reply, line)
        yield from self._count_error(reply)

    def _count_error(self, reply: Reply) -> Iterator[Event]:
        if reply.code >= 500:
            self._errors += 1
            if self._errors >= self._limits.errors and not self.closed:
                yield from self._drop("too many errors")
                yield from self._say_goodbye(Reply(421, (f"{self._offer.name} too many errors, closing",), "4.7.0"))

    # Commands

    def _command(self, verb: str, argument: str, now: Now) -> Iterator[Event]:
        if self._draining and self.state in (State.GREETED, State.READY):
            raise BadCommand(421, "4.3.2", f"{self._offer.name} is shutting down")
        if verb in ("MAIL", "RCPT", "DATA", "BDAT"):
            if self.state is State.GREETED and verb != "BDAT":
                raise BadCommand(503, "5.5.1", "say HELO or EHLO first")
            if verb == "MAIL":
                yield from self._mail_command(argument)
            elif verb == "RCPT":
                yield from self._recipient_command(argument)
            elif verb == "DATA":
                yield from self._data_command(argument)
            else:
                yield from self._chunk_command(argument, now)
        elif verb in ("HELO", "EHLO"):
            yield from self._hello_command(verb == "EHLO", argument)
        elif verb == "QUIT":
            yield from self._drop("the client quit")
            self._reply(Reply(221, (f"{self._offer.name} closing connection",), "2.0.0"))
            yield QuitReceived()
            yield self._close()
        elif verb == "RSET":
            self._idle_command()
            if argument:
                raise BadCommand(501, "5.5.4", "RSET takes no argument")
            yield from self._void()
            self._reply(Reply(250, ("OK",), "2.0.0"))
        elif verb in ("NOOP", "HELP"):
            self._idle_command()
            self._reply(Reply(250, ("OK",), "2.0.0") if verb == "NOOP" else Reply(214, _HELP, "2.0.0"))
        elif verb in ("VRFY", "EXPN"):
            self._idle_command()
            if not argument:
                raise BadCommand(501, "5.5.4", f"{verb} needs an address or a name")
            yield from self._tell(LookupReceived(verb, argument))
        elif verb == "STARTTLS":
            yield from self._tls_command(argument)
        elif verb == "AUTH":
            yield from self._auth_command(argument)
        elif verb in _OTHER_PROTOCOLS:
            raise BadCommand(521, "5.5.1", "this is SMTP")
        elif verb in _OBSOLETE:
            raise BadCommand(502, "5.5.1", f"{verb} is not implemented")
        else:
            raise BadCommand(500, "5.5.2", f"{verb[:40]!r} is not a command; HELP lists them")

    def _idle_command(self) -> None:
        """Commands that do nothing keep a connection only so long."""
        self._idle += 1
        if self._idle > self._limits.idle_commands:
            raise BadCommand(421, "4.7.0", f"{self._offer.name} waits for a message no longer, closing")

    def _hello_command(self, extended: bool, argument: str) -> Iterator[Event]:
        name = hello_name(argument)
        self._idle_command()
        yield from self._void()
        yield from self._tell(HelloReceived(name, extended))

    def _mail_command(self, argument: str) -> Iterator[Event]:
        if self.state is not State.READY:
            raise BadCommand(503, "5.5.1", "a message is being sent already; RSET gives it up")
        if self._transactions >= self._limits.messages:
            raise BadCommand(421, "4.7.0", f"{self._offer.name} takes no more messages of one connection, closing")
        yield from self._tell(mail_arguments(argument, self._offer, self._limits, self.extended, self.secure))

    def _recipient_command(self, argument: str) -> Iterator[Event]:
        if self.state not in (State.SENDER, State.RECIPIENTS):
            raise BadCommand(503, "5.5.1", "say MAIL first")
        if self._recipients >= self._limits.recipients:
            raise BadCommand(452, "4.5.3", f"{self._limits.recipients} recipients are enough; send it again to the others")
        utf8 = self._mail is not None and self._mail.utf8
        yield from self._tell(recipient_arguments(argument, self._offer, self._limits, self.extended, utf8))

    def _data_command(self, argument: str) -> Iterator[Event]:
        if argument:
            raise BadCommand(501, "5.5.4", "DATA takes no argument")
        if self.state is State.SENDER:
            raise BadCommand(554, "5.5.1", "no recipient was taken")
        if self.state is not State.RECIPIENTS:
            raise BadCommand(503, "5.5.1", "say MAIL and RCPT first")
        if self._mail is not None and self._mail.body == "BINARYMIME":
            raise BadCommand(503, "5.5.1", "binary content comes by BDAT (RFC 3030 §3)")
        yield from self._tell(MessageBegun())

    def _tls_command(self, argument: str) -> Iterator[Event]:
        if self.secure:
            raise BadCommand(503, "5.5.1", "TLS is there already")
        if not self._offer.starttls:
            raise BadCommand(502, "5.5.1", "there is no TLS here")
        if argument:
            raise BadCommand(501, "5.5.4", "STARTTLS takes no argument")
        if self.state not in (State.GREETED, State.READY):
            raise BadCommand(503, "5.5.1", "not in the middle of a message")
        if self._buffer:  # it came in the clear and must not be read as if it had not (CVE-2011-0411)
            raise BadCommand(521, "5.5.1", "nothing may follow STARTTLS before the handshake")
        self._reply(Reply(220, ("go ahead",), "2.0.0"))
        self.state = STATES.next(self.state, Step.TLS)
        self.extended = self.authenticated = False
        yield ResetReceived()
        yield StartTLS()

    # Authentication (RFC 4954)

    def _auth_command(self, argument: str) -> Iterator[Event]:
        mechanism, _, initial = argument.partition(" ")
        mechanism = mechanism.upper()
        if self.state is not State.READY:
            raise BadCommand(503, "5.5.1", "AUTH comes after EHLO, and not in the middle of a message")
        if self.authenticated:
            raise BadCommand(503, "5.5.1", "you are known already")
        if not self._offer.mechanisms or not self.extended:
            raise BadCommand(502, "5.5.1", "nobody can log in here")
        if not self.secure and not self._offer.cleartext:
            raise BadCommand(538, "5.7.11", "say STARTTLS first: nothing secret goes over this connection")
        logins = self._offer.logins(self.secure)
        if not mechanism:
            raise BadCommand(501, "5.5.4", f"AUTH needs a mechanism: {' '.join(logins)}")
        if mechanism not in logins:
            raise BadCommand(504, "5.5.4", f"use one of {' '.join(logins)}")
        first = None if not initial else b"" if initial == "=" else _base64(initial.encode())
        yield from self._tell(AuthenticationBegun(mechanism, first))

    def _take_response(self, line: bytes) -> AuthenticationContinued:
        if line == b"*":
            raise BadCommand(501, "5.7.0", "given up")
        return AuthenticationContinued(_base64(line))

    # The message, by DATA

    def _take_data(self, reader: DataReader, now: Now) -> Iterator[Event]:
        before = bytes(self._buffer) if self.recording else b""
        try:
            content = reader.read(self._buffer)
        except BadCommand as wrong:
            yield from self._drop(str(wrong))
            yield from self._refuse(Reply(wrong.code, (str(wrong),), wrong.enhanced), "(message)")
            self.state = STATES.next(self.state, Step.CLOSE)
            raise RemoteProtocolError(str(wrong), wrong.code) from None
        if before:
            self._record.add(before[: len(before) - len(self._buffer)])
        yield from self._content_came(content)
        if reader.too_long and self._fault is None:
            yield from self._spoil(Reply(554, (f"a line is longer than {self._limits.text_line} octets",), "5.6.0"))
        if reader.ended:
            self._reader = None
            yield from self._message_ended()

    def _content_came(self, content: bytes) -> Iterator[Event]:
        self._content += len(content)
        if self._fault is None and self._content > self._limits.message:
            yield from self._spoil(Reply(552, (f"a message has at most {self._limits.message} octets",), "5.3.4"))
        if content and self._fault is None:
            yield ContentReceived(content)

    def _spoil(self, fault: Reply) -> Iterator[Event]:
        """The message will be refused; what is still to come of it is dropped."""
        self._fault = fault
        yield MessageDropped(fault.text)

    def _message_ended(self) -> Iterator[Event]:
        self.state = STATES.next(self.state, Step.END)
        if self.recording:
            octets, omitted = self._record.take()
            self.record(False, f"message of {len(octets) + omitted} octets", octets, omitted=omitted)
        self._transactions += 1
        self._idle = 0
        if self._fault is None:
            yield from self._tell(MessageEnded(self._content))
            return
        fault = self._fault
        self._clear()
        self.state = STATES.next(self.state, Step.VOID)
        yield from self._refuse(fault, "(message)")

    # The message, by BDAT (RFC 3030)

    def _chunk_command(self, argument: str, now: Now) -> Iterator[Event]:
        """Whatever is wrong, the chunk's octets are no commands: they are read, then dropped (§2)."""
        if not self._offer.chunking:
            raise BadCommand(502, "5.5.1", "BDAT is not implemented")
        size, last = chunk_arguments(argument)
        self._chunk, self._last_chunk = size, last
        if self.state is State.CONTENT:
            return
        if self.state is not State.RECIPIENTS:
            reason = "no recipient was taken" if self.state is State.SENDER else "say MAIL and RCPT first"
            self._fault = Reply(503, (reason,), "5.5.1")
            return
        self._begun = now.monotonic
        yield from self._tell(MessageBegun(chunked=True))

    def _take_chunk(self, now: Now) -> Iterator[Event]:
        left = self._chunk or 0
        taken = bytes(self._buffer[:left])
        del self._buffer[: len(taken)]
        self._chunk = left - len(taken)
        if self.state is State.CONTENT:
            yield from self._chunk_came(taken)
        if self._chunk:
            return
        self._chunk = None
        fault = self._fault
        if self.state is State.CONTENT and self._last_chunk:
            if self._chunk_before == b"\r" and fault is None and not self._binary:
                yield from self._spoil(_BARE)
            yield from self._message_ended()
        elif fault is not None:
            if self.state is not State.CONTENT:
                self._fault = None
            yield from self._refuse(fault, "BDAT")
        else:
            self._reply(Reply(250, (f"{self._content} octets",), "2.0.0"))

    def _chunk_came(self, taken: bytes) -> Iterator[Event]:
        if self.recording:
            self._record.add(taken)
        if not self._binary and self._fault is None and taken:
            joined = self._chunk_before + taken
            self._chunk_before = joined[-1:] if joined.endswith(b"\r") else b""
            if bare_line_end(joined[: len(joined) - len(self._chunk_before)]):
                yield from self._spoil(_BARE)
        yield from self._content_came(taken)

    @property
    def _binary(self) -> bool:
        return self._mail is not None and self._mail.body == "BINARYMIME"

    # What the role answered

    def _answered(self, asked: Event, reply: Reply, now: Now) -> None:
        if isinstance(asked, HelloReceived):
            self._answer_hello(asked, reply)
        elif isinstance(asked, MessageBegun):
            self._answer_begun(asked, reply, now)
        else:
            self._reply(reply)
            if isinstance(asked, ClientConnected):
                if reply.code == 220:
                    self.state = STATES.next(self.state, Step.GREETING)
                else:
                    self._finish(reply)
            elif isinstance(asked, MailReceived) and reply.code == 250:
                self._mail = asked
                self.state = STATES.next(self.state, Step.MAIL)
            elif isinstance(asked, RecipientReceived) and reply.code in (250, 251):
                self._recipients += 1
                self.state = STATES.next(self.state, Step.RCPT)
            elif isinstance(asked, MessageEnded):
                self._clear()
                self.state = STATES.next(self.state, Step.VOID)
            elif isinstance(asked, LOG_IN) and reply.code == 235:
                self.authenticated = True
        if reply.code >= 500:
            self._errors += 1
        if reply.code == 421 or self._errors >= self._limits.errors:
            self._finish(reply)

    def _answer_hello(self, asked: HelloReceived, reply: Reply) -> None:
        if reply.code != 250:
            self._reply(reply)
            return
        self.extended = asked.extended
        self.state = STATES.next(self.state, Step.HELLO)
        first = f"{self._offer.name} {reply.text}".strip()
        lines = (first, *(self._offer.extensions(self._limits, self.secure) if asked.extended else ()))
        self._reply(Reply(250, lines))

    def _answer_begun(self, asked: MessageBegun, reply: Reply, now: Now) -> None:
        if reply.code != 354:
            if asked.chunked:
                self._fault = reply  # sent when the chunk has been read
            else:
                self._reply(reply)
            return
        self.state = STATES.next(self.state, Step.CONTENT)
        self._content = 0
        self._begun = now.monotonic
        if not asked.chunked:
            self._reader = DataReader(self._limits.text_line)
            self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        if not self.extended and reply.enhanced and self.state is not State.CONNECTED:
            reply = Reply(reply.code, reply.lines)  # who said HELO knows no enhanced codes (RFC 2034 §4)
        octets = encode_reply(reply)
        self._out.append(octets)
        if self.recording:
            self.record(True, str(reply)[:80], octets)

    # Ends

    def _finish(self, reply: Reply) -> None:
        """After this reply nothing more is read; `receive` closes."""
        if reply.code != 421 and self.state is not State.CONNECTED:
            self._reply(Reply(421, (f"{self._offer.name} too many errors, closing",), "4.7.0"))
        self._buffer.clear()
        self._ended = True

    def _say_goodbye(self, reply: Reply) -> Iterator[Event]:
        self._reply(reply)
        yield self._close()

    def _close(self) -> Close:
        self.state = STATES.next(self.state, Step.CLOSE)
        return Close()

    def _void(self) -> Iterator[Event]:
        """Give up the transaction in hand."""
        had = self.state in (State.SENDER, State.RECIPIENTS)
        yield from self._drop("reset")
        self.state = STATES.next(self.state, Step.VOID)
        if had:
            yield ResetReceived()

    def _drop(self, reason: str) -> Iterator[Event]:
        """What has come of a message is void."""
        dropped = self.state is State.CONTENT and self._fault is None
        self._clear()
        if dropped:
            yield MessageDropped(reason)

    def _clear(self) -> None:
        self._mail = self._reader = self._fault = self._chunk = None
        self._recipients = self._content = 0
        self._chunk_before = b""
        self._record = Record()

    def _renew(self, now: Now) -> None:
        if self.state is State.CONTENT:
            self._due = min(now.monotonic + self._limits.data_seconds, self._begun + self._limits.message_seconds)
        else:
            self._due = now.monotonic + self._limits.command_seconds


def _base64(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise BadCommand(501, "5.5.2", "that is not base64") from None
