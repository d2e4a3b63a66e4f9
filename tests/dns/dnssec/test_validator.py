"""The validating resolver against signed zones in memory: whole, unsigned below, and forged in every way."""

from collections.abc import Callable

import dns.flags
import dns.message
import dns.name
import pytest
from dns.message import Message
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.authority import Authority, fixed
from netstack.dns.dnssec.keys import anchors
from netstack.dns.dnssec.signer import DENIALS, Denial, Policy, sign
from netstack.dns.hardening import HARDENED
from netstack.dns.zone import Zone
from tests.dns.dnssec.signed import NOW, ZONE, keys
from tests.dns.internet import Answer, Internet, texts

SOA = "$TTL 2d\n@ SOA ns. hostmaster. 1 2h 1h 2w 1h\n"
ROOT, EDU, UMASS, PLAIN, ISLAND = "10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"
ZONES = {
    ".": (ROOT, "@ NS a.root-servers.net.\na.root-servers.net. A 10.0.0.1\nedu. NS a.edu-servers.net.\n"
                "a.edu-servers.net. A 10.0.0.2\n"),
    "edu": (EDU, "@ NS a.edu-servers.net.\numass NS dns.umass\ndns.umass A 10.0.0.4\nplain NS dns.plain\n"
                 "dns.plain A 10.0.0.5\nisland.plain NS dns.plain\n"),
    "umass.edu": (UMASS, ZONE.partition("\n@")[2].partition("\n")[2].replace("ADDRESS", UMASS)),
    "plain.edu": (PLAIN, "@ NS dns\ndns A 10.0.0.5\nwww A 10.1.1.1\n*.wild A 10.1.1.2\nsafe CNAME gaia.cs.umass.edu.\n"
                         "island NS dns.island\ndns.island A 10.0.0.6\n"),
    "island.plain.edu": (ISLAND, "@ NS dns\ndns A 10.0.0.6\nwww A 10.1.1.3\n"),
}  # fmt: skip
SIGNED = (".", "edu", "umass.edu", "island.plain.edu")
HOLDS = {"edu": ".", "umass.edu": "edu"}
"""Whose DS records are where."""
TRUST = anchors(keys("."))


def zones(
    denial: Denial = "nsec", policy: Policy | None = None, wall: float = NOW, seeds: dict[str, int] | None = None
) -> dict[str, Zone]:
    made = {}
    for origin, (_, text) in ZONES.items():
        text += "".join(f"{ds}\n" for child, above in HOLDS.items() if above == origin for ds in anchors(keys(child)))
        zone = Zone.from_text(origin, SOA + text)
        if origin in SIGNED:
            seed = (seeds or {}).get(origin, 0)
            zone = sign(zone, keys(origin, seed=seed), policy or Policy(denial), wall)
        made[origin] = zone
    return made


def servers(made: dict[str, Zone]) -> dict[str, Answer]:
    def of(zone: Zone) -> Answer:
        authority = Authority([zone], fixed)

        def answer(data: bytes, stream: bool) -> bytes | None:
            reply = authority.answer(data, stream)
            return None if reply is None else reply.data

        return answer

    return {ZONES[origin][0]: of(zone) for origin, zone in made.items()}


def internet(denial: Denial = "nsec", **options: object) -> Internet:
    made = servers(zones(denial))
    return Internet(made, anchors=options.pop("anchors", TRUST), wall=options.pop("wall", NOW), **options)


