"""DNS: authoritative server, iterative caching resolver, client. README.md lists the RFCs and options."""

from netstack.dns.client import StubResolver, query
from netstack.dns.limits import ResolverLimits, ServerLimits
from netstack.dns.zone import Zone, ZoneError, ZoneText

__all__ = ["ResolverLimits", "ServerLimits", "StubResolver", "Zone", "ZoneError", "ZoneText", "query"]
