"""The chapter's other way: each server asks the next one to do the rest."""

from itertools import pairwise
from typing import Any

import dns.flags
import pytest
from dns.rcode import Rcode
from twisted.python import usage

from netstack.dns.client import query
from netstack.taps.dns import Config, Options, ZoneText, build
from netstack.world.session import Session, open_session
from netstack.world.simulated import Simulation

NAME = "gaia.cs.umass.edu"


def asked(internet: Session, host: str, server: str, name: str, rdtype: str = "A", recursion: bool = True) -> Any:
    """What a server says to a host, as a dnspython message."""
    address = internet.running.table.first(server)

    async def ask(machine):  # type: ignore[no-untyped-def]
        return await query(machine, (address, machine.port(53)), name, rdtype, recursion_desired=recursion)

    return internet.ask(host, ask)


def test_the_answer_comes_back_the_way_the_question_went() -> None:
    with open_session("recursive", "simulated", seed=4) as internet:
        internet.record()
        assert internet.resolve(NAME, host="cse.nyu.edu").records == (internet.address(NAME),)
        rows = [(row.source_name, row.destination_name) for row in internet.rows()]
        last = rows[3][1]
        assert last in ("dns.umass.edu", "dns2.umass.edu")
        way = ["cse.nyu.edu", "dns.nyu.edu", "a.root-servers.net", "a.edu-servers.net", last]
        there = list(pairwise(way))
        assert rows == there + [(to, source) for source, to in reversed(there)]
        internet.record()
        internet.resolve("www.umass.edu", host="cis.poly.edu")
        internet.resolve(NAME, host="cis.poly.edu")
        between = {frozenset((row.source_name, row.destination_name)) for row in internet.rows()}
        assert frozenset(("dns.poly.edu", "a.root-servers.net")) in between
        assert frozenset(("a.root-servers.net", "a.edu-servers.net")) in between  # www: another name than the one it knows
        internet.record()
        internet.resolve(NAME, host="alice.crepes.fr")
        assert len(internet.rows()) == 4  # the root remembers what it was told for others
        assert internet.flush() > 10
        internet.record()
        internet.resolve(NAME, host="alice.crepes.fr")
        assert len(internet.rows()) == 8


def test_what_such_a_server_says() -> None:
    with open_session("recursive", "simulated", seed=4) as internet:
        referral = asked(internet, "cse.nyu.edu", "a.edu-servers.net", NAME, recursion=False)
        assert (referral.answer, bool(referral.authority)) == ([], True)
        reply = asked(internet, "cse.nyu.edu", "a.edu-servers.net", NAME)
        assert [str(rrset[0]) for rrset in reply.answer] == [internet.address(NAME)]
        assert (reply.flags & dns.flags.RA, reply.flags & dns.flags.AA) == (dns.flags.RA, 0)
        own = asked(internet, "cse.nyu.edu", "a.edu-servers.net", "edu", "SOA")
        assert (own.flags & dns.flags.AA, own.flags & dns.flags.RA) == (dns.flags.AA, dns.flags.RA)
        absent = asked(internet, "cse.nyu.edu", "a.edu-servers.net", "nowhere.umass.edu")
        assert (absent.rcode(), len(absent.authority)) == (Rcode.NXDOMAIN, 1)
        assert asked(internet, "cse.nyu.edu", "a.edu-servers.net", "cnn.com").rcode() == Rcode.REFUSED


def test_a_world_without_recursion_refers() -> None:
    with open_session("textbook", "simulated", seed=4) as internet:
        reply = asked(internet, "cse.nyu.edu", "a.edu-servers.net", NAME)
        assert (reply.answer, reply.flags & dns.flags.RA) == ([], 0)


def test_it_may_have_the_resolvers_features() -> None:
    zone = "$TTL 5\n@ SOA a b 1 2 3 4 5\n@ NS a\na A 10.0.0.1\n"
    config = Config(
        (ZoneText("edu", zone),),
        recursion_for=("10.0.0.0/8",),
        recursion_features=("mixed-case", "serve-stale"),
    )
    simulation = Simulation(1)
    service: Any = build(config, simulation.machine(simulation.host("chain", "10.0.0.1")))
    switches = service.recursor.hardening
    assert (switches.mixed_case, switches.serve_stale, switches.minimise) == (True, True, False)
    with pytest.raises(ValueError, match="features: expected some of"):
        Config((ZoneText("edu", zone),), recursion_for=("10.0.0.0/8",), recursion_features=("nothing",))
    options = Options()
    with pytest.raises(usage.UsageError, match="deadline: expected a number above 0"):
        options.parseOptions(["--secondary=edu=10.0.0.1", "--recursion-deadline=0"])  # type: ignore[no-untyped-call]
