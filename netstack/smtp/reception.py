"""Taking mail in: from other servers for our users, and from our users for everybody (RFC 5321 §3.3, RFC 6409).

Nothing is relayed but for those who have logged in and for the networks that were named. Whoever gets 250 for a message
can forget it: it is on disk.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.kernel.machine import Machine
from netstack.kernel.roles import Connection
from netstack.mail import sasl
from netstack.mail.accounts import Account
from netstack.mail.addresses import Mailbox
from netstack.mail.credentials import Authenticator, TooManyLogins
from netstack.mail.message import date_field, head, message_id, missing_fields
from netstack.sansio import Event, Peer
from netstack.sansio.bounds import all_positive
from netstack.smtp.admission import Admission, AdmissionLimits
from netstack.smtp.directory import Directory, NoSuchUser
from netstack.smtp.envelope import Destination, Envelope
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
from netstack.smtp.local import Straight
from netstack.smtp.metrics import Receptions
from netstack.smtp.queue import Queue
from netstack.smtp.spool import SpoolFull
from netstack.smtp.wire import Reply

OK = "2.0.0"
PATIENCE = 2
"""A message waits for those that are coming in unless so many times as many wait already to be kept."""
_CIRCLES = Reply(554, ("the message goes in circles: it has too many Received fields",), "5.4.6")
_ANSWERED = (RecipientReceived, MailReceived, MessageBegun, HelloReceived)
_VOID = (ResetReceived, MessageDropped, QuitReceived)
_BEGIN = Reply(354, ('Enter mail, end with "." on a line by itself',))
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:|\r\n|$")
"""How a header section begins, be it an empty one (RFC 5322 §2.2)."""
_log = Logger()


@dataclass(frozen=True, slots=True)
class ReceptionLimits:
    """Bounds of all connections of one service together."""

    memory: int = 256 * 1024 * 1024
    """Octets of messages that are coming in: 452."""
    hops: int = 50
    """Received fields of a message; one that has more goes in circles (RFC 5321 §6.3): 554."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class ReceptionOptions:
    """How one kind of listener takes mail."""

    name: str
    """This host's, in the greeting and in Received."""
    kind: Literal["mx", "submission"] = "mx"
    """An MX takes mail for our users from anybody; submission, from our users for anybody, who log in."""
    relay_for: Sequence[IPv4Network | IPv6Network] = ()
    """Networks whose hosts may send to anybody without logging in."""
    any_sender: bool = False
    """Who has logged in may write in other people's names."""
    verify: bool = False
    """VRFY says who is here; else 252 (RFC 5321 §7.3)."""
    limits: ReceptionLimits = ReceptionLimits()


@dataclass(slots=True)
class Transaction:
    """One message on its way in."""

    mail: MailReceived
    recipients: list[tuple[RecipientReceived, Sequence[Mailbox]]]
    lists: list[tuple[Mailbox, Sequence[Mailbox]]]
    content: list[bytes]
    begun: float = 0.0
    """When MAIL came: wall seconds."""
    octets: int = 0


@dataclass(slots=True)
class Client:
    """What is known of who is connected."""

    peer: Peer
    hello: str = ""
    extended: bool = False
    account: str = ""
    """Who has logged in."""

    @property
    def address(self) -> str:
        return self.peer.remote[0]


Check = Callable[[Client, Transaction, bytes], Awaitable["Verdict"]]
"""Looks at a whole message before it is taken."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says: fields to put in front of the message, or a refusal."""

    fields: bytes = b""
    refusal: Reply | None = None
    content: bytes = b""
    """The message in its place, where something had to be taken out; empty: as it came."""


