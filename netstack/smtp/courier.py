"""Mail to other servers: a route, its hosts in turn, a connection that takes message after message (RFC 5321 §5.1).

What a server or the network says becomes an Outcome for each recipient: for good (5yz), for now (4yz), or done.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic
from netstack.kernel.resolver import NameNotFound, ResolutionError
from netstack.mail.limits import MimeLimits
from netstack.sansio import Peer, Security
from netstack.sansio.bounds import all_positive
from netstack.smtp.dialogue import Dialogue, DialogueError, accepted, connect
from netstack.smtp.envelope import Destination, Envelope, Fate
from netstack.smtp.events import Recipient
from netstack.smtp.fitting import CannotSend, Form, Parameter, fitted
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.queue import Job, Outcome, Unreachable
from netstack.smtp.routes import MOST_EXCHANGES, NoRoute, Route, route
from netstack.smtp.tlspolicy import Demand, Level, Policies
from netstack.smtp.wire import Reply, encode_xtext

Stage = Literal["queue", "connection", "transmission"]
STAGES: tuple[Stage, ...] = ("queue", "connection", "transmission")
"""Of a message to another server: from its arrival to this attempt, to a server that takes mail, to its last reply."""
_NO_DEMAND = Demand(Level.NONE)


@dataclass(frozen=True, slots=True)
class CourierLimits:
    """Bounds of one attempt."""

    exchanges: int = MOST_EXCHANGES
    """Of a domain that are looked at."""
    addresses: int = 10
    """Of all hosts of a route that are tried."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class CourierOptions:
    """How mail goes out; times in seconds."""

    name: str
    """Said in EHLO: a name that has this host's address (RFC 5321 §4.1.4)."""
    own_names: frozenset[str] = frozenset()
    """Hosts that are this one: as exchanges they are left out (§5.1)."""
    routes: Mapping[str, Route] = field(default_factory=dict)
    starttls: bool = True
    """TLS where the other server offers it, whoever it is (RFC 3207, RFC 7435)."""
    extended: bool = True
    """EHLO, and not HELO alone."""
    chunking: bool = False
    """BDAT where the other server takes it; binary content goes so in any case."""
    limits: CourierLimits = CourierLimits()
    smtp: SMTPLimits = field(default_factory=SMTPLimits)
    mime: MimeLimits = field(default_factory=MimeLimits)
    connections: StreamLimits = field(default_factory=lambda: StreamLimits(idle=900.0, connect=30.0))


class Courier:
    """Opens the ways to other servers for the queue; one for each host."""

    def __init__(
        self,
        machine: Machine,
        options: CourierOptions,
        traffic: Traffic,
        policies: Policies | None = None,
        timed: Callable[[Stage, float], None] = lambda stage, seconds: None,
    ) -> None:
        """`policies` say what servers have to prove; without them nobody has to. `timed` is told how long the stages took of
        each message that was sent."""
        self.machine = machine
        self.policies = policies
        self.options = options
        self.traffic = traffic
        self.rng = Random(machine.rng.getrandbits(64))
        self.timed = timed
        self.by_tls: Counter[tuple[str, str]] = Counter()
        """Connections by what became of TLS ("secured", "cleartext", "failed"), and its version."""

    def session(self, destination: str) -> "RemoteSession":
        """The way to a domain."""
        return RemoteSession(self, destination)


