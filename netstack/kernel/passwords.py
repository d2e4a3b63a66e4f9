"""Verifiers of passwords: scrypt (RFC 7914) in PHC form, made and checked alike by every house that knows users."""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error
from dataclasses import dataclass

COST, BLOCK, PARALLEL = 14, 8, 1
"""scrypt's N (as a power of two), r and p of new verifiers: 16 MiB and some 50 ms for each check."""
_FORM = re.compile(r"\$scrypt\$ln=([0-9]+),r=([0-9]+),p=([0-9]+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")


@dataclass(frozen=True, slots=True, repr=False)
class Verifier:
    """What is kept of a password."""

    cost: int
    block: int
    parallel: int
    salt: bytes
    digest: bytes

    @classmethod
    def make(cls, password: bytes, salt: bytes) -> "Verifier":
        """Of a new password. Slow on purpose: not for the reactor's thread."""
        return cls(COST, BLOCK, PARALLEL, salt, _scrypt(password, salt, COST, BLOCK, PARALLEL))

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """From PHC form; raises ValueError for another form, and for costs that nobody should pay."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError("$scrypt$ln=…,r=…,p=…$SALT$DIGEST was expected")
        cost, block, parallel = (int(number) if len(number) < 4 else 0 for number in match.groups()[:3])
        if not (1 <= cost <= 20 and 1 <= block <= 32 and 1 <= parallel <= 16):
            raise ValueError("ln from 1 to 20, r from 1 to 32 and p from 1 to 16 were expected")
        try:
            return cls(cost, block, parallel, _octets(match[4]), _octets(match[5]))
        except Error:
            raise ValueError("the salt and the digest are base64 without its =") from None

    def __str__(self) -> str:
        """PHC form."""
        numbers = f"ln={self.cost},r={self.block},p={self.parallel}"
        return f"$scrypt${numbers}${_text(self.salt)}${_text(self.digest)}"

    def verifies(self, password: bytes) -> bool:
        """Whether it is that password; in the same time for any of them. Slow on purpose, as `make`."""
        return hmac.compare_digest(self.digest, _scrypt(password, self.salt, self.cost, self.block, self.parallel))


NOBODY = Verifier(COST, BLOCK, PARALLEL, b"nobody has this salt", bytes(32))
"""Checked for names that nobody has, so that they take as long as others."""


def _scrypt(password: bytes, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    memory = 256 * block * (2**cost) + 2**20
    return hashlib.scrypt(password, salt=salt, n=2**cost, r=block, p=parallel, maxmem=memory, dklen=32)


def _text(octets: bytes) -> str:
    return b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4), validate=True)
