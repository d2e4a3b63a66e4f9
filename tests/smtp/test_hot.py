"""The hot path says and asks the same as the plain engine, whatever comes, and does not miss a time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.sansio import Event
from netstack.smtp.engine import ServerEngine
from netstack.smtp.engine.hot import REMEMBERED, HotServerEngine, Memo
from netstack.smtp.events import (
    Answer,
    Attend,
    ContentReceived,
    HelloReceived,
    MailReceived,
    MessageBegun,
    MessageEnded,
    RecipientReceived,
)
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.wire import Reply
from tests.smtp.dialogue import OFFER, SECURE, Side, agreeable, server

LIMITS = SMTPLimits(messages=4, recipients=3, errors=4, idle_commands=4, message=60)
USUAL = (b"HELO crepes.fr\r\n", b"MAIL FROM:<alice@crepes.fr>\r\n", b"RCPT TO:<bob@hamburger.edu>\r\n", b"DATA\r\n")
LINES = (
    *USUAL, b"hi\r\n.\r\n", b"full\r\n.\r\n", b"worse\r\n.\r\n", b".\r\n", b"..hi\r\n.\r\n", b"hi\r\n..\r\n.\r\n",
    b"half\r\n", b"half", b"\r\n.half", b"hi\r\n.\r\nNOOP\r\n", b"hi\n.\r\n", b"\r\n.\r\n.\r\n",
    b"EHLO crepes.fr\r\n", b"rcpt to: <eve@hamburger.edu>\r\n",
    b"RCPT TO:<nobody@hamburger.edu>\r\n",
    "MAIL FROM:<ä@crepes.fr> SMTPUTF8\r\n".encode(), "RCPT TO:<ü@hamburger.edu>\r\n".encode(),
    b"MAIL FROM:<alice@crepes.fr> BODY=BINARYMIME\r\n", b"MAIL FROM:<busy@crepes.fr>\r\n", b"BDAT 4 LAST\r\na\r\n\r\n",
    b"BDAT 2\r\na\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"what?\r\n",
    b"MAIL FROM:<alice@crepes.fr>\r\nRCPT TO:<bob@hamburger.edu>\r\nDATA\r\n", b"x" * 70 + b"\r\n.\r\n",
)  # fmt: skip
ASKED = (HelloReceived, MailReceived, RecipientReceived, MessageBegun)


def reply_to(event: Event) -> Reply:
    if isinstance(event, MailReceived) and event.sender is not None and event.sender.local == "busy":
        return Reply(421, ("too much", "closing"), "4.7.0")
    if isinstance(event, MessageBegun) and event.chunked:
        return Reply(452, ("full",), "4.3.1")
    if isinstance(event, MessageEnded) and event.octets in (6, 7):
        return Reply(452, ("full",), "4.3.1") if event.octets == 6 else Reply(554, ("no",), "5.6.0")
    answer = agreeable(event)
    assert isinstance(answer, Answer)
    return answer.reply


class HotSide(Side):
    """Driven as StreamDriver does it; `said` is all that the role was asked."""

    def __init__(self, memo: Memo) -> None:
        super().__init__(HotServerEngine(OFFER, LIMITS, memo), self._role)
        self.hot = 0
        self.owed: Answer | None = None
        """For a message that was taken at once."""
        self.connect()
        self.engine.send(Attend(self), self.now)

    def answer(self, event: Event) -> Reply:
        self.events.append(event)
        return reply_to(event)

    def part(self, content: bytes) -> None:
        self.events.append(ContentReceived(content))

    def take(self, content: bytes) -> None:
        self.events += [ContentReceived(content), MessageEnded(len(content))]
        self.owed = self._role(self.events[-1])

    def _role(self, event: Event) -> Answer | None:
        answer = agreeable(event)
        return Answer(reply_to(event)) if isinstance(answer, Answer) else None

    def feed(self, data: bytes) -> bytes:
        assert isinstance(self.engine, HotServerEngine)
        if self.closed:
            return b""
        answer = self.engine.at_once(data, self.time)
        if answer is None:
            return super().feed(data)
        self.hot += 1
        if self.owed is not None:
            assert answer == b""
            owed, self.owed = self.owed, None
            said = self.engine.said(owed, self.time)
            return self.say(owed) if said is None else said
        return answer


def plain() -> Side:
    def role(event: Event) -> Answer | None:
        answer = agreeable(event)
        return Answer(reply_to(event)) if isinstance(answer, Answer) else None

    return server(role, limits=LIMITS)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(st.sampled_from(LINES), max_size=12), min_size=1, max_size=4))
def test_the_same_is_said_and_asked(connections: list[list[bytes]]) -> None:
    memo = Memo()
    for lines in (list(USUAL), *connections, *connections):
        hot, oracle = HotSide(memo), plain()
        for line in lines:
            for side in (hot, oracle):
                side.time += 1
            assert hot.feed(line) == oracle.feed(line)
            assert (hot.engine.state, hot.closed, hot.wants_tls) == (oracle.engine.state, oracle.closed, oracle.wants_tls)  # type: ignore[union-attr]
            assert (hot.fault is None) == (oracle.fault is None)
            if hot.wants_tls:
                hot.wants_tls = oracle.wants_tls = False
                assert hot.connect(SECURE) == oracle.connect(SECURE)
        assert [*map(repr, hot.events)] == [*map(repr, oracle.events)]
        assert type(hot.engine) is not type(oracle.engine)


def test_lines_that_came_before_need_no_events() -> None:
    memo = Memo()
    for times in range(2):
        side = HotSide(memo)
        for line in USUAL:
            side.feed(line)
        assert side.hot == (len(USUAL) if times else 0)


def test_what_a_line_may_do_depends_on_what_came_before() -> None:
    memo = Memo()
    usual = HotSide(memo)
    for line in (b"EHLO a\r\n", *USUAL[1:]):
        usual.feed(line)
    binary = HotSide(memo)
    for line in (b"EHLO a\r\n", b"MAIL FROM:<alice@crepes.fr> BODY=BINARYMIME\r\n", USUAL[2]):
        assert binary.feed(line).startswith(b"250")
    assert binary.feed(b"DATA\r\n").startswith(b"503 5.5.1 ")
    idle = HotSide(memo)
    for _ in range(LIMITS.idle_commands):
        assert idle.feed(b"NOOP\r\n").startswith(b"250")
    assert idle.feed(b"EHLO a\r\n").startswith(b"421 ")


def test_the_timer_is_never_due_before_the_one_that_was_set() -> None:
    memo = Memo()
    for _ in range(2):
        side = HotSide(memo)
        set_for = side.engine.next_timer()
        assert set_for is not None
        for line in USUAL:
            side.time += 50
            side.feed(line)
            due = side.engine.next_timer()
            assert due is not None
            assert due >= set_for or side.hot == 0
    assert side.hot == len(USUAL)
    assert side.wait(LIMITS.data_seconds - 1) == b""
    assert side.wait(1).startswith(b"421 "), "the time for the message is up"


@pytest.mark.parametrize("late", [b"", b"NOOP\r\n"])
def test_what_comes_before_a_message_is_answered_comes_after_its_answer(late: bytes) -> None:
    memo = Memo()
    said = []
    for side in (HotSide(memo), plain()):
        for line in USUAL:
            side.feed(line)
        engine = side.engine
        assert isinstance(engine, ServerEngine)
        side.role = lambda event: None
        if isinstance(engine, HotServerEngine):
            assert engine.at_once(b"hi\r\n.\r\n", side.time) == b""
            assert engine.said(Answer(Reply(452, ("full",))), side.time) is None
        else:
            side.feed(b"hi\r\n.\r\n")
        assert engine.next_timer() is None
        assert side.feed(late) + side.eof() == b""
        answer = Answer(Reply(250, ("taken",), "2.0.0"))
        assert not isinstance(engine, HotServerEngine) or engine.said(answer, side.time) is None
        said.append((side.say(answer), side.closed))
    assert said[0] == said[1]
    assert said[0][1]


def test_what_is_remembered_is_bounded() -> None:
    memo = Memo()
    side = HotSide(memo)
    side.feed(b"EHLO crepes.fr\r\n")
    for number in range(REMEMBERED + 10):
        memo.keep((b"MAIL FROM:<%d@x.test>\r\n" % number, True, False, False), MailReceived(None))
    assert 0 < len(memo) <= REMEMBERED
    memo.clear()
    side.feed(b"MAIL FROM:<" + b"a" * 60 + b"@crepes.fr> ENVID=" + b"a" * 90 + b" AUTH=" + b"b" * 400 + b"\r\n")
    assert not memo
