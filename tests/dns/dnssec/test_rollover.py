"""Keys rolled over on the simulated Internet, in virtual weeks: whoever asks, whenever, gets a secure answer."""

from functools import partial
from typing import Any

import dns.flags
import dns.name
import pytest
from dns.message import Message
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.client import query
from netstack.dns.dnssec.keeper import Keeper, RollError
from netstack.dns.dnssec.keys import Key, anchors
from netstack.dns.dnssec.lifecycle import Timing
from netstack.dns.dnssec.signer import Policy
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone, ZoneText
from netstack.kernel.links import LinkSettings
from netstack.taps import dns as tap
from netstack.taps import resolver as resolver_tap
from netstack.world.simulated import SimulatedHost, Simulation
from tests.dns.dnssec.signed import keys
from tests.dns.replicas import LISTEN, UMASS

HOUR = 3600.0
DAY = 24 * HOUR
ROOT = (
    "$TTL 1d\n@ SOA a h 1 2h 1h 2w 1h\n@ NS a.root.\na.root. A 10.0.0.1\n"
    "umass.edu. 1h NS dns.umass.edu.\ndns.umass.edu. A 10.0.0.2\n"
)
CHILD = "$TTL 2h\n@ SOA dns h 1 2h 1h 2w 1h\n@ NS dns\ndns A 10.0.0.2\nwww 5h A 10.1.0.1\n*.wild A 10.1.0.2\n"


def text(key: Key) -> tap.KeyText:
    return tap.KeyText(key.public_text(), key.private_text())


class Family:
    """The root and umass.edu, both signed, and a resolver that trusts the root's key as it is at the beginning."""

    def __init__(self, split: bool = False, parents: bool = True, seed: int = 1, features: tuple[str, ...] = ()) -> None:
        self.simulation = Simulation(seed, LinkSettings(delay=0.01))
        self.services: dict[str, Any] = {}
        ours, roots = keys("umass.edu", split), keys(".")
        ds = "".join(f"umass.edu. 1d {anchor.split(maxsplit=1)[1]}\n" for anchor in anchors(ours))
        self.root_text = ROOT + ds
        policy = Policy(split=split)
        self.root = self.host("root", "10.0.0.1", lambda: tap.Config(
            (ZoneText(".", self.root_text),), LISTEN, sign=(".",), keys=tuple(map(text, roots)),
        ))  # fmt: skip
        self.child = self.host("child", "10.0.0.2", lambda: tap.Config(
            (ZoneText("umass.edu", CHILD),), LISTEN, sign=("umass.edu",), keys=tuple(map(text, ours)), dnssec=policy,
            timing=Timing(HOUR, 86400), parents=(("umass.edu", "10.0.0.1"),) if parents else (),
        ))  # fmt: skip
        self.resolver = self.host("resolver", "10.0.0.3", lambda: resolver_tap.Config(
            (("a.root.", "10.0.0.1"),), LISTEN, allow=("10.0.0.0/8",), anchors=anchors(roots), features=features,
        ), resolver_tap)  # fmt: skip
        self.client = self.simulation.host("client", "10.0.0.9")
        self.states: list[tuple[str, ...]] = []
        self.answers = 0
        self.simulation.run(until=5.0)

    def host(self, name: str, address: str, config: Any, module: Any = tap) -> SimulatedHost:
        host = self.simulation.host(name, address)

        def program(booted: SimulatedHost) -> None:
            service: Any = module.build(config(), self.simulation.machine(booted))
            self.services[name] = service
            service.privilegedStartService()
            service.startService()

        host.program = program
        host.start()
        return host

    def keeper(self, name: str = "child") -> Keeper:
        found: Keeper = self.services[name].signer
        return found

    def roll(self, role: str | None = None) -> int:
        """The tag of the new key."""
        return int(self.simulation.ask(self.child, self.keeper().roll, UMASS, role).tag)

    def state(self) -> dict[int, str]:
        """Key tag -> state."""
        return {each["tag"]: each["state"] for each in self.keeper().listed()}

    def zone(self, name: str = "child") -> Zone:
        zones: dict[Any, Zone] = self.services[name].authority.zones
        return next(zone for origin, zone in zones.items() if name_text(origin) == ("umass.edu" if name == "child" else "."))

    def ds(self) -> set[int]:
        return {rdata.key_tag for rdata in self.zone("root").nodes[UMASS].rrsets[RdataType.DS]}

    def ask(self, name: str, rdtype: str = "A") -> Message:
        machine = self.simulation.machine(self.client)
        asked = partial(query, machine, ("10.0.0.3", 53), name, rdtype, dnssec_ok=True)
        found: Message = self.simulation.ask(self.client, asked)
        return found

    def pass_time(self, seconds: float, every: float = 2.3 * HOUR) -> None:
        """Let time pass; again and again all kinds of answers are asked for, all of which have to be secure."""
        end = self.simulation.now + seconds
        while self.simulation.now < end:
            self.simulation.run(until=min(end, self.simulation.now + every))
            now = tuple(sorted(f"{tag} {state}" for tag, state in self.state().items()))
            if not self.states or self.states[-1] != now:
                self.states.append(now)
            new = f"n{self.answers}"
            unique = (f"{new}.wild", Rcode.NOERROR) if self.answers % 2 else (new, Rcode.NXDOMAIN)
            for number, (name, rcode) in enumerate((("www", Rcode.NOERROR), unique)):
                reply = self.ask(f"{name}.umass.edu")
                assert (reply.rcode(), bool(reply.flags & dns.flags.AD)) == (rcode, True), (number, now, str(reply))
            self.answers += 1

    def walk(self, tag: int) -> list[str]:
        """The states of one key, in order."""
        found: list[str] = []
        for states in self.states:
            for each in states:
                if each.startswith(f"{tag} ") and each.split()[1] not in found[-1:]:
                    found.append(each.split()[1])
        return found


