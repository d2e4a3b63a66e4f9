"""Nodes as services on the simulated Internet: the chapter over connections, who is refused, who is gone, who leaves."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.logger import formatEvent, globalLogPublisher

from netstack.ring.data_messages import DataMessage
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.joining import NotJoined
from netstack.ring.links import LinkLimits
from netstack.ring.messages import JoinFailed, LookedUp
from netstack.ring.metrics import ring_counts
from netstack.ring.stream import REASONS, StreamBounds
from netstack.ring.wire import MAGIC, Codec, Hello, Refusal
from tests.ring.town import CHAPTER, PORT, Town

SETTLED = 2.0
TAKEN = "identifier 8 is 192.0.2.9:4160's: stop that node, or give this one another identifier or key"


def settled(**options: Any) -> Town:
    town = Town(hurry=1 / 16, **options)
    town.run(SETTLED)
    return town


def neighbours(idents: tuple[int, ...]) -> dict[int, list[int]]:
    """Of each node of a circle its two successors."""
    count = len(idents)
    return {ident: [idents[(at + step) % count] for step in (1, 2)] for at, ident in enumerate(idents)}


@pytest.mark.parametrize(("shortcuts", "forwards"), [(False, 6), (True, 2)])
def test_the_chapters_circle_in_the_journal(shortcuts: bool, forwards: int) -> None:
    """Key 14 asked at 3 belongs to 15: six forwards on the bare circle, two with shortcuts; each is a row of the journal."""
    town = settled(shortcuts=shortcuts, successors=2 if shortcuts else 1)
    town.run(6.0)
    town.simulation.journal.enable(*town.simulation.hosts)
    found = town.ask(3, "pass_on", 14)
    assert (found.responsible, found.forwards) == (town.contact(15), forwards)
    rows = [row for row in town.simulation.journal if row.protocol == "ring" and row.summary.startswith("F")]
    assert [row.summary.partition(":")[0] for row in rows] == ["Forward"] * forwards + ["Found"]
    assert rows[0].source_name == "node3"
    assert rows[-1].summary == "Found: responsible 15, path " + " ".join(map(str, found.path[:-1]))
    assert all(row.source[1] == PORT or row.destination[1] == PORT for row in rows)
    town.simulation.journal.clear()
    assert town.ask(3, "look_up", 14).responsible == town.contact(15)
    town.run(5.0)
    assert {row.summary for row in town.simulation.journal if row.summary.startswith("Step:")} == {"Step: key 14"}
    assert not [row for row in town.simulation.journal if row.summary.startswith(("N", "P"))]


def test_a_circle_is_settled_within_a_second() -> None:
    town = Town(hurry=1 / 16)
    town.run(1.0)
    assert town.successors() == neighbours(CHAPTER)
    assert all(service.placed and service.awaited() == 0 for service in town.services.values())


def test_missing_copies_are_counted() -> None:
    town = settled()
    town.ask(3, "put", b"a key", b"a value")
    town.run(15.0)
    assert sum(service.counts.missing() for service in town.services.values()) == 0
    for ident in (5, 8):
        town.hosts[ident].power_off()
        del town.services[ident]
    town.run(40.0)
    assert sum(service.counts.missing() for service in town.services.values()) == 0
    alone = Town((1,))
    alone.run(2.0)
    assert alone.services[1].counts.missing() == 2


def test_one_connection_for_each_pair() -> None:
    town = settled()
    for ident in CHAPTER:
        for key in range(16):
            town.ask(ident, "look_up", key)
    opened = Counter(
        frozenset((ident, contact.ident))
        for ident, service in town.services.items()
        for contact, link in service.links.links.items()
        if link.connection is not None
    )
    assert set(opened.values()) == {2}, "both ends of a connection, and no other"
    assert all(len(service.links._lines) == service.links.connected() for service in town.services.values())


def test_two_that_dial_each_other_at_once() -> None:
    town = Town((1, 8), stabilize=1000.0, shortcuts=False)
    town.run(0.5)
    one, eight = town.services[1], town.services[8]
    for each in (one, eight):
        for link in each.links.links.values():
            link.connection.part()
    town.run(1.0)
    assert one.links.connected() == eight.links.connected() == 0
    before = one.counts.dials + eight.counts.dials
    asked = [town.simulation.call(town.hosts[here], town.services[here].look_up, there) for here, there in ((1, 5), (8, 12))]
    town.run(0.3)
    assert [each.result().responsible.ident for each in asked] == [8, 1]
    assert one.counts.dials + eight.counts.dials == before + 2
    assert (len(one.links._lines), len(eight.links._lines)) == (1, 1)
    assert one.counts.dropped.total() == eight.counts.dropped.total() == one.counts.gone == eight.counts.gone == 0


def test_peer_5_dies_and_4_and_3_repair_within_two_pings() -> None:
    for silently in (True, False):
        town = settled()
        host = town.hosts[5]
        if silently:
            host.power_off()
        else:
            host.kill()
        del town.services[5]
        town.run(2.0 + (town.options.timeout if silently else 0.0))
        found = town.successors()
        assert (found[4], found[3]) == ([8, 10], [4, 8])
        assert town.ask(3, "look_up", 5).responsible.ident == 8
        assert town.services[4].counts.gone >= 1
        assert all(contact.ident != 5 for contact, link in town.services[4].links.links.items() if link.connection)


def test_a_node_that_starts_again_has_its_place_again() -> None:
    town = settled()
    for pause in (0.0, 5.0):
        town.hosts[8].kill()
        town.run(pause)
        town.hosts[8].boot()
        town.run(SETTLED + 1.0)
        assert {ident: found[0] for ident, found in town.successors().items()} == {
            ident: found[0] for ident, found in neighbours(CHAPTER).items()
        }
    town.hosts[1].kill()
    town.run(5.0)
    assert town.successors()[15][0] == 3


def test_the_first_node_comes_back_through_the_others() -> None:
    """It begins a circle only where nobody has one."""
    town = Town(())
    places = [town.contact(ident).address for ident in (1, 5, 9)]
    for ident in (1, 5, 9):
        town.add(ident, *places, begin=ident == 1)
    town.run(SETTLED)
    assert town.successors() == neighbours((1, 5, 9))
    town.hosts[1].kill()
    town.run(3.0)
    town.hosts[1].boot()
    town.run(3.0)
    assert town.successors() == neighbours((1, 5, 9))


def test_who_has_lost_everybody_joins_again() -> None:
    town = Town(())
    places = [town.contact(ident).address for ident in (1, 5)]
    town.add(1, *places, begin=True)
    town.add(5, *places)
    town.run(SETTLED)
    assert town.successors() == {1: [5], 5: [1]}
    town.hosts[1].power_off()
    town.run(30.0)
    assert town.successors()[5] == [5]
    assert not town.services[5].placed
    town.hosts[1].boot()
    town.run(40.0)
    assert town.successors() == {1: [5], 5: [1]}


def test_nobody_to_join_through_is_waited_for() -> None:
    town = Town(())
    town.add(5, town.contact(1).address)
    town.run(60.0)
    assert not town.services[5].placed
    assert town.services[5].awaited() == 1
    assert town.services[5].counts.dials < 12
    town.add(1)
    town.run(40.0)
    assert town.successors() == {1: [5], 5: [1]}


def test_leaving_politely() -> None:
    town = settled()
    town.simulation.journal.enable(*town.simulation.hosts)
    begun = town.simulation.now
    town.ask(8, "stopService")
    assert town.simulation.now - begun < 3.0  # others have copies in the place of its own
    del town.services[8]
    town.run(1.2)
    assert town.successors() == neighbours(tuple(each for each in CHAPTER if each != 8))
    assert [row.summary for row in town.simulation.journal if "Leaving" in row.summary] == [
        "Leaving: predecessor 5, successors 10 12"
    ] * 2
    for ident in sorted(town.services):
        town.ask(ident, "stopService")
    assert [each for host in town.hosts.values() for each in host.reactor.streams] == []


def test_who_asks_again_while_it_stops_waits_for_the_same() -> None:
    town = settled()
    eight, host = town.services[8], town.hosts[8]
    town.hosts[10].power_off()  # whom it would hand over to
    begun = town.simulation.now
    first, second = (town.simulation.call(host, eight.stopService) for _ in range(2))
    town.run(0.0)
    assert (first.done, second.done) == (False, False)
    town.run(15.05)  # `leave`, then `bye_seconds` for the one that is silent
    assert (first.done, second.done) == (True, True)
    town.ask(8, "stopService")
    assert town.simulation.now - begun < 15.1
    assert not eight.running


def test_a_node_that_has_left_joins_again() -> None:
    town = settled()
    town.ask(3, "put", b"a key", b"a value")
    for _ in range(2):
        town.ask(8, "stopService")
        with pytest.raises(NotJoined, match=r"node8 has not joined: 192.0.2.14:4160: "):
            join(town, 8, 13)
        assert not town.services[8].running
        join(town, 8, 3)
        assert town.services[8].placed
        with pytest.raises(NotJoined, match=r"node8 has a place on the circle test: have it leave that first"):
            join(town, 8, 1)
        town.run(SETTLED + 1.0)
        assert town.successors() == neighbours(CHAPTER)
        assert town.ask(8, "get", b"a key").values[0].data == b"a value"


def join(town: Town, ident: int, through: int, host: Any = None) -> None:
    service = town.services[ident]
    places = [town.contact(through).address]
    town.simulation.ask(host or town.hosts[ident], lambda: Deferred.fromCoroutine(service.join(places)), within=60.0)


def test_a_circle_of_one_joins_another() -> None:
    town = settled()
    town.add(13)
    town.run(1.0)
    with pytest.raises(NotJoined, match="has not joined"):
        join(town, 13, 14)
    assert town.services[13].placed
    assert town.services[13].not_ready() == []
    join(town, 13, 1)
    town.run(SETTLED + 1.0)
    assert town.successors() == neighbours((*CHAPTER[:-1], 13, 15))


def test_an_identifier_that_a_node_of_the_circle_has() -> None:
    """Met on the way to its place, or named by others at the end of it."""
    town = settled()
    eight, logged = town.services[8], list[str]()
    with capturing(logged):
        town.add(8, town.contact(1).address, address="192.0.2.99")
        town.run(3.0)
        late = town.services[8]
        assert (late.placed, late.trouble) == (False, TAKEN)
        assert late.not_ready() == [f"node8192.0.2.99 has no place on the circle test. {TAKEN}"]
        with pytest.raises(NotJoined, match=r"node8192.0.2.99 has not joined: .*stop that node"):
            join(town, 8, 1, town.hosts[8])
        for _ in range(2):
            late._told(JoinFailed(town.contact(1), town.contact(8)))
    assert logged.count(f"node8192.0.2.99 does not join: {TAKEN}") == 1
    assert eight.placed


# Strangers


@pytest.mark.parametrize(
    ("ident", "network", "reason", "text"),
    [
        (9, "other", "network", "this is network 'other', not 'test'"),
        (8, "test", "taken", TAKEN),
    ],
)
def test_nodes_that_do_not_fit_are_not_let_in(ident: int, network: str, reason: str, text: str) -> None:
    town = settled()
    eight = town.services[8]
    through = [town.contact(each).address for each in (8, 1)]
    logged = []
    with capturing(logged):
        town.add(ident, *through, network=network, address="192.0.2.99")
        town.run(3.0)
    stranger = town.services.pop(ident)
    assert not stranger.placed
    assert f"node{ident}192.0.2.99 and 192.0.2.9:4160 do not talk: {text}" in logged
    assert stranger.counts.refusals(reason) >= 1
    assert eight.counts.refusals(reason) >= 1
    town.services[8] = eight
    assert town.successors() == neighbours(CHAPTER)


@contextmanager
def capturing(texts: list[str]) -> Iterator[None]:
    """What is logged."""

    def observe(event: Any) -> None:
        texts.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)


class Stranger(Protocol):
    """Sends some octets, keeps what comes."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.got = b""
        self.lost = False
        self.up: Deferred[Any] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self.octets)

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


