"""Engines of SMTP without a driver: feed octets, answer events, join the two in memory."""

from collections.abc import Callable, Iterable, Sequence

from netstack.sansio import Close, Command, Event, Now, Peer, RemoteProtocolError, Security, StartTLS
from netstack.smtp.engine import ClientEngine, ServerEngine
from netstack.smtp.events import (
    Answer,
    AuthenticationBegun,
    ClientConnected,
    HelloReceived,
    LookupReceived,
    MailReceived,
    MessageBegun,
    MessageEnded,
    RecipientReceived,
)
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.offer import Offer
from netstack.smtp.wire import Reply

PEER = Peer(("192.0.2.1", 25), ("192.0.2.2", 50_000))
SECURE = Peer(PEER.local, PEER.remote, security=Security("TLSv1.3", "TLS_AES_128_GCM_SHA256"))
OFFER = Offer("mail.hamburger.edu", starttls=True, mechanisms=("PLAIN",))

Role = Callable[[Event], Command | None]


def agreeable(event: Event) -> Command | None:
    """A role that takes everything."""
    if isinstance(event, ClientConnected):
        return Answer(Reply(220, ("mail.hamburger.edu",)))
    if isinstance(event, HelloReceived):
        return Answer(Reply(250, (f"Hello {event.name}, pleased to meet you",)))
    if isinstance(event, MailReceived):
        return Answer(Reply(250, ("Sender ok",), "2.1.0"))
    if isinstance(event, RecipientReceived):
        if event.recipient.local == "nobody":
            return Answer(Reply(550, ("no such user",), "5.1.1"))
        return Answer(Reply(250, ("Recipient ok",), "2.1.5"))
    if isinstance(event, MessageBegun):
        return Answer(Reply(354, ('Enter mail, end with "." on a line by itself',)))
    if isinstance(event, MessageEnded):
        return Answer(Reply(250, ("Message accepted for delivery",), "2.0.0"))
    if isinstance(event, LookupReceived):
        return Answer(Reply(252, ("try it",), "2.0.0"))
    if isinstance(event, AuthenticationBegun):
        return Answer(Reply(235, ("welcome",), "2.7.0"))
    return None


class Side:
    """One engine with a role that answers at once, driven as StreamDriver does it."""

    def __init__(self, engine: ServerEngine | ClientEngine, role: Role, recording: bool = False) -> None:
        self.engine = engine
        self.engine.recording = recording
        self.role = role
        self.time = 100.0
        self.events: list[Event] = []
        self.closed = False
        self.fault: RemoteProtocolError | None = None
        self.wants_tls = False

    @property
    def now(self) -> Now:
        return Now(self.time, 1_780_000_000.0)

    def connect(self, peer: Peer = PEER) -> bytes:
        return self._take(self.engine.connected, peer)

    def feed(self, data: bytes) -> bytes:
        return self._take(self.engine.receive, data)

    def eof(self) -> bytes:
        return self._take(self.engine.eof)

    def wait(self, seconds: float) -> bytes:
        self.time += seconds
        due = self.engine.next_timer()
        return self._take(self.engine.on_timer) if due is not None and due <= self.time else b""

    def say(self, *commands: Command) -> bytes:
        for command in commands:
            self.engine.send(command, self.now)
        return self.feed(b"")

    def _take(self, step: Callable[..., Iterable[Event]], *arguments: object) -> bytes:
        if self.closed:
            return b""
        again = True
        try:
            while again and not self.closed:
                again = False
                for event in step(*arguments, self.now):
                    if isinstance(event, Close):
                        self.closed = True
                        break
                    if isinstance(event, StartTLS):
                        self.wants_tls = True
                        continue
                    self.events.append(event)
                    command = self.role(event)
                    if command is not None:
                        self.engine.send(command, self.now)
                        again = True
                step, arguments = self.engine.receive, (b"",)
        except RemoteProtocolError as error:
            self.fault, self.closed = error, True
        return b"".join(self.engine.data_to_send())

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def server(role: Role = agreeable, offer: Offer = OFFER, limits: SMTPLimits | None = None, recording: bool = False) -> Side:
    """A server's side that has greeted; its greeting is taken."""
    side = Side(ServerEngine(offer, limits or SMTPLimits()), role, recording)
    assert side.connect() == b"220 mail.hamburger.edu\r\n"
    return side


def client(role: Role, recording: bool = False) -> Side:
    side = Side(ClientEngine(SMTPLimits()), role, recording)
    side.connect()
    return side


def join(one: Side, other: Side, to_other: bytes, piece: int = 0) -> None:
    """Carry octets between the two until both are silent; in pieces of `piece` octets, 0 for whole ones."""
    flows: list[tuple[Side, Side, bytes]] = [(one, other, to_other)]
    while flows:
        sender, receiver, octets = flows.pop()
        if sender.wants_tls and receiver.wants_tls:
            raise AssertionError("octets in the clear after both began TLS")
        back = b"".join(receiver.feed(each) for each in _pieces(octets, piece))
        if back:
            flows.append((receiver, sender, back))
        if one.wants_tls and other.wants_tls and not back:
            one.wants_tls = other.wants_tls = False
            for side, partner in ((one, other), (other, one)):
                said = side.connect(SECURE)
                if said:
                    flows.append((side, partner, said))


def _pieces(octets: bytes, size: int) -> Sequence[bytes]:
    return [octets[at : at + size] for at in range(0, len(octets), size)] if size else [octets] if octets else []
