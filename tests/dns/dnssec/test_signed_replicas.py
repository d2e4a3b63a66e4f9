"""A signed zone that changes, and its secondary, on the simulated Internet: updates, renewals, crashes, clocks."""

from typing import Any

import dns.dnssec
import dns.name
import dns.update
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.dnssec.signatures import all_signatures
from netstack.dns.dnssec.signer import DENIALS, Denial, Policy, Signing, sign, unsigned
from netstack.dns.limits import ZoneLimits
from netstack.dns.requests import request
from netstack.dns.zone import Zone
from netstack.kernel.machine import Machine
from tests.dns.dnssec.test_mending import content
from tests.dns.replicas import KEY, UMASS, ZONE, Replicas

DAY = 86400.0


class Signed(Replicas):
    """The primary signs umass.edu with a key that it makes."""

    def __init__(self, denial: Denial = "nsec", zone: str = ZONE.format(1), validity: int = 14 * 86400, **more: Any) -> None:
        policy = Policy(denial, validity)
        super().__init__(zone=zone, primary=lambda: {"sign": ("umass.edu",), "dnssec": policy}, **more)
        self.policy = policy
        self.run(5)

    def zone_of(self, host: str) -> Zone:
        found: Zone = self.services[host].authority.zones[UMASS]
        return found

    def signing(self) -> Signing:
        found: Signing = self.services["dns"].keeper.nameserver.rules_of(UMASS).signing
        return found

    def check(self, *hosts: str) -> None:
        """Every signature holds now, all that must be signed is, and the chain is what the whole zone's would be."""
        for host in hosts or ("dns", "dns2"):
            zone = self.zone_of(host)
            keys = zone.nodes[zone.origin].rrsets[RdataType.DNSKEY]
            wall = self.simulation.machine(self.primary).wall()
            for nodes in (zone.nodes, zone.hashed):
                for node in nodes.values():
                    for covers, signature in node.signatures.items():
                        dns.dnssec.validate(node.rrsets[covers], signature, {zone.origin: keys}, now=wall)
            assert content(zone) == content(sign(unsigned(zone), self.signing().published, self.policy, wall))

    def change(self, *lines: tuple[Any, ...]) -> Rcode:
        """An update: (add|delete|replace, name, ...)."""
        return Rcode(self.ask(send, lines)[3] & 15)


async def send(machine: Machine, lines: tuple[tuple[Any, ...], ...]) -> bytes:
    message = dns.update.UpdateMessage(UMASS, id=machine.rng.getrandbits(16))
    for verb, name, *rest in lines:
        getattr(message, verb)(dns.name.from_text(name, UMASS), *rest)
    return await request(machine, ("10.0.0.1", 53), message.to_wire(), KEY, ZoneLimits(), stream=True)


@pytest.mark.parametrize("denial", DENIALS)
def test_updates_of_a_signed_zone_reach_the_secondary_signed(denial: Denial) -> None:
    net = Signed(denial)
    net.check()
    for lines in (
        [("add", "www", 60, "A", "10.1.1.1")],
        [("add", "a.b.c", 60, "TXT", "deep"), ("add", "*.wild", 60, "A", "10.1.1.2")],
        [("add", "cs", 60, "NS", "ns.cs"), ("add", "ns.cs", 60, "A", "10.1.1.3"), ("add", "x.cs", 60, "A", "10.1.1.4")],
        [("add", "cs", 60, "DS", "4711 13 2 " + "AB" * 32)],
        [("delete", "a.b.c")],
        [("delete", "cs", "NS"), ("delete", "cs", "DS")],
        [("replace", "www", 120, "A", "10.1.1.9"), ("delete", "*.wild")],
        [("delete", "x.cs"), ("delete", "ns.cs"), ("delete", "www")],
    ):
        assert net.change(*lines) == Rcode.NOERROR
        net.run(2)
        net.check()
    assert net.serial(net.secondary) == net.serial(net.primary) == 9, "one serial for each update"
    counts = net.services["dns2"].keeper.counts.transfers
    assert counts == {("in", "whole"): 1, ("in", "differences"): 8}


