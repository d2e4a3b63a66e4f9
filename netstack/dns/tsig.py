"""Transaction signatures (RFC 8945): shared keys, the check of a signed message, the signing of replies; pure.

The MAC is dnspython's, compared in constant time; the time comes from the caller. Secrets are in no text and no repr.
"""

import base64
import binascii
import hmac
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dns.exception
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.tsig
from dns.name import Name
from dns.rcode import Rcode

from netstack.dns.wire import HEADER, MalformedMessage, name_text

FUDGE = 300
"""Seconds that two clocks may differ (RFC 8945 §10)."""
UNSIGNED = 99
"""Messages of a transfer that may follow each other unsigned (RFC 8945 §5.3.1)."""
_FULL = {
    dns.tsig.HMAC_MD5: 16,
    dns.tsig.HMAC_SHA1: 20,
    dns.tsig.HMAC_SHA224: 28,
    dns.tsig.HMAC_SHA256: 32,
    dns.tsig.HMAC_SHA384: 48,
    dns.tsig.HMAC_SHA512: 64,
}
"""Octets of a whole MAC (RFC 8945 §6)."""
_ERRORS = {16: "BADSIG", 17: "BADKEY", 18: "BADTIME", 22: "BADTRUNC"}
"""RFC 8945 §3; 16 is BADVERS where EDNS says it."""
_CLAUSE = re.compile(r'key\s+"?([^\s"{]+)"?\s*\{([^}]*)\}\s*;')
_FIELD = re.compile(r'(algorithm|secret)\s+"?([^\s";]+)"?\s*;')
_COMMENT = re.compile(r"/\*.*?\*/|(?://|#)[^\n]*", re.DOTALL)


class UnusableKey(ValueError):
    """A key file cannot be used; the text says what was expected and never holds a secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that two hosts share, under a name that both know."""

    name: Name
    algorithm: Name
    secret: bytes = field(repr=False)

    @classmethod
    def make(cls, name: str, secret: bytes, algorithm: str = "hmac-sha256") -> "Key":
        """From text; raises UnusableKey."""
        try:
            owner, kind = dns.name.from_text(name).canonicalize(), dns.name.from_text(algorithm).canonicalize()
        except dns.exception.DNSException as error:
            raise UnusableKey(f"key {name!r}: expected a domain name for key and algorithm") from error
        if kind == dns.name.from_text("hmac-md5"):
            kind = dns.tsig.HMAC_MD5.canonicalize()
        if kind not in _FULL:
            known = ", ".join(name_text(each) for each in _FULL)
            raise UnusableKey(f"key {name}: expected one of the algorithms {known}, got {algorithm!r}")
        if not secret:
            raise UnusableKey(f"key {name}: expected a secret")
        return cls(owner, kind, secret)

    def mac(self, *parts: bytes) -> bytes:
        """The MAC over the parts joined."""
        return bytes(self._context(parts).sign())

    def matches(self, mac: bytes, *parts: bytes) -> bool:
        """Whether a whole MAC is that of the parts; takes the same time wherever it differs."""
        try:
            self._context(parts).verify(mac)
        except dns.tsig.BadSignature:
            return False
        return True

    def _context(self, parts: Iterable[bytes]) -> Any:
        theirs: Any = dns.tsig
        context = theirs.get_context(theirs.Key(self.name, self.secret, self.algorithm))
        for part in parts:
            context.update(part)
        return context


Keyring = Mapping[Name, Key]


def keyring(keys: Iterable[Key]) -> dict[Name, Key]:
    """Keys by name; raises UnusableKey when a name comes twice."""
    made: dict[Name, Key] = {}
    for key in keys:
        if key.name in made:
            raise UnusableKey(f"key {name_text(key.name)} is given more than once")
        made[key.name] = key
    return made


def keys_from_text(text: str) -> list[Key]:
    """The `key` clauses of a file as `tsig-keygen` writes it and BIND, NSD and nsupdate read it; raises UnusableKey."""
    found = []
    plain = _COMMENT.sub("", text)
    if _CLAUSE.sub("", plain).strip():
        raise UnusableKey('expected clauses such as key "NAME" { algorithm hmac-sha256; secret "BASE64"; }; alone')
    for name, body in _CLAUSE.findall(plain):
        fields = dict(_FIELD.findall(body))
        if set(fields) != {"algorithm", "secret"}:
            raise UnusableKey(f"key {name}: expected an algorithm and a secret")
        try:
            secret = base64.b64decode(fields["secret"], validate=True)
        except binascii.Error:
            raise UnusableKey(f"key {name}: expected the secret in base64") from None
        found.append(Key.make(name, secret, fields["algorithm"]))
    if not found:
        raise UnusableKey("expected at least one key clause")
    return found


