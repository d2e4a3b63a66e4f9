"""The hashed names of NSEC3 (RFC 5155 §5)."""

import base64
from hashlib import sha1

from dns.name import Name


def hashed(name: Name, salt: bytes, iterations: int) -> bytes:
    """A name's hash, 20 octets."""
    digest = sha1(name.to_digestable() + salt, usedforsecurity=False).digest()
    for _ in range(iterations):
        digest = sha1(digest + salt, usedforsecurity=False).digest()
    return digest


def hashed_name(digest: bytes, origin: Name) -> Name:
    """The owner of the NSEC3 record of a hash (RFC 5155 §3)."""
    return Name((base64.b32hexencode(digest).lower().rstrip(b"="), *origin.labels))
