"""TLS: contexts and layers for both sides. With `mutual.py`, `secure.py` and `binding.py` alone in touching OpenSSL.

Trust is the world's CA and nothing else; TLS 1.2 at least (RFC 8996). Nothing here asks the system for the time:
certificates are verified at the machine's wall clock, and Twisted's TLS layer gets the machine's reactor.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.exceptions import CertificateError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from netstack.kernel.authority import Leaf, TLSError, authorities
from netstack.kernel.binding import channel_binding
from netstack.sansio import Security
from netstack.sansio.contract import Fault


class TLS(Protocol):
    """A host's TLS identity and trust."""

    def server(self, factory: IProtocolFactory, alpn: Sequence[str] = ()) -> IProtocolFactory:
        """Wrap a listener's factory: leaves are chosen by SNI among those of this host."""

    def accepting(self, alpn: Sequence[str] = ()) -> Callable[[], SSL.Connection]:
        """What makes the TLS of each socket that a listener accepts, for `kernel/secure.py`; leaves as with `server`."""

    def client(self, factory: IProtocolFactory, hostname: str, alpn: Sequence[str] = ()) -> IProtocolFactory:
        """Wrap a client's factory: the server's name is verified (service-identity) against the world's CA."""

    def opportunistic(self, factory: IProtocolFactory, alpn: Sequence[str] = ()) -> IProtocolFactory:
        """Wrap a client's factory: nobody who only listens can read it, and nobody is authenticated (RFC 7435 §1.2)."""

    def start(
        self, transport: Any, protocol: Any, hostname: str | None, alpn: Sequence[str] = (), verify: bool = True
    ) -> Any:
        """STARTTLS on a connection in use: as a client of `hostname`, or as the server when it is None.

        Without `verify` any certificate will do, and `Security` says what is wrong with it and has the chain: who asks
        judges by himself (RFC 7435, RFC 7672). Returns the transport under TLS, which `protocol` writes to from now on; the
        plain one stays below it.
        """


class HostTLS:
    """One host's TLS: its leaves, the CAs that it trusts, its clocks. Implements `TLS`."""

    def __init__(
        self,
        reactor: Any,
        wall: Callable[[], float],
        leaves: Sequence[Leaf] = (),
        trust: Sequence[x509.Certificate] = (),
    ) -> None:
        self.leaves = tuple(leaves)
        self.trust = tuple(trust)
        self._reactor = reactor
        self._wall = wall
        self._creators: dict[tuple[str, ...], _ServerCreator] = {}

    @classmethod
    def from_files(
        cls,
        reactor: Any,
        wall: Callable[[], float],
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        trust: str | Path | None = None,
    ) -> "HostTLS":
        """For a service outside a world: PEM files of its leaf and chain, its key, and the CAs that its clients trust.

        Raises TLSError that names the file.
        """
        leaves: list[Leaf] = []
        if (certificate is None) != (key is None):
            raise TLSError("a certificate and its key go together: only one of them is given")
        if certificate is not None and key is not None:
            leaves.append(Leaf.from_files(certificate, key))
        trusted: list[x509.Certificate] = []
        if trust is not None:
            try:
                trusted = authorities(Path(trust).read_bytes())
            except OSError as error:
                raise TLSError(f"{trust}: {error.strerror}") from error
            except ValueError as error:
                raise TLSError(f"{trust}: no PEM certificate: {error}") from error
        return cls(reactor, wall, leaves, trusted)

    def renew(self, leaves: Sequence[Leaf]) -> None:
        """Other certificates for the connections that come from now on, also to listeners that are bound already."""
        self.leaves = tuple(leaves)
        for creator in self._creators.values():
            creator.renew(self.leaves)

    def server(self, factory: IProtocolFactory, alpn: Sequence[str] = ()) -> IProtocolFactory:
        wrapped: IProtocolFactory = self._layer(self._server_creator(alpn), False, factory)
        return wrapped

    def accepting(self, alpn: Sequence[str] = ()) -> Callable[[], SSL.Connection]:
        creator = self._server_creator(alpn)

        def connection() -> SSL.Connection:
            made = creator.serverConnectionForTLS(None)
            made.set_accept_state()
            return made

        return connection

    def client(self, factory: IProtocolFactory, hostname: str, alpn: Sequence[str] = ()) -> IProtocolFactory:
        wrapped: IProtocolFactory = self._layer(_ClientCreator(hostname, alpn, self.trust, self._wall), True, factory)
        return wrapped

    def opportunistic(self, factory: IProtocolFactory, alpn: Sequence[str] = ()) -> IProtocolFactory:
        wrapped: IProtocolFactory = self._layer(_AnybodyCreator(alpn), True, factory)
        return wrapped

    def start(
        self, transport: Any, protocol: Any, hostname: str | None, alpn: Sequence[str] = (), verify: bool = True
    ) -> Any:
        if hostname is None:
            factory: Any = self._layer(self._server_creator(alpn), False, None)
        else:
            factory = self._layer(_ClientCreator(hostname, alpn, self.trust, self._wall, verify), True, None)
        layer: TLSMemoryBIOProtocol = factory.protocol(factory, protocol, False)
        transport.protocol = layer
        protocol.transport = layer
        layer.makeConnection(transport)
        return layer

    def _layer(self, creator: Any, client: bool, factory: Any) -> Any:
        return _Layers(creator, client, factory, clock=self._reactor)

    def _server_creator(self, alpn: Sequence[str]) -> "_ServerCreator":
        key = tuple(alpn)
        if key not in self._creators:
            self._creators[key] = _ServerCreator(self.leaves, key)
        return self._creators[key]


