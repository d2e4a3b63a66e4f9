"""10^4 damaged conversations of HTTP/2, split anywhere: no exception but the protocol's, nothing grows beyond its bound."""

import os
from random import Random

import pytest
from hyperframe.frame import ContinuationFrame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame

from netstack.http.engine.http2.frames import read_frames
from netstack.http.engine.server import Sending
from netstack.http.limits import HTTPLimits
from tests.http.http2 import OPENING, POST, Server, block, data, echo, raw, request, settings, silent, window

COUNT = int(os.environ.get("FUZZ_INPUTS", "10000"))
LIMITS = HTTPLimits(streams=5, body=5000, head=2000, resets=20, control_frames=50)
FRAMES = [
    request(1), request(1, ended=False, fields=POST), data(1, b"x" * 100), data(1, b"y", True), window(1, 100),
    window(0, 1000), settings(INITIAL_WINDOW_SIZE=100), settings(HEADER_TABLE_SIZE=0, MAX_FRAME_SIZE=20_000),
    PingFrame(0, b"12345678"), RstStreamFrame(1, 8), PriorityFrame(1, 3, 16, True), GoAwayFrame(0, 0, 0),
    HeadersFrame(1, block(("x", "y")), flags=["END_HEADERS", "END_STREAM"]), HeadersFrame(1, block(*POST)[:9]),
    ContinuationFrame(1, block(*POST)[9:], flags=["END_HEADERS"]), request(1, ("priority", "u=1, i")),
    request(1, ("content-length", "5"), ended=False, fields=POST), request(1, ("expect", "100-continue"), fields=POST),
]  # fmt: skip
KINDS = [frame.serialize() for frame in FRAMES] + [raw(16, 0, 0, b"\0\0\0\5u=0"), raw(77, 1, 1, b"abc")]


def conversation(rng: Random) -> bytes:
    """Frames in any order with streams that grow, now and then damaged."""
    parts = [OPENING] if rng.random() < 0.97 else []
    last = -1
    for _ in range(rng.randrange(1, 30)):
        octets = bytearray(rng.choice(KINDS if rng.random() < 0.7 else KINDS[:3]))
        if octets[3] == 1 and rng.random() < 0.9:
            last += 2
        if int.from_bytes(octets[5:9], "big"):
            octets[5:9] = max(1, last + rng.choice((0, 0, 0, 0, 0, 0, 0, 0, -2, 2))).to_bytes(4, "big")
        for _ in range(rng.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3))):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        parts.append(bytes(octets))
    return b"".join(parts)


@pytest.mark.slow
def test_garbage() -> None:
    rng = Random(2026)
    broken = answered = 0
    for number in range(COUNT):
        octets = conversation(rng)
        server = Server(rng.choice((echo, silent)), LIMITS, recording=number % 10 == 0)
        sent = b""
        at = 0
        while at < len(octets) and not server.closed:
            size = rng.choice((1, 5, 9, 10, 50, 10_000))
            sent += server.octets(octets[at : at + size])
            at += size
        engine = server.engine
        assert len(engine._streams) <= LIMITS.streams
        assert len(engine._hints) <= LIMITS.streams
        assert len(engine._reader._buffer) <= 16_384 + 9
        assert engine.next_timer() is not None or server.closed
        server.wait(200)
        owed = [stream for stream in engine._streams.values() if stream.sending is Sending.OWED]
        assert len(owed) == len(engine._streams)
        assert server.closed or (owed and server.answer is silent), "what waits for nobody but the client ends in its time"
        list(read_frames(sent))
        broken += server.fault is not None
        answered += any(frame.kind == 1 for frame in read_frames(sent))
    assert broken > COUNT / 5
    assert answered > COUNT / 5
