"""Dialogues of SMTP, mutated: whatever comes, however it is cut, the server's engine stays by its rules."""

import re
from collections import Counter
from random import Random

from netstack.smtp.events import ContentReceived, MailReceived, MessageBegun, MessageDropped, MessageEnded, RecipientReceived
from netstack.smtp.limits import SMTPLimits
from tests.smtp.dialogue import Side, server

MAIL, RCPT, NOBODY = b"MAIL FROM:<a@b.c>\r\n", b"RCPT TO:<x@y.z>\r\n", b"RCPT TO:<nobody@y.z>\r\n"
SEEDS = [
    b"EHLO a.test\r\nMAIL FROM:<a@b.c> SIZE=10 BODY=8BITMIME\r\n"
    + RCPT
    + NOBODY
    + b"DATA\r\na: b\r\n\r\n..x\r\n.\r\nQUIT\r\n",
    b"HELO a\r\nMAIL FROM: <>\r\nRCPT TO: <postmaster>\r\nDATA\r\n.\r\nRSET\r\nNOOP\r\nVRFY x\r\n",
    b"EHLO a\r\nMAIL FROM:<a@b.c> BODY=BINARYMIME\r\n" + RCPT + b"BDAT 5\r\na\nb\rcBDAT 2 LAST\r\n\r\n" + MAIL,
    b"EHLO a\r\nBDAT 19\r\n" + MAIL + b"RSET\r\n" + MAIL + NOBODY + b"DATA\r\nBDAT 6 LAST\r\nQUIT\r\n",
    'EHLO a\r\nMAIL FROM:<jürgen@bücher.de> SMTPUTF8\r\nRCPT TO:<"a b"@[192.0.2.1]>\r\nDATA\r\n\r\n.\r\n'.encode(),
    b"EHLO a\r\nAUTH PLAIN\r\nSTARTTLS\r\nEXPN list\r\nHELP\r\nGET / HTTP/1.1\r\n",
]
TOKENS = [
    MAIL,
    RCPT,
    NOBODY,
    b"\r\n",
    b"\n",
    b"\r",
    b".",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\r\n.\n",
    b"\0",
    b"\xff",
    b"<",
    b">",
    b"@",
    b'"',
    b" ",
    b"\t",
    b"DATA\r\n",
    b"BDAT 3\r\n",
    b"BDAT 99999999999 LAST\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"STARTTLS\r\n",
    b"x" * 3000,
    b"EHLO b\r\n",
    b"=",
    b"+",
    b"%",
    b"!",
    b":",
]
LIMITS = SMTPLimits(message=500, recipients=3, errors=8, idle_commands=12, messages=4, text_line=200, buffered=4096)
_TOO_MUCH = re.compile(rb"55[24] (?:5\.[0-9.]+ )?a (?:message has|line is)[^\r\n]*")
"""Which bound a message breaks first may depend on how it comes."""
_REPLY = re.compile(rb"[2-5][0-9]{2}[ -][^\r\n]*")


def mutated(rng: Random) -> bytes:
    """A dialogue, or two, with a few things changed."""
    octets = bytearray(rng.choice(SEEDS) + (rng.choice(SEEDS) if rng.random() < 0.3 else b""))
    for _ in range(rng.choice((0, 1, 1, 2, 4, 8))):
        at = rng.randrange(len(octets) + 1)
        choice = rng.random()
        if choice < 0.5:
            octets[at:at] = rng.choice(TOKENS)
        elif choice < 0.75:
            del octets[at : at + rng.choice((1, 1, 2, 10, 40))]
        elif choice < 0.9 and at < len(octets):
            octets[at] = rng.randrange(256)
        else:
            octets[at:at] = octets[at : at + rng.randrange(60)]
    return bytes(octets)


def check(rng: Random, seen: Counter[str]) -> None:
    """One input, whole and in pieces: the same replies, the same messages, nothing against the rules."""
    octets = mutated(rng)
    whole, pieces = server(limits=LIMITS), server(limits=LIMITS)
    said = whole.feed(octets)
    size = rng.choice((1, 2, 3, 7, 50))
    said_in_pieces = b"".join(pieces.feed(octets[at : at + size]) for at in range(0, len(octets), size))
    messages = _messages(whole), _messages(pieces)
    if not whole.wants_tls and not pieces.wants_tls:  # what comes with STARTTLS is refused, what comes after it is TLS
        assert _TOO_MUCH.sub(b"55x", said) == _TOO_MUCH.sub(b"55x", said_in_pieces), octets
        assert messages[0] == messages[1], octets
    seen["messages"] += len(messages[0])
    seen["broken off" if whole.fault is not None else "whole"] += 1
    for line in said.split(b"\r\n")[:-1]:
        assert _REPLY.fullmatch(line), (octets, line)
    assert said.endswith(b"\r\n") or not said, octets
    for side in (whole, pieces):
        side.eof()
        assert len(side.engine._buffer) <= LIMITS.buffered + len(octets), octets


def _messages(side: Side) -> list[bytes]:
    """The messages that were ended, in order; each has a sender and a recipient that was taken."""
    found: list[bytes] = []
    content = b""
    sender = recipient = begun = False
    for event in side.events:
        if isinstance(event, MailReceived):
            sender, recipient, begun = True, False, False
        elif isinstance(event, RecipientReceived):
            assert sender
            recipient = recipient or event.recipient.local != "nobody"
        elif isinstance(event, MessageBegun):
            assert recipient
            begun, content = True, b""
        elif isinstance(event, ContentReceived):
            assert begun
            content += event.data
            assert len(content) <= LIMITS.message
        elif isinstance(event, MessageDropped):
            begun = False
        elif isinstance(event, MessageEnded):
            assert begun
            assert event.octets == len(content)
            found.append(content)
            sender = recipient = begun = False
    return found
