"""twistd netstack-internet."""

from twisted.application.service import ServiceMaker

internet = ServiceMaker("netstack-internet", "netstack.world.tap", "Internet of a world file.", "netstack-internet")
