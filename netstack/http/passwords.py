"""Files of names and verifiers of passwords (`kernel.passwords`), and Basic credentials (RFC 7617).

`python -m netstack.http.passwords NAME` reads a password from standard input, one line, and prints a line for a file of
writers.
"""

import re
import sys
from base64 import b64decode
from binascii import Error
from collections.abc import Iterable, Mapping

from netstack.kernel.passwords import NOBODY, Verifier

_NAME = re.compile(r"[^:\s][^:\x00-\x1f\x7f]*")


def verifier_line(name: str, password: str, salt: bytes) -> str:
    """A line for a file of writers."""
    return f"{name}:{Verifier.make(password.encode(), salt)}"


def parse_verifiers(lines: Iterable[str]) -> dict[str, Verifier]:
    """Verifiers by name; empty lines and those that begin with # are left out. Raises ValueError that names the line."""
    found: dict[str, Verifier] = {}
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, verifier = line.partition(":")
        try:
            if _NAME.fullmatch(name) is None or name in found:
                raise ValueError
            found[name] = Verifier.parse(verifier)
        except ValueError:
            raise ValueError(f"line {number}: NAME:$scrypt$ln=…,r=…,p=…$SALT$DIGEST was expected") from None
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
    verified = (known or NOBODY).verifies(password)
    return verified and known is not None


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
