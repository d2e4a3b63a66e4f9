"""Streams of a ring's messages, mutated: whatever comes, however cut, the engine of a connection stays by its rules."""

from collections import Counter
from random import Random

from netstack.ring.data_messages import Get, Put
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Forward, Message, NeighboursAnswer, Notify, Ping, Step, StepAnswer
from netstack.ring.records import NEVER
from netstack.ring.shown import summary
from netstack.ring.stream import Greeted, Received, Refused, StreamBounds, StreamEngine
from netstack.ring.wire import MAGIC, Bye, Codec, Hello, Placed, Refusal, WireLimits
from netstack.sansio import Abort, Close, Event, Now, Peer, RemoteProtocolError

CODEC = Codec(Circle(8), WireLimits(frame=600, items=8))
A, B = Contact(3, "192.0.2.1:4160"), Contact(200, "node.test:1")
HELLO = Hello(MAGIC, 1, 8, "test", A, 1, True)
MESSAGES: list[Message] = [
    Step(1, 200),
    StepAnswer(1, True, (A, B), (B,)),
    Forward(1 << 40, 7, A, (3, 200)),
    NeighboursAnswer(2, None, (A,)),
    NeighboursAnswer(2, B, ()),
    Notify(B),
    Ping(300),
    Get(5, b"key", 2),
    Put(5, b"key", b"value" * 20, float("inf"), True, 2, NEVER, 0.5),
    Placed(),
]
INFO = Peer(("192.0.2.1", 1), ("192.0.2.2", 2))


def stream(rng: Random) -> bytes:
    """Hello and some messages, a few octets changed, maybe a farewell."""
    said: list[Message] = [Hello(MAGIC, 1, 8, "test", B, 2, False)]
    said += [rng.choice(MESSAGES) for _ in range(rng.randrange(8))]
    if rng.random() < 0.2:
        said.append(rng.choice([Bye(), Refusal("bits", "no"), said[0]]))
    octets = bytearray(b"".join(CODEC.encode(each, rng.random() < 0.3) for each in said))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        at = rng.randrange(len(octets) + 1)
        choice = rng.random()
        if choice < 0.4 and at < len(octets):
            octets[at] = rng.choice((0, 1, 127, 128, 129, 255, rng.randrange(256)))
        elif choice < 0.6:
            octets[at:at] = rng.randbytes(rng.choice((1, 1, 4, 30)))
        elif choice < 0.8:
            del octets[at : at + rng.choice((1, 1, 4, 30))]
        else:
            octets[at:at] = octets[: rng.randrange(80)]
    return bytes(octets)


def fed(pieces: list[bytes]) -> tuple[list[Event], str, bytes]:
    """What an engine makes of it: events, the error, what it has said."""
    engine = StreamEngine(CODEC, HELLO, StreamBounds())
    engine.recording = True
    events: list[Event] = [*engine.connected(INFO, Now(0.0, 0.0))]
    error = ""
    for piece in pieces:
        try:
            for event in engine.receive(piece, Now(0.0, 0.0)):
                events.append(event)
        except RemoteProtocolError as wrong:
            error = str(wrong)
        if error or Close() in events or Abort() in events:
            break
    return events, error, b"".join(engine.data_to_send())


def check(rng: Random, seen: Counter[str]) -> None:
    """One input, whole and in pieces: the same events, nothing before Hello or after the end, one refusal at most."""
    octets = stream(rng)
    events, error, said = fed([octets])
    at, pieces = 0, []
    while at < len(octets):
        size = rng.choice((1, 2, 5, 50))
        pieces.append(octets[at : at + size])
        at += size
    again, error_again, said_again = fed(pieces)
    assert (events, error, said) == (again, error_again, said_again), (events, again, error, error_again)
    got = [event for event in events if isinstance(event, Received)]
    assert not got or isinstance(events[0], Greeted)
    for event in got:
        framed = CODEC.encode(event.message, event.upkeep)
        assert framed in octets, "a message is read as it was written"
        assert "\n" not in summary(event.message) or "\n" in str(event.message)
    refused = [event for event in events if isinstance(event, Refused) and event.ours]
    assert len(refused) <= 1
    assert bool(error) <= bool(refused)
    if refused:
        assert said.endswith(CODEC.encode(Refusal(refused[0].reason, refused[0].text[:200])))
    seen["refused" if refused else "whole"] += 1
    seen["messages"] += bool(got)
