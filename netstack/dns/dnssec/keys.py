"""The keys of a signed zone (RFC 4034 §2, RFC 6605): made from given randomness, written and read in BIND's file format."""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dns.dnssec
import dns.exception
import dns.name
import dns.rdata
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm, DSDigest
from dns.name import Name
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS

from netstack.dns.wire import name_text

ALGORITHM = Algorithm.ECDSAP256SHA256
"""RFC 8624 §3.1: the one that signers should use."""
ZONE_KEY, ENTRY_POINT, REVOKED = 0x0100, 0x0001, 0x0080
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The number of points of P-256."""
MATERIAL = 48
"""Octets of randomness for one key: reduced to the curve's order, the bias is below 2^-128."""
_PRIVATE = re.compile(r"^PrivateKey:\s*(\S+)\s*$", re.MULTILINE)
_ALGORITHM = re.compile(r"^Algorithm:\s*(\d+)\b", re.MULTILINE)


class KeyFormatError(ValueError):
    """The text is not a key that can be used; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair of a zone. With the SEP flag the parent's DS points at it."""

    zone: Name
    private: ec.EllipticCurvePrivateKey
    record: DNSKEY

    @property
    def entry_point(self) -> bool:
        """Whether it is a KSK (or the one key that is both)."""
        return bool(self.record.flags & ENTRY_POINT)

    @property
    def tag(self) -> int:
        """RFC 4034 appendix B."""
        return dns.dnssec.key_id(self.record)

    @property
    def file(self) -> str:
        """The stem of its files' names, as dnssec-keygen makes them."""
        return f"K{name_text(self.zone).rstrip('.')}.+{int(ALGORITHM):03}+{self.tag:05}"

    @property
    def ds(self) -> DS:
        """For the parent: SHA-256 (RFC 4509)."""
        return dns.dnssec.make_ds(self.zone, self.record, DSDigest.SHA256)

    def public_text(self) -> str:
        """The DNSKEY record in master file format."""
        return f"{self.zone.to_text()} IN DNSKEY {self.record.to_text()}\n"

    def private_text(self) -> str:
        """The private key as BIND keeps it."""
        number = self.private.private_numbers().private_value.to_bytes(32, "big")
        return (
            "Private-key-format: v1.3\n"
            f"Algorithm: {int(ALGORITHM)} (ECDSAP256SHA256)\n"
            f"PrivateKey: {base64.b64encode(number).decode()}\n"
        )


def make_key(zone: Name, material: bytes, entry_point: bool) -> Key:
    """A key from `MATERIAL` random octets: the same octets make the same key."""
    if len(material) < MATERIAL:
        raise KeyFormatError(f"key material: expected {MATERIAL} octets, got {len(material)}")
    return _key(zone, int.from_bytes(material, "big") % (_ORDER - 1) + 1, entry_point)


def read_key(public: str, private: str) -> Key:
    """A key from the texts of dnssec-keygen's two files; raises KeyFormatError."""
    lines = [line for line in public.splitlines() if line.strip() and not line.startswith(";")]
    fields = lines[0].split() if len(lines) == 1 else []
    if "DNSKEY" not in fields[:4]:
        raise KeyFormatError("public key: expected one DNSKEY record")
    try:
        zone = dns.name.from_text(fields[0])
        text = " ".join(fields[fields.index("DNSKEY") + 1 :])
        record = dns.rdata.from_text(RdataClass.IN, RdataType.DNSKEY, text)
    except dns.exception.DNSException as error:
        raise KeyFormatError(f"public key: expected one DNSKEY record: {error}") from error
    algorithm, number = _ALGORITHM.search(private), _PRIVATE.search(private)
    if algorithm is None or int(algorithm[1]) != ALGORITHM or number is None:
        raise KeyFormatError(f"private key: expected Algorithm {int(ALGORITHM)} (ECDSAP256SHA256) and PrivateKey")
    try:
        value = int.from_bytes(base64.b64decode(number[1], validate=True), "big")
        flags = record.flags if isinstance(record, DNSKEY) else 0
        key = _key(zone, value, bool(flags & ENTRY_POINT))
    except ValueError as error:
        raise KeyFormatError(f"private key: {error}") from error
    if key.record != record:
        raise KeyFormatError("the private key does not belong to the public one")
    return key


def zone_keys(zone: Name, random: Iterable[bytes], split: bool) -> tuple[Key, ...]:
    """A zone's keys: one that signs all (CSK), or a KSK for the DNSKEY RRset and a ZSK for the rest (RFC 6781 §3.1)."""
    source = iter(random)
    if split:
        return make_key(zone, next(source), True), make_key(zone, next(source), False)
    return (make_key(zone, next(source), True),)


def anchors(keys: Sequence[Key]) -> tuple[str, ...]:
    """DS records of the keys that a parent or a resolver trusts, as text: `umass.edu. IN DS 1 13 2 ...`."""
    return tuple(f"{key.zone.to_text()} IN DS {key.ds.to_text()}" for key in keys if key.entry_point)


def _key(zone: Name, number: int, entry_point: bool) -> Key:
    private = ec.derive_private_key(number, ec.SECP256R1())
    flags = ZONE_KEY | (ENTRY_POINT if entry_point else 0)
    record = dns.dnssec.make_dnskey(private.public_key(), ALGORITHM, flags=flags)
    return Key(zone, private, record)