def visit(town: Town, ident: int, octets: bytes, count: int = 1) -> list[Stranger]:
    """Connections of a host that has no node."""
    name = "stranger"
    host = town.simulation.hosts.get(name) or town.simulation.host(name, "192.0.2.200")
    strangers = [Stranger(octets) for _ in range(count)]

    def dial() -> None:
        for each in strangers:
            factory = ClientFactory()
            factory.protocol = lambda each=each: each  # type: ignore[assignment,misc]
            factory.noisy = False
            host.reactor.connectTCP(f"192.0.2.{ident + 1}", PORT, factory)

    town.simulation.call(host, dial)
    town.run(0.5)
    return strangers


def read(octets: bytes) -> list[Any]:
    codec, found = Codec(Circle(4)), []
    while octets:
        end = 4 + int.from_bytes(octets[:4], "big")
        found.append(codec.decode(octets[4:end]))
        octets = octets[end:]
    return found


def hello(ident: int = 7, network: str = "test", bits: int = 4, instance: int = 5) -> bytes:
    return Codec(Circle(4)).encode(
        Hello(MAGIC, 1, bits, network, Contact(ident, f"192.0.2.200:{PORT + ident}"), instance, True)
    )


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "protocol"),
        (bytes(1000), "protocol"),
        (hello(network="other"), "network"),
        (hello(bits=160), "bits"),
        (hello(ident=8), "taken"),
        (hello() + b"\0\0\0\2\x10\x01", "protocol"),
        (hello() + b"\xff\xff\xff\xff", "protocol"),
        (b"", "silent"),
        (hello()[:10], "silent"),
    ],
)
def test_octets_of_strangers(octets: bytes, reason: str) -> None:
    town = settled()
    (stranger,) = visit(town, 8, octets)
    town.run(6.0)
    assert stranger.lost
    answers = read(stranger.got)
    assert isinstance(answers[0], Hello)
    assert isinstance(answers[-1], Refusal)
    assert answers[-1].reason == reason
    counts = town.services[8].counts
    assert {each: counts.refusals(each) for each in REASONS if counts.refusals(each)} == {reason: 1}
    assert town.ask(8, "look_up", 3).responsible.ident == 3


