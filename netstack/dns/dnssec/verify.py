"""Signatures checked (RFC 4035 §5.3), at a bounded cost whatever a zone publishes (KeyTrap, CVE-2023-50387); pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256, sha384

import dns.dnssec
import dns.exception
import dns.rdataset
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from dns.rdtypes.ANY.RRSIG import RRSIG
from dns.rrset import RRset

from netstack.dns.dnssec.keys import REVOKED, ZONE_KEY

UNSUPPORTED_ALGORITHM, UNSUPPORTED_DIGEST, INDETERMINATE, BOGUS, EXPIRED, NOT_YET_VALID = 1, 2, 5, 6, 7, 8
KEY_MISSING, SIGNATURE_MISSING, DENIAL_MISSING, MANY_ITERATIONS = 9, 10, 12, 27
"""Codes of RFC 8914 §4 and RFC 9276 §3.2."""


class Bogus(Exception):
    """The data is not what the zone's owner signed; `code` is an extended error's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(slots=True)
class Effort:
    """What one question may still cost. A zone that asks for more is bogus."""

    signatures: int = 48
    """Signatures verified."""
    hashes: int = 400
    """NSEC3 hashes, iterations counted."""
    questions: int = 40
    """DS and DNSKEY records asked for."""

    def signature(self) -> None:
        """One is about to be verified; raises Bogus."""
        self.signatures -= 1
        if self.signatures < 0:
            raise Bogus(BOGUS, "too many signatures to verify")

    def hash(self, iterations: int) -> None:
        """A name is about to be hashed; raises Bogus."""
        self.hashes -= 1 + iterations // 4
        if self.hashes < 0:
            raise Bogus(BOGUS, "too many names to hash")

    def question(self) -> None:
        """Something is about to be asked for; raises Bogus."""
        self.questions -= 1
        if self.questions < 0:
            raise Bogus(BOGUS, "too many questions to find the chain of trust")


ALGORITHMS = frozenset({8, 10, 13, 14, 15, 16})
"""RSA with SHA-256 and SHA-512, ECDSA P-256 and P-384, Ed25519, Ed448; none with SHA-1 (RFC 9905)."""
DIGESTS = {2: sha256, 4: sha384}
KEYS_PER_TAG = 3
"""Keys of a zone with the tag of a signature that are tried: two of a zone's keys have the same one hardly ever."""
SIGNATURES = 8
"""Signatures of one RRset that are looked at: a rollover of the algorithm takes two."""
KEYS = 32
"""Keys of one zone that are looked at."""


def signatures_of(proof: Iterable[RRset], name: Name, rdtype: RdataType) -> list[RRSIG]:
    """The signatures over an RRset among what came with it."""
    found = [
        rdata
        for rrset in proof
        if rrset.rdtype == RdataType.RRSIG and rrset.name == name
        for rdata in rrset
        if rdata.type_covered == rdtype
    ]
    return found[:SIGNATURES]


def verify(
    rrset: RRset, signatures: Sequence[RRSIG], zone: Name, keys: Sequence[DNSKEY], wall: float, effort: Effort
) -> RRSIG:
    """The first signature of the zone over the RRset that holds; raises Bogus that says why none does."""
    where = f"{rrset.name} {rrset.rdtype.name}"
    problem = Bogus(SIGNATURE_MISSING, f"no signature of {zone} over {where}")
    for signature in signatures:
        if signature.signer != zone or signature.type_covered != rrset.rdtype or not rrset.name.is_subdomain(zone):
            continue
        if _after(wall, signature.expiration):
            problem = Bogus(EXPIRED, f"the signature over {where} has expired")
            continue
        if _after(signature.inception, wall):
            problem = Bogus(NOT_YET_VALID, f"the signature over {where} is not valid yet")
            continue
        candidates = [key for key in keys if key.algorithm == signature.algorithm and _tag(key) == signature.key_tag]
        if not candidates:
            problem = Bogus(KEY_MISSING, f"the key of the signature over {where} is not in the zone")
        for key in candidates[:KEYS_PER_TAG]:
            effort.signature()
            if _holds(rrset, signature, key, zone):
                return signature
            problem = Bogus(BOGUS, f"the signature over {where} is wrong")
    raise problem


def expanded(rrset: RRset, signature: RRSIG) -> bool:
    """Whether the RRset was made from a wildcard (RFC 4035 §5.3.4)."""
    labels = len(rrset.name) - 1 - rrset.name.is_wild()
    return int(signature.labels) < labels


def supported(ds: Iterable[DS]) -> list[DS]:
    """Those whose digest and algorithm we know; where there are none, the zone counts as unsigned (RFC 4035 §5.2)."""
    return [each for each in ds if each.digest_type in DIGESTS and each.algorithm in ALGORITHMS]


def entry_keys(zone: Name, keys: RRset, ds: Sequence[DS]) -> list[DNSKEY]:
    """The keys of the zone that the parent's DS records point at (RFC 4035 §5.2)."""
    found = []
    for key in zone_keys(keys):
        for each in ds:
            if each.algorithm == key.algorithm and each.key_tag == _tag(key) and _digest(zone, key, each) == each.digest:
                found.append(key)
                break
    return found


def zone_keys(keys: RRset) -> list[DNSKEY]:
    """The keys that may sign the zone's data: ZONE flag, not revoked (RFC 4034 §2.1, RFC 5011 §2.1), known algorithm."""
    return [
        key
        for key in list(keys)[:KEYS]
        if key.flags & ZONE_KEY and not key.flags & REVOKED and key.protocol == 3 and key.algorithm in ALGORITHMS
    ]


def _after(a: float, b: float) -> bool:
    """Whether time `a` is after `b`; times of signatures are serial numbers of 32 bits (RFC 4034 §3.1.5)."""
    return 0 < (int(a) - int(b)) % (1 << 32) < 1 << 31


def _holds(rrset: RRset, signature: RRSIG, key: DNSKEY, zone: Name) -> bool:
    """Whether this key made this signature; times were looked at before."""
    keys = dns.rdataset.from_rdata(0, key)
    try:
        dns.dnssec.validate_rrsig(rrset, signature, {zone: keys}, now=float(signature.inception))
    except (dns.exception.DNSException, ValueError):  # a key of the wrong length, a point that is not on the curve
        return False
    return True


def _tag(key: DNSKEY) -> int:
    return dns.dnssec.key_id(key)


def _digest(zone: Name, key: DNSKEY, ds: DS) -> bytes:
    return DIGESTS[ds.digest_type](zone.to_digestable() + (key.to_wire() or b"")).digest()