class Reception:
    """What the connections of one kind of listener share."""

    def __init__(
        self,
        machine: Machine,
        options: ReceptionOptions,
        directory: Directory,
        queue: Queue,
        authenticator: Authenticator,
        counts: Receptions,
        checks: Sequence[Check] = (),
        admission: Admission | None = None,
        straight: Straight | None = None,
    ) -> None:
        """Without a `straight` way into mailboxes all mail goes through the queue."""
        self.admission = admission or Admission(machine, AdmissionLimits())
        self.machine = machine
        self.options = options
        self.directory = directory
        self.queue = queue
        self.authenticator = authenticator
        self.counts = counts
        self.checks = checks
        self.straight = straight
        self.octets = 0
        """Of messages that are coming in."""
        self.coming = self.keeping = 0
        """Messages whose envelope has begun and that have not ended, and those that are being kept."""
        self._date = 0, ""

    def date(self, now: float) -> str:
        """RFC 5322 §3.3, in UTC."""
        if self._date[0] != int(now):
            self._date = int(now), date_field(now).decode()
        return self._date[1]

    def conversation(self) -> "Conversation":
        """The role of one connection."""
        return Conversation(self)

    def may_relay(self, client: Client) -> bool:
        """Whether mail for anybody is taken from this client."""
        if client.account:
            return True
        networks = self.options.relay_for
        if not networks:
            return False
        address = ip_address(client.address)
        return any(address in network for network in networks)


