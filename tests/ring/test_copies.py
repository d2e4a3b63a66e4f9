"""Copies: after joins, leaves and deaths each key is where it belongs and nowhere else; what comparing them costs."""

from random import Random

import pytest

from netstack.lab.data_network import DataNetwork, settled_peers
from netstack.ring.data_messages import Compare, CompareAnswer, Got, Left, Pull, PullAnswer
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.peer import Peer
from netstack.ring.records import NEVER, DataOptions, Record, Value, Version
from netstack.ring.table import name_of, place_of
from netstack.ring.tasks import Work
from netstack.ring.wire import Codec

CIRCLE = Circle(32)
RING = RingOptions(4, timeout=0.3, stabilize=0.5, fix=0.5)
DATA = DataOptions(patience=3.0, sync=2.0, timeout=0.5)


def ring_of(count: int, keys: int, data: DataOptions = DATA, seed: int = 1) -> DataNetwork:
    """A ring with keys, each in as many copies as there are to be."""
    network = DataNetwork(lambda rng: rng.uniform(0.005, 0.02), seed)
    rng = Random(seed)
    contacts = [Contact(ident, f"n{ident}") for ident in rng.sample(range(CIRCLE.size), count)]
    for peer in settled_peers(CIRCLE, contacts, RING, data, seed):
        network.add_peer(peer)
    network.run(3.0)
    ordered = sorted(network.nodes)
    for number in range(keys):
        record = record_of(number)
        for contact in responsible(ordered, record.key, data.copies):
            network.seats[contact].peer.table.merge(record, network.now)
    return network


def record_of(number: int, counter: int = 1) -> Record:
    data = b"%d of %d" % (number, counter)
    value = Value(name_of(data), Version(counter, 7), float("inf"), False, data)
    return Record(b"key %d" % number, NEVER, 0.0, (value,))


def responsible(ordered: list[Contact], key: bytes, copies: int) -> list[Contact]:
    """Who is to have a key."""
    first = next((place for place, each in enumerate(ordered) if each.ident >= CIRCLE.of(key)), 0)
    return [ordered[(first + step) % len(ordered)] for step in range(min(copies, len(ordered)))]


def stop_those_who_left(network: DataNetwork) -> None:
    for _, contact, event in network.told:
        if isinstance(event, Left):
            network.fail(contact)
    network.told.clear()


def check_places(network: DataNetwork, keys: int, copies: int = 3) -> None:
    """Each key is where it belongs, the same in all copies, and nowhere else."""
    ordered = sorted(network.nodes)
    for number in range(keys):
        key = b"key %d" % number
        where = responsible(ordered, key, copies)
        held = {contact: seat.peer.table.get(key) for contact, seat in network.seats.items()}
        assert sorted(contact for contact, found in held.items() if found is not None) == sorted(where), number
        assert len({found.digest for found in held.values() if found is not None}) == 1


def readable(network: DataNetwork, keys: int, rng: Random) -> int:
    """How many keys give their value when a random peer is asked."""
    found = 0
    for number in range(keys):
        got = network.outcome(
            rng.choice(sorted(network.seats)), lambda peer, now, key=b"key %d" % number: peer.get(key, now)
        )  # type: ignore[misc]
        found += isinstance(got, Got) and {value.data for value in got.values} == {b"%d of 1" % number}
    return found


def test_a_node_that_joins_gets_its_keys_and_others_drop_theirs() -> None:
    network = ring_of(8, 200)
    rng = Random(5)
    for ident in rng.sample(range(CIRCLE.size), 3):
        peer = Peer(CIRCLE, Contact(ident, f"n{ident}"), RING, DATA, Random(ident))
        network.join(peer, rng.choice(sorted(network.nodes)))
        network.run(network.now + 1)
    network.run(network.now + 40)
    check_places(network, 200)
    assert sum(seat.peer.arcs.counts["forced"] for seat in network.seats.values()) == 0
    assert readable(network, 50, rng) == 50


def test_nodes_that_leave_hand_over() -> None:
    """From twelve to four, one after the other: nothing is lost and nobody goes on without a promise."""
    network = ring_of(12, 200)
    rng = Random(6)
    while len(network.nodes) > 4:
        contact = rng.choice(sorted(network.nodes))
        network.leave(contact)
        for _ in range(200):
            network.run(network.now + 0.1)
            stop_those_who_left(network)
            if contact not in network.nodes:
                break
        assert contact not in network.nodes
    network.run(network.now + 30)
    check_places(network, 200)
    assert sum(seat.peer.arcs.counts["forced"] for seat in network.seats.values()) == 0
    assert readable(network, 50, rng) == 50


@pytest.mark.parametrize("seed", range(2))
def test_half_of_the_nodes_die_at_once(seed: int) -> None:
    """No three neighbours among them: every key is in some copy, is read, and has three copies again."""
    network = ring_of(24, 150, seed=seed)
    rng = Random(seed)
    ordered = sorted(network.nodes)
    dead: set[int] = set()
    for place in rng.sample(range(24), 24):
        if len(dead) < 12 and not any(
            all((place + shift + step) % 24 in dead | {place} for step in range(3)) for shift in (-2, -1, 0)
        ):
            dead.add(place)
    for place in dead:
        network.fail(ordered[place])
    died = network.now
    network.run(died + 25)
    assert readable(network, 150, rng) == 150
    network.run(network.now + 40)
    check_places(network, 150)


@pytest.mark.parametrize(
    ("keys", "different", "messages", "octets"),
    [
        (0, 0, 2, 300),
        (2000, 0, 2, 300),
        (2000, 1, 10, 9000),
        (2000, 20, 12, 50_000),
        (20_000, 20, 16, 100_000),
    ],
)
def test_comparing_costs_by_what_differs(keys: int, different: int, messages: int, octets: int) -> None:
    """Not by the keys: ten times as many cost one step down the tree more."""
    network = ring_of(4, keys, DataOptions(sync=1000.0))
    network.run(network.now + 0.5)
    peer = network.seats[sorted(network.nodes)[0]].peer
    other = peer.arcs.holders()[1][0]
    mine = [number for number in range(30_000) if peer.arcs.serves(place_of(b"key %d" % number))]
    for number in mine[:different]:
        network.seats[other].peer.table.merge(record_of(number, 2), network.now)
    done: list[bool] = []

    def work() -> Work:
        assert peer.arcs.serving is not None
        done.append((yield from peer.copying.agree(other, peer.arcs.serving.epoch, peer.arcs.spans(peer.arcs.serving))))

    peer.copying.pulled = peer.copying.pushed = 0
    network.recording = True
    peer._tasks.run(work(), network.now)
    network.serve(network.seats[peer.me])
    network.run(network.now + 20)
    codec = Codec(CIRCLE)
    sent = [message for _, _, _, message in network.log if isinstance(message, Compare | CompareAnswer | Pull | PullAnswer)]
    size = sum(len(codec.encode(message)) for message in sent)
    print(f"{keys} keys, {different} differ: {len(sent)} messages, {size} octets")
    assert done == [True]
    assert (peer.copying.pulled, peer.copying.pushed) == (different, 0)
    assert len(sent) <= messages
    assert size <= octets
