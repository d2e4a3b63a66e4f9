"""Certificates of nodes: what they say, and every kind of wrong one refused over connections of the simulated Internet."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from netstack.kernel.authority import Authority, Leaf
from netstack.kernel.listen import Endpoint
from netstack.kernel.mutual import MutualTLS
from netstack.ring.credentials import public_der
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.identity import Certified, NotCertified, uri
from netstack.ring.joining import Joining
from netstack.ring.metrics import ring_counts
from netstack.ring.peer import Peer
from netstack.ring.records import DataOptions
from netstack.ring.service import RingService
from netstack.ring.wire import Codec
from netstack.taps.ring import Config, build
from netstack.world.simulated import Simulation

START, END = 1_600_000_000.0, 1_900_000_000.0
AUTHORITY = Authority.seeded(Random(1), START, END)
CIRCLE = Circle(8)
NETWORK = "test ring"


def leaf(*names: str) -> x509.Certificate:
    return AUTHORITY.issue(names).certificate


@pytest.mark.parametrize(
    ("profile", "names", "said"),
    [
        ("given", (uri(NETWORK, 5),), 5),
        ("given", ("a.test", uri("other", 9), uri(NETWORK, 255)), 255),
        ("given", (uri(NETWORK),), "not for one identifier"),
        ("given", (uri(NETWORK, 5), uri(NETWORK, 6)), "not for one identifier"),
        ("given", (uri(NETWORK, 256),), "identifier 256 has more than 8 bits"),
        ("given", ("ring://test%20ring/05",), "not for one identifier"),
        ("given", ("ring://test%20ring/5/6",), "not for one identifier"),
        ("given", ("ring://test%20ring/" + "9" * 300,), "not for one identifier"),
        ("given", ("a.test",), "not for one identifier"),
        ("hashed", (uri("other"),), "not for ring://test%20ring/"),
        ("hashed", (uri(NETWORK, 5),), "not for ring://test%20ring/"),
        ("hashed", ("a.test",), "not for ring://test%20ring/"),
    ],
)
def test_what_a_certificate_says(profile: Any, names: tuple[str, ...], said: int | str) -> None:
    certified = Certified(CIRCLE, NETWORK, profile)
    if isinstance(said, int):
        assert certified.ident(leaf(*names)) == said
    else:
        with pytest.raises(NotCertified, match=said):
            certified.ident(leaf(*names))


def test_a_hashed_identifier_is_that_of_the_key() -> None:
    found = AUTHORITY.issue(("a.test", uri(NETWORK)))
    assert Certified(CIRCLE, NETWORK, "hashed").ident(found.certificate) == CIRCLE.of_public_key(public_der(found.key))


# Over connections


class Circles:
    """Two nodes with certificates of the simulation's authority, and whoever comes to them."""

    def __init__(self, profile: Any) -> None:
        self.simulation = Simulation(3)
        self.profile = profile
        self.services: list[Any] = []
        for number in (1, 2):
            join = () if number == 1 else (self.services[0].peer.me.address,)
            names = (uri("ring", 10 * number) if profile == "given" else uri("ring"), f"node{number}.test")
            self.node(number, names, join)
        self.simulation.run(for_seconds=2.0)

    def node(self, number: int, names: tuple[str, ...], join: tuple[str, ...]) -> None:
        host = self.simulation.host(f"node{number}", f"192.0.2.{number}")

        def start() -> None:
            machine = self.simulation.machine(host, names=names)
            config = Config(("tls:4160",), bits=8, identity=self.profile, join=join)
            service: Any = build(config, machine)
            self.services.append(service)
            service.privilegedStartService()
            service.startService()

        self.simulation.call(host, start)
        self.simulation.run(for_seconds=0.1)

    def stranger(self, chosen: Leaf, ident: int, network: str = "ring") -> Any:
        """A node that shows a certificate, says that it has an identifier, and believes everybody."""
        host = self.simulation.host("stranger", "192.0.2.99")
        made: list[Any] = []

        def start() -> None:
            machine = self.simulation.machine(host, names=())
            trust = (self.simulation.authority.certificate,)
            machine = replace(machine, tls=MutualTLS(machine.reactor, machine.wall, lambda: chosen, trust))
            me = Contact(ident, "192.0.2.99:4160")
            made_of = lambda kept: Peer(CIRCLE, me, RingOptions(), DataOptions(), machine.rng, kept)  # noqa: E731
            service: Any = RingService(
                machine, made_of, Codec(CIRCLE), network, [Endpoint("tls", 4160, "192.0.2.99")],
                ring_counts(machine.registry), Joining((self.services[0].peer.me.address,)), identity=Anybody(),
            )  # fmt: skip
            made.append(service)
            service.privilegedStartService()
            service.startService()

        self.simulation.call(host, start)
        self.simulation.run(for_seconds=4.0)
        return made[0]

    def certified(self, *names: str, key: Any = None, wall: tuple[float, float] | None = None) -> Leaf:
        authority = self.simulation.authority
        if wall is None:
            return authority.issue(names)
        key = Ed25519PrivateKey.from_private_bytes(bytes(32))
        now = self.simulation.epoch
        return Leaf(authority.certify(key.public_key(), names, now + wall[0], now + wall[1]), key)


