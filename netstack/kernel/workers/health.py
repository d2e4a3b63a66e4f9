"""`/livez`, `/readyz` and `/metrics` of a service with workers: those of all of them, on the parent's port."""

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from twisted.internet.defer import Deferred

from netstack.kernel.health import HealthRole, Requested, Respond
from netstack.kernel.roles import Connection
from netstack.kernel.workers.parent import Workers
from netstack.sansio import Event


class WorkersHealth(HealthRole):
    """Asks the workers, then answers."""

    def __init__(self, workers: Workers) -> None:
        super().__init__(workers.machine, tuple)
        self._workers = workers
        self._asking: Deferred[None] | None = None

    def handle(self, event: Event, connection: Connection) -> None:
        if not isinstance(event, Requested) or event.path not in ("/readyz", "/metrics"):
            super().handle(event, connection)
            return
        self._asking = Deferred.fromCoroutine(self._answer(event.path, connection))

    async def _answer(self, path: str, connection: Connection) -> None:
        if path == "/metrics":
            answer = Respond(200, await self._workers.metrics(), CONTENT_TYPE_PLAIN_0_0_4)
        else:
            answer = self._ready(await self._workers.not_ready())
        if self._asking is not None:
            connection.send(answer)

    def lost(self, reason: str) -> None:
        self._asking = None
