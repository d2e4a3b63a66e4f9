"""The origin server's role: answers requests with the files of virtual hosts (RFC 9110 §7.2, §9.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twisted.logger import Logger

from netstack.http.conditional import evaluate
from netstack.http.events import Drain, RequestReceived, RequestRefused, Respond
from netstack.http.metrics import METHODS, Requests
from netstack.http.pages import error_page, moved_page
from netstack.http.store import Moved, Store, StoreLimits
from netstack.http.wire import BadMessage, Request
from netstack.kernel.disk import Disk
from netstack.kernel.roles import Connection
from netstack.sansio import Event, FileSlice

HTML = b"Content-Type: text/html; charset=utf-8\r\n"
_access = Logger(namespace="netstack.http.access")
ALLOW = b"Allow: GET, HEAD\r\n"


@dataclass(frozen=True, slots=True)
class Site:
    """A virtual host: `root` is a directory of the machine's disk, "" for all of it."""

    names: tuple[str, ...]
    root: str


class Origin:
    """Answers for all connections of a service; it keeps nothing about any of them."""

    def __init__(
        self,
        disk: Disk,
        sites: Sequence[Site],
        default_site: str,
        index: tuple[str, ...],
        store_limits: StoreLimits,
        requests: Requests,
        access_log: bool,
    ) -> None:
        self._stores: Mapping[str, Store] = {
            name: store
            for site in sites
            for store in (Store(disk.below(site.root), index, store_limits),)
            for name in site.names
        }
        self._default = (
            None
            if default_site == "refuse"
            else self._stores[sites[0].names[0] if default_site == "first" else default_site]
        )
        self._requests = requests
        self._access_log = access_log

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, RequestReceived):
            request = event.request
            answer = self._answer(request)
            self._done(connection, request.method, request.target, request.host, answer)
        elif isinstance(event, RequestRefused):
            method, _, target = event.start.partition(" ")
            answer = _error(event.status, event.reason)
            self._done(connection, method, target, None, answer)

    def lost(self, reason: str) -> None:
        """Nothing is kept about a connection."""

    def drain(self, connection: Connection) -> None:
        """Finish the request in hand."""
        connection.send(Drain())

    def _done(self, connection: Connection, method: str, target: str, host: str | None, answer: Respond) -> None:
        connection.send(answer)
        self._requests.count(method, answer.status)
        if self._access_log:
            _access.info(
                "{client} {host} {method} {target} {status} {octets}",
                client=connection.peer.remote[0],
                host=host or "-",
                method=method,
                target=target,
                status=answer.status,
                octets=answer.length if answer.length is not None else _octets(answer),
            )

    def _answer(self, request: Request) -> Respond:
        method = request.method
        if method not in ("GET", "HEAD"):
            if method not in METHODS:
                return _error(501, f"{method[:80]} is no method that is known here.")
            return _error(405, f"{method} is not allowed.", ALLOW)
        store = self._stores.get(request.host or "", self._default)
        if store is None:
            return _error(421, f"{request.host or 'A request without a host'} is not served.")
        try:
            return self._file(store, request)
        except BadMessage as error:
            return _error(error.code, str(error))
        except (FileNotFoundError, NotADirectoryError):
            return _error(404, f"{request.path} was not found.")
        except PermissionError:
            return _error(403)
        except OSError as error:  # a name that is too long, a disk that fails
            return _error(404 if error.errno == 36 else 500)

    def _file(self, store: Store, request: Request) -> Respond:
        found = store.find(request.path)
        if isinstance(found, Moved):
            location = found.location + (f"?{request.query}" if request.query is not None else "")
            return Respond(301, b"Location: " + location.encode() + b"\r\n" + HTML, moved_page(location))
        status = evaluate(request.fields, request.method, found.etag, found.modified)
        if status == 304:
            return Respond(304, found.validators)
        if status is not None:
            return _error(status)
        if found.content is not None:
            return Respond(200, found.fields, found.content)
        if request.method == "HEAD":
            return Respond(200, found.fields, length=found.stat.size)
        found, file = store.open(request.path)  # it may have been replaced meanwhile
        return Respond(200, found.fields, FileSlice(file, 0, found.stat.size))


def _error(status: int, reason: str = "", fields: bytes = b"") -> Respond:
    return Respond(status, HTML + fields, error_page(status, reason))


def _octets(answer: Respond) -> int:
    return len(answer.body) if isinstance(answer.body, bytes) else answer.body.length