@dataclass(frozen=True, slots=True)
class Signature:
    """A TSIG record (RFC 8945 §4.2)."""

    key: Name
    algorithm: Name
    time: int
    fudge: int
    mac: bytes
    original_id: int
    error: int = 0
    other: bytes = b""

    def variables(self) -> bytes:
        """What the MAC covers of the record (RFC 8945 §4.3.3)."""
        return (
            _wire(self.key)
            + struct.pack("!HI", dns.rdataclass.ANY, 0)
            + _wire(self.algorithm)
            + self.timers()
            + struct.pack("!HH", self.error, len(self.other))
            + self.other
        )

    def timers(self) -> bytes:
        """What the MAC of a later message of a transfer covers (RFC 8945 §5.3.1)."""
        return struct.pack("!QH", self.time, self.fudge)[2:]

    def record(self) -> bytes:
        """The resource record."""
        rdata = (
            _wire(self.algorithm)
            + self.timers()
            + struct.pack("!H", len(self.mac))
            + self.mac
            + struct.pack("!HHH", self.original_id, self.error, len(self.other))
            + self.other
        )
        return _wire(self.key) + struct.pack("!HHIH", dns.rdatatype.TSIG, dns.rdataclass.ANY, 0, len(rdata)) + rdata

    def attached(self, message: bytes) -> bytes:
        """The message with this record as its last."""
        count = int.from_bytes(message[10:12], "big") + 1
        return message[:10] + count.to_bytes(2, "big") + message[12:] + self.record()


def split(data: bytes) -> tuple[bytes, Signature | None]:
    """A message without its TSIG record and as it was signed, and the record; raises MalformedMessage.

    A TSIG record that is not the last of the additional section is malformed (RFC 8945 §5.2).
    """
    if len(data) < HEADER:
        raise MalformedMessage("shorter than a header")
    questions, *counts = struct.unpack("!4H", data[4:12])
    try:
        at = HEADER
        for _ in range(questions):
            at = _after_name(data, at) + 4
        left = sum(counts)
        while left:
            left -= 1
            fixed = _after_name(data, at)
            rdtype, _, _, length = struct.unpack("!HHIH", data[fixed : fixed + 10])
            if rdtype == dns.rdatatype.TSIG:
                if left or not counts[2] or fixed + 10 + length != len(data):
                    raise MalformedMessage("a TSIG record that is not the last one")
                signature = _read(data, at, fixed, length)
                head = signature.original_id.to_bytes(2, "big") + data[2:10] + (counts[2] - 1).to_bytes(2, "big")
                return head + data[12:at], signature
            at = fixed + 10 + length
    except (IndexError, struct.error, dns.exception.DNSException) as error:
        raise MalformedMessage(f"{type(error).__name__}: {error}") from error
    return data, None


def _after_name(data: bytes, at: int) -> int:
    while True:
        length = data[at]
        if length >= 0xC0:
            return at + 2
        if length >= 0x40:
            raise MalformedMessage("an unknown kind of label")
        at += 1 + length
        if not length:
            return at


def _read(data: bytes, start: int, fixed: int, length: int) -> Signature:
    _, rdclass, ttl, _ = struct.unpack("!HHIH", data[fixed : fixed + 10])
    if rdclass != dns.rdataclass.ANY or ttl:
        raise MalformedMessage("a TSIG record of a class but ANY or with a TTL")
    owner, _ = dns.name.from_wire(data, start)
    at = fixed + 10
    end = at + length
    algorithm, used = dns.name.from_wire(data, at)
    at += used
    high, low, fudge, size = struct.unpack("!HIHH", data[at : at + 10])
    mac = data[at + 10 : at + 10 + size]
    at += 10 + size
    original, error, other = struct.unpack("!HHH", data[at : at + 6])
    rest = data[at + 6 : at + 6 + other]
    if at + 6 + other != end or len(mac) != size:
        raise MalformedMessage("a TSIG record whose lengths lie")
    return Signature(owner.canonicalize(), algorithm.canonicalize(), high << 32 | low, fudge, mac, original, error, rest)


class Signer:
    """Signs the messages of one reply, in order: the first covers the query's MAC, a later one that of its predecessor."""

    def __init__(self, key: Key, prior: bytes = b"", fudge: int = FUDGE) -> None:
        self.key = key
        self.fudge = fudge
        self.mac = prior
        self._first = True

    @property
    def size(self) -> int:
        """Octets that a signature adds to a message, but for the time of a BADTIME error."""
        return len(_wire(self.key.name)) + 10 + len(_wire(self.key.algorithm)) + 16 + _FULL[self.key.algorithm]

    def sign(self, message: bytes, wall: float, error: int = 0, time: int | None = None, other: bytes = b"") -> bytes:
        """The message with its signature. `time` is that of the query where the error is BADTIME."""
        signed = int(wall) if time is None else time
        identity = int.from_bytes(message[:2], "big")
        unsigned = Signature(self.key.name, self.key.algorithm, signed, self.fudge, b"", identity, error, other)
        covered = unsigned.variables() if self._first else unsigned.timers()
        mac = self.key.mac(_counted(self.mac), message, covered)
        self._first = False
        self.mac = mac
        return replace(unsigned, mac=mac).attached(message)


def _wire(name: Name) -> bytes:
    """Names of keys and algorithms are kept in lower case: their wire form is the canonical one."""
    return name.to_wire() or b""


