"""Connections to other nodes: one for each pair, made when there is something to say, kept while there is, used both ways.

Two nodes that dial each other at once keep the connection that the lesser of the two contacts made; a connection is given
up by Bye (`stream.py`), so that no message is lost by it. Messages to a node that cannot be reached are dropped: the ring
asks again, or finds out that it is gone.
"""

from collections import Counter, deque
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from netstack.kernel.driver import StreamDriver
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import connect_stream
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic, traffic
from netstack.kernel.resolver import is_address
from netstack.kernel.roles import Connection
from netstack.ring.identifiers import Contact
from netstack.ring.messages import Message
from netstack.ring.metrics import RingCounts
from netstack.ring.stream import (
    Greeted,
    OtherPlaced,
    Part,
    Parted,
    Received,
    Refuse,
    Refused,
    Say,
    StreamBounds,
    StreamEngine,
)
from netstack.ring.wire import MAGIC, VERSION, Codec, Hello, Placed
from netstack.sansio import Event, LocalProtocolError, Peer
from netstack.sansio.bounds import all_positive
from netstack.sansio.rates import Rates

PROTOCOL = "ring"
"""The name in the journal and in the metrics."""
AT_ONCE = 5.0
"""Seconds within which two connections of one pair were made at once; later ones replace earlier ones, which are dead."""


class Unreachable(Exception):
    """A node cannot be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds of a node's connections to others. Times in seconds, sizes in octets."""

    links: int = 1000
    """Nodes that it is connected to at once; for one more, the connection that was not used for longest is given up."""
    per_address: int = 256
    """Connections that come from one address (refused)."""
    dials: float = 100.0
    """Connections that come from one address in a second (refused)."""
    waiting: int = 10_000
    """Messages to one node that wait until it takes them; more are dropped."""
    waiting_octets: int = 64 * 1024 * 1024
    """Octets of all messages that wait, to whomever."""
    connect: float = 2.0
    """For a connection to another node to be made."""
    retry: float = 0.5
    """After a node could not be reached, until it is tried again; messages to it are dropped meanwhile."""
    silence: float = 1.0
    """Without a word on the connection to a node that does not answer: then the connection is given up, too."""

    def __post_init__(self) -> None:
        all_positive(self)


class Identity(Protocol):
    """Who a certificate says that a node is."""

    def problem(self, contact: Contact, peer: Peer) -> str | None:
        """What is wrong with who claims to be a contact; None: nothing."""

    def until(self, peer: Peer) -> float:
        """When that certificate ends: seconds of the wall clock."""


class Owner(Protocol):
    """Whose connections they are."""

    def received(self, sender: Contact, message: Message, upkeep: bool) -> None: ...

    def placed_other(self, contact: Contact) -> None:
        """Another node has got a place on the circle."""

    def unreachable(self, contact: Contact) -> None:
        """Nobody is there."""

    def cut_off(self, contact: Contact) -> None:
        """The connection to a node is gone, which it did not say."""

    def refused(self, place: str, reason: str, text: str) -> None:
        """A node that was dialed does not talk to this one, or this one to it."""


class Link:
    """All that is to be said to one node."""

    __slots__ = ("connection", "contact", "dialing", "failed", "queue")

    def __init__(self, contact: Contact) -> None:
        self.contact = contact
        self.connection: Line | None = None
        """The one that messages go out on."""
        self.dialing = False
        self.queue: deque[Say] = deque()
        self.failed = float("-inf")
        """When it could not be reached last."""


