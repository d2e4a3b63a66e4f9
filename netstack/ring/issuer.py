"""The issuer of nodes' certificates: a joiner shows a token and a key, and gets a certificate that lives shortly.

`POST /certificates` with `Authorization: Bearer TOKEN` (RFC 6750 §2.1) and a certification request (RFC 2986, PEM or DER),
whose signature proves that the joiner has the key; the answer is the certificate and the authority's, PEM. The first key
that comes with a token is its only one: so a token is good for one place on the circle, and renewing is asking again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netstack.http.answers import content, error
from netstack.http.application import Call
from netstack.http.events import Respond
from netstack.http.forms import media_type_of
from netstack.http.wire import Request
from netstack.kernel.authority import Authority
from netstack.kernel.machine import Machine
from netstack.ring.identity import Profile, uri
from netstack.ring.metrics import IssuerCounts
from netstack.sansio import Peer
from netstack.sansio.bounds import all_positive
from netstack.sansio.rates import Rates, network_of

PATH = "/certificates"
MEDIA = "application/pkcs10"
CHAIN = "application/pem-certificate-chain"
BOUND = "issuer/bound"
"""File of the disk: which key each token has."""
LEAST_TOKEN = 16
SYNC = 0.002
"""Seconds that a write takes in the simulation."""
PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True)
class IssuerLimits:
    """Of an issuer."""

    seconds: float = 86400.0
    """That a certificate lives."""
    rate: float = 60.0
    """Requests of one network (/24, /56) in a minute: 429."""
    request: int = 16 * 1024
    """Octets of a request: 413."""

    def __post_init__(self) -> None:
        all_positive(self)


def parse_tokens(text: str, profile: Profile) -> dict[str, int | None]:
    """Lines `TOKEN`, with the identifier that it is for in the profile `given`; "#" begins a comment. Raises ValueError."""
    found: dict[str, int | None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words[0]) < LEAST_TOKEN or not words[0].isascii():
            raise ValueError(f"line {number}: expected a token of at least {LEAST_TOKEN} characters")
        if len(words) != (2 if profile == "given" else 1) or (len(words) == 2 and not words[1].isdigit()):
            expected = "a token and an identifier" if profile == "given" else "a token alone"
            raise ValueError(f"line {number}: expected {expected}")
        found[words[0]] = int(words[1]) if len(words) == 2 else None
    return found


class Issuer:
    """Implements http.application.Application."""

    def __init__(
        self,
        machine: Machine,
        authority: Authority,
        network: str,
        tokens: Mapping[str, int | None],
        counts: IssuerCounts,
        limits: IssuerLimits | None = None,
    ) -> None:
        """Reads which keys tokens have; raises ValueError where that cannot be read."""
        self.limits = limits or IssuerLimits()
        self._machine = machine
        self._authority = authority
        self._network = network
        self._tokens = {sha256(token.encode()).hexdigest(): ident for token, ident in tokens.items()}
        self._counts = counts
        self._rates = Rates(self.limits.rate)
        self._bound: dict[str, str] = {}
        try:
            read = json.loads(machine.disk.read(BOUND))
        except FileNotFoundError:
            read = {}
        except ValueError as wrong:
            raise ValueError(f"{BOUND}: {wrong}") from None
        if not isinstance(read, dict):
            raise ValueError(f"{BOUND}: expected an object")
        self._bound.update(read)

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        if request.path != PATH:
            return self._refused("nothing", 404, f"Certificates are asked for at {PATH}.")
        if request.method != "POST":
            return self._refused("nothing", 405, "A certificate is asked for by POST.", b"Allow: POST\r\n")
        if peer.security is None:
            return self._refused("nothing", 403, "A token must not cross the network in the clear: this is for HTTPS only.")
        if not self._rates.take(network_of(peer.remote[0]), self._machine.reactor.seconds() / 60):
            return self._refused("rate", 429, "Too many requests from your network.", b"Retry-After: 60\r\n")
        if self._token(request) is None:
            challenge = b'WWW-Authenticate: Bearer realm="ring"\r\n'
            return self._refused(
                "token", 401, "A certificate is for who has a token: Authorization: Bearer TOKEN.", challenge
            )
        if media_type_of(request) != MEDIA:
            return self._refused("request", 415, f"The content has to be {MEDIA}.", f"Accept: {MEDIA}\r\n".encode())
        if not request.chunked and request.length > self.limits.request:
            return self._refused("request", 413, f"A request has at most {self.limits.request} octets.")
        return None

    async def answer(self, call: Call) -> Respond:
        token = self._token(call.request)
        if token is None:
            return self._refused("token", 401, "There is no such token.")
        if len(call.body) > self.limits.request:
            return self._refused("request", 413, f"A request has at most {self.limits.request} octets.")
        try:
            public = _public_key(call.body)
        except (ValueError, UnsupportedAlgorithm) as wrong:
            return self._refused("request", 422, f"No request that can be granted: {wrong}.")
        print_ = sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
        if self._bound.get(token, print_) != print_:
            return self._refused("key", 403, "This token is another key's.")
        if token not in self._bound:
            self._bound[token] = print_
            kept = json.dumps(self._bound, sort_keys=True).encode()
            try:
                await self._machine.offload(lambda: self._machine.disk.write(BOUND, kept), SYNC)
            except OSError:
                del self._bound[token]
                return self._refused("disk", 503, "What is granted cannot be kept here.", b"Retry-After: 60\r\n")
        return content(201, CHAIN, self.certify(public, self._tokens[token]), b"Cache-Control: no-store\r\n")

    def certify(self, public: PublicKey, ident: int | None) -> bytes:
        """A certificate, and the authority's, as PEM."""
        now = self._machine.wall()
        leaf = self._authority.certify(public, (uri(self._network, ident),), now - 60.0, now + self.limits.seconds)
        self._counts.issued += 1
        return leaf.public_bytes(Encoding.PEM) + self._authority.pem()

    def _token(self, request: Request) -> str | None:
        """The digest of a token that is known: comparing digests tells nobody how much of a guess is right."""
        scheme, _, token = request.fields.get("authorization", "").partition(" ")
        digest = sha256(token.strip().encode()).hexdigest()
        return digest if scheme.lower() == "bearer" and digest in self._tokens else None

    def _refused(self, why: str, status: int, text: str, fields: bytes = b"") -> Respond:
        self._counts.refused[why] += 1
        return error(status, text, fields)


def _public_key(body: bytes) -> PublicKey:
    """Of a request that was signed with it. Raises ValueError."""
    load = x509.load_pem_x509_csr if body.lstrip().startswith(b"-----BEGIN") else x509.load_der_x509_csr
    try:
        request = load(body)
        proved = request.is_signature_valid
        public = request.public_key()
    except (ValueError, TypeError) as wrong:
        raise ValueError(f"it is no certification request: {str(wrong)[:100]}") from None
    if not proved:
        raise ValueError("its signature does not prove that you have the key")
    if not isinstance(public, PublicKey) or (isinstance(public, RSAPublicKey) and public.key_size < 2048):
        raise ValueError("expected a key of ECDSA, Ed25519, or RSA with at least 2048 bits")
    if isinstance(public, EllipticCurvePublicKey) and public.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
        raise ValueError(f"expected one of NIST's curves, not {public.curve.name}")
    return public
