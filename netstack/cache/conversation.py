"""The role of one connection of a client, or of one stream of HTTP/2: a request in hand at a time."""

from typing import TYPE_CHECKING

from netstack.cache.errors import refusal
from netstack.http.events import BodyReceived, Drain, RequestEnded, RequestReceived, RequestRefused
from netstack.kernel.roles import Connection
from netstack.sansio import Event

if TYPE_CHECKING:
    from netstack.cache.delivery import Delivery
    from netstack.cache.proxy import Proxy
    from netstack.cache.tunnel import Tunnel


class Conversation:
    """Hands requests to the proxy, and what else comes to the delivery in hand."""

    __slots__ = ("_delivery", "_proxy")

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self._delivery: Delivery | Tunnel | None = None

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, RequestReceived):
            self._delivery = self._proxy.begin(event, connection)
        elif isinstance(event, BodyReceived):
            if self._delivery is not None:
                self._delivery.body(event.data)
        elif isinstance(event, RequestEnded):
            if self._delivery is not None:
                self._delivery.body_ended(event.trailers)
        elif isinstance(event, RequestRefused):
            proxy = self._proxy
            self.lost("refused")
            proxy.counts.refused["request"] += 1
            answer = refusal(event.status, event.reason, proxy.machine.wall())
            proxy.refuse(None, answer, connection, event.start)

    def writable(self, connection: Connection) -> None:
        """The client takes more."""
        if self._delivery is not None:
            self._delivery.pump()

    def lost(self, reason: str) -> None:
        """The client is gone."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.lost()

    def drain(self, connection: Connection) -> None:
        """Finish the request in hand."""
        connection.send(Drain())
