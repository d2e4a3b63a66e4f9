"""Requests and responses as the wire gives them."""

from collections.abc import Iterable

from netstack.http.limits import HTTPLimits
from netstack.http.wire import Request, Response, parse_request, parse_response, request_head

NOW = 1_800_000_000.0
Lines = Iterable[tuple[str, str]]


def request(method: str = "GET", path: str = "/", fields: Lines = (), host: str = "a.test") -> Request:
    """A request of HTTP/1.1."""
    return parse_request(request_head(method, path, [("Host", host), *fields]), HTTPLimits())


def response(status: int = 200, fields: Lines = ()) -> Response:
    """A response of HTTP/1.1."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return parse_response(f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode("latin-1"), HTTPLimits())
