"""Names for Twisted's own endpoints on a simulated host, by way of the machine's resolver."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet._resolver import HostResolution
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from zope.interface import implementer

from netstack.kernel.resolver import ResolutionError, is_address

if TYPE_CHECKING:
    from netstack.world.simulated.reactor import SimulatedReactor


@implementer(IHostnameResolver)
class HostNames:
    """Resolves literals by itself and names by the resolver of the host's machine."""

    def __init__(self, reactor: "SimulatedReactor") -> None:
        self._reactor = reactor

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """As IHostnameResolver says."""
        resolution = HostResolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        async def find() -> None:
            if is_address(hostName):
                found: Sequence[str] = [hostName]
            elif hostName == "localhost":
                found = ["127.0.0.1"]
            else:
                machine = self._reactor.host.machine
                try:
                    found = await machine.resolver.addresses(hostName) if machine is not None else []
                except ResolutionError:
                    found = []  # the receiver hears of no address, which is how it learns of failures
            for text in found:
                kind = IPv6Address if ":" in text else IPv4Address
                if addressTypes is None or kind in addressTypes:
                    semantics: Any = transportSemantics
                    resolutionReceiver.addressResolved(kind(semantics, text, portNumber))
            resolutionReceiver.resolutionComplete()

        Deferred.fromCoroutine(find())
        return resolution
