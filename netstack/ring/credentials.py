"""A node's key and certificate: from files, or from an issuer, which is asked again in time, without a restart.

The key is made once and kept: in the profile `hashed` it is the node's place on the circle. Until there is a certificate,
the node shows one of its own making, which nobody trusts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from netstack.http.client import ClientOptions, fetch
from netstack.http.limits import HTTPLimits
from netstack.http.links import FetchError
from netstack.kernel.authority import Key, Leaf, TLSError
from netstack.kernel.machine import Machine
from netstack.ring.metrics import RingCounts
from netstack.sansio.bounds import positive

KEY, CERTIFICATE = "node/key.pem", "node/certificate.pem"
"""Files of the disk."""
PATH, MEDIA = "/certificates", "application/pkcs10"
ANSWER = 64 * 1024
"""Octets of an issuer's answer."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """Times in seconds."""

    part: float = 0.66
    """Of a certificate's life after which a new one is asked for."""
    retry: float = 5.0
    """After the issuer has not given one, until it is asked again; doubled each time."""
    most_retry: float = 300.0
    """The longest such time."""
    timeout: float = 10.0
    """For the issuer's answer."""

    def __post_init__(self) -> None:
        for name in ("part", "retry", "most_retry", "timeout"):
            positive(f"renew_{name}", getattr(self, name))
        if not self.part < 1:
            raise ValueError(f"renew_part: expected less than 1, got {self.part}")


def kept_key(machine: Machine) -> Key:
    """This node's key, made at the first call. Raises TLSError where the file is damaged."""
    try:
        pem = machine.disk.read(KEY)
    except FileNotFoundError:
        made = Ed25519PrivateKey.from_private_bytes(machine.rng.randbytes(32))
        machine.disk.write(KEY, _pem(made))
        return made
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise TLSError(f"{KEY}: no PEM private key: {error}") from None
    if not isinstance(key, Key):
        raise TLSError(f"{KEY}: the private key is neither RSA, ECDSA nor Ed25519")
    return key


def public_der(key: Key) -> bytes:
    """Of what the identifier is the hash."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class Credentials(Service):
    """The leaf of the moment."""

    log = Logger()

    def __init__(self, machine: Machine, leaf: Leaf, counts: RingCounts) -> None:
        self.leaf = leaf
        self._waiting: list[Deferred[None]] = []
        self._is_certified = False
        self._machine = machine
        self._use(leaf)
        counts.certificate_end = lambda: self.leaf.certificate.not_valid_after_utc.timestamp()

    def certified(self) -> "Deferred[None]":
        """Fires when there is a leaf that others may trust."""
        waiting: Deferred[None] = Deferred()
        if self._is_certified:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def _use(self, leaf: Leaf) -> None:
        self.leaf = leaf
        self._is_certified = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)


class IssuedCredentials(Credentials):
    """From an issuer: what was kept of it while it is valid, asked for again in time."""

    def __init__(
        self,
        machine: Machine,
        key: Key,
        issuer: str,
        token: str,
        counts: RingCounts,
        check: Callable[[x509.Certificate], None],
        renewal: Renewal,
    ) -> None:
        """`issuer`: its URL without a path. `check` raises an error that says why a certificate is not this node's."""
        self._issuer, self._token = issuer.rstrip("/"), token
        self._key = key
        self._check = check
        self._renewal = renewal
        self._counts = counts
        self._call: IDelayedCall | None = None
        self._asking: Deferred[None] | None = None
        self._pause = renewal.retry
        self._own = Leaf(_uncertified(key, machine), key)
        super().__init__(machine, self._own, counts)

    def _use(self, leaf: Leaf) -> None:
        if leaf is self._own:
            self.leaf = leaf
        else:
            super()._use(leaf)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        try:
            kept = Leaf.from_pem(self._machine.disk.read(CERTIFICATE), _pem(self._key))
            self._check(kept.certificate)
        except FileNotFoundError:
            kept = None
        except Exception as error:
            self.log.warn("{name}: {error}; a new certificate is asked for", name=self._machine.name, error=error)
            kept = None
        if kept is not None and kept.certificate.not_valid_after_utc.timestamp() > self._machine.wall():
            self._use(kept)
        self._plan()

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._asking is not None:
            self._asking.cancel()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)  # who waits sees that all stops

    def _plan(self) -> None:
        """When the next one is asked for."""
        certificate = self.leaf.certificate
        start, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        due = start + self._renewal.part * (end - start) if self.leaf is not self._own else 0.0
        self._call = self._machine.reactor.callLater(max(0.0, due - self._machine.wall()), self._ask)

    def _ask(self) -> None:
        self._asking = Deferred.fromCoroutine(self._renew())
        self._asking.addErrback(lambda failure: self._failed(failure.getErrorMessage()) if self.running else None)

    async def _renew(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._machine.name[:64])])
        algorithm = None if isinstance(self._key, Ed25519PrivateKey) else SHA256()
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self._key, algorithm)
        options = ClientOptions(timeout=self._renewal.timeout, http=HTTPLimits(body=ANSWER))
        fields = (("Authorization", f"Bearer {self._token}"), ("Content-Type", MEDIA))
        found = await fetch(self._machine, self._issuer + PATH, "POST", fields, request.public_bytes(Encoding.PEM), options)
        if found.status not in (200, 201):
            raise FetchError(f"{self._issuer} says {found.status} {found.reason}")
        leaf = Leaf.from_pem(found.body, _pem(self._key))
        self._check(leaf.certificate)
        await self._machine.offload(lambda: self._machine.disk.write(CERTIFICATE, found.body), 0.002)
        self._counts.renewals["done"] += 1
        self._pause = self._renewal.retry
        self._use(leaf)
        self.log.info(
            "{name} has a certificate until {end}",
            name=self._machine.name, end=leaf.certificate.not_valid_after_utc.isoformat(),
        )  # fmt: skip
        if self.running:
            self._plan()

    def _failed(self, why: str) -> None:
        self._counts.renewals["failed"] += 1
        self.log.warn("{name} gets no certificate: {why}; it asks again", name=self._machine.name, why=why)
        self._call = self._machine.reactor.callLater(self._pause, self._ask)
        self._pause = min(2 * self._pause, self._renewal.most_retry)


def _pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _uncertified(key: Key, machine: Machine) -> x509.Certificate:
    """By nobody but the key itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "not certified yet")])
    now = datetime.fromtimestamp(machine.wall(), UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1 + machine.rng.getrandbits(64)).not_valid_before(now - timedelta(days=1))
    return builder.not_valid_after(now).sign(key, None if isinstance(key, Ed25519PrivateKey) else SHA256())
