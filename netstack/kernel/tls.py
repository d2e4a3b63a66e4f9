"""TLS: the world's certificate authority, leaves, contexts. The only module that touches OpenSSL."""

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.interfaces import IProtocolFactory


class TLS(Protocol):
    """A host's TLS identity and trust."""

    def server(self, factory: IProtocolFactory, alpn: Sequence[str] = ()) -> IProtocolFactory:
        """Wrap a listener's factory: leaves are chosen by SNI among those of this host."""

    def client(self, factory: IProtocolFactory, hostname: str, alpn: Sequence[str] = ()) -> IProtocolFactory:
        """Wrap a client's factory: the server's name is verified (service-identity) against the world's CA."""

    def start(self, transport: object, protocol: object, hostname: str | None, alpn: Sequence[str] = ()) -> None:
        """STARTTLS on a connection in use: as a client of `hostname`, or as the server when it is None."""
