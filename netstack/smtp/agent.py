"""The sending user agent: a message to the user's own server, who logs in there, or to the recipients' (RFC 5321, RFC 6409).

TLS is used where the server offers it, and its certificate is verified. Passwords go over TLS alone, unless `cleartext`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.resolver import ResolutionError
from netstack.mail import sasl
from netstack.mail.addresses import Mailbox
from netstack.mail.downgrade import needs
from netstack.mail.limits import MimeLimits
from netstack.sansio import Peer
from netstack.smtp.dialogue import PROTOCOL, Dialogue, DialogueError, accepted, connect
from netstack.smtp.events import Recipient
from netstack.smtp.fitting import CannotSend, fitted
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.routes import NoRoute, route
from netstack.smtp.wire import Reply

SUBMISSIONS, SUBMISSION, MX = 465, 587, 25
"""Standard ports: TLS from the start (RFC 8314 §3.3), STARTTLS (RFC 6409), other servers'."""


COST = 0.005
"""Seconds of an answer to a challenge, in the simulation alone."""


class AgentError(Exception):
    """The message cannot be sent at all; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What to send."""

    sender: Mailbox | None
    recipients: Sequence[Mailbox]
    content: bytes
    """A whole message, lines ending in CRLF."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to send it."""

    server: str = ""
    """A host's name; empty: the exchange of the sender's domain where there is a password, else each recipient's."""
    port: int = 0
    """A standard one; 0: 465 for who logs in, else 25."""
    user: str = ""
    """Empty: the sender's address."""
    password: str | None = None
    """None: nobody logs in."""
    cleartext: bool = False
    """A password goes out without TLS, too."""
    extended: bool = True
    """EHLO, and not HELO alone."""
    hello: str = ""
    """The name that is said; empty: the machine's."""
    smtp: SMTPLimits = field(default_factory=SMTPLimits)
    connections: StreamLimits = field(default_factory=lambda: StreamLimits(idle=900.0, connect=30.0))


@dataclass(frozen=True, slots=True)
class Posted:
    """What a server said for one recipient."""

    recipient: Mailbox
    server: str
    reply: Reply
    secure: bool = False

    @property
    def accepted(self) -> bool:
        return self.reply.positive


Progress = Callable[[int, int], None]
"""How many octets of the message are given to the connection, of how many."""


async def send(machine: Machine, letter: Letter, way: Way, progress: Progress | None = None) -> list[Posted]:
    """What became of each recipient, in no order; raises AgentError when a whole message goes nowhere."""
    found: list[Posted] = []
    for domain, recipients in _parcels(letter, way).items():
        hosts = [way.server] if way.server else await _exchanges(machine, domain)
        found += await _to_one(machine, hosts, recipients, letter, way, progress)
    return found


def _parcels(letter: Letter, way: Way) -> dict[str, list[Mailbox]]:
    """Domain whose exchange is to be asked -> recipients that it gets."""
    if way.server or way.password is not None:
        if not way.server and letter.sender is None:
            raise AgentError("nobody's own server is known for mail without a sender: say which server")
        return {"" if letter.sender is None else letter.sender.domain: list(letter.recipients)}
    parcels: dict[str, list[Mailbox]] = {}
    for recipient in letter.recipients:
        parcels.setdefault(recipient.domain, []).append(recipient)
    return parcels


async def _exchanges(machine: Machine, domain: str) -> Sequence[str]:
    try:
        found = await route(machine.resolver, Random(machine.rng.getrandbits(64)), domain, frozenset(), {})
    except NoRoute as nowhere:
        raise AgentError(str(nowhere)) from None
    return found.hosts


async def _to_one(
    machine: Machine,
    hosts: Iterable[str],
    recipients: Sequence[Mailbox],
    letter: Letter,
    way: Way,
    progress: Progress | None,
) -> list[Posted]:
    """By the first of the hosts that greets us."""
    trouble = "there is no host to send to"
    for host in hosts:
        try:
            dialogue = await _open(machine, host, way)
        except (DialogueError, ResolutionError) as error:
            trouble = f"{host}: {error}"
            continue
        try:
            if way.password is not None:
                await _log_in(machine, dialogue, way, letter)
            return await _post(machine, dialogue, host, recipients, letter, progress)
        except DialogueError as error:
            raise AgentError(f"{host}: {error}") from None
        finally:
            dialogue.quit()
    raise AgentError(trouble)


