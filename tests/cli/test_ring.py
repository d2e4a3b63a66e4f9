"""`netstack ring`: keys put, read and removed, the way to them, what nodes know, a node that leaves."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.world import as_json, netstack, up_in

pytestmark = pytest.mark.xdist_group("cli-ring")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with up_in(tmp_path_factory.mktemp("r"), "textbook", "circle"):
        yield


def test_keys(world: None) -> None:
    put = netstack("ring", "put", "hamlet", "to be")
    assert (put.returncode, put.stderr) == (0, ""), put.stderr
    assert put.stdout.startswith("hamlet: version ")
    assert netstack("ring", "put", "hamlet", "or not to be", "--add").returncode == 0
    got = netstack("ring", "get", "hamlet", "--at", "node5.ring.test")
    assert sorted(got.stdout.splitlines()) == ["or not to be", "to be"]
    assert len(as_json("ring", "get", "hamlet")["values"]) == 2
    assert netstack("ring", "rm", "hamlet").stdout == "hamlet is removed\n"
    gone = netstack("ring", "get", "hamlet")
    assert (gone.returncode, gone.stderr) == (1, "no value is kept under hamlet\n")


def test_the_way_to_a_key(world: None) -> None:
    """The chapter's: key 14, asked at peer 3, belongs to 15."""
    found = as_json("ring", "lookup", "--ident", "14", "--at", "node2.ring.test", "--forwarding")
    assert found["responsible"]["ident"] == 15
    assert found["path"][0] == 3
    assert found["path"][-1] == 15
    traced = netstack("ring", "lookup", "--ident", "14", "--at", "node2.ring.test", "--forwarding", "--trace")
    lines = traced.stdout.splitlines()
    assert lines[0].startswith("14 belongs to 15 ")
    assert lines[1].startswith("3 - ")
    forwards = sum("Forward" in line for line in lines[2:])  # of this one: its shortcuts may be newer
    assert f": {forwards} forward" in lines[1], traced.stdout
    assert netstack("ring", "lookup", "some key").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("lookup",), 2, "expected a key, or --ident NUMBER"),
        (("lookup", "--ident", "16"), 2, "ident: expected a number from 0 to 15, got 16"),
        (("get", "x", "--at", "gaia.cs.umass.edu"), 2, "gaia.cs.umass.edu is no node of the ring"),
        (("put", "x", "y", "--ttl", "0"), 2, "ttl: expected a number of seconds above 0"),
    ],
)
def test_what_cannot_be_asked(world: None, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = netstack("ring", *arguments)
    assert done.returncode == code
    assert said in done.stderr


def test_nodes_and_one_that_leaves(world: None) -> None:
    shown = netstack("ring", "show").stdout.splitlines()
    assert len(shown) == 8
    assert shown[3].startswith("node4.ring.test  5  before it 4  after it 8 ")
    assert netstack("ring", "put", "kept", "here").returncode == 0
    left = netstack("ring", "leave", "node4.ring.test")
    assert (left.returncode, left.stdout) == (0, "node4.ring.test has left the circle\n"), left.stderr
    assert "node4.ring.test has left the circle: `netstack ring join" in netstack("ring", "show", "node4.ring.test").stderr
    rows = netstack("ring", "show").stdout.splitlines()
    assert [row.split()[0] for row in rows] == [f"node{number}.ring.test" for number in range(1, 9)]
    assert rows[3].startswith("node4.ring.test has left the circle: ")
    found = json.loads(netstack("ring", "show", "--json").stdout)
    assert found["node5.ring.test"]["predecessor"]["ident"] == 4
    assert list(found["node4.ring.test"]) == ["error"]
    assert netstack("ring", "get", "kept").stdout == "here"
    for through, said in (
        ("node9.ring.test", "node9.ring.test is no node of the ring that runs; expected one of node1.ring.test, "),
        ("127.0.0.1:1", "node4.ring.test has not joined: 127.0.0.1:1: "),
    ):
        refused = netstack("ring", "join", "node4.ring.test", "--through", through)
        assert refused.returncode != 0
        assert said in refused.stderr
    assert "has left the circle" in netstack("ring", "show", "node4.ring.test").stderr
    joined = netstack("ring", "join", "node4.ring.test")
    assert (joined.returncode, joined.stdout) == (0, "node4.ring.test has a place on the circle, before 8\n"), joined.stderr
    assert "has a place on the circle textbook: have it leave" in netstack("ring", "join", "node4.ring.test").stderr
    assert netstack("ring", "get", "kept", "--at", "node4.ring.test").stdout == "here"
    assert netstack("ring", "leave", "node1.ring.test").returncode == 0
    assert netstack("ring", "get", "kept").stdout == "here", "the first that is on the circle is asked"
    assert netstack("ring", "join", "node1.ring.test").returncode == 0