class _Layer(TLSMemoryBIOProtocol):
    """Twisted's, for peers that take their leave (close_notify) in the middle of the handshake."""

    trouble = ""
    """What is wrong with the server's certificate, where that does not end the handshake."""
    fault: Fault = ""

    def security(self) -> Security:
        """What the handshake agreed on."""
        return agreed(self._tlsConnection, self.trouble, self.fault)

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if reason is not None and reason.check(SSL.ZeroReturnError):  # it has no arguments, and Twisted looks at them
            if self._reason is None:
                self._reason = Failure(ConnectionLost("closed during the TLS handshake"))
            reason = None
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]


class _Layers(TLSMemoryBIOFactory):
    """Twisted's, for factories that refuse a connection."""

    protocol = _Layer

    def buildProtocol(self, addr: Any) -> Any:
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)  # type: ignore[no-untyped-call]


def agreed(connection: SSL.Connection, trouble: str = "", fault: Fault = "") -> Security:
    """What the handshake of a connection agreed on."""
    name, alpn = connection.get_servername(), connection.get_alpn_proto_negotiated()
    return Security(
        connection.get_protocol_version_name(),
        connection.get_cipher_name() or "",
        name.decode("ascii", "replace") if name else None,
        alpn.decode("ascii") if alpn else None,
        partial(channel_binding, connection),
        partial(_chain, connection),
        trouble,
        fault,
    )


def _chain(connection: SSL.Connection) -> tuple[bytes, ...]:
    found = [each.to_cryptography().public_bytes(Encoding.DER) for each in connection.get_peer_cert_chain() or ()]
    own = connection.get_peer_certificate(as_cryptography=True)
    first = None if own is None else own.public_bytes(Encoding.DER)
    if first is not None and found[:1] != [first]:  # a server's chain does not begin with its client's
        found.insert(0, first)
    return tuple(found)


@implementer(IOpenSSLServerConnectionCreator)
class _ServerCreator:
    """Server connections: with the leaf that has the name asked for (RFC 6066 §3), the first one when none has it.

    Contexts are made for the first connection: most listeners of a world never see one.
    """

    def __init__(self, leaves: Sequence[Leaf], alpn: Sequence[str]) -> None:
        if not leaves:
            raise TLSError("a TLS listener needs a certificate and its key, and this host has none")
        self._offered = [name.encode("ascii") for name in alpn]
        self._by_name: dict[str, SSL.Context] = {}
        self.renew(leaves)

    def renew(self, leaves: Sequence[Leaf]) -> None:
        """Connections that are there keep the certificates that they began with."""
        self._leaves = leaves
        self._default: SSL.Context | None = None

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._default or self._begin(), None)

    def _begin(self) -> SSL.Context:
        contexts = [self._context(leaf) for leaf in self._leaves]
        self._by_name.clear()
        for leaf, context in zip(self._leaves, contexts, strict=True):
            for name in leaf.names:
                self._by_name.setdefault(name, context)
        self._default = contexts[0]
        return contexts[0]

    def _context(self, leaf: Leaf) -> SSL.Context:
        context = leaf_context(leaf)
        context.set_tlsext_servername_callback(self._choose)
        if self._offered:
            context.set_alpn_select_callback(self._agree)
        return context

    def _choose(self, connection: SSL.Connection) -> None:
        asked = connection.get_servername()
        if asked is None:
            return
        name = asked.decode("ascii", "replace").lower().rstrip(".")
        context = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
        if context is not None:
            connection.set_context(context)

    def _agree(self, connection: SSL.Connection, wanted: list[bytes]) -> Any:
        """Our order decides (RFC 7301 §3.2); without a common protocol the connection goes on without one."""
        return next((name for name in self._offered if name in wanted), SSL.NO_OVERLAPPING_PROTOCOLS)


