from twisted.application.service import ServiceMaker

netstack_registrar = ServiceMaker(
    "netstack-registrar",
    "netstack.taps.registrar",
    "A registrar: domains are registered by Web form and API, and found by RDAP.",
    "netstack-registrar",
)
