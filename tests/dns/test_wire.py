"""Messages as octets: what a server makes of a query, and summaries."""

from contextlib import suppress

import dns.flags
import dns.message
import dns.name
import pytest
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.wire import (
    MalformedMessage,
    Query,
    Question,
    Refusal,
    make_query,
    make_reply,
    parse_query,
    parse_reply,
    summary,
    to_wire,
)

GAIA = Question(dns.name.from_text("gaia.cs.umass.edu"), RdataType.A)
PLAIN = bytes.fromhex("1234 0100 0001 0000 0000 0000") + b"\1a\0" + bytes.fromhex("0001 0001")


def query(**options: object) -> bytes:
    message = dns.message.make_query("a.edu", str(options.pop("rdtype", "A")), id=0x1234, **options)  # type: ignore[arg-type]
    return bytes(message.to_wire())


def test_what_is_behind_the_last_record_is_not_looked_at() -> None:
    assert parse_query(PLAIN + b"x", 1232) == parse_query(PLAIN, 1232)  # as BIND and NSD do


def test_any_class_is_for_those_who_answer_it() -> None:
    data = PLAIN[:-2] + b"\0\xff"
    assert isinstance(parse_query(data, 1232), Refusal)
    asked = parse_query(data, 1232, (RdataClass.IN, RdataClass.ANY))
    assert isinstance(asked, Query)
    assert make_reply(asked, 1232).question[0].rdclass == RdataClass.ANY


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:11],
        PLAIN[:2] + b"\x81" + PLAIN[3:],  # a reply: two servers would talk for ever
    ],
)
def test_no_reply_is_due(data: bytes) -> None:
    assert parse_query(data, 1232) is None


@pytest.mark.parametrize(
    ("data", "rcode", "size"),
    [
        (PLAIN[:12], "FORMERR", 12),
        (PLAIN[:-1], "FORMERR", 12),
        (PLAIN[:4] + bytes(8), "FORMERR", 12),  # no question
        (PLAIN[:5] + b"\2" + PLAIN[6:] + PLAIN[12:], "FORMERR", 12),  # two questions, RFC 9619
        (PLAIN[:12] + b"\xc0\x0c" + PLAIN[-4:], "FORMERR", 12),  # a name that points to itself
        (PLAIN[:12] + b"\x41a\0" + PLAIN[-4:], "FORMERR", 12),  # a label type that does not exist
        (PLAIN[:2] + b"\x11" + PLAIN[3:], "NOTIMP", 12),  # STATUS
        (PLAIN[:2] + b"\x29" + PLAIN[3:], "NOTIMP", 12),  # UPDATE
        (PLAIN[:2] + b"\x20" + PLAIN[3:], "NOTIMP", 12),  # NOTIFY
        (PLAIN[:-2] + b"\0\3", "REFUSED", 19),  # class CH
        (query(rdtype="AXFR"), "REFUSED", 23),
        (query(rdtype="IXFR"), "REFUSED", 23),
        (query(rdtype="MAILB"), "NOTIMP", 23),
        (query(rdtype="OPT"), "FORMERR", 23),
        (query(use_edns=1), "BADVERS", 34),
        (query(use_edns=255), "BADVERS", 34),
    ],
)
def test_refusals_keep_the_id(data: bytes, rcode: str, size: int) -> None:
    refused = parse_query(data, 1232)
    assert isinstance(refused, Refusal)
    reply = dns.message.from_wire(refused.reply)
    assert (refused.rcode.name, reply.rcode().name, len(refused.reply)) == (rcode, rcode, size)
    assert refused.reply[:2] == data[:2]
    assert refused.reply[2] & 0xF8 == 0x80 | data[2] & 0x78
    assert reply.flags & dns.flags.RD == 0x100 * (data[2] & 1)


def test_a_query_says_what_its_reply_needs() -> None:
    assert parse_query(PLAIN, 1232) == Query(
        0x1234, Question(dns.name.from_text("a"), RdataType.A), True, False, False, 512, False
    )
    asked = parse_query(query(use_edns=0, payload=4096, ednsflags=dns.flags.DO, flags=dns.flags.CD), 1232)
    assert asked == Query(0x1234, Question(dns.name.from_text("a.edu"), RdataType.A), False, True, True, 1232, True)
    small = parse_query(query(use_edns=0, payload=100), 1232)
    assert isinstance(small, Query)
    assert small.payload == 512


def test_unknown_types_are_questions_like_others() -> None:
    asked = parse_query(query(rdtype="TYPE65280"), 1232)
    assert isinstance(asked, Query)
    assert asked.question.rdtype == 65280
    assert str(asked.question) == "TYPE65280 a.edu"


@pytest.mark.parametrize("size", [512, 600, 1232])
@pytest.mark.parametrize("edns", [True, False])
def test_what_does_not_fit_is_truncated_whole(size: int, edns: bool) -> None:
    asked = Query(7, GAIA, True, False, edns, size, False)
    message = make_reply(asked, 1232)
    addresses = [f"10.0.{number // 200}.{number % 200}" for number in range(100)]
    message.answer.append(dns.rrset.from_text_list(GAIA.name, 60, "IN", "A", addresses))
    wire = to_wire(message, size)
    reply = parse_reply(wire)
    assert len(wire) <= size
    assert reply.flags & dns.flags.TC
    assert reply.answer == []
    assert reply.question[0].name == GAIA.name
    assert (reply.edns == 0) == edns


