"""Server cookies that other servers of the same secret understand (RFC 7873 §5.2, RFC 9018 §4); pure."""

from collections.abc import Callable
from ipaddress import ip_address

CLIENT, SERVER = 8, 16
"""Octets of a client's and of our server cookie."""
OLDEST, RENEWED, FUTURE = 3600, 1800, 300
"""Seconds (RFC 9018 §4.3): a cookie is good for so long, replaced by a new one after so long, and may be so far ahead."""
_VERSION = b"\x01\0\0\0"
_MASK = 0xFFFFFFFFFFFFFFFF


class ServerCookies:
    """Makes and checks cookies. The secret is replaced every `rotation` seconds; the one before it stays good until then.

    `secret()` gives 16 random octets. Times are wall-clock seconds.
    """

    def __init__(self, secret: Callable[[], bytes], rotation: float) -> None:
        self._new_secret = secret
        self.rotation = rotation
        self._secrets: list[bytes] = [secret()]
        self._next: float | None = None

    def make(self, client: bytes, address: str, now: float) -> bytes:
        """The server cookie for a client cookie from an address."""
        self._rotate(now)
        stamp = _VERSION + (int(now) & 0xFFFFFFFF).to_bytes(4, "big")
        return stamp + _hash(self._secrets[0], client, stamp, address)

    def fresh(self, client: bytes, server: bytes, address: str, now: float) -> bytes | None:
        """None for a server cookie that is not ours or too old; else the one to send back, a new one where it is time."""
        self._rotate(now)
        stamp = server[:8]
        if len(server) != SERVER or stamp[:4] != _VERSION:
            return None
        age = (int(now) - int.from_bytes(stamp[4:], "big") + 0x80000000) % 0x100000000 - 0x80000000  # RFC 1982
        if not -FUTURE <= age <= OLDEST:
            return None
        for place, secret in enumerate(self._secrets):
            if _hash(secret, client, stamp, address) == server[8:]:
                return server if age <= RENEWED and place == 0 else self.make(client, address, now)
        return None

    def _rotate(self, now: float) -> None:
        if self._next is None:
            self._next = now + self.rotation
        elif now >= self._next:
            self._next = now + self.rotation
            self._secrets = [self._new_secret(), self._secrets[0]]


def _hash(secret: bytes, client: bytes, stamp: bytes, address: str) -> bytes:
    return siphash24(secret, client + stamp + ip_address(address.partition("%")[0]).packed)


def siphash24(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4 of Aumasson and Bernstein, 8 octets, as RFC 9018 §4.4 has them."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rounds(count: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0 = v0 + v1 & _MASK
            v1 = (v1 << 13 | v1 >> 51) & _MASK ^ v0
            v0 = (v0 << 32 | v0 >> 32) & _MASK
            v2 = v2 + v3 & _MASK
            v3 = (v3 << 16 | v3 >> 48) & _MASK ^ v2
            v0 = v0 + v3 & _MASK
            v3 = (v3 << 21 | v3 >> 43) & _MASK ^ v0
            v2 = v2 + v1 & _MASK
            v1 = (v1 << 17 | v1 >> 47) & _MASK ^ v2
            v2 = (v2 << 32 | v2 >> 32) & _MASK

    whole = len(data) & ~7
    for at in range(0, whole, 8):
        word = int.from_bytes(data[at : at + 8], "little")
        v3 ^= word
        rounds(2)
        v0 ^= word
    last = int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56
    v3 ^= last
    rounds(2)
    v0 ^= last
    v2 ^= 0xFF
    rounds(4)
    return (v0 ^ v1 ^ v2 ^ v3).to_bytes(8, "little")
