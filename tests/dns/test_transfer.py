"""Zone transfers in memory: read by dnspython and by us, differences from the history, what a primary may get wrong."""

import struct
from collections.abc import Iterable
from itertools import pairwise

import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.xfr
import dns.zone
import pytest
from dns.rcode import Rcode
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.dns.history import Difference, History, Record, changed, difference, from_octets, records_of, to_octets
from netstack.dns.serial import serial_of
from netstack.dns.transfer import (
    Current,
    Incoming,
    Increments,
    NotIncremental,
    TransferError,
    WholeZone,
    increments,
    messages,
    whole_zone,
)
from netstack.dns.wire import Question
from netstack.dns.zone import Zone, ZoneError

ORIGIN = dns.name.from_text("umass.edu")
AXFR = Question(ORIGIN, dns.rdatatype.AXFR)
IXFR = Question(ORIGIN, dns.rdatatype.IXFR)


def zone(serial: int, records: str = "gaia.cs A 10.1.0.1\n") -> Zone:
    return Zone.from_text("umass.edu", f"$TTL 2d\n@ SOA dns h {serial} 2h 1h 2w 1h\n@ NS dns\ndns A 10.0.0.1\n{records}")


def lines(found: Zone) -> list[str]:
    return sorted(line for rrset in found for line in rrset.to_text().splitlines())


def fed(incoming: Incoming, sent: Iterable[bytes]) -> object:
    outcome = None
    for data in sent:
        assert outcome is None, "messages after the end"
        outcome = incoming.receive(data)
    return outcome


BIG = zone(7, "".join(f'h{n} A 10.2.{n // 250}.{n % 250}\nh{n} TXT "{"x" * (n % 200)}"\n' for n in range(2000)))


def test_a_whole_zone_comes_over() -> None:
    sent = list(messages(5, AXFR, whole_zone(BIG)))
    assert len(sent) > 3
    outcome = fed(Incoming(5, ORIGIN, None), sent)
    assert isinstance(outcome, WholeZone)
    assert lines(outcome.zone) == lines(BIG)


def test_dnspython_reads_our_transfers() -> None:
    theirs = dns.zone.Zone(ORIGIN, relativize=False)
    with dns.xfr.Inbound(theirs, dns.rdatatype.AXFR) as inbound:
        for data in messages(5, AXFR, whole_zone(BIG)):
            done = inbound.process_message(dns.message.from_wire(data, xfr=True, one_rr_per_rrset=True))
        assert done
    assert lines(Zone.from_text("umass.edu", theirs.to_text())) == lines(BIG)
    new = changed(BIG, [difference(BIG, zone(9))])
    found = increments(new.soa, [difference(BIG, new)])
    with dns.xfr.Inbound(theirs, dns.rdatatype.IXFR, serial=7) as inbound:
        for data in messages(5, IXFR, found):
            done = inbound.process_message(dns.message.from_wire(data, xfr=True, one_rr_per_rrset=True))
        assert done
    assert lines(Zone.from_text("umass.edu", theirs.to_text())) == lines(zone(9))


def test_messages_keep_their_size() -> None:
    sent = list(messages(5, AXFR, whole_zone(BIG), 1000))
    assert max(map(len, sent)) <= 1000
    assert [data[4:6] for data in sent] == [b"\0\1"] + [b"\0\0"] * (len(sent) - 1)
    huge = zone(1, "big TXT " + " ".join('"' + "y" * 250 + '"' for _ in range(200)) + "\n")
    outcome = fed(Incoming(5, ORIGIN, None), messages(5, AXFR, whole_zone(huge), 1000))
    assert isinstance(outcome, WholeZone)
    assert lines(outcome.zone) == lines(huge)


ENTRIES = st.sets(st.tuples(st.sampled_from("abcdef"), st.integers(0, 4), st.sampled_from([60, 120])), max_size=12)


def made(serial: int, entries: set[tuple[str, int, int]]) -> Zone:
    ttls = {name: ttl for name, _, ttl in sorted(entries)}
    return zone(serial, "".join(f"{name} {ttls[name]} A 10.3.0.{value}\n" for name, value, _ in sorted(entries)))