def test_many_connections_of_one_address_are_refused() -> None:
    town = Town((1, 8))
    town.limits = LinkLimits(per_address=3, dials=100)
    town.hosts[8].kill()
    town.hosts[8].boot()
    town.run(3.0)
    octets = [hello(ident, instance=ident) for ident in (2, 3, 4, 5, 6)]
    strangers = [each for one in octets for each in visit(town, 8, one)]
    refused = [each for each in strangers if isinstance(read(each.got)[-1], Refusal)]
    assert len(refused) == town.services[8].counts.refusals("many") == 2
    strangers[0].transport.loseConnection()
    town.run(0.5)
    (again,) = visit(town, 8, hello(2))
    assert not again.lost


def test_what_waits_for_a_node_is_bounded() -> None:
    town = Town((1, 8))
    town.limits = LinkLimits(waiting=5)
    town.hosts[8].kill()
    town.hosts[8].boot()
    town.run(3.0)
    links = town.services[8].links

    def send() -> None:
        for _ in range(50):
            links.send(Contact(9, "192.0.2.77:4160"), Refusal("a", "b"))

    town.simulation.host("nobody", "192.0.2.77").power_off()
    town.simulation.call(town.hosts[8], send)
    town.run(1.0)
    assert links.counts.dropped["full"] == 45
    town.run(60.0)
    assert links.counts.dropped["unreachable"] == 5
    assert links.counts.unreachable == 1
    assert links._waiting == 0
    assert len(links._lines) == 1