async def _open(machine: Machine, host: str, way: Way) -> Dialogue:
    """A connection that is as secure as the server can make it. Raises DialogueError, ResolutionError."""
    port = way.port or (MX if way.password is None else SUBMISSIONS)
    counts = traffic(machine.registry, PROTOCOL, "client")
    addresses = await machine.resolver.addresses(host)
    last = DialogueError(f"{host} has no address")
    for address in addresses:
        try:
            dialogue, greeting = await connect(
                machine, address, machine.port(port), counts, way.smtp, way.connections,
                tls_name=host if port == SUBMISSIONS else None, start_tls_name=host,
            )  # fmt: skip
        except DialogueError as error:
            last = error
            continue
        try:
            await _greet(dialogue, greeting, way.hello or machine.name, way)
        except DialogueError:
            dialogue.quit()
            raise
        return dialogue
    raise last


async def _greet(dialogue: Dialogue, greeting: Reply, name: str, way: Way) -> None:
    accepted(greeting)
    accepted(await dialogue.hello(name, way.extended))
    if "STARTTLS" in dialogue.extensions and not _secure(dialogue):
        secured = await dialogue.start_tls()
        if not isinstance(secured, Peer):
            raise DialogueError(f"STARTTLS: {secured}", secured)
        accepted(await dialogue.hello(name))
    if way.password is not None and not _secure(dialogue) and not way.cleartext:
        raise DialogueError("the server offers no TLS, and a password is not sent in the clear (--cleartext does)")


def _secure(dialogue: Dialogue) -> bool:
    return dialogue.peer is not None and dialogue.peer.security is not None


async def _log_in(machine: Machine, dialogue: Dialogue, way: Way, letter: Letter) -> None:
    offered = dialogue.extensions.get("AUTH", "").split()
    security = None if dialogue.peer is None else dialogue.peer.security
    bound = security is not None and any(security.binding(kind) is not None for kind in sasl.BINDINGS)
    mechanism = sasl.best(offered, security is not None or way.cleartext, bound)
    if mechanism is None:
        raise AgentError(f"the server offers no way to log in that is known here, but {', '.join(offered) or 'none'}")
    nonce = f"{machine.rng.getrandbits(144):036x}"
    binding = security.binding if security is not None and bound else None
    name = way.user or str(letter.sender or "")
    try:
        client = sasl.client(mechanism, name, way.password or "", nonce, "", binding, offered)
        found = await dialogue.authenticate(mechanism, client.first())
        while isinstance(found, bytes):
            found = await dialogue.respond(await machine.offload(partial(client.respond, found), COST))
    except (sasl.SASLError, ValueError) as error:
        dialogue.abort()
        raise AgentError(f"logging in as {name}: {error}") from None
    if found.code != 235:
        raise AgentError(f"logging in as {name}: {found}")


async def _post(
    machine: Machine,
    dialogue: Dialogue,
    host: str,
    recipients: Sequence[Mailbox],
    letter: Letter,
    progress: Progress | None,
) -> list[Posted]:
    mime = MimeLimits()
    body = "BINARYMIME" if needs(letter.content, mime).binary else ""
    try:
        form = await fitted(machine, letter.content, [letter.sender, *recipients], dialogue.extensions, body, True, mime)
    except CannotSend as error:
        raise AgentError(str(error)) from None
    if progress is not None:
        dialogue.progress = lambda given: progress(given, len(form.content))
    sender = "" if letter.sender is None else str(letter.sender)
    people = [Recipient(str(each)) for each in recipients]
    sent = await dialogue.send(sender, people, form.content, form.parameters(dialogue.extensions), form.chunked)
    secure = _secure(dialogue)
    return [Posted(recipient, host, sent.of(place), secure) for place, recipient in enumerate(recipients)]
