"""A parent and its child's CDS records: taken is what the present keys vouch for and what leads on (RFC 7344 §4.1)."""

from typing import Any

import dns.message
import dns.name
import dns.opcode
import dns.rdata
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.dnssec.cds import NotAccepted, accepted
from netstack.dns.dnssec.keys import Key, make_key
from netstack.dns.dnssec.signatures import Period, signature
from netstack.dns.dnssec.signer import Policy, Signing, sign_zone
from netstack.dns.limits import ZoneLimits
from netstack.dns.requests import message, request
from netstack.dns.zone import Zone
from tests.dns.dnssec.signed import NOW, ZONE
from tests.dns.dnssec.test_rollover import HOUR, Family
from tests.dns.replicas import UMASS

OLD, NEW, FOREIGN = (make_key(UMASS, bytes([number]) * 48, True) for number in (1, 2, 3))


def child(published: tuple[Key, ...], announced: tuple[Key, ...], by: tuple[Key, ...] | None = None) -> Zone:
    plain = Zone.from_text("umass.edu", ZONE.replace("ADDRESS", "10.0.0.1"))
    return sign_zone(plain, Signing(published, by or published, published, Policy(), announced=announced), NOW)


def answer(zone: Zone, rdtype: RdataType) -> list[RRset]:
    node = zone.nodes[UMASS]
    return [node.rrsets[rdtype], node.signatures[rdtype]] if rdtype in node.rrsets else []


def ds_of(*keys: Key) -> RRset:
    made = RRset(UMASS, 1, RdataType.DS)
    made.ttl = 3600
    made.items = {key.ds: None for key in keys}
    return made


def take(zone: Zone, ds: RRset, wall: float = NOW) -> set[int]:
    found = accepted(UMASS, ds, answer(zone, RdataType.DNSKEY), answer(zone, RdataType.CDS), wall)
    assert found.ttl == ds.ttl
    return {rdata.key_tag for rdata in found}


def test_what_is_taken() -> None:
    assert take(child((OLD, NEW), (NEW,)), ds_of(OLD)) == {NEW.tag}
    assert take(child((OLD, NEW), (OLD, NEW)), ds_of(OLD)) == {OLD.tag, NEW.tag}
    assert take(child((OLD,), (OLD,)), ds_of(OLD)) == {OLD.tag}


@pytest.mark.parametrize(
    ("zone", "ds", "wall", "why"),
    [
        (child((OLD, NEW), (NEW,), by=(NEW,)), ds_of(OLD), NOW, "the key of the signature"),  # not by a key that counts
        (child((FOREIGN,), (FOREIGN,)), ds_of(OLD), NOW, "no signature|key of the signature"),
        (child((OLD,), (FOREIGN,)), ds_of(OLD), NOW, "no signature|key of the signature"),  # would lead to nothing
        (child((OLD, NEW), (NEW,), by=(OLD,)), ds_of(OLD), NOW, "key of the signature"),  # the new one signs no keys yet
        (child((OLD, NEW), (NEW,)), ds_of(OLD), NOW + 30 * 86400, "has expired"),
        (child((OLD, NEW), (NEW,)), ds_of(OLD), NOW - 30 * 86400, "not valid yet"),
        (child((OLD,), ()), ds_of(OLD), NOW, "has no CDS records"),
    ],
)
def test_what_is_not(zone: Zone, ds: RRset, wall: float, why: str) -> None:
    with pytest.raises(NotAccepted, match=why):
        take(zone, ds, wall)


def test_the_wish_to_have_none_is_not_followed() -> None:
    """RFC 8078 §4: algorithm 0."""
    zone = child((OLD,), (OLD,))
    cds = zone.nodes[UMASS].rrsets[RdataType.CDS].copy()
    cds.items = {dns.rdata.from_text("IN", "CDS", "0 0 0 00"): None}
    told = [cds, signature(cds, (OLD,), Period.of_some(NOW, 86400))]
    with pytest.raises(NotAccepted):
        accepted(UMASS, ds_of(OLD), answer(zone, RdataType.DNSKEY), told, NOW)


def notify(net: Family, name: str, server: str = "10.0.0.1") -> Rcode:
    """What a NOTIFY of CDS, which anybody may send, is answered with."""

    async def send(machine: Any) -> bytes:
        data = message(machine.rng.getrandbits(16), dns.opcode.NOTIFY, dns.name.from_text(name), RdataType.CDS)
        return await request(machine, (server, 53), data, None, ZoneLimits())

    machine = net.simulation.machine(net.client)
    return Rcode(net.simulation.ask(net.client, send, machine)[3] & 15)


def test_whoever_says_so_the_parent_looks_and_changes_nothing_without_reason() -> None:
    net = Family()
    before = net.ds(), str(net.zone("root").soa)
    for _ in range(20):
        assert notify(net, "umass.edu") == Rcode.NOERROR
        net.simulation.run(until=net.simulation.now + 10)
    assert notify(net, "nowhere.edu") == Rcode.REFUSED
    assert notify(net, ".") == Rcode.REFUSED
    assert notify(net, "www.umass.edu", "10.0.0.2") == Rcode.REFUSED
    assert (net.ds(), str(net.zone("root").soa)) == before
    delegations = net.keeper("root").delegations
    assert len(delegations._last) == 1
    assert not delegations._under_way


def test_a_child_that_does_not_answer_costs_little() -> None:
    net = Family()
    net.child.power_off()
    for _ in range(10):
        assert notify(net, "umass.edu") == Rcode.NOERROR
    net.simulation.run(until=net.simulation.now + HOUR)
    assert not net.keeper("root").delegations._under_way
    assert len(net.ds()) == 1
