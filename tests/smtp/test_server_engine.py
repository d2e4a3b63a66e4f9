"""The server's engine: order, syntax, bounds, content (RFC 5321 §3, §4; RFC 2920, 3030, 3207, 3461, 4954, 6531, 8689)."""

from typing import Any

import pytest

from netstack.sansio import Command, Event, LocalProtocolError
from netstack.smtp.engine import ServerEngine
from netstack.smtp.engine.states import STATES, State, Step
from netstack.smtp.events import (
    Answer,
    AuthenticationBegun,
    AuthenticationContinued,
    Challenge,
    CommandRefused,
    ContentReceived,
    Drain,
    MailReceived,
    MessageBegun,
    MessageDropped,
    MessageEnded,
    RecipientReceived,
    ResetReceived,
)
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.offer import Offer
from netstack.smtp.wire import Reply
from tests.smtp.dialogue import OFFER, SECURE, Side, agreeable, server


def codes(octets: bytes) -> list[int]:
    """The codes of replies, a dash for each further line left out."""
    return [int(line[:3]) for line in octets.split(b"\r\n") if line and line[3:4] != b"-"]


def talk(side: Side, *lines: bytes) -> list[int]:
    return codes(side.feed(b"".join(line + b"\r\n" for line in lines)))


def content(side: Side) -> bytes:
    return b"".join(event.data for event in side.events if isinstance(event, ContentReceived))


CHAPTER = [
    (b"HELO crepes.fr", b"250 mail.hamburger.edu Hello crepes.fr, pleased to meet you\r\n"),
    (b"MAIL FROM: <alice@crepes.fr>", b"250 Sender ok\r\n"),
    (b"RCPT TO: <bob@hamburger.edu>", b"250 Recipient ok\r\n"),
    (b"DATA", b'354 Enter mail, end with "." on a line by itself\r\n'),
    (b"Do you like ketchup?", b""),
    (b"How about pickles?", b""),
    (b".", b"250 Message accepted for delivery\r\n"),
    (b"QUIT", b"221 mail.hamburger.edu closing connection\r\n"),
]


def test_the_chapter_s_dialogue() -> None:
    side = server()
    assert [(line, side.feed(line + b"\r\n")) for line, _ in CHAPTER] == CHAPTER
    assert content(side) == b"Do you like ketchup?\r\nHow about pickles?\r\n"
    assert side.closed
    assert side.fault is None


def test_it_does_not_matter_how_octets_come() -> None:
    whole = b"".join(line + b"\r\n" for line, _ in CHAPTER)
    expected = b"".join(answer for _, answer in CHAPTER)
    for size in (1, 2, 3, 7, 50, len(whole)):
        side = server()
        assert b"".join(side.feed(whole[at : at + size]) for at in range(0, len(whole), size)) == expected
        assert content(side) == b"Do you like ketchup?\r\nHow about pickles?\r\n"


HELLO, MAIL, RCPT = b"EHLO crepes.fr", b"MAIL FROM:<alice@crepes.fr>", b"RCPT TO:<bob@hamburger.edu>"

