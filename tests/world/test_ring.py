"""The ring hosts of a world: one circle that is settled at once, in virtual time and on loopback."""

from typing import Any

import pytest

from netstack.lab.ring_world import settled
from netstack.taps.ring import Config
from netstack.world import loader
from netstack.world.addresses import addresses
from netstack.world.compose import Composer, certified
from netstack.world.model import without
from netstack.world.session import Session, open_session

IDENTS = (1, 3, 4, 5, 8, 10, 12, 15)


def world(profile: str = "textbook", **options: Any) -> Any:
    hosts = {
        f"node{number}.umass.edu": {"services": {"ring": {"ident": ident, **options}}}
        for number, ident in enumerate(IDENTS, 1)
    }
    return loader.extended("small", {"profile": profile, "hosts": hosts}, "ring")


def nodes(running: Any) -> dict[int, Any]:
    return {each.service.peer.me.ident: each.service for _, each in running.with_plugin("ring")}


def circle(session: Session) -> dict[int, list[int]]:
    found: dict[int, list[int]] = session.drive(
        lambda running: {ident: [each.ident for each in one.peer.node.successors] for ident, one in nodes(running).items()}
    )
    return found


EXPECTED = {ident: [IDENTS[(at + 1) % 8], IDENTS[(at + 2) % 8]] for at, ident in enumerate(IDENTS)}


def test_the_textbooks_circle() -> None:
    textbook = loader.load("textbook")
    own = [host.service("ring") for host in textbook.hosts.values() if host.name.endswith(".ring.test")]
    assert [service.options["ident"] for service in own if service is not None] == list(IDENTS)
    assert not any(host.service("ring") for host in without(textbook, "ring").hosts.values())


def test_the_textbooks_circle_is_certified_where_it_is_hardened() -> None:
    hardened = loader.extended("textbook", {"profile": "hardened"}, "hard")
    carried = dict(certified(hardened, [f"node{number}.ring.test" for number in range(1, 9)]))
    assert [names[-1] for names in carried.values()] == [f"ring://hard/{ident}" for ident in IDENTS]
    assert certified(loader.load("textbook"), ["node1.ring.test"]) == []


@pytest.mark.parametrize("profile", ["textbook", "hardened"])
def test_nodes_are_the_chapters_where_their_identifiers_are_given(profile: str) -> None:
    hosts = {"node1.umass.edu": {"services": {"ring": {"ident": 5}}}, "node2.umass.edu": {"services": {"ring": {}}}}
    made = loader.extended("small", {"profile": profile, "hosts": hosts}, "ring")
    composer = Composer(made, addresses(made, "simulated"))
    given, hashed = (composer.config(made.hosts[name], made.hosts[name].services[0], ["192.0.2.1"]) for name in hosts)
    assert (given.identity, given.ident, given.bits, given.ring.successors, given.ring.calm) == ("given", 5, 4, 2, 30.0)
    own = Config()
    assert (hashed.identity, hashed.bits, hashed.ring) == (own.identity, own.bits, own.ring)
    assert (own.identity, own.bits, own.ring.successors) == ("hashed", 160, 4)


@pytest.mark.parametrize("on", ["simulated", "loopback"])
def test_a_circle_is_settled_within_a_second(on: str) -> None:
    with open_session(world(), on, shaped=False) as session:
        if on == "simulated":
            assert session.drive(lambda running: running.awaited()) == 0
            session.ask("cse.nyu.edu", _sleep, 1.0)
        else:
            assert settled(session, IDENTS, 2, within=60.0) >= 0
        assert circle(session) == EXPECTED
        session.record()
        found = session.drive(lambda running: nodes(running)[3].pass_on(14))
        assert (found.responsible.ident, found.path[0], found.path[-1]) == (15, 3, 15)
        rows = [row for row in session.rows() if row.summary.startswith("Forward")]
        assert (rows[0].protocol, rows[0].source_name) == ("ring", "node2.umass.edu")
        assert len(rows) == found.forwards
        assert rows[0].destination[1] == 4160 or rows[0].source[1] == 4160


@pytest.mark.parametrize("profile", ["given", "hashed", "hardened"])
def test_nodes_of_a_world_with_certificates(profile: str) -> None:
    """On real sockets, with the world's authority."""
    options = {"listen": ["tls:4160"]}
    made = world(**options)
    if profile == "hashed":
        names = [f"node{number}.umass.edu" for number in range(1, 6)]
        ring = {"listen": ["tls:4160"], "bits": 160}
        made = loader.extended("small", {"hosts": {name: {"services": {"ring": ring}} for name in names}}, "ring")
    elif profile == "hardened":
        made = world(profile="hardened")
    with open_session(made, "loopback", shaped=False) as session:
        idents = sorted(nodes(session.running))
        assert settled(session, idents, 4 if profile == "hashed" else 2, within=60.0) >= 0
        session.record()
        assert idents == list(IDENTS) or (profile == "hashed" and len(idents) == 5 and max(idents) > 1 << 100)
        found = session.drive(lambda running: nodes(running)[idents[0]].pass_on(idents[3]))
        assert found.responsible.ident == idents[3]
        rows = [row for row in session.rows() if row.protocol == "ring"]
        assert len(rows) > found.forwards
        assert all(row.secure for row in rows)


def test_a_host_that_stops_leaves_and_comes_back() -> None:
    with open_session(world(), "simulated", shaped=False) as session:
        session.ask("cse.nyu.edu", _sleep, 2.0)
        session.stop_host("node4.umass.edu")
        session.ask("cse.nyu.edu", _sleep, 3.0)
        assert circle(session)[4] == [8, 10]
        session.start_host("node4.umass.edu")
        session.ask("cse.nyu.edu", _sleep, 3.0)
        assert circle(session)[4][0] == 5


def test_shortcuts_by_hand() -> None:
    """As the chapter draws them: node 3 has one to 12, the circle is bare else."""
    options = {"ring": {"successors": 1, "shortcuts": False}, "data": {"copies": 2}, "shortcuts": ["12"]}
    with open_session(world(**options), "simulated", shaped=False) as session:
        session.ask("cse.nyu.edu", _sleep, 4.0)
        found = session.drive(lambda running: nodes(running)[3].pass_on(14))
        assert found.path == (3, 12, 15)


async def _sleep(machine: Any, seconds: float) -> None:
    from twisted.internet.task import deferLater

    await deferLater(machine.reactor, seconds)