SECURE = [
    ("gaia.cs.umass.edu A", "10.1.0.3"),
    ("www.umass.edu A", "10.1.0.3"),
    ("x.wild.umass.edu A", "10.1.0.9"),
    ("a.b.wild.umass.edu A", "10.1.0.9"),
    ("*.wild.umass.edu A", "10.1.0.9"),
    ("x.wcname.umass.edu A", "10.1.0.3"),
    ("umass.edu DNSKEY", "257 3 13"),
    ("umass.edu DS", " 13 2 "),
    ("edu NS", "a.edu-servers.net."),
    ("upper.case.umass.edu A", "10.1.0.11"),
    ("odd.umass.edu TYPE65280", "010203"),
    (". NS", "a.root-servers.net."),
    ("safe.umass.edu DS", "4711"),
]
ABSENT = [
    ("nowhere.umass.edu A", Rcode.NXDOMAIN),
    ("0.umass.edu A", Rcode.NXDOMAIN),
    ("zzz.umass.edu A", Rcode.NXDOMAIN),
    ("x.nowhere.gaia.cs.umass.edu A", Rcode.NXDOMAIN),
    ("nowhere A", Rcode.NXDOMAIN),
    ("dangling.umass.edu A", Rcode.NXDOMAIN),
    ("gaia.cs.umass.edu MX", Rcode.NOERROR),
    ("cs.umass.edu A", Rcode.NOERROR),
    ("b.c.umass.edu A", Rcode.NOERROR),
    ("x.wild.umass.edu MX", Rcode.NOERROR),
    ("wild.umass.edu A", Rcode.NOERROR),
    ("typeless.umass.edu TXT", Rcode.NOERROR),
    ("umass.edu CAA", Rcode.NOERROR),
    ("plain.edu DS", Rcode.NOERROR),
    ("phys.umass.edu DS", Rcode.NOERROR),
    ("y.wild.umass.edu A", Rcode.NOERROR),
]


@pytest.mark.parametrize("denial", DENIALS)
def test_what_is_signed_is_secure(denial: Denial) -> None:
    up = internet(denial)
    for asked, expected in SECURE:
        outcome = up.resolve(*asked.split())
        assert outcome.secure, (asked, outcome.error)
        assert expected in " ".join(texts(outcome)), asked
    for asked, rcode in ABSENT:
        outcome = up.resolve(*asked.split())
        assert outcome.secure, (asked, outcome.error)
        assert outcome.rcode == rcode, asked
    assert up.resolver.counts.bogus == 0
    assert up.resolver.counts.secure == len(SECURE) + len(ABSENT)


def test_each_record_of_the_chain_is_asked_for_once() -> None:
    up = internet()
    up.resolve("gaia.cs.umass.edu")
    queries = [text for _, text in up.log]
    assert sorted(queries) == sorted(
        ["A gaia.cs.umass.edu?"] * 3 + ["DNSKEY .?", "DS edu?", "DNSKEY edu?", "DS umass.edu?", "DNSKEY umass.edu?"]
    )
    up.log.clear()
    up.resolve("mail.umass.edu")
    assert [text for _, text in up.log] == ["A mail.umass.edu?"]


@pytest.mark.parametrize("denial", DENIALS)
@pytest.mark.parametrize("asked", ["www.plain.edu", "nowhere.plain.edu", "x.wild.plain.edu", "www.island.plain.edu"])
def test_what_is_not_signed_is_insecure(asked: str, denial: Denial) -> None:
    outcome = internet(denial).resolve(asked)
    assert outcome.rcode in (Rcode.NOERROR, Rcode.NXDOMAIN)
    assert not outcome.secure


def test_an_alias_from_an_unsigned_zone_is_insecure() -> None:
    outcome = internet().resolve("safe.plain.edu")
    assert not outcome.secure
    assert texts(outcome)[-1] == "gaia.cs.umass.edu. A 10.1.0.3"


def test_an_island_is_secure_by_its_own_anchor() -> None:
    up = internet(anchors=(*TRUST, *anchors(keys("island.plain.edu"))))
    assert up.resolve("www.island.plain.edu").secure
    assert not up.resolve("www.plain.edu").secure
    alone = internet(anchors=anchors(keys("island.plain.edu")))
    assert alone.resolve("www.island.plain.edu").secure
    assert not alone.resolve("gaia.cs.umass.edu").secure, "indeterminate: no anchor is above it"


def test_all_defences_together() -> None:
    up = internet(hardening=HARDENED)
    for asked, _ in [*SECURE, *ABSENT]:
        assert up.resolve(*asked.split()).secure, asked


# Forged

Change = Callable[[Message], None]


def forging(change: Change, rdtype: str, up: Internet, where: str = UMASS) -> None:
    """The server's replies to questions of this type are changed on the way."""
    honest = up.servers[where]

    def answer(data: bytes, stream: bool) -> bytes | list[bytes] | None:
        reply = honest(data, stream)
        assert isinstance(reply, bytes)
        message = dns.message.from_wire(reply)
        if message.question[0].rdtype.name == rdtype:
            change(message)
        return bytes(message.to_wire(want_shuffle=False))

    up.servers[where] = answer