ORDERS: list[tuple[str, list[bytes], list[int]]] = [
    ("mail before a greeting", [MAIL, RCPT, b"DATA"], [503, 503, 503]),
    ("nothing but the greeting", [b"NOOP", b"RSET", b"HELP", b"VRFY bob", b"EXPN list"], [250, 250, 214, 252, 252]),
    ("recipient before sender", [HELLO, RCPT, b"DATA"], [250, 503, 503]),
    ("two senders", [HELLO, MAIL, MAIL], [250, 250, 503]),
    ("no recipient", [HELLO, MAIL, b"DATA"], [250, 250, 554]),
    ("only refused ones", [HELLO, MAIL, b"RCPT TO:<nobody@hamburger.edu>", b"DATA"], [250, 250, 550, 554]),
    ("reset", [HELLO, MAIL, RCPT, b"RSET", RCPT, MAIL], [250, 250, 250, 250, 503, 250]),
    ("greeting resets", [HELLO, MAIL, b"HELO a", RCPT], [250, 250, 250, 503]),
    ("reset before a greeting does not greet", [b"RSET", MAIL], [250, 503]),
    ("arguments", [HELLO, b"RSET x", MAIL, RCPT, b"DATA x", b"VRFY"], [250, 501, 250, 250, 501, 501]),
    ("unknown", [b"FOO", b"", b"TURN", b"ETRN x", b"SEND FROM:<a@b>"], [500, 500, 502, 502, 502]),
    ("names", [b"EHLO", b"EHLO a b", b"EHLO [192.0.2.1]", b"EHLO [IPv6:::1]", b"HELO my_pc", b"HELO <a>"],
     [501, 501, 250, 250, 250, 501]),
    ("no names", [b"EHLO [192.0.2.300]", b"EHLO [IPv6:x]", b"EHLO [192.0.2.1", b"EHLO b\xc3\xbccher.test", b"EHLO []",
                  b"EHLO " + b"a" * 256], [501] * 6),
    ("lower case", [b"ehlo a", b"mail from:<>", b"rcpt to:<postmaster>"], [250, 250, 250]),
    ("parameters after HELO", [b"HELO a", b"MAIL FROM:<a@b.c> SIZE=1"], [250, 555]),
    ("parameters", [HELLO, MAIL + b" FOO=1", MAIL + b" SIZE=x", MAIL + b" SIZE=99999999999", MAIL + b" BODY=9BIT",
                    MAIL + b" SIZE=1 SIZE=2", MAIL + b" RET=ALL", MAIL + b" SMTPUTF8=1", MAIL + b" ENVID=",
                    MAIL + b" ENVID=+zz", MAIL + b" REQUIRETLS", MAIL + b"SIZE=1"],
     [250, 555, 501, 552, 501, 501, 501, 501, 501, 501, 555, 501]),
    ("of recipients", [HELLO, MAIL, RCPT + b" NOTIFY=NEVER,DELAY", RCPT + b" NOTIFY=NOW", RCPT + b" ORCPT=bob",
                       RCPT + b" A=1",
                       RCPT + b" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@x.y"], [250, 250, 501, 501, 501, 555, 250]),
    ("addresses", [HELLO, b"MAIL FROM:<a b@c>", b"MAIL FROM:<a@b", b"MAIL FROM:<@x,@y:a@b.c>", b"RCPT TO:<>",
                   b'RCPT TO:<"a b"@c.d>', b"RCPT TO:<a@[192.0.2.1]>"], [250, 501, 501, 250, 501, 250, 250]),
    ("not ASCII", [HELLO, "MAIL FROM:<jürgen@x.de>".encode(), "MAIL FROM:<jürgen@x.de> SMTPUTF8".encode(),
                   "RCPT TO:<bob@bücher.de>".encode()], [250, 553, 250, 250]),
    ("binary by DATA", [HELLO, MAIL + b" BODY=BINARYMIME", RCPT, b"DATA"], [250, 250, 250, 503]),
    ("log-in in the clear", [HELLO, b"AUTH PLAIN AGEAYg==", b"AUTH"], [250, 538, 538]),
    ("TLS", [HELLO, MAIL, b"STARTTLS", b"RSET", b"STARTTLS x"], [250, 250, 503, 250, 501]),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), [row[1:] for row in ORDERS], ids=[row[0] for row in ORDERS])
def test_order_and_syntax(lines: list[bytes], expected: list[int]) -> None:
    together = server()
    assert talk(together, *lines) == expected
    apart = server()
    assert [code for line in lines for code in talk(apart, line)] == expected
    assert not together.closed


def test_parameters_reach_the_role() -> None:
    side = server()
    talk(
        side,
        HELLO,
        MAIL + b" SIZE=500 BODY=8BITMIME RET=hdrs ENVID=a+2Bb AUTH=<>",
        RCPT + b" NOTIFY=failure ORCPT=rfc822;b+2Bb@c",
    )
    [mail], [recipient] = side.of(MailReceived), side.of(RecipientReceived)
    assert isinstance(mail, MailReceived)
    assert (mail.size, mail.body, mail.returns, mail.envelope_id) == (500, "8BITMIME", "HDRS", "a+b")
    assert isinstance(recipient, RecipientReceived)
    assert (recipient.notify, recipient.original) == (frozenset({"FAILURE"}), "rfc822;b+b@c")


