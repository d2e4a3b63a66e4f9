"""Algorithms and digests that a validator does not know: what is then insecure, what is bogus, and what does not matter."""

from typing import Any

import dns.name
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.dnssec.aggressive import Spans
from netstack.dns.dnssec.keys import anchors
from netstack.dns.dnssec.signer import Policy, sign
from netstack.dns.zone import Zone
from tests.dns.dnssec.signed import NOW, keys
from tests.dns.dnssec.test_validator import SOA, TRUST, ZONES, servers, zones
from tests.dns.internet import Internet

(KNOWN,) = anchors(keys("umass.edu"))
DIGEST_UNKNOWN = KNOWN.replace(" 13 2 ", " 13 99 ")
ALGORITHM_UNKNOWN = KNOWN.replace(" 13 2 ", " 250 2 ")
BOTH_UNKNOWN = KNOWN.replace(" 13 2 ", " 250 99 ")
WRONG = KNOWN[:-8] + ("0" * 8)


def internet(ds: list[str], umass: Any = None) -> Internet:
    """The root's and edu's keys are known; edu has these DS records for umass.edu."""
    made = zones()
    text = SOA + ZONES["edu"][1] + "".join(f"{line}\n" for line in ds)
    made["edu"] = sign(Zone.from_text("edu", text), keys("edu"), Policy(), NOW)
    if umass is not None:
        made["umass.edu"] = umass(made["umass.edu"])
    return Internet(servers(made), anchors=TRUST, wall=NOW)


@pytest.mark.parametrize(
    ("ds", "rcode", "secure"),
    [
        ([KNOWN], Rcode.NOERROR, True),
        ([DIGEST_UNKNOWN], Rcode.NOERROR, False),  # RFC 4035 §5.2: as if it were not signed
        ([ALGORITHM_UNKNOWN], Rcode.NOERROR, False),
        ([BOTH_UNKNOWN, DIGEST_UNKNOWN, ALGORITHM_UNKNOWN], Rcode.NOERROR, False),
        ([KNOWN, DIGEST_UNKNOWN, ALGORITHM_UNKNOWN], Rcode.NOERROR, True),
        ([WRONG, DIGEST_UNKNOWN], Rcode.SERVFAIL, False),  # one that is known has to hold: no downgrade by the others
        ([WRONG, KNOWN], Rcode.NOERROR, True),
    ],
)
def test_ds_records_that_are_not_known(ds: list[str], rcode: Rcode, secure: bool) -> None:
    for name, expected in (("gaia.cs.umass.edu", rcode), ("nowhere.umass.edu", rcode or Rcode.NXDOMAIN)):
        outcome = internet(ds).resolve(name)
        assert (outcome.rcode, outcome.secure) == (expected, secure)


def resigned(zone: Zone, algorithm: int, instead: bool) -> Zone:
    """Every signature has a twin of another algorithm, or is one."""
    rrsets = []
    for rrset in zone:
        if rrset.rdtype == RdataType.RRSIG:
            twins = [rdata.replace(algorithm=algorithm, signature=b"x" * 40) for rdata in rrset]
            copy = rrset.copy()
            copy.items = dict.fromkeys(twins if instead else [*twins, *rrset])
            rrset = copy
        rrsets.append(rrset)
    return Zone(zone.origin, rrsets)


@pytest.mark.parametrize("algorithm", [5, 250])
def test_signatures_that_are_not_known_beside_those_that_are(algorithm: int) -> None:
    up = internet([KNOWN], lambda zone: resigned(zone, algorithm, instead=False))
    outcome = up.resolve("gaia.cs.umass.edu")
    assert (outcome.rcode, outcome.secure) == (Rcode.NOERROR, True)
    outcome = up.resolve("nowhere.umass.edu")
    assert (outcome.rcode, outcome.secure) == (Rcode.NXDOMAIN, True)


@pytest.mark.parametrize("algorithm", [5, 250])
def test_signatures_that_are_not_known_alone(algorithm: int) -> None:
    """The parent promises a signature of an algorithm that is known."""
    up = internet([KNOWN], lambda zone: resigned(zone, algorithm, instead=True))
    outcome = up.resolve("gaia.cs.umass.edu")
    assert (outcome.rcode, outcome.answer) == (Rcode.SERVFAIL, ())
    assert outcome.error is not None


def test_a_key_of_another_algorithm_beside_ours() -> None:
    """A zone that rolls over its algorithm: the key that we do not know is passed over."""
    text = "umass.edu. IN DNSKEY 256 3 250 " + "AB" * 20 + "\n"

    def added(zone: Zone) -> Zone:
        plain = Zone.from_text("umass.edu", SOA + ZONES["umass.edu"][1] + text)
        return sign(plain, keys("umass.edu"), Policy(), NOW)

    up = internet([KNOWN], added)
    assert len(up.resolve("umass.edu", "DNSKEY").answer[0]) == 2
    assert up.resolve("gaia.cs.umass.edu").secure
    assert dns.name.from_text("umass.edu") in up.resolver.trust._known


def test_a_negative_trust_anchor_hides_what_its_owner_has_broken() -> None:
    """RFC 7646: below it nothing is checked, beside it everything is; a trust anchor below it counts."""
    up = internet([WRONG])
    assert up.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL
    up = internet([WRONG])
    up.resolver.trust.negative = {dns.name.from_text("umass.edu"): up.now + 600}
    outcome = up.resolve("gaia.cs.umass.edu")
    assert (outcome.rcode, outcome.secure) == (Rcode.NOERROR, False)
    assert up.resolve("nowhere.edu").secure
    up.now += 601
    assert up.resolve("www.umass.edu").rcode == Rcode.SERVFAIL
    up = Internet(servers(zones()), anchors=(*TRUST, KNOWN), wall=NOW)
    up.resolver.trust.negative = {dns.name.from_text("edu"): up.now + 600}
    assert up.resolve("gaia.cs.umass.edu").secure
    assert not up.resolve("nowhere.edu").secure


@pytest.mark.parametrize(
    ("label", "rcode"),
    [
        ("root-key-sentinel-is-ta-{tag:05}", Rcode.NOERROR),
        ("root-key-sentinel-not-ta-{tag:05}", Rcode.SERVFAIL),
        ("root-key-sentinel-is-ta-00001", Rcode.SERVFAIL),
        ("ROOT-key-sentinel-not-ta-00001", Rcode.NOERROR),
        ("root-key-sentinel-is-ta-1", Rcode.NOERROR),
        ("x.root-key-sentinel-is-ta-00001", Rcode.NOERROR),
    ],
)
def test_root_key_sentinels(label: str, rcode: Rcode) -> None:
    """RFC 8509 §3: a wildcard of a signed zone stands for all of them."""
    name = label.format(tag=keys(".")[0].tag) + ".wild.umass.edu"
    up = internet([KNOWN])
    up.resolver.trust.spans = Spans(100, 3600)
    up.resolve("one.wild.umass.edu")
    assert up.resolve(name).rcode == rcode
    assert up.resolve(name).rcode == rcode
    assert up.resolve(name, "TXT").rcode == Rcode.NOERROR, "of addresses alone"
