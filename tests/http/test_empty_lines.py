"""Empty lines before a request are ignored (RFC 9112 §2.2), and do not keep a connection open."""

import pytest

from netstack.http.limits import HTTPLimits
from tests.http.conversation import Server, statuses

GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
LIMITS = HTTPLimits(head_seconds=10, idle_seconds=60)


@pytest.mark.parametrize("drip", [b"\r\n", b"\r\n\r\n\r\n"])
@pytest.mark.parametrize("before", [b"", GET])
def test_a_client_that_sends_nothing_else_is_closed_in_the_time_for_a_head(before: bytes, drip: bytes) -> None:
    server = Server(limits=LIMITS)
    server.receive(before)
    for _ in range(4):
        server.receive(drip)
        server.wait(3)
    assert server.closed


def test_octet_by_octet_is_no_way_around_it() -> None:
    server = Server(limits=LIMITS)
    for second in range(11):
        server.receive(b"\r\n"[second % 2 :][:1])
        server.wait(1)
    assert server.closed


def test_a_request_after_empty_lines_is_answered_and_begins_anew() -> None:
    server = Server(limits=LIMITS)
    for _ in range(3):
        server.wait(50)
        server.receive(b"\r\n")
        server.wait(9)
        assert statuses(server.receive(b"\r\n" + GET)) == [200]
    server.wait(59)
    assert not server.closed
    server.wait(1)
    assert server.closed