def test_what_is_offered() -> None:
    side = server()
    lines = side.feed(b"EHLO a\r\n").decode().splitlines()
    assert lines[0] == "250-mail.hamburger.edu Hello a, pleased to meet you"
    assert {line[4:].split()[0] for line in lines[1:]} == {
        "PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "HELP", "VRFY", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME",
        "STARTTLS", "LIMITS",
    }  # fmt: skip
    assert "AUTH" not in side.feed(b"EHLO a\r\n").decode()
    side.feed(b"STARTTLS\r\n")
    side.connect(SECURE)
    offered = side.feed(b"EHLO a\r\n").decode()
    assert "AUTH PLAIN" in offered
    assert "REQUIRETLS" in offered
    assert "STARTTLS" not in offered


def test_tls_begins_anew() -> None:
    side = server()
    assert talk(side, HELLO, b"STARTTLS") == [250, 220]
    assert side.wants_tls
    assert side.of(ResetReceived)
    side.connect(SECURE)
    assert talk(side, MAIL, HELLO, MAIL + b" REQUIRETLS", b"STARTTLS") == [503, 250, 250, 503]


def test_nothing_in_the_clear_is_read_as_if_it_came_under_tls() -> None:
    side = server()
    side.feed(HELLO + b"\r\n")
    assert codes(side.feed(b"STARTTLS\r\nMAIL FROM:<a@b.c>\r\n")) == [521]
    assert side.closed
    assert not side.wants_tls


def authentication(event: Event) -> Command | None:
    if isinstance(event, AuthenticationBegun):
        return Challenge(b"Password:") if event.initial is None else Answer(Reply(235, ("welcome",), "2.7.0"))
    if isinstance(event, AuthenticationContinued):
        known = event.response == b"secret"
        return Answer(Reply(235, ("welcome",), "2.7.0") if known else Reply(535, ("no",), "5.7.8"))
    return agreeable(event)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"AUTH PLAIN", b"c2VjcmV0"], [334, 235]),
        ([b"AUTH PLAIN", b"YWJj", b"AUTH PLAIN", b"c2VjcmV0", b"AUTH PLAIN"], [334, 535, 334, 235, 503]),
        ([b"AUTH PLAIN", b"*", MAIL], [334, 501, 250]),
        ([b"AUTH PLAIN", b"a!", b"NOOP"], [334, 501, 250]),
        ([b"AUTH PLAIN ="], [235]),
        ([b"AUTH plain c2VjcmV0", b"AUTH PLAIN c2VjcmV0"], [235, 503]),
        ([b"AUTH PLAIN a"], [501]),
        ([b"AUTH FOO"], [504]),
        ([b"AUTH"], [501]),
        ([MAIL, b"AUTH PLAIN ="], [250, 503]),
    ],
)
def test_authentication(lines: list[bytes], expected: list[int]) -> None:
    side = Side(ServerEngine(OFFER, SMTPLimits()), authentication)
    side.connect(SECURE)
    assert talk(side, HELLO, *lines)[1:] == expected


def test_a_log_in_that_is_too_long() -> None:
    side = Side(ServerEngine(OFFER, SMTPLimits(auth_line=100)), authentication)
    side.connect(SECURE)
    side.feed(b"EHLO a\r\n")
    for sent in (b"AUTH PLAIN " + b"a" * 100, b"AUTH PLAIN\r\n" + b"a" * 100):
        assert side.feed(sent + b"\r\nNOOP\r\n").endswith(b"500 5.5.6 the line is too long\r\n250 2.0.0 OK\r\n")


def test_credentials_are_not_recorded() -> None:
    side = Side(ServerEngine(OFFER, SMTPLimits()), authentication, recording=True)
    side.connect(SECURE)
    talk(side, HELLO, b"AUTH PLAIN", b"YWJj", b"AUTH PLAIN c2VjcmV0")
    messages = side.engine.messages()
    assert len(messages) == 9
    octets = b"".join(message.data for message in messages)
    assert b"YWJj" not in octets
    assert b"c2VjcmV0" not in octets
    assert octets.count(b"*") == 12


def begin(side: Side, *parameters: bytes) -> None:
    assert talk(side, HELLO, b" ".join((MAIL, *parameters)), RCPT) == [250, 250, 250]


