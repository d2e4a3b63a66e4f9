"""The client's engine: against our server in memory, and against servers that we make up (RFC 5321 §3, RFC 2920 §3.1)."""

from collections.abc import Sequence

import pytest

from netstack.sansio import Command, Event, LocalProtocolError
from netstack.smtp.engine import ServerEngine
from netstack.smtp.events import (
    Answer,
    Answered,
    Ask,
    Authenticate,
    AuthenticationEnded,
    Challenged,
    Content,
    ContentReceived,
    ContentWanted,
    EndContent,
    Greeted,
    MailReceived,
    MessageAnswered,
    Quit,
    Recipient,
    RecipientAnswered,
    RecipientReceived,
    RespondToChallenge,
    SayHello,
    Secured,
    SecureRefused,
    SendMessage,
    ServerClosing,
    ServerReady,
    StartSecure,
)
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.offer import Offer
from netstack.smtp.wire import Reply
from tests.smtp.dialogue import Side, agreeable, client, join, server

MESSAGE = b"Subject: ketchup\r\n\r\n.\r\n..\r\nDo you like it?\r\n"
BOB, NOBODY = Recipient("bob@hamburger.edu"), Recipient("nobody@hamburger.edu")


class Sender:
    """A client's role that says EHLO, maybe begins TLS, sends one message and quits."""

    def __init__(self, recipients: Sequence[Recipient] = (BOB,), chunked: bool = False, secure: bool = False) -> None:
        self.send = SendMessage("alice@crepes.fr", recipients, chunked=chunked)
        self.secure = secure
        self.side: Side | None = None

    def __call__(self, event: Event) -> Command | None:
        if isinstance(event, ServerReady | Secured):
            return SayHello("crepes.fr")
        if isinstance(event, Greeted):
            return StartSecure() if self.secure and "STARTTLS" in event.extensions else self.send
        if isinstance(event, SecureRefused):
            return self.send
        if isinstance(event, ContentWanted) and self.side is not None:
            for at in range(0, len(MESSAGE), 10):
                self.side.engine.send(Content(MESSAGE[at : at + 10]), self.side.now)
            return EndContent()
        return Quit() if isinstance(event, MessageAnswered) else None


def send(sender: Sender, offer: Offer, piece: int = 0, limits: SMTPLimits | None = None) -> tuple[Side, Side]:
    """Both sides after the dialogue."""
    ours = client(sender)
    sender.side = ours
    theirs = Side(ServerEngine(offer, limits or SMTPLimits()), agreeable)
    join(theirs, ours, theirs.connect(), piece)
    return ours, theirs


@pytest.mark.parametrize("piece", [0, 1, 3])
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_message_goes_from_one_to_the_other(piece: int, secure: bool, chunked: bool) -> None:
    offer = Offer("mail.hamburger.edu", starttls=True)
    ours, theirs = send(Sender([BOB, NOBODY, BOB], chunked, secure), offer, piece)
    assert b"".join(event.data for event in theirs.events if isinstance(event, ContentReceived)) == MESSAGE
    assert [event.reply.code for event in ours.events if isinstance(event, RecipientAnswered)] == [250, 550, 250]
    assert [str(event.reply) for event in ours.events if isinstance(event, MessageAnswered)] == [
        "250 2.0.0 Message accepted for delivery"
    ]
    assert bool(ours.of(Secured)) is secure
    assert ours.closed
    assert theirs.closed
    assert ours.fault is theirs.fault is None


@pytest.mark.parametrize("chunked", [False, True])
def test_a_message_for_nobody_is_not_sent(chunked: bool) -> None:
    ours, theirs = send(Sender([NOBODY, NOBODY], chunked), Offer("mail.hamburger.edu"))
    [answered] = ours.of(MessageAnswered)
    assert isinstance(answered, MessageAnswered)
    assert answered.reply.code == 550
    assert not ours.of(ContentWanted)
    assert not theirs.of(ContentReceived)
    assert ours.closed


def scripted(dialogue: Sequence[tuple[bytes, bytes]], role: Sender) -> Side:
    """A client against a server that says what is written, and expects what is written before it says it."""
    ours = client(role)
    role.side = ours
    said = b""
    for expected, answer in dialogue:
        assert said == expected
        said = ours.feed(answer)
    assert said == b""
    return ours


