"""The journal gets messages as they were, without credentials."""

import pytest

from netstack.http.engine.record import without_credentials
from netstack.http.events import SendRequest
from tests.http.conversation import Client, Server

REQUESTS = [
    (
        b"GET / HTTP/1.1\r\nAuthorization: Basic Ym9iOnNlY3JldA==\r\nHost: a\r\n\r\n",
        b"Authorization: **********************\r\n",
    ),
    (b"GET / HTTP/1.1\r\nPROXY-AUTHORIZATION:Bearer x\r\n\r\n", b"PROXY-AUTHORIZATION:********\r\n"),
    (b"GET / HTTP/1.1\nauthorization: \tBasic a\nHost: a\n\n", b"authorization: \t*******\nHost: a\n"),
    (b"GET / HTTP/1.1\r\nX-Authorization: a\r\n\r\nAuthorization: b\r\n", b"X-Authorization: a\r\n\r\nAuthorization: b\r\n"),
    (b"GET / HTTP/1.1\r\nAuthorization : a\r\nHost: a\r\n\r\n", b"Authorization : *\r\nHost: a\r\n"),  # refused, and kept
    (b"GET / HTTP/1.1\r\nAuthorization: a\r\n b\r\nHost: a\r\n\r\n", b"Authorization: *****\r\nHost: a\r\n"),
    (b"GET / HTTP/1.1\r\nAuthorization: cut o", b"Authorization: *****"),
]


@pytest.mark.parametrize(("request_", "kept"), REQUESTS)
def test_credentials_are_blanked_and_nothing_else(request_: bytes, kept: bytes) -> None:
    found = without_credentials(request_)
    assert kept in found
    assert len(found) == len(request_)
    assert b"secret" not in found


def test_neither_end_records_them() -> None:
    server, client = Server(recording=True), Client(recording=True)
    field = ("Authorization", "Basic Ym9iOnNlY3JldA==")
    sent = client.send(SendRequest("GET", "/", [("Host", "a.test"), field]))
    server.receive(sent + b"GET / HTTP/1.1\r\nAuthorization: Basic a\r\n\r\n")  # the second one has no host: refused
    recorded = b"".join(message.data for engine in (server.engine, client.engine) for message in engine.messages())
    assert recorded.count(b"Authorization: **") == 3
    assert b"Basic" not in recorded
