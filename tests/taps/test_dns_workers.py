"""netstack-dns and -resolver with `--workers`: all answer alike, whatever is changed and whoever is killed."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update
import pytest

from tests.addresses import own_address
from tests.dns.killed import KEY, RING, ZONE, transferred
from tests.processes import Running, running, twistd
from tests.taps.test_workers import HEALTH, START, metrics, workers_of

OFFSET = 15000
PORT = 53 + OFFSET
WORKERS = 2
ASKED = 16
"""Questions from ports of their own: that they miss one of two workers has a chance of 1 in 30 000."""


@contextmanager
def server(directory: Path, address: str, *options: str) -> Iterator[Running]:
    (directory / "keys").write_text(KEY)
    command = twistd(
        "netstack-dns", f"--address={address}", f"--port-offset={OFFSET}", f"--state={directory}/state-{address}",
        f"--tsig={directory}/keys", "--transfer=*=updates", f"--workers={WORKERS}", f"--health={HEALTH}", *options,
    )  # fmt: skip
    with running(*command, ready="starting up") as process:
        process.wait_for("runs", WORKERS, START)
        yield process


@contextmanager
def primary(directory: Path, address: str) -> Iterator[Running]:
    (directory / "zone").write_text(ZONE)
    with server(directory, address, f"--zone=umass.edu={directory}/zone", "--update=umass.edu=updates zone") as process:
        yield process


def add(address: str, name: str, where: str, stream: bool = False) -> dns.rcode.Rcode:
    update = dns.update.UpdateMessage("umass.edu", keyring=RING)
    update.replace(name, 60, "A", where)
    ask = dns.query.tcp if stream else dns.query.udp
    return ask(update, address, port=PORT, timeout=20).rcode()


def seen(address: str, name: str, rdtype: str = "A") -> set[str]:
    """The answers of all workers."""
    query = dns.message.make_query(f"{name}.umass.edu", rdtype)
    found = set()
    for _ in range(ASKED):
        reply = dns.query.udp(query, address, port=PORT, timeout=20)
        found.add(" ".join(str(each) for rrset in reply.answer for each in rrset) or dns.rcode.to_text(reply.rcode()))
    return found


def test_an_acknowledged_update_is_everywhere(tmp_path: Path) -> None:
    address = own_address()
    with primary(tmp_path, address) as process:
        for number in range(1, 17):
            assert add(address, "www", f"10.0.1.{number}", stream=number % 4 == 0) == dns.rcode.NOERROR
            assert seen(address, "www") == {f"10.0.1.{number}"}
        assert {transferred(address)[0] for _ in range(ASKED)} == {17}
        counted = metrics(address)
        assert counted['netstack_dns_updates_total{rcode="NOERROR"}'] == 16
        asked = sum(value for name, value in counted.items() if name.startswith("netstack_dns_requests_total"))
        assert asked == 16 + 16 * ASKED + ASKED
        assert process.trouble() == []


def test_killed_workers_come_back_with_what_was_acknowledged(tmp_path: Path) -> None:
    """The owner or another: nothing acknowledged is lost, and none of them serves the old zone."""
    address = own_address()
    with primary(tmp_path, address) as process:
        for run in range(4):
            assert add(address, f"before{run}", "10.0.2.1") == dns.rcode.NOERROR
            os.kill(sorted(workers_of(process))[0 if run % 2 else -1], signal.SIGKILL)
            process.wait_for("starts again", run + 1)
            while (code := add(address, f"meanwhile{run}", "10.0.2.2")) != dns.rcode.NOERROR:
                assert code == dns.rcode.SERVFAIL  # no owner just now: said at once, and nothing is half done
            assert seen(address, f"meanwhile{run}") == {"10.0.2.2"}
            process.wait_for("runs", WORKERS + run + 1, START)
            for earlier in range(run + 1):
                assert seen(address, f"before{earlier}") == {"10.0.2.1"}
            serials = {transferred(address)[0] for _ in range(ASKED)}
            assert len(serials) == 1
        assert process.trouble() == []


def test_a_secondary_and_a_signed_zone(tmp_path: Path) -> None:
    one, two = own_address(), own_address()
    (tmp_path / "signed").write_text(ZONE)
    with primary(tmp_path, one):
        options = (f"--secondary=umass.edu={one}%updates", f"--zone=signed.edu={tmp_path}/signed", "--sign=signed.edu")
        with server(tmp_path, two, *options) as process:
            process.wait_for("by whole transfer")
            assert seen(two, "dns") == {"10.0.0.1"}
            assert add(one, "www", "10.0.3.1") == dns.rcode.NOERROR
            notify = dns.message.make_query("umass.edu", "SOA")
            notify.set_opcode(dns.opcode.NOTIFY)
            notify.use_tsig(RING)
            reply = dns.query.udp(notify, two, port=PORT, timeout=20)
            assert reply.rcode() == dns.rcode.NOERROR
            process.wait_for("by differences")
            assert seen(two, "www") == {"10.0.3.1"}
            query = dns.message.make_query("signed.edu", "DNSKEY", want_dnssec=True)
            keys = {str(dns.query.udp(query, two, port=PORT, timeout=20).answer) for _ in range(ASKED)}
            assert len(keys) == 1  # one signature, one set of keys


def test_cookies_of_one_worker_are_good_for_all(tmp_path: Path) -> None:
    address, client = own_address(), bytes(range(8))
    with primary(tmp_path, address), socket.socket(socket.AF_INET, socket.SOCK_DGRAM):

        def ask(cookie: bytes) -> bytes:
            option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)
            query = dns.message.make_query("dns.umass.edu", "A", options=[option])
            (given,) = dns.query.udp(query, address, port=PORT, timeout=20).options
            return bytes(given.to_wire())

        cookie = ask(client)
        assert {ask(cookie) for _ in range(ASKED)} == {cookie}
        assert metrics(address)['netstack_dns_bad_cookies_total{server="authoritative"}'] == 0


def test_resolvers_share_their_port(tmp_path: Path) -> None:
    address = own_address()
    (tmp_path / "zone").write_text(ZONE)
    with server(tmp_path, address, f"--zone=umass.edu={tmp_path}/zone"):
        resolver = own_address()
        command = twistd(
            "netstack-resolver", f"--address={resolver}", f"--port-offset={OFFSET}", f"--forward={address}", "--workers=2",
            f"--health={HEALTH}",
        )  # fmt: skip
        with running(*command, ready="starting up") as process:
            process.wait_for("runs", 2, START)
            assert seen(resolver, "dns") == {"10.0.0.1"}
            counted = metrics(resolver)
            served = 'netstack_dns_responses_total{rcode="NOERROR",server="resolver"}'
            assert counted[served] == ASKED


@pytest.mark.parametrize("what", ["cookie-secret"])
def test_a_file_that_is_not_there(what: str, tmp_path: Path) -> None:
    from twisted.python.usage import UsageError

    from netstack.taps.dns import Options

    (tmp_path / "zone").write_text(ZONE)
    with pytest.raises(UsageError, match=f"{what}: .*nothing: .*No such file"):
        Options().parseOptions([f"--zone=umass.edu={tmp_path}/zone", f"--{what}={tmp_path}/nothing"])


def test_a_file_read_again_is_everywhere(tmp_path: Path) -> None:
    address = own_address()
    (tmp_path / "zone").write_text(ZONE)
    with server(tmp_path, address, f"--zone=umass.edu={tmp_path}/zone") as process:
        before = workers_of(process)
        (tmp_path / "zone").write_text(ZONE.replace("h 1 ", "h 2 ") + "www A 10.0.4.1\n")
        process.process.send_signal(signal.SIGHUP)
        process.wait_for("loaded, serial 2")
        process.wait_a_little()
        assert seen(address, "www") == {"10.0.4.1"}
        assert workers_of(process) == before
