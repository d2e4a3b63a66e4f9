"""Signed zones that change, with other people's programs: nsupdate, BIND as a secondary, verifiers, delv; rollovers too."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.zone
import pytest

from netstack.dns.dnssec.signer import DENIALS
from tests.addresses import own_address
from tests.dns.dnssec.signed import ZONE, master_file
from tests.dns.dnssec.test_rollover import DAY, HOUR, Family
from tests.interop import dns_programs
from tests.interop.dns_programs import PORT, named
from tests.interop.programs import need
from tests.interop.test_dns_replicas import KEY, SECRET, serial
from tests.interop.test_dnssec_zones import run
from tests.processes import Running, running, twistd


@dataclass(frozen=True)
class Net:
    """Ours signs umass.edu and takes updates of it; BIND is its secondary."""

    ours: str
    bind: str
    unbound: str
    directory: Path
    service: Running

    def update(self, *lines: str) -> str:
        """What nsupdate says; nothing when all went well."""
        text = "\n".join((f"server {self.ours} {PORT}", "zone umass.edu", *lines, "send", ""))
        command = (need("nsupdate"), "-k", str(self.directory / "keys"))
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout + done.stderr

    def settles(self) -> None:
        """Wait until BIND has what we have."""
        self.service.wait_until(
            lambda: serial(self.bind, "umass.edu") == serial(self.ours, "umass.edu"), "BIND has our version"
        )

    def verified(self, split: bool = False) -> None:
        """Both servers' zones are the same, and the verifiers accept them."""
        zones = []
        for server in (self.ours, self.bind):
            file = self.directory / f"transferred-{server}"
            code, text = run("dig", f"@{server}", "-p", str(PORT), "-y", f"hmac-sha256:transfer:{SECRET}", "+onesoa",
                             "+nocomments", "+noidnout", "umass.edu", "AXFR")  # fmt: skip
            assert code == 0, text
            file.write_text(
                "".join(f"{line}\n" for line in text.splitlines() if " TSIG" not in line and "\tTSIG" not in line)
            )
            for command in (
                ("named-checkzone", "-q", "umass.edu", str(file)),
                ("dnssec-verify", *(() if split else ("-z",)), "-o", "umass.edu", str(file)),
                ("ldns-verify-zone", str(file)),
            ):
                assert run(*command)[0] == 0, run(*command)
            zones.append(dns.zone.from_text(file.read_text(), "umass.edu", relativize=False))
        assert zones[0] == zones[1]

    def validates(self, asked: str, expected: str) -> None:
        """Delv, which trusts the key that the server began with, says this."""
        (public,) = (self.directory / "first").iterdir()
        name, _, _, data = public.read_text().split(" ", 3)
        flags, protocol, algorithm, key = data.split(maxsplit=3)
        anchor = self.directory / "anchor"
        anchor.write_text(f'trust-anchors {{ {name} static-key {flags} {protocol} {algorithm} "{key.strip()}"; }};\n')
        for server in (self.ours, self.bind):
            _, written = run("delv", f"@{server}", "-p", str(PORT), "-a", str(anchor), "+root=umass.edu", *asked.split())
            assert expected in written, written

    def secure(self, asked: str, rcode: str = "NOERROR") -> None:
        """Unbound, which trusts the key that the server began with, says so."""
        query = dns.message.make_query(*asked.split(), want_dnssec=True)
        reply = dns.query.udp(query, self.unbound, port=PORT, timeout=10)
        assert (dns.rcode.to_text(reply.rcode()), bool(reply.flags & dns.flags.AD)) == (rcode, True), reply


@pytest.fixture(scope="module", params=DENIALS)
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    directory = tmp_path_factory.mktemp("changes")
    ours, bind, unbound = own_address(), "127.0.0.1", own_address()
    (directory / "keys").write_text(KEY)
    (directory / "zone").write_text(ZONE.replace("ADDRESS", ours))
    arguments = (
        "netstack-dns", f"--zone=umass.edu={directory}/zone", "--sign=umass.edu", f"--denial={request.param}",
        f"--address={ours}", f"--tsig={directory}/keys", f"--listen=udp:{PORT}", f"--listen=tcp:{PORT}",
        f"--state={directory}/state", "--transfer=*=transfer", "--update=umass.edu=transfer zone",
        f"--notify=umass.edu={bind}:{PORT}%transfer",
    )  # fmt: skip
    zones = KEY + (
        f'zone "umass.edu" {{ type secondary; file "{directory}/copy"; allow-transfer {{ key transfer; }};'
        f" primaries {{ {ours} port {PORT} key transfer; }}; }};"
    )
    options = "recursion no; dnssec-validation no; notify-delay 0; serial-query-rate 100;"
    with ExitStack() as stack:
        service = stack.enter_context(running(*twistd(*arguments), ready="serves 1 zones", count=2))
        (directory / "first").mkdir()
        for public in (directory / "state").rglob("K*.key"):
            (directory / "first" / public.name).write_text(public.read_text())
        stack.enter_context(named(directory / "named", bind, options, zones))
        (dsset,) = (directory / "state").rglob("dsset-umass.edu.")
        more = f'trust-anchor: "{dsset.read_text().strip()}"\nstub-zone:\n    name: "umass.edu"\n    stub-prime: no'
        more += "".join(f"\n    stub-addr: {server}@{PORT}" for server in (ours, bind))
        stack.enter_context(dns_programs.unbound(directory, unbound, more, "validator iterator"))
        made = Net(ours, bind, unbound, directory, service)
        made.settles()
        yield made


