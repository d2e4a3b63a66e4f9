"""DomainKeys Identified Mail: a domain signs messages, its zone has the key that verifies it (RFC 6376, RFC 8463).

Keys and signatures are `cryptography`'s; the clock is an argument.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from netstack.mail.limits import HeadLimits
from netstack.mail.message import LIMITS, Field, head

Result = Literal["none", "pass", "fail", "policy", "neutral", "temperror", "permerror"]
PrivateKey = RSAPrivateKey | Ed25519PrivateKey
SIGNED = (
    "from", "to", "cc", "subject", "date", "message-id", "reply-to", "in-reply-to", "references", "mime-version",
    "content-type", "content-transfer-encoding", "list-id", "list-unsubscribe",
)  # fmt: skip
"""Fields that a signature covers where they are there (§5.4.1)."""
OVERSIGNED = frozenset({"from", "to", "subject", "date", "message-id"})
"""Fields that nobody may add one of to a signed message (§5.4.2)."""
MOST_SIGNATURES = 10
LEAST_RSA, MOST_RSA = 1024, 8192
_TAG = re.compile(r"[ \t\r\n]*([A-Za-z][A-Za-z0-9_]*)[ \t\r\n]*=([^;]*)")
_SPACE = re.compile(rb"[ \t]+")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")


class BadSignature(Exception):
    """The signature cannot be judged: permerror, or `result`."""

    def __init__(self, text: str, result: Result = "permerror") -> None:
        super().__init__(text)
        self.result: Result = result


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature field (§3.5)."""

    tags: dict[str, str]
    field: bytes
    """As it stands in the message."""
    domain: str
    selector: str
    headers: tuple[str, ...]

    @property
    def key_name(self) -> str:
        """Where its key is (§3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a signature is worth."""

    result: Result
    domain: str
    selector: str = ""
    reason: str = ""


