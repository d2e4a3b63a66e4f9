"""twistd netstack-dns."""

from twisted.application.service import ServiceMaker

dns = ServiceMaker("netstack-dns", "netstack.taps.dns", "Authoritative DNS server.", "netstack-dns")