def test_updates_of_a_signed_zone(net: Net) -> None:
    net.verified()
    for lines in (
        ["update add new.umass.edu 300 A 10.2.0.1", "update add deep.er.umass.edu 300 TXT text"],
        ["update add sub.umass.edu 300 NS ns.sub.umass.edu", "update add ns.sub.umass.edu 300 A 10.2.0.2"],
        ["update delete new.umass.edu", "update add *.umass.edu 300 MX 10 mail.umass.edu"],
        ["update delete sub.umass.edu NS", "update delete mail.umass.edu A", "update delete deep.er.umass.edu"],
    ):
        assert net.update(*lines) == ""
        net.settles()
        net.verified()
    for asked, expected in (
        ("x.umass.edu MX", "; fully validated\nx.umass.edu."),
        ("mail.umass.edu A", "; negative response, fully validated"),
        ("er.umass.edu A", "; negative response, fully validated"),
        ("gaia.cs.umass.edu A", "; fully validated\ngaia.cs"),
    ):
        net.validates(asked, expected)
    net.secure("new1.umass.edu MX")
    net.secure("mail.umass.edu AAAA")
    net.secure("a.nowhere.gaia.cs.umass.edu A", "NXDOMAIN")
    assert "REFUSED" in net.update("update delete umass.edu DNSKEY")
    assert "REFUSED" in net.update("update add new.umass.edu 300 NSEC a.umass.edu A")


def test_a_rollover_begins_while_the_server_runs(net: Net) -> None:
    """By a file and SIGHUP, as documented: both keys are there, and the chain from the old one holds."""
    before = serial(net.ours, "umass.edu")
    (keys,) = (net.directory / "state").rglob("dsset-umass.edu.")
    (keys.parent / "roll-umass.edu.").write_text("csk\n")
    os.kill(net.service.process.pid, signal.SIGHUP)
    net.service.wait_until(lambda: serial(net.ours, "umass.edu") != before, "the zone has another serial")
    net.settles()
    query = dns.message.make_query("umass.edu", "DNSKEY")
    reply = dns.query.udp(query, net.ours, port=PORT, timeout=5)
    assert len(reply.answer[0]) == 2
    net.verified()
    net.validates("www.umass.edu A", "; fully validated\nwww.umass.edu.")
    net.secure("upper.case.umass.edu A")
    net.secure("umass.edu DNSKEY")
    net.secure("b.nowhere.gaia.cs.umass.edu A", "NXDOMAIN")


@pytest.mark.parametrize("split", [False, True], ids=["csk", "ksk+zsk"])
def test_verifiers_accept_every_step_of_a_rollover(split: bool, tmp_path: Path) -> None:
    """Snapshots of virtual days: each version that was served, as ldns sees it at its time."""
    net = Family(split)
    roles = ["zsk", "ksk"] if split else ["csk"]
    seen: set[str] = set()
    versions = 0
    for role in roles:
        net.roll(role)
        for hours in (*[0.5] * 9, *[5] * 14):
            net.pass_time(hours * HOUR, hours * HOUR)
            text = master_file(net.zone())
            if text in seen:
                continue
            seen.add(text)
            versions += 1
            file = tmp_path / "zone"
            file.write_text(text)
            wall = net.simulation.machine(net.child).wall()
            code, written = run("ldns-verify-zone", "-t", time.strftime("%Y%m%d%H%M%S", time.gmtime(wall)), str(file))
            assert code == 0, written
    assert versions >= 3 * len(roles), "published, active, removed"
    assert net.simulation.now > 3 * DAY
    assert sorted(net.state().values()) == sorted(["active", "removed"] * (2 if split else 1))
