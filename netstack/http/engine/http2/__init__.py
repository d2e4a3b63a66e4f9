"""Both sides of an HTTP/2 connection as pure state machines (RFC 9113)."""

from netstack.http.engine.http2.answers import Answers
from netstack.http.engine.http2.calm import Counts
from netstack.http.engine.http2.client import HTTP2ClientEngine
from netstack.http.engine.http2.server import HTTP2ServerEngine

__all__ = ["Answers", "Counts", "HTTP2ClientEngine", "HTTP2ServerEngine"]
