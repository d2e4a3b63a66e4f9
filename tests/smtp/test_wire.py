"""Octets of SMTP: replies, data with its dots, xtext (RFC 5321 §4.2, §4.5.2; RFC 3461 §4)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.sansio import LocalProtocolError, RemoteProtocolError
from netstack.smtp.wire import (
    BadCommand,
    DataReader,
    DotStuffer,
    Reply,
    ReplyReader,
    bare_line_end,
    command_line,
    decode_xtext,
    encode_reply,
    encode_xtext,
    parameters,
    path_argument,
    split_command,
)

LINES = st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"a.", b" .", b"\0", b"\xff" * 9, b"x" * 70]), max_size=12)
CUTS = st.lists(st.integers(1, 7), min_size=1, max_size=20)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at, turn = [], 0, 0
    while at < len(data):
        pieces.append(data[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    return pieces


def stuffed(message: bytes, sizes: list[int]) -> bytes:
    stuffer = DotStuffer()
    return b"".join([stuffer.feed(piece) for piece in cut(message, sizes)]) + stuffer.end()


def read(data: bytes, sizes: list[int], longest: int = 1000) -> tuple[bytes, bytes, DataReader]:
    """The message, and what follows it."""
    reader, buffer, content = DataReader(longest), bytearray(), b""
    for piece in cut(data, sizes):
        buffer += piece
        if not reader.ended:
            content += reader.read(buffer)
    return content, bytes(buffer), reader


@given(LINES, CUTS, CUTS)
def test_a_message_arrives_as_it_was_sent(lines: list[bytes], given_in: list[int], read_in: list[int]) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    sent = stuffed(message, given_in)
    content, after, reader = read(sent + b"QUIT\r\n", read_in)
    assert (content, after, reader.ended) == (message, b"QUIT\r\n", True)


def in_parts(data: bytes, sizes: list[int], longest: int) -> tuple[bytes, bytes, bool]:
    """As `read`, of a reader that is asked first for what needs no closer look, as the hot path does it."""
    reader, buffer, content, ended = DataReader(longest), bytearray(), b"", False
    for piece in cut(data, sizes):
        whole = None if buffer or ended else reader.whole(piece)
        part = None if buffer or ended or whole is not None else reader.part(piece)
        if whole is not None or part is not None:
            content += whole or part or b""
            ended = whole is not None
            continue
        buffer += piece
        if not ended:
            content += reader.read(buffer)
            ended = reader.ended
    return content, bytes(buffer), reader.too_long


class Octets:
    """A reader of DATA that looks at one octet after the other, as RFC 5321 §4.5.2 says it; `end` is where it stopped."""

    def __init__(self, data: bytes, longest: int) -> None:
        self.content, self.too_long, self.bare, self.end = b"", False, False, 0
        line = b""
        for octet in (data[at : at + 1] for at in range(len(data))):
            self.end += 1
            if line.endswith(b"\r") != (octet == b"\n"):
                self.bare = True
                return
            if octet != b"\n":
                line += octet
                self.too_long = self.too_long or (len(line) >= longest and line not in (b".", b".\r"))
                continue
            if line == b".\r":
                return
            self.content += line.removeprefix(b".") + b"\n"
            line = b""
        raise AssertionError("no end")


PARTS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n.", b"\r\n..", b"\r\n.\r\n", b".", b"a", b"bbb", b"\r", b"\n"])


@settings(max_examples=1000)
@given(st.lists(PARTS, max_size=20), CUTS, st.integers(1, 9))
def test_reads_as_one_octet_after_the_other_is_read(parts: list[bytes], sizes: list[int], longest: int) -> None:
    sent = b"".join(parts) + b"c\r\n.\r\n"
    plain = Octets(sent, longest)
    for pieces in (sizes, [len(sent)]):
        if plain.bare:
            assert DataReader(longest).whole(sent) is None
            with pytest.raises(BadCommand):
                in_parts(sent, pieces, longest)
            with pytest.raises(BadCommand):
                read(sent, pieces, longest)
        else:
            assert in_parts(sent, pieces, longest) == (plain.content, sent[plain.end :], plain.too_long)
            whole = DataReader(longest).whole(sent)
            assert whole in (None, plain.content)
            assert whole is None or (plain.end == len(sent) and not plain.too_long)
            content, after, reader = read(sent, pieces, longest)
            assert (content, after, reader.too_long) == (plain.content, sent[plain.end :], plain.too_long)


@given(st.text("\r\na", max_size=12))
def test_a_pair_is_two_octets_one_behind_the_other(text: str) -> None:
    assert bare_line_end(text.encode()) == any(sign in text.replace("\r\n", "") for sign in "\r\n")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b".\r\n", b""),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n..\r\n...\r\n.\r\n", b"a\r\n.\r\n..\r\n"),
    ],
)
def test_dots_are_taken_off(sent: bytes, message: bytes) -> None:
    for size in range(1, len(sent) + 1):
        assert read(sent, [size])[:2] == (message, b"")


@pytest.mark.parametrize(
    "ending",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\r\n.\r\n", b"\n\n.\r\n", b"\0\r\n.\n"],
)
def test_what_only_looks_like_an_end_is_refused(ending: bytes) -> None:
    sent = b"a" + ending + b"MAIL FROM:<x@y>\r\n.\r\n"
    for size in range(1, len(sent) + 1):
        with pytest.raises(BadCommand) as refused:
            read(sent, [size])
        assert refused.value.code == 521


@pytest.mark.parametrize("message", [b"a\nb\r\n", b"a\rb\r\n", b"\n", b"a\r\n\r.\r\n"])
def test_what_would_be_misread_is_not_sent(message: bytes) -> None:
    for size in range(1, len(message) + 1):
        with pytest.raises(LocalProtocolError):
            stuffed(message, [size])


def test_a_last_line_without_its_end_gets_one() -> None:
    assert stuffed(b"a", [1]) == b"a\r\n.\r\n"
    with pytest.raises(LocalProtocolError):
        stuffed(b"a\r", [2])


@pytest.mark.parametrize(("length", "too_long"), [(98, False), (99, True)])
def test_lines_are_measured_however_they_come(length: int, too_long: bool) -> None:
    sent = b"b\r\n" + b"a" * length + b"\r\nb\r\n.\r\n"
    for size in (1, 7, 50, len(sent)):
        assert read(sent, [size], longest=100)[2].too_long is too_long


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        ([b"250 OK"], Reply(250, ("OK",))),
        ([b"250"], Reply(250, ("",))),
        ([b"250-a", b"250-b c", b"250 d"], Reply(250, ("a", "b c", "d"))),
        ([b"550 5.1.1 no such user"], Reply(550, ("no such user",), "5.1.1")),
        ([b"550-5.1.1 no", b"550 5.1.1 user"], Reply(550, ("no", "user"), "5.1.1")),
        ([b"250 4.1.1 another class"], Reply(250, ("4.1.1 another class",))),
        ([b"250 \xff"], Reply(250, ("�",))),
    ],
)
def test_replies_are_read(lines: list[bytes], reply: Reply) -> None:
    reader = ReplyReader(10)
    assert [reader.line(line) for line in lines] == [None] * (len(lines) - 1) + [reply]


@pytest.mark.parametrize(
    "lines",
    [[b"OK"], [b"25 OK"], [b"650 OK"], [b"250OK"], [b"250-a", b"251 b"], [b"250-a"] * 11, [b""], [b"SSH-2.0-OpenSSH"]],
)
def test_what_is_no_reply_is_refused(lines: list[bytes]) -> None:
    reader = ReplyReader(10)
    with pytest.raises(RemoteProtocolError):
        _ = [reader.line(line) for line in lines]


@pytest.mark.parametrize(
    ("reply", "octets"),
    [
        (Reply(250, ("OK",), "2.0.0"), b"250 2.0.0 OK\r\n"),
        (Reply(250, ("a", "b"), "2.0.0"), b"250-2.0.0 a\r\n250 2.0.0 b\r\n"),
        (Reply(550, ("no <x\r\n250 OK>",), "5.1.1"), b"550 5.1.1 no <x??250 OK>\r\n"),
    ],
)
def test_replies_are_written_so_that_nothing_breaks_them(reply: Reply, octets: bytes) -> None:
    assert encode_reply(reply) == octets


@given(st.text(st.characters(min_codepoint=0, max_codepoint=255)))
def test_xtext_there_and_back(text: str) -> None:
    assert decode_xtext(encode_xtext(text)) == text


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"mail FROM:<a@b>", ("MAIL", "FROM:<a@b>")),
        (b"QUIT", ("QUIT", "")),
        (b"NOOP  x ", ("NOOP", "x")),
        (b"EHLO\tmail", ("EHLO", "mail")),
        ("VRFY Jürgen".encode(), ("VRFY", "Jürgen")),
    ],
)
def test_commands_are_split(line: bytes, found: tuple[str, str]) -> None:
    assert split_command(line) == found


@pytest.mark.parametrize("line", [b"NOOP \x01", b"NOOP \xff", b"NOOP a\rRSET", b"NOOP \x7f", b"NO\0OP"])
def test_commands_have_no_controls(line: bytes) -> None:
    with pytest.raises(BadCommand) as refused:
        split_command(line)
    assert refused.value.code == 500


def test_paths_may_have_a_space_before_them_or_no_brackets() -> None:
    assert path_argument("FROM:<a@b> SIZE=3", "FROM") == "<a@b> SIZE=3"
    assert path_argument("from: <a@b>", "FROM") == "<a@b>"
    assert path_argument("TO:a@b NOTIFY=NEVER", "TO") == "<a@b> NOTIFY=NEVER"
    for wrong in ("", "FROM", "TO:<a@b>", "FROM:", "FROM: "):
        with pytest.raises(BadCommand):
            path_argument(wrong, "FROM")


def test_parameters_are_read_once_each() -> None:
    assert parameters(" SIZE=10 smtputf8") == {"SIZE": "10", "SMTPUTF8": None}
    for wrong in ("SIZE=1 size=2", "SIZE=", "=1", "a=b=c", "-a=b"):
        with pytest.raises(BadCommand):
            parameters(wrong)


def test_a_command_cannot_be_two() -> None:
    assert command_line("MAIL", "FROM:<>", [("SIZE", "3"), ("SMTPUTF8", None)]) == b"MAIL FROM:<> SIZE=3 SMTPUTF8\r\n"
    with pytest.raises(LocalProtocolError):
        command_line("MAIL", "FROM:<a@b>\r\nRCPT TO:<c@d>")
