"""Addresses: one table of what is one and what is none, and what no address can do."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.mail.addresses import (
    AddressError,
    Mailbox,
    canonical_domain,
    display_domain,
    forward_path,
    parse_mailbox,
    reverse_path,
)
from netstack.mail.limits import AddressLimits

GOOD = [
    (b"<alice@crepes.fr>", "alice", "crepes.fr", "alice@crepes.fr"),
    (b"<Alice.B+lists@CREPES.fr>", "Alice.B+lists", "crepes.fr", "Alice.B+lists@crepes.fr"),
    (b"<alice@crepes.fr.>", "alice", "crepes.fr", "alice@crepes.fr"),
    (b"<alice@localhost>", "alice", "localhost", "alice@localhost"),
    (b"<!#$%&'*+-/=?^_`{|}~@x.test>", "!#$%&'*+-/=?^_`{|}~", "x.test", "!#$%&'*+-/=?^_`{|}~@x.test"),
    (b'<"a b"@x.test>', "a b", "x.test", '"a b"@x.test'),
    (b'<"a\\"\\\\b"@x.test>', 'a"\\b', "x.test", '"a\\"\\\\b"@x.test'),
    (b'<"plain"@x.test>', "plain", "x.test", "plain@x.test"),
    (b'<"pl\\ain"@x.test>', "plain", "x.test", "plain@x.test"),
    (b'<"a@b"@x.test>', "a@b", "x.test", '"a@b"@x.test'),
    (b'<"a..b"@x.test>', "a..b", "x.test", '"a..b"@x.test'),
    (b'<"<>"@x.test>', "<>", "x.test", '"<>"@x.test'),
    (b"<a%c.test@x.test>", "a%c.test", "x.test", "a%c.test@x.test"),
    (b"<c.test!a@x.test>", "c.test!a", "x.test", "c.test!a@x.test"),
    (b"<@a.test,@b.test:c@d.test>", "c", "d.test", "c@d.test"),
    (b"<a@[192.0.2.1]>", "a", "[192.0.2.1]", "a@[192.0.2.1]"),
    (b"<a@[ipv6:2001:DB8:0::1]>", "a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
    (b"<a@xn--bcher-kva.test>", "a", "xn--bcher-kva.test", "a@xn--bcher-kva.test"),
    ("<a@Bücher.test>".encode(), "a", "xn--bcher-kva.test", "a@xn--bcher-kva.test"),
    ("<пользователь@пример.test>".encode(), "пользователь", "xn--e1afmkfd.test", "пользователь@xn--e1afmkfd.test"),
    ('<"ä b"@x.test>'.encode(), "ä b", "x.test", '"ä b"@x.test'),
    (b"<" + b"a" * 64 + b"@x.test>", "a" * 64, "x.test", "a" * 64 + "@x.test"),
    (b"<" + b"a" * 247 + b"@x.test>", "a" * 247, "x.test", "a" * 247 + "@x.test"),
    (b"<a@" + b".".join([b"b" * 63] * 3) + b">", "a", ".".join(["b" * 63] * 3), "a@" + ".".join(["b" * 63] * 3)),
]
BAD = [
    b"alice@crepes.fr", b"<alice@crepes.fr", b"<alice>", b"<@crepes.fr>", b"<a@b@c.test>", b"<a b@c.test>",
    b"<.a@c.test>", b"<a.@c.test>", b"<a..b@c.test>", b"<a@.c.test>", b"<a@c..test>", b"<a@c_d.test>", b"<a@-c.test>",
    b"<a@c-.test>", b"<a@c.test..>", b'<""@c.test>', b'<"a@c.test>', b'<"a"b@c.test>', b'<a"b"@c.test>', b'<"a\\"@c.test>',
    b"<a@192.0.2.1>", b"<a@[192.0.2.300]>", b"<a@[2001:db8::1]>", b"<a@[IPv6:1::2::3]>", b"<a@[IPv6:fe80::1%eth0]>",
    b"<a@[x:y]>", b"<a@[]>", b"<a@[192.0.2.1>", b"<a\x00@c.test>", b"<a\x7f@c.test>", b'<"a\r\nb"@c.test>',
    b'<"a\\\r"@c.test>',
    b"<a@c.test\r\n>", b"< a@c.test>", b"<a@c.test >", b"<@a.test:>", b"<@a.test b@c.test>", b"<" + b"a" * 254 + b"@c>",
    b"<a@" + b"c" * 64 + b".test>", b"<a@" + b".".join([b"b" * 63] * 5) + b">", b"<a@" + b"c." * 130 + b"test>", b"",
    b"<a\xff@c.test>", b"<a\xc2\x85b@c.test>", b"<a\xe2\x80\xa8b@c.test>", b"<a@\xe2\x80\xa8.test>",
]  # fmt: skip


@pytest.mark.parametrize(("octets", "local", "domain", "text"), GOOD)
@pytest.mark.parametrize("rest", [b"", b" SIZE=1000", b">x"])
def test_paths(octets: bytes, local: str, domain: str, text: str, rest: bytes) -> None:
    mailbox, after = forward_path(octets + rest, utf8=True)
    assert (mailbox.local, mailbox.domain, str(mailbox), after) == (local, domain, text, rest)
    assert reverse_path(octets + rest, utf8=True) == (mailbox, rest)
    assert parse_mailbox(text, utf8=True) == mailbox


@pytest.mark.parametrize("octets", BAD)
def test_no_paths(octets: bytes) -> None:
    with pytest.raises(AddressError) as sender:
        reverse_path(octets, utf8=True)
    with pytest.raises(AddressError) as recipient:
        forward_path(octets, utf8=True)
    assert (sender.value.status, recipient.value.status) == ("5.1.7", "5.1.3")
    assert re.fullmatch("[ -~]+", str(recipient.value)), "it goes into a reply"


def test_the_empty_path_is_a_sender_alone() -> None:
    assert reverse_path(b"<> RET=HDRS") == (None, b" RET=HDRS")
    with pytest.raises(AddressError):
        forward_path(b"<>")


def test_the_postmaster_needs_no_domain() -> None:
    """RFC 5321 §4.1.1.3, §4.5.1."""
    mailbox, _ = forward_path(b"<PostMaster>")
    assert (mailbox, str(mailbox)) == (Mailbox("postmaster", ""), "postmaster")
    with pytest.raises(AddressError):
        reverse_path(b"<postmaster>")


@pytest.mark.parametrize("octets", ["<ä@x.test>".encode(), "<a@ä.test>".encode(), b"<a\xff@x.test>"])
def test_what_is_not_ascii_has_to_be_announced(octets: bytes) -> None:
    """RFC 6531 §3.5."""
    for parse in (reverse_path, forward_path):
        with pytest.raises(AddressError) as refused:
            parse(octets)
        assert refused.value.status == "5.6.7"


def test_limits_are_options() -> None:
    limits = AddressLimits(local=3, domain=6, path=12)
    assert forward_path(b"<abc@d.test>", limits=limits)[0] == Mailbox("abc", "d.test")
    for octets in (b"<abcd@d.te>", b"<a@dd.test>", b"<abc@d.test.>", b"<@d.e:abc@d.test>"):
        with pytest.raises(AddressError):
            forward_path(octets, limits=limits)
    with pytest.raises(ValueError, match="local"):
        AddressLimits(local=0)


@pytest.mark.parametrize(
    ("local", "domain"),
    [
        ("a\r\nRCPT TO:<b@c>", "x.test"), ("a\n", "x.test"), ("a\x00", "x.test"), ("a\x85b", "x.test"),
        ("a\u2028b", "x.test"),
        ("a\ud800", "x.test"), ("a", "X.test"), ("a", "x.test\r\n"), ("a", "x test"), ("a", "ä.test"), ("a", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_nothing_else_is_a_mailbox(local: str, domain: str) -> None:
    with pytest.raises(AddressError):
        Mailbox(local, domain)


def test_comparison() -> None:
    alice = parse_mailbox("Alice@Crepes.FR")
    assert alice.same(Mailbox("Alice", "crepes.fr"))
    assert not alice.same(Mailbox("alice", "crepes.fr"))
    assert not alice.same(Mailbox("Alice", "crepes.test"))
    assert Mailbox("PostMaster", "crepes.fr").same(Mailbox("postmaster", "crepes.fr"))
    assert alice.key == Mailbox("alice", "crepes.fr").key
    assert Mailbox("cafe\u0301", "x.test").key == Mailbox("Caf\xe9", "x.test").key
    assert (alice.is_ascii, Mailbox("ä", "x.test").is_ascii, parse_mailbox("a@[192.0.2.1]").is_literal) == (
        True,
        False,
        True,
    )


@pytest.mark.parametrize(
    ("address", "separators", "base", "detail"),
    [
        ("alice+lists@x.test", "+", "alice", "lists"),
        ("alice+lists+dns@x.test", "+", "alice", "lists+dns"),
        ("alice-lists@x.test", "+-", "alice", "lists"),
        ("alice+@x.test", "+", "alice", ""),
        ("alice@x.test", "+", "alice", None),
        ("+lists@x.test", "+", "+lists", None),
        ("alice+lists@x.test", "", "alice+lists", None),
    ],
)
def test_sub_addresses(address: str, separators: str, base: str, detail: str | None) -> None:
    assert parse_mailbox(address).detail(separators) == (Mailbox(base, "x.test"), detail)


def test_domains_for_people_and_for_machines() -> None:
    assert canonical_domain("BÜCHER.Example.") == "xn--bcher-kva.example"
    assert display_domain("xn--bcher-kva.example") == "bücher.example"
    assert display_domain("xn--a.example") == "xn--a.example", "no label of IDNA: shown as it is"
    with pytest.raises(AddressError) as refused:
        canonical_domain("bücher.example", utf8=False)
    assert refused.value.status == "5.6.7"


@given(st.text(max_size=20), st.sampled_from(["x.test", "[192.0.2.1]", "xn--bcher-kva.test"]))
def test_what_can_be_made_can_be_written_and_read(local: str, domain: str) -> None:
    try:
        mailbox = Mailbox(local, domain)
    except AddressError:
        return
    text = str(mailbox)
    assert len(text.splitlines()) == 1
    assert not re.search("[\x00-\x1f\x7f]", text)
    if len(mailbox.quoted_local.encode()) <= 64:
        assert parse_mailbox(text, utf8=True) == mailbox
        assert forward_path(f"<{text}> X=1".encode(), utf8=True) == (mailbox, b" X=1")


@given(st.binary(max_size=80).map(lambda octets: b"<" + octets))
def test_any_octets_are_a_path_or_refused(octets: bytes) -> None:
    try:
        mailbox, rest = forward_path(octets, utf8=True)
    except AddressError:
        return
    assert octets.endswith(rest)
    assert forward_path(f"<{mailbox}>".encode(), utf8=True)[0] == mailbox
