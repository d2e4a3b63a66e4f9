"""netstack-dns and -resolver with `--workers`: all answer alike, whatever is changed and whoever is killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from tests.processes import Running, running, twistd, wait_until
from tests.taps.test_workers import HEALTH, START, metrics, workers_of

OFFSET = 15000
PORT = 53 + OFFSET
WORKERS = 2
ZONES = {"umass.edu": "zone", "files.edu": "file", "signed.edu": "signed"}
pytestmark = pytest.mark.xdist_group("dns workers")
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
    """umass.edu takes updates, files.edu is a file, signed.edu is signed."""
    for name in ("zone", "file", "signed"):
        (directory / name).write_text(ZONE)
    options = [f"--zone={origin}={directory}/{name}" for origin, name in ZONES.items()]
    with server(directory, address, *options, "--update=umass.edu=updates zone", "--sign=signed.edu") as process:
        yield process


@dataclass(frozen=True)
class Shared:
    """A server that several tests ask and change."""

    directory: Path
    address: str
    process: Running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    directory, address = tmp_path_factory.mktemp("shared"), own_address()
    with primary(directory, address) as process:
        yield Shared(directory, address, process)


def add(address: str, name: str, where: str, stream: bool = False) -> dns.rcode.Rcode:
    update = dns.update.UpdateMessage("umass.edu", keyring=RING)
    update.replace(name, 60, "A", where)
    ask = dns.query.tcp if stream else dns.query.udp
    return ask(update, address, port=PORT, timeout=20).rcode()


def seen(address: str, name: str, origin: str = "umass.edu") -> set[str]:
    """The answers of all workers."""
    query = dns.message.make_query(f"{name}.{origin}", "A")
    found = set()
    for _ in range(ASKED):
        reply = dns.query.udp(query, address, port=PORT, timeout=20)
        found.add(" ".join(str(each) for rrset in reply.answer for each in rrset) or dns.rcode.to_text(reply.rcode()))
    return found


def until_seen(address: str, name: str, origin: str, answer: str) -> None:
    """Until all workers have heard of a change that one of them has logged; and then none of them falls back."""
    wait_until(lambda: seen(address, name, origin) == {answer}, f"all workers say {answer} of {name}.{origin}")
    assert seen(address, name, origin) == {answer}


def asked_of(address: str) -> float:
    return sum(value for name, value in metrics(address).items() if name.startswith("netstack_dns_requests_total"))


def test_an_acknowledged_update_is_everywhere(shared: Shared) -> None:
    address = shared.address
    serial, before = transferred(address)[0], asked_of(address)
    for number in range(1, 13):
        assert add(address, "www", f"10.0.1.{number}", stream=number % 4 == 0) == dns.rcode.NOERROR
        assert seen(address, "www") == {f"10.0.1.{number}"}
    assert {transferred(address)[0] for _ in range(ASKED)} == {serial + 12}
    assert metrics(address)['netstack_dns_updates_total{rcode="NOERROR"}'] == 12
    assert asked_of(address) - before == 12 + 12 * ASKED + ASKED
    assert shared.process.trouble() == []


def test_killed_workers_come_back_with_what_was_acknowledged(tmp_path: Path) -> None:
    """The owner or another: nothing acknowledged is lost, and none of them serves the old zone."""
    address = own_address()
    with primary(tmp_path, address) as process:
        for run in range(2):
            assert add(address, f"before{run}", "10.0.2.1") == dns.rcode.NOERROR
            os.kill(sorted(workers_of(process))[0 if run % 2 else -1], signal.SIGKILL)
            process.wait_for("starts again", run + 1)
            name = f"meanwhile{run}"

            def done(name: str = name) -> bool:
                code = add(address, name, "10.0.2.2")
                assert code in (
                    dns.rcode.NOERROR,
                    dns.rcode.SERVFAIL,
                )  # no owner just now: said at once
                return code == dns.rcode.NOERROR

            process.wait_until(done, "an owner of the zone takes the update")
            assert seen(address, name) == {"10.0.2.2"}
            process.wait_for("runs", WORKERS + run + 1, START)
            for earlier in range(run + 1):
                assert seen(address, f"before{earlier}") == {"10.0.2.1"}
            serials = {transferred(address)[0] for _ in range(ASKED)}
            assert len(serials) == 1
        assert process.trouble() == []


def test_signatures_are_those_of_one_worker(shared: Shared) -> None:
    query = dns.message.make_query("signed.edu", "DNSKEY", want_dnssec=True)
    keys = {str(dns.query.udp(query, shared.address, port=PORT, timeout=20).answer) for _ in range(ASKED)}
    assert len(keys) == 1
    assert "RRSIG" in keys.pop()


def test_a_file_read_again_is_everywhere(shared: Shared) -> None:
    before = workers_of(shared.process)
    (shared.directory / "file").write_text(ZONE.replace("h 1 ", "h 2 ") + "www A 10.0.4.1\n")
    shared.process.process.send_signal(signal.SIGHUP)
    shared.process.wait_for("files.edu: loaded, serial 2")
    until_seen(shared.address, "www", "files.edu", "10.0.4.1")
    assert workers_of(shared.process) == before


def test_a_secondary_hears_of_changes_through_any_worker(shared: Shared, tmp_path: Path) -> None:
    address = own_address()
    with server(tmp_path, address, f"--secondary=umass.edu={shared.address}%updates") as process:
        process.wait_for("by whole transfer")
        assert seen(address, "dns") == {"10.0.0.1"}
        assert add(shared.address, "new", "10.0.3.1") == dns.rcode.NOERROR
        notify = dns.message.make_query("umass.edu", "SOA")
        notify.set_opcode(dns.opcode.NOTIFY)
        notify.use_tsig(RING)
        assert dns.query.udp(notify, address, port=PORT, timeout=20).rcode() == dns.rcode.NOERROR
        process.wait_for("by differences")
        until_seen(address, "new", "umass.edu", "10.0.3.1")


def test_cookies_of_one_worker_are_good_for_all(shared: Shared) -> None:
    client = bytes(range(8))

    def ask(cookie: bytes) -> bytes:
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)
        query = dns.message.make_query("dns.umass.edu", "A", options=[option])
        (given,) = dns.query.udp(query, shared.address, port=PORT, timeout=20).options
        return bytes(given.to_wire())

    cookie = ask(client)
    assert {ask(cookie) for _ in range(ASKED)} == {cookie}
    assert metrics(shared.address)['netstack_dns_bad_cookies_total{server="authoritative"}'] == 0


def test_resolvers_share_their_port(shared: Shared) -> None:
    resolver = own_address()
    command = twistd(
        "netstack-resolver", f"--address={resolver}", f"--port-offset={OFFSET}", f"--forward={shared.address}",
        "--workers=2", f"--health={HEALTH}",
    )  # fmt: skip
    with running(*command, ready="starting up") as process:
        process.wait_for("runs", 2, START)
        assert seen(resolver, "dns") == {"10.0.0.1"}
        assert metrics(resolver)['netstack_dns_responses_total{rcode="NOERROR",server="resolver"}'] == ASKED


@pytest.mark.parametrize("what", ["cookie-secret"])
def test_a_file_that_is_not_there(what: str, tmp_path: Path) -> None:
    from twisted.python.usage import UsageError

    from netstack.taps.dns import Options

    (tmp_path / "zone").write_text(ZONE)
    with pytest.raises(UsageError, match=f"{what}: .*nothing: .*No such file"):
        Options().parseOptions([f"--zone=umass.edu={tmp_path}/zone", f"--{what}={tmp_path}/nothing"])
