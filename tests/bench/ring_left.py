"""What is left of keys while nodes come and are killed, in virtual time: copies of each key, and until it has all again."""

import argparse
from random import Random
from statistics import fmean

from netstack.lab.data_network import DataNetwork, at, settled_peers
from netstack.ring.data_messages import Got, Stored
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import JoinFailed
from netstack.ring.peer import Peer
from netstack.ring.records import DataOptions
from tests.bench.ring_beside import changes

CIRCLE = Circle(160)
STEP = 0.05
"""Seconds between two looks at who has copies."""


class Churn:
    """One run; the same changes as those of `ring_beside` with this seed."""

    def __init__(self, seed: int, options: argparse.Namespace) -> None:
        self.rng = Random(f"left {seed}")
        self.data = DataOptions(copies=options.copies)
        self.ring = RingOptions(successors=options.copies + 2, hurry=1 / 16)
        self.network = DataNetwork(lambda rng: rng.uniform(0.001, 0.005), seed, None if options.silent else 0.001)
        self.plan = changes(seed, options.nodes, options.pause, options.seconds)
        self.keys = [b"key%d" % number for number in range(options.keys)]
        self.there = [self.contact() for _ in range(options.nodes)]
        self.again: dict[Contact, float] = {}
        self.fewer: dict[bytes, float] = {}
        self.restored: list[float] = []
        """Seconds for which keys had fewer copies than they should."""
        self.once = 0.0
        """Seconds for which keys had one copy, of all of them together."""
        for peer in settled_peers(CIRCLE, self.there, self.ring, self.data, seed):
            self.network.add_peer(peer)

    def contact(self) -> Contact:
        ident = self.rng.getrandbits(160)
        return Contact(ident, f"n{ident}")

    def run(self) -> tuple[int, int]:
        """Keys without a copy in the end, and keys that have one and are not read."""
        network = self.network
        network.run(3.0)
        for key in self.keys:
            put = network.outcome(self.rng.choice(self.there), lambda peer, now, key=key: peer.put(key, key, now))  # type: ignore[misc]
            assert isinstance(put, Stored)
        network.run(network.now + 15)
        begun = network.now
        for when, comes, which in self.plan:
            self.go_on(begun + when)
            chosen = self.there[int(which * len(self.there))]
            if comes:
                me = self.contact()
                self.there.append(me)
                peer = Peer(CIRCLE, me, self.ring, self.data, Random(self.rng.getrandbits(64)))
                network.join(peer, self.there[0])
            else:
                self.there.remove(chosen)
                network.fail(chosen)
        self.go_on(network.now + 20)
        unread = 0
        for key in self.keys:
            got = network.outcome(self.rng.choice(self.there), lambda peer, now, key=key: peer.get(key, now))  # type: ignore[misc]
            unread += not (isinstance(got, Got) and [each.data for each in got.values] == [key])
        lost = sum(self.copies(key) == 0 for key in self.keys)
        return lost, unread - lost

    def copies(self, key: bytes) -> int:
        return sum(seat.peer.table.get(key) is not None for seat in self.network.seats.values())

    def go_on(self, until: float) -> None:
        network = self.network
        while network.now < until:
            network.run(min(until, network.now + STEP))
            for _, contact, event in network.told:
                if isinstance(event, JoinFailed):
                    self.again[contact] = network.now + 1
            network.told.clear()
            for contact in [each for each, when in self.again.items() if when <= network.now]:
                del self.again[contact]
                if contact in network.seats:
                    network.seats[contact].peer.join(self.rng.choice(self.there), at(network.now))
                    network.serve(network.seats[contact])
            for key in self.keys:
                count = self.copies(key)
                self.once += STEP * (count == 1)
                if count < self.data.copies:
                    self.fewer.setdefault(key, network.now)
                elif key in self.fewer:
                    self.restored.append(network.now - self.fewer.pop(key))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=24)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two changes, on the average")
    parser.add_argument("--seconds", type=float, default=60.0, help="of churn")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--silent", action="store_true", help="machines fall silent; else others hear of a death")
    options = parser.parse_args()
    lost = unread = kills = 0
    restored: list[float] = []
    once = 0.0
    for seed in range(1, options.seeds + 1):
        churn = Churn(seed, options)
        gone, others = churn.run()
        lost, unread, once = lost + gone, unread + others, once + churn.once
        kills += sum(not comes for _, comes, _ in churn.plan)
        restored += churn.restored
    restored.sort()
    print(
        f"{options.seeds} runs, {kills} kills, {options.seeds * options.keys} keys: "
        f"{lost} lost, {unread} not read with a copy; "
        f"one copy for {once:.0f} key-seconds; all copies again after {restored[len(restored) // 2]:.2f} s (median), "
        f"{restored[int(0.99 * len(restored))]:.2f} s (99 %), {restored[-1]:.2f} s (most), {fmean(restored):.2f} s (mean)"
    )


if __name__ == "__main__":
    main()
