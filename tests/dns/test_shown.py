"""Messages for people; and one look-up's messages among those of others at the same moment."""

import base64
from typing import Any

import dns.message
import dns.rrset
from dns.flags import Flag

from netstack.dns.shown import conversation, sections, texts
from netstack.dns.wire import AA, QR, RA, RD
from netstack.world.control.verbs import WorldVerbs
from netstack.world.session import SimulatedSession, open_session

NAME = "gaia.cs.umass.edu"


def test_sections_of_a_referral() -> None:
    message = dns.message.make_query(NAME, "A")
    message.flags = Flag(QR)
    message.authority = [dns.rrset.from_text("umass.edu.", 172800, "IN", "NS", "dns.umass.edu.")]
    message.additional = [
        dns.rrset.from_text("dns.umass.edu.", 172800, "IN", "A", "10.0.0.4"),
        dns.rrset.from_text("other.edu.", 5, "IN", "A", "10.0.0.5"),
    ]
    shown = sections(message.to_wire())
    assert shown == {
        "flags": [],
        "rcode": "NOERROR",
        "answer": [],
        "authority": ["umass.edu. 172800 IN NS dns.umass.edu."],
        "glue": ["dns.umass.edu. 172800 IN A 10.0.0.4"],
        "additional": ["other.edu. 5 IN A 10.0.0.5"],
    }
    assert list(texts(shown))[:3] == [
        "NOERROR, flags none (not from the authority)",
        "authority: umass.edu. 172800 IN NS dns.umass.edu.",
        "glue: dns.umass.edu. 172800 IN A 10.0.0.4",
    ]


def test_flags_and_what_is_no_message() -> None:
    query = dns.message.make_query(NAME, "A")
    assert sections(query.to_wire()) == {"flags": ["rd"]}
    assert list(texts(sections(query.to_wire()))) == []
    query.flags = Flag(QR | AA | RD | RA)
    assert sections(query.to_wire())["flags"] == ["aa", "rd", "ra"]
    assert sections(b"nonsense") == {}


class Everybody:
    """Many clients of one world, at the same moment."""

    def __init__(self, world: str) -> None:
        self.internet = open_session(world, "simulated", seed=1)
        assert isinstance(self.internet, SimulatedSession)

    def traced(self, others: list[tuple[str, str]], cold: bool = True) -> list[str]:
        """The messages of one look-up by cse.nyu.edu while others look up names as well."""
        internet: Any = self.internet
        if cold:
            internet.flush()
        verbs = WorldVerbs(internet.running, lambda: None)
        call, hosts = internet.up.simulation.call, internet.running.hosts
        waits = [call(internet.up.host(host), hosts[host].machine.resolver.addresses, name) for host, name in others]
        asked = {"name": NAME, "host": "cse.nyu.edu", "trace": True}
        found = internet.drive(lambda running: verbs.resolve(asked, None))
        internet.up.simulation.run(for_seconds=5, stop=lambda: all(wait.done for wait in waits))
        assert "data" not in found["messages"][0]
        texts = [f"{row['from']} > {row['to']}: {row['summary']}" for row in found["messages"]]
        return [text.replace("b.root", "a.root").replace("dns2.", "dns.") for text in texts]  # whichever of two is asked


OTHERS = [("apricot.nyu.edu", "www.exotiquecuisine.com"), ("apricot.nyu.edu", "cnn.com"), ("kiwi.nyu.edu", "www.umass.edu"),
          ("cis.poly.edu", NAME), ("cis.poly.edu", "www.someschool.edu")]  # fmt: skip


def test_messages_of_others_at_the_same_moment_are_left_out() -> None:
    for world, count in (("textbook", 8), ("intermediate", 10), ("recursive", 8)):
        everybody = Everybody(world)
        alone = everybody.traced([])
        assert len(alone) == count
        assert everybody.traced(OTHERS) == alone
        assert len(everybody.traced([], cold=False)) == 2


def row(source: str, destination: str, message: Any, ports: tuple[int, int]) -> dict[str, Any]:
    return {
        "from": source, "to": destination, "protocol": "dns", "transport": "udp",
        "from_address": [source, ports[0]], "to_address": [destination, ports[1]],
        "data": base64.b64encode(message.to_wire()).decode(),
    }  # fmt: skip


def test_a_reply_that_nobody_waits_for_is_left_out() -> None:
    query = dns.message.make_query(NAME, "A", id=7)
    reply = dns.message.make_response(query)
    strange = dns.message.make_response(dns.message.make_query(NAME, "A", id=8))
    rows = [
        row("client", "resolver", query, (1000, 53)),
        row("resolver", "client", strange, (53, 1000)),
        row("resolver", "client", reply, (53, 1001)),
        row("resolver", "client", reply, (53, 1000)),
        {**row("client", "resolver", query, (1000, 53)), "protocol": "http"},
        {**row("client", "resolver", query, (1000, 53)), "data": "AAAA"},
    ]
    assert list(conversation(rows, "client", NAME, "A")) == [rows[0], rows[3]]
