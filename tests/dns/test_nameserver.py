"""What a server makes of signed messages, transfers, NOTIFY and updates, message by message."""

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rdatatype
import dns.update
import pytest
from dns.rcode import Rcode
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.dns.access import Access, Grant, UpdatePolicy
from netstack.dns.authority import Authority, Reply
from netstack.dns.guard import Guard
from netstack.dns.history import difference
from netstack.dns.keeper import ZoneKeeper
from netstack.dns.limits import ServerLimits, ZoneLimits
from netstack.dns.metrics import ServerMetrics, ZoneCounts
from netstack.dns.nameserver import Change, Nameserver, Notified, Plain, Transfer, ZoneRules, special
from netstack.dns.special import SpecialAnswers
from netstack.dns.tsig import Key, keyring, signed_query, split
from netstack.dns.zone import Zone
from netstack.kernel.real import real_machine
from netstack.sansio import Now

NOW = Now(100.0, 1_763_683_200.0)
KEY, OTHER = Key.make("transfer", b"secret"), Key.make("other", b"secret")
UMASS, NYU, COPY = (dns.name.from_text(text) for text in ("umass.edu", "nyu.edu", "copy.test"))


def zone(origin: str, serial: int, records: str = "") -> Zone:
    return Zone.from_text(origin, f"$TTL 2d\n@ SOA dns h {serial} 2h 1h 2w 1h\n@ NS dns\ndns A 10.0.0.1\n{records}")


def server() -> Nameserver:
    """umass.edu at serial 5, with its history since 3; nyu.edu without rights; copy.test, a secondary's, not there yet."""
    old, middle, new = zone("umass.edu", 3), zone("umass.edu", 4, "x A 10.0.0.2\n"), zone("umass.edu", 5, "y A 10.0.0.3\n")
    authority = Authority([new, zone("nyu.edu", 1)])
    authority.withdraw(COPY)
    policy = UpdatePolicy([Grant.parse("transfer zone")])
    rules = {
        UMASS: ZoneRules(Access.of(["transfer", "10.9.0.0/16"]), policy),
        COPY: ZoneRules(notify_from=Access.of(["10.0.0.9", "transfer"])),
    }
    made = Nameserver(authority, keyring([KEY, OTHER]), rules)
    for step in (difference(old, middle), difference(middle, new)):
        rules[UMASS].history.add(step)
    return made


def query(name: str, rdtype: str, serial: int | None = None, **options: Any) -> bytes:
    message = dns.message.make_query(name, rdtype, id=77, **options)
    if serial is not None:
        message.authority.append(zone(name, serial).soa)
    return message.to_wire()


def replied(outcome: object) -> dns.message.Message:
    """The one reply, its signature not looked at."""
    assert isinstance(outcome, Reply)
    return dns.message.from_wire(outcome.data, keyring=False)


def ask(data: bytes, key: Key | None = KEY, stream: bool = True, address: str = "10.1.1.1") -> object:
    if key is not None:
        data, _ = signed_query(data, key, NOW.wall)
    assert special(data)
    return server().receive(data, stream, address, NOW)


def records(outcome: object) -> list[str]:
    """A transfer's records in short."""
    assert isinstance(outcome, Transfer)
    found = []
    while (data := outcome.next_message(NOW.wall)) is not None:
        message = dns.message.from_wire(data, keyring=False, one_rr_per_rrset=True)
        found += [f"{rrset.name.relativize(UMASS)} {rrset.rdtype.name}" for rrset in message.answer]
    return found


@pytest.mark.parametrize("stream", [True, False])
def test_a_signed_question_gets_a_signed_answer(stream: bool) -> None:
    asked, check = signed_query(query("y.umass.edu", "A"), OTHER, NOW.wall)
    outcome = server().receive(asked, stream, "10.1.1.1", NOW)
    assert isinstance(outcome, Reply)
    reply = dns.message.from_wire(check.check(outcome.data, NOW.wall))
    assert check.complete
    assert [str(rdata) for rdata in reply.answer[0]] == ["10.0.0.3"]
    assert outcome.question is not None


def test_what_does_not_fit_with_its_signature_is_cut() -> None:
    many = "".join(f"many A 10.5.0.{number}\n" for number in range(27))
    made = Nameserver(Authority([zone("umass.edu", 1, many)]), keyring([KEY]))
    asked, check = signed_query(query("many.umass.edu", "A", use_edns=False), KEY, NOW.wall)
    outcome = made.receive(asked, False, "10.1.1.1", NOW)
    assert isinstance(outcome, Reply)
    assert len(outcome.data) <= 512
    reply = dns.message.from_wire(check.check(outcome.data, NOW.wall))
    assert reply.flags & dns.flags.TC
    assert reply.answer == []


