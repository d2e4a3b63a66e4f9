"""Whom a primary tells of a change by itself: its zone's name servers (RFC 1996 §3.3)."""

import pytest
from dns.rcode import Rcode

from netstack.kernel.resolver import NameNotFound
from netstack.taps.changing import Changing
from tests.dns.replicas import KEY, ZONE, Replicas


class Unlisted(Replicas):
    """The secondary is named by the zone alone, not by `notify`."""

    def __init__(self, zone: str, on: bool) -> None:
        self.on = on
        super().__init__(zone=zone)

    def changing(self, updates: bool = True) -> Changing:
        transfer = (("umass.edu", "transfer"),)
        return Changing((KEY,), transfer=transfer, update=(("umass.edu", "transfer zone"),), notify_servers=self.on)


class Known:
    """A resolver that knows these names."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names

    async def addresses(self, name: str) -> list[str]:
        if name not in self.names:
            raise NameNotFound(name)
        return self.names[name]


ELSEWHERE = ZONE.format(1).replace("@ NS dns2\n", "@ NS ns.elsewhere.org.\n").replace("dns2 A 10.0.0.2\n", "")


@pytest.mark.parametrize(
    ("zone", "names", "on", "told"),
    [
        (ZONE.format(1), {}, True, 1),
        (ZONE.format(1), {}, False, 0),
        (ELSEWHERE, {"ns.elsewhere.org": ["10.0.0.2", "10.0.0.1"]}, True, 1),  # itself is not told
        (ELSEWHERE, {}, True, 0),  # nobody knows the name
        (ZONE.format(1).replace("SOA dns ", "SOA dns2 "), {}, True, 0),  # the MNAME is the primary's
        (ZONE.format(1) + "@ NS dns3\ndns3 A 10.0.0.2\n", {}, True, 1),  # once for each address
    ],
)
def test_name_servers_are_told(zone: str, names: dict[str, list[str]], on: bool, told: int) -> None:
    net = Unlisted(zone, on)
    net.run(10)
    net.services["dns"].keeper.machine.resolver = Known(names)
    assert net.update("www", "10.1.1.1") == Rcode.NOERROR
    net.run(5)
    assert net.serial(net.secondary) == (2 if told else 1)
    assert net.services["dns"].keeper.counts.notifies["out"] == told
    assert net.services["dns2"].keeper.counts.notifies["in"] == told