class RemoteSession:
    """A connection to one of a domain's hosts, made for the first message."""

    def __init__(self, courier: Courier, destination: str) -> None:
        self._courier = courier
        self._destination = destination
        self._dialogue: Dialogue | None = None
        self._host = ""
        self._proved = False
        """Whether the host has proved who it is."""

    @property
    def usable(self) -> bool:
        return self._dialogue is None or self._dialogue.usable

    def close(self) -> None:
        if self._dialogue is not None:
            self._dialogue.quit()

    async def deliver(self, job: Job) -> Sequence[Outcome]:
        """Send a message, over the connection there is or a new one. Raises Unreachable."""
        wall, timed = self._courier.machine.wall, self._courier.timed
        begun = wall()
        dialogue = self._dialogue
        if dialogue is None:
            dialogue = self._dialogue = await self._connect()
        connected = wall()
        outcomes = await self._send(dialogue, job)
        for stage, seconds in zip(
            STAGES, (begun - job.envelope.arrived, connected - begun, wall() - connected), strict=True
        ):
            timed(stage, max(0.0, seconds))
        return outcomes

    # Connecting

    async def _connect(self) -> Dialogue:
        """With the first host that greets us. Raises Unreachable, with what the last one said."""
        courier = self._courier
        options, machine = courier.options, courier.machine
        try:
            found = await route(
                machine.resolver, courier.rng, self._destination, options.own_names, options.routes, options.limits.exchanges
            )
        except NoRoute as nowhere:
            fate = Fate.WAITING if nowhere.temporary else Fate.FAILED
            raise Unreachable(Outcome(fate, nowhere.status, str(nowhere))) from None
        last = Outcome(Fate.WAITING, "4.4.4", f"no host of {self._destination} has an address")
        tried = 0
        missing = True
        policies = courier.policies
        policy = await policies.sts(self._destination) if policies is not None and found.by_mx else None
        by_mx_proved = policies is not None and found.by_mx and await policies.exchanges_proved(self._destination)
        for host in found.hosts:
            try:
                addresses = await machine.resolver.addresses(host)
                demand = _NO_DEMAND
                if policies is not None:
                    demand = await policies.demand(self._destination, host, found.port, by_mx_proved, policy)
                if demand.excluded and not demand.testing and (refusal := self._refused(demand, None, host)) is not None:
                    missing = False
                    last = _of_connection(refusal, host)
                    continue
            except ResolutionError as error:
                if not isinstance(error, NameNotFound):
                    missing = False
                    last = Outcome(Fate.WAITING, "4.4.3", f"{host} cannot be looked up: {error}")
                continue
            for address in addresses:
                missing = False
                tried += 1
                if tried > options.limits.addresses:
                    raise Unreachable(last)
                try:
                    self._host = host
                    return await self._greet(host, address, machine.port(found.port), demand)
                except DialogueError as error:
                    last = _of_connection(error, host)
        if missing:  # names that do not exist, or have no address
            last = Outcome(Fate.FAILED, "5.4.4", f"no host of {self._destination} has an address: {', '.join(found.hosts)}")
        raise Unreachable(last)

    async def _greet(self, host: str, address: str, port: int, demand: Demand) -> Dialogue:
        """A connection that can take mail; raises DialogueError."""
        courier = self._courier
        starttls = courier.options.starttls
        try:
            return await self._open(host, address, port, starttls, demand)
        except _NoTLS as error:
            courier.by_tls["failed", ""] += 1
            if demand.binding:
                if courier.policies is not None:
                    result = "validation-failure" if error.reply is None else "starttls-not-supported"
                    courier.policies.count(demand.kind, result)
                raise
            return await self._open(host, address, port, False, demand)  # in the clear rather than not at all (RFC 7435 §4)

    async def _open(self, host: str, address: str, port: int, starttls: bool, demand: Demand) -> Dialogue:
        courier = self._courier
        options = courier.options
        dialogue, greeting = await connect(
            courier.machine, address, port, courier.traffic, options.smtp, options.connections,
            start_tls_name=host, verify=False,
        )  # fmt: skip
        try:
            accepted(greeting)
            accepted(await dialogue.hello(options.name, options.extended))
            if starttls and "STARTTLS" in dialogue.extensions:
                await self._secure(dialogue)
                security = None if dialogue.peer is None else dialogue.peer.security
                courier.by_tls["secured", "" if security is None else security.version] += 1
            else:
                courier.by_tls["cleartext", ""] += 1
            self._judge(dialogue, host, demand)
        except DialogueError as error:
            dialogue.quit()
            if demand.binding and error.reply is not None and (dialogue.peer is None or dialogue.peer.security is None):
                error.reply = Reply(454, (f"said without TLS: {error.reply}",), "4.7.5")  # by whoever is on the wire
            raise
        return dialogue

    def _judge(self, dialogue: Dialogue, host: str, demand: Demand) -> None:
        """Go on only with a host that has proved what it has to; raises DialogueError."""
        security = None if dialogue.peer is None else dialogue.peer.security
        trouble = self._refused(demand, security, host)
        self._proved = trouble is None and security is not None and (demand.level is Level.DANE or not security.trouble)
        if trouble is not None and not demand.testing:
            raise trouble

    def _refused(self, demand: Demand, security: Security | None, host: str) -> DialogueError | None:
        """Why a host gets no mail, counted."""
        courier = self._courier
        if courier.policies is None or demand.level is Level.NONE:
            return None
        trouble = demand.trouble(security, host, courier.machine.wall())
        courier.policies.count(demand.kind, "successful-session" if trouble is None else trouble.result)
        return None if trouble is None else DialogueError(trouble.text, Reply(454, (trouble.text,), "4.7.5"))

    async def _secure(self, dialogue: Dialogue) -> None:
        try:
            secured = await dialogue.start_tls()
        except DialogueError as error:
            raise _NoTLS(str(error)) from None
        if not isinstance(secured, Peer):
            raise _NoTLS(f"STARTTLS: {secured}", secured)
        accepted(await dialogue.hello(self._courier.options.name))

    # Sending

    async def _send(self, dialogue: Dialogue, job: Job) -> Sequence[Outcome]:
        envelope, extensions = job.envelope, dialogue.extensions
        recipients = [envelope.recipients[index] for index in job.indexes]
        try:
            if envelope.require_tls and ("REQUIRETLS" not in extensions or not self._proved):  # RFC 8689 §4.2.1
                raise CannotSend("the message needs REQUIRETLS, with a server that proves who it is", "5.7.30")
            form = await fitted(
                self._courier.machine, job.content, [envelope.sender, *(each.mailbox for each in recipients)], extensions,
                envelope.body, envelope.utf8, self._courier.options.mime,
            )  # fmt: skip
        except CannotSend as impossible:
            return [Outcome(Fate.FAILED, impossible.status, str(impossible))] * len(recipients)
        sent = await dialogue.send(
            "" if envelope.sender is None else str(envelope.sender),
            [Recipient(str(each.mailbox), _recipient_parameters(each, form.utf8, extensions)) for each in recipients],
            form.content,
            _mail_parameters(envelope, form, extensions),
            form.chunked or ("CHUNKING" in extensions and self._courier.options.chunking),
        )
        return [_outcome(sent.of(place), self._host, "DSN" in extensions) for place in range(len(recipients))]


