"""A zone of a million names: compiled, opened, served and transferred, in memory that does not grow with it."""

import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import dns.message
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.authority import Authority
from netstack.dns.compiled import CompiledAnswers
from netstack.dns.metrics import ServerMetrics
from netstack.dns.source import Source
from netstack.dns.transfer import whole_zone
from netstack.kernel.disk import RealDisk

NAMES = 1_000_000
ORIGIN = "big.test"


def resident() -> int:
    """Octets of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def nobody() -> Any:
    raise AssertionError("nobody needs to know who asks")


@pytest.mark.timeout(1800)
def test_a_million_names(tmp_path: Path) -> None:
    with (tmp_path / "zone").open("w") as out:
        out.write("$TTL 1d\n@ SOA ns x 1 2h 1h 2w 1h\n@ NS ns\nns A 10.0.0.1\n")
        out.writelines(f"host{number} A {address(number)}\n" for number in range(NAMES))
    command = [sys.executable, "-m", "netstack.cli", "zone", "compile", ORIGIN, "zone", "-o", "big.nszone"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    before, began = resident(), time.monotonic()
    zone = Source(ORIGIN, RealDisk(tmp_path), "big.nszone").read().zone
    assert time.monotonic() - began < 10
    authority = Authority([zone])
    bypass = CompiledAnswers(authority, ServerMetrics(), "1", 1 << 20)
    rng = Random(1)
    found: Counter[Rcode] = Counter()
    for _ in range(50_000):
        number = rng.randrange(2 * NAMES)
        query = dns.message.make_query(f"host{number}.{ORIGIN}", "A", id=0).to_wire()
        reply = bypass.answer(query, nobody)
        assert reply is not None
        found[Rcode(reply[3] & 15)] += 1
        if number < NAMES:
            assert dns.message.from_wire(reply).answer[0][0].to_text() == address(number)
    assert set(found) == {Rcode.NOERROR, Rcode.NXDOMAIN}
    assert min(found.values()) > 20_000
    kinds: Counter[RdataType] = Counter(record.rdtype for record in whole_zone(zone))
    assert kinds == {RdataType.SOA: 2, RdataType.NS: 1, RdataType.A: NAMES + 1}
    assert resident() - before < 100 * 2**20
