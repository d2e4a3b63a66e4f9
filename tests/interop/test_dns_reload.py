"""A server whose zone file changes under load: dnsperf loses no query, and no answer is of neither version."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from tests.addresses import own_address
from tests.interop.dns_programs import PORT
from tests.interop.programs import need
from tests.processes import Running, running, twistd

NAMES = 3000
RATE = 2000
"""Queries in a second: what the machine that runs the tests can ask beside the server."""


def write(directory: Path, version: int, more: str = "") -> None:
    """The zone whose every address tells the version."""
    head = f"$TTL 60\n@ SOA dns h {version} 3600 600 86400 60\n@ NS dns\ndns A 10.0.0.1\n$INCLUDE hosts\n"
    hosts = "".join(f"h{number} A 10.{version}.{number >> 8}.{number & 255}\n" for number in range(NAMES))
    for name, text in (("hosts", hosts), ("zone", head + more)):
        (directory / f".{name}").write_text(text)
        (directory / f".{name}").replace(directory / name)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Running, str]]:
    write(tmp_path, 1)
    address = own_address()
    arguments = (
        "netstack-dns", f"--zone=big.test={tmp_path}/zone", f"--address={address}", f"--listen=udp:{PORT}",
        f"--listen=tcp:{PORT}", f"--state={tmp_path}/state",
    )  # fmt: skip
    with running(*twistd(*arguments), ready="serves 1 zones on tcp") as started:
        yield started, address


def asked(address: str, number: int) -> int:
    """The version that an answer is of."""
    reply = dns.query.udp(dns.message.make_query(f"h{number}.big.test", "A"), address, port=PORT, timeout=5)
    return int(str(reply.answer[0][0]).split(".")[1])


def test_no_query_is_lost_and_no_answer_is_of_neither_version(server: tuple[Running, str], tmp_path: Path) -> None:
    service, address = server
    questions = tmp_path / "questions"
    questions.write_text("".join(f"h{number}.big.test A\n" for number in range(NAMES)))
    command = (
        need("dnsperf"), "-s", address, "-p", str(PORT), "-d", str(questions), "-Q", str(RATE), "-l", "5", "-c", "4",
    )  # fmt: skip
    load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen: list[int] = []
    version, number = 1, 0
    while load.poll() is None:
        if version < 6 and len(seen) % 50 == 49 and seen[-1] == version:
            version += 1
            write(tmp_path, version)
            service.process.send_signal(signal.SIGHUP)
        seen.append(asked(address, number % NAMES))
        number += 7
    written = load.communicate()[0]
    assert "Queries lost:         0 (0.00%)" in written, written
    assert "NOERROR" in written, written
    assert "SERVFAIL" not in written, written
    assert seen == sorted(seen)  # an old answer never follows a new one
    assert set(seen) in (set(range(1, version + 1)), set(range(1, version)))  # the last one may have come too late
    assert version >= 3


def test_a_bad_file_keeps_the_old_version_and_says_where(server: tuple[Running, str], tmp_path: Path) -> None:
    service, address = server
    write(tmp_path, 2, "oops A 10.0.0\n")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("big.test: not loaded, serial 1 stays: zone big.test: zone:6: A: Text input is malformed.")
    assert asked(address, 5) == 1
    write(tmp_path, 1, "late A 10.0.0.9\n")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("the serial number 1 stayed the same, but not what the zone holds; raise it")
    write(tmp_path, 3)
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("big.test: loaded, serial 3")
    assert asked(address, 5) == 3
