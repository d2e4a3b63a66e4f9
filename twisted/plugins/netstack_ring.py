"""The twistd plugin netstack-ring."""

from twisted.application.service import ServiceMaker

netstack_ring = ServiceMaker("netstack-ring", "netstack.taps.ring", "A node of a distributed hash table", "netstack-ring")
