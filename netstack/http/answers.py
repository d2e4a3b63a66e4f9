"""Responses that are made here: errors and redirects, each with a page that a person can read (RFC 9110 §15)."""

from netstack.http.events import Respond
from netstack.http.pages import error_page, moved_page

HTML = b"Content-Type: text/html; charset=utf-8\r\n"
PAGE = (
    b"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; "
    b"base-uri 'none'\r\nX-Content-Type-Options: nosniff\r\n"
)
"""Fields of a page that is all in one piece: it loads nothing, runs nothing, and stands in nobody's frame (CSP 3)."""
PRIVATE_PAGE = PAGE + b"Referrer-Policy: same-origin\r\nCache-Control: no-store\r\n"
"""Of one that is for one visitor."""


def error(status: int, reason: str = "", fields: bytes = b"") -> Respond:
    """An error; `reason` says what was wrong with this very request."""
    return Respond(status, HTML + fields, error_page(status, reason))


def content(status: int, media: str, data: bytes, fields: bytes = b"") -> Respond:
    """Some content; `fields` are further ready lines."""
    return Respond(status, f"Content-Type: {media}\r\n".encode() + fields, data)


def moved(location: str) -> Respond:
    """301 (RFC 9110 §15.4.2)."""
    return Respond(301, b"Location: " + location.encode() + b"\r\n" + HTML, moved_page(location))
