"""Both sides of an HTTP/1 connection as pure state machines (RFC 9112)."""

from netstack.http.engine.client import ClientEngine
from netstack.http.engine.heads import Heads
from netstack.http.engine.server import ServerEngine

__all__ = ["ClientEngine", "Heads", "ServerEngine"]
