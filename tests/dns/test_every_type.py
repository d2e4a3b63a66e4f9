"""Every type of record comes through zone file, zone, reply, transfer, disk and client as it was."""

from functools import cache
from typing import Any

import dns.message
import dns.rdataset
import dns.rdatatype
import pytest
from dns.rdataclass import RdataClass
from dns.rrset import RRset

from netstack.dns.authority import Authority, fixed
from netstack.dns.history import zone_from_octets, zone_to_octets
from netstack.dns.transfer import Incoming, WholeZone, messages, whole_zone
from netstack.dns.wire import LARGEST, Question, parse_reply, to_wire
from netstack.dns.zone import Zone
from tests.dns.every_type import NO_ZONE_DATA, ORIGIN, TEXTS, full_name, known, zone_text

LEFT = frozenset({"NSEC3", "NSEC3PARAM"})
"""They make the zone one whose names are hashed; a zone of their own has them."""


@cache
def zone() -> Zone:
    return Zone.from_text(ORIGIN, zone_text(LEFT))


def expected(rdtype: str) -> RRset:
    made = RRset(full_name(rdtype), RdataClass.IN, dns.rdatatype.from_text(rdtype))
    made.update(dns.rdataset.from_text_list("IN", rdtype, 3600, TEXTS[rdtype]))
    return made


def served(rdtype: str) -> dns.message.Message:
    query = dns.message.make_query(full_name(rdtype), rdtype)
    reply = Authority([zone()], fixed).answer(query.to_wire(), stream=True)
    assert reply is not None
    return dns.message.from_wire(reply.data)


def same(found: RRset, rdtype: str) -> None:
    wanted = expected(rdtype)
    assert found.name == wanted.name
    assert {rdata.to_digestable() for rdata in found} == {rdata.to_digestable() for rdata in wanted}


ZONE_TYPES = sorted(set(TEXTS) - LEFT)


def test_the_table_has_all_types() -> None:
    assert known() - NO_ZONE_DATA <= set(TEXTS)


@pytest.mark.parametrize("rdtype", ZONE_TYPES)
def test_a_reply_has_what_the_file_has(rdtype: str) -> None:
    message = served(rdtype)
    (answer,) = [each for each in message.answer if each.rdtype == dns.rdatatype.from_text(rdtype)]
    same(answer, rdtype)


@pytest.mark.parametrize("rdtype", ZONE_TYPES)
def test_a_message_comes_round(rdtype: str) -> None:
    """What our client reads and our server writes is what dnspython has read and written."""
    data = served(rdtype).to_wire()
    read = parse_reply(data)
    assert dns.message.from_wire(data) == read
    again = dns.message.from_wire(to_wire(read, LARGEST))
    assert again.answer == read.answer
    assert again.id == read.id


def test_a_transfer_and_the_disk_keep_all() -> None:
    question = Question(zone().origin, dns.rdatatype.AXFR)
    incoming = Incoming(7, zone().origin, None)
    outcome: Any = None
    for data in messages(7, question, whole_zone(zone()), 600):
        outcome = incoming.receive(data)
    assert isinstance(outcome, WholeZone)
    kept = zone_from_octets(zone().origin, zone_to_octets(zone()))
    for rdtype in ZONE_TYPES:
        kind = dns.rdatatype.from_text(rdtype)
        for copy in (outcome.zone, kept):
            (found,) = [each for each in copy.rrsets_at(full_name(rdtype)) if each.rdtype == kind]
            same(found, rdtype)


def test_hashed_denial_comes_over() -> None:
    hashed = Zone.from_text(ORIGIN, zone_text(frozenset(set(TEXTS) - {"SOA", "NS", *LEFT})))
    incoming = Incoming(7, hashed.origin, None)
    (data,) = messages(7, Question(hashed.origin, dns.rdatatype.AXFR), whole_zone(hashed))
    outcome = incoming.receive(data)
    assert isinstance(outcome, WholeZone)
    assert sorted(map(str, outcome.zone)) == sorted(map(str, hashed))
