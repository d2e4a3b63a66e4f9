"""Algorithms and digests that a validator does not know: what is then insecure, what is bogus, and what does not matter."""

from typing import Any

import dns.name
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType

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