@pytest.mark.parametrize("needed", [True, False])
def test_the_additional_section_goes_first_unless_it_is_glue(needed: bool) -> None:
    message = make_reply(Query(7, GAIA, False, False, False, 512, False), 1232)
    message.authority.append(dns.rrset.from_text("edu.", 60, "IN", "NS", "a.edu."))
    for number in range(40):
        message.additional.append(dns.rrset.from_text(f"ns{number}.edu.", 60, "IN", "A", "10.0.0.1"))
    reply = parse_reply(to_wire(message, 512, additional_needed=needed))
    assert bool(reply.flags & dns.flags.TC) is needed
    assert len(reply.authority) == (0 if needed else 1)


def reply(answer: str = "", authority: str = "", rcode: str = "NOERROR", flags: str = "QR") -> bytes:
    text = f"id 1\nopcode QUERY\nrcode {rcode}\nflags {flags}\n;QUESTION\ngaia.edu. IN A\n"
    for section, records in (("ANSWER", answer), ("AUTHORITY", authority)):
        text += f";{section}\n{records}\n" if records else ""
    return bytes(dns.message.from_text(text).to_wire(want_shuffle=False))


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (make_query(1, GAIA, True, 1232), "A gaia.cs.umass.edu?"),
        (make_query(1, Question(dns.name.root, RdataType.NS), True, None), "NS .?"),
        (reply("gaia.edu. 1 IN A 10.0.0.1"), "A gaia.edu: 10.0.0.1"),
        (reply("gaia.edu. 1 IN A 10.0.0.1\ngaia.edu. 1 IN A 10.0.0.2"), "A gaia.edu: 10.0.0.1, 10.0.0.2"),
        (reply("gaia.edu. 1 IN CNAME b.edu.\nb.edu. 1 IN A 10.0.0.2"), "A gaia.edu: CNAME b.edu, 10.0.0.2"),
        (reply("\n".join(f"gaia.edu. 1 IN A 10.0.0.{n}" for n in range(8))),
         "A gaia.edu: 10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, ... (8 records)"),
        (reply(authority="edu. 1 IN NS a.edu-servers.net."), "referral to edu NS a.edu-servers.net"),
        (reply(authority="edu. 1 IN SOA a. b. 1 2 3 4 5", flags="QR AA"), "no data for A gaia.edu"),
        (reply(authority="edu. 1 IN SOA a. b. 1 2 3 4 5", rcode="NXDOMAIN", flags="QR AA"), "NXDOMAIN gaia.edu"),
        (reply(rcode="SERVFAIL"), "SERVFAIL A gaia.edu"),
        (reply(flags="QR TC"), "A gaia.edu (truncated)"),
        (PLAIN[:2] + b"\x80\1" + bytes(8), "FORMERR no question"),
        (PLAIN[:3], "malformed message of 3 octets"),
        (b"\0" * 11 + b"\1", "malformed message of 12 octets"),
    ],
)  # fmt: skip
def test_summaries(data: bytes, line: str) -> None:
    assert summary(data) == line


@pytest.mark.parametrize("data", [b"", PLAIN, PLAIN[:2] + b"\x80\0" + PLAIN[4:-1]])
def test_what_is_no_reply(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_reply(data)


LABELS = st.lists(st.binary(min_size=1, max_size=20), max_size=6).map(lambda labels: dns.name.Name([*labels, b""]))


@given(st.integers(0, 65535), LABELS, st.integers(1, 65535), st.booleans(), st.sampled_from([None, 512, 1232, 65535]))
def test_queries_come_back(identity: int, name: dns.name.Name, number: int, recursion: bool, payload: int | None) -> None:
    asked = Question(name, RdataType.make(number))
    parsed = parse_query(make_query(identity, asked, recursion, payload), 1232)
    if number in (41, 249, 250, 251, 252, 253, 254):
        assert isinstance(parsed, Refusal)
        return
    assert isinstance(parsed, Query)
    assert (parsed.id, parsed.question, parsed.recursion_desired, parsed.edns) == (
        identity,
        asked,
        recursion,
        payload is not None,
    )


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_dropped(data: bytes) -> None:
    parsed = parse_query(data, 1232)
    if parsed is None:
        assert len(data) < 12 or data[2] & 0x80
    elif isinstance(parsed, Refusal):
        assert parsed.reply[:2] == data[:2]
        assert parsed.rcode != Rcode.NOERROR
    assert summary(data)


@given(st.data())
def test_flipped_octets_do_no_harm(data: st.DataObject) -> None:
    octets = bytearray(reply("gaia.edu. 1 IN CNAME b.edu.\nb.edu. 1 IN A 10.0.0.2", "edu. 1 IN NS a.edu."))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    assert summary(bytes(octets))
    with suppress(MalformedMessage):
        parse_reply(bytes(octets))
