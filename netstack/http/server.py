"""The origin server's role: answers requests with the files of virtual hosts (RFC 9110 §7.2, §9.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from netstack.http.access import AccessLog
from netstack.http.answers import error, moved
from netstack.http.conditional import evaluate
from netstack.http.engine.server import body_length
from netstack.http.events import BodyReceived, Drain, Ready, RequestEnded, RequestReceived, RequestRefused, Respond
from netstack.http.metrics import METHODS, Requests
from netstack.http.ranges import asked_ranges, content_range, part_heads, range_applies
from netstack.http.store import Moved, Representation, Store, StoreLimits
from netstack.http.uploads import Upload, UploadLimits, Uploads
from netstack.http.wire import BadMessage, Request
from netstack.kernel.machine import Machine
from netstack.kernel.passwords import Verifier
from netstack.kernel.roles import Connection
from netstack.sansio import Event, FileSlice, Peer

READY = 4096
"""Answers made ready between two changes of files; one more, and all are made anew."""
READY_OCTETS = 16 * 1024
"""Contents up to this size are made ready; each is kept once more for every head of the memo that asks for it."""
_log = Logger()


@dataclass(frozen=True, slots=True)
class Site:
    """A virtual host: `root` is a directory of the machine's disk, "" for all of it."""

    names: tuple[str, ...]
    root: str


@dataclass(frozen=True, slots=True)
class OriginOptions:
    """What an origin does with its sites."""

    default_site: str = "first"
    """Who answers for a host that no site has: "first", "refuse" (421), or a site's name."""
    index: tuple[str, ...] = ("index.html", "home.index")
    languages: tuple[str, ...] = ("en", "fr")
    """Endings of file names that are languages; the first is that of files without one."""
    ranges: int = 16
    """Ranges of one request; one that asks for more gets the whole file."""
    store: StoreLimits = field(default_factory=StoreLimits)
    uploads: UploadLimits = field(default_factory=UploadLimits)
    writers: Mapping[str, Verifier] = field(default_factory=dict)
    """Who may PUT and DELETE; if nobody, the methods are not allowed."""


REGARDS = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "if-match", "if-modified-since", "if-none-match", "if-range",
        "if-unmodified-since", "range", "referer", "user-agent",
    }
)  # fmt: skip
"""Fields that the answer for a file, or its line in the log, depends on."""


