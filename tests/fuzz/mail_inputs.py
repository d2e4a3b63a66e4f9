"""Messages, addresses and SASL exchanges that are wrong in every way, from one seed, and what is claimed of each."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random

from netstack.mail import sasl
from netstack.mail.addresses import AddressError, forward_path, reverse_path
from netstack.mail.downgrade import CannotDowngrade, downgraded, needs
from netstack.mail.envelope import envelope
from netstack.mail.message import head
from netstack.mail.mime import structure
from netstack.mail.scram import ScramKeys
from netstack.mail.store.ledger import replay
from netstack.mail.store.summary import summary
from netstack.smtp.wire import bare_line_end
from tests.fuzz import seeded
from tests.fuzz.garbage import damaged

MESSAGES = (
    b"Do you like ketchup?\r\nHow about pickles?\r\n",
    b'From: Alice <alice@crepes.fr>\r\nTo: bob@hamburger.edu,\r\n "B, C" <c@d.test>, g: x@y, z@w;\r\n'
    b"Subject: =?utf-8?q?caf=C3=A9?= =?utf-8?b?w6k=?=\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@x>\r\n"
    b"References: <2@x> <3@x>\r\n\r\nbody\r\n",
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="a b"\r\n\r\npre\xe9\r\n--a b\r\n\r\ncaf\xc3\xa9\r\n'
    b"--a b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n"
    b"--c\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>\xc3\xa9\r\n--c--\r\n"
    b"--a b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--a b--\r\nepi\r\n",
    b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n\xe9\r\n--s\r\n\r\nsignature\r\n--s--\r\n",
    b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: x\r\n\r\nbody\xff\r\n--d--\r\n",
    b"Subject: x\r\n\r\nbare \r and \n and \x00 and " + b"x" * 1100 + b"\r\n",
)
PATHS = (
    b"<alice@crepes.fr> SIZE=1000", b"<>", b"<Postmaster>", b"<@a.test,@b.test:c@d.test>", b'<"a b\\"c"@x.test>',
    b"<a@[192.0.2.1]>", b"<a@[IPv6:2001:db8::1]> X", "<пользователь@пример.test>".encode(), b"<a%b@c>", b"<b!a@c.test>",
)  # fmt: skip
KEYS = ScramKeys.make("pencil", b"salt", 4096)
EXCHANGES = (
    ("PLAIN", (b"boss\0user\0pencil",)),
    ("LOGIN", (b"user", b"pencil")),
    ("SCRAM-SHA-256", (b"n,a=boss,n=us=2Cer,r=abc", b"c=biws,r=abcn,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", b"")),
    ("SCRAM-SHA-256-PLUS", (b"p=tls-exporter,,n=user,r=abc", b"c=biws,r=abcn,p=AAAA", b"")),
)
LEDGER = (
    b'["F",1,"INBOX",1700000000,1,1,""]\n["M",1,[[1,1,0,"",1700000000.5],[2,2,1," a b ",1.0]]]\n["G",1,[[1,5,""]]]\n'
    b'["X",1,[2]]\n["F",2,"Work",1700000001,1,0,"\\\\Sent"]\n["D",2]\n'
)


def message(rng: Random) -> str:
    """Offsets are in order and inside; what is made seven bits is seven bits, and a message again."""
    octets = damaged(rng, damaged(rng, rng.choice(MESSAGES)))
    of = head(octets)
    assert octets.startswith(b"".join(field.raw for field in of.fields))
    summary(octets)
    envelope(of)
    waiting = [structure(octets).root]
    parts = 0
    while waiting:
        part = waiting.pop()
        parts += 1
        at = part.body
        assert part.start <= at <= part.end <= len(octets)
        for inside in part.parts:
            assert at <= inside.start <= inside.end <= part.end
            at = inside.end
        waiting += part.parts
    with suppress(CannotDowngrade):
        shorter = downgraded(octets, seven=False)
        assert not needs(shorter).binary
        assert shorter is octets or needs(octets).binary
    try:
        out = downgraded(octets)
    except CannotDowngrade as error:
        return error.status
    found = needs(out)
    assert (found.eight_bits, found.utf8, found.binary) == (False, False, False)
    assert b"\0" not in out and not bare_line_end(out)  # noqa: PT018
    return "as it is" if out == octets else "one part" if parts == 1 else "parts"


def path(rng: Random) -> str:
    """A path, or a refusal of one line; what is a path is one again when it is written."""
    octets = damaged(rng, rng.choice(PATHS))
    parse = rng.choice((forward_path, reverse_path))
    try:
        mailbox, rest = parse(octets, utf8=rng.random() < 0.8)
    except AddressError as error:
        return error.status if str(error).isprintable() else "a reply of two lines"
    assert octets.endswith(rest)
    if mailbox is None:
        return "null"
    assert "\n" not in str(mailbox)
    assert parse is reverse_path or forward_path(f"<{mailbox}>".encode(), utf8=True)[0] == mailbox
    assert str(mailbox).isprintable() or not str(mailbox).isascii()
    assert len(str(mailbox).splitlines()) == 1
    return "path"


def exchange(rng: Random) -> str:
    """An exchange goes on, fails, or is at its end; nobody is let in without the password."""
    kind, messages = rng.choice(EXCHANGES)
    server = sasl.server(kind, "n", {"tls-exporter": b"e" * 32}.get)
    step = server.begin()
    for message in messages:
        if not isinstance(step, sasl.Challenge):
            break
        step = server.respond(damaged(rng, message) if rng.randrange(2) else message)
        if isinstance(step, sasl.Lookup):
            step = server.keys(KEYS)
        elif isinstance(step, sasl.Verify):
            step = server.verified(False)
    assert not isinstance(step, sasl.Success)
    return "malformed" if isinstance(step, sasl.Failure) and step.malformed else type(step).__name__


def ledger(rng: Random) -> str:
    """Folders, whatever the lines are."""
    told = replay(damaged(rng, damaged(rng, LEDGER)))
    for folder in told.values():
        assert all(isinstance(uid, int) for uid in folder.messages)
    return f"{min(len(told), 2)} folders"


KINDS: dict[str, Callable[[Random], str]] = {
    "messages": message,
    "paths": path,
    "exchanges": exchange,
    "ledgers": ledger,
}
"""What becomes of one input of that kind."""


def run(kind: str, count: int, seed: int) -> Counter[str]:
    """So many inputs of a kind; what became of them."""

    def check(rng: Random, seen: Counter[str]) -> None:
        seen[KINDS[kind](rng)] += 1

    return seeded.run(kind, check, count, seed)