@settings(max_examples=60, deadline=None)
@given(st.lists(ENTRIES, min_size=2, max_size=5), st.integers(0, 3), st.booleans())
def test_differences_lead_from_any_version_to_the_latest(
    versions: list[set[tuple[str, int, int]]], first: int, wraps: bool
) -> None:
    start = 0xFFFFFFFE if wraps else 1
    zones = [made((start + number) % (1 << 32), entries) for number, entries in enumerate(versions)]
    history = History()
    for old, new in pairwise(zones):
        history.add(from_octets(to_octets(difference(old, new))))
    first = min(first, len(zones) - 2)
    serial = serial_of(zones[first].soa)
    since = history.since(serial)
    assert since is not None
    outcome = fed(Incoming(5, ORIGIN, serial), messages(5, IXFR, increments(zones[-1].soa, since), 200))
    assert isinstance(outcome, Increments)
    before = lines(zones[first])
    assert lines(changed(zones[first], outcome.differences)) == lines(zones[-1])
    assert lines(zones[first]) == before


NAMES = ["a", "b", "b.a", "c.b.a", "d.c.b.a", "x.y.z", "y.z", "*.w", "A.B"]
TEXTS = st.dictionaries(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["A 10.0.0.7", "NS dns", "NS b.a", "TXT x", "MX 5 a"])), st.none()
)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=5))
def test_a_version_made_from_the_one_before_is_the_same_zone(versions: list[dict[tuple[str, str], None]]) -> None:
    """Names that exist because of others, and delegations, are those of a zone that was read anew."""
    zones = [
        zone(number, "".join(f"{name} {text}\n" for name, text in records)) for number, records in enumerate(versions, 1)
    ]
    made = zones[0]
    for old, new in pairwise(zones):
        before = shape(made)
        earlier, made = made, changed(made, [difference(old, new)])
        assert shape(earlier) == before
        assert shape(made) == shape(new)


def shape(found: Zone) -> dict[str, tuple[list[str], str | None]]:
    """All names, with their records and delegation."""
    return {
        str(name).lower(): (
            sorted(line.lower() for rrset in node.rrsets.values() for line in rrset.to_text().splitlines()),
            None if node.cut is None else str(node.cut).lower(),
        )
        for name, node in found.nodes.items()
    }


def test_history_is_bounded() -> None:
    history = History(differences=3, records=1000)
    for serial in range(1, 9):
        history.add(difference(zone(serial), zone(serial + 1, f"x A 10.0.0.{serial}\n")))
    assert len(history) == 3
    assert history.since(5) is None
    found = history.since(7)
    assert found is not None
    assert [serial_of(each.old) for each in found] == [7, 8]
    history.most_records = 1
    history.add(difference(zone(9), zone(10)))
    assert (len(history), history.records) == (0, 0)


def test_history_begins_anew_after_a_gap() -> None:
    history = History()
    history.add(difference(zone(1), zone(2)))
    history.add(difference(zone(5), zone(6)))
    assert history.since(1) is None
    assert history.since(5) is not None
    assert history.since(6) is None


def test_differences_that_do_not_fit() -> None:
    step = difference(zone(1), zone(2, "other A 10.0.0.9\n"))
    with pytest.raises(ZoneError, match="from serial 1"):
        changed(zone(3), [step])
    with pytest.raises(ZoneError, match="not there"):
        changed(zone(1, "x A 10.0.0.1\n"), [step])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 60))
def test_octets_of_a_difference_that_are_damaged(junk: bytes, at: int, cut: int) -> None:
    good = to_octets(difference(zone(1), zone(2, "other A 10.0.0.9\n")))
    for data in (junk, good[:cut], good[:at] + junk + good[at + len(junk) :]):
        try:
            assert isinstance(from_octets(data), Difference)
        except ValueError:
            continue


def soa(serial: int) -> Record:
    return next(records_of(zone(serial).soa))


