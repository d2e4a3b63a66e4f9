"""CPU per DNS reply of the authoritative server, without sockets: kept, made, guarded, signed, by dnspython."""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import dns.edns
import dns.message
import dns.name

from netstack.dns.authority import Authority
from netstack.dns.compiled import CompiledAnswers
from netstack.dns.dnssec.signer import Denial
from netstack.dns.guard import Guard
from netstack.dns.limits import ServerLimits
from netstack.dns.masterfile import MasterFile
from netstack.dns.metrics import ServerMetrics
from netstack.dns.octets import octets_of
from netstack.dns.passing import guarded_bypass
from netstack.dns.stored import StoredZone
from netstack.dns.zone import Zone
from netstack.dns.zonefile import Compiler
from netstack.sansio import Now
from tests.dns.dnssec.signed import signed_zone
from tests.dns.test_stored import Octets

ORIGIN = "bench.test"
REST = (
    "sub NS dns.sub\nsub NS ns2.sub\ndns.sub A 10.0.0.5\nns2.sub A 10.0.0.6\n@ MX 5 host1\nalias CNAME host1\n"
    "*.wild A 10.0.0.1\n"
)


def text(names: int) -> str:
    hosts = "".join(f"host{n} A 10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}\n" for n in range(names))
    return f"$TTL 1d\n@ SOA ns hostmaster 1 2h 1h 2w 1h\n@ NS ns\nns A 127.0.0.1\n{hosts}{REST}"


def query(name: str, rdtype: str = "A", cookie: bytes | None = None, **more: Any) -> bytes:
    if cookie is not None:
        more |= {"use_edns": 0, "options": [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)]}
    return dns.message.make_query(name, rdtype, **more).to_wire()


def _plainly(authority: Authority, data: bytes, _: object) -> object:
    return authority.answer(data, False)


def source() -> tuple[str, int]:
    return "127.0.0.1", 1


def measure(label: str, answer: Callable[[bytes, Any], object], queries: list[bytes]) -> None:
    """Each query once; microseconds for each."""
    began = time.process_time()
    for data in queries:
        answer(data, source)
    print(f"{label:44}{(time.process_time() - began) / len(queries) * 1e6:8.2f}", flush=True)


def compiled(lines: Iterable[str]) -> StoredZone:
    name = dns.name.from_text(ORIGIN)
    compiler = Compiler(octets_of(name))
    for record in MasterFile(name).records(lines):
        compiler.add(record)
    data = b"".join(compiler.chunks())
    return StoredZone(name, Octets(data), len(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=10_000)
    count = parser.parse_args().names
    zone = Zone.from_text(ORIGIN, text(count))
    hosts = [query(f"host{n}.{ORIGIN}") for n in range(count)]

    def bypass(served: Zone, limit: int = 64 << 20, limits: Mapping[str, Any] = MappingProxyType({})) -> Any:
        inner = CompiledAnswers(Authority([served]), ServerMetrics(), "1", limit)
        guard = Guard(ServerLimits(**limits), "on", lambda: bytes(16))
        return guarded_bypass(inner, guard, lambda: Now(time.monotonic(), time.time()))

    print(f"{'':44}{'us':>8}")
    kept = bypass(zone)
    measure("made: answer, then kept", kept.answer, hosts)
    measure("kept", kept.answer, hosts)
    cookies = [query(f"host{n}.{ORIGIN}", cookie=b"12345678") for n in range(count)]
    for data in cookies:
        kept.answer(data, source)
    measure("kept, a cookie that came before", kept.answer, cookies)
    measure(
        "kept, cookies that did not",
        kept.answer,
        [query(f"host{n}.{ORIGIN}", cookie=n.to_bytes(8, "big")) for n in range(min(count, 5000))],
    )
    for label, rates in (("clients", {"client_rate": 1e9}), ("equal replies", {"response_rate": 1e9})):
        limited = bypass(zone, limits=rates)
        for data in hosts:
            limited.answer(data, source)
        measure(f"kept, under a limit of {label}", limited.answer, hosts)
    made = bypass(zone, 1)
    for label, name, rdtype in (
        ("answer", "host{}", "A"), ("wildcard", "x{}.wild", "A"), ("no data", "host{}", "AAAA"), ("NXDOMAIN", "x{}", "A"),
        ("referral, two servers with glue", "x{}.sub", "A"),
    ):  # fmt: skip
        measure(f"made: {label}", made.answer, [query(f"{name.format(n)}.{ORIGIN}", rdtype) for n in range(2000)])
    for label, name, rdtype in (("alias", "alias.", "A"), ("MX with an address", "", "MX")):
        measure(
            f"made: {label}",
            made.answer,
            [query(f"{name}{ORIGIN}", rdtype, use_edns=0, payload=n) for n in range(1000, 3000)],
        )
    stored = bypass(compiled(text(count).splitlines(keepends=True)), 1)
    measure("made, compiled zone in memory: answer", stored.answer, hosts)
    plain = Authority([zone])
    measure("dnspython: answer", lambda data, _: plain.answer(data, False), hosts[:2000])
    denials: tuple[Denial, ...] = ("nsec", "nsec3")
    for denial in denials:
        signed = signed_zone("example.", denial=denial)
        first = next(each for each, node in signed.nodes.items() if each != signed.origin and node.cut is None)
        short, long = bypass(signed, 1), Authority([signed])
        there = [query(str(first), use_edns=0, want_dnssec=True, payload=n) for n in range(1232, 2232)]
        absent = [query(f"x{n}.example.", use_edns=0, want_dnssec=True) for n in range(1000)]
        for label, asked in (("answer", there), ("NXDOMAIN", absent)):
            measure(f"made, {denial}, DO: {label}", short.answer, asked)
            measure(f"dnspython, {denial}, DO: {label}", partial(_plainly, long), asked)


if __name__ == "__main__":
    main()
