"""Values under keys on a quiet circle: put, replaced, removed, read at any peer; copies; what is refused."""

from math import inf
from random import Random

import pytest

from netstack.lab.data_network import DataNetwork, settled_peers
from netstack.ring.data_messages import Failed, Got, Stored
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.records import DataOptions

CIRCLE = Circle(32)


def network_of(count: int, data: DataOptions | None = None, seed: int = 1) -> DataNetwork:
    network = DataNetwork(lambda rng: rng.uniform(0.01, 0.05), seed)
    rng = Random(seed)
    contacts = [Contact(ident, f"n{ident}") for ident in rng.sample(range(CIRCLE.size), count)]
    for peer in settled_peers(CIRCLE, contacts, RingOptions(4), data or DataOptions(), seed):
        network.add_peer(peer)
    return network


def put(network: DataNetwork, key: bytes, value: bytes, where: int = 0, **options: object) -> object:
    contact = sorted(network.nodes)[where]
    return network.outcome(contact, lambda peer, now: peer.put(key, value, now, **options))  # type: ignore[arg-type]


def remove(network: DataNetwork, key: bytes, value: bytes | None = None, where: int = 0) -> object:
    return network.outcome(sorted(network.nodes)[where], lambda peer, now: peer.remove(key, now, value))


def values(network: DataNetwork, key: bytes, where: int = 0, quorum: int | None = None) -> set[bytes] | str:
    contact = sorted(network.nodes)[where]
    got = network.outcome(contact, lambda peer, now: peer.get(key, now, quorum=quorum))
    return {value.data for value in got.values} if isinstance(got, Got) else str(got)


def test_values_are_put_and_read_at_any_peer() -> None:
    network = network_of(12)
    for number in range(20):
        key = b"key %d" % number
        stored = put(network, key, b"a", number % 12)
        assert isinstance(stored, Stored)
        assert stored.copies >= 2
        assert isinstance(put(network, key, b"b", (number + 5) % 12), Stored)
        assert values(network, key, (number + 7) % 12) == {b"a", b"b"}
        network.run(network.now + 1)
        assert sum(seat.peer.table.get(key) is not None for seat in network.seats.values()) == 3
    assert values(network, b"nothing") == set()


def test_replaced_and_removed() -> None:
    network = network_of(8)
    put(network, b"k", b"a")
    put(network, b"k", b"b", 1)
    put(network, b"k", b"c", 2, replace=True)
    assert values(network, b"k", 3) == {b"c"}
    put(network, b"k", b"d")
    assert isinstance(remove(network, b"k", b"c", 5), Stored)
    assert values(network, b"k", 4) == {b"d"}
    assert isinstance(remove(network, b"k", b"never was"), Stored)
    assert isinstance(remove(network, b"k"), Stored)
    assert values(network, b"k", 6) == set()
    assert isinstance(remove(network, b"k"), Stored)
    put(network, b"k", b"c", 7)
    assert values(network, b"k") == {b"c"}


def test_values_expire_and_are_forgotten() -> None:
    network = network_of(8, DataOptions(tombstone=100, lateness=10))
    put(network, b"k", b"a", ttl=5.0)
    put(network, b"k", b"b")
    assert values(network, b"k") == {b"a", b"b"}
    network.run(network.now + 6)
    assert values(network, b"k") == {b"b"}
    remove(network, b"k")
    network.run(network.now + 101)
    assert all(len(seat.peer.table) == 0 and seat.peer.table.octets == 0 for seat in network.seats.values())


def test_limits_are_said() -> None:
    network = network_of(5, DataOptions(key_octets=10, value_octets=20, values=3, record_octets=400, keys=4))
    peer = next(iter(network.seats.values())).peer
    now = peer._now
    for wrong in ({"key": b"", "value": b""}, {"key": b"x" * 11, "value": b""}, {"key": b"k", "value": b"x" * 21}):
        with pytest.raises(ValueError, match="expected"):
            peer.put(wrong["key"], wrong["value"], now)
    for options in ({"ttl": 0.0}, {"ttl": -inf}, {"quorum": 0}, {"quorum": 4}):
        with pytest.raises(ValueError, match="expected"):
            peer.put(b"k", b"v", now, **options)  # type: ignore[arg-type]
    for value in (b"a", b"b", b"c", b"c"):
        assert isinstance(put(network, b"k", value), Stored)
    assert isinstance(failed := put(network, b"k", b"d"), Failed)
    assert failed.reason == "too many"
    assert values(network, b"k") == {b"a", b"b", b"c"}
    outcomes = [put(network, b"%d" % number, b"x") for number in range(20)]
    assert {each.reason for each in outcomes if isinstance(each, Failed)} == {"full"}
    assert all(len(seat.peer.table) <= 4 for seat in network.seats.values())


def test_one_alone_keeps_no_quorum_unless_told() -> None:
    network = network_of(1, DataOptions(deadline=2))
    assert put(network, b"k", b"v") == Failed(next(iter(network.outcomes))[1], "quorum")
    assert isinstance(put(network, b"k", b"v", quorum=1), Stored)
    assert values(network, b"k", quorum=1) == {b"v"}
