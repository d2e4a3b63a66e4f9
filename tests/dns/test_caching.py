"""What is in a resolver's cache, told and forgotten: names, trees, failures, while others ask on."""

from typing import Any

import dns.name
import pytest
from twisted.internet.defer import Deferred

from netstack.dns.caching import FILE, dumped
from netstack.dns.paging import MOST, Pages
from netstack.world.loader import parse
from netstack.world.session import Session, open_session

HOST, RESOLVER, SERVER = "host.lan.edu", "resolver.lan.edu", "ns.lan.edu"


def world(profile: str = "textbook") -> Session:
    records = "www.cs A 10.9.9.9\nftp CNAME www.cs\nmail.ee A 10.9.9.8\nt TXT x\n"
    table = {
        "profile": profile,
        "sites": {"core": {"resolver": False}, "lan": {"resolver": RESOLVER}},
        "zones": {".": {"site": "core", "servers": ["a.root"]}, "root": {"servers": ["a.root"]},
                  "edu": {"site": "core", "servers": ["ns.edu"]},
                  "lan.edu": {"site": "core", "servers": [SERVER], "records": records}},
        "hosts": {RESOLVER: {"site": "lan", "services": {"resolver": {}}}, HOST: {"site": "lan"}},
    }  # fmt: skip
    return open_session(parse(table), "simulated", seed=5)


def control(internet: Session) -> Any:
    """The resolver's."""
    service: Any = internet.running.hosts[RESOLVER].services[0].service
    return service.cache_control


def do(internet: Session, coroutine: Any) -> Any:
    async def run(machine: object) -> Any:
        return await Deferred.fromCoroutine(coroutine)

    return internet.ask(RESOLVER, run)


def kept(internet: Session) -> list[str]:
    """Name and type of all that is kept."""
    return [f"{entry['name']} {entry['type']}" for entry in control(internet).entries()]


def test_all_of_the_cache_is_told() -> None:
    with world() as internet:
        for name in ("www.cs.lan.edu", "ftp.lan.edu", "nowhere.lan.edu", "t.lan.edu"):
            internet.resolve(name, host=HOST)
        entries = {(entry["name"], entry["type"]): entry for entry in control(internet).entries()}
        assert list(entries) == sorted(entries, key=lambda key: ([*reversed(key[0].split("."))], key[1]))
        www = entries["www.cs.lan.edu.", "A"]
        assert (www["rank"], www["records"], www["negative"]) == ("authanswer", ["10.9.9.9"], False)
        assert 172_790 <= www["ttl"] <= 172_800
        assert entries["lan.edu.", "NS"]["rank"] == "additional"
        assert entries["nowhere.lan.edu.", "ANY"]["rcode"] == "NXDOMAIN"
        text = "\n".join(line for entry in entries.values() for line in dumped(entry))
        assert f"; authanswer\nwww.cs.lan.edu. {www['ttl']} IN A 10.9.9.9\n" in text
        assert "\nnowhere.lan.edu. " in text
        assert "\\-ANY ;-$NXDOMAIN\n; lan.edu. SOA ns.lan.edu." in text
        assert "\\-A ;-$NXRRSET" in text


def test_what_the_dump_writes() -> None:
    with world() as internet:
        internet.resolve("www.cs.lan.edu", host=HOST)
        count = do(internet, control(internet).write())
        written = internet.running.hosts[RESOLVER].machine.disk.read(FILE).decode()
        assert count == len(kept(internet)) == written.count("; authanswer") + written.count("; additional")
        assert "www.cs.lan.edu." in written


@pytest.mark.parametrize(
    ("name", "tree", "gone"),
    [
        ("www.cs.lan.edu", False, ["www.cs.lan.edu. A"]),
        ("cs.lan.edu", False, []),
        ("cs.lan.edu", True, ["www.cs.lan.edu. A"]),
        ("WWW.cs.LAN.edu", False, ["www.cs.lan.edu. A"]),
        ("ftp.lan.edu", True, ["ftp.lan.edu. CNAME"]),
        ("nowhere.lan.edu", False, ["nowhere.lan.edu. ANY"]),
        ("other.edu", True, []),
    ],
)
def test_a_name_or_a_tree_is_forgotten(name: str, tree: bool, gone: list[str]) -> None:
    with world() as internet:
        for asked in ("www.cs.lan.edu", "ftp.lan.edu", "nowhere.lan.edu", "mail.ee.lan.edu"):
            internet.resolve(asked, host=HOST)
        before = kept(internet)
        assert do(internet, control(internet).forget(dns.name.from_text(name), tree)) == len(gone)
        assert kept(internet) == [each for each in before if each not in gone]
        assert internet.resolve("www.cs.lan.edu", host=HOST).records == ("10.9.9.9",)


def test_all_is_forgotten_from_the_root() -> None:
    with world() as internet:
        internet.resolve("www.cs.lan.edu", host=HOST)
        do(internet, control(internet).forget(dns.name.root, True))
        assert kept(internet) == []


def test_what_failed_is_tried_again() -> None:
    with world("hardened") as internet:
        internet.stop_host(SERVER)
        assert internet.resolve("www.cs.lan.edu", host=HOST).rcode == "SERVFAIL"
        internet.start_host(SERVER)
        assert internet.resolve("www.cs.lan.edu", host=HOST).rcode == "SERVFAIL"  # RFC 9520
        do(internet, control(internet).forget(dns.name.from_text("lan.edu"), True))
        assert internet.resolve("www.cs.lan.edu", host=HOST).rcode == "NOERROR"


def test_pieces() -> None:
    pages: Pages[int] = Pages()
    number = pages.begin(iter(range(7)))
    assert pages.take(number, 3) == ([0, 1, 2], True)
    assert pages.take(number, 3) == ([3, 4, 5], True)
    assert pages.take(number, 3) == ([6], False)
    with pytest.raises(KeyError):
        pages.take(number)
    first = pages.begin(iter([1]))
    for _ in range(MOST):
        pages.begin(iter([2]))
    with pytest.raises(KeyError):
        pages.take(first)
