"""A zone with everything that DNSSEC treats differently, signed in both manners, and questions about it."""

import dns.message
import dns.name
from dns.message import Message

from netstack.dns.authority import Authority, fixed
from netstack.dns.dnssec.keys import MATERIAL, Key, zone_keys
from netstack.dns.dnssec.signer import Denial, Policy, sign
from netstack.dns.zone import Zone

NOW = 1_795_000_000.0
ZONE = """$TTL 2d
@            SOA   dns hostmaster 7 2h 1h 2w 1h
@            NS    dns
             NS    dns.elsewhere.org.
             MX    10 mail
             A     10.1.0.1
             TXT   "v=spf1 -all"
             DNAME old.example.
dns          A     ADDRESS
mail         A     10.1.0.2
             AAAA  2001:db8::2
gaia.cs      A     10.1.0.3
www          CNAME gaia.cs
dangling     CNAME nowhere
typeless     CNAME mail
away         CNAME www.elsewhere.org.
below        CNAME host.phys
a.b.c        TXT   deep
*.wild       A     10.1.0.9
x.y.wild     A     10.1.0.10
*.wcname     CNAME gaia.cs
Upper.Case   A     10.1.0.11
odd          TYPE65280 \\# 3 010203
phys         NS    dns.phys
dns.phys     A     10.1.0.20
bare         NS    ns.elsewhere.org.
safe         NS    dns.safe
             DS    4711 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
dns.safe     A     10.1.0.21
far.off      NS    ns.elsewhere.org.
""".replace("             DNAME old.example.\n", "")

QUESTIONS = [
    f"{name}{'.' if name else ''}ZONE {rdtype}"
    for names, rdtypes in [
        (("",), "A AAAA NS MX SOA TXT DNSKEY CAA DS NSEC NSEC3PARAM"),
        (("dns", "mail", "gaia.cs", "cs", "b.c", "c", "b", "off"), "A AAAA MX"),
        (("www", "dangling", "typeless", "away", "below"), "A CNAME TXT"),
        (("nowhere", "nowhere.gaia.cs", "x.www", "zzz", "0", "a.a.b.c", "z.b.c"), "A"),
        (("x.wild", "a.b.wild", "wild", "y.wild", "z.y.wild", "*.wild", "x.wcname", "wcname"), "A MX"),
        (("upper.case", "UPPER.case", "x.Upper.Case", "odd"), "A TYPE65280"),
        (("phys", "host.phys", "dns.phys", "bare", "x.bare", "safe", "x.y.safe", "far.off", "x.far.off"), "A DS NS"),
        (("phys", "safe"), "MX"),
    ]
    for name in names
    for rdtype in rdtypes.split()
]


def keys(origin: str, split: bool = False, seed: int = 0) -> tuple[Key, ...]:
    name = dns.name.from_text(origin)
    return zone_keys(name, (bytes([seed + at + 1]) * MATERIAL for at in range(2)), split)


def signed_zone(
    origin: str, text: str = ZONE, denial: Denial = "nsec", split: bool = False, wall: float = NOW, seed: int = 0
) -> Zone:
    zone = Zone.from_text(origin, text.replace("ADDRESS", "10.1.0.8"))
    return sign(zone, keys(origin, split, seed), Policy(denial, split=split), wall)


def master_file(zone: Zone) -> str:
    return "".join(f"{rrset.to_text()}\n" for rrset in zone)


def ask(authority: Authority, asked: str, want_dnssec: bool = True, stream: bool = True, payload: int = 1232) -> Message:
    name, rdtype = asked.split()
    query = dns.message.make_query(name, rdtype, use_edns=0, want_dnssec=want_dnssec, payload=payload)
    reply = authority.answer(query.to_wire(), stream)
    assert reply is not None
    return dns.message.from_wire(reply.data)


def authority(*zones: Zone, udp_payload: int = 1232) -> Authority:
    return Authority(zones, fixed, udp_payload)
