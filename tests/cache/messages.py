"""Requests and responses as the wire gives them."""

import re
from collections.abc import Iterable

from netstack.cache.directives import Given
from netstack.cache.keys import primary_key
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


def request_key(request: Request, scheme: str) -> bytes:
    """The key of what a request asks for; one without a host is keyed by the empty host."""
    return primary_key(scheme, request.host or "", request.port, request.path, request.query)


def format_directives(given: Given) -> str:
    """A field value that says this; arguments that are no tokens are quoted."""
    parts = []
    for name, argument in given:
        if argument is None:
            parts.append(name)
        elif re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", argument, re.ASCII):
            parts.append(f"{name}={argument}")
        else:
            escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{name}="{escaped}"')
    return ", ".join(parts)