class _NoTLS(DialogueError):
    """The server offers TLS and does not manage it."""


def _mail_parameters(envelope: Envelope, form: Form, extensions: Mapping[str, str]) -> list[Parameter]:
    found = form.parameters(extensions)
    if envelope.require_tls:
        found.append(("REQUIRETLS", None))
    if "DSN" in extensions:
        found += [("RET", envelope.returns)] if envelope.returns else []
        found += [("ENVID", encode_xtext(envelope.envelope_id))] if envelope.envelope_id else []
    return found


def _recipient_parameters(recipient: Destination, utf8: bool, extensions: Mapping[str, str]) -> list[Parameter]:
    found: list[Parameter] = []
    if "DSN" in extensions:
        if recipient.notify is not None:
            found.append(("NOTIFY", ",".join(sorted(recipient.notify))))
        if recipient.original:
            kind, _, address = recipient.original.partition(";")
            if kind.lower() != "utf-8":
                address = encode_xtext(address)
            elif not utf8:  # RFC 6533 §3: utf-8-addr-xtext
                address = "".join(sign if sign.isascii() else f"\\x{{{ord(sign):X}}}" for sign in address)
            found.append(("ORCPT", f"{kind};{address}"))
    return found


def _outcome(reply: Reply, host: str, dsn: bool) -> Outcome:
    """What a server's reply means for a recipient."""
    if reply.positive:
        return Outcome(Fate.RELAYED, reply.enhanced or "2.0.0", str(reply), host, relayed_dsn=dsn)
    lasting = reply.lasting
    status = reply.enhanced or ("5.0.0" if lasting else "4.0.0")
    return Outcome(Fate.FAILED if lasting else Fate.WAITING, status, str(reply), host)


def _of_connection(error: DialogueError, host: str) -> Outcome:
    """What a connection that failed means: a server that is not there may be there later; one that refuses us says so."""
    if error.reply is not None and error.reply.code >= 400:
        found = _outcome(error.reply, host, False)
        return Outcome(found.fate, found.status, found.said, host)
    return Outcome(Fate.WAITING, "4.4.1", f"{host}: {error}", host)
