"""What an operator does to a resolver's cache, a bit at a time: look at it, write it to disk, forget a name or a tree."""

from collections.abc import Iterable, Iterator
from typing import Any

import dns.rdatatype
from dns.name import Name
from dns.rcode import Rcode
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netstack.dns.cache import ALL_TYPES, Cache, Entry, Key, Rank
from netstack.dns.dnssec.validator import Validator
from netstack.dns.master import canonical
from netstack.dns.paging import PIECE, Pages
from netstack.dns.recursor import Recursor
from netstack.kernel.machine import Machine

FILE = "cache.dump"
"""On the machine's disk; of workers but the first, `cache-N.dump`."""
WRITTEN = 0.01
"""Seconds that writing it takes in the simulation."""
_RANKS = {Rank.ADDITIONAL: "additional", Rank.ANSWER: "authanswer"}


class CacheControl:
    """One resolver's cache."""

    log = Logger()

    def __init__(self, machine: Machine, resolver: Recursor | Validator) -> None:
        self.machine = machine
        self.resolver = resolver
        self.pages: Pages[dict[str, Any]] = Pages()

    @property
    def cache(self) -> Cache:
        """The resolver's."""
        return self.resolver.algorithm.cache

    def entries(self) -> Iterator[dict[str, Any]]:
        """All that is kept now, in canonical order of names; what goes while they are asked for is left out."""
        now = self.machine.reactor.seconds()
        for key in sorted(self.cache.keys(), key=lambda key: (canonical(key[0]), key[1])):
            entry = self.cache.peek(key)
            if entry is not None:
                yield described(key, entry, now)

    async def write(self) -> int:
        """Write all to the disk, as text; how many entries."""
        number, lines, more, count = self.pages.begin(self.entries()), [HEAD], True, 0
        while more:
            piece, more = self.pages.take(number)
            count += len(piece)
            lines += (line for entry in piece for line in dumped(entry))
            await self._turn()
        data = "".join(f"{line}\n" for line in lines).encode()
        worker = self.machine.worker
        file = FILE if worker is None or worker.is_owner else f"cache-{worker.number}.dump"
        await self.machine.offload(lambda: self.machine.disk.write(file, data), cost=WRITTEN)
        self.log.info("{name}: {count} entries of the cache are in {file}", name=self.machine.name, count=count, file=file)
        return count

    async def forget(self, name: Name, tree: bool) -> int:
        """Forget a name, or it and all below, of whatever type, and that it failed; how many entries."""
        resolver, count = self.resolver, 0
        for keys in _pieces(self.cache.keys()):
            for key in keys:
                if _meant(key[0], name, tree) and self.cache.peek(key) is not None:
                    self.cache.forget(*key)
                    count += 1
            await self._turn()
        failures = resolver.algorithm.failures
        for question in [it for it in failures.questions() if _meant(it.name, name, tree)]:
            failures.ended(question)
        if isinstance(resolver, Validator):
            for question in [it for it in resolver.bad() if _meant(it.name, name, tree)]:
                resolver.forgive(question)
            for zone in [it for it in resolver.trust.reached() if _meant(it, name, tree)]:
                resolver.trust.forget_zone(zone)
        return count

    def _turn(self) -> "Deferred[None]":
        """The others' turn."""
        return deferLater(self.machine.reactor, 0)  # type: ignore[arg-type]


HEAD = "; Cache dump: remaining TTLs in seconds; what has expired is kept for want of better (RFC 8767)"


def described(key: Key, entry: Entry, now: float) -> dict[str, Any]:
    """An entry as JSON: `ttl` seconds left, below 0 where it has expired; of an absence, `records` is its SOA."""
    name, rdtype = key
    records = [] if entry.rrset is None else [rdata.to_text() for rdata in entry.rrset]
    return {
        "name": name.to_text(),
        "type": "ANY" if rdtype == ALL_TYPES else dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rdtype)),
        "ttl": int(entry.expires - now),
        "rank": _RANKS[entry.rank],
        "rcode": Rcode.to_text(entry.rcode),
        "negative": entry.negative,
        "owner": None if entry.rrset is None else entry.rrset.name.to_text(),
        "records": records,
        "proofs": len(entry.proof),
    }


def dumped(entry: dict[str, Any]) -> Iterator[str]:
    """The same as lines of text, in the manner of `rndc dumpdb -cache`."""
    stale = "; stale: " if entry["ttl"] <= 0 else ""
    yield f"; {entry['rank']}"
    if entry["negative"]:
        why = "$NXDOMAIN" if entry["rcode"] == "NXDOMAIN" else "$NXRRSET"
        yield f"{stale}{entry['name']} {entry['ttl']} \\-{entry['type']} ;-{why}"
        yield from (f"; {entry['owner']} SOA {record}" for record in entry["records"])
    else:
        yield from (f"{stale}{entry['name']} {entry['ttl']} IN {entry['type']} {record}" for record in entry["records"])


def _meant(found: Name, name: Name, tree: bool) -> bool:
    return found.is_subdomain(name) if tree else found == name


def _pieces(keys: list[Key]) -> Iterable[list[Key]]:
    return (keys[at : at + 4 * PIECE] for at in range(0, len(keys), 4 * PIECE))