HELLO = b"EHLO crepes.fr\r\n"
MAIL, RCPT = b"MAIL FROM:<alice@crepes.fr>\r\n", b"RCPT TO:<bob@hamburger.edu>\r\n"
STUFFED = MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def test_one_by_one_where_the_server_takes_no_pipelining() -> None:
    ours = scripted(
        [
            (b"", b"220 x\r\n"),
            (HELLO, b"500 what?\r\n"),
            (b"HELO crepes.fr\r\n", b"250 hello\r\n"),
            (MAIL, b"250 ok\r\n"),
            (RCPT, b"251 will forward\r\n"),
            (b"DATA\r\n", b"354 go\r\n"),
            (STUFFED, b"250 done\r\n"),
            (b"QUIT\r\n", b"221 bye\r\n"),
        ],
        Sender(),
    )
    assert ours.closed


PIPELINED = [(b"", b"220 x\r\n"), (HELLO, b"250-x\r\n250 PIPELINING\r\n")]


@pytest.mark.parametrize(
    ("answers", "rest", "code"),
    [
        (b"550 no\r\n503 no\r\n503 no\r\n", b"", 550),
        (b"250 ok\r\n550 no\r\n554 nobody\r\n", b"", 550),
        (b"250 ok\r\n450 later\r\n354 go\r\n", b".\r\n", 450),
        (b"550 no\r\n250 ok\r\n354 go\r\n", b".\r\n", 550),
        (b"250 ok\r\n250 ok\r\n451 not now\r\n", b"", 451),
    ],
)
def test_answers_to_what_was_sent_together(answers: bytes, rest: bytes, code: int) -> None:
    role = Sender()
    dialogue = [*PIPELINED, (MAIL + RCPT + b"DATA\r\n", answers)]
    if rest:
        dialogue.append((rest, b"554 no valid recipients\r\n"))
    ours = scripted([*dialogue, (b"QUIT\r\n", b"221 bye\r\n")], role)
    [answered] = ours.of(MessageAnswered)
    assert isinstance(answered, MessageAnswered)
    assert answered.reply.code == code
    assert not ours.of(ContentWanted)


