"""Certificates: the world's authority, and the leaves that it issues."""

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from random import Random, SystemRandom
from warnings import catch_warnings, simplefilter

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey
PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


class TLSError(Exception):
    """A certificate, key or trust is missing or wrong, here or at the peer; the text says which."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server's certificate with its key and the certificates that lead to the CA."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names of the certificate, in lower case."""
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ()
        return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))

    @classmethod
    def from_pem(cls, certificates: bytes, key: bytes) -> "Leaf":
        """From PEM: the leaf first, its chain after it. Raises TLSError when they are unreadable or do not fit."""
        try:
            leaf, *chain = x509.load_pem_x509_certificates(certificates)
        except ValueError as error:
            raise TLSError(f"no PEM certificate: {error}") from error
        try:
            private = load_pem_private_key(key, None)
        except (ValueError, TypeError) as error:
            raise TLSError(f"no PEM private key without a password: {error}") from error
        if not isinstance(private, Key):
            raise TLSError("the private key is neither RSA, ECDSA nor Ed25519")
        if private.public_key() != leaf.public_key():
            raise TLSError("the private key does not belong to the certificate")
        return cls(leaf, private, tuple(chain))

    @classmethod
    def from_files(cls, certificate: str | Path, key: str | Path) -> "Leaf":
        """From two PEM files; raises TLSError that names the file."""
        read = []
        for path in (certificate, key):
            try:
                read.append(Path(path).read_bytes())
            except OSError as error:
                raise TLSError(f"{path}: {error.strerror}") from error
        try:
            return cls.from_pem(*read)
        except TLSError as error:
            raise TLSError(f"{certificate}, {key}: {error}") from error

    def pem(self) -> tuple[bytes, bytes]:
        """Certificate with chain, and key, as PEM."""
        return b"".join(_pem(each) for each in (self.certificate, *self.chain)), _key_pem(self.key)


