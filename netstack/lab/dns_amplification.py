"""How many octets, queries or signatures does one of an attacker's cost others? Amplification, with and without defences.

A query in the victim's name makes a server send its reply to the victim: octets that reach the victim, headers included, for
each one sent. A resolver can be made to ask others (NXNSAttack, chains of aliases) or to verify signatures (KeyTrap).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import dns.edns
from dns.message import make_query
from dns.name import from_text

from netstack.dns.limits import ResolverLimits
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session
from netstack.world.simulated.forging import Forger
from netstack.world.simulated.udp import HEADERS

SERVER, EVIL, WICKED, VICTIM = "dns.umass.edu", "dns.evil.edu", "dns.wicked.edu", "victim.evil.edu"
RESOLVER, CLIENT = "dns.nyu.edu", "cse.nyu.edu"
ZONE = "umass.edu"
STRINGS = {"big": 4, "huge": 16}
"""TXT records: so many strings of STRING octets."""
STRING = 250
PAYLOAD = 4096
"""What the attacker says that the victim takes."""
HEADER, OPT, COOKIE = 12, 11, 4 + 24
RECORD = 12
"""Octets of a record before its data, its name compressed."""
SIGNATURE = 18 + 11 + 64
"""Data of an RRSIG of umass.edu by ECDSA P-256."""
KEY = 4 + 64
RATE, SECONDS, EACH = 10, 20, 100
"""Limit of equal replies in a second; the flood's length, and its queries in a second."""


def query_octets(name: str, cookie: int = 0) -> int:
    """Of a query with EDNS(0)."""
    return HEADER + len(name) + 2 + 4 + OPT + cookie


def reply_octets(name: str, *data: int, cookie: int = 0) -> int:
    """Of a reply with records whose data are so long."""
    return query_octets(name, cookie) + sum(RECORD + octets for octets in data)


@dataclass(frozen=True, slots=True)
class Reflection:
    """A query in the victim's name, and by arithmetic what it brings about."""

    title: str
    name: str
    rdtype: str
    reply: int
    """Octets of the reply."""
    dnssec: bool = False
    cookie: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    """Of the server."""
    note: str = ""

    @property
    def query(self) -> bytes:
        """The attacker's."""
        cookie: list[dns.edns.Option] = []
        if self.cookie:
            cookie = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, bytes(8))]
        message = make_query(
            self.name, self.rdtype, use_edns=0, payload=PAYLOAD, want_dnssec=self.dnssec, options=cookie, id=1, flags=0
        )
        return bytes(message.to_wire())

    def claim(self, measured: float | None) -> Claim:
        """The factor of one query."""
        model = (self.reply + HEADERS) / (query_octets(self.name, 12 if self.cookie else 0) + HEADERS)
        return Claim(f"octets at the victim for one sent: {self.title}", model, measured, 0.01, note=self.note)


def _txt(name: str) -> int:
    return reply_octets(f"{name}.{ZONE}", STRINGS[name] * (STRING + 1))


LARGE = {"limits": {"udp-payload": PAYLOAD}}
SOA, NS, NSEC = 6 + 13 + 20, 6, 24
EVERYTHING = reply_octets(ZONE, SOA, SIGNATURE, NS, SIGNATURE, KEY, SIGNATURE, NSEC, SIGNATURE)
REFLECTIONS = (
    Reflection("TXT of 4 KiB, messages up to 4096", f"huge.{ZONE}", "TXT", _txt("huge"), options=LARGE),
    Reflection("TXT of 4 KiB, messages up to 1232 (the default): TC", f"huge.{ZONE}", "TXT", query_octets(f"huge.{ZONE}")),
    Reflection("TXT of 1 KiB, which fits in 1232", f"big.{ZONE}", "TXT", _txt("big")),
    Reflection("DNSKEY of a signed zone, with DO", ZONE, "DNSKEY", reply_octets(ZONE, KEY, SIGNATURE), True),
    Reflection(
        "ANY of a signed zone, with DO: one RRset (RFC 8482)",
        ZONE,
        "ANY",
        reply_octets(ZONE, SOA, SIGNATURE),
        True,
        note=f"a server that gives all its records would send some {EVERYTHING} octets:"
        f" {(EVERYTHING + HEADERS) / (query_octets(ZONE) + HEADERS):.1f}",
    ),
    Reflection(
        "TXT of 1 KiB with a cookie, server wants its own (BADCOOKIE)",
        f"big.{ZONE}",
        "TXT",
        query_octets(f"big.{ZONE}", COOKIE),
        cookie=True,
        options={"cookies": "required"},
    ),
    Reflection(
        "the same, but the attacker sends no cookie at all",
        f"big.{ZONE}",
        "TXT",
        _txt("big"),
        options={"cookies": "required"},
        note="clients without cookies are served as before (RFC 7873 §5.2.3): cookies alone end no amplification",
    ),
)
FLOODS = ((0, 2), (RATE, 2), (RATE, 1))
"""(limit of equal replies in a second, of those held back one in so many is sent with TC)."""