def test_a_transaction_that_failed_is_reset_before_the_next() -> None:
    ours = client(lambda _: None)
    ours.feed(b"220 x\r\n")
    ours.say(SayHello("crepes.fr"))
    ours.feed(b"250-x\r\n250 PIPELINING\r\n")
    again = SendMessage("alice@crepes.fr", [BOB])
    assert ours.say(again) == MAIL + RCPT + b"DATA\r\n"
    assert ours.feed(b"250 ok\r\n550 no\r\n554 nobody\r\n") == b""
    assert ours.say(again) == b"RSET\r\n" + MAIL + RCPT + b"DATA\r\n"
    assert ours.feed(b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n") == b""
    assert ours.say(Content(MESSAGE), EndContent()) == STUFFED
    ours.feed(b"250 done\r\n")
    assert ours.say(again).startswith(MAIL)


def test_a_refused_chunk_ends_the_message() -> None:
    ours = client(lambda _: None)
    ours.feed(b"220 x\r\n")
    ours.say(SayHello("crepes.fr"))
    ours.feed(b"250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n")
    ours.say(SendMessage("alice@crepes.fr", [BOB], chunked=True))
    ours.feed(b"250 ok\r\n250 ok\r\n")
    assert ours.of(ContentWanted)
    assert ours.say(Content(b"a\r\n"), Content(b"b\r\n")) == b"BDAT 3\r\na\r\n"
    ours.feed(b"452 full\r\n")
    assert ours.say(Content(b"c\r\n"), EndContent()) == b""
    [answered] = ours.of(MessageAnswered)
    assert isinstance(answered, MessageAnswered)
    assert answered.reply.code == 452
    assert ours.say(Ask("RSET")) == b"RSET\r\n"


def test_log_in() -> None:
    ours = client(lambda _: None)
    ours.feed(b"220 x\r\n")
    ours.say(SayHello("crepes.fr"))
    ours.feed(b"250-x\r\n250 AUTH LOGIN PLAIN\r\n")
    assert ours.engine.extensions == {"AUTH": "LOGIN PLAIN"}  # type: ignore[union-attr]
    assert ours.say(Authenticate("LOGIN")) == b"AUTH LOGIN\r\n"
    ours.feed(b"334 VXNlcm5hbWU6\r\n")
    assert ours.of(Challenged) == [Challenged(b"Username:")]
    assert ours.say(RespondToChallenge(b"alice")) == b"YWxpY2U=\r\n"
    ours.feed(b"535 5.7.8 no\r\n")
    assert ours.of(AuthenticationEnded) == [AuthenticationEnded(Reply(535, ("no",), "5.7.8"))]
    assert ours.say(Authenticate("PLAIN", b"")) == b"AUTH PLAIN =\r\n"
    assert ours.feed(b"334 not base64!\r\n") == b"*\r\n"


@pytest.mark.parametrize(
    "said",
    [b"hello\r\n", b"2200 x\r\n", b"220-x\r\n250 y\r\n", b"220 " + b"x" * 5000, b"220-x\r\n" * 201, b"220 a\r\n250 b\r\n"],
)
def test_what_no_server_says(said: bytes) -> None:
    ours = client(lambda _: None)
    ours.feed(said)
    assert ours.fault is not None
    assert ours.closed


def test_nothing_may_come_before_the_handshake() -> None:
    ours = client(lambda _: None)
    ours.feed(b"220 x\r\n")
    ours.say(StartSecure())
    ours.feed(b"220 go\r\n250-injected\r\n")
    assert ours.fault is not None
    assert not ours.wants_tls


def test_the_server_may_go_at_any_time() -> None:
    ours = client(lambda _: None)
    ours.feed(b"220 x\r\n")
    ours.say(SayHello("crepes.fr"))
    ours.feed(b"421 4.3.2 going down\r\n")
    assert ours.of(ServerClosing)
    assert ours.closed
    gone = client(lambda _: None)
    gone.eof()
    assert gone.fault is not None


def test_a_silent_server_is_left() -> None:
    ours = client(lambda _: None)
    ours.wait(299)
    assert not ours.closed
    ours.wait(2)
    assert ours.fault is not None
    assert "GREETING" in str(ours.fault)


def test_one_thing_at_a_time() -> None:
    ours = client(lambda _: None)
    for command in (SayHello("a"), Content(b""), RespondToChallenge(b"")):
        with pytest.raises(LocalProtocolError):
            ours.engine.send(command, ours.now)
    ours.feed(b"220 x\r\n")
    with pytest.raises(LocalProtocolError):
        ours.engine.send(SendMessage("a@b", [BOB], chunked=True), ours.now)
    assert ours.say(Ask("VRFY", "bob")) == b"VRFY bob\r\n"
    ours.feed(b"252 maybe\r\n")
    assert ours.of(Answered) == [Answered(Reply(252, ("maybe",)))]


def test_parameters_go_along_and_come_out() -> None:
    sender = Sender([Recipient("bob@hamburger.edu", [("NOTIFY", "SUCCESS"), ("ORCPT", "rfc822;bob@hamburger.edu")])])
    sender.send = SendMessage(
        "alice@crepes.fr", sender.send.recipients, [("SIZE", "100"), ("BODY", "8BITMIME"), ("RET", "HDRS"), ("ENVID", "x1")]
    )
    _, theirs = send(sender, Offer("mail.hamburger.edu"))
    [mail], [recipient] = theirs.of(MailReceived), theirs.of(RecipientReceived)
    assert isinstance(mail, MailReceived)
    assert (mail.size, mail.body, mail.returns, mail.envelope_id) == (100, "8BITMIME", "HDRS", "x1")
    assert isinstance(recipient, RecipientReceived)
    assert recipient.notify == {"SUCCESS"}


def test_a_server_whose_greeting_refuses_is_told_to_go() -> None:
    refusing = Side(ServerEngine(Offer("x"), SMTPLimits()), lambda _: Answer(Reply(554, ("no mail here",), "5.7.1")))
    ours = client(lambda event: Quit() if isinstance(event, ServerReady) and not event.reply.ok else None)
    join(refusing, ours, refusing.connect())
    assert [event.reply.code for event in ours.events if isinstance(event, ServerReady)] == [554]


def test_both_record_the_same_messages() -> None:
    ours, theirs = client(Sender(), recording=True), server(recording=True)
    ours.role.side = ours  # type: ignore[attr-defined]
    join(theirs, ours, b"220 mail.hamburger.edu\r\n")
    sent = [(m.summary, m.data) for m in ours.engine.messages() if m.sent]
    received = [(m.summary, m.data) for m in theirs.engine.messages() if not m.sent]
    assert sent == received
    assert [summary for summary, _ in sent] == [
        "EHLO crepes.fr", "MAIL FROM:<alice@crepes.fr>", "RCPT TO:<bob@hamburger.edu>", "DATA", "message of 49 octets",
        "QUIT",
    ]  # fmt: skip
