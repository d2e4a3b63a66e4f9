"""Heads of messages: fields as they came, bounds, and what is missing in them."""

import re
import time
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.mail.limits import HeadLimits
from netstack.mail.message import date_field, date_of, decoded, head, identifiers, message_id, missing_fields
from netstack.mail.store.summary import summary

CASES: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = [
    (b"", [], b""),
    (b"\r\n", [], b""),
    (b"\r\nbody", [], b"body"),
    (b"Do you like ketchup?\r\nHow about pickles?\r\n", [], b"Do you like ketchup?\r\nHow about pickles?\r\n"),
    (b"A: b", [(b"a", b"b")], b""),
    (b"A: b\r\n\r\nbody", [(b"a", b"b")], b"body"),
    (b"A: b\n\nbody", [(b"a", b"b")], b"body"),
    (b"A: b\r\n c\r\n\td\r\nE:f\r\n\r\n\r\nbody", [(b"a", b"b c\td"), (b"e", b"f")], b"\r\nbody"),
    (b"A : b\r\nA:\r\n\r\n", [(b"a", b"b"), (b"a", b"")], b""),
    (b"A: b\r\nno field\r\nC: d\r\n\r\nbody", [(b"a", b"b")], b"no field\r\nC: d\r\n\r\nbody"),
    (b" A: b\r\n\r\n", [], b" A: b\r\n\r\n"),
    (b"A: \xc3\xa4\xff\r\n\r\n", [(b"a", b"\xc3\xa4\xff")], b""),
    (b"A: b\r\n \r\nC: d\r\n\r\n", [(b"a", b"b"), (b"c", b"d")], b""),
]


@pytest.mark.parametrize(("octets", "fields", "body"), CASES)
def test_heads(octets: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    found = head(octets)
    assert [(each.name, each.value) for each in found.fields] == fields
    assert octets[found.body :] == body
    assert octets.startswith(b"".join(each.raw for each in found.fields))
    assert found.whole
    inside = head(b"before" + octets + b"X: after", start=6, end=6 + len(octets))
    assert ([(each.name, each.value) for each in inside.fields], inside.body) == (fields, found.body + 6)


def test_values_are_found_by_name() -> None:
    found = head(b"Received: 1\r\nSUBJECT: x\r\nreceived: 2\r\n\r\n")
    assert (found.get(b"received"), found.all(b"received"), found.count(b"received")) == (b"1", [b"1", b"2"], 2)
    assert (found.get(b"date"), found.all(b"date"), found.count(b"date")) == (None, [], 0)


def test_bounds() -> None:
    many = b"A: b\r\n" * 50 + b"\r\nbody"
    found = head(many, HeadLimits(fields=10))
    assert (len(found.fields), found.whole, many[found.body :]) == (10, False, b"body")
    found = head(many, HeadLimits(octets=100))
    assert (len(found.fields) <= 17, found.whole) == (True, False)
    with pytest.raises(ValueError, match="octets"):
        HeadLimits(octets=0)


@pytest.mark.parametrize(
    "octets", [b"A:\r\n" * 300_000, b"A:" + b"\r\n " * 300_000, b"A" * 1_000_000, b"\n" * 1_000_000, b":" * 10**6]
)
def test_hostile_heads_cost_little(octets: bytes) -> None:
    started = time.process_time()
    for each in head(octets, HeadLimits(octets=10**7, fields=10**6)).fields[:5]:
        decoded(each.value)
    assert time.process_time() - started < 3


@given(st.lists(st.sampled_from([b"A", b":", b"\r\n", b"\n", b" ", b"\r", b"\xff", b"x: y", b"\r\n\r\n"])).map(b"".join))
def test_any_octets_are_fields_and_a_body(octets: bytes) -> None:
    found = head(octets)
    assert 0 <= found.body <= len(octets)
    assert octets.startswith(b"".join(each.raw for each in found.fields))
    for each in found.fields:
        assert b"\n" not in each.value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"), (b"=?utf-8?q?caf=C3=A9?= x", "café x"), (b"=?iso-8859-1?b?6Q==?=", "é"), ("é".encode(), "é"),
        (b"\xff", "\ufffd"), (b"=?nonsense?q?=C3?=", "=?nonsense?q?=C3?="), (b"=?utf-8?q?=0D=0AX:_y?=", " X: y"),
        (b"x" * 5000, "x" * 1000), (b"=?utf-8?b?A?=", "=?utf-8?b?A?="), (b"=?undefined?b?w6k=?=", "=?undefined?b?w6k=?="),
    ],
)  # fmt: skip
def test_values_for_people(value: bytes, text: str) -> None:
    assert decoded(value) == text


def test_dates() -> None:
    assert date_of(b"Tue, 1 Jul 2025 10:00:00 +0200") == 1751356800
    assert date_of(b"1 Jul 25 10:00 GMT") == 1751364000
    for wrong in (b"", b"yesterday", b"Tue, 99 Jul 2025 10:00:00 +0000", b"1 Jan 99999 00:00:00 +9999999", b"\xff"):
        assert date_of(wrong) is None
    assert date_field(1_700_000_000.7) == b"Tue, 14 Nov 2023 22:13:20 +0000"


@given(st.integers(0, 4_000_000_000))
def test_dates_are_read_by_others(wall: int) -> None:
    assert parsedate_to_datetime(date_field(wall).decode()).timestamp() == wall == date_of(date_field(wall))


def test_identifiers() -> None:
    made = message_id(1_700_000_000, 0xABCDEF, "mail.crepes.fr")
    assert made == b"<20231114221320.0000000000abcdef@mail.crepes.fr>"
    assert identifiers(b"x " + made + b"<broken> <a@b>\t<c@d>", 2) == [b"<a@b>", b"<c@d>"]


def test_what_is_missing() -> None:
    parts = (b"Tue, 14 Nov 2023 22:13:20 +0000", b"<1@x>", b"alice@crepes.fr")
    octets = missing_fields(head(b"Do you like ketchup?"), *parts) + b"\r\nDo you like ketchup?"
    assert [each.name for each in head(octets).fields] == [b"from", b"date", b"message-id"]
    assert missing_fields(head(octets), *parts) == b""
    assert missing_fields(head(b"DATE: x\r\nFrom: y\r\n\r\n"), *parts) == b"Message-ID: <1@x>\r\n"


HEAD = st.sampled_from([
    b"From", b"to", b"CC", b"subject", b"X", b":", b": ",
    b" ", b"\t", b"\r\n", b"\r\n", b"\r\n ", b"\n", b"a@b", b"hello", b"\xff",
])  # fmt: skip


@settings(max_examples=500)
@given(st.lists(HEAD, max_size=25).map(b"".join))
def test_the_index_has_the_first_field_of_each_name(octets: bytes) -> None:
    """A line that is no field ends a head, and is passed over for the index."""
    seen, end = summary(octets), re.search(rb"\n\r?\n", octets)
    fields: dict[bytes, bytes] = {}
    for line in re.split(rb"\n(?![ \t])", octets[: end.start()] if end else octets):
        found = re.match(rb"(from|to|cc|subject)[ \t]*:", line, re.I)
        if found is not None:
            value = re.sub(rb"\r?\n", b"", line[found.end() :])
            fields.setdefault(found[1].lower(), value.strip())
    recipients = b", ".join(fields[name] for name in (b"to", b"cc") if name in fields)
    wanted = [decoded(value).casefold() for value in (fields.get(b"subject", b""), fields.get(b"from", b""), recipients)]
    assert [seen.subject, seen.sender, seen.recipients] == wanted
