"""Nodes as processes: some come, some leave in turn, half are killed at once; no key is lost. More in tests/soak."""

from pathlib import Path

from tests.ring.fleet import Fleet

KEYS = [f"key{number}" for number in range(40)]


def test_nodes_come_and_leave_and_are_killed(tmp_path: Path) -> None:
    with Fleet(tmp_path, data={"patience": 1.0}) as fleet:
        fleet.start(8)
        fleet.settle()
        fleet.put_all(KEYS)
        fleet.start(4)
        fleet.settle()
        assert fleet.missing(KEYS) == []
        for node in list(fleet.nodes.values())[8:]:
            fleet.leave(node)
        fleet.settle()
        assert fleet.missing(KEYS) == []
        fleet.kill(fleet.ordered()[::2])
        fleet.settle()
        assert fleet.missing(KEYS) == []
        assert fleet.trouble() == []
