"""What happens on an SMTP connection, and what roles ask of it (RFC 5321 §3, §4.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from netstack.mail.addresses import Mailbox
from netstack.sansio import Command, Event, Peer
from netstack.smtp.wire import Reply

# Events of the server's engine. Those that ask for something are answered with one Answer, now or later.


@dataclass(frozen=True, slots=True)
class ClientConnected(Event):
    """Somebody is there, and waits for the greeting: 220, 421 or 554 (§3.1)."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class HelloReceived(Event):
    """HELO or EHLO (§4.1.1.1). The engine adds its extensions to a 250 for EHLO."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class MailReceived(Event):
    """MAIL (§4.1.1.2). The parameters have been judged: they are of extensions that were offered."""

    sender: Mailbox | None
    """None is the null reverse-path."""
    size: int = 0
    """As it was declared (RFC 1870); 0 for nothing."""
    body: str = "7BIT"
    """7BIT, 8BITMIME (RFC 6152) or BINARYMIME (RFC 3030)."""
    utf8: bool = False
    """SMTPUTF8 (RFC 6531)."""
    require_tls: bool = False
    """REQUIRETLS (RFC 8689)."""
    returns: str = ""
    """RET: FULL or HDRS, "" for no wish (RFC 3461 §4.3)."""
    envelope_id: str = ""
    """ENVID (RFC 3461 §4.4), decoded."""
    submitter: str | None = None
    """AUTH= (RFC 4954 §5), decoded; "<>" for nobody known."""


@dataclass(frozen=True, slots=True)
class RecipientReceived(Event):
    """RCPT (§4.1.1.3)."""

    recipient: Mailbox
    notify: frozenset[str] | None = None
    """NOTIFY: NEVER, or some of SUCCESS, FAILURE, DELAY; None for no wish (RFC 3461 §4.1)."""
    original: str = ""
    """ORCPT: a type, ";", and the address, decoded (RFC 3461 §4.2)."""


@dataclass(frozen=True, slots=True)
class MessageBegun(Event):
    """DATA, or a first BDAT: 354 to have it, or a refusal. The engine says nothing of a 354 to BDAT, which has none."""

    chunked: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ContentReceived(Event):
    """Some of the message, without the dots that were added to it (§4.5.2)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class MessageEnded(Event):
    """All of it has come: 250 makes it ours (§4.2.5)."""

    octets: int


@dataclass(frozen=True, slots=True)
class MessageDropped(Event):
    """What has come of it is void: it broke a bound or the syntax, and the client was told."""

    reason: str


@dataclass(frozen=True, slots=True)
class ResetReceived(Event):
    """The transaction in hand, if there is one, is void: RSET, a new greeting, TLS (§4.1.1.5)."""


@dataclass(frozen=True, slots=True)
class AuthenticationBegun(Event):
    """AUTH (RFC 4954 §4): Challenge, or an Answer: 235, 535, ..."""

    mechanism: str
    initial: bytes | None
    """The initial response; None for none, which is not the same as an empty one."""


@dataclass(frozen=True, slots=True)
class AuthenticationContinued(Event):
    """What the client says to a Challenge. One that gives up begins anew, or goes on without."""

    response: bytes


LOG_IN = (AuthenticationBegun, AuthenticationContinued)


@dataclass(frozen=True, slots=True)
class LookupReceived(Event):
    """VRFY or EXPN (§3.5)."""

    verb: str
    argument: str


@dataclass(frozen=True, slots=True)
class QuitReceived(Event):
    """The client ends; the engine has said 221."""


@dataclass(frozen=True, slots=True)
class CommandRefused(Event):
    """The engine has refused something by itself; for the log and the counters."""

    reply: Reply
    line: str


# Commands to the server's engine