def _flood(rate: int, slip: int, measured: float | None) -> Claim:
    """The first replies come from a full bucket; who goes on is in debt, so that no later one does."""
    name, queries = f"big.{ZONE}", SECONDS * EACH
    whole = rate or queries
    cut = (queries - whole) // slip if rate else 0
    octets = whole * (_txt("big") + HEADERS) + cut * (query_octets(name) + HEADERS)
    limit = f"at most {rate} equal replies/s, slip {slip}" if rate else "no limit of replies"
    title = f"octets at the victim for one sent: {queries} queries in {SECONDS} s for 1 KiB, {limit}"
    return Claim(title, octets / (queries * (query_octets(name) + HEADERS)), measured, 0.03)


NAMES, CHAIN = 50, 40
"""Name servers without addresses in one delegation; aliases in a row."""
LOOSE = {"glueless": 1000, "hosts": 1000, "queries": 1000, "aliases": 1000, "deadline": 60.0}
_LIMITS = ResolverLimits()


def _delegation(bounded: bool, measured: int | None) -> Claim:
    model = _LIMITS.glueless if bounded else NAMES
    how = "the resolver's limits" if bounded else "no limits"
    title = f"queries at the victim's server for one: delegation to {NAMES} of its names (NXNSAttack), {how}"
    return Claim(title, model, measured, unit="queries")


def _chain(bounded: bool, measured: int | None) -> Claim:
    model = _LIMITS.aliases + 1 if bounded else CHAIN + 1
    how = "the resolver's limits" if bounded else "no limits"
    title = f"queries for one: {CHAIN} aliases in a row, from one zone to the other and back, {how}"
    return Claim(title, model, measured, unit="queries")


KEYS, SIGNATURES = 100, 100


def _signatures(measured: int | None) -> Claim:
    from netstack.dns.dnssec.verify import KEYS_PER_TAG
    from netstack.dns.dnssec.verify import SIGNATURES as LOOKED_AT

    note = f"without a bound {KEYS * SIGNATURES}; all that one question may cost is 48 signatures"
    title = f"signatures verified for one RRset with {SIGNATURES} signatures and {KEYS} keys of one tag (KeyTrap)"
    return Claim(title, KEYS_PER_TAG * LOOKED_AT, measured, note=note)


def promised() -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [
        *(it.claim(None) for it in REFLECTIONS),
        *(_flood(rate, slip, None) for rate, slip in FLOODS),
        *(made(bounded, None) for made in (_delegation, _chain) for bounded in (False, True)),
        _signatures(None),
    ]


def measure(bench: Bench) -> Iterator[Claim]:
    """Octets by the counters of the victim's access link; queries by the journal."""
    for reflection in REFLECTIONS:
        with _world(bench, reflection.options) as internet:
            yield reflection.claim(_reflected(internet, [(0.0, reflection.query)]))
    query = REFLECTIONS[2].query
    for rate, slip in FLOODS:
        limits = {"limits": {"response-rate": float(rate), "response-slip": slip}}
        with _world(bench, limits) as internet:
            flood = [(number / EACH, query) for number in range(SECONDS * EACH)]
            yield _flood(rate, slip, _reflected(internet, flood))
    for bounded in (False, True):
        with _world(bench, {}, {} if bounded else LOOSE) as internet:
            yield _delegation(bounded, _asked(internet, "one.sub.evil.edu", SERVER))
    for bounded in (False, True):
        with _world(bench, {}, {} if bounded else LOOSE) as internet:
            yield _chain(bounded, _asked(internet, "a0.evil.edu", EVIL, WICKED))
    yield _signatures(_verified())