class Line:
    """The role of one connection."""

    def __init__(self, links: "Links", dialed: str = "") -> None:
        """`dialed`: where to; empty for one that came in."""
        self.links = links
        self.dialed = dialed
        self.link: Link | None = None
        self.hello: Hello | None = None
        self.placed = False
        """Whether the other side has a place on the circle."""
        self.since = self.heard = 0.0
        """When it was met, when it said something last."""
        self.connection: Connection | None = None
        self.connecting: Deferred[StreamDriver] | None = None
        self.greeted: Deferred[None] = Deferred()
        """For who dialed: it is known who is there, or why nobody is."""
        self.refused = False
        self.until = inf
        """When the certificate of the other side ends: wall clock."""
        self.trouble = ""
        """Why nobody is there."""
        self.ended: Deferred[None] = Deferred()

    def handle(self, event: Event, connection: Connection) -> None:
        self.connection = connection
        if isinstance(event, Received):
            if self.link is not None:
                self.links.got(self, self.link, event)
        elif isinstance(event, Greeted):
            self.hello, self.placed = event.hello, event.hello.placed
            self.links.met(self, connection, event.hello)
        elif isinstance(event, Parted):
            self.links.parted(self)
        elif isinstance(event, OtherPlaced):
            self.placed = True
            if self.link is not None:
                self.links.owner.placed_other(self.link.contact)
        elif isinstance(event, Refused):
            self.links.refusal(self, event)

    def writable(self, connection: Connection) -> None:
        if self.link is not None and self.link.connection is self:
            self.links.flush(self.link)

    def drain(self, connection: Connection) -> None:
        self.connection = connection
        self.part()

    def lost(self, reason: str) -> None:
        self.links.lost(self, reason)

    def part(self) -> None:
        """Give the connection up, without losing what is on its way."""
        if self.connection is not None:
            self.connection.send(Part())
        self.links.parted(self)


def taken(by: Contact) -> str:
    """What a node says whose identifier another one has."""
    return f"identifier {by.ident} is {by.address}'s: stop that node, or give this one another identifier or key"


