"""Buffers, transition tables and the recorder."""

from enum import Enum, auto

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.sansio import ByteBuffer, LocalProtocolError, Message, Recorder, RemoteProtocolError, Transitions


@given(st.lists(st.binary(max_size=30)), st.sampled_from([b"\n", b"\r\n", b"ab"]))
def test_lines_do_not_depend_on_how_octets_arrive(parts: list[bytes], end: bytes) -> None:
    whole = b"".join(parts)
    buffer, lines = ByteBuffer(10_000), []
    for part in parts:
        buffer.feed(part)
        while (line := buffer.take_until(end)) is not None:
            lines.append(line)
    expected = whole.split(end)
    assert [line.removesuffix(end) for line in lines] == expected[:-1]
    assert bytes(buffer) == expected[-1]
    assert buffer.take_all() == expected[-1]
    assert len(buffer) == 0


@given(st.binary(max_size=200), st.lists(st.integers(0, 50)))
def test_blocks(data: bytes, counts: list[int]) -> None:
    buffer, at = ByteBuffer(200), 0
    buffer.feed(data)
    for count in counts:
        block = buffer.take(count)
        if at + count > len(data):
            assert block is None
        else:
            assert block == data[at : at + count]
            at += count
    assert bytes(buffer) == data[at:]


def test_a_block_between_lines() -> None:
    buffer = ByteBuffer(100)
    buffer.feed(b"size 3\r")
    assert buffer.take_until(b"\r\n") is None
    buffer.feed(b"\na\r\nnext\r\n")
    assert buffer.take_until(b"\r\n") == b"size 3\r\n"
    assert buffer.take(3) == b"a\r\n"
    assert buffer.take_until(b"\r\n") == b"next\r\n"


def test_the_limit_is_the_peers_fault() -> None:
    buffer = ByteBuffer(4)
    buffer.feed(b"1234")
    with pytest.raises(RemoteProtocolError, match="more than 4 octets"):
        buffer.feed(b"5")
    assert bytes(buffer) == b"1234"
    buffer.take(2)
    buffer.feed(b"56")


def test_a_line_octet_by_octet_costs_linear_time() -> None:
    buffer = ByteBuffer(200_000)
    for _ in range(100_000):
        buffer.feed(b"x")
        assert buffer.take_until(b"\r\n") is None
    assert buffer._searched >= 99_998
    buffer.feed(b"\r\n")
    line = buffer.take_until(b"\r\n")
    assert line is not None
    assert len(line) == 100_002


class Light(Enum):
    RED = auto()
    GREEN = auto()


class Button(Enum):
    GO = auto()
    STOP = auto()


LIGHTS = Transitions("lights", {(Light.RED, Button.GO): Light.GREEN, (Light.GREEN, Button.STOP): Light.RED})


@pytest.mark.parametrize("state", Light)
@pytest.mark.parametrize("given_input", Button)
def test_every_pair_of_a_table(state: Light, given_input: Button) -> None:
    if LIGHTS.allows(state, given_input):
        assert LIGHTS.next(state, given_input) is LIGHTS.table[state, given_input]
    else:
        with pytest.raises(LocalProtocolError, match=f"lights: {given_input.name} is not allowed in state {state.name}"):
            LIGHTS.next(state, given_input)


def test_the_diagram() -> None:
    assert LIGHTS.dot() == 'digraph "lights" {\n  "RED" -> "GREEN" [label="GO"];\n  "GREEN" -> "RED" [label="STOP"];\n}'


def test_the_recorder_gives_each_message_once() -> None:
    recorder = Recorder()
    assert recorder.messages() == ()
    recorder.record(True, "hello", b"hello")
    recorder.record(False, "back", b"back", ("192.0.2.1", 53))
    assert recorder.messages() == (
        Message(True, "hello", b"hello"),
        Message(False, "back", b"back", ("192.0.2.1", 53)),
    )
    assert recorder.messages() == ()