def _counted(mac: bytes) -> bytes:
    return len(mac).to_bytes(2, "big") + mac if mac else b""


@dataclass(frozen=True, slots=True)
class Verified:
    """A query whose signature holds: `message` is what was signed."""

    key: Key
    message: bytes
    signer: Signer
    """For the replies."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """A query whose signature does not hold: the RCODE of the reply and the TSIG error in it (RFC 8945 §5.2)."""

    rcode: Rcode
    error: Rcode
    message: bytes
    signature: Signature
    key: Key | None = None
    """Where the error is signed: BADTIME, BADTRUNC."""

    def attach(self, reply: bytes, wall: float) -> bytes:
        """The reply with the TSIG record that tells the error; signed only where the query's own MAC was right."""
        theirs = self.signature
        if self.rcode != Rcode.NOTAUTH:
            return reply
        if self.key is None:
            identity = int.from_bytes(reply[:2], "big")
            return Signature(
                theirs.key, theirs.algorithm, theirs.time, theirs.fudge, b"", identity, int(self.error)
            ).attached(reply)  # fmt: skip
        signer = Signer(self.key, theirs.mac)
        if self.error == Rcode.BADTIME:  # RFC 8945 §5.2.3: the client's time, and the server's beside it
            server = struct.pack("!Q", int(wall))[2:]
            return signer.sign(reply, wall, int(self.error), theirs.time, server)
        return signer.sign(reply, wall, int(self.error))


def verify(data: bytes, keys: Keyring, wall: float) -> Verified | Unverified | None:
    """Check a query (RFC 8945 §5.2): key, then MAC, then time. None: it is not signed. Raises MalformedMessage."""
    message, signature = split(data)
    if signature is None:
        return None
    key = keys.get(signature.key)
    if key is None or key.algorithm != signature.algorithm:
        return Unverified(Rcode.NOTAUTH, Rcode.BADKEY, message, signature)
    whole = _FULL[key.algorithm]
    if len(signature.mac) > whole or len(signature.mac) < max(10, whole // 2):  # RFC 8945 §5.2.2.1
        return Unverified(Rcode.FORMERR, Rcode.BADSIG, message, signature)
    covered = (message, signature.variables())
    if len(signature.mac) < whole:
        truncated = hmac.compare_digest(key.mac(*covered)[: len(signature.mac)], signature.mac)
        error = Rcode.BADTRUNC if truncated else Rcode.BADSIG
        return Unverified(Rcode.NOTAUTH, error, message, signature, key if truncated else None)
    if not key.matches(signature.mac, *covered):
        return Unverified(Rcode.NOTAUTH, Rcode.BADSIG, message, signature)
    if abs(signature.time - int(wall)) > signature.fudge:
        return Unverified(Rcode.NOTAUTH, Rcode.BADTIME, message, signature, key)
    return Verified(key, message, Signer(key, signature.mac))


class BadReply(MalformedMessage):
    """A reply to a signed query is not signed as it must be: forged, damaged, or the server knows another key."""


class ReplyCheck:
    """Checks the messages of the reply to one signed query, in order (RFC 8945 §5.3)."""

    def __init__(self, key: Key, request_mac: bytes) -> None:
        self.key = key
        self._prior = _counted(request_mac)
        self._first = True
        self._held: list[bytes] = []

    def check(self, data: bytes, wall: float) -> bytes:
        """The message without its signature; raises BadReply. Unsigned ones count only once a signed one follows."""
        message, signature = split(data)
        if signature is None:
            if self._first or len(self._held) >= UNSIGNED:
                raise BadReply(f"the reply is not signed with key {name_text(self.key.name)}")
            self._held.append(message)
            return message
        if signature.error:
            said = _ERRORS.get(signature.error, str(signature.error))
            raise BadReply(f"the server says {said} of key {name_text(self.key.name)}")
        if (signature.key, signature.algorithm) != (self.key.name, self.key.algorithm):
            raise BadReply(f"signed with key {name_text(signature.key)}, expected {name_text(self.key.name)}")
        covered = signature.variables() if self._first else signature.timers()
        if not self.key.matches(signature.mac, self._prior, *self._held, message, covered):
            raise BadReply(f"the signature with key {name_text(self.key.name)} is wrong")
        if abs(signature.time - int(wall)) > signature.fudge:
            raise BadReply("the signature's time is too far from ours")
        self._prior, self._held, self._first = _counted(signature.mac), [], False
        return data[:2] + message[2:]

    @property
    def complete(self) -> bool:
        """Whether the last message was signed (RFC 8945 §5.3.1: that of a transfer must be)."""
        return not self._first and not self._held


def signed(reply: bytes) -> bool:
    """Whether a message of our own has a MAC: whoever gets it has proved to know the key."""
    _, signature = split(reply)
    return signature is not None and bool(signature.mac)


def signed_query(message: bytes, key: Key, wall: float) -> tuple[bytes, ReplyCheck]:
    """A client's message with its signature, and what checks the reply."""
    signer = Signer(key)
    return signer.sign(message, wall), ReplyCheck(key, signer.mac)