def _world(bench: Bench, server: dict[str, Any], resolver: dict[str, Any] | None = None) -> Session:
    texts = "".join(
        f"{name} TXT {' '.join([chr(34) + 'x' * STRING + chr(34)] * count)}\n" for name, count in STRINGS.items()
    )
    evil = "".join(f"sub NS ns{number}.umass.edu.\n" for number in range(NAMES)) + _aliases("evil.edu", "wicked.edu", 0)
    return bench.changed(
        "small",
        {
            "sites": {"elsewhere": {"resolver": False}, "victims": {"resolver": False}},
            "zones": {
                ZONE: {"signed": True, "records": texts},
                "evil.edu": {"site": "elsewhere", "servers": [EVIL], "records": evil},
                "wicked.edu": {"site": "elsewhere", "servers": [WICKED], "records": _aliases("wicked.edu", "evil.edu", 1)},
            },
            "hosts": {
                SERVER: {"site": "umass", "services": {"dns": server}},
                VICTIM: {"site": "victims"},
                **{name: {"site": "elsewhere", "services": {"dns": {}}} for name in (EVIL, WICKED)},
                RESOLVER: {"site": "nyu", "services": {"resolver": {"limits": resolver or {}}}},
            },
        },
        "amplification",
    )


def _aliases(zone: str, other: str, first: int) -> str:
    """Every second one of the chain's aliases: no server can follow it alone."""
    lines = [f"a{number} CNAME a{number + 1}.{other}.\n" for number in range(first, CHAIN, 2)]
    last = f"a{CHAIN} A 10.0.0.1\n" if first == CHAIN % 2 else ""
    return "".join(lines) + last


def _reflected(internet: Any, queries: Sequence[tuple[float, bytes]]) -> float:
    """Octets that come over the victim's access link for each one that the attacker sends."""
    simulation = internet.up.simulation
    forger = Forger(internet.up.host(EVIL))
    down = internet.running.links.networks["victims"].down
    before, began = down.carried, simulation.now
    source, server = (internet.address(VICTIM), 4444), (internet.address(SERVER), 53)
    for after, query in queries:
        simulation.at(began + after, forger.send, query, source, server)
    simulation.run(for_seconds=queries[-1][0] + 1.0)
    return float((down.carried - before) / forger.octets)


def _asked(internet: Session, name: str, *servers: str) -> int:
    """Queries that reach servers for one of a client's, which gets whatever answer."""
    for known in (*servers, EVIL):
        internet.resolve(known, host=CLIENT)
    internet.record()
    internet.resolve(name, host=CLIENT, patience=90.0)
    return sum(row.source_name == RESOLVER and row.destination_name in servers for row in internet.rows())


def _verified() -> int:
    """The bound at work: keys made to have one tag, signatures that none of them made."""
    from dns.rdataclass import RdataClass
    from dns.rdatatype import RdataType
    from dns.rdtypes.ANY.DNSKEY import DNSKEY
    from dns.rrset import RRset

    from netstack.dns.dnssec.keys import MATERIAL, make_key
    from netstack.dns.dnssec.signer import Policy, sign
    from netstack.dns.dnssec.verify import Bogus, Effort, signatures_of, verify
    from netstack.dns.zone import Zone

    origin, wall = from_text(ZONE), 1_700_000_000.0
    key = make_key(origin, bytes(range(MATERIAL)), True)
    zone = sign(Zone.from_text(ZONE, "@ 60 SOA ns x 1 1 1 1 1\n@ 60 NS ns\nns 60 A 10.0.0.1\n"), [key], Policy(), wall)
    node = zone.nodes[from_text(f"ns.{ZONE}")]
    data, colliding = key.record.key, list[DNSKEY]()
    for number in range(KEYS):  # octets at an even distance may change places: the tag is a sum (RFC 4034 appendix B)
        moved = bytearray(data)
        one, other = number % 30, number % 30 + 32 - number // 60 * 2
        moved[one], moved[other] = data[other], data[one]
        changed: Any = key.record.replace(key=bytes(moved))
        colliding.append(changed)
    (signature,) = node.signatures[RdataType.A]
    came = RRset(from_text(f"ns.{ZONE}"), RdataClass.IN, RdataType.RRSIG)
    wrong = [signature.replace(signature=bytes([number]) + signature.signature[1:]) for number in range(SIGNATURES + 1)]
    came.items = dict.fromkeys([each for each in wrong if each != signature][:SIGNATURES])
    effort = Effort(signatures=KEYS * SIGNATURES)
    addresses = node.rrsets[RdataType.A]
    try:
        verify(addresses, signatures_of([came], addresses.name, RdataType.A), origin, colliding, wall, effort)
    except Bogus:
        return KEYS * SIGNATURES - effort.signatures
    raise AssertionError("nobody signed this")