@implementer(IOpenSSLClientConnectionCreator)
class _ClientCreator:
    """Client connections: the server's chain leads to a trusted CA now, and its name is the one asked for (RFC 9525)."""

    def __init__(
        self,
        hostname: str,
        alpn: Sequence[str],
        trust: Sequence[x509.Certificate],
        wall: Callable[[], float],
        verify: bool = True,
    ) -> None:
        """Without `verify` what is wrong is noted, and the handshake goes on."""
        self._must = verify
        if not trust and verify:
            raise TLSError("a TLS client needs a CA to trust, and this host has none")
        self._hostname = hostname.rstrip(".")
        self._alpn = [name.encode("ascii") for name in alpn]
        self._trust = [X509.from_cryptography(certificate) for certificate in trust]
        self._wall = wall
        try:
            ip_address(self._hostname)
        except ValueError:
            try:
                self._identity: ServiceID = DNS_ID(self._hostname)
            except ValueError as error:
                raise TLSError(f"{hostname!r} is not a host name: {error}") from error
            self._named = True
        else:
            self._identity = IPAddress_ID(self._hostname)
            self._named = False

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        context = fresh_context()
        store = context.get_cert_store()
        if store is None:
            raise TLSError("OpenSSL has no certificate store")
        for certificate in self._trust:
            store.add_cert(certificate)
        store.set_time(instant(self._wall()))
        context.set_verify(SSL.VERIFY_PEER, self._verify)
        if self._alpn:
            context.set_alpn_protos(self._alpn)
        connection = SSL.Connection(context, None)
        if self._named:
            connection.set_tlsext_host_name(self._hostname.encode("ascii"))
        return connection

    def _verify(self, connection: SSL.Connection, certificate: X509, error: int, depth: int, chained: int) -> bool:
        """Inside the handshake, so that a server with a wrong name sees the alert and never a byte of ours."""
        problem: str | None = None
        if not chained:
            problem = chain_problem(error)
        elif depth == 0:
            try:
                verify_service_identity(extract_patterns(certificate.to_cryptography()), [self._identity], [])
            except (VerificationError, CertificateError):
                problem = "its certificate is for another name"
        if problem is None:
            return True
        layer = connection.get_app_data()
        if not self._must:
            if not layer.trouble:
                layer.trouble = f"{self._hostname}: {problem}"
                layer.fault = "name" if chained else "time" if error in _OUT_OF_TIME else "trust"
            return True
        if layer._reason is None:
            layer._reason = Failure(TLSError(f"{self._hostname}: {problem}"))
        return False


@implementer(IOpenSSLClientConnectionCreator)
class _AnybodyCreator:
    """Client connections whose server proves nothing."""

    def __init__(self, alpn: Sequence[str]) -> None:
        self._alpn = [name.encode("ascii") for name in alpn]

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        context = fresh_context()
        context.set_verify(SSL.VERIFY_NONE)
        if self._alpn:
            context.set_alpn_protos(self._alpn)
        return SSL.Connection(context, None)


_OUT_OF_TIME = (9, 10)
_CHAIN_PROBLEMS = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is signed by itself",
    19: "its certificate leads to a CA that is not trusted here",
    20: "its certificate was not issued by a CA that is trusted here",
    21: "its certificate was not issued by a CA that is trusted here",
    26: "its certificate is not for a server",
}
"""X509_V_ERR_* of OpenSSL's x509_vfy.h."""


def chain_problem(error: int) -> str:
    """What OpenSSL's number says is wrong with a chain of certificates."""
    return _CHAIN_PROBLEMS.get(error, f"its certificate is not acceptable (OpenSSL error {error})")


def fresh_context() -> SSL.Context:
    """What all contexts here have in common."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(b"ECDHE+AESGCM:ECDHE+CHACHA20")  # of TLS 1.2; forward secret and authenticated (RFC 9325 §4.2)
    return context


def leaf_context(leaf: Leaf) -> SSL.Context:
    """Of who shows a certificate."""
    context = fresh_context()
    context.use_certificate(leaf.certificate)
    for certificate in leaf.chain:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(leaf.key)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def instant(seconds: float) -> datetime:
    """Of a wall clock."""
    return datetime.fromtimestamp(seconds, UTC)
