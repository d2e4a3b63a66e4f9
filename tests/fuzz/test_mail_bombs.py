"""Messages made to cost: what everything that looks at a message takes of CPU for a megabyte of the worst."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from netstack.mail.addresses import Mailbox
from netstack.mail.downgrade import CannotDowngrade, downgraded, has_long_line, needs
from netstack.mail.envelope import envelope
from netstack.mail.message import head
from netstack.mail.mime import structure
from netstack.mail.store.summary import summary
from netstack.smtp.authentication import dkim, dmarc
from netstack.smtp.authentication.results import is_forged
from netstack.smtp.envelope import Destination, Envelope
from netstack.smtp.notices import Kind, notice
from netstack.smtp.submitting import authors_of
from netstack.smtp.wire import DataReader, DotStuffer, bare_line_end

SECONDS = 2.0
"""Of CPU for one message of a megabyte in one stage: a sound one takes a hundredth of it, what grows as the square hours."""
SIZE = 1_000_000
HEAD = b"From: <alice@crepes.fr>\r\n"
END = b"\r\n\xff\r\n"


def _fill(piece: bytes) -> bytes:
    return piece * (SIZE // len(piece))


def _nested(open_part: Callable[[int], bytes]) -> bytes:
    pieces, size, number = [], 0, 0
    while size < SIZE:
        pieces.append(open_part(number))
        size += len(pieces[-1])
        number += 1
    return b"".join(pieces)


BOMBS = {
    "multiparts in multiparts": HEAD
    + _nested(lambda n: b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n))
    + END,
    "one boundary for all": HEAD + _nested(lambda n: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n") + END,
    "messages in messages": HEAD + _nested(lambda n: b"Content-Type: message/rfc822\r\n\r\n") + END,
    "boundaries that begin alike": HEAD
    + b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n" % (b"b" * 70)
    + _fill(b"--" + b"b" * 69 + b"\r\n")
    + END,
    "many parts": HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + _fill(b"--b\r\n\r\n\xff\r\n") + END,
    "empty lines, then text": HEAD + b"\r\n" + _fill(b"\r\n") + b"x" + END,
    "blanks": HEAD + b"\r\n" + _fill(b" ") + b"x" + END,
    "lines of blanks": HEAD + b"\r\n" + _fill(b" \t" * 50 + b"\r\n") + b"x" + END,
    "lines as long as they may be": HEAD + b"\r\n" + _fill(b"x" * 998 + b"\r\n") + END,
    "one line": HEAD + b"\r\n" + _fill(b"x") + END,
    "dots": HEAD + b"\r\n" + _fill(b".\r\n") + END,
    "equals signs": HEAD + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + _fill(b"=\r\n") + b"\r\n",
    "many fields": HEAD + _fill(b"A:\r\n") + END,
    "one field": HEAD + b"X:" + _fill(b"\r\n x") + END,
    "white space in a field": HEAD + b"Subject:" + _fill(b" ") + b"x" + END,
    "recipients": HEAD + b"To: " + _fill(b"a@b.test,") + END,
    "open comments": HEAD + b"To: " + _fill(b"(") + END,
    "comments in comments": HEAD + b"To: " + b"(" * (SIZE // 2) + b")" * (SIZE // 2) + END,
    "open quotes": HEAD + b"To: " + _fill(b'"\\') + END,
    "groups": HEAD + b"To: " + _fill(b"a:;") + END,
    "angles": HEAD + b"To: " + _fill(b"<") + END,
    "authors": b"From: " + _fill(b"a@b.test,") + END,
    "an author's comments": b"From: " + _fill(b"(") + b"a@b.test" + END,
    "encoded words": HEAD + b"Subject: " + _fill(b"=?utf-8?q?=41?= ") + END,
    "encoded words that end nowhere": HEAD + b"Subject: " + _fill(b"=?utf-8?q?") + END,
    "references": HEAD + b"References: " + _fill(b"<a@b.test> ") + END,
    "open references": HEAD + b"References: " + _fill(b"<") + END,
    "parameters": HEAD + b"Content-Type: text/plain" + _fill(b"; a=b") + b"\r\n" + END,
    "pieces of parameters": HEAD + b"Content-Type: text/plain" + _nested(lambda n: b"; a*%d=b" % n) + b"\r\n" + END,
    "results of others": HEAD + b"Authentication-Results: " + _fill(b"(") + b"\r\n" + END,
    "a date": HEAD + b"Date: " + _fill(b"Mon, ") + b"\r\n" + END,
    "signatures": HEAD + _fill(b"DKIM-Signature: v=1; a=rsa-sha256; b=; bh=; d=x.test; h=from; s=x\r\n") + END,
    "tags of a signature": HEAD + b"DKIM-Signature: " + _nested(lambda n: b"a%d=;" % n) + b"\r\n" + END,
    "names in a signature": HEAD
    + b"DKIM-Signature: v=1; a=ed25519-sha256; b=AAAA; bh=AAAA; d=x.test; s=x; h="
    + _fill(b"from:")
    + b"\r\n"
    + END,
}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def _downgraded(octets: bytes) -> None:
    with suppress(CannotDowngrade):
        downgraded(octets)


def _shortened(octets: bytes) -> None:
    with suppress(CannotDowngrade):
        assert not has_long_line(downgraded(octets, seven=False))


def _own_authors(octets: bytes) -> None:
    for value in (head(octets).get(b"from") or b"", octets):
        with suppress(ValueError):
            authors_of(value.decode("latin-1"))


def _verified(octets: bytes) -> None:
    found = head(octets)
    signature = dkim.sign(octets, KEY, "crepes.fr", "x", 1e9)
    fields = [*head(signature).fields, *found.fields]
    for field in [each for each in fields if each.name == b"dkim-signature"][: dkim.MOST_SIGNATURES]:
        with suppress(dkim.BadSignature):
            dkim.verify(dkim.parse_signature(field.raw), fields, octets[found.body :], dkim.public_record(KEY), 1e9)


def _authors(octets: bytes) -> None:
    with suppress(ValueError):
        dmarc.author_domains(head(octets).fields)


def _sent(octets: bytes) -> None:
    stuffer, out = DotStuffer(), bytearray()
    for at in range(0, len(octets), 65536):
        out += stuffer.feed(octets[at : at + 65536])
    out += stuffer.end()
    reader, buffer = DataReader(10**9), bytearray()
    for at in range(0, len(out), 16384):
        buffer += out[at : at + 16384]
        reader.read(buffer)
    assert reader.ended


def _reported(octets: bytes) -> None:
    sender, to = Mailbox("alice", "crepes.fr"), Destination(Mailbox("bob", "hamburger.edu"))
    made = notice(Kind.FAILURE, "crepes.fr", Envelope(sender, [to], 1e9), [to], octets, 1e9, "x", 10**9)
    assert not bare_line_end(made.octets)


STAGES: dict[str, Callable[[bytes], object]] = {
    "structure": structure,
    "needs": needs,
    "downgraded": _downgraded,
    "lines": _shortened,
    "authors of a submission": _own_authors,
    "envelope": lambda octets: envelope(head(octets)),
    "summary": summary,
    "DKIM": _verified,
    "authors": _authors,
    "results": lambda octets: [is_forged(each, "mail.crepes.fr") for each in head(octets).fields],
    "sent": _sent,
    "reported": _reported,
}


@pytest.mark.parametrize("stage", STAGES)
def test_no_message_costs_more_than_its_size(stage: str) -> None:
    taken = {}
    for name, octets in BOMBS.items():
        before = time.process_time()
        STAGES[stage](octets)
        taken[name] = time.process_time() - before
        assert taken[name] < SECONDS, name
    print(stage, f"{sum(taken.values()):.2f} s of CPU, the most for", max(taken, key=lambda name: taken[name]))
