"""10^5 fields in a head, in trailers, in a field block of HTTP/2: refused early, at a bounded cost."""

import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import process_time

import pytest

from netstack.http.engine.http2.frames import Code
from netstack.http.events import RequestEnded, RequestRefused, Respond
from netstack.http.limits import HTTPLimits
from netstack.sansio import Command, Event
from tests.fuzz.servers import SERVERS, connect, read_all, started
from tests.http import http2
from tests.http.conversation import Server, statuses
from tests.processes import Watch

COUNT = 100_000
START = b"POST /upload HTTP/1.1\r\nHost: www.someschool.edu\r\nContent-Type: application/x-www-form-urlencoded\r\n"
FIELDS = b"".join(b"X-%05d: y\r\n" % number for number in range(COUNT))
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
HEAD, TRAILERS = START + FIELDS + b"\r\n", CHUNKED + FIELDS + b"\r\n"
WIDE = HTTPLimits(head=4 * 1024 * 1024)
"""Such heads are not too long: they have too many fields."""


def block(each: bytes) -> bytes:
    """One request of HTTP/2 with 10^5 fields, each of them the octets `each`, in HEADERS and CONTINUATION frames."""
    octets = http2.block(*http2.REQUEST) + each * COUNT
    pieces = [octets[at : at + 16384] for at in range(0, len(octets), 16384)]
    first = http2.raw(1, 1, 1, pieces[0])
    return first + b"".join(http2.raw(9, 4 * (piece is pieces[-1]), 1, piece) for piece in pieces[1:])


BLOCKS = {"indexed": block(b"\x90"), "literal": block(b"\x00\x01x\x01y")}
"""Fields of one octet each (accept-encoding of the static table), and of five."""


def cost(work: Callable[[], object], most: int) -> None:
    """What is done twice takes less than a second of CPU, and `most` octets of memory."""
    before = process_time()
    work()
    seconds = process_time() - before
    tracemalloc.start()
    try:
        work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 1.0, f"{seconds:.2f} s of CPU"
    assert peak < most, f"{peak} octets of memory"


def answer(event: Event) -> Sequence[Command]:
    """A role that waits for the whole request."""
    if isinstance(event, RequestRefused):
        return [Respond(event.status, b"", event.reason.encode())]
    return [Respond(200, b"")] if isinstance(event, RequestEnded) else []


@pytest.mark.parametrize("octets", [HEAD, TRAILERS], ids=["head", "trailers"])
@pytest.mark.parametrize("limits", [HTTPLimits(), WIDE], ids=["default", "wide"])
@pytest.mark.parametrize("size", [1460, 65536, len(HEAD) + 100])
def test_http1(octets: bytes, limits: HTTPLimits, size: int) -> None:
    def work() -> None:
        server, output, taken = Server(answer, limits), b"", 0
        for part in parts:
            output += server.receive(part)
            taken += len(part)
            if server.closed:
                break
        assert statuses(output) == [431]
        assert limits is WIDE or taken < 2 * limits.head + size, "refused when it ends, not when it has become too long"

    parts = [octets[at : at + size] for at in range(0, len(octets), size)]
    cost(work, 8 * min(len(octets), limits.head + size))


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("limits", [HTTPLimits(), WIDE], ids=["default", "wide"])
def test_http2(name: str, limits: HTTPLimits) -> None:
    """Beyond all measure it is no request of somebody who hears 431: the connection ends."""

    def work() -> None:
        server = http2.Server(http2.silent, limits)
        server.receive(http2.OPENING)
        sent = http2.parse(server.octets(BLOCKS[name]))
        if limits is WIDE and name == "indexed":
            assert server.status(sent) == 431
        else:
            assert http2.ends(sent) == [("goaway", 0, Code.ENHANCE_YOUR_CALM)]
            assert server.counts.abuses["fields"] == 1

    cost(work, 400 * COUNT if limits is WIDE else 16 * len(BLOCKS[name]))


def test_over_sockets(tmp_path: Path) -> None:
    """A server that gets them again and again has not grown, and answers others meanwhile."""
    (origin,) = (server for server in SERVERS if server.name == "origin")
    with started(origin, tmp_path, "--mount=/upload=upload") as (process, address):
        sizes, refused = [], 0
        for _ in range(10):
            for octets in (HEAD, TRAILERS, *(http2.OPENING + each for each in BLOCKS.values())):
                with connect(address) as connection:
                    watch = Watch(process)
                    with suppress(ConnectionResetError, BrokenPipeError):  # it was refused before all was sent
                        connection.sendall(octets)
                    answer = read_all(connection)
                    assert watch.seconds() < 5.0
                assert origin.answers(address)
                if octets.startswith(b"POST"):
                    refused += answer.startswith(b"HTTP/1.1 431 ")
                    assert not answer or answer.startswith(b"HTTP/1.1 431 "), answer[:80]
            sizes.append(process.resident())
        assert process.trouble() == []
    assert refused > 0, "a reset came before every answer"
    assert sizes[-1] < sizes[2] + 4 * 1024 * 1024, sizes
