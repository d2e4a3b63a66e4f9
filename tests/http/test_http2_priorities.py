"""Which streams of an HTTP/2 connection go first (RFC 9218)."""

import pytest

from netstack.http.engine.http2.priorities import Priority, parse_priority
from netstack.http.events import (
    Respond,
)
from tests.http.http2 import (
    OPENING,
    Server,
    contents,
    order,
    raw,
    request,
    settings,
    silent,
    window,
)


@pytest.mark.parametrize(
    ("value", "priority"),
    [
        ("", (3, False)), ("u=0", (0, False)), ("u=7, i", (7, True)), ("i", (3, True)), ("i=?0", (3, False)),
        ("u=8", (3, False)), ("u=-1", (3, False)), ("u=x", (3, False)), ("u=1;a=b,i;c", (1, True)),
        ("what, u=2", (2, False)), ("u=1, u=5", (5, False)), ("U=1", (3, False)), ("u=1,,", (3, False)),
        ('a="b, u=1"', (3, False)), ("u=1 x", (3, False)),
    ],
)  # fmt: skip
def test_priority_field(value: str, priority: Priority) -> None:
    assert parse_priority(value) == priority


def answers(server: Server, *streams: tuple[int, str], size: int = 40_000, stop: bool = True) -> None:
    """Requests with priorities whose answers wait for a window."""
    server.receive(OPENING, settings(INITIAL_WINDOW_SIZE=2**20))
    for number, priority in streams:
        server.receive(request(number, *([("priority", priority)] if priority else [])))
    # The first answer fills the connection's window, all others then wait.
    filler = streams[0][0]
    server.send(filler, Respond(200, b"", b"f" * 65_535))
    for number, _ in streams[1:]:
        assert contents(server.send(number, Respond(200, b"", b"%d" % (number % 10) * size))) == {}


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        ([(3, ""), (5, ""), (7, "")], [3, 5, 7]),
        ([(3, "u=5"), (5, "u=1"), (7, "u=3")], [5, 7, 3]),
        ([(3, "i"), (5, "i")], [3, 5, 3, 5, 3, 5]),
        ([(3, "u=6"), (5, "u=2, i"), (7, "u=2, i")], [5, 7, 5, 7, 5, 7, 3]),
    ],
)
def test_urgent_streams_come_first_and_incremental_ones_share(streams: list[tuple[int, str]], expected: list[int]) -> None:
    server = Server(silent)
    answers(server, (1, ""), *streams)
    assert order(server.receive(window(0, 10**6))) == expected


def test_a_priority_update_changes_the_order() -> None:
    server = Server(silent)
    answers(server, (1, ""), (3, ""), (5, ""))
    server.receive(raw(16, 0, 0, (5).to_bytes(4, "big") + b"u=0"))
    assert order(server.receive(window(0, 10**6))) == [5, 3]


def test_a_priority_update_may_come_before_its_request() -> None:
    server = Server(silent)
    server.receive(OPENING, settings(INITIAL_WINDOW_SIZE=2**20), raw(16, 0, 0, (5).to_bytes(4, "big") + b"u=0"))
    server.receive(request(1), request(3), request(5))
    server.send(1, Respond(200, b"", b"f" * 65_535))
    server.send(3, Respond(200, b"", b"3" * 20_000))
    server.send(5, Respond(200, b"", b"5" * 20_000))
    assert order(server.receive(window(0, 10**6))) == [5, 3]
