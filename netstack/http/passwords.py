"""Verifiers of passwords (RFC 7914 scrypt, in PHC form), and Basic credentials (RFC 7617).

`python -m netstack.http.passwords NAME` reads a password from standard input, one line, and prints a line for a file of
writers.
"""

import hashlib
import hmac
import re
import sys
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

COST, BLOCK, PARALLEL = 14, 8, 1
"""scrypt's N (as a power of two), r and p of new verifiers: 16 MiB and some 50 ms for each check."""
_LINE = re.compile(
    r"([^:\s][^:\x00-\x1f\x7f]*):\$scrypt\$ln=([0-9]+),r=([0-9]+),p=([0-9]+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)


@dataclass(frozen=True, slots=True, repr=False)
class Verifier:
    """What is kept of a password."""

    cost: int
    block: int
    parallel: int
    salt: bytes
    digest: bytes

    def verifies(self, password: bytes) -> bool:
        """Whether it is that password; in the same time for any of them."""
        return hmac.compare_digest(self.digest, _scrypt(password, self.salt, self.cost, self.block, self.parallel))


_NOBODY = Verifier(COST, BLOCK, PARALLEL, b"nobody has this salt", bytes(32))
"""Checked for names that nobody has, so that they take as long as others."""


def verifier_line(name: str, password: str, salt: bytes) -> str:
    """A line for a file of writers."""
    digest = _scrypt(password.encode(), salt, COST, BLOCK, PARALLEL)
    return f"{name}:$scrypt$ln={COST},r={BLOCK},p={PARALLEL}${_text(salt)}${_text(digest)}"


def parse_verifiers(lines: Iterable[str]) -> dict[str, Verifier]:
    """Verifiers by name; empty lines and those that begin with # are left out. Raises ValueError that names the line."""
    found: dict[str, Verifier] = {}
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        wrong = ValueError(f"line {number}: NAME:$scrypt$ln=…,r=…,p=…$SALT$DIGEST was expected")
        if match is None:
            raise wrong
        cost, block, parallel = int(match[2]), int(match[3]), int(match[4])
        if not (1 <= cost <= 20 and 1 <= block <= 32 and 1 <= parallel <= 16 and match[1] not in found):
            raise wrong
        try:
            found[match[1]] = Verifier(cost, block, parallel, _octets(match[5]), _octets(match[6]))
        except Error:
            raise wrong from None
    return found


def basic_credentials(value: str) -> tuple[str, bytes] | None:
    """Name and password of an Authorization field (RFC 7617 §2), None when it is none of Basic."""
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = b64decode(token.strip(" "), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (Error, ValueError):
        return None


def verify(verifiers: Mapping[str, Verifier], name: str, password: bytes) -> bool:
    """Whether a writer has that name and password. Slow on purpose: not for the reactor's thread."""
    known = verifiers.get(name)
    verified = (known or _NOBODY).verifies(password)
    return verified and known is not None


def _scrypt(password: bytes, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    memory = 256 * block * (2**cost) + 2**20
    return hashlib.scrypt(password, salt=salt, n=2**cost, r=block, p=parallel, maxmem=memory, dklen=32)


def _text(octets: bytes) -> str:
    return b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4))


def main() -> int:
    """Print the line for a name and the password on standard input."""
    import secrets

    if len(sys.argv) != 2 or ":" in sys.argv[1]:
        sys.stderr.write("usage: python -m netstack.http.passwords NAME < PASSWORD\n")
        return 2
    sys.stdout.write(verifier_line(sys.argv[1], sys.stdin.readline().rstrip("\r\n"), secrets.token_bytes(16)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