def test_a_zsk_is_published_before_it_signs() -> None:
    net = Family(split=True)
    ksk, old = (key.tag for key in keys("umass.edu", split=True))
    net.pass_time(4 * HOUR)
    new = net.roll("zsk")
    net.pass_time(1.5 * DAY, 1.2 * HOUR)
    assert net.walk(new) == ["published", "active"]
    assert net.walk(old) == ["active", "retired", "removed"]
    assert net.walk(ksk) == ["active"]
    apex = net.zone().nodes[UMASS]
    assert len(apex.rrsets[RdataType.DNSKEY]) == 2
    assert {rdata.key_tag for rdata in apex.rrsets[RdataType.RRSIG]} == {ksk, new}
    assert net.ds() == {ksk}


@pytest.mark.parametrize("split", [False, True], ids=["csk", "ksk"])
def test_a_key_that_the_parent_points_at_is_rolled_over_with_it(split: bool) -> None:
    net = Family(split)
    old = keys("umass.edu", split)[0].tag
    net.pass_time(4 * HOUR)
    new = net.roll("ksk" if split else None)
    with pytest.raises(RollError, match="is under way"):
        net.roll("ksk" if split else "csk")
    net.pass_time(4 * DAY)
    assert net.walk(new) == ["published", "active"]
    assert net.walk(old) == ["active", "retired", "removed"]
    assert net.ds() == {new}
    apex = net.zone().nodes[UMASS]
    assert {rdata.key_tag for rdata in apex.signatures[RdataType.DNSKEY]} == {new}
    assert [rdata.key_tag for rdata in apex.rrsets[RdataType.CDS]] == [new]
    for _ in range(2):  # and once more, from what is kept
        net.child.power_off()
        net.root.power_off()
        net.root.boot()
        net.child.boot()
        net.pass_time(1 * DAY, 5 * HOUR)
        assert net.ds() == {new}
        assert net.state()[new] == "active"


def test_a_rollover_goes_on_after_crashes_of_child_and_parent() -> None:
    net = Family()
    net.pass_time(1 * HOUR)
    new = net.roll()
    for _ in range(20):
        net.child.power_off()
        net.simulation.run(until=net.simulation.now + 5)
        net.child.boot()
        net.root.power_off()
        net.root.boot()
        net.pass_time(5 * HOUR, 5 * HOUR)
    net.pass_time(3 * DAY, 5 * HOUR)
    assert net.state() == {keys("umass.edu")[0].tag: "removed", new: "active"}
    assert net.ds() == {new}


def test_without_a_parent_to_look_at_the_operator_says_when() -> None:
    net = Family(parents=False)
    old = keys("umass.edu")[0].tag
    new = net.roll()
    net.pass_time(3 * DAY, 6 * HOUR)
    assert net.state() == {old: "retired", new: "published"}
    dsset = net.simulation.machine(net.child).disk.read("keys/dsset-umass.edu.").decode()
    assert f"DS {new} 13 2" in dsset
    assert str(old) not in dsset
    net.root.power_off()
    net.root_text = ROOT.replace(" 1 2h", " 2 2h") + dsset.replace(" IN", " 1d IN")
    net.root.boot()
    net.simulation.ask(net.child, net.keeper().parent_has, UMASS)
    net.pass_time(3 * DAY, 6 * HOUR)
    assert net.state() == {old: "removed", new: "active"}
    with pytest.raises(RollError, match="no DS record is awaited"):
        net.simulation.ask(net.child, net.keeper().parent_has, UMASS)


def test_a_clock_that_is_set_forward_shortens_no_wait() -> None:
    net = Family(split=True)
    new = net.roll("zsk")
    net.pass_time(0.5 * HOUR, 600)
    for host in (net.child, net.root, net.resolver):
        host.skew = 3 * DAY
    net.pass_time(1.5 * HOUR, 600)
    assert net.state()[new] == "published"
    net.pass_time(2 * HOUR, 600)
    assert net.state()[new] == "active"


def test_what_cannot_be_rolled() -> None:
    net = Family(split=True)
    with pytest.raises(RollError, match="expected one of its kinds of keys, ksk or zsk, got csk"):
        net.roll("csk")
    with pytest.raises(RollError, match=r"nyu\.edu is not signed by this server; umass\.edu is"):
        net.keeper().roll(dns.name.from_text("nyu.edu"))
    with pytest.raises(RollError, match="got None"):
        net.roll()
