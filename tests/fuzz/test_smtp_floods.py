"""Lines, messages and commands that do not end, sent to a mail host that runs: what it keeps of them in memory."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.interop.smtp_hosts import BOB, MX, Host, mail_host

SENT = 64 * 1024 * 1024
"""Octets of each flood."""
KEPT = 24 * 1024 * 1024
"""By which the process may be larger at any time: buffers of a few connections, and what malloc does not give back."""
PIECE = 256 * 1024
pytestmark = pytest.mark.xdist_group("smtp-floods")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with mail_host(tmp_path_factory.mktemp("flood"), "--max-message=1000000", "--cleartext") as found:
        yield found


class Client:
    """A connection that has said EHLO."""

    def __init__(self, host: Host, port: int = MX) -> None:
        self.socket = socket.create_connection((host.address, port), 60)
        self.file = self.socket.makefile("rb")
        self.reply()
        assert self.ask(b"EHLO client.test") == 250

    def ask(self, *lines: bytes) -> int:
        """The last of the codes that these have; one for each."""
        self.socket.sendall(b"".join(line + b"\r\n" for line in lines))
        return [self.reply() for _ in lines][-1]

    def reply(self) -> int:
        while (line := self.file.readline())[3:4] == b"-":
            pass
        return int(line[:3] or 0)

    def begin(self) -> "Client":
        assert self.ask(b"MAIL FROM:<a@crepes.fr>", b"RCPT TO:<" + BOB.encode() + b">") == 250
        return self


def _command(host: Host) -> tuple[Client, bytes, bytes]:
    return Client(host), b"NOOP ", b"x"


def _log_in(host: Host) -> tuple[Client, bytes, bytes]:
    return Client(host, 2587), b"AUTH PLAIN ", b"A"


def _header(host: Host) -> tuple[Client, bytes, bytes]:
    client = Client(host).begin()
    assert client.ask(b"DATA") == 354
    return client, b"Subject: ", b"x"


def _fields(host: Host) -> tuple[Client, bytes, bytes]:
    client = Client(host).begin()
    assert client.ask(b"DATA") == 354
    return client, b"", b"A: b\r\n"


def _line(host: Host) -> tuple[Client, bytes, bytes]:
    client = Client(host).begin()
    assert client.ask(b"DATA") == 354
    return client, b"A: b\r\n\r\n", b"x"


def _lines(host: Host) -> tuple[Client, bytes, bytes]:
    client = Client(host).begin()
    assert client.ask(b"DATA") == 354
    return client, b"A: b\r\n\r\n", b"..\r\n"


def _chunk(host: Host) -> tuple[Client, bytes, bytes]:
    return Client(host).begin(), b"BDAT 99999999999 LAST\r\n", b"x"


FLOODS: dict[str, tuple[Callable[[Host], tuple[Client, bytes, bytes]], bytes, int]] = {
    "a command": (_command, b"\r\n", 500),
    "a log-in": (_log_in, b"\r\n", 500),
    "a field": (_header, b"\r\n.\r\n", 554),
    "fields": (_fields, b"\r\n.\r\n", 552),
    "a line of text": (_line, b"\r\n.\r\n", 554),
    "lines of text": (_lines, b"\r\n.\r\n", 552),
    "a chunk": (_chunk, b"", 0),
}
"""How it begins; what ends it; the reply then, 0 for none."""


@pytest.mark.parametrize("name", FLOODS)
def test_what_does_not_end_is_not_kept(host: Host, name: str) -> None:
    begin, end, code = FLOODS[name]
    client, first, piece = begin(host)
    before = most = host.process.resident()
    client.socket.sendall(first)
    block = piece * (PIECE // len(piece))
    for _ in range(SENT // len(block)):
        client.socket.sendall(block)
        most = max(most, host.process.resident())
    print(f"{name}: {(most - before) / 2**20:.1f} MiB more for {SENT / 2**20:.0f} MiB")
    assert most - before < KEPT
    if code:
        client.socket.sendall(end)
        assert client.reply() == code
        assert client.ask(b"NOOP") == 250
    client.socket.close()


def test_who_does_not_read_is_not_answered_for_ever(host: Host) -> None:
    """Commands that bring no message on are counted: after 100 it is over, and what comes then is not looked at."""
    client = Client(host)
    before = host.process.resident()
    block = (b"RSET\r\nMAIL FROM:<a@crepes.fr>\r\n" + b"RCPT TO:<" + BOB.encode() + b">\r\n") * 1000
    sent = 0
    with suppress(ConnectionError):
        while sent < SENT:
            sent += client.socket.send(block)
    assert host.process.resident() - before < KEPT
    codes = []
    with suppress(ConnectionError):
        while code := client.reply():
            codes.append(code)
    assert len(codes) <= 300
    assert codes[-1] == 421
    client.socket.close()


def test_ten_thousand_recipients_at_once(host: Host) -> None:
    client = Client(host)
    assert client.ask(b"MAIL FROM:<a@crepes.fr>") == 250
    before = host.process.resident()
    client.socket.settimeout(60)
    codes: list[int] = []
    for start in range(0, 10_000, 500):
        client.socket.sendall(b"".join(b"RCPT TO:<bob+%d@hamburger.edu>\r\n" % each for each in range(start, start + 500)))
        codes += [client.reply() for _ in range(500)]
    assert codes == [250] * 1000 + [452] * 9000
    assert client.ask(b"DATA") == 354
    assert client.ask(b"Subject: all\r\n\r\nx\r\n.") == 250
    assert host.process.resident() - before < KEPT
    assert len(host.arrived(0, count=1000)) == 1000