def drop(*types: RdataType) -> Change:
    def change(message: Message) -> None:
        for section in (message.answer, message.authority):
            section[:] = [rrset for rrset in section if rrset.rdtype not in types]

    return change


def address(message: Message) -> None:
    for rrset in message.answer:
        if rrset.rdtype == RdataType.A:
            rrset.items = dict.fromkeys([rrset[0].replace(address="6.6.6.6")])


def flip(message: Message) -> None:
    for section in (message.answer, message.authority):
        for rrset in section:
            if rrset.rdtype == RdataType.RRSIG:
                signature = rrset[0].signature
                rrset.items = dict.fromkeys([rrset[0].replace(signature=bytes([signature[0] ^ 1]) + signature[1:])])


def later(message: Message) -> None:
    for rrset in message.answer:
        if rrset.rdtype == RdataType.RRSIG:
            rrset.items = dict.fromkeys([rrset[0].replace(expiration=rrset[0].expiration + 86400)])


def absent(message: Message) -> None:
    """A name that exists is denied, by the proof for another one."""
    other = dns.message.make_query("nowhere.umass.edu", "A", want_dnssec=True)
    reply = servers(zones())[UMASS](other.to_wire(), False)
    assert isinstance(reply, bytes)
    denied = dns.message.from_wire(reply)
    message.answer, message.authority = [], denied.authority
    message.set_rcode(Rcode.NXDOMAIN)


def from_wildcard(message: Message) -> None:
    """gaia.cs.umass.edu as if it were a wildcard's, by the wildcard's true records."""
    other = dns.message.make_query("x.wild.umass.edu", "A", want_dnssec=True)
    reply = servers(zones())[UMASS](other.to_wire(), False)
    assert isinstance(reply, bytes)
    for rrset in (expanded := dns.message.from_wire(reply)).answer:
        rrset.name = message.question[0].name
    message.answer, message.authority = expanded.answer, expanded.authority


@pytest.mark.parametrize(
    ("asked", "where", "rdtype", "change", "code"),
    [
        ("gaia.cs.umass.edu A", UMASS, "A", address, 6),
        ("gaia.cs.umass.edu A", UMASS, "A", flip, 6),
        ("gaia.cs.umass.edu A", UMASS, "A", later, 6),
        ("gaia.cs.umass.edu A", UMASS, "A", drop(RdataType.RRSIG), 10),
        ("gaia.cs.umass.edu A", UMASS, "A", absent, 12),
        ("x.y.wild.umass.edu A", UMASS, "A", from_wildcard, 12),
        ("x.wild.umass.edu A", UMASS, "A", drop(RdataType.NSEC), 12),
        ("nowhere.umass.edu A", UMASS, "A", drop(RdataType.NSEC), 12),
        ("nowhere.umass.edu A", UMASS, "A", drop(RdataType.NSEC, RdataType.RRSIG), 12),
        ("nowhere.umass.edu A", UMASS, "A", flip, 6),
        ("mail.umass.edu MX", UMASS, "MX", drop(RdataType.NSEC), 12),
        ("gaia.cs.umass.edu A", UMASS, "DNSKEY", flip, 6),
        ("gaia.cs.umass.edu A", UMASS, "DNSKEY", drop(RdataType.RRSIG), 10),
        ("gaia.cs.umass.edu A", UMASS, "DNSKEY", drop(RdataType.DNSKEY), 9),
        ("gaia.cs.umass.edu A", EDU, "DS", flip, 6),
        ("gaia.cs.umass.edu A", EDU, "DS", drop(RdataType.DS, RdataType.RRSIG), 12),
        ("www.plain.edu A", EDU, "DS", drop(RdataType.NSEC), 12),
        ("gaia.cs.umass.edu A", ROOT, "DNSKEY", flip, 6),
    ],
)
def test_forgeries_are_refused(asked: str, where: str, rdtype: str, change: Change, code: int) -> None:
    up = internet()
    forging(change, rdtype, up, where)
    outcome = up.resolve(*asked.split())
    assert outcome.rcode == Rcode.SERVFAIL, texts(outcome)
    assert not outcome.answer
    assert outcome.error is not None
    assert outcome.error.code == code, outcome.error
    sent = len(up.log)
    assert up.resolve(*asked.split()).rcode == Rcode.SERVFAIL
    assert len(up.log) == sent, "a bogus answer is remembered for a while"
    assert up.resolver.counts.secure == 0


