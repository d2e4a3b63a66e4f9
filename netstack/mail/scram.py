"""SCRAM-SHA-256: what is kept of a password, and the messages of an exchange (RFC 5802, RFC 7677)."""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable
from dataclasses import dataclass

from netstack.mail.prep import saslprep

NAME = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"
ITERATIONS = 15_000
"""Of new keys: some 5 ms for whoever logs in (RFC 7677 §4 asks for 4096 at least)."""
FEWEST, MOST = 4096, 1_000_000
"""Iterations that a client of ours computes for a server."""
_FORM = re.compile(r"SCRAM-SHA-256\$([0-9]{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
_PRINTABLE = re.compile(r"[!-+\--~]+")


@dataclass(frozen=True, slots=True, repr=False)
class ScramKeys:
    """RFC 5802 §3: enough to check a proof, not enough to make one."""

    iterations: int
    salt: bytes
    stored: bytes
    server: bytes

    @classmethod
    def make(cls, password: str, salt: bytes, iterations: int = ITERATIONS) -> "ScramKeys":
        """Of a new password; raises ValueError where SASLprep does. Slow on purpose: not for the reactor's thread."""
        salted = salted_password(password, salt, iterations, stored=True)
        return cls(iterations, salt, hashlib.sha256(client_key(salted)).digest(), server_key(salted))

    @classmethod
    def parse(cls, text: str) -> "ScramKeys":
        """RFC 5803's form, `SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER`; raises ValueError."""
        match = _FORM.fullmatch(text)
        try:
            if match is None or not 1 <= int(match[1]) <= MOST:
                raise ValueError
            salt, stored, server = (b64decode(each, validate=True) for each in match.groups()[1:])
            if len(stored) != 32 or len(server) != 32 or not salt:
                raise ValueError
        except (ValueError, Error):
            raise ValueError(f"{NAME}$ITERATIONS:SALT$STORED:SERVER was expected (RFC 5803)") from None
        return cls(int(match[1]), salt, stored, server)

    @classmethod
    def of_nobody(cls, name: str, secret: bytes, iterations: int = ITERATIONS) -> "ScramKeys":
        """For a name that nobody has: the same salt each time, as if there were somebody, and keys that nothing proves."""
        made = hmac.digest(secret, b"salt " + name.encode("utf-8", "replace"), "sha256")
        return cls(iterations, made[:16], hmac.digest(secret, made, "sha256"), made)

    def __str__(self) -> str:
        salt, stored, server = (b64encode(each).decode() for each in (self.salt, self.stored, self.server))
        return f"{NAME}${self.iterations}:{salt}${stored}:{server}"

    def verifies(self, password: str) -> bool:
        """Whether it is that password, for mechanisms that send it. Slow on purpose: not for the reactor's thread."""
        try:
            salted = salted_password(password, self.salt, self.iterations)
        except ValueError:
            salted = salted_password("", self.salt, self.iterations)
        return hmac.compare_digest(self.stored, hashlib.sha256(client_key(salted)).digest())

    def proven(self, auth: bytes, proof: bytes) -> bool:
        """Whether a client's proof is one of the password (RFC 5802 §3)."""
        signature = hmac.digest(self.stored, auth, "sha256")
        key = bytes(a ^ b for a, b in zip(proof, signature, strict=False))
        return hmac.compare_digest(hashlib.sha256(key).digest(), self.stored) and len(proof) == len(signature)


def salted_password(password: str, salt: bytes, iterations: int, stored: bool = False) -> bytes:
    """Hi(Normalize(password), salt, i). Raises ValueError where SASLprep does."""
    return hashlib.pbkdf2_hmac("sha256", saslprep(password, stored).encode(), salt, iterations)


def client_key(salted: bytes) -> bytes:
    """RFC 5802 §3."""
    return hmac.digest(salted, b"Client Key", "sha256")


def server_key(salted: bytes) -> bytes:
    """RFC 5802 §3."""
    return hmac.digest(salted, b"Server Key", "sha256")


def client_proof(salted: bytes, auth: bytes) -> bytes:
    """RFC 5802 §3."""
    key = client_key(salted)
    signature = hmac.digest(hashlib.sha256(key).digest(), auth, "sha256")
    return bytes(a ^ b for a, b in zip(key, signature, strict=True))


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """RFC 5802 §7 client-first-message."""

    header: str
    """gs2-header, with its last comma."""
    binding: str
    """"n", "y", or "p=" and the kind."""
    authorization: str
    name: str
    nonce: str
    bare: str


def parse_client_first(message: bytes) -> ClientFirst:
    """Raises ValueError that says what is wrong."""
    text = message.decode("utf-8")
    flag, *rest = text.split(",", 2)
    if len(rest) != 2 or not (flag in ("n", "y") or flag.startswith("p=")):
        raise ValueError("a GS2 header was expected: n, y or p=KIND, then the authorization identity")
    authorization, bare = rest
    if authorization and not authorization.startswith("a="):
        raise ValueError("a=IDENTITY was expected")
    fields = bare.split(",")
    if fields[0].startswith("m="):
        raise ValueError("no extension is known")
    if len(fields) < 2 or not fields[0].startswith("n=") or not fields[1].startswith("r="):
        raise ValueError("n=NAME,r=NONCE was expected")
    nonce = fields[1][2:]
    if _PRINTABLE.fullmatch(nonce) is None:
        raise ValueError("a nonce is printable, without commas")
    name = saslprep(_unescaped(fields[0][2:]))
    return ClientFirst(f"{flag},{authorization},", flag, _unescaped(authorization[2:]), name, nonce, bare)


def parse_attributes(message: bytes, wanted: Iterable[str]) -> dict[str, str]:
    """`a=…,b=…` in that order, more after them are left out; raises ValueError."""
    fields = message.decode("utf-8").split(",")
    found = {}
    for letter in wanted:
        if not fields or not fields[0].startswith(letter + "="):
            raise ValueError(f"{letter}= was expected")
        found[letter] = fields.pop(0)[2:]
    return found


def escaped(name: str) -> str:
    """saslname: "," and "=" are written =2C and =3D."""
    return name.replace("=", "=3D").replace(",", "=2C")


def _unescaped(text: str) -> str:
    if re.search("=(?!2C|3D)", text):
        raise ValueError("=2C and =3D stand for , and =; there is no other =")
    return text.replace("=2C", ",").replace("=3D", "=")