def parse_tags(text: str) -> dict[str, str]:
    """A tag list (§3.2); raises BadSignature."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip(" \t\r\n"):
            continue
        match = _TAG.fullmatch(part)
        if match is None or match[1] in tags:
            raise BadSignature(f"{part[:40]!r} is no tag, or is there twice")
        tags[match[1]] = match[2].strip(" \t\r\n")
    return tags


def parse_signature(field: bytes) -> Signature:
    """Raises BadSignature for one that nobody may accept (§6.1.1)."""
    tags = parse_tags(_FOLD.sub(b"", field.partition(b":")[2]).decode("latin-1"))
    missing = [name for name in ("v", "a", "b", "bh", "d", "h", "s") if name not in tags]
    if missing:
        raise BadSignature(f"the tag {missing[0]} is missing")
    if tags["v"] != "1":
        raise BadSignature(f"version {tags['v'][:10]!r}")
    if tags["a"] not in ("rsa-sha256", "ed25519-sha256"):
        raise BadSignature(f"algorithm {tags['a'][:20]!r}", "policy" if tags["a"] == "rsa-sha1" else "permerror")
    if not _DOMAIN.fullmatch(tags["d"]) or not _DOMAIN.fullmatch(tags["s"]):
        raise BadSignature("no domain or selector")
    headers = tuple(name.strip().lower() for name in tags["h"].split(":"))
    if "from" not in headers:
        raise BadSignature("From is not signed")
    identity = tags.get("i", "@" + tags["d"]).rpartition("@")[2].lower()
    domain = tags["d"].lower()
    if identity != domain and not identity.endswith("." + domain):
        raise BadSignature("the identity is not of the domain")
    for name in ("t", "x", "l"):
        if name in tags and not (tags[name].isascii() and tags[name].isdigit() and len(tags[name]) < 20):
            raise BadSignature(f"{name}={tags[name][:20]!r}")
    return Signature(tags, field, domain, tags["s"].lower(), headers)


def parse_key(text: str) -> tuple[RSAPublicKey | Ed25519PublicKey, dict[str, str]]:
    """The key in a TXT record, and its tags (§3.6.1); raises BadSignature."""
    tags = parse_tags(text)
    if tags.get("v", "DKIM1") != "DKIM1":
        raise BadSignature("the record is no DKIM key")
    if "p" not in tags:
        raise BadSignature("the record has no key")
    material = re.sub(r"\s", "", tags["p"])
    if not material:
        raise BadSignature("the key has been revoked")
    if "sha256" not in tags.get("h", "sha256").split(":"):
        raise BadSignature("the key is not for SHA-256")
    if not {"*", "email"} & set(tags.get("s", "*").split(":")):
        raise BadSignature("the key is not for mail")
    try:
        octets = b64decode(material, validate=True)
        if tags.get("k", "rsa") == "ed25519":
            return Ed25519PublicKey.from_public_bytes(octets), tags
        key = load_der_public_key(octets)
    except (NotBase64, ValueError, UnsupportedAlgorithm):
        raise BadSignature("the key cannot be read") from None
    if not isinstance(key, RSAPublicKey) or not LEAST_RSA <= key.key_size <= MOST_RSA:
        raise BadSignature("the key is not RSA of an acceptable size", "policy")
    return key, tags


def verify(signature: Signature, fields: Sequence[Field], body: bytes, key_text: str, wall: float) -> Verdict:
    """Whether the signature is right (§6.1.3)."""
    tags = signature.tags
    try:
        key, key_tags = parse_key(key_text)
        if isinstance(key, RSAPublicKey) != (tags["a"] == "rsa-sha256"):
            raise BadSignature("the key is of another algorithm")
        identity = tags.get("i", "").rpartition("@")[2].lower()
        if "s" in key_tags.get("t", "").split(":") and identity not in ("", signature.domain):
            raise BadSignature("the key does not sign for subdomains")
        if "x" in tags and wall > int(tags["x"]):
            raise BadSignature("the signature has expired")
        canon_header, _, canon_body = tags.get("c", "simple/simple").partition("/")
        if canon_header not in ("simple", "relaxed") or canon_body not in ("", "simple", "relaxed"):
            raise BadSignature(f"canonicalization {tags['c'][:20]!r}")
        canonical = canonical_body(body, canon_body or "simple")
        if "l" in tags and int(tags["l"]) != len(canonical):  # anybody may write what it leaves out (§8.2)
            raise BadSignature("the signature leaves out a part of the body", "policy")
        claimed, proof = (b64decode(re.sub(r"\s", "", tags[name]), validate=True) for name in ("bh", "b"))
    except BadSignature as bad:
        return Verdict(bad.result, signature.domain, signature.selector, str(bad))
    except (NotBase64, ValueError):
        return Verdict("permerror", signature.domain, signature.selector, "b or bh is not base64")
    if sha256(canonical).digest() != claimed:
        return Verdict("fail", signature.domain, signature.selector, "the body was changed")
    digest = _header_hash(signature, fields, canon_header)
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(proof, digest, PKCS1v15(), Prehashed(SHA256()))
        else:
            key.verify(proof, digest)
    except InvalidSignature:
        return Verdict("fail", signature.domain, signature.selector, "the signature is not of this header")
    return Verdict("pass", signature.domain, signature.selector)


def sign(
    octets: bytes,
    key: PrivateKey,
    domain: str,
    selector: str,
    wall: float,
    lifetime: float = 14 * 86400.0,
    limits: HeadLimits = LIMITS,
) -> bytes:
    """The DKIM-Signature field for a message, with its CRLF: relaxed/relaxed, valid for `lifetime` seconds."""
    found = head(octets, limits)
    fields, body = found.fields, octets[found.body :]
    there = [field.name.decode() for field in fields]
    names: list[str] = []
    for name in SIGNED:
        names += [name] * (there.count(name) + (name in OVERSIGNED))
    algorithm = "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ed25519-sha256"
    digest = b64encode(sha256(canonical_body(body, "relaxed")).digest()).decode()
    unsigned = (
        f"DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; d={domain}; s={selector};\r\n"
        f"\tt={int(wall)}; x={int(wall + lifetime)};\r\n\th={_folded(names)};\r\n\tbh={digest};\r\n\tb="
    ).encode()
    made = parse_signature(unsigned + b"\r\n")
    hashed = _header_hash(made, fields, "relaxed")
    proof = key.sign(hashed, PKCS1v15(), Prehashed(SHA256())) if isinstance(key, RSAPrivateKey) else key.sign(hashed)
    text = b64encode(proof).decode()
    lines = [text[at : at + 72] for at in range(0, len(text), 72)]
    return unsigned + "\r\n\t ".join(lines).encode() + b"\r\n"


def public_record(key: PrivateKey) -> str:
    """The TXT record for a key (§3.6.1, RFC 8463 §4.2)."""
    if isinstance(key, RSAPrivateKey):
        octets = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={b64encode(octets).decode()}"
    return f"v=DKIM1; k=ed25519; p={b64encode(key.public_key().public_bytes_raw()).decode()}"


def canonical_body(body: bytes, how: str) -> bytes:
    """§3.4.3, §3.4.4."""
    if how == "relaxed":
        lines = [_SPACE.sub(b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
        body = b"\r\n".join(lines)
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    if not end:
        return b"" if how == "relaxed" else b"\r\n"
    return body[:end] + b"\r\n"


def canonical_field(octets: bytes, how: str) -> bytes:
    """§3.4.1, §3.4.2; with its CRLF."""
    if how == "simple":
        return octets
    name, _, value = octets.partition(b":")
    value = _SPACE.sub(b" ", _FOLD.sub(b"", value).replace(b"\r\n", b"")).strip(b" ")
    return name.rstrip(b" \t").lower() + b":" + value + b"\r\n"


def _header_hash(signature: Signature, fields: Sequence[Field], how: str) -> bytes:
    """Of the signed fields, each name's from the last one up, and of the signature's own without its `b=` (§3.7)."""
    left: dict[str, list[bytes]] = {}
    for field in fields:
        if field.raw is not signature.field:
            left.setdefault(field.name.decode(), []).append(field.raw)
    hashed = sha256()
    for name in signature.headers:
        if left.get(name):
            hashed.update(canonical_field(left[name].pop(), how))
    without = re.sub(rb"([;:\s]b[ \t\r\n]*=)[^;]*", rb"\1", signature.field.rstrip(b"\r\n"), count=1)
    hashed.update(canonical_field(without + b"\r\n", how).removesuffix(b"\r\n"))
    return hashed.digest()


def _folded(names: Sequence[str]) -> str:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > 68:
            lines.append("")
        lines[-1] += name + ":"
    return "\r\n\t ".join(lines).rstrip(":")