class Conversation:
    """One connection: who it is, and the message that is coming in."""

    __slots__ = ("_client", "_connection", "_exchange", "_mechanism", "_reception", "_transaction")

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._client = Client(Peer(("", 0), ("", 0)))
        self._connection: Connection | None = None
        self._transaction: Transaction | None = None
        self._exchange: sasl.Server | None = None
        self._mechanism = ""

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, ContentReceived):
            self._receive(event.data)
        elif isinstance(event, _ANSWERED):
            connection.send(Answer(self.answer(event)))
        elif isinstance(event, MessageEnded):
            self._take(connection)
        elif isinstance(event, ClientConnected):
            self._client.peer = event.peer
            self._connection = connection
            self._secured(event.peer)
            connection.send(Attend(self))
            connection.send(Answer(Reply(220, (f"{self._reception.options.name} ESMTP",))))
        elif isinstance(event, Secured):
            self._client = Client(event.peer)
            self._secured(event.peer)
        elif isinstance(event, _VOID):
            self._drop()
        elif isinstance(event, LOG_IN):
            self._later(self._log_in(event), connection)
        elif isinstance(event, LookupReceived):
            connection.send(Answer(self._look_up(event)))
        elif isinstance(event, CommandRefused):
            self._reception.counts.refused(event.reply.code)

    def answer(self, event: Event) -> Reply:
        """A Clerk's."""
        if isinstance(event, RecipientReceived):
            return self._counted(self._recipient(event))
        if isinstance(event, MailReceived):
            return self._counted(self._mail(event))
        if isinstance(event, MessageBegun):
            return self._counted(self._begin())
        if not isinstance(event, HelloReceived):
            raise TypeError(f"a clerk has no answer to {type(event).__name__}")
        self._client.hello, self._client.extended = event.name, event.extended
        return Reply(250, (f"Hello {event.name}, pleased to meet you",))

    def part(self, content: bytes) -> None:
        """A Clerk's."""
        self._receive(content)

    def take(self, content: bytes) -> None:
        """A Clerk's."""
        self._receive(content)
        if self._connection is not None:
            self._take(self._connection)

    def lost(self, reason: str) -> None:
        self._connection = None
        if self._transaction is not None:
            self._reception.counts.lost["data" if self._transaction.octets else "envelope"] += 1
        self._drop()

    def drain(self, connection: Connection) -> None:
        """Finish the message in hand."""
        connection.send(Drain())

    def _secured(self, peer: Peer) -> None:
        if peer.security is not None:
            self._reception.counts.secured[peer.security.version] += 1

    def _counted(self, reply: Reply) -> Reply:
        if reply.code >= 400:
            self._reception.counts.refused(reply.code)
        return reply

    def _later(self, work: Awaitable[Answer | Challenge], connection: Connection) -> None:
        async def answer() -> None:
            try:
                command = await work
            except Exception:
                _log.failure("a command failed")
                command = Answer(Reply(451, ("local error, try again later",), "4.3.0"))
            if isinstance(command, Answer):
                self._counted(command.reply)
            connection.send(command)

        Deferred.fromCoroutine(answer())

    # The envelope

    def _mail(self, event: MailReceived) -> Reply:
        reception, client = self._reception, self._client
        self._drop()
        if reception.options.kind == "submission":
            if not client.account:
                return Reply(530, ("log in first",), "5.7.0")
            if event.sender is None:
                return Reply(550, ("reports come from servers",), "5.7.1")
            if not reception.options.any_sender and not reception.directory.may_write_as(client.account, event.sender):
                reception.counts.mismatches["mail"] += 1
                return Reply(553, (f"{event.sender} is not an address of {client.account}",), "5.7.1")
        elif (refusal := reception.admission.message(client.address)) is not None:
            return refusal
        if reception.octets + event.size > reception.options.limits.memory:
            return Reply(452, ("too much is coming in, try again later",), "4.3.1")
        self._transaction = Transaction(event, [], [], [], reception.machine.wall())
        reception.coming += 1
        return _sender_ok(event.sender)

    def _recipient(self, event: RecipientReceived) -> Reply:
        reception, transaction = self._reception, self._transaction
        mailbox = event.recipient
        if transaction is None:
            return Reply(503, ("say MAIL first",), "5.5.1")
        directory, admission = reception.directory, reception.admission
        refusal = admission.recipient(self._client.account)
        if refusal is not None:
            return refusal
        if not directory.is_ours(mailbox):
            if not reception.may_relay(self._client):
                return Reply(550, (f"relaying denied: {mailbox} is elsewhere, and you have not logged in",), "5.7.1")
            transaction.recipients.append((event, (mailbox,)))
            return _recipient_ok(mailbox)
        try:
            found = directory.find(mailbox)
        except NoSuchUser:
            return Reply(550, (f"{mailbox} is nobody's address here",), "5.1.1")
        if not reception.may_relay(self._client):
            refusal = admission.stranger(self._client.address, transaction.mail.sender, mailbox)
            if refusal is not None:
                return refusal
        if found.mailboxes:
            transaction.recipients.append((event, found.mailboxes))
        transaction.lists += found.lists
        return _recipient_ok(mailbox)

    def _look_up(self, event: LookupReceived) -> Reply:
        if event.verb == "EXPN":
            return Reply(502, ("lists are not expanded",), "5.7.0")
        if not self._reception.options.verify:
            return Reply(252, ("send mail, and see",), "2.7.0")
        name = event.argument.removeprefix("<").removesuffix(">")
        account = self._reception.authenticator.accounts.login(name)
        return (
            Reply(550, ("nobody of that name",), "5.1.1") if account is None else Reply(250, (f"<{account.name}>",), "2.1.5")
        )

    # The message

    def _begin(self) -> Reply:
        reception = self._reception
        if reception.octets >= reception.options.limits.memory:
            return Reply(452, ("too much is coming in, try again later",), "4.3.1")
        return _BEGIN

    def _receive(self, data: bytes) -> None:
        transaction = self._transaction
        if transaction is not None:
            transaction.content.append(data)
            transaction.octets += len(data)
            self._reception.octets += len(data)

    def _drop(self) -> None:
        if self._transaction is not None:
            self._reception.octets -= self._transaction.octets
            self._reception.coming -= 1
            self._transaction = None

    def _take(self, connection: Connection) -> None:
        """The message is there: look at it, keep it, say so."""
        transaction, reception = self._transaction, self._reception
        if transaction is None:
            connection.send(Answer(Reply(451, ("local error, try again later",), "4.3.0")))
            return
        self._transaction = None
        reception.coming -= 1
        reception.keeping += 1

        def kept(reply: Reply | Failure) -> None:
            reception.octets -= transaction.octets
            reception.keeping -= 1
            if isinstance(reply, Failure):
                _log.failure("a message could not be taken", reply)
                reply = Reply(451, ("local error, try again later",), "4.3.0")
            connection.send(Answer(self._counted(reply)))

        if self._client.account or reception.checks:
            taken = Deferred.fromCoroutine(self._look_at(transaction))
        else:
            try:
                taken = self._keep(transaction, b"".join(transaction.content), reception.machine.wall())
            except Exception:
                taken = fail()
        taken.addBoth(kept)

    async def _look_at(self, transaction: Transaction) -> Reply:
        """What the checks say of it before it is kept."""
        reception, client = self._reception, self._client
        content, added = b"".join(transaction.content), b""
        if self._circles(content):
            return _CIRCLES
        now = reception.machine.wall()
        if client.account:
            content = self._completed(transaction, content, now)
        for check in reception.checks:
            verdict = await check(client, transaction, content)
            if verdict.refusal is not None:
                return verdict.refusal
            added = verdict.fields + added
            content = verdict.content or content
        return await self._keep(transaction, content, now, added)

    def _circles(self, content: bytes) -> bool:
        end = content.find(b"\r\n\r\n")
        header, hops = content if end < 0 else content[:end], self._reception.options.limits.hops
        return header.lower().count(b"received") > hops and len(_RECEIVED.findall(header)) > hops

    def _keep(self, transaction: Transaction, content: bytes, now: float, added: bytes = b"") -> Deferred[Reply]:
        """On disk, or in its mailbox, before anybody is told."""
        reception = self._reception
        if self._circles(content):
            return succeed(_CIRCLES)
        number = reception.queue.next_number()
        separator = b"" if _FIELD.match(content) else b"\r\n"  # the chapter's message has no header, and must not become one
        content = b"".join((self._received(transaction, number, now), added, separator, content))
        patient = PATIENCE * reception.coming >= reception.keeping
        straight = reception.straight
        account = None if straight is None else self._only_mailbox(transaction, straight)
        if straight is None or account is None:
            return self._queue(transaction, content, number, now, patient)

        def delivered(is_there: bool) -> Reply | Deferred[Reply]:
            if not is_there:
                return self._queue(transaction, content, number, now, patient=False)
            reception.queue.delivered(now)
            return self._accepted(transaction, content, number, 1)

        return straight.deliver(account, transaction.mail.sender, content, number, now, patient).addCallback(delivered)

    def _only_mailbox(self, transaction: Transaction, straight: Straight) -> Account | None:
        """Who gets it, where it is one mailbox here alone and the sender wants to hear nothing."""
        if len(transaction.recipients) != 1 or transaction.lists:
            return None
        event, mailboxes = transaction.recipients[0]
        if len(mailboxes) != 1 or (event.notify is not None and "SUCCESS" in event.notify):
            return None
        return straight.account(mailboxes[0])

    def _queue(self, transaction: Transaction, content: bytes, number: int, now: float, patient: bool) -> Deferred[Reply]:
        envelopes = self._envelopes(transaction, now)
        try:
            kept = self._reception.queue.accept(envelopes, content, number, patient)
        except SpoolFull as error:
            return succeed(_not_kept(error))
        recipients = sum(len(each.recipients) for each in envelopes)
        return kept.addCallbacks(lambda _: self._accepted(transaction, content, number, recipients), _not_kept)

    def _accepted(self, transaction: Transaction, content: bytes, number: int, recipients: int) -> Reply:
        reception = self._reception
        reception.counts.taken(len(content), recipients, reception.machine.wall() - transaction.begun)
        return Reply(250, (f"Message accepted for delivery, {number:X}",), OK)

    def _completed(self, transaction: Transaction, content: bytes, now: float) -> bytes:
        """What a user's program left out (RFC 6409 §8)."""
        reception = self._reception
        random = reception.machine.rng.getrandbits(64)
        sender = f"<{transaction.mail.sender}>".encode()
        missing = missing_fields(head(content), date_field(now), message_id(now, random, reception.options.name), sender)
        separator = b"" if _FIELD.match(content) else b"\r\n"
        return missing + separator + content if missing else content

    def _envelopes(self, transaction: Transaction, now: float) -> list[Envelope]:
        """One for the recipients, and one more for each list, whose owner takes the place of the sender."""
        mail = transaction.mail
        source = self._client.account or f"{self._client.hello} [{self._client.address}]"
        recipients: dict[Mailbox, Destination] = {}
        for event, mailboxes in transaction.recipients:
            for mailbox in mailboxes:
                original = event.original or ("" if len(mailboxes) == 1 else _original(event.recipient))
                recipients.setdefault(mailbox, Destination(mailbox, event.notify, original))
        parts: list[tuple[Mailbox | None, list[Destination]]] = [(mail.sender, list(recipients.values()))]
        for owner, members in transaction.lists:
            parts.append((owner, [Destination(member, frozenset({"FAILURE"})) for member in members]))
        return [
            Envelope(sender, to, now, mail.body, mail.utf8, mail.require_tls, mail.returns, mail.envelope_id, source)
            for sender, to in parts
            if to
        ]

    def _received(self, transaction: Transaction, number: int, now: float) -> bytes:
        """The trace field (RFC 5321 §4.4; protocol types of RFC 3848, RFC 6531 §4.3)."""
        client, options = self._client, self._reception.options
        secure, known = client.peer.security, bool(client.account)
        protocol = "SMTP"
        if client.extended:
            protocol = ("UTF8SMTP" if transaction.mail.utf8 else "ESMTP") + "S" * (secure is not None) + "A" * known
        version = "" if secure is None else f"\r\n\t(using {secure.version} with cipher {secure.cipher})"
        address = client.address if ":" not in client.address else f"IPv6:{client.address}"
        to = transaction.recipients[0][0].recipient if len(transaction.recipients) == 1 else None
        shown = "" if to is None else f"\r\n\tfor <{to}>"
        when = self._reception.date(now)
        return (
            f"Received: from {client.hello} ([{address}]){version}\r\n\tby {options.name} with {protocol} id {number:X}"
            f"{shown};\r\n\t{when}\r\n"
        ).encode()

    # Logging in

    async def _log_in(self, event: AuthenticationBegun | AuthenticationContinued) -> Answer | Challenge:
        authenticator, security = self._reception.authenticator, self._client.peer.security
        try:
            if isinstance(event, AuthenticationBegun):
                self._mechanism = event.mechanism
                self._exchange = authenticator.server(event.mechanism, security)
                step = self._exchange.begin(event.initial)
            elif self._exchange is None:
                return Answer(Reply(503, ("no log-in is under way",), "5.5.1"))
            else:
                step = self._exchange.respond(event.response)
            step = await authenticator.answer(self._exchange, step)
        except LookupError:
            return Answer(Reply(504, ("that mechanism is not possible here",), "5.5.4"))
        except TooManyLogins as error:
            return Answer(Reply(454, (str(error),), "4.7.0"))
        if isinstance(step, sasl.Challenge):
            return Challenge(step.data)
        self._exchange = None
        if isinstance(step, sasl.Success):
            self._client.account = step.name
            self._reception.counts.logged_in(True, self._mechanism)
            return Answer(Reply(235, ("welcome",), "2.7.0"))
        self._reception.counts.logged_in(False, self._mechanism)
        if isinstance(step, sasl.Failure) and step.malformed:
            return Answer(Reply(501, (step.reason,), "5.5.2"))
        return Answer(Reply(535, ("the name or the password is wrong",), "5.7.8"))


@lru_cache(1024)
def _sender_ok(sender: Mailbox | None) -> Reply:
    return Reply(250, (f"{sender if sender is not None else '<>'} Sender ok",), "2.1.0")


@lru_cache(1024)
def _recipient_ok(mailbox: Mailbox) -> Reply:
    return Reply(250, (f"{mailbox} Recipient ok",), "2.1.5")


def _not_kept(why: object) -> Reply:
    _log.error("a message could not be kept: {why}", why=why)
    return Reply(452, ("the queue takes nothing now, try again later",), "4.3.1")


def _original(recipient: Mailbox) -> str:
    """ORCPT of an address that stood for others (RFC 3461 §5.2.7.3, RFC 6533 §3)."""
    return f"{'rfc822' if recipient.is_ascii else 'utf-8'};{recipient}"