def test_chunks() -> None:
    side = server()
    begin(side)
    assert codes(side.feed(b"BDAT 6\r\na: b\r\nBDAT 2\r\n\r\nBDAT 3 LAST\r\n.\r\nNOOP\r\n")) == [250, 250, 250, 250]
    assert content(side) == b"a: b\r\n\r\n.\r\n"
    assert side.of(MessageEnded) == [MessageEnded(11)]
    assert talk(side, MAIL, RCPT) == [250, 250]
    assert codes(side.feed(b"BDAT 0 LAST\r\n")) == [250]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_refused_chunks_are_read_all_the_same(size: int) -> None:
    sent = b"EHLO a\r\nBDAT 6\r\nRSET\r\nMAIL FROM:<a@b.c>\r\nBDAT 6 LAST\r\nQUIT\r\nBDAT 0 LAST\r\nRSET\r\n"
    side = server()
    answers = b"".join(side.feed(sent[at : at + size]) for at in range(0, len(sent), size))
    assert codes(answers) == [250, 503, 250, 503, 503, 250]
    assert content(side) == b""


def test_a_role_may_refuse_a_message_that_comes_in_chunks() -> None:
    def full(event: Event) -> Command | None:
        return Answer(Reply(452, ("disk full",), "4.3.1")) if isinstance(event, MessageBegun) else agreeable(event)

    side = server(full)
    begin(side)
    assert codes(side.feed(b"BDAT 6\r\nRSET\r\nNOOP\r\n")) == [452, 250]
    assert not content(side)


def test_chunks_have_whole_lines_unless_binary() -> None:
    side = server()
    begin(side)
    assert codes(side.feed(b"BDAT 4\r\na\nb\rBDAT 3 LAST\r\n\nc\nRSET\r\n")) == [554, 554, 250]
    assert side.of(MessageDropped)
    begin(side, b"BODY=BINARYMIME")
    assert codes(side.feed(b"BDAT 7 LAST\r\na\nb\r\nc\r")) == [250]
    assert content(side) == b"a\nb\r\nc\r"