@pytest.mark.parametrize(
    ("key", "wall", "error"),
    [
        (Key.make("nobody", b"secret"), NOW.wall, 17),
        (Key.make("transfer", b"guess"), NOW.wall, 16),
        (KEY, NOW.wall - 1000, 18),
    ],
)
def test_signatures_that_do_not_hold(key: Key, wall: float, error: int) -> None:
    asked, _ = signed_query(query("umass.edu", "AXFR"), key, wall)
    outcome = server().receive(asked, True, "10.9.1.1", NOW)
    reply = replied(outcome)
    assert reply.rcode() == Rcode.NOTAUTH
    assert [rrset.rdtype for rrset in reply.question] == [dns.rdatatype.AXFR]
    assert reply.tsig is not None
    assert reply.tsig[0].error == error


def test_a_damaged_signature_is_a_format_error() -> None:
    asked, _ = signed_query(query("umass.edu", "AXFR"), KEY, NOW.wall)
    assert replied(server().receive(asked[:-1], True, "10.9.1.1", NOW)).rcode() == Rcode.FORMERR


@pytest.mark.parametrize(
    ("name", "rdtype", "key", "address", "stream", "expected"),
    [
        ("umass.edu", "AXFR", None, "10.1.1.1", True, Rcode.REFUSED),
        ("umass.edu", "AXFR", OTHER, "10.1.1.1", True, Rcode.REFUSED),
        ("nyu.edu", "AXFR", KEY, "10.1.1.1", True, Rcode.REFUSED),
        ("x.umass.edu", "AXFR", KEY, "10.1.1.1", True, Rcode.NOTAUTH),
        ("copy.test", "AXFR", KEY, "10.1.1.1", True, Rcode.SERVFAIL),
        ("umass.edu", "AXFR", KEY, "10.1.1.1", False, Rcode.FORMERR),
        ("umass.edu", "IXFR", KEY, "10.1.1.1", True, Rcode.FORMERR),
    ],
)
def test_transfers_that_are_refused(
    name: str, rdtype: str, key: Key | None, address: str, stream: bool, expected: Rcode
) -> None:
    assert replied(ask(query(name, rdtype), key, stream, address)).rcode() == expected


@pytest.mark.parametrize(("key", "address"), [(KEY, "10.1.1.1"), (None, "10.9.0.1")])
def test_a_whole_zone(key: Key | None, address: str) -> None:
    found = records(ask(query("umass.edu", "AXFR"), key, True, address))
    assert found == ["@ SOA", "@ NS", "dns A", "y A", "@ SOA"]


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        (5, ["@ SOA"]),
        (6, ["@ SOA"]),
        (4, ["@ SOA", "@ SOA", "x A", "@ SOA", "y A", "@ SOA"]),
        (3, ["@ SOA", "@ SOA", "@ SOA", "x A", "@ SOA", "x A", "@ SOA", "y A", "@ SOA"]),
        (2, ["@ SOA", "@ NS", "dns A", "y A", "@ SOA"]),
    ],
)
def test_differences(serial: int, expected: list[str]) -> None:
    assert records(ask(query("umass.edu", "IXFR", serial))) == expected


def test_differences_over_udp() -> None:
    small = replied(ask(query("umass.edu", "IXFR", 4), stream=False))
    assert len(small.answer) == 3
    unknown = replied(ask(query("umass.edu", "IXFR", 2), stream=False))
    assert [(rrset.rdtype.name, rrset[0].serial) for rrset in unknown.answer] == [("SOA", 5)]


def test_differences_that_are_more_than_the_zone() -> None:
    made = server()
    rules = made.rules_of(UMASS)
    filler = "".join(f"f{number} A 10.5.{number // 250}.{number % 250}\n" for number in range(300))
    versions = [zone("umass.edu", 5, "y A 10.0.0.3\n"), zone("umass.edu", 6, filler), zone("umass.edu", 7, "y A 10.0.0.3\n")]
    for old, new in pairwise(versions):
        rules.history.add(difference(old, new))
    made.authority.put(versions[-1])
    asked, _ = signed_query(query("umass.edu", "IXFR", 5), KEY, NOW.wall)
    outcome = made.receive(asked, True, "10.1.1.1", NOW)
    assert isinstance(outcome, Transfer)
    assert outcome.whole


def test_a_version_that_the_history_does_not_know_is_sent_whole() -> None:
    made = server()
    made.authority.put(zone("umass.edu", 9, "y A 10.0.0.3\n"))  # signed anew, for example
    asked, _ = signed_query(query("umass.edu", "IXFR", 4), KEY, NOW.wall)
    outcome = made.receive(asked, True, "10.1.1.1", NOW)
    assert isinstance(outcome, Transfer)
    assert outcome.whole


def notify(name: str, serial: int | None = None, rdtype: str = "SOA") -> bytes:
    message = dns.message.make_query(name, rdtype, id=78)
    message.set_opcode(dns.opcode.NOTIFY)
    if serial is not None:
        message.answer.append(zone(name, serial).soa)
    return message.to_wire()


