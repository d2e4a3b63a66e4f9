"""A primary that is killed while updates come, and what is there afterwards."""

import os
import signal
from pathlib import Path
from threading import Event, Thread

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
import dns.zone

from netstack.dns.zone import Zone
from tests.addresses import own_address
from tests.processes import PATIENCE, Running, twistd

SECRET = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"
KEY = f'key "updates" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
RING = {dns.name.from_text("updates"): dns.tsig.Key("updates", SECRET)}
ZONE = "$TTL 2d\n@ SOA dns h 1 2h 1h 2w 1h\n@ NS dns\ndns A 10.0.0.1\n"
OFFSET = 15000
FLIGHT = 8
"""Updates that wait for their replies at the same time, each of another connection."""


class Updating:
    """Threads that add names, each the next number, until the server is gone."""

    def __init__(self, address: str, first: int) -> None:
        self.address = address
        self.acknowledged: set[int] = set()
        self.begun = Event()
        self.lost = Event()
        self._threads = [
            Thread(target=self._run, args=(range(first + each, 10_000_000, FLIGHT),), daemon=True) for each in range(FLIGHT)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have noticed that the server is gone."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _run(self, numbers: range) -> None:
        for number in numbers:
            update = dns.update.UpdateMessage("umass.edu", keyring=RING)
            update.add(f"n{number}", 60, "A", f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
            try:
                reply = dns.query.tcp(update, self.address, port=53 + OFFSET, timeout=30)
            except (OSError, EOFError, dns.exception.DNSException):
                self.lost.set()
                return
            assert reply.rcode() == dns.rcode.NOERROR, reply
            self.acknowledged.add(number)
            self.begun.set()


def transferred(address: str, signed: bool = False) -> tuple[int, set[int]]:
    """The zone's serial, and the numbers in it. A signed zone has its chain and signatures that hold, or this fails."""
    query = dns.message.make_query("umass.edu", "AXFR")
    query.use_tsig(RING)
    zone = dns.zone.Zone("umass.edu", relativize=False)
    dns.query.inbound_xfr(address, zone, query, port=53 + OFFSET, lifetime=PATIENCE)
    if signed:
        assert zone.origin is not None
        sets = (dns.rrset.from_rdata_list(name, each.ttl, list(each)) for name, each in zone.iterate_rdatasets())
        check(Zone(zone.origin, sets))
    numbers = {int(name.labels[0][1:]) for name in zone if name.labels[0].startswith(b"n")}
    return zone.get_soa().serial, numbers


def check(zone: Zone) -> None:
    """All signatures hold, all that must be signed is, and the chain is a circle of all names."""
    keys = zone.nodes[zone.origin].rrsets[dns.rdatatype.DNSKEY]
    chain = {}
    for name, node in zone.nodes.items():
        assert set(node.signatures) == set(node.rrsets) - {dns.rdatatype.RRSIG}
        for covers, signature in node.signatures.items():
            dns.dnssec.validate(node.rrsets[covers], signature, {zone.origin: keys})
        chain[name] = node.rrsets[dns.rdatatype.NSEC][0].next
    assert sorted(chain) == sorted(chain.values())


def killed_under_updates(directory: Path, times: int, signed: bool = False) -> tuple[int, int]:
    """Kill -9 again and again. An acknowledged update that is lost fails, and a serial that does not count the updates.

    How many updates were acknowledged, and how many were kept that nobody was told of.
    """
    address = own_address()
    (directory / "keys").write_text(KEY)
    (directory / "zone").write_text(ZONE)
    command = twistd(
        "netstack-dns", f"--address={address}", f"--port-offset={OFFSET}", f"--zone=umass.edu={directory}/zone",
        f"--state={directory}/state", f"--tsig={directory}/keys", "--update=umass.edu=updates zone",
        "--transfer=umass.edu=updates", *(("--sign=umass.edu",) if signed else ()),
    )  # fmt: skip
    known: set[int] = set()
    untold = 0
    for run in range(times + 1):
        server = Running(command, {**os.environ})
        server.wait_for("on tcp:", seconds=60)  # an interpreter on a machine that does much else
        serial, found = transferred(address, signed)
        assert known <= found, f"run {run}: {len(known - found)} acknowledged updates are lost"
        assert serial == len(found) + 1
        untold += len(found - known)
        known = found
        if run == times:
            assert server.end() in (0, -signal.SIGTERM)
            break
        client = Updating(address, max(known, default=0) + 1)
        assert client.begun.wait(PATIENCE), server.log
        client.lost.wait(0.013 * (run % 16))
        server.process.send_signal(signal.SIGKILL)
        server.end()
        client.join()
        known |= client.acknowledged
        assert not server.trouble(), "".join(server.lines)
    return len(known), untold
