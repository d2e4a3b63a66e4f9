"""The twistd plugin netstack-smtp."""

from twisted.application.service import ServiceMaker

netstack_smtp = ServiceMaker("netstack-smtp", "netstack.taps.smtp", "A mail host", "netstack-smtp")
