"""DNS: authoritative server, iterative caching resolver, client. README.md lists the RFCs and options."""

from netstack.dns.zone import Zone, ZoneError, ZoneText

__all__ = ["Zone", "ZoneError", "ZoneText"]
