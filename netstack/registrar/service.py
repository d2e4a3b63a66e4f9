"""The registrar as a Twisted service: its Web server, and what it carries on by itself."""

from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from netstack.http.service import HTTPService
from netstack.registrar.registrar import Registrar


class RegistrarService(MultiService):
    """Registers domains as long as it runs."""

    log = Logger()

    def __init__(self, registrar: Registrar, web: HTTPService) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.registrar = registrar
        web.setServiceParent(self)  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self.registrar.start()
        name, below = self.registrar.machine.name, ", ".join(self.registrar.policy.registries)
        self.log.info("{name} registers domains below {below}", name=name, below=below)

    def stopService(self) -> Deferred[Any]:
        """Requests in hand are answered first."""
        stopped = maybeDeferred(super().stopService)
        return stopped.addBoth(self._stopped)

    def counters(self) -> dict[str, int]:
        """For the control socket."""
        return {"domains": len(self.registrar.store.domains), "pending": len(self.registrar.store.intended)}

    def _stopped(self, result: Any) -> Any:
        self.registrar.stop()
        self.registrar.store.close()
        return result
