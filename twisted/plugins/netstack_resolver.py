"""twistd netstack-resolver."""

from twisted.application.service import ServiceMaker

resolver = ServiceMaker("netstack-resolver", "netstack.taps.resolver", "Recursive DNS server.", "netstack-resolver")