class Authority:
    """A private certificate authority (RFC 5280): one for each world."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: Key,
        issue_key: Callable[[str], Key],
        serial: Callable[[str], int],
        validity: Callable[[], tuple[datetime, datetime]],
    ) -> None:
        self.certificate = certificate
        self._key: Key | None = key
        self._issue_key = issue_key
        self._serial = serial
        self._validity = validity

    @classmethod
    def kept(cls, directory: str | Path, wall: Callable[[], float], name: str = "netstack private CA") -> "Authority":
        """The CA in `directory` (ca.pem, ca.key of mode 0600), made at the first call and valid for ten years.

        Its keys are ECDSA P-256; leaves are valid for a year. Raises TLSError when the files are damaged.
        """
        directory = Path(directory)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate_path, key_path = directory / "ca.pem", directory / "ca.key"
        entropy = SystemRandom()

        def new_key(subject: str) -> Key:
            return generate_ec_key(SECP256R1())

        def new_serial(subject: str) -> int:
            return _serial(entropy)

        with (directory / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not certificate_path.exists():
                key = new_key(name)
                now = _utc(wall())
                certificate = _self_signed(name, key, new_serial(name), now - timedelta(days=1), now + timedelta(days=3653))
                _write(key_path, _key_pem(key), 0o600)
                _write(certificate_path, _pem(certificate), 0o644)  # last: it says that both are there
        try:
            own = Leaf.from_files(certificate_path, key_path)
        except TLSError as error:
            raise TLSError(f"the CA is damaged: {error}; remove {directory} to make a new one") from error

        def validity() -> tuple[datetime, datetime]:
            now = _utc(wall())
            return now - timedelta(days=1), min(now + timedelta(days=365), own.certificate.not_valid_after_utc)

        return cls(own.certificate, own.key, new_key, new_serial, validity)

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes, wall: Callable[[], float]) -> "Authority":
        """One that others have made; its keys are ECDSA P-256, its leaves valid for a year. Raises TLSError."""
        own = Leaf.from_pem(certificate, key)
        entropy = SystemRandom()

        def validity() -> tuple[datetime, datetime]:
            now = _utc(wall())
            return now - timedelta(days=1), min(now + timedelta(days=365), own.certificate.not_valid_after_utc)

        return cls(
            own.certificate,
            own.key,
            lambda subject: generate_ec_key(SECP256R1()),
            lambda subject: _serial(entropy),
            validity,
        )

    @classmethod
    def seeded(cls, rng: Random, start: float, end: float, name: str = "netstack simulated CA") -> "Authority":
        """The same CA and the same leaves for the same generator, valid from `start` to `end` (seconds since 1970).

        Keys are Ed25519 and serials of fixed length, so that the size of a handshake repeats; what a leaf gets depends on
        its names alone, not on the order of issue.
        """
        base = rng.randbytes(32)
        validity = _utc(start), _utc(end)

        def new_key(subject: str) -> Key:
            return Ed25519PrivateKey.from_private_bytes(sha256(base + b"key" + subject.encode()).digest())

        def new_serial(subject: str) -> int:
            return _serial(Random(sha256(base + b"serial" + subject.encode()).digest()))

        key = new_key("")
        certificate = _self_signed(name, key, new_serial(""), *validity)
        return cls(certificate, key, new_key, new_serial, lambda: validity)

    def issue(self, names: Iterable[str], addresses: Iterable[str] = ()) -> Leaf:
        """A server's leaf for DNS names (also `*.zone`) and IP addresses. Raises TLSError once the key is dropped.

        A name with "://" is a URI; who has one is a client, too: it is somebody, and not only a place.
        """
        names, addresses = tuple(names), tuple(addresses)
        subjects = (*names, *addresses)
        if not subjects:
            raise TLSError("a certificate needs a name or an address")
        key = self._issue_key(" ".join(subjects))
        return Leaf(self._signed(key.public_key(), names, addresses, *self._validity(), " ".join(subjects)), key)

    def certify(self, public: PublicKey, names: Iterable[str], start: float, end: float) -> x509.Certificate:
        """A certificate for a key of somebody else's, between two times of the wall clock; names as with `issue`."""
        own = self.certificate
        first = max(_utc(start), own.not_valid_before_utc)
        about = f"{public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()} {start}"
        return self._signed(public, tuple(names), (), first, min(_utc(end), own.not_valid_after_utc), about)

    def _signed(
        self, public: PublicKey, names: Sequence[str], addresses: Sequence[str], start: datetime, end: datetime, about: str
    ) -> x509.Certificate:
        """`about`: what its serial number follows from, where that is to repeat."""
        if self._key is None:
            raise TLSError("the CA's key was dropped: no more certificates")
        subjects = (*names, *addresses)
        uses = [ExtendedKeyUsageOID.SERVER_AUTH]
        if any("://" in name for name in names):
            uses.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subjects[0]))
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(self._serial(about))
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(
                    [
                        *(_general(name) for name in names),
                        *(x509.IPAddress(ip_address(address)) for address in addresses),
                    ]
                ),
                critical=False,
            )
        )
        return builder.sign(self._key, _hash(self._key))

    def drop_key(self) -> None:
        """Forget the CA's key in this object (its file stays): nothing can be issued any more."""
        self._key = None

    def pem(self) -> bytes:
        """The CA's certificate, to be given to clients: as PEM, a bundle of one."""
        return _pem(self.certificate)


def authorities(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM file; in a bundle of many, those that cannot be read are left out.

    Raises ValueError where there is none that can.
    """
    end = b"-----END CERTIFICATE-----"
    blocks = [block + end for block in pem.split(end)[:-1]]
    found: list[x509.Certificate] = []
    with catch_warnings():
        simplefilter("ignore", CryptographyDeprecationWarning)  # old authorities in the system's bundle
        for block in blocks:
            try:
                found.append(x509.load_pem_x509_certificate(block))
            except ValueError:
                if len(blocks) == 1:
                    raise
    if not found:
        raise ValueError("no certificate in it")
    return found


def _self_signed(name: str, key: Key, serial: int, start: datetime, end: datetime) -> x509.Certificate:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name))
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, _hash(key))
    )


def _general(name: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)


def _key_usage(sign: bool) -> x509.KeyUsage:
    """A leaf signs handshakes, a CA certificates (RFC 5280 §4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=not sign,
        crl_sign=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _serial(rng: Random) -> int:
    """Positive, and 16 octets long whatever the number (RFC 5280 §4.1.2.2)."""
    return (1 << 126) | rng.getrandbits(126)


def _hash(key: Key) -> hashes.SHA256 | None:
    return None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
