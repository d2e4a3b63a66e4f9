"""A registrar that is killed while domains are registered, and what is there afterwards."""

import http.client
import json
import os
import signal
from pathlib import Path
from threading import Event, Thread

import dns.message
import dns.query
import dns.rdatatype

from tests.addresses import own_address
from tests.processes import PATIENCE, Running, running, twistd

OFFSET = 15500
FLIGHT = 4
"""Clients that register at the same time."""
KEY = 'key "registrar" { algorithm hmac-sha256; secret "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"; };\n'
ZONE = "$TTL 2d\n@ SOA ns h 1 2h 1h 2w 1h\n@ NS ns\nns A 10.0.0.1\n"


class Registering:
    """Threads that register names, each the next number, until the registrar is gone."""

    def __init__(self, address: str, first: int) -> None:
        self.address = address
        self.acknowledged: set[int] = set()
        self.begun = Event()
        self.trouble: list[object] = []
        self._threads = [
            Thread(target=self._run, args=(range(first + each, first + 100_000, FLIGHT),)) for each in range(FLIGHT)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have noticed that the registrar is gone."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert not self.trouble

    def _run(self, numbers: range) -> None:
        for number in numbers:
            wish = {"name": f"n{number}.com", "servers": ["ns.a.test", "ns.b.test"], "secret": "a secret of all"}
            client = http.client.HTTPConnection(self.address, 80 + OFFSET, timeout=20)
            try:
                client.request("POST", "/api/domains", json.dumps(wish), {"Content-Type": "application/json"})
                answer = client.getresponse()
                told = answer.read()
            except (OSError, http.client.HTTPException):
                return
            finally:
                client.close()
            if answer.status != 201:
                self.trouble.append((answer.status, told))
                return
            self.acknowledged.add(number)
            self.begun.set()


def known(registrar: str, registry: str, number: int) -> tuple[bool, bool]:
    """Whether the registrar knows a domain, and whether its top-level domain does."""
    client = http.client.HTTPConnection(registrar, 80 + OFFSET, timeout=20)
    client.request("GET", f"/rdap/domain/n{number}.com")
    found = client.getresponse().status == 200
    client.close()
    query = dns.message.make_query(f"n{number}.com", "NS")
    reply = dns.query.udp(query, registry, 10, 53 + OFFSET)
    return found, any(rrset.rdtype == dns.rdatatype.NS for rrset in reply.authority)


def killed_under_registrations(directory: Path, times: int) -> int:
    """Kill -9 again and again; fails where registrar and registry differ, or an acknowledged domain is lost. How many."""
    registry, registrar = own_address(), own_address()
    (directory / "keys").write_text(KEY)
    (directory / "zone").write_text(ZONE)
    common = (f"--port-offset={OFFSET}", f"--tsig={directory}/keys")
    tld = twistd(
        "netstack-dns", *common, f"--address={registry}", f"--zone=com={directory}/zone", f"--state={directory}/tld",
        "--update=com=registrar delegations",
    )  # fmt: skip
    command = twistd(
        "netstack-registrar", *common, f"--address={registrar}", f"--registry=com={registry}%registrar", "--plain",
        f"--state={directory}/state", "--client-changes=10000", "--no-access-log",
    )  # fmt: skip
    kept: set[int] = set()
    first = end = 0
    with running(*tld, ready="on tcp:"):
        for run in range(times + 1):
            server = Running(command, {**os.environ})
            server.wait_for("registers domains below", seconds=60)
            for number in range(first, end):
                assert agreed(server, registrar, registry, number) or number not in kept, f"run {run}: n{number}.com is lost"
            if run == times:
                assert all(known(registrar, registry, number) == (True, True) for number in kept)
                assert server.end() in (0, -signal.SIGTERM)
                break
            first = end
            registering = Registering(registrar, first)
            assert registering.begun.wait(PATIENCE), server.log
            for _ in range(run % 5):
                server.wait_a_little()
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(PATIENCE)
            registering.join()
            kept |= registering.acknowledged
            end = max(registering.acknowledged) + 2 * FLIGHT
    return len(kept)


def agreed(server: Running, registrar: str, registry: str, number: int) -> bool:
    """Whether a domain is registered, once both say the same; what was interrupted is being carried on."""

    def same() -> tuple[bool, bool] | None:
        here, there = known(registrar, registry, number)
        return (here, there) if here is there else None

    here, _ = server.wait_until(same, f"registrar and registry say the same of n{number}.com") or (False, False)
    return here