def test_keys_and_signatures_are_not_an_updates_business() -> None:
    net = Signed()
    for rdtype, rdata in (
        ("DNSKEY", "257 3 13 " + "A" * 86 + "=="),
        ("CDS", "0 0 0 00"),
        ("NSEC", "a.umass.edu. A"),
    ):
        assert net.change(("add", "@", 60, rdtype, rdata)) == Rcode.REFUSED
    assert net.change(("delete", "@", "DNSKEY")) == Rcode.REFUSED
    assert net.change(("delete", "@")) == Rcode.NOERROR
    net.run(2)
    net.check()
    assert net.serial(net.primary) == 1, "SOA, NS and what is ours stay"


@pytest.mark.parametrize("denial", DENIALS)
def test_signatures_are_renewed_a_few_at_a_time_for_weeks(denial: Denial) -> None:
    net = Signed(denial, ZONE.format(1) + "".join(f"h{number} A 10.2.0.{number}\n" for number in range(40)))
    serials = []
    for _ in range(3):
        net.run(7 * DAY)
        net.check()
        serials.append(net.serial(net.secondary))
    assert serials[-1] == net.serial(net.primary)
    differences = list(net.services["dns"].keeper.nameserver.rules_of(UMASS).history)
    sizes = [sum(1 for record in each.added if record.rdtype == RdataType.RRSIG) for each in differences]
    assert max(sizes) <= 101
    assert max(sizes) < len(list(all_signatures(net.zone_of("dns")))) / 4, "never all at once"
    assert net.services["dns2"].keeper.counts.transfers["in", "whole"] == 1


def test_a_restart_signs_nothing_anew() -> None:
    net = Signed()
    assert net.change(("add", "www", 60, "A", "10.1.1.1")) == Rcode.NOERROR
    before = sorted(str(rrset) for rrset in net.zone_of("dns"))
    net.primary.power_off()
    net.run(60)
    net.primary.boot()
    assert sorted(str(rrset) for rrset in net.zone_of("dns")) == before
    net.check("dns")


def test_signatures_that_expired_while_the_server_was_down_are_made_anew_at_once() -> None:
    net = Signed()
    net.primary.power_off()
    net.secondary.power_off()
    net.run(30 * DAY)
    net.primary.boot()
    net.secondary.boot()
    net.run(1)
    net.check("dns")
    net.run(10)
    net.check()


@pytest.mark.parametrize("skew", [-40 * DAY, 40 * DAY, -1800.0])
def test_a_wall_clock_that_is_set(skew: float) -> None:
    """Signatures that hold no longer, or not yet, are made anew when the clock is looked at next."""
    net = Signed()
    before = net.serial(net.primary)
    net.primary.skew = skew
    net.run(3700)
    net.check("dns")
    assert (net.serial(net.primary) != before) is (abs(skew) > 3600)


def test_a_changed_file_signs_what_it_changes() -> None:
    net = Signed()
    signatures = {str(each) for each in all_signatures(net.zone_of("dns"))}
    net.primary.power_off()
    net.zone = ZONE.format(100) + "ftp A 10.1.1.9\n"
    net.primary.boot()
    assert net.serial(net.primary) == 100
    assert net.answer(net.primary, "ftp") == ["10.1.1.9"]
    net.check("dns")
    assert len({str(each) for each in all_signatures(net.zone_of("dns"))} - signatures) == 4


def test_a_crash_between_updates_keeps_what_was_acknowledged_and_its_signatures() -> None:
    net = Signed("nsec3")
    for number in range(1, 6):
        assert net.update(f"h{number}", f"10.1.1.{number}") == Rcode.NOERROR
        net.primary.power_off()
        net.run(1)
        net.primary.boot()
        net.check("dns")
        assert [net.answer(net.primary, f"h{each}") for each in range(1, number + 1)] == [
            [f"10.1.1.{each}"] for each in range(1, number + 1)
        ]
