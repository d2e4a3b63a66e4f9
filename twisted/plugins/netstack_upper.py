from twisted.application.service import ServiceMaker

netstack_upper = ServiceMaker(
    "netstack-upper",
    "netstack.taps.upper",
    "Sentences come back in upper case over UDP, TCP and TLS: the servers of the socket-programming section.",
    "netstack-upper",
)
