"""The two sides of an SMTP connection."""

from netstack.smtp.engine.client import ClientEngine
from netstack.smtp.engine.server import ServerEngine

__all__ = ["ClientEngine", "ServerEngine"]
