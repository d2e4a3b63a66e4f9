"""Frames: one table of octets, round trips of everything, and what is refused."""

from dataclasses import is_dataclass
from typing import Any

import pytest
from hypothesis import given, strategies

from netstack.ring import data_messages
from netstack.ring import messages as messages_module
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import (
    Forward,
    Found,
    Leaving,
    LookedUp,
    Message,
    Neighbours,
    NeighboursAnswer,
    Notify,
    Ping,
    Step,
    StepAnswer,
)
from netstack.ring.shown import summary
from netstack.ring.wire import KINDS, MAGIC, Bye, Codec, Hello, Placed, Refusal, WireLimits, is_place
from netstack.sansio import LocalProtocolError, RemoteProtocolError
from tests.ring.values import messages

SMALL, LARGE = Codec(Circle(4)), Codec(Circle(160))
A, B = Contact(3, "a:1"), Contact(8, "b:2")

CASES: list[tuple[Message, str, str]] = [
    (Step(7, 14), "00000003 10 07 0e", "Step: key 14"),
    (Step(1 << 40, 14), "00000009 10 86 010000000000 0e", "Step: key 14"),
    (StepAnswer(7, True, (B,), ()), "0000000a 11 07 01 01 08 03 623a32 00", "StepAnswer: done, nodes 8"),
    (StepAnswer(7, False, (B, A), (A,)), "", "StepAnswer: nodes 8 3, successors 3"),
    (Forward(200, 14, A, (3, 4)), "0000000c 12 81c8 0e 03 03 613a31 02 03 04", "Forward: key 14, origin 3, path 3 4"),
    (Found(1, B, (3, 4, 5)), "", "Found: responsible 8, path 3 4 5"),
    (Neighbours(127), "00000002 14 7f", "Neighbours"),
    (NeighboursAnswer(1, None, ()), "00000004 15 01 00 00", "NeighboursAnswer"),
    (
        NeighboursAnswer(1, A, (B,)),
        "0000000e 15 01 01 03 03 613a31 01 08 03 623a32",
        "NeighboursAnswer: predecessor 3, successors 8",
    ),
    (Notify(A), "00000006 16 03 03 613a31", "Notify: node 3"),
    (Ping(128), "00000003 17 8180", "Ping"),
    (Leaving(A, (B,)), "", "Leaving: predecessor 3, successors 8"),
    (Refusal("bits", "no"), "00000009 02 04 62697473 02 6e6f", "Refusal: reason bits, text no"),
    (Bye(), "00000001 03", "Bye"),
    (Placed(), "00000001 04", "Placed"),
    (
        Hello(MAGIC, 1, 4, "test", A, 9, True),
        "00000014 01 84 72696e67 01 04 04 74657374 03 03 613a31 09 01",
        "Hello: bits 4, network test, contact 3, placed",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("message", "octets", "shown"), CASES, ids=[shown for _, _, shown in CASES])
def test_messages_and_their_octets(message: Message, octets: str, shown: str) -> None:
    framed = SMALL.encode(message)
    if octets:
        assert framed.hex() == octets.replace(" ", "")
    assert SMALL.decode(framed[4:]) == message
    assert summary(message) == shown


@given(messages(4))
def test_what_is_written_is_read(message: Message) -> None:
    assert SMALL.decode(SMALL.encode(message)[4:]) == message
    assert summary(message).isprintable() or summary(message)


@given(messages(160))
def test_the_same_of_160_bits(message: Message) -> None:
    framed = LARGE.encode(message)
    assert int.from_bytes(framed[:4], "big") == len(framed) - 4
    assert LARGE.decode(framed[4:]) == message


@given(strategies.binary(max_size=60))
def test_octets_are_one_message_or_none(body: bytes) -> None:
    """What is read is written in the same octets: there is one way to say a thing."""
    try:
        message = SMALL.decode(body)
    except RemoteProtocolError:
        return
    assert SMALL.encode(message, upkeep=body[0] >= 128)[4:] == body


@pytest.mark.parametrize(("message", "octets", "shown"), CASES, ids=[shown for _, _, shown in CASES])
def test_no_message_is_cut_or_has_more(message: Message, octets: str, shown: str) -> None:
    body = SMALL.encode(message)[4:]
    for end in range(len(body)):
        with pytest.raises(RemoteProtocolError):
            SMALL.decode(body[:end])
    with pytest.raises(RemoteProtocolError, match="1 octets after its fields"):
        SMALL.decode(body + b"\0")


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        ("", "an empty frame"),
        ("00", "no message of kind 0"),
        ("7f", "no message of kind 127"),
        ("ff", "no message of kind 255"),
        ("10 07 10", "Step: a number above 15"),
        ("10 8107 0e", "written longer than it is"),
        ("10 820080 0e", "written longer than it is"),
        ("10 80 0e", "written longer than it is"),
        ("10 95 01" + 20 * "00" + " 0e", "a number above"),
        ("11 07 02 00 00", "2 is neither 0 nor 1"),
        ("11 07 01 8410000000 00", "268435456 items; at most 4096"),
        ("11 07 01 810f 00", "written longer"),
        ("11 07 01 7f 00", "it ends within a field"),
        ("16 03 03 613a61", "'a:a' is no HOST:PORT"),
        ("16 03 07 613a3939393939", "'a:99999' is no HOST:PORT"),
        ("16 03 01 61", "'a' is no HOST:PORT"),
        ("16 10 03 613a31", "a number above 15"),
        ("02 01 ff 00", "text that is no UTF-8"),
    ],
)
def test_what_is_wrong_is_said(octets: str, said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        SMALL.decode(bytes.fromhex(octets))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Step(7, 16), "Step: 16 is not from 0 to 15"),
        (Step(-1, 3), "Step: -1 is not"),
        (Step(1 << 160, 3), "is not from 0 to"),
        (Notify(Contact(3, "")), "'' is no HOST:PORT"),
        (Notify(Contact(3, "a b:1")), "is no HOST:PORT"),
        (Refusal("bits", "\ud800"), "no UTF-8"),
        (Refusal("bits", "x" * 600), "Refusal of 609 octets; at most 512"),
        (Found(1, A, (3,) * 5), "5 items; at most 4"),
        (LookedUp(1, 2, None, (), 0, 0.0), "LookedUp is no message"),
    ],
)
def test_what_cannot_be_sent_is_said(message: Any, said: str) -> None:
    with pytest.raises(LocalProtocolError, match=said):
        Codec(Circle(4), WireLimits(frame=512, items=4)).encode(message)


def test_upkeep_is_a_bit_of_the_kind() -> None:
    framed = SMALL.encode(Step(7, 14), upkeep=True)
    assert framed.hex() == "00000003" + "90070e"
    assert SMALL.decode(framed[4:]) == Step(7, 14)


def test_places() -> None:
    there = ("a:1", "node1.ring.test:4160", "127.0.0.1:65535", "[::1]:1", "[2001:db8::1]:4160")
    not_there = ("", "a", ":1", "a:0", "a:01", "a:65536", "A:1", "a:1 ", "::1:1", "[::1:1", "a:-1", "x" * 255 + ":1", "é:1")
    assert all(map(is_place, there))
    assert not any(map(is_place, not_there))


def test_every_message_has_its_number() -> None:
    there = {
        each
        for module in (messages_module, data_messages)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Message) and is_dataclass(each)
    }
    assert there <= set(KINDS.values())
    assert len(set(KINDS.values())) == len(KINDS)
    assert all(0 < number < 256 for number in KINDS)
