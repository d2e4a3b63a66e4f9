"""Messages made to cost pass a mail host that runs: into a mailbox, and in seven bits to a server that takes no others."""

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from tests.addresses import own_address
from tests.fuzz.test_mail_bombs import BOMBS
from tests.interop.smtp_hosts import BOB, MX, Host, mail_host
from tests.processes import Watch

CPU = 0.5
"""Seconds of CPU for one message of a megabyte, on its way in, into the mailbox, made seven bits and out again."""
WAIT = 10.0
"""Seconds that somebody else waits for the greeting at most, without those in which others have the cores."""


class _Sink(StreamRequestHandler):
    """A server without any extension that takes everything."""

    def handle(self) -> None:
        self.wfile.write(b"220 sink.test\r\n")
        for line in self.rfile:
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                octets = b"".join(iter(self.rfile.readline, b".\r\n"))
                found: list[bytes] = self.server.found  # type: ignore[attr-defined]
                found.append(octets)
            self.wfile.write(b"250 ok\r\n")


@contextmanager
def sink(address: str) -> Iterator[list[bytes]]:
    """What it has taken."""
    with ThreadingTCPServer((address, 2525), _Sink) as server:
        server.daemon_threads = True
        found: list[bytes] = []
        server.found = found  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()


def answered(host: Host) -> float:
    """How long the greeting and EHLO's reply take somebody else."""
    watch = Watch(host.process)
    with smtplib.SMTP(host.address, MX, "crepes.fr", timeout=60) as client:
        client.ehlo()
    return watch.seconds()


@pytest.mark.xdist_group("smtp-floods")
def test_they_pass_and_nobody_waits(tmp_path: Path) -> None:
    place = own_address()
    options = ("--relay-for=127.0.0.0/8", f"--route=sink.test={place}:2525", "--max-text-line=2000000")
    with sink(place) as found, mail_host(tmp_path, *options) as host:
        before, longest, taken = host.process.cpu(), 0.0, 0
        with smtplib.SMTP(host.address, MX, "crepes.fr", timeout=120) as client:
            for bomb in BOMBS.values():
                with suppress(smtplib.SMTPDataError):  # refused, and said so
                    client.sendmail(BOB, [BOB, "x@sink.test"], bomb, ["BODY=8BITMIME"])
                    taken += 1
                longest = max(longest, answered(host))

        def all_there() -> bool:
            """Each is in the mailbox, and at the sink or in a report of what it could not have."""
            nonlocal longest
            longest = max(longest, answered(host))
            return len(found) + host.count() >= 2 * taken

        host.process.wait_until(all_there, f"{2 * taken} messages and reports are there")
        spent = host.process.cpu() - before
        print(
            f"{taken} of {len(BOMBS)}, {len(found)} at the sink: {spent:.1f} s of CPU, others wait {longest:.2f} s at most"
        )
        assert len(found) + host.count() == 2 * taken
        assert taken > len(BOMBS) // 2
        assert all(octets.isascii() for octets in found)
        assert spent < CPU * len(BOMBS)
        assert longest < WAIT