class Anybody:
    """Believes everybody."""

    def problem(self, contact: Contact, peer: Any) -> None:
        return None

    def until(self, peer: Any) -> float:
        return float("inf")


@pytest.mark.parametrize("profile", ["given", "hashed"])
def test_nodes_with_certificates_are_a_circle(profile: str) -> None:
    circles = Circles(profile)
    one, two = circles.services
    assert one.peer.node.successors == [two.peer.me]
    assert two.peer.node.successors == [one.peer.me]
    if profile == "given":
        assert (one.peer.me.ident, two.peer.me.ident) == (10, 20)
    else:
        authority = circles.simulation.authority
        key = authority.issue((uri("ring"), "node1.test")).key
        assert one.peer.me.ident == CIRCLE.of_public_key(public_der(key))
    circles.simulation.journal.enable("node1", "node2")
    circles.simulation.ask(circles.simulation.hosts["node1"], lambda: one.pass_on(two.peer.me.ident))
    rows = [row for row in circles.simulation.journal if row.protocol == "ring"]
    assert rows
    assert all(row.secure for row in rows)


WRONG = {
    "another identifier": ("given", lambda c: c.certified(uri("ring", 30)), 40, "for identifier 30, not for 40"),
    "its neighbour's": ("given", lambda c: c.certified(uri("ring", 30)), 20, "for identifier 30, not for 20"),
    "another network": ("given", lambda c: c.certified(uri("other", 30)), 30, "no node's"),
    "a Web server's": ("given", lambda c: c.certified("www.test", uri("x://y")), 30, "no node's"),
    "a chosen place": ("hashed", lambda c: c.certified(uri("ring")), 77, "not for 77"),
    "a given identifier": ("hashed", lambda c: c.certified(uri("ring", 77)), 77, "no node's"),
    "no client's": ("given", lambda c: c.certified("www.test"), 30, ""),
    "expired": ("given", lambda c: c.certified(uri("ring", 30), wall=(-7200, -3600)), 30, ""),
    "not valid yet": ("given", lambda c: c.certified(uri("ring", 30), wall=(3600, 7200)), 30, ""),
    "another authority's": ("given", lambda c: AUTHORITY.issue((uri("ring", 30),)), 30, ""),
    "forged": ("given", lambda c: forged(c), 30, ""),
}


def forged(circles: Circles) -> Leaf:
    """By an authority of the same name, with another key."""
    other = Authority.seeded(Random(9), START, END)
    made = other.issue((uri("ring", 30),))
    return replace(made, chain=(circles.simulation.authority.certificate,))


@pytest.mark.parametrize("case", sorted(WRONG))
def test_whose_certificate_is_wrong_gets_no_place(case: str) -> None:
    profile, make, ident, said = WRONG[case]
    circles = Circles(profile)
    before = [list(each.peer.node.successors) for each in circles.services]
    stranger = circles.stranger(make(circles), ident)
    assert not stranger.placed
    one = circles.services[0]
    refused = one.counts.refusals("identity") + one.counts.refusals("taken")
    assert refused >= 1
    assert [each.peer.node.successors for each in circles.services] == before
    assert said == "" or stranger.counts.refused_by_others >= 1
    assert all(contact.address != "192.0.2.99:4160" for each in circles.services for contact in each.links.links)


def test_a_connection_does_not_outlive_its_certificate() -> None:
    circles = Circles("given")
    one = circles.services[0]
    link = next(iter(one.links.links.values()))
    line = link.connection
    assert line.until > circles.simulation.epoch
    line.until = circles.simulation.epoch + circles.simulation.now + 5.0
    circles.simulation.run(for_seconds=4.0)
    assert link.connection is line
    circles.simulation.run(for_seconds=4.0)
    assert link.connection is not line
    assert one.links.connected() == 1
    assert one.counts.gone == 0
