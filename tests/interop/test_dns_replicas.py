"""Zones that change, with other people's programs: dig, kdig, nsupdate; BIND and NSD as secondaries and as primaries."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import pytest

from tests.addresses import own_address
from tests.interop import dns_programs
from tests.interop.dns_programs import HEAD, PORT, named, run
from tests.interop.programs import need
from tests.processes import Running, running, twistd

SECRET = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"
KEY = f'key "transfer" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
WRONG = f'key "transfer" {{ algorithm hmac-sha256; secret "{SECRET[::-1].strip("=")}"; }};\n'
RECORDS = "".join(f'h{number} TXT "{"x" * (number % 200)}"\n' for number in range(400))

NSD = """
key:
    name: transfer
    algorithm: hmac-sha256
    secret: "{secret}"
zone:
    name: ours.test
    zonefile: ours.zone
    allow-notify: {ours} transfer
    request-xfr: {ours}@{port} transfer
zone:
    name: nsd.test
    zonefile: nsd.zone
    provide-xfr: 127.0.0.0/8 transfer
    notify: {ours}@{port} transfer
"""


@dataclass(frozen=True)
class Net:
    """Ours is the primary of ours.test and a secondary of bind.test and nsd.test; BIND and NSD the other way round."""

    ours: str
    bind: str
    nsd: str
    directory: Path
    key: str
    service: Running
    named: Running


def serial(address: str, zone: str) -> int | None:
    """Of a zone as a server answers it now."""
    message = dns.message.make_query(zone, "SOA")
    reply = dns.query.udp(message, address, port=PORT, timeout=20)
    return int(reply.answer[0][0].serial) if reply.answer else None


def settles(net: Net, address: str, zone: str, expected: int) -> None:
    """Wait until a server has a version."""
    net.service.wait_until(lambda: serial(address, zone) == expected, f"{zone} at {address} has serial {expected}")


def zone(address: str, name: str = "dns") -> str:
    return HEAD.replace("2026112001", "1") + f"@ NS {name}\n{name} A {address}\n" + RECORDS


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    directory = tmp_path_factory.mktemp("replicas")
    ours, bind, nsd = own_address(), "127.0.0.1", own_address()
    key = directory / "transfer.key"
    key.write_text(KEY)
    (directory / "wrong.key").write_text(WRONG)
    (directory / "ours.zone").write_text(zone(ours))
    (directory / "bind.zone").write_text(zone(bind))
    arguments = (
        "netstack-dns", f"--zone=ours.test={directory}/ours.zone", f"--address={ours}", f"--tsig={key}",
        f"--listen=udp:{PORT}", f"--listen=tcp:{PORT}", f"--state={directory}/state", "--transfer=*=transfer",
        "--update=ours.test=transfer zone", f"--notify=ours.test={bind}:{PORT}%transfer,{nsd}:{PORT}%transfer",
        f"--secondary=bind.test={bind}:{PORT}%transfer", f"--secondary=nsd.test={nsd}:{PORT}%transfer",
    )  # fmt: skip
    zones = (
        KEY + f'zone "bind.test" {{ type primary; file "{directory}/bind.zone"; notify explicit;'
        f" allow-update {{ key transfer; }}; allow-transfer {{ key transfer; }};"
        f" also-notify {{ {ours} port {PORT} key transfer; }}; }};\n"
        f'zone "ours.test" {{ type secondary; file "{directory}/ours.copy"; masterfile-format text;'
        f" primaries {{ {ours} port {PORT} key transfer; }}; }};"
    )
    options = "recursion no; dnssec-validation no; notify-delay 0; serial-query-rate 100;"
    (directory / "nsd").mkdir()
    (directory / "nsd" / "nsd.zone").write_text(zone(nsd))
    with ExitStack() as stack:
        service = stack.enter_context(running(*twistd(*arguments), ready="serves 3 zones on tcp"))
        started = stack.enter_context(named(directory / "named", bind, options, zones))
        yield Net(ours, bind, nsd, directory, str(key), service, started)


@pytest.fixture
def nsd(net: Net) -> Iterator[Running]:
    zones = NSD.format(port=PORT, secret=SECRET, ours=net.ours)
    with dns_programs.nsd(net.directory / "nsd", net.nsd, zones, "verbosity: 2") as started:
        yield started


def update(net: Net, server: str, zone: str, *lines: str, key: str | None = None) -> str:
    """What nsupdate says; nothing when all went well."""
    lines = tuple(re.sub(r"^(\w+ \w+ \w+)(?= |$)", rf"\1.{zone}.", line) for line in lines)  # it knows whole names alone
    text = "\n".join((f"server {server} {PORT}", f"zone {zone}", *lines, "send", ""))
    done = subprocess.run(
        (need("nsupdate"), "-k", key or net.key), input=text, capture_output=True, text=True, timeout=20, check=False
    )
    return done.stdout + done.stderr


def records(written: str, of: str) -> list[str]:
    """The records in what dig or kdig writes, without the white space between fields, the order as it came."""
    lines = [" ".join(line.split()) for line in written.splitlines()]
    return [line for line in lines if of in line and not line.startswith(";") and " TSIG " not in line]


def test_dig_and_kdig_transfer_the_zone(net: Net) -> None:
    for program in (("dig", "-k", net.key), ("kdig", "-y", f"hmac-sha256:transfer:{SECRET}")):
        written = run(*program, f"@{net.ours}", "-p", str(PORT), "ours.test", "AXFR")
        found = records(written, "ours.test.")
        assert len(found) == 404, written
        assert found[0] == found[-1]
        assert sorted({line.split()[0] for line in found if " TXT " in line}) == sorted(
            f"h{number}.ours.test." for number in range(400)
        )
    refused = run("dig", f"@{net.ours}", "-p", str(PORT), "ours.test", "AXFR")
    assert "Transfer failed" in refused
    wrong = run("dig", f"@{net.ours}", "-p", str(PORT), "-k", f"{net.directory}/wrong.key", "ours.test", "AXFR")
    assert "tsig verify failure" in wrong or "BADSIG" in wrong


def test_updates_by_nsupdate_reach_bind(net: Net) -> None:
    settles(net, net.bind, "ours.test", first := serial(net.ours, "ours.test") or 0)
    assert update(net, net.ours, "ours.test", "update add www 300 A 10.1.1.1", "update delete h1") == ""
    settles(net, net.bind, "ours.test", first + 1)
    for server in (net.ours, net.bind):
        assert run("dig", "+short", f"@{server}", "-p", str(PORT), "www.ours.test") == "10.1.1.1\n"
        assert "NXDOMAIN" in run("dig", f"@{server}", "-p", str(PORT), "h1.ours.test", "TXT")
    log = "".join(net.named.lines)
    assert "IXFR" in log or "Transfer status: success" in log
    for program in (("dig", "-k", net.key), ("kdig", "-y", f"hmac-sha256:transfer:{SECRET}")):
        written = run(*program, f"@{net.ours}", "-p", str(PORT), "ours.test", f"IXFR={first}")
        found = records(written, "ours.test.")
        assert [line.split()[3] for line in found] == ["SOA", "SOA", "TXT", "SOA", "A", "SOA"], written


def test_prerequisites_and_rights_as_nsupdate_sees_them(net: Net) -> None:
    before = serial(net.ours, "ours.test")
    assert "NXRRSET" in update(net, net.ours, "ours.test", "prereq yxrrset h2 A", "update add bad 60 A 10.1.1.1")
    assert "YXDOMAIN" in update(net, net.ours, "ours.test", "prereq nxdomain h2", "update add bad 60 A 10.1.1.1")
    assert "NOTZONE" in update(net, net.ours, "ours.test", "update add bad.elsewhere.org. 60 A 10.1.1.1")
    settles(net, net.ours, "bind.test", serial(net.bind, "bind.test") or 0)
    assert "REFUSED" in update(net, net.ours, "bind.test", "update add bad 60 A 10.1.1.1")
    wrong = update(net, net.ours, "ours.test", "update add bad 60 A 10.1.1.1", key=f"{net.directory}/wrong.key")
    assert "BADSIG" in wrong
    assert serial(net.ours, "ours.test") == before
    assert (
        update(net, net.ours, "ours.test", "prereq yxrrset h2 TXT", "prereq nxdomain bad", "update add bad 60 A 10.1.1.1")
        == ""
    )
    assert serial(net.ours, "ours.test") == (before or 0) + 1


def test_we_are_a_secondary_of_bind(net: Net) -> None:
    settles(net, net.ours, "bind.test", first := serial(net.bind, "bind.test") or 0)
    assert update(net, net.bind, "bind.test", "update add www 300 A 10.1.1.2", "update delete h3") == ""
    settles(net, net.ours, "bind.test", first + 1)
    assert run("dig", "+short", f"@{net.ours}", "-p", str(PORT), "www.bind.test") == "10.1.1.2\n"
    assert "NXDOMAIN" in run("dig", f"@{net.ours}", "-p", str(PORT), "h3.bind.test", "TXT")
    net.service.wait_for(f"bind.test: serial {first + 1} by differences")
    ours, theirs = (
        sorted(records(run("dig", f"@{server}", "-p", str(PORT), "-k", net.key, "bind.test", "AXFR"), "bind.test."))
        for server in (net.ours, net.bind)
    )
    assert ours == theirs


def test_nsd_on_both_sides(net: Net, nsd: Running) -> None:
    settles(net, net.nsd, "ours.test", serial(net.ours, "ours.test") or 0)
    assert update(net, net.ours, "ours.test", "update add nsd 300 A 10.1.1.3") == ""
    settles(net, net.nsd, "ours.test", serial(net.ours, "ours.test") or 0)
    assert run("dig", "+short", f"@{net.nsd}", "-p", str(PORT), "nsd.ours.test") == "10.1.1.3\n"
    settles(net, net.ours, "nsd.test", 1)
    ours, theirs = (
        sorted(records(run("dig", f"@{server}", "-p", str(PORT), "-k", net.key, "nsd.test", "AXFR"), "nsd.test."))
        for server in (net.ours, net.nsd)
    )
    assert ours == theirs
    assert len(ours) == 404


def test_what_is_on_disk_holds_no_secret_and_is_ours_alone(net: Net) -> None:
    """Nor does the log."""
    files = [path for path in (net.directory / "state").rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"copy", "journal"}
    for path in files:
        assert SECRET.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
        assert path.stat().st_uid == os.getuid()
    assert not any(SECRET in line for line in net.service.lines)