class Links:
    """A node's connections."""

    def __init__(
        self,
        machine: Machine,
        me: Contact,
        network: str,
        codec: Codec,
        owner: Owner,
        counts: RingCounts,
        limits: LinkLimits | None = None,
        bounds: StreamBounds | None = None,
        streams: StreamLimits | None = None,
        identity: Identity | None = None,
        journal_upkeep: bool = False,
    ) -> None:
        """With `identity` all connections are under the machine's TLS, and who is there has to prove it."""
        self.machine = machine
        self.me = me
        self.owner = owner
        self.counts = counts
        self.limits = limits or LinkLimits()
        self.bounds = bounds or StreamBounds()
        self.streams = streams or machine.limits
        self._dialing = replace(self.streams, connect=self.limits.connect)
        self.links: dict[Contact, Link] = {}
        """The one used longest ago first."""
        self.placed = False
        self.stopping = False
        self._network = network
        self._codec = codec
        self._identity = identity
        self._journal_upkeep = journal_upkeep
        self._instance = machine.rng.getrandbits(64)
        self._seconds = machine.reactor.seconds
        self._client: Traffic = traffic(machine.registry, PROTOCOL, "client")
        self._lines: dict[Line, None] = {}
        self._addresses: Counter[str] = Counter()
        self._waiting = 0
        """Octets of all queues."""
        self._dials = Rates(self.limits.dials)
        counts.links = self.connected

    def connected(self) -> int:
        """Nodes that it is connected to."""
        return sum(link.connection is not None for link in self.links.values())

    def engine(self) -> StreamEngine:
        """Of one more connection."""
        hello = Hello(MAGIC, VERSION, self._codec.circle.bits, self._network, self.me, self._instance, self.placed)
        return StreamEngine(self._codec, hello, self.bounds, self._journal_upkeep)

    def accepted(self) -> Line:
        """The role of one that comes in."""
        return self._line(Line(self))

    # To others

    def send(self, to: Contact, message: Message, upkeep: bool = False) -> None:
        """Have a message brought to a node, in the order of these calls; it is dropped where that cannot be."""
        if self.stopping:
            return
        try:
            say = Say(message, self._codec.encode(message, upkeep), upkeep)
        except LocalProtocolError:
            self.counts.dropped["unfit"] += 1
            return
        link = self._link(to)
        line = link.connection
        if line is not None and line.until < inf and line.until <= self.machine.wall():
            line.part()  # a new connection needs a new certificate
            line = link.connection
        if line is not None and not link.queue and line.connection is not None and line.connection.writable:
            self._say(link, line.connection, say)
        elif line is None and not link.dialing and self._seconds() - link.failed < self.limits.retry:
            self.counts.dropped["unreachable"] += 1
            self.owner.unreachable(to)
        elif len(link.queue) >= self.limits.waiting or self._waiting + len(say.framed) > self.limits.waiting_octets:
            self.counts.dropped["full"] += 1
        else:
            link.queue.append(say)
            self._waiting += len(say.framed)
            if line is None and not link.dialing:
                link.dialing = True
                found = Deferred.fromCoroutine(self._dial(to.address))
                found.addCallbacks(lambda _: self._found(link), lambda failure: self._unreached(link, failure))

    async def find(self, place: str) -> tuple[Contact, bool]:
        """Who lives at HOST:PORT, and whether it has a place on the circle. Raises Unreachable."""
        known = next((link for link in self.links.values() if link.contact.address == place), None)
        if known is not None and known.connection is not None:
            return known.contact, known.connection.placed
        return await self._dial(place)

    def announce(self) -> None:
        """This node has got a place: whoever waits for that hears it."""
        say = Say(Placed(), self._codec.encode(Placed()))
        for link in tuple(self.links.values()):
            if link.connection is not None and link.connection.connection is not None:
                self._say(link, link.connection.connection, say)

    def forget(self, contact: Contact) -> None:
        """A node does not answer: a connection that has long been silent leads nowhere, and what waits for it is dropped."""
        link = self.links.get(contact)
        line = None if link is None else link.connection
        if link is None or line is None or self._seconds() - line.heard < self.limits.silence:
            return
        link.connection = None
        self._drop(link, "unreachable")
        if line.connection is not None:
            line.connection.abort()

    def stop(self) -> "Deferred[Any]":
        """Say Bye to all; fires when all connections are gone, which takes no longer than `StreamBounds.bye_seconds`."""
        self.stopping = True
        ended = [line.ended for line in self._lines]
        for line in tuple(self._lines):
            if line.connection is not None:
                line.part()
            elif line.connecting is not None:
                line.connecting.cancel()
        return DeferredList(ended)

    # Dialing

    async def _dial(self, place: str) -> tuple[Contact, bool]:
        host, _, port = place.rpartition(":")
        host = host.strip("[]")
        self.counts.dials += 1
        line = self._line(Line(self, place))
        try:
            addresses = [host] if is_address(host) else await self.machine.resolver.addresses(host)
            if not addresses:
                raise Unreachable(f"{host} has no address")
            line.connecting = connect_stream(
                self.machine, addresses[0], int(port), PROTOCOL, self.engine(), line, self._client, self._dialing,
                encrypted=self._identity is not None,
            )  # fmt: skip
            line.connection = await line.connecting
            await line.greeted
        except Exception as error:  # whatever ends a look-up, a connection or a handshake
            self._gone(line)
            raise Unreachable(f"{place}: {error or type(error).__name__}") from None
        if line.hello is None or line.link is None:
            raise Unreachable(f"{place}: {line.trouble}")
        return line.hello.contact, line.placed

    def _found(self, link: Link) -> None:
        link.dialing = False
        if link.connection is None:  # somebody else lives there
            self._unreached(link)
        else:
            self.flush(link)

    def _unreached(self, link: Link, failure: Failure | None = None) -> None:
        link.dialing = False
        if failure is not None and not failure.check(Unreachable):
            failure.raiseException()
        if link.connection is not None:  # it has dialed meanwhile
            self.flush(link)
            return
        link.failed = self._seconds()
        self.counts.unreachable += 1
        self._drop(link, "unreachable")
        self.owner.unreachable(link.contact)

    # What a Line tells

    def met(self, line: Line, connection: Connection, hello: Hello) -> None:
        """The other side has said who it is."""
        contact = hello.contact
        refused = self._judge(line, hello, connection.peer)
        if refused is not None:
            connection.send(refused)
            told = taken(contact) if refused.reason == "taken" else refused.text
            self.refusal(line, Refused(refused.reason, told))
            return
        if self._identity is not None:
            line.until = self._identity.until(connection.peer)
        link = line.link = self._link(contact)
        line.since = line.heard = self._seconds()
        before, link.connection = link.connection, line
        link.failed = float("-inf")
        if before is not None and before.connection is not None:
            if before.hello is None or before.hello.instance != hello.instance:
                before.connection.abort()
            elif line.since - before.since < AT_ONCE and (bool(before.dialed) == (self.me < contact)):
                link.connection = before
                line.part()
            else:
                before.part()
        if not line.greeted.called:
            line.greeted.callback(None)
        if hello.placed:
            self.owner.placed_other(contact)
        if not link.dialing:
            self.flush(link)

    def _judge(self, line: Line, hello: Hello, peer: Peer) -> Refuse | None:
        contact, address = hello.contact, peer.remote[0]
        if hello.instance == self._instance:
            return Refuse("self", "this is the node itself")
        if contact.ident == self.me.ident:
            return Refuse("taken", f"identifier {contact.ident} is {self.me.address}'s: choose another one")
        if self._identity is not None:
            problem = self._identity.problem(contact, peer)
            if problem is not None:
                return Refuse("identity", problem)
        if not line.dialed:
            if not self._dials.take(address, self._seconds()):
                return Refuse("many", f"more than {self.limits.dials:g} connections in a second from {address}")
            if self._addresses[address] >= self.limits.per_address:
                return Refuse("many", f"more than {self.limits.per_address} connections from {address}")
            self._addresses[address] += 1
        return None

    def got(self, line: Line, link: Link, event: Received) -> None:
        """A message of a node that was met."""
        line.heard = self._seconds()
        self._use(link)
        self.counts.received(event.message)
        self.owner.received(link.contact, event.message, event.upkeep)

    def parted(self, line: Line) -> None:
        """Nothing can be said there any more."""
        link = line.link
        if link is not None and link.connection is line:
            link.connection = None
            if link.queue and not self.stopping:
                queue, link.queue = link.queue, deque()
                for say in queue:
                    self._waiting -= len(say.framed)
                    self.send(link.contact, say.message, say.upkeep)

    def refusal(self, line: Line, event: Refused) -> None:
        """We do not talk to a node, or it does not talk to us."""
        line.refused = True
        line.trouble = event.text
        if event.ours:
            self.counts.refused(event.reason)
        else:
            self.counts.refused_by_others += 1
        if line.dialed:
            self.owner.refused(line.dialed, event.reason, event.text)

    def lost(self, line: Line, reason: str) -> None:
        """A connection is gone."""
        if not line.dialed and line.link is not None and line.connection is not None:
            address = line.connection.peer.remote[0]
            self._addresses[address] -= 1
            if self._addresses[address] <= 0:
                del self._addresses[address]
        link = line.link
        if link is not None and link.connection is line and not self.stopping:
            self.owner.cut_off(link.contact)
        self.parted(line)
        if not line.dialed and line.hello is None and not line.refused and self._identity is not None:
            self.counts.refused("identity")  # a handshake without an acceptable certificate
        self._gone(line)
        line.trouble = line.trouble or f"the connection was {reason}"
        if not line.greeted.called:
            line.greeted.callback(None)

    def flush(self, link: Link) -> None:
        """Say what waits, as far as it is taken."""
        line = link.connection
        while link.queue and line is not None and line.connection is not None and line.connection.writable:
            say = link.queue.popleft()
            self._waiting -= len(say.framed)
            self._say(link, line.connection, say)

    def _say(self, link: Link, connection: Connection, say: Say) -> None:
        self._use(link)
        try:
            connection.send(say)
        except LocalProtocolError:
            self.counts.dropped["unfit"] += 1
        else:
            self.counts.sent(say.message)

    # The table

    def _line(self, line: Line) -> Line:
        self._lines[line] = None
        return line

    def _gone(self, line: Line) -> None:
        self._lines.pop(line, None)
        if not line.ended.called:
            line.ended.callback(None)

    def _link(self, contact: Contact) -> Link:
        link = self.links.get(contact)
        if link is None:
            link = self.links[contact] = Link(contact)
            while len(self.links) > self.limits.links:
                oldest = next(iter(self.links.values()))
                del self.links[oldest.contact]
                self._drop(oldest, "full")
                if oldest.connection is not None:
                    oldest.connection.part()
        return link

    def _use(self, link: Link) -> None:
        if self.links.pop(link.contact, None) is not None:
            self.links[link.contact] = link

    def _drop(self, link: Link, why: str) -> None:
        self.counts.dropped[why] += len(link.queue)
        self._waiting -= sum(len(say.framed) for say in link.queue)
        link.queue.clear()
