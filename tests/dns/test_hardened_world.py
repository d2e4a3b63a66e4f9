"""The resolver's features in a simulated world: what goes over its links, in virtual days."""

from typing import Any

from twisted.internet.task import deferLater

from netstack.world.loader import parse
from netstack.world.session import Session, open_session

NAME, HOST, RESOLVER, SERVER = "www.cs.lan.edu", "host.lan.edu", "resolver.lan.edu", "ns.lan.edu"
TTL = 172_800


def world(*features: str) -> Session:
    table = {
        "sites": {"core": {"resolver": False}, "lan": {"resolver": RESOLVER}},
        "zones": {".": {"site": "core", "servers": ["a.root"]}, "root": {"servers": ["a.root"]},
                  "edu": {"site": "core", "servers": ["ns.edu"]},
                  "lan.edu": {"site": "core", "servers": [SERVER], "records": "www.cs A 10.9.9.9\n"}},
        "hosts": {RESOLVER: {"site": "lan", "services": {"resolver": {"features": list(features)}}}, HOST: {"site": "lan"}},
    }  # fmt: skip
    internet = open_session(parse(table), "simulated", seed=5)
    internet.record()
    return internet


def asked(internet: Session, name: str = NAME) -> tuple[str, list[tuple[str, str]]]:
    """RCODE and records of one look-up, and the queries that it made the resolver send: to whom, and what."""
    internet.clear()
    answer = internet.resolve(name, host=HOST)
    rows = internet.rows()
    sent = [(row.destination_name, row.summary) for row in rows if row.source_name == RESOLVER and row.summary.endswith("?")]
    return f"{answer.rcode} {' '.join(answer.records)}".strip(), sent


def time_passes(internet: Session, seconds: float) -> None:
    async def wait(machine: Any) -> None:
        await deferLater(machine.reactor, seconds)

    internet.ask(HOST, wait, within=seconds + 60)


def test_each_server_is_told_its_part_in_random_case() -> None:
    with world("minimise", "mixed-case") as internet:
        result, sent = asked(internet)
        assert result == "NOERROR 10.9.9.9"
        assert [(to, text.lower()) for to, text in sent] == [
            ("a.root", "a edu?"), ("ns.edu", "a lan.edu?"), (SERVER, "a cs.lan.edu?"), (SERVER, "a www.cs.lan.edu?"),
        ]  # fmt: skip
        assert any(text[2:] not in (text[2:].lower(), text[2:].upper()) for _, text in sent)


def test_a_dead_server_is_covered_for_a_day() -> None:
    with world("serve-stale") as internet:
        assert asked(internet)[0] == "NOERROR 10.9.9.9"
        internet.stop_host(SERVER)
        time_passes(internet, TTL + 1)
        began = internet.seconds()
        assert asked(internet)[0] == "NOERROR 10.9.9.9"
        assert internet.seconds() - began < 2.5
        time_passes(internet, 30)
        internet.start_host(SERVER)
        time_passes(internet, 30)
        result, sent = asked(internet)
        assert (result, sent[-1][0]) == ("NOERROR 10.9.9.9", SERVER)
        internet.stop_host(SERVER)
        time_passes(internet, TTL + 86400 + 1)
        assert asked(internet)[0] == "SERVFAIL"


def test_a_popular_name_is_never_cold() -> None:
    with world("prefetch") as internet:
        for _ in range(3):
            asked(internet)
        time_passes(internet, 0.95 * TTL)
        began = internet.seconds()
        assert asked(internet)[0] == "NOERROR 10.9.9.9"
        assert internet.seconds() - began < 0.1
        time_passes(internet, 0.1 * TTL)
        assert asked(internet) == ("NOERROR 10.9.9.9", [])


def test_absence_and_failure_are_remembered() -> None:
    with world("nxdomain-cut", "remember-failures") as internet:
        assert asked(internet, "nowhere.lan.edu")[0] == "NXDOMAIN"
        assert asked(internet, "a.b.nowhere.lan.edu") == ("NXDOMAIN", [])
        internet.stop_host(SERVER)
        assert asked(internet, "x.lan.edu")[0] == "SERVFAIL"
        assert asked(internet, "x.lan.edu") == ("SERVFAIL", [])
        internet.start_host(SERVER)
        time_passes(internet, 11)
        assert asked(internet, "x.lan.edu")[0] == "NXDOMAIN"
