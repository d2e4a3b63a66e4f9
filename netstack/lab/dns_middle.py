"""What can somebody on the wire do who rewrites the answers that pass? With and without DNSSEC.

He stands on the access link of the resolver's site, or between the client and its resolver, and needs to guess nothing. He
puts an address of his own into every answer for one name; or takes the signatures away as well; or denies that the zone is
signed at all. Then a resolver that forwards all questions to its provider's, without DNSSEC: over UDP, and over TLS
(RFC 7858), where he can read nothing, and where a server in the provider's place cannot show the provider's name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dns.edns
from dns.message import Message
from dns.name import from_text
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset
from dns.rrset import from_text as records

from netstack.dns.dnssec.verify import BOGUS, DENIAL_MISSING, SIGNATURE_MISSING
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.forgers import FORGED
from netstack.world import loader
from netstack.world.addresses import addresses
from netstack.world.session import Session
from netstack.world.simulated.forging import Rewrite, of_replies, on_the_wire

ZONE, NAME, RESOLVER, CLIENT = "umass.edu", "gaia.cs.umass.edu", "dns.nyu.edu", "cse.nyu.edu"
ADDRESS, SIGNED = "the address", "the address, without signatures"
DENIED = "the address, without signatures, no DS records in the zone above"


@dataclass(frozen=True, slots=True)
class Case:
    """What is rewritten, where, in which world, and what becomes of it."""

    title: str
    rewritten: str
    fooled: bool
    validating: bool = True
    zone_signed: bool = True
    last_mile: bool = False
    code: int = -1
    """Of the extended error (RFC 8914) that the client gets."""

    def claims(self, fooled: int | None, code: int | None, bogus: int | None) -> list[Claim]:
        """The client's view, and where the resolver saw through it, what it said and counted."""
        where = f"{self.title}: {self.rewritten} rewritten"
        found = [Claim(f"clients that are fooled, {where}", int(self.fooled), fooled)]
        if self.code >= 0:
            note = "the client gets SERVFAIL"
            found.append(Claim(f"code of the extended error (RFC 8914), {where}", self.code, code, note=note))
            found.append(Claim(f"answers counted as bogus, {where}", 1, bogus))
        return found


CASES = (
    Case("resolver without validation", ADDRESS, True, validating=False),
    Case("resolver validates", ADDRESS, False, code=BOGUS),
    Case("resolver validates", SIGNED, False, code=SIGNATURE_MISSING),
    Case("resolver validates", DENIED, False, code=DENIAL_MISSING),
    Case("resolver validates, but the zone is not signed", ADDRESS, True, zone_signed=False),
    Case("resolver validates, but it is rewritten between it and the client", ADDRESS, True, last_mile=True),
)
PROVIDER, EVIL = "resolver.provider.edu", "resolver.evil.edu"


@dataclass(frozen=True, slots=True)
class Forwarding:
    """How questions go to the provider's resolver, and what becomes of one."""

    title: str
    forward: str
    """Of the resolver; {evil} is the address of his server."""
    truth: bool
    fooled: bool

    def claims(self, truth: int | None, fooled: int | None) -> list[Claim]:
        """The client's view."""
        return [
            Claim(f"clients that get the true address, {self.title}", int(self.truth), truth),
            Claim(f"clients that are fooled, {self.title}", int(self.fooled), fooled),
        ]


FORWARDINGS = (
    Forwarding("resolver forwards over UDP", PROVIDER, False, True),
    Forwarding("resolver forwards over TLS, strict", f"tls://{PROVIDER}", True, False),
    Forwarding(
        "resolver forwards over TLS, strict, to a server in the provider's place", f"tls://{{evil}}#{PROVIDER}", False, False
    ),
)
NOT_SHOWN = (
    "a man in the middle who rewrites plain streams: he needs no more than for datagrams, and is met the same way.",
)


