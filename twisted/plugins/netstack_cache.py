"""twistd netstack-cache."""

from twisted.application.service import ServiceMaker

cache = ServiceMaker("netstack-cache", "netstack.taps.cache", "Web cache: forward and reverse proxy.", "netstack-cache")
