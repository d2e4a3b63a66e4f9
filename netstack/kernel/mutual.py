"""TLS between equals: each side shows a certificate of an authority that the other trusts, whoever dials (RFC 8446 §4.4.2).

What a certificate says of its owner is for the caller to read (`Security.chain`): no host names are looked at here.
"""

from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from netstack.kernel.authority import Leaf, TLSError
from netstack.kernel.tls import HostTLS, chain_problem, instant, leaf_context


class MutualTLS(HostTLS):
    """A host's TLS whose every connection, in and out, is authenticated on both sides.

    `leaf` is asked for at each connection, so that a renewed certificate is used from the next one on. What it returns has
    to be for a client, too.
    """

    def __init__(
        self, reactor: Any, wall: Callable[[], float], leaf: Callable[[], Leaf], trust: Sequence[x509.Certificate]
    ) -> None:
        super().__init__(reactor, wall, (), trust)
        if not trust:
            raise TLSError("nodes that authenticate each other need an authority to trust, and this host has none")
        self._creator = _Creator(leaf, trust, wall)

    def server(self, factory: IProtocolFactory, alpn: Sequence[str] = ()) -> IProtocolFactory:
        wrapped: IProtocolFactory = self._layer(self._creator, False, factory)
        return wrapped

    def accepting(self, alpn: Sequence[str] = ()) -> Callable[[], SSL.Connection]:
        def connection() -> SSL.Connection:
            made = self._creator.serverConnectionForTLS(None)
            made.set_accept_state()
            return made

        return connection

    def opportunistic(self, factory: IProtocolFactory, alpn: Sequence[str] = ()) -> IProtocolFactory:
        """As a client of whoever has a certificate of a trusted authority."""
        wrapped: IProtocolFactory = self._layer(self._creator, True, factory)
        return wrapped


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class _Creator:
    """Connections of both kinds; their context is made anew when there is another leaf."""

    def __init__(self, leaf: Callable[[], Leaf], trust: Sequence[x509.Certificate], wall: Callable[[], float]) -> None:
        self._leaf = leaf
        self._trust = [X509.from_cryptography(certificate) for certificate in trust]
        self._wall = wall
        self._used: Leaf | None = None
        self._context: SSL.Context | None = None

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._present(), None)

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._present(), None)

    def _present(self) -> SSL.Context:
        leaf = self._leaf()
        if self._context is None or leaf is not self._used:
            self._context, self._used = self._made(leaf), leaf
        store = self._context.get_cert_store()
        if store is None:
            raise TLSError("OpenSSL has no certificate store")
        store.set_time(instant(self._wall()))
        return self._context

    def _made(self, leaf: Leaf) -> SSL.Context:
        context = leaf_context(leaf)
        context.set_options(SSL.OP_NO_TICKET)
        store = context.get_cert_store()
        if store is None:
            raise TLSError("OpenSSL has no certificate store")
        for authority in self._trust:
            store.add_cert(authority)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
        return context


def _verify(connection: SSL.Connection, certificate: X509, error: int, depth: int, chained: int) -> bool:
    """Inside the handshake: who is not acceptable never sends or gets an octet of the protocol."""
    if chained:
        return True
    layer = connection.get_app_data()
    if layer is not None and layer._reason is None:
        layer._reason = Failure(TLSError(chain_problem(error)))
    return False