NS, A = (
    Record(ORIGIN, 60, dns.rdata.from_text("IN", rdtype, text))
    for rdtype, text in (("NS", "dns.umass.edu."), ("A", "10.0.0.1"))
)
ELSEWHERE = Record(dns.name.from_text("nyu.edu"), 60, A.rdata)
LOWER = Record(dns.name.from_text("x.umass.edu"), 60, soa(1).rdata)


@pytest.mark.parametrize(
    ("serial", "records", "expected"),
    [
        (None, [A, soa(1)], "first record is no SOA"),
        (None, [soa(1), A, soa(2)], "last SOA"),
        (None, [soa(1), A, soa(1)], "NS record"),
        (None, [soa(1), NS, soa(1), A], "after the last"),
        (None, [soa(1), NS, ELSEWHERE, soa(1)], "not of the zone"),
        (None, [soa(1), NS, LOWER, soa(1)], "a SOA record of"),
        (None, [], "no SOA"),
        (2, [soa(2), soa(2), NS], "not newer"),
        (2, [soa(5), soa(2), soa(1), A], "not newer"),
        (2, [soa(5), soa(2), soa(3), soa(4), soa(5), soa(5)], "do not follow"),
        (2, [soa(3), soa(2), A, soa(3), A, soa(3), A], "after the last"),
    ],
)
def test_transfers_that_are_none(serial: int | None, records: list[Record], expected: str) -> None:
    question = AXFR if serial is None else IXFR
    with pytest.raises(TransferError, match=expected):
        fed(Incoming(5, ORIGIN, serial), messages(5, question, records))


def test_the_soa_alone() -> None:
    assert fed(Incoming(5, ORIGIN, 3), messages(5, IXFR, [soa(3)])) == Current(3)
    assert fed(Incoming(5, ORIGIN, 3), messages(5, IXFR, [soa(2)])) == Current(2)
    with pytest.raises(NotIncremental):
        fed(Incoming(5, ORIGIN, 3), messages(5, IXFR, [soa(4)]))


def test_a_whole_zone_instead_of_differences() -> None:
    outcome = fed(Incoming(5, ORIGIN, 3), messages(5, IXFR, whole_zone(BIG)))
    assert isinstance(outcome, WholeZone)


def test_a_primary_that_sends_without_end() -> None:
    incoming = Incoming(5, ORIGIN, None, records=1000)
    with pytest.raises(TransferError, match="more than 1000 records"):
        fed(incoming, messages(5, AXFR, whole_zone(BIG)))


@pytest.mark.parametrize("rcode", [Rcode.REFUSED, Rcode.NOTAUTH, Rcode.NOTIMP])
def test_a_primary_that_refuses(rcode: Rcode) -> None:
    data = struct.pack("!6H", 5, 0x8000 | rcode, 0, 0, 0, 0)
    with pytest.raises(TransferError, match=rcode.name):
        Incoming(5, ORIGIN, None).receive(data)
    with pytest.raises(NotIncremental):
        Incoming(5, ORIGIN, 1).receive(data)


def test_messages_that_do_not_belong_to_the_transfer() -> None:
    data = next(iter(messages(5, AXFR, whole_zone(zone(1)))))
    for wrong in (
        b"\0\6" + data[2:],
        data[:2] + b"\0" + data[3:],
        data[:2] + b"\xa8" + data[3:],
        data[:2] + b"\x86" + data[3:],
        data[:20],
        data[:-3],
        next(iter(messages(5, IXFR, whole_zone(zone(1))))),
    ):
        with pytest.raises(TransferError):
            Incoming(5, ORIGIN, None).receive(wrong)


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=1, max_size=30), st.integers(0, 400))
def test_a_damaged_transfer_is_an_error_or_a_zone(junk: bytes, at: int) -> None:
    data = next(iter(messages(5, AXFR, whole_zone(zone(1)))))
    try:
        outcome = Incoming(5, ORIGIN, None).receive(data[:at] + junk + data[at + len(junk) :])
    except TransferError:
        return
    assert outcome is None or isinstance(outcome, WholeZone)
