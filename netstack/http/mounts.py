"""Applications at paths of an origin, beside its files: who answers is decided by the path of each request."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

from netstack.http.answers import error
from netstack.http.application import Application, ApplicationServer, Call
from netstack.http.events import RequestReceived, Respond
from netstack.http.server import Origin
from netstack.http.wire import Request
from netstack.kernel.roles import Connection, Role
from netstack.sansio import Event, Peer


@dataclass(frozen=True, slots=True)
class Mounts:
    """Applications by path: each has its path and what lies below it, the longest path first. Implements Application."""

    applications: Mapping[str, Application]
    """`/` or `/search`, as in requests."""

    def find(self, path: str) -> Application | None:
        """The application that a path belongs to, None where that is a file's. A path is compared as it was sent."""
        if path.startswith("/"):
            for mount, application in self.applications.items():
                if path == mount or path.startswith(mount.rstrip("/") + "/"):
                    return application
        return None

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        application = self.find(request.path)
        return error(404) if application is None else application.judge(request, peer)

    def answer(self, call: Call) -> Respond | Awaitable[Respond]:
        application = self.find(call.request.path)
        return error(404) if application is None else application.answer(call)


class MountedOrigin:
    """Implements service.Answering: an origin's files, and the applications of `server`, whose application is Mounts."""

    def __init__(self, origin: Origin, mounts: Mounts, server: ApplicationServer) -> None:
        self.origin = origin
        self.mounts = mounts
        self.server = server
        self.log = origin.log
        self.regards = origin.regards

    def conversation(self, https_port: int | None = None) -> "MountedConversation":
        """The role of one connection; with `https_port` every request is sent to that port."""
        return MountedConversation(self, https_port)


class MountedConversation:
    """One connection: its requests go to the files or to the applications, one after another."""

    __slots__ = ("_applications", "_files", "_in_hand", "_mounted")

    def __init__(self, mounted: MountedOrigin, https_port: int | None) -> None:
        self._mounted = mounted
        self._files = mounted.origin.conversation(https_port)
        self._applications = mounted.server.conversation(https_port)
        self._in_hand: Role = self._files

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, RequestReceived):
            request = event.request
            served = (
                self._mounted.mounts.find(request.path) is not None and self._mounted.origin.store_of(request) is not None
            )
            self._in_hand = self._applications if served else self._files
        self._in_hand.handle(event, connection)

    def lost(self, reason: str) -> None:
        """What was under way for the client is dropped."""
        self._files.lost(reason)
        self._applications.lost(reason)

    def drain(self, connection: Connection) -> None:
        """Finish the request in hand."""
        self._files.drain(connection)
