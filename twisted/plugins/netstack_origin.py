"""The twistd plugin netstack-origin."""

from twisted.application.service import ServiceMaker

netstack_origin = ServiceMaker("netstack-origin", "netstack.taps.origin", "A Web server of files", "netstack-origin")