def promised() -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [
        *(claim for case in CASES for claim in case.claims(None, None, None)),
        *(claim for case in FORWARDINGS for claim in case.claims(None, None)),
    ]


def measure(bench: Bench) -> Iterator[Claim]:
    """One look-up of a client for each."""
    for case in CASES:
        with _world(bench, case) as internet:
            internet.resolve("apricot.nyu.edu", host=CLIENT)  # the keys of edu are known by now
            network: Any = internet.running.links
            site = network.networks["nyu"]
            on_the_wire(site.lan if case.last_mile else site.down, rewriter(case.rewritten))
            before = _bogus(internet)
            message: Message = internet.ask(CLIENT, _query, internet.address(RESOLVER))
            fooled = [rdata.address for rrset in message.answer for rdata in rrset if rrset.rdtype == RdataType.A]
            codes = [int(option.code) for option in message.options if isinstance(option, dns.edns.EDEOption)]
            failed = message.rcode() == Rcode.SERVFAIL
            yield from case.claims(
                int(fooled == [FORGED]), codes[0] if codes and failed else None, _bogus(internet) - before
            )

    for forwarding in FORWARDINGS:
        with _forwarding(bench, forwarding) as internet:
            network = internet.running.links
            on_the_wire(network.networks["nyu"].down, rewriter(ADDRESS))
            message = internet.ask(CLIENT, _query, internet.address(RESOLVER))
            found = [rdata.address for rrset in message.answer for rdata in rrset if rrset.rdtype == RdataType.A]
            yield from forwarding.claims(int(found == [internet.address(NAME)]), int(found == [FORGED]))


def rewriter(kind: str) -> Rewrite:
    """What somebody on the wire does to each datagram."""

    def change(message: Message) -> None:
        mine = records(from_text(NAME), 86400, "IN", "A", FORGED)
        message.answer = [mine if _is(rrset, NAME, RdataType.A) else rrset for rrset in message.answer]
        dropped = {ADDRESS: (), SIGNED: (RdataType.RRSIG,), DENIED: (RdataType.RRSIG, RdataType.DS)}[kind]
        for section in (message.answer, message.authority):
            section[:] = [it for it in section if it.rdtype not in dropped or not it.name.is_subdomain(from_text(ZONE))]

    return of_replies(change)


def _is(rrset: RRset, name: str, rdtype: RdataType) -> bool:
    return rrset.rdtype == rdtype and rrset.name == from_text(name)


def _world(bench: Bench, case: Case) -> Session:
    return bench.changed(
        "small",
        {
            "profile": "hardened" if case.validating else "textbook",
            "zones": {} if case.zone_signed else {ZONE: {"signed": False}},
        },
        "middle",
    )


def _forwarding(bench: Bench, case: Forwarding) -> Session:
    """The provider's resolver, and one of somebody else's, which answers all that it is asked as well."""
    forward = ""

    def world() -> Mapping[str, Any]:
        return {
            "sites": {"provider": {"resolver": PROVIDER}, "elsewhere": {"resolver": EVIL}},
            "hosts": {
                PROVIDER: {"site": "provider", "services": {"resolver": {}}},
                EVIL: {"site": "elsewhere", "services": {"resolver": {}}},
                RESOLVER: {"site": "nyu", "services": {"resolver": {"forward": [forward] if forward else []}}},
            },
        }

    forward = case.forward.format(evil=addresses(loader.extended("small", world(), "forwarding"), "simulated").first(EVIL))
    return bench.changed("small", world(), "forwarding")


async def _query(machine: Any, server: str) -> Message:
    from netstack.dns.client import query

    message: Message = await query(machine, (server, machine.port(53)), NAME, "A", patience=20.0, attempts=1)
    return message


def _bogus(internet: Session) -> int:
    service: Any = next(it.service for it in internet.running.hosts[RESOLVER].services if it.plugin == "resolver")
    return int(service.recursor.counts.bogus)