def longer(message: Message) -> None:
    for section in (message.answer, message.authority):
        for rrset in section:
            rrset.ttl = 604_800


def test_ttls_are_at_most_the_signed_ones() -> None:
    up = internet()
    forging(longer, "A", up)
    outcome = up.resolve("gaia.cs.umass.edu")
    assert outcome.secure
    assert outcome.answer[0].ttl == 2 * 86400
    up.now += 2 * 86400 + 1
    up.log.clear()
    assert up.resolve("gaia.cs.umass.edu").secure
    assert (UMASS, "A gaia.cs.umass.edu?") in up.log, "it was asked for again"


def test_a_forgery_is_forgotten_when_the_truth_comes_back() -> None:
    up = internet()
    honest = dict(up.servers)
    forging(flip, "DNSKEY", up)
    assert up.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL
    up.servers.update(honest)
    up.now += 60
    assert up.resolve("gaia.cs.umass.edu").secure


@pytest.mark.parametrize(("days", "code"), [(15, 7), (-1, 8)])
def test_signatures_hold_for_their_time(days: float, code: int) -> None:
    outcome = internet(wall=NOW + days * 86400).resolve("gaia.cs.umass.edu")
    assert outcome.rcode == Rcode.SERVFAIL
    assert outcome.error is not None
    assert outcome.error.code == code


def test_keys_of_others_are_refused() -> None:
    up = Internet(servers(zones(seeds={"umass.edu": 7})), anchors=TRUST, wall=NOW)
    outcome = up.resolve("gaia.cs.umass.edu")
    assert outcome.rcode == Rcode.SERVFAIL
    assert outcome.error is not None
    assert outcome.error.text == "no key of umass.edu is the one of its DS records"
    wrong_anchor = internet(anchors=anchors(keys(".", seed=3)))
    assert wrong_anchor.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL


def test_an_expired_signature_in_the_cache_is_asked_for_again() -> None:
    """The record's TTL outlives its signature; the server has a new one."""
    short = servers(zones(policy=Policy(validity=7200)))
    up = Internet(short, anchors=TRUST, wall=NOW)
    assert up.resolve("gaia.cs.umass.edu").secure
    up.servers.update(servers(zones(wall=NOW + 7000)))
    up.now += 7300
    assert up.resolve("gaia.cs.umass.edu").secure


def test_a_zone_changes_its_key() -> None:
    """Old and new DS records beside each other, then the new key alone: the cache has the old one."""
    up = internet()
    assert up.resolve("gaia.cs.umass.edu").secure
    again = zones()
    edu = Zone.from_text("edu", SOA + ZONES["edu"][1] + "".join(f"{ds}\n" for ds in anchors(keys("umass.edu", seed=7))))
    again["edu"] = sign(edu, keys("edu"), Policy(), NOW)
    again["umass.edu"] = sign(
        Zone.from_text("umass.edu", SOA + ZONES["umass.edu"][1]), keys("umass.edu", seed=7), Policy(), NOW
    )
    up.servers.update(servers(again))
    up.now += 10
    assert up.resolve("mail.umass.edu").secure


def test_a_man_in_the_middle_gets_nothing_through_without_a_key() -> None:
    """Whatever bit of whichever reply is turned over: the right answer or none."""
    from random import Random

    rng = Random(5)
    right = {tuple(sorted(texts(internet().resolve("www.umass.edu"))))}
    refused = 0
    for _ in range(50):
        up = internet()
        target = rng.choice([ROOT, EDU, UMASS])
        honest = up.servers[target]

        def answer(data: bytes, stream: bool, honest: Answer = honest) -> bytes | list[bytes] | None:
            reply = honest(data, stream)
            if not isinstance(reply, bytes):
                return reply
            at = rng.randrange(12, len(reply))
            return reply[:at] + bytes([reply[at] ^ 1 << rng.randrange(8)]) + reply[at + 1 :]

        up.servers[target] = answer
        outcome = up.resolve("www.umass.edu")
        if outcome.secure:
            assert tuple(sorted(text.lower() for text in texts(outcome))) in {
                tuple(t.lower() for t in each) for each in right
            }
        else:
            refused += outcome.rcode == Rcode.SERVFAIL
            assert outcome.rcode == Rcode.SERVFAIL, texts(outcome)
    assert refused > 15