def test_connections_that_are_not_used_end_and_come_again() -> None:
    town = Town((1, 8))
    town.bounds = StreamBounds(idle_seconds=5.0)
    for ident in (1, 8):
        town.hosts[ident].kill()
        town.hosts[ident].boot()
    town.run(3.0)
    (stranger,) = visit(town, 8, hello())
    town.run(5.0)
    assert read(stranger.got)[-1] == read(b"\0\0\0\1\3")[0]
    town.run(6.0)
    assert stranger.lost
    assert town.services[8].links.connected() == 1
    assert town.services[8].counts.gone == 0


def test_an_idle_circle_only_pings() -> None:
    """A second of eight idle nodes: each asks its successor, notifies it, pings its predecessor, looks one shortcut up."""
    town = settled(shortcuts=False)
    town.run(20.0)
    before = counted(town)
    town.run(10.0)
    circle, data = ((after - sent) / 2 / 10 / 8 for after, sent in zip(counted(town), before, strict=True))
    assert 4.5 <= circle <= 5.5
    assert 0.4 <= data <= 1.2  # every ten seconds each compares its copies with those of two others


def counted(town: Town) -> tuple[int, int]:
    """Messages about the circle and about data, sent and received."""
    found = [0, 0]
    for service in town.services.values():
        for (_, kind), count in service.counts._messages.items():
            found[issubclass(kind, DataMessage)] += count
    return found[0], found[1]


def test_the_histogram_of_hops() -> None:
    """Two look-ups of two forwards, one of six, one that failed: what Prometheus reads of them."""
    registry = CollectorRegistry()
    counts = ring_counts(registry)
    for number, forwards in enumerate((2, 6, 2)):
        counts.looked_up(LookedUp(number, 14, Contact(15), tuple(range(forwards + 1)), 0, 0.1))
    counts.looked_up(LookedUp(3, 14, None, (3, 8), 1, 30.0))
    buckets = {
        bound: registry.get_sample_value("netstack_ring_lookup_hops_bucket", {"le": bound})
        for bound in ("1", "2", "5", "6", "+Inf")
    }
    assert buckets == {"1": 0.0, "2": 2.0, "5": 2.0, "6": 3.0, "+Inf": 3.0}
    assert registry.get_sample_value("netstack_ring_lookup_hops_sum") == 10.0
