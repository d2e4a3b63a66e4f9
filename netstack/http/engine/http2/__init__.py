"""The server's side of an HTTP/2 connection as a pure state machine (RFC 9113)."""

from netstack.http.engine.http2.answers import Answers
from netstack.http.engine.http2.calm import Counts
from netstack.http.engine.http2.server import HTTP2ServerEngine

__all__ = ["Answers", "Counts", "HTTP2ServerEngine"]