@dataclass(frozen=True, slots=True)
class Answer(Command):
    """The reply to the event in hand. A 421, and a 221 or 554 as greeting, ends the connection (§3.8)."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Challenge(Command):
    """334 with these octets in base64 (RFC 4954 §4)."""

    data: bytes


class Clerk(Protocol):
    """Answers for a role, at once, what events ask for otherwise: with the same replies, and the same comes of it."""

    def answer(self, event: Event) -> Reply:
        """To HelloReceived, MailReceived, RecipientReceived and MessageBegun."""

    def part(self, content: bytes) -> None:
        """Some of a message, in the place of ContentReceived."""

    def take(self, content: bytes) -> None:
        """A whole message, in the place of ContentReceived and MessageEnded. Its Answer comes by the connection."""


@dataclass(frozen=True, slots=True)
class Attend(Command):
    """From now on the clerk may be asked in the place of events; an engine without a hot path does not."""

    clerk: Clerk


@dataclass(frozen=True, slots=True)
class Drain(Command):
    """Finish the command in hand; the next is answered with 421 (§3.8)."""


# Commands to the client's engine


@dataclass(frozen=True, slots=True)
class SayHello(Command):
    """EHLO, and HELO when the server does not know it (§3.2). Answered by Greeted."""

    name: str
    extended: bool = True


@dataclass(frozen=True, slots=True)
class StartSecure(Command):
    """STARTTLS (RFC 3207). Answered by SecureRefused, or Secured once the handshake is done; then SayHello again."""


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """AUTH (RFC 4954). Answered by Challenged or AuthenticationEnded."""

    mechanism: str
    initial: bytes | None = None


@dataclass(frozen=True, slots=True)
class RespondToChallenge(Command):
    """The next response of the mechanism; None gives up (RFC 4954 §4)."""

    response: bytes | None


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT."""

    path: str
    parameters: Sequence[tuple[str, str | None]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SendMessage(Command):
    """One mail transaction. MAIL, all RCPT and DATA go together where the server takes PIPELINING (RFC 2920).

    Answered by SenderAnswered, RecipientAnswered for each, then ContentWanted (send Content, then EndContent) and
    MessageAnswered; or MessageAnswered alone when no recipient was taken.
    """

    sender: str
    recipients: Sequence[Recipient]
    parameters: Sequence[tuple[str, str | None]] = ()
    """Of MAIL; only what the server offers (`extensions`)."""
    chunked: bool = False
    """By BDAT (RFC 3030), as binary content must be; the server offers CHUNKING."""


@dataclass(frozen=True, slots=True, eq=False)
class Content(Command):
    """Some of the message, as it is: the engine adds the dots, or BDAT."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndContent(Command):
    """All of the message was given."""


@dataclass(frozen=True, slots=True)
class Ask(Command):
    """VRFY, EXPN, NOOP, HELP or RSET, answered by Answered."""

    verb: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Quit(Command):
    """QUIT; the connection closes when the server has answered (§4.1.1.10)."""


# Events of the client's engine


@dataclass(frozen=True, slots=True)
class ServerReady(Event):
    """The server's greeting, of any code (§3.1)."""

    reply: Reply
    peer: Peer


@dataclass(frozen=True, slots=True)
class Greeted(Event):
    """The answer to SayHello: the extensions by keyword in upper case, with their parameters (§4.1.1.1)."""

    reply: Reply
    extensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Secured(Event):
    """TLS is there; nothing of what the server said before holds (RFC 3207 §4.2)."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class SecureRefused(Event):
    """The server does not begin TLS."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Challenged(Event):
    """334: answered by RespondToChallenge."""

    data: bytes


@dataclass(frozen=True, slots=True)
class AuthenticationEnded(Event):
    """235, or why not."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class SenderAnswered(Event):
    """The reply to MAIL."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class RecipientAnswered(Event):
    """The reply to one RCPT; `index` is its place in SendMessage."""

    index: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class ContentWanted(Event):
    """Recipients were taken, and the message may go."""


@dataclass(frozen=True, slots=True)
class MessageAnswered(Event):
    """The transaction is over: 250 for a message that is the server's now."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """The reply to Ask."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ServerClosing(Event):
    """421 in the place of another reply: the server goes (§3.8)."""

    reply: Reply
