"""WSGI applications (PEP 3333) behind a Web server: other people's code, in threads, its answers bounded."""

import io
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib import import_module
from types import TracebackType
from typing import Any
from urllib.parse import unquote_to_bytes

from netstack.http.answers import error
from netstack.http.application import Call
from netstack.http.events import UNKNOWN, Respond
from netstack.http.metrics import METHODS
from netstack.http.wire import Request
from netstack.kernel.machine import Machine
from netstack.sansio import Peer
from netstack.sansio.bounds import all_positive

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Fields that are the server's, or of one connection alone (PEP 3333, "Other HTTP Features")."""


class WSGIError(Exception):
    """What an application did that is no WSGI."""


@dataclass(frozen=True, slots=True)
class WSGILimits:
    """Bounds for one application."""

    content: int = 16 * 1024 * 1024
    """Octets of an answer: 500."""
    seconds: float = 0.0
    """Time of one answer, in the simulation alone."""

    def __post_init__(self) -> None:
        all_positive(self, or_none=("seconds",))


def load(text: str) -> WSGI:
    """What `module:object` names; raises ValueError."""
    name, colon, attribute = text.partition(":")
    if not name or not colon or not attribute:
        raise ValueError(f"{text!r}: expected MODULE:OBJECT, such as wsgiref.simple_server:demo_app")
    try:
        found: Any = import_module(name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as wrong:
        raise ValueError(f"{text}: {wrong}") from None
    if not callable(found):
        raise ValueError(f"{text}: expected something that can be called")
    application: WSGI = found
    return application


class WSGIApplication:
    """Implements http.application.Application for a WSGI application at a path."""

    def __init__(self, machine: Machine, application: WSGI, path: str, limits: WSGILimits | None = None) -> None:
        """`path` becomes SCRIPT_NAME; `/` is the empty one."""
        self._machine = machine
        self._application = application
        self._path = path.rstrip("/")
        self._limits = limits or WSGILimits()

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        return None if request.method in METHODS else error(501, f"{request.method[:80]} is no method that is known here.")

    def answer(self, call: Call) -> Awaitable[Respond]:
        """Runs the application in a thread; whatever it raises is 500 and logged with its traceback."""
        environ = self._environ(call)
        return self._machine.offload(lambda: _run(self._application, environ, self._limits), self._limits.seconds)

    def _environ(self, call: Call) -> dict[str, Any]:
        request, scheme = call.request, "https" if call.secure else "http"
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": self._path,
            "PATH_INFO": unquote_to_bytes(request.path.removeprefix(self._path)).decode("latin-1"),
            "QUERY_STRING": request.query or "",
            "SERVER_NAME": request.host or self._machine.name,
            "SERVER_PORT": str(request.port or (443 if call.secure else 80)),
            "SERVER_PROTOCOL": request.version,
            "REMOTE_ADDR": call.peer.remote[0],
            "CONTENT_LENGTH": str(len(call.body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme,
            "wsgi.input": io.BytesIO(call.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": self._machine.worker is not None,
            "wsgi.run_once": False,
        }
        return environ | _fields(request.fields)


def _fields(fields: Mapping[str, str]) -> dict[str, str]:
    """As CGI names them (RFC 3875 §4.1.18), without those that would take the place of others or of the environment's."""
    found = {
        "HTTP_" + name.upper().replace("-", "_"): value
        for name, value in fields.items()
        if "_" not in name and name not in ("proxy", "content-type", "content-length", "transfer-encoding")
    }
    if "content-type" in fields:
        found["CONTENT_TYPE"] = fields["content-type"]
    return found


def _run(application: WSGI, environ: dict[str, Any], limits: WSGILimits) -> Respond:
    """One call of the application, to the end of its content; raises WSGIError and what the application raises."""
    try:
        return _called(application, environ, limits)
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as ended:  # an application does not end the server's thread
        raise WSGIError(f"the application raised {type(ended).__name__}") from ended


def _called(application: WSGI, environ: dict[str, Any], limits: WSGILimits) -> Respond:
    head: list[tuple[int, bytes, int | None]] = []
    parts: list[bytes] = []
    octets = 0

    def write(data: bytes) -> None:
        nonlocal octets
        if not head:
            raise WSGIError("content before start_response was called")
        octets += len(data)
        if octets > limits.content:
            raise WSGIError(f"an answer of more than {limits.content} octets")
        parts.append(bytes(data))

    def start_response(
        status: str,
        headers: list[tuple[str, str]],
        exc_info: tuple[type[BaseException], BaseException, TracebackType] | None = None,
    ) -> Callable[[bytes], None]:
        if head and exc_info is None:
            raise WSGIError("start_response was called twice")
        head[:] = [_head(status, headers)]
        parts.clear()  # nothing is sent before the end: an application may always think again
        return write

    result = application(environ, start_response)
    try:
        for data in result:
            write(data)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    if not head:
        raise WSGIError("start_response was not called")
    [(status, fields, length)] = head
    if environ["REQUEST_METHOD"] == "HEAD" and not octets:  # its length is the one that GET would have (RFC 9110 §8.6)
        return Respond(status, fields, length=UNKNOWN if length is None else length)
    return Respond(status, fields, b"".join(parts) if status != HTTPStatus.RESET_CONTENT else b"")


def _head(status: str, headers: list[tuple[str, str]]) -> tuple[int, bytes, int | None]:
    """The status, the fields and the Content-Length of an answer; what could end a line is refused."""
    code = status[:3]
    if not code.isascii() or not code.isdigit() or status[3:4] not in ("", " "):
        raise WSGIError(f"{status!r} is no status such as '200 OK'")
    try:
        number = HTTPStatus(int(code)).value
    except ValueError:
        raise WSGIError(f"{code} is no status that is known") from None
    if number < 200:
        raise WSGIError(f"{code} is no status of a whole answer")
    lines, length = [], None
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise WSGIError(f"{name[:80]!r}: {value[:80]!r} is no field")
        if name.lower() not in _OURS:
            lines.append(f"{name}: {value}\r\n")
        elif name.lower() == "content-length" and value.isascii() and value.isdigit() and len(value) <= 18:
            length = int(value)
    return number, "".join(lines).encode("latin-1"), length