@pytest.mark.parametrize("serial", [None, 9])
@pytest.mark.parametrize(("key", "address"), [(None, "10.0.0.9"), (KEY, "10.1.1.1")])
def test_a_notify_of_a_primary(serial: int | None, key: Key | None, address: str) -> None:
    outcome = ask(notify("copy.test", serial), key, False, address)
    assert isinstance(outcome, Notified)
    assert (outcome.origin, outcome.serial) == (COPY, serial)
    reply = replied(outcome.reply)
    assert (reply.id, reply.rcode(), reply.opcode()) == (78, Rcode.NOERROR, dns.opcode.NOTIFY)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (notify("copy.test"), Rcode.REFUSED),
        (notify("umass.edu"), Rcode.REFUSED),
        (notify("elsewhere.test"), Rcode.NOTAUTH),
        (notify("copy.test", rdtype="A"), Rcode.FORMERR),
        (notify("copy.test")[:20], Rcode.FORMERR),
    ],
)
def test_other_notifies(data: bytes, expected: Rcode) -> None:
    assert replied(ask(data, None, False, "10.1.1.1")).rcode() == expected


def update(name: str, rdclass: str = "IN") -> bytes:
    message = dns.update.UpdateMessage(name, rdclass=rdclass, id=79)
    message.add("new", 60, dns.rdatatype.TXT, "x")
    return message.to_wire()


def test_an_update_goes_on() -> None:
    outcome = ask(update("umass.edu"))
    assert isinstance(outcome, Change)
    assert (outcome.origin, outcome.key) == (UMASS, KEY)
    reply = replied(outcome.seal.error(Rcode.NXRRSET, NOW.wall))
    assert (reply.id, reply.rcode(), reply.opcode(), reply.had_tsig) == (79, Rcode.NXRRSET, dns.opcode.UPDATE, True)


@pytest.mark.parametrize(
    ("data", "key", "expected"),
    [
        (update("umass.edu"), None, Rcode.REFUSED),
        (update("umass.edu"), OTHER, Rcode.REFUSED),
        (update("nyu.edu"), KEY, Rcode.REFUSED),
        (update("x.umass.edu"), KEY, Rcode.NOTAUTH),
        (update("copy.test"), KEY, Rcode.SERVFAIL),
        (update("umass.edu", "CH"), KEY, Rcode.NOTAUTH),
        (update("umass.edu")[:12] + b"\5umass\3edu\0\0\1\0\1" + update("umass.edu")[27:], KEY, Rcode.FORMERR),
    ],
)
def test_updates_that_are_refused(data: bytes, key: Key | None, expected: Rcode) -> None:
    assert replied(ask(data, key)).rcode() == expected


def test_replies_and_plain_questions() -> None:
    assert not special(query("umass.edu", "SOA"))
    assert not special(b"short")
    assert server().receive(b"\0\1\xa8\0" + bytes(8), True, "10.1.1.1", NOW) is None
    status = struct.pack("!6H", 1, 2 << 11, 0, 0, 0, 0)
    assert server().receive(status, True, "10.1.1.1", NOW) is Plain.QUESTION
    asked = query("umass.edu", "A", options=[dns.edns.GenericOption(65001, b"\0\xfa\0\xff")])
    assert special(asked)
    assert server().receive(asked, False, "10.1.1.1", NOW) is Plain.QUESTION


def test_what_is_not_signed_is_limited_as_plain_questions_are(tmp_path: Path) -> None:
    """A forged TSIG record opens no way around the limits."""
    limits = ServerLimits(response_rate=2, response_slip=2)
    machine = real_machine("test", state_directory=tmp_path)
    guard = Guard(limits, "on", lambda: bytes(16))
    made = server()
    counts, metrics = ZoneCounts(), ServerMetrics()
    keeper = ZoneKeeper(machine, made, {}, {}, ZoneLimits(), counts)
    answers = SpecialAnswers(machine, made, keeper, metrics, counts, 10, guard)

    def sent(key: Key) -> list[bytes | None]:
        asked, _ = signed_query(query("umass.edu", "SOA"), key, machine.wall())
        found: list[bytes | None] = []
        for _ in range(40):
            assert answers.receive(asked, "udp", "192.0.2.7", found.append)
        return found

    forged = sent(Key.make("nobody", b"x"))
    assert forged.count(None) > 10
    assert sent(KEY).count(None) == 0


MADE = server()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([query("umass.edu", "IXFR", 4), notify("copy.test", 3), update("umass.edu")]),
    st.binary(min_size=1, max_size=30),
    st.integers(4, 120),
    st.booleans(),
)
def test_whatever_octets_come(good: bytes, junk: bytes, at: int, signed: bool) -> None:
    data = good[:at] + junk + good[at + len(junk) :]
    if signed:
        data, _ = signed_query(data, KEY, NOW.wall)
    outcome = MADE.receive(data, True, "10.9.0.9", NOW)
    if isinstance(outcome, Transfer):
        outcome = outcome.next_message(NOW.wall)
    assert outcome is None or isinstance(outcome, Reply | Notified | Change | Plain | bytes)
    if isinstance(outcome, Reply):
        found, _ = split(outcome.data)
        assert found[2] & 0x80
