"""Server cookies that other servers of the same secret understand (RFC 7873 §5.2, RFC 9018 §4); pure."""

from collections.abc import Callable, Sequence
from hashlib import blake2s
from hmac import compare_digest
from ipaddress import ip_address

CLIENT, SERVER = 8, 16
"""Octets of a client's and of our server cookie."""
OLDEST, RENEWED, FUTURE = 3600, 1800, 300
"""Seconds (RFC 9018 §4.3): a cookie is good for so long, replaced by a new one after so long, and may be so far ahead."""
_VERSION = b"\x01\0\0\0"
_MASK = 0xFFFFFFFFFFFFFFFF
_EACH, _LAST = range(2), range(4)


Secrets = Callable[[float], Sequence[bytes]]
"""The secrets at a time: cookies are made with the first, and are good that were made with any."""


def derived(master: bytes, rotation: float) -> Secrets:
    """A new secret every `rotation` seconds, the one before it stays good until the next: the same for all with a master."""
    kept: dict[int, Sequence[bytes]] = {}

    def secrets(now: float) -> Sequence[bytes]:
        turn = int(now // rotation)
        if turn not in kept:
            kept.clear()
            kept[turn] = [_part(master, turn), _part(master, turn - 1)]
        return kept[turn]

    return secrets


def _part(master: bytes, turn: int) -> bytes:
    return blake2s(turn.to_bytes(16, "big", signed=True), key=master, digest_size=16).digest()


def secrets_from_text(text: str) -> tuple[bytes, ...]:
    """Secrets as BIND's cookie-secret has them: 32 hexadecimal digits a line; "#" begins a comment. Raises ValueError."""
    words = [line.partition("#")[0].strip() for line in text.splitlines()]
    try:
        found = tuple(bytes.fromhex(word) for word in words if word)
    except ValueError:
        found = (b"",)
    if not found or any(len(each) != 16 for each in found):
        raise ValueError("expected secrets of 32 hexadecimal digits, one a line")
    return found


class ServerCookies:
    """Makes and checks cookies. Times are wall-clock seconds."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def make(self, client: bytes, address: str, now: float) -> bytes:
        """The server cookie for a client cookie from an address."""
        stamp = _VERSION + (int(now) & 0xFFFFFFFF).to_bytes(4, "big")
        return stamp + _hash(self._secrets(now)[0], client, stamp, address)

    def fresh(self, client: bytes, server: bytes, address: str, now: float) -> bytes | None:
        """None for a server cookie that is not ours or too old; else the one to send back, a new one where it is time."""
        stamp = server[:8]
        if len(server) != SERVER or stamp[:4] != _VERSION:
            return None
        age = (int(now) - int.from_bytes(stamp[4:], "big") + 0x80000000) % 0x100000000 - 0x80000000  # RFC 1982
        if not -FUTURE <= age <= OLDEST:
            return None
        for place, secret in enumerate(self._secrets(now)):
            if compare_digest(_hash(secret, client, stamp, address), server[8:]):
                return server if age <= RENEWED and place == 0 else self.make(client, address, now)
        return None


def _hash(secret: bytes, client: bytes, stamp: bytes, address: str) -> bytes:
    return siphash24(secret, client + stamp + ip_address(address.partition("%")[0]).packed)


def siphash24(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4 of Aumasson and Bernstein, 8 octets, as RFC 9018 §4.4 has them."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    whole = len(data) & ~7
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in (*words, None):
        if word is None:
            v2 ^= 0xFF
            rounds = _LAST
        else:
            v3 ^= word
            rounds = _EACH
        for _ in rounds:
            v0 = v0 + v1 & _MASK
            v1 = (v1 << 13 & _MASK | v1 >> 51) ^ v0
            v0 = v0 << 32 & _MASK | v0 >> 32
            v2 = v2 + v3 & _MASK
            v3 = (v3 << 16 & _MASK | v3 >> 48) ^ v2
            v0 = v0 + v3 & _MASK
            v3 = (v3 << 21 & _MASK | v3 >> 43) ^ v0
            v2 = v2 + v1 & _MASK
            v1 = (v1 << 17 & _MASK | v1 >> 47) ^ v2
            v2 = v2 << 32 & _MASK | v2 >> 32
        if word is not None:
            v0 ^= word
    return (v0 ^ v1 ^ v2 ^ v3).to_bytes(8, "little")
