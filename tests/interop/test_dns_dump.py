"""Zones as we dump them, read by BIND's and NLnet Labs' tools, and what those write of them, read by us."""

import subprocess
import time
from pathlib import Path

import pytest

from netstack.dns.dnssec.signer import DENIALS
from netstack.dns.dump import lines
from netstack.dns.history import difference
from netstack.dns.zone import Zone
from tests.dns.dnssec.signed import signed_zone
from tests.interop.programs import need
from tests.interop.test_dns_side_by_side import ZONE

ZONES = {
    "plain": lambda: Zone.from_text("side.test", ZONE),
    **{denial: lambda denial=denial: signed_zone("umass.edu", denial=denial, wall=time.time()) for denial in DENIALS},
}


def run(*arguments: str) -> str:
    done = subprocess.run((need(arguments[0]), *arguments[1:]), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ZONES)
def test_others_read_what_we_dump_and_we_what_they_write(kind: str, tmp_path: Path) -> None:
    zone = ZONES[kind]()
    origin = zone.origin.to_text(omit_final_dot=True)
    file, theirs = tmp_path / "dump", tmp_path / "theirs"
    file.write_text("".join(f"{line}\n" for line in lines(zone)))
    assert run("named-checkzone", "-i", "local", origin, str(file)).endswith("OK\n")
    run("named-compilezone", "-i", "local", "-s", "relative", "-o", str(theirs), origin, str(file))
    read = {
        "named-compilezone": theirs.read_text(),
        "ldns-read-zone": run("ldns-read-zone", "-u", "HTTPS", "-u", "SVCB", str(file)),
    }
    for program, text in read.items():
        again = Zone.from_text(origin, text)
        found = difference(zone, again)
        assert (found.deleted, found.added) == ((), ()), program
        assert again.soa == zone.soa
