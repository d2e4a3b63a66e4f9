"""Primaries, secondaries and their clients on the simulated Internet: an hour costs what happens in it."""

from collections.abc import Callable
from typing import Any

import dns.message
import dns.name
import dns.update
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.client import query
from netstack.dns.limits import ZoneLimits
from netstack.dns.requests import request
from netstack.dns.tsig import Key
from netstack.kernel.links import LinkSettings
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import ResolutionError
from netstack.taps import dns as tap
from netstack.taps.changing import Changing
from netstack.world.simulated import SimulatedHost, Simulation

KEY = Key.make("transfer", b"0123456789")
ZONE = "$TTL 2d\n@ SOA dns h {} 3600 600 86400 60\n@ NS dns\n@ NS dns2\ndns A 10.0.0.1\ndns2 A 10.0.0.2\n"
UMASS = dns.name.from_text("umass.edu")
LISTEN = ("udp:53", "tcp:53")


class Replicas:
    """`dns`, the primary of umass.edu, `dns2`, its secondary, and `client`; every boot is logged in `services`."""

    def __init__(
        self,
        seed: int = 1,
        zone: str = ZONE.format(1),
        delay: float = 0.05,
        primary: Callable[[], dict[str, Any]] = dict,
        **secondary: Any,
    ) -> None:
        """`primary`: more fields of the primary's Config, at each boot; `secondary`: of the secondary's `Changing`."""
        self.simulation = Simulation(seed, LinkSettings(delay=delay))
        self.services: dict[str, Any] = {}
        self.zone = zone
        self.more = primary
        self.primary = self.host("dns", "10.0.0.1", self.primary_config)
        options = {"keys": (KEY,), "secondary": (("umass.edu", "10.0.0.1%transfer"),), **secondary}
        self.secondary = self.host("dns2", "10.0.0.2", lambda: tap.Config((), LISTEN, changing=Changing(**options)))
        self.client = self.simulation.host("client", "10.0.0.3")

    def primary_config(self) -> tap.Config:
        """Of the primary, at each boot."""
        return tap.Config((tap.ZoneText("umass.edu", self.zone),), LISTEN, changing=self.changing(), **self.more())

    def changing(self, updates: bool = True) -> Changing:
        """What the primary grants."""
        return Changing(
            (KEY,),
            transfer=(("umass.edu", "transfer"),),
            update=(("umass.edu", "transfer zone"),) if updates else (),
            notify=(("umass.edu", "10.0.0.2%transfer"),),
        )

    def host(self, name: str, address: str, config: Callable[[], tap.Config]) -> SimulatedHost:
        """A host that runs netstack-dns at every boot."""
        host = self.simulation.host(name, address)

        def program(booted: SimulatedHost) -> None:
            service: Any = tap.build(config(), self.simulation.machine(booted))
            self.services[name] = service
            service.privilegedStartService()
            service.startService()

        host.program = program
        host.start()
        return host

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.simulation.run(until=self.simulation.now + seconds)

    def ask(self, f: Callable[..., Any], *arguments: Any) -> Any:
        """In the client's name."""
        return self.simulation.ask(self.client, f, self.simulation.machine(self.client), *arguments)

    def answer(self, server: SimulatedHost, name: str, rdtype: str = "A") -> list[str] | Rcode:
        """The records of an answer, or why there are none."""
        try:
            reply = self.ask(query, (server.addresses[0], 53), f"{name}.umass.edu" if name else "umass.edu", rdtype, False)
        except ResolutionError:
            return Rcode.SERVFAIL
        if reply.rcode() != Rcode.NOERROR:
            found: Rcode = reply.rcode()
            return found
        return sorted(str(rdata) for rrset in reply.answer for rdata in rrset)

    def serial(self, server: SimulatedHost) -> int | Rcode:
        """Of the zone as a server answers it."""
        found = self.answer(server, "", "SOA")
        return int(found[0].split()[2]) if isinstance(found, list) else found

    def update(self, name: str, address: str, key: Key = KEY) -> Rcode:
        """Add an address; the reply's RCODE."""
        return Rcode(self.ask(send_update, name, address, key)[3] & 15)


async def send_update(machine: Machine, name: str, address: str, key: Key, server: str = "10.0.0.1") -> bytes:
    """An update of umass.edu that adds an address, over TCP as it must not be repeated."""
    message = dns.update.UpdateMessage(UMASS, id=machine.rng.getrandbits(16))
    message.add(dns.name.from_text(name, UMASS), 60, RdataType.A, address)
    return await request(machine, (server, 53), message.to_wire(), key, ZoneLimits(), stream=True)