class Origin:
    """Answers for all connections of a service."""

    regards = REGARDS

    def __init__(
        self, machine: Machine, sites: Sequence[Site], options: OriginOptions, requests: Requests, log: AccessLog | None
    ) -> None:
        self._machine = machine
        self._seconds = machine.reactor.seconds
        self._stores: Mapping[str, Store] = {
            name: store
            for site in sites
            for store in (
                Store(machine.disk.below(site.root), options.index, options.languages, options.store, self._seconds),
            )
            for name in site.names
        }
        default = sites[0].names[0] if options.default_site == "first" else options.default_site
        self._default = None if default == "refuse" else self._stores[default]
        self._name = sites[0].names[0] if default == "refuse" else default
        self._ranges = options.ranges
        self._requests = requests
        self.log = log
        self.uploads = Uploads(machine, options.writers, options.uploads) if options.writers else None
        self.allow = b"Allow: GET, HEAD, OPTIONS" + (b", PUT, DELETE\r\n" if self.uploads else b"\r\n")
        self._ready: list[Ready] = []
        """Those that a change of a file makes invalid."""

    def conversation(self, https_port: int | None = None) -> "Conversation":
        """The role of one connection; with `https_port` every request is sent to that port (301)."""
        return Conversation(self, https_port)

    def respond(self, received: RequestReceived, connection: Connection) -> None:
        """Answer a request that changes nothing; have the answer ready for the next ones that are equal."""
        request = received.request
        answer, until = self._answer(request)
        self.done(request, "", answer, connection)
        lasting = received.again and until and request.keep_alive and not request.length and not request.chunked
        if lasting and isinstance(answer.body, bytes) and len(answer.body) <= READY_OCTETS:
            received.ready = self._make_ready(request, answer, until)

    def done(self, request: Request | None, start: str, answer: Respond, connection: Connection) -> None:
        """Send an answer, count it, log it."""
        connection.send(answer)
        self._requests.count(request.method if request is not None else start.partition(" ")[0], answer.status)
        if self.log is not None:
            host = None if request is None else request.host
            described = self.log.described(request, start, host, answer.status)
            self.log.record(connection.peer.remote[0], described, _octets(request, answer))

    def forget(self) -> None:
        """Any file may be another one."""
        for store in self._stores.values():
            store.changed()
        self.changed()

    def changed(self) -> None:
        """A file is another one: no kept answer holds."""
        for ready in self._ready:
            ready.until = 0.0
        self._ready.clear()

    def store_of(self, request: Request) -> Store | None:
        """The site that a request is for."""
        return self._stores.get(request.host or "", self._default)

    def secure_place(self, request: Request, port: int) -> str:
        """The same under https, at a host that is ours."""
        host = request.host if request.host in self._stores else self._name
        query = f"?{request.query}" if request.query is not None else ""
        path = "/" + request.path.lstrip("/") if request.path != "*" else "/"
        return f"https://{host}{'' if port == 443 else f':{port}'}{path}{query}"

    def _make_ready(self, request: Request, answer: Respond, until: float) -> Ready:
        count, log = self._requests.counter(request.method, answer.status), self.log
        octets = _octets(request, answer)
        logged = "" if log is None else log.described(request, "", request.host, answer.status)
        second, before, after = -1.0, "", ""

        def sent(peer: Peer, wall: float) -> None:
            nonlocal second, before, after
            count.requests += 1
            if log is not None:
                if wall != second:
                    second = wall
                    before, after = log.around(wall, logged, octets)
                log.write(f"{before}{peer.remote[0]}{after}")

        ready = Ready(until, answer, sent, answer.body if octets and isinstance(answer.body, bytes) else b"")
        if self.uploads is not None:
            if len(self._ready) >= READY:
                self.changed()
            self._ready.append(ready)
        return ready

    def _answer(self, request: Request) -> tuple[Respond, float]:
        """The answer, and until when it holds: 0.0 for this time only."""
        method = request.method
        if method not in ("GET", "HEAD"):
            if method == "OPTIONS":
                return Respond(204, self.allow), 0.0
            if method not in METHODS:
                return error(501, f"{method[:80]} is no method that is known here."), 0.0
            return error(405, f"{method} is not allowed.", self.allow), 0.0
        store = self.store_of(request)
        if store is None:
            return error(421, f"{request.host or 'A request without a host'} is not served."), 0.0
        try:
            return self._file(store, request)
        except BadMessage as refusal:
            return error(refusal.code, str(refusal)), 0.0
        except (FileNotFoundError, NotADirectoryError):
            return error(404, f"{request.path} was not found."), 0.0
        except PermissionError:
            return error(403), 0.0
        except OSError as trouble:  # a name that is too long, a disk that fails
            return error(404 if trouble.errno == 36 else 500), 0.0

    def _file(self, store: Store, request: Request) -> tuple[Respond, float]:
        found = store.find(request.path, request.fields)
        if isinstance(found, Moved):
            return moved(found.location + (f"?{request.query}" if request.query is not None else "")), 0.0
        until = store.until(request.path)
        status = evaluate(request.fields, request.method, found.etag, found.modified)
        if status == 304:
            return Respond(304, found.validators), until
        if status is not None:
            return error(status), 0.0
        size = found.stat.size
        if request.method == "HEAD":
            return Respond(200, found.fields, length=size), until
        if "range" in request.fields:
            part = self._part(request, found)
            if part is not None:
                return part, 0.0
        return Respond(200, found.fields, found.part(0, size)), until

    def _part(self, request: Request, found: Representation) -> Respond | None:
        """206 or 416 (RFC 9110 §14.2); None when the whole is to be sent."""
        size = found.stat.size
        ranges = asked_ranges(request.fields["range"], size, self._ranges)
        if ranges is None or not range_applies(request.fields, found.etag, found.modified, self._machine.wall()):
            return None
        if not ranges:
            return error(416, "", f"Content-Range: bytes */{size}\r\n".encode())
        if len(ranges) == 1:
            [(start, length)] = ranges
            fields = found.fields + f"Content-Range: {content_range(start, length, size)}\r\n".encode()
            return Respond(206, fields, found.part(start, length))
        boundary = f"{self._machine.rng.getrandbits(96):024x}"
        heads, end = part_heads(ranges, size, found.media, boundary)
        body: list[bytes | FileSlice] = []
        for head, each in zip(heads, ranges, strict=True):
            body += head, found.part(*each)
        _, _, rest = found.fields.partition(b"\r\n")  # without its Content-Type, which the parts have
        fields = f"Content-Type: multipart/byteranges; boundary={boundary}\r\n".encode() + rest
        return Respond(206, fields, (*body, end))


class Conversation:
    """One connection: what comes on it, and what is under way for it."""

    __slots__ = ("_https_port", "_origin", "_upload")

    def __init__(self, origin: Origin, https_port: int | None) -> None:
        self._origin = origin
        self._https_port = https_port
        self._upload: Upload | None = None

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, RequestReceived):
            request = event.request
            if self._https_port is not None:
                place = self._origin.secure_place(request, self._https_port)
                self._origin.done(request, "", moved(place), connection)
            elif request.method in ("PUT", "DELETE") and self._origin.uploads is not None:
                self._change(request, connection, self._origin.uploads)
            else:
                self._origin.respond(event, connection)
        elif isinstance(event, BodyReceived):
            if self._upload is not None:
                self._upload.receive(event.data)
        elif isinstance(event, RequestEnded):
            if self._upload is not None:
                self._upload.end()
        elif isinstance(event, RequestRefused):
            self._drop()
            self._origin.done(None, event.start, error(event.status, event.reason), connection)

    def lost(self, reason: str) -> None:
        """What was under way for the client is dropped, unless it is being written."""
        self._drop()

    def drain(self, connection: Connection) -> None:
        """Finish the request in hand."""
        connection.send(Drain())

    def _drop(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.drop()

    def _change(self, request: Request, connection: Connection, uploads: Uploads) -> None:
        store = self._origin.store_of(request)
        if store is None:
            answer = error(421, f"{request.host or 'A request without a host'} is not served.")
            self._origin.done(request, "", answer, connection)
            return
        upload = self._upload = uploads.begin(request)

        async def change() -> None:
            try:
                answer = await uploads.change(store, request, upload, connection)
            except Exception:
                _log.failure("{method} failed", method=request.method)
                answer = error(500)
            self._origin.changed()
            if self._upload is upload:
                self._drop()
                self._origin.done(request, "", answer, connection)

        Deferred.fromCoroutine(change())


def _octets(request: Request | None, answer: Respond) -> int:
    """Octets of content that were sent."""
    if answer.status in (204, 304) or (request is not None and request.method == "HEAD"):
        return 0
    return body_length(answer.body)
