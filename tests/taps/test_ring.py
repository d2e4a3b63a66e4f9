"""netstack-ring's options, and two nodes under twistd: they find each other, one leaves politely."""

from pathlib import Path
from urllib.request import urlopen

import pytest
from twisted.python.usage import UsageError

from netstack.kernel.real import real_machine
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.records import DataOptions
from netstack.ring.stream import StreamBounds
from netstack.taps.ring import Config, Options, build
from tests.addresses import own_address
from tests.processes import running, twistd


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


def test_the_defaults() -> None:
    config = parsed().config()
    assert config == Config()
    assert (config.bits, config.ring.shortcuts, config.ring.successors, config.data.copies) == (160, True, 4, 3)


def test_every_kind_of_option_reaches_the_config() -> None:
    config = parsed(
        "--listen=tcp:7", "--bits=6", "--ident=0x1f", "--network=mine", "--contact=Node1.test:7", "--join=Node2.test:7",
        "--join=[::1]:8", "--begin", "--no-shortcuts", "--shortcut=12,48", "--shortcut", "60", "--successors=3",
        "--stabilize=2", "--timeout=0.2", "--copies=2", "--ttl=inf", "--max-value=1000", "--rate=10", "--idle-seconds=9",
        "--max-links=5", "--max-frame=400000", "--join-retry=2", "--max-connections=7", "--leave=3", "--begin-first",
    ).config()  # fmt: skip
    assert (config.listen, config.bits, config.ident, config.network) == (("tcp:7",), 6, 31, "mine")
    assert config.begin_first
    assert (config.contact, config.join, config.begin) == ("node1.test:7", ("node2.test:7", "[::1]:8"), True)
    assert config.by_hand == (12, 48, 60)
    assert config.ring == RingOptions(3, shortcuts=False, stabilize=2, timeout=0.2, hurry=1 / 16)
    assert config.data == DataOptions(copies=2, value_octets=1000)
    assert config.bounds == StreamBounds(rate=10, idle_seconds=9)
    assert (config.links.links, config.wire.frame, config.joining.retry) == (5, 400_000, 2)
    assert (config.connections, config.leave) == (7, 3)
    config = parsed("--http=tcp:8", "--http=tls:9", "--allow=10.0.0.0/8", "--http-name=Ring.test").config()
    assert (config.http, config.allow, config.names) == (("tcp:8", "tls:9"), ("10.0.0.0/8",), ("ring.test",))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen=udp:7"], "listen: udp:7 is a datagram endpoint"),
        (["--issue-only"], "issue_only: expected endpoints of the issuer"),
        (["--http=udp:7"], "http: udp:7 is a datagram endpoint"),
        (["--allow=everybody"], "allow: expected networks"),
        (["--bits=3"], "bits: expected 4 to 160, got 3"),
        (["--bits=4", "--ident=16"], "ident: expected a number from 0 to 15, got 16"),
        (["--ident=five"], "ident: expected a number such as 5 or 0x1f, got 'five'"),
        (["--ident=-2"], "ident: expected a number such as 5"),
        (["--join=node2"], "join: expected HOST:PORT, an IPv6 address in brackets, got 'node2'"),
        (["--contact=::1:7"], "contact: expected HOST:PORT"),
        (["--listen=tls:7"], "a tls endpoint needs --certificate and --key"),
        (["--identity=own"], "identity: expected one of hashed, given, got 'own'"),
        (["--ca=/nowhere.pem"], "--ca /nowhere.pem: No such file"),
        (["--issuer=https://a.test:4161"], "issuer: expected a token, too"),
        (["--issue=tls:4161"], "issue: expected the authority's certificate and key, and tokens"),
        (["--issue=tcp:4161"], "issue: a token must not cross the network in the clear"),
        (["--issue-key=/nowhere.pem"], "--issue-key /nowhere.pem: No such file"),
        (["--renew-part=1"], "renew_part: expected less than 1"),
        (["--begin"], "begin: expected nodes to join through"),
        (["--bits=4", "--shortcut=3,x"], "shortcuts: expected identifiers such as 12, got 3, x"),
        (["--bits=4", "--shortcut=16"], "shortcuts: expected numbers from 0 to 15"),
        (["--network="], "network: expected a name"),
        (["--copies=6"], "copies: expected at most 5, one more than the successors, got 6"),
        (["--successors=0"], "successors: expected a number above 0"),
        (["--hurry=2"], "hurry: expected more than 0 and at most 1"),
        (["--max-frame=1000"], "frame: expected at least 327680"),
        (["--rate=0"], "rate: expected a number above 0"),
        (["--leave=0"], "leave: expected a number above 0"),
        (["--timeout=soon"], "--timeout 'soon': a number was expected"),
        (["--workers=2"], "workers"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(").replace("?", r"\?").replace("[", r"\[")):
        parsed(*arguments)


def test_where_a_node_lies(tmp_path: Path) -> None:
    machine = real_machine("node", ("127.0.0.8",), tmp_path, port_offset=10000)
    built = build(Config(bits=16), machine)
    place = "127.0.0.8:14160"
    assert built.peer.me == Contact(Circle(16).of(place.encode()), place)
    assert [str(listener.endpoint) for listener in built.listeners] == [f"tcp:14160:interface={'127.0.0.8'}"]
    machine = real_machine("node", ("0.0.0.0",), tmp_path)
    with pytest.raises(ValueError, match="contact: expected HOST:PORT, for nobody can be told to connect to tcp:4160"):
        build(Config(), machine)
    assert build(Config(contact="node.test:1"), real_machine("n", ("0.0.0.0",), tmp_path)).peer.me.address == "node.test:1"


@pytest.mark.slow
def test_two_nodes_and_a_polite_end(tmp_path: Path) -> None:
    first, second = own_address(), own_address()
    one = twistd(
        "netstack-ring", "--name", "one", "--bits=4", "--ident=1", f"--address={first}", "--state", str(tmp_path / "1")
    )  # fmt: skip
    two = twistd(
        "netstack-ring", "--name", "two", "--bits=4", "--ident=9", f"--address={second}", f"--join={first}:4160",
        "--state", str(tmp_path / "2"), "--health=9100",
    )  # fmt: skip
    with running(*one, ready="one is node 1 of ring"), running(*two, ready="two has a place on the circle") as node:
        node.wait_until(lambda: "ok" in _get(second, "/readyz"), "its neighbours know of it, too")
        metrics = _get(second, "/metrics")
        assert "netstack_ring_successors 1.0" in metrics
        assert 'netstack_ring_messages_total{direction="sent",kind="Step"}' in metrics


def _get(address: str, path: str) -> str:
    with urlopen(f"http://{address}:9100{path}", timeout=30) as answer:
        return str(answer.read().decode())
