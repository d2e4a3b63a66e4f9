"""Lists of addresses, judged by the standard library too; what ENVELOPE says."""

import time
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.mail.envelope import MOST, Address, address_list, envelope
from netstack.mail.message import head

ALICE = Address("Alice", None, "alice", "crepes.fr")
BOB = Address(None, None, "bob", "hamburger.edu")
CASES: list[tuple[str, list[Address]]] = [
    ("", []),
    ("bob@hamburger.edu", [BOB]),
    ("<bob@hamburger.edu>", [BOB]),
    ("Alice <alice@crepes.fr>, bob@hamburger.edu", [ALICE, BOB]),
    (",, Alice <alice@crepes.fr> ,,", [ALICE]),
    ("alice@crepes.fr (Alice)", [ALICE]),
    ("alice@crepes.fr (Alice \\(x\\) (nested))", [Address("Alice (x) (nested)", None, "alice", "crepes.fr")]),
    ('"Smith, Alice" <alice@crepes.fr>', [Address("Smith, Alice", None, "alice", "crepes.fr")]),
    ('"a\\"b" c. d <alice@crepes.fr>', [Address('a"b c. d', None, "alice", "crepes.fr")]),
    ('"a b"@x.test', [Address(None, None, "a b", "x.test")]),
    ("a . b @ x . test", [Address(None, None, "a.b", "x.test")]),
    ("a@[192.0.2.1]", [Address(None, None, "a", "[192.0.2.1]")]),
    ("Alice <@a.test,@b.test:alice@crepes.fr>", [Address("Alice", "@a.test,@b.test", "alice", "crepes.fr")]),
    ("=?utf-8?q?caf=C3=A9?= <a@x.test>", [Address("=?utf-8?q?caf=C3=A9?=", None, "a", "x.test")]),
    ("Jürgen <jürgen@bücher.test>", [Address("Jürgen", None, "jürgen", "bücher.test")]),
    ("friends: bob@hamburger.edu, Alice <alice@crepes.fr>;", [Address(local="friends"), BOB, ALICE, Address()]),
    ("undisclosed recipients:;", [Address(local="undisclosed recipients"), Address()]),
    ("a: bob@hamburger.edu", [Address(local="a"), BOB, Address()]),
    ("bob", [Address(None, None, "bob", "")]),
    ("Alice <alice@crepes.fr", [ALICE]),
    ("Alice <>", []),
    ("a\tb <a@x.test>", [Address("a b", None, "a", "x.test")]),
]


@pytest.mark.parametrize(("text", "found"), CASES)
def test_lists(text: str, found: list[Address]) -> None:
    assert address_list(text) == found


@pytest.mark.parametrize(
    "text", [text for text, found in CASES if all(each.domain for each in found) and "@a.test" not in text]
)
def test_the_standard_library_agrees(text: str) -> None:
    told = [address for _, address in getaddresses([text]) if address]
    assert [each.replace('"', "") for each in told] == [f"{each.local}@{each.domain}" for each in address_list(text)]


@pytest.mark.parametrize(
    "text",
    ["(" * 200_000, "()" * 100_000, '"' * 200_001, "\\" * 200_000, "<" * 200_000, "a@b," * 100_000, "a " * 200_000,
     "@" * 200_000, ":" * 200_000, "[" * 200_000, "a:;" * 100_000, "<a:" * 100_000, " " * 200_000],
)  # fmt: skip
def test_hostile_lists_cost_little(text: str) -> None:
    started = time.process_time()
    assert len(address_list(text)) <= MOST + 2
    assert time.process_time() - started < 2


@given(st.text('ab@.,:;<>()"\\[] \t\u00e9', max_size=60))
def test_any_text_is_a_list(text: str) -> None:
    for each in address_list(text):
        assert "\n" not in f"{each.name}{each.local}{each.domain}"


def test_an_envelope() -> None:
    octets = (
        b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: Alice <alice@crepes.fr>\r\nTo: bob@hamburger.edu\r\n"
        b"To: Alice\r\n <alice@crepes.fr>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nMessage-ID: <1@x>\r\n\r\n"
    )
    found = envelope(head(octets))
    assert (found.from_, found.sender, found.reply_to, found.to) == ((ALICE,), (ALICE,), (ALICE,), (BOB, ALICE))
    assert (found.cc, found.bcc, found.in_reply_to, found.message_id) == ((), (), None, b"<1@x>")
    assert (found.subject, found.date) == (b"=?utf-8?q?caf=C3=A9?=", b"Tue, 14 Nov 2023 22:13:20 +0000")
    other = envelope(head(b"From: a@x.test\r\nSender: bob@hamburger.edu\r\nReply-To: Alice <alice@crepes.fr>\r\n"))
    assert (other.sender, other.reply_to) == ((BOB,), (ALICE,))
