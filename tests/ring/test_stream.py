"""The engine of a connection: two of them in memory, every refusal, the farewell, the bounds."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Message, Ping, Pong, Step
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
from netstack.ring.wire import MAGIC, Bye, Codec, Hello, Placed, Refusal, WireLimits
from netstack.sansio import Abort, Close, Event, LocalProtocolError, Now, Peer, RemoteProtocolError

CODEC = Codec(Circle(4), WireLimits(frame=2000))
HELLO = Hello(MAGIC, 1, 4, "test", Contact(3, "a:1"), 1, True)
OTHER = Hello(MAGIC, 1, 4, "test", Contact(8, "b:1"), 2, False)
INFO = Peer(("192.0.2.1", 1), ("192.0.2.2", 2))


class Side:
    """An engine whose driver is the test."""

    def __init__(self, hello: Hello = HELLO, **bounds: Any) -> None:
        self.now = 100.0
        self.engine = StreamEngine(CODEC, hello, StreamBounds(**bounds))
        self.events: list[Event] = []
        self.error = ""
        self._take(self.engine.connected(INFO, self._now()))

    def _now(self) -> Now:
        return Now(self.now, 0.0)

    def _take(self, events: Iterable[Event]) -> list[Event]:
        taken = []
        try:
            for event in events:
                taken.append(event)
        except RemoteProtocolError as error:
            self.error = str(error)
        self.events += taken
        return taken

    def get(self, data: bytes) -> list[Event]:
        return self._take(self.engine.receive(data, self._now()))

    def tell(self, *messages: Message) -> list[Event]:
        return self.get(b"".join(map(CODEC.encode, messages)))

    def do(self, command: Any) -> list[Event]:
        self.engine.send(command, self._now())
        return self.get(b"")

    def say(self, message: Message) -> list[Event]:
        return self.do(Say(message, CODEC.encode(message)))

    def later(self, seconds: float) -> list[Event]:
        self.now += seconds
        due = self.engine.next_timer()
        return self._take(self.engine.on_timer(self._now())) if due is not None and due <= self.now else []

    def sent(self) -> list[Message]:
        """What it has said since the last call."""
        data, found = b"".join(self.engine.data_to_send()), []
        while data:
            end = 4 + int.from_bytes(data[:4], "big")
            found.append(CODEC.decode(data[4:end]))
            data = data[end:]
        return found


def greeted(**bounds: Any) -> Side:
    side = Side(**bounds)
    side.tell(OTHER)
    side.sent()
    side.events.clear()
    return side


def test_both_say_who_they_are_and_then_talk() -> None:
    a, b = Side(HELLO), Side(OTHER)
    for _ in range(2):
        a.get(b"".join(b.engine.data_to_send()))
        b.get(b"".join(a.engine.data_to_send()))
    assert (a.events, b.events) == ([Greeted(OTHER)], [Greeted(HELLO)])
    assert a.say(Step(1, 14)) == []
    assert b.get(b"".join(a.engine.data_to_send())) == [Received(Step(1, 14))]


def test_messages_come_whole_however_they_are_cut() -> None:
    octets = b"".join(map(CODEC.encode, (OTHER, Step(1, 2), Placed(), Ping(300))))
    expected = [Greeted(OTHER), Received(Step(1, 2)), OtherPlaced(), Received(Ping(300))]
    for size in (1, 2, 3, 7, 1000):
        side = Side()
        for start in range(0, len(octets), size):
            side.get(octets[start : start + size])
        assert side.events == expected


@pytest.mark.parametrize(
    ("first", "reason", "text"),
    [
        (replace(OTHER, version=2), "version", "version 2 of the protocol is not spoken here, but 1"),
        (replace(OTHER, network="other"), "network", "this is network 'test', not 'other'"),
        (replace(OTHER, bits=160), "bits", "identifiers have 4 bits here, not 160"),
        (replace(OTHER, bits=160, contact=Contact(1 << 159, "b:1")), "bits", "identifiers have 4 bits here"),
        (replace(OTHER, contact=Contact(16, "b:1")), "protocol", "an identifier of more than 4 bits"),
        (replace(OTHER, magic=1), "protocol", "the first frame has to be Hello"),
        (Ping(1), "protocol", "the first frame has to be Hello"),
    ],
)
def test_strangers_are_told_why_they_are_refused(first: Message, reason: str, text: str) -> None:
    side = Side()
    side.sent()
    side.tell(first, Ping(1))
    refused = side.events[0]
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.ours) == (reason, True)
    assert text in refused.text
    assert side.sent() == [Refusal(reason, refused.text)]
    assert Close() in side.events or side.error
    assert not any(isinstance(event, Received | Greeted) for event in side.events)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of 1195725856 octets; expected 1 to 1024"),
        (b"\0\0\0\0", "a frame of 0 octets"),
        (b"\x16\x03\x01\x02\0\x01", "a frame of 369295618 octets"),
        (b"\0\0\0\1\xff", "there is no message of kind 255"),
    ],
)
def test_what_is_no_ring_is_told_so(octets: bytes, text: str) -> None:
    side = Side()
    side.sent()
    side.get(octets)
    assert side.sent() == [Refusal("protocol", side.error)]
    assert text in side.error


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"\0\0\x07\xd1", "a frame of 2001 octets; expected 1 to 2000"),
        (CODEC.encode(OTHER), "a second Hello"),
        (b"\0\0\0\2\x10\x07", "it ends within a field"),
        (CODEC.encode(Bye()) + CODEC.encode(Ping(1)), ""),
    ],
)
def test_after_hello(said: bytes, text: str) -> None:
    side = greeted()
    side.get(said)
    assert text in side.error
    assert bool(side.error) == bool(text)
    assert side.events[-1] == (Refused("protocol", side.error) if text else Close())


def test_who_says_nothing_is_refused_in_time() -> None:
    side = Side(hello_seconds=5.0)
    assert side.later(4.9) == []
    assert side.later(0.2) == [Refused("silent", "no Hello within 5 s"), Close()]


def test_a_refusal_of_the_other_side() -> None:
    side = Side()
    assert side.tell(Refusal("bits" * 100, "x" * 500)) == [Refused(("bits" * 5), "x" * 200, ours=False), Close()]


def test_a_refusal_of_ours() -> None:
    side = greeted()
    assert side.do(Refuse("identity", "you are not 8")) == [Close()]
    assert side.sent() == [Refusal("identity", "you are not 8")]


def test_nothing_is_lost_when_a_connection_is_given_up() -> None:
    a, b = greeted(), greeted()
    b.say(Pong(1))
    crossing = b"".join(b.engine.data_to_send())
    assert a.do(Part()) == []
    assert b.get(b"".join(a.engine.data_to_send())) == [Parted(), Close()]
    with pytest.raises(LocalProtocolError):
        a.say(Ping(2))
    assert a.get(crossing + b"".join(b.engine.data_to_send())) == [Received(Pong(1)), Parted(), Close()]


def test_both_give_it_up_at_once() -> None:
    a, b = greeted(), greeted()
    a.do(Part())
    b.do(Part())
    assert a.get(b"".join(b.engine.data_to_send())) == [Parted(), Close()]
    assert b.get(b"".join(a.engine.data_to_send())) == [Parted(), Close()]
    assert (a.sent(), b.sent()) == ([], [])


def test_who_does_not_say_bye_is_cut_off() -> None:
    side = greeted(bye_seconds=3.0)
    side.do(Part())
    assert side.later(2.9) == []
    assert side.later(0.2) == [Abort()]


def test_what_is_not_used_is_given_up() -> None:
    side = greeted(idle_seconds=10.0)
    assert side.later(9) == []
    side.tell(Ping(1))
    assert side.later(9) == []
    side.say(Pong(1))
    assert side.later(9) == []
    side.sent()
    assert side.later(1.1) == [Parted()]
    assert side.sent() == [Bye()]


def test_messages_are_read_at_a_rate_and_none_is_lost() -> None:
    side = greeted(rate=10.0)
    side.tell(*(Ping(number) for number in range(25)))
    got = len(side.events)
    assert 9 <= got <= 10
    assert not side.engine.wants_data()
    for _ in range(20):
        side.later(0.1)
    assert side.events == [Received(Ping(number)) for number in range(25)]
    side.later(0.2)
    assert side.engine.wants_data()


def test_the_end_of_the_stream() -> None:
    side = greeted()
    assert side.engine.eof(Now(0, 0)) == [Close()]
    assert side.get(b"x") == [Close()]


def test_what_is_said_out_of_turn_is_a_bug_of_ours() -> None:
    side = Side()
    for command in (Say(Ping(1), b""), object()):
        with pytest.raises(LocalProtocolError):
            side.do(command)


def test_the_journal_has_whole_frames() -> None:
    side = greeted()
    side.engine.recording = True
    side.tell(Step(1, 14))
    side.say(Ping(2))
    side.do(Say(Ping(3), CODEC.encode(Ping(3), upkeep=True), True))
    side.get(CODEC.encode(Step(4, 1), upkeep=True))
    assert side.events[-1] == Received(Step(4, 1), True)
    rows = [(row.sent, row.summary, row.data) for row in side.engine.messages()]
    assert rows == [(False, "Step: key 14", CODEC.encode(Step(1, 14))), (True, "Ping", CODEC.encode(Ping(2)))]