def test_a_chunk_s_size_has_to_be_one() -> None:
    for wrong in (b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 1 FIRST", b"BDAT 0x10"):
        side = server()
        begin(side)
        assert codes(side.feed(wrong + b"\r\nNOOP\r\n")) == [521]
        assert side.closed


@pytest.mark.parametrize(
    "ending", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\r\n.\r\n", b"\n\n.\r\n"]
)
def test_no_second_mail_is_smuggled_in(ending: bytes) -> None:
    smuggled = b"MAIL FROM:<evil@crepes.fr>\r\nRCPT TO:<bob@hamburger.edu>\r\nDATA\r\nspoof\r\n.\r\n"
    side = server()
    begin(side)
    talk(side, b"DATA")
    assert codes(side.feed(b"hello" + ending + smuggled + b"\r\n.\r\n")) == [521]
    assert side.closed
    assert side.fault is not None
    assert len(side.of(MailReceived)) == 1
    assert not side.of(MessageEnded)
    assert side.of(MessageDropped)


@pytest.mark.parametrize(
    "line",
    [
        b"NOOP\n",
        b"NOOP a\rb\r\n",
        b"NOOP\r\r\n",
        b"MAIL FROM:<a@b>\nRCPT TO:<c@d>\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.0\r\n",
    ],
)
def test_what_is_no_smtp_ends_the_connection(line: bytes) -> None:
    side = server()
    assert codes(side.feed(line)) == [521]
    assert side.closed


@pytest.mark.parametrize(
    ("bounds", "lines", "expected", "closes"),
    [
        ({"recipients": 1}, [HELLO, MAIL, RCPT, RCPT, b"DATA"], [250, 250, 250, 452, 354], False),
        ({"message": 10}, [HELLO, MAIL, RCPT, b"DATA", b"a" * 9, b".", b"NOOP"], [250, 250, 250, 354, 552, 250], False),
        ({"message": 11}, [HELLO, MAIL, RCPT, b"DATA", b"a" * 9, b".", b"NOOP"], [250, 250, 250, 354, 250, 250], False),
        ({"text_line": 10}, [HELLO, MAIL, RCPT, b"DATA", b"a" * 9, b".", b"NOOP"], [250, 250, 250, 354, 554, 250], False),
        ({"errors": 3}, [b"FOO", b"FOO", b"FOO", b"NOOP"], [500, 500, 500, 421], True),
        (
            {"errors": 2},
            [HELLO, MAIL, b"RCPT TO:<nobody@x.y>", b"RCPT TO:<nobody@x.y>", b"NOOP"],
            [250, 250, 550, 550, 421],
            True,
        ),
        ({"idle_commands": 2}, [b"NOOP", b"RSET", b"NOOP", b"NOOP"], [250, 250, 421], True),
        ({"command_line": 20}, [b"NOOP " + b"a" * 13, b"NOOP " + b"a" * 14, b"NOOP"], [250, 500, 250], False),
        ({"messages": 1}, [HELLO, MAIL, RCPT, b"DATA", b".", MAIL], [250, 250, 250, 354, 250, 421], True),
    ],
)
def test_bounds(bounds: dict[str, Any], lines: list[bytes], expected: list[int], closes: bool) -> None:
    together = server(limits=SMTPLimits(**bounds))
    assert talk(together, *lines) == expected
    assert together.closed is closes
    octet_by_octet = server(limits=SMTPLimits(**bounds))
    sent = b"".join(line + b"\r\n" for line in lines)
    assert codes(b"".join(octet_by_octet.feed(sent[at : at + 1]) for at in range(len(sent)))) == expected


def test_an_endless_line_is_not_kept() -> None:
    side = server()
    for _ in range(100):
        assert side.feed(b"a" * 100_000) == b""
        assert len(side.engine._buffer) <= SMTPLimits().buffered
    assert codes(side.feed(b"\r\nNOOP\r\n")) == [500, 250]


def test_patience_ends() -> None:
    limits = SMTPLimits(command_seconds=10, data_seconds=5, message_seconds=12)
    side = server(limits=limits)
    assert side.wait(9.9) == b""
    talk(side, b"NOOP")
    assert codes(side.wait(10)) == [421]
    assert side.closed
    slow = server(limits=limits)
    begin(slow)
    talk(slow, b"DATA")
    for _ in range(3):
        assert slow.wait(3.9) == b""
        slow.feed(b"a\r\n")
    assert codes(slow.wait(0.5)) == [421]
    assert slow.of(MessageDropped)


def test_a_client_that_goes_leaves_nothing() -> None:
    side = server()
    begin(side)
    talk(side, b"DATA", b"half of it")
    side.eof()
    assert side.closed
    assert side.of(MessageDropped)
    assert not side.of(MessageEnded)


def test_who_half_closes_still_gets_answers() -> None:
    waiting: list[Event] = []

    def later(event: Event) -> Command | None:
        if isinstance(event, MailReceived):
            waiting.append(event)
            return None
        return agreeable(event)

    side = server(later)
    assert talk(side, HELLO, MAIL, RCPT) == [250]
    assert side.eof() == b""
    assert not side.closed
    assert codes(side.say(Answer(Reply(250, ("ok",))))) == [250, 250]
    assert side.closed


def test_commands_wait_while_one_is_in_hand() -> None:
    side = server(lambda event: None if isinstance(event, MailReceived) else agreeable(event))
    assert talk(side, HELLO, MAIL, RCPT, b"QUIT") == [250]
    assert side.engine.next_timer() is None
    assert codes(side.say(Answer(Reply(250, ("ok",))))) == [250, 250, 221]
    with pytest.raises(LocalProtocolError):
        side.engine.send(Answer(Reply(250, ("ok",))), side.now)


def test_a_draining_server_finishes_the_message() -> None:
    side = server()
    begin(side)
    side.say(Drain())
    assert talk(side, b"DATA", b".", MAIL) == [354, 250, 421]
    assert side.closed


def test_a_greeting_may_refuse() -> None:
    side = Side(ServerEngine(OFFER, SMTPLimits()), lambda _: Answer(Reply(554, ("no",), "5.7.1")))
    assert codes(side.connect()) == [554]
    side.feed(b"EHLO a\r\n")
    assert side.closed


def test_no_extension_that_is_not_offered() -> None:
    plain = Offer("mail.hamburger.edu", chunking=False, utf8=False, dsn=False, require_tls=False)
    side = server(offer=plain)
    assert talk(side, HELLO, MAIL + b" SMTPUTF8", MAIL + b" RET=FULL", MAIL + b" BODY=BINARYMIME", MAIL + b" AUTH=<>",
                b"STARTTLS", b"BDAT 3") == [250, 555, 555, 501, 555, 502, 502]  # fmt: skip
    assert len(side.of(CommandRefused)) == 6


def test_every_state_has_an_end() -> None:
    assert {state for state in State if not STATES.allows(state, Step.CLOSE)} == set()
    assert "RECIPIENTS" in STATES.dot()
