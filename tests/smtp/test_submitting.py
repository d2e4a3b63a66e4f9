"""What a submission server makes sure of: who the author is, and lines that everybody takes (RFC 6409 §6.1)."""

from collections import Counter
from typing import Any

import pytest

from netstack.mail.accounts import Accounts
from netstack.mail.addresses import parse_mailbox
from netstack.smtp.directory import Directory, parse_aliases
from netstack.smtp.submitting import Authorship, authors_of
from tests.smtp.test_metrics import exported
from tests.smtp.test_offices import submitted
from tests.smtp.town import Town, account

ALIASES = "sales@crepes.fr: alice@crepes.fr, eve@crepes.fr\neve2@crepes.fr: eve@crepes.fr\ninfo@other.test: alice@crepes.fr"


def directory() -> Directory:
    accounts = Accounts([account("alice@crepes.fr"), account("eve@crepes.fr")], ["crepes.fr"])
    return Directory(accounts, frozenset({"crepes.fr"}), parse_aliases(ALIASES.splitlines()))


async def judged(content: bytes) -> tuple[Any, Counter[str]]:
    counts: Counter[str] = Counter()
    client, transaction = type("Client", (), {"account": "alice@crepes.fr"})(), None
    check: Any = Authorship(directory(), counts)
    return (await check(client, transaction, content)).refusal, counts


def refusal(content: bytes) -> tuple[Any, Counter[str]]:
    try:
        judged(content).send(None)  # nothing is waited for
    except StopIteration as ended:
        found: tuple[Any, Counter[str]] = ended.value
        return found
    raise AssertionError("it waits")


@pytest.mark.parametrize(
    "head",
    [
        "From: alice@crepes.fr",
        "From: Alice <Alice@CREPES.fr>",
        'From: "Bob <bob@hamburger.edu>" <alice@crepes.fr>',
        "From: alice@crepes.fr (not bob@hamburger.edu (nor x@y))",
        "From: alice@crepes.fr <alice@crepes.fr>",
        "from\t: <alice+pickles@crepes.fr>",
        "From: Sales <sales@crepes.fr>, =?utf-8?q?bob=40hamburger=2Eedu?= <alice@crepes.fr>",
        "From: Alice\r\n <alice@crepes.fr>",
        "From: info@other.test\r\nSender: alice@crepes.fr",
        "From: us: sales@crepes.fr, alice@crepes.fr;",
        "Reply-To: bob@hamburger.edu\r\nFrom: alice@crepes.fr",
    ],
)
def test_who_writes_in_his_own_name(head: str) -> None:
    refused, counts = refusal(head.encode() + b"\r\nTo: x@y.test\r\n\r\nFrom: bob@hamburger.edu\r\n")
    assert refused is None
    assert not counts


@pytest.mark.parametrize(
    ("head", "field"),
    [
        ("From: bob@hamburger.edu", "from"),
        ("From: eve@crepes.fr", "from"),
        ("From: eve2@crepes.fr", "from"),
        ("From: nobody@crepes.fr", "from"),
        ("From: alice@crepes.fr, bob@hamburger.edu", "from"),
        ("From: <alice@crepes.fr> <bob@hamburger.edu>", "from"),
        ("From: <bob@hamburger.edu> <alice@crepes.fr>", "from"),
        ("From: <alice@crepes.fr> bob@hamburger.edu", "from"),
        ("From: bob@hamburger.edu <alice@crepes.fr>", "from"),
        ("From: <<bob@hamburger.edu>alice@crepes.fr>", "from"),
        ("From: <@hamburger.edu:eve@crepes.fr>", "from"),
        ("From: alice@crepes.fr (x", "from"),
        ('From: "alice"@hamburger.edu', "from"),
        ("From: alice", "from"),
        ("From:", "from"),
        ("From: nobody:;", "from"),
        ("From: a@b@crepes.fr", "from"),
        ("From: alice@crepes.fr\r\nFrom: alice@crepes.fr", "from"),
        ("From: alice@crepes.fr\r\nFROM : bob@hamburger.edu", "from"),
        ("From: alice@crepes.fr\r\nSender: bob@hamburger.edu", "sender"),
        ("From: " + "alice@crepes.fr, " * 2000 + "bob@hamburger.edu", "from"),
    ],
)
def test_who_does_not(head: str, field: str) -> None:
    refused, counts = refusal(head.encode() + b"\r\nTo: x@y.test\r\n\r\nbody\r\n")
    assert (refused.code, refused.enhanced) == (550, "5.7.1")
    assert field in str(refused).lower()
    assert counts == {field: 1}


@pytest.mark.parametrize("head", [b"Subject: x\r\nno field\r\nFrom: bob@hamburger.edu", b"X: y\r\n" * 1001])
def test_heads_that_are_not_read_to_their_end(head: bytes) -> None:
    refused, _ = refusal(b"From: alice@crepes.fr\r\n" + head + b"\r\n\r\nbody\r\n")
    assert (refused.code, refused.enhanced) == (554, "5.6.0")


def test_every_address_that_somebody_may_read() -> None:
    names = [str(each) for each in authors_of('g: "a b"@x.test, c@x.test d <e@x.test>;, (f@x.test) h@X.test')]
    assert sorted(names) == ['"a b"@x.test', "c@x.test", "e@x.test", "h@x.test"]


def test_alice_cannot_be_bob() -> None:
    town = Town()
    bob = b"From: Bob <bob@hamburger.edu>\r\n\r\nPickles!\r\n"
    reply = town.ask(submitted, town, "eve@hamburger.edu", content=bob)
    assert (reply.code, reply.enhanced) == (550, "5.7.1")
    assert "bob@hamburger.edu, which is not an address of alice@crepes.fr" in str(reply)
    assert town.ask(submitted, town, "eve@hamburger.edu", sender="bob@hamburger.edu").code == 553
    assert (
        town.ask(submitted, town, "eve@hamburger.edu", content=bob.replace(b"bob@hamburger.edu", b"alice@crepes.fr")).code
        == 250
    )
    town.run(10)
    assert [to for _, to, _ in town.hamburger.boxes.mail] == ["eve@hamburger.edu"]
    counted = exported(town.crepes)
    for field in ("mail", "from"):
        assert counted[f'netstack_smtp_sender_mismatches_total{{field="{field}",kind="submission"}}'] == 1


def test_nobody_gets_long_lines() -> None:
    town = Town()
    assert (
        town.ask(submitted, town, "eve@hamburger.edu", content=b"Subject: x\r\n\r\n" + b"ketchup " * 500 + b"\r\n").code
        == 250
    )
    signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + b"x" * 999 + b"\r\n--b--\r\n"
    reply = town.ask(submitted, town, "eve@hamburger.edu", content=signed)
    assert (reply.code, reply.enhanced) == (550, "5.6.3")
    assert "lines of more than 998 octets, and what is signed cannot be changed" in str(reply)
    town.run(10)
    [(_, _, octets)] = town.hamburger.boxes.mail
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert octets.replace(b"=\r\n", b"").count(b"ketchup ") + octets.count(b"ketchup=20") >= 499


def test_an_alias_leads_to_its_readers() -> None:
    known = directory()
    for name, address, may in [
        ("alice@crepes.fr", "sales@crepes.fr", True),
        ("eve@crepes.fr", "sales@crepes.fr", True),
        ("alice@crepes.fr", "eve2@crepes.fr", False),
        ("alice@crepes.fr", "bob@hamburger.edu", False),
    ]:
        assert known.may_write_as(name, parse_mailbox(address)) is may
