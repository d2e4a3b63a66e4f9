"""A session on namespaces: each host a process, which does what a blocking program asks of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netstack.lab import dns_caching
from netstack.world.namespaces.session import NamespacesSession
from netstack.world.session import Session, open_session
from tests.world.namespaces.allowed import needs_namespaces

pytestmark = [needs_namespaces, pytest.mark.xdist_group("namespaces")]
NAME, CLIENT = "gaia.cs.umass.edu", "cse.nyu.edu"


@pytest.fixture(scope="module")
def internet() -> Iterator[Session]:
    with open_session("small", "namespaces", seed=3, shaped=False) as session:
        yield session


def named(subject: Any, *words: str) -> str:
    return f"{subject.name}: {' '.join(words)}"


def refusing(subject: Any) -> None:
    raise ValueError(f"{subject.name} will not")


class Odd(Exception):
    """It cannot be made again from its text."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def odd(subject: Any) -> None:
    raise Odd("a", "b")


def test_eight_messages_then_two(internet: Session) -> None:
    internet.flush()
    internet.record()
    assert internet.resolve(NAME, host=CLIENT).records == (internet.address(NAME),)
    rows = internet.rows()
    assert [len(rows), rows[0].source_name, rows[0].summary] == [8, CLIENT, f"A {NAME}?"]
    assert rows[0].destination == (internet.address("dns.nyu.edu"), 53)
    assert {row.protocol for row in rows} == {"dns"}
    internet.clear()
    assert internet.resolve(NAME, host=CLIENT).rcode == "NOERROR"
    assert len(internet.rows()) == 2


def test_functions_run_in_the_hosts_process(internet: Session) -> None:
    assert internet.ask(CLIENT, named, "hello", "there") == f"{CLIENT}: hello there"
    assert internet.fetch(f"http://{NAME}/", host=CLIENT).status == 200
    with pytest.raises(ValueError, match=f"{CLIENT} will not"):
        internet.ask(CLIENT, refusing)
    with pytest.raises(Exception, match="Odd: ab"):
        internet.ask(CLIENT, odd)
    with pytest.raises(LookupError, match="no host nowhere"):
        internet.ask("nowhere", named)
    with pytest.raises(NotImplementedError, match="everywhere"):
        internet.drive(named)
    internet.everywhere(named)


def test_hosts_stop_and_start(internet: Session) -> None:
    internet.resolve(NAME, host=CLIENT)
    internet.stop_host(NAME)
    with pytest.raises(Exception, match=r"refused|Connection"):
        internet.fetch(f"http://{NAME}/", host=CLIENT)
    internet.start_host(NAME)
    assert internet.fetch(f"http://{NAME}/", host=CLIENT).status == 200


def test_a_zone_changes_in_the_process_that_serves_it(internet: Session) -> None:
    internet.everywhere(dns_caching._change, "300 IN A 10.9.9.9", 300)
    internet.flush()
    assert internet.resolve(NAME, host=CLIENT).records == ("10.9.9.9",)
    internet.everywhere(dns_caching._change, f"300 IN A {internet.address(NAME)}", 300)
    assert internet.resolve(NAME, host=CLIENT).records == ("10.9.9.9",)
    internet.flush()


def test_links_change(internet: Session) -> None:
    internet.link("umass", delay="100 ms")
    began = internet.seconds()
    internet.fetch(f"http://{NAME}/", host=CLIENT)
    assert internet.seconds() - began >= 0.2
    internet.link("umass", delay=0)
    with pytest.raises(LookupError, match="no site nowhere"):
        internet.link("nowhere", delay=0)


def test_nothing_is_left() -> None:
    session = open_session("small", "namespaces")
    assert isinstance(session, NamespacesSession)
    process, folder = session._process, session._folder.name
    session.close()
    assert process.returncode == 0
    assert not Path(folder).exists()
