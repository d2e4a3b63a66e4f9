"""What a server gets of a message, by what it offers."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from netstack.mail.addresses import Mailbox, parse_mailbox
from netstack.mail.limits import MimeLimits
from netstack.smtp.fitting import CannotSend, Form, fitted

ASCII = b"Subject: x\r\n\r\nketchup\r\n"
EIGHT = "Subject: x\r\n\r\nCrêpes\r\n".encode()
HEAD = "Subject: Crêpes\r\n\r\nketchup\r\n".encode()
SIGNED = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xa9\r\n--b--\r\n"
INSIDE = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nSubject: é\r\n\r\nx\r\n--b--\r\n".encode()
NUL = b"Content-Type: image/gif\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\1\n"
NUL_IN_TEXT = b"Subject: x\r\n\r\na\r\n\0.\r\nb\r\n"
LONG = b"Subject: x\r\n\r\n" + b"ketchup " * 200 + b"\r\n"
LONG_SIGNED = SIGNED.replace(b"\xc3\xa9", b"x" * 1000)
ALICE, JUERGEN = parse_mailbox("alice@crepes.fr"), parse_mailbox("jürgen@crepes.fr", utf8=True)
ALL = "SIZE 8BITMIME SMTPUTF8 CHUNKING BINARYMIME"


class Here:
    """Of a machine what is needed: work is done at once."""

    async def offload(self, work: Any, cost: float) -> Any:
        return work()


def of(content: bytes, offered: str, people: list[Mailbox | None], body: str = "", utf8: bool = False) -> Form:
    found: list[Any] = []
    extensions = dict.fromkeys(offered.split(), "")
    machine: Any = Here()
    work = fitted(machine, content, people, extensions, body, utf8, MimeLimits())
    Deferred.fromCoroutine(work).addBoth(found.append)
    if not isinstance(found[0], Form):
        found[0].raiseException()
    form: Form = found[0]
    return form


@pytest.mark.parametrize(
    ("content", "offered", "people", "body", "utf8", "expected"),
    [
        (ASCII, "", [ALICE], "8BITMIME", True, []),
        (NUL_IN_TEXT, ALL, [ALICE], "", False, "seven bits"),
        (NUL_IN_TEXT, ALL, [ALICE], "BINARYMIME", False, [("SIZE", str(len(NUL_IN_TEXT))), ("BODY", "BINARYMIME")]),
        (b"Subject: a\0b\r\n\r\nx\r\n", ALL, [ALICE], "", False, "5.6.3"),
        (ASCII, ALL, [ALICE, None], "", True, [("SIZE", str(len(ASCII)))]),
        (EIGHT, "8BITMIME", [ALICE], "7BIT", False, [("BODY", "8BITMIME")]),
        (EIGHT, "8BITMIME SMTPUTF8", [ALICE], "", True, [("BODY", "8BITMIME")]),
        (EIGHT, "", [ALICE], "8BITMIME", True, "seven bits"),
        (ASCII, "SMTPUTF8", [None, JUERGEN], "", False, [("SMTPUTF8", None)]),
        (ASCII, "8BITMIME", [None, JUERGEN], "", False, "5.6.7"),
        (ASCII, "8BITMIME", [JUERGEN, ALICE], "", True, "5.6.7"),
        (HEAD, "8BITMIME SMTPUTF8", [ALICE], "", True, [("BODY", "8BITMIME"), ("SMTPUTF8", None)]),
        (HEAD, "8BITMIME SMTPUTF8", [ALICE], "", False, [("BODY", "8BITMIME")]),
        (HEAD, "8BITMIME", [ALICE], "", False, [("BODY", "8BITMIME")]),
        (HEAD, "8BITMIME", [ALICE], "", True, "5.6.7"),
        (HEAD, "SMTPUTF8", [ALICE], "", False, "5.6.7"),
        (INSIDE, "8BITMIME SMTPUTF8", [ALICE], "", True, [("BODY", "8BITMIME"), ("SMTPUTF8", None)]),
        (INSIDE, "8BITMIME", [ALICE], "", True, "5.6.7"),
        (SIGNED, "8BITMIME", [ALICE], "", False, [("BODY", "8BITMIME")]),
        (SIGNED, "", [ALICE], "", False, "5.6.3"),
        (LONG, ALL, [ALICE], "", False, "seven bits"),
        (LONG, "", [ALICE], "8BITMIME", False, "seven bits"),
        (LONG, ALL, [ALICE], "BINARYMIME", False, [("SIZE", str(len(LONG))), ("BODY", "BINARYMIME")]),
        (LONG_SIGNED, ALL, [ALICE], "", False, "5.6.3"),
        (NUL, "CHUNKING BINARYMIME", [ALICE], "BINARYMIME", False, [("BODY", "BINARYMIME")]),
        (NUL, "8BITMIME BINARYMIME", [ALICE], "BINARYMIME", False, "seven bits"),
        (NUL, "8BITMIME CHUNKING", [ALICE], "BINARYMIME", False, "seven bits"),
    ],
)
def test_what_a_server_gets(
    content: bytes, offered: str, people: list[Mailbox | None], body: str, utf8: bool, expected: Any
) -> None:
    if isinstance(expected, str) and expected != "seven bits":
        with pytest.raises(CannotSend) as raised:
            of(content, offered, people, body, utf8)
        assert raised.value.status == expected
        return
    form = of(content, offered, people, body, utf8)
    if expected == "seven bits":
        assert form.content.isascii()
        assert b"\0" not in form.content
        assert max(map(len, form.content.split(b"\r\n"))) <= 998
        assert not form.parameters({})
        assert not form.chunked
    else:
        assert form.content is content
        assert form.chunked is (body == "BINARYMIME")
        assert form.parameters(dict.fromkeys(offered.split(), "")) == expected


def test_eight_bits_stay_where_only_lines_are_long() -> None:
    parts = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xa9\r\n--b\r\n\r\n%s\r\n--b--\r\n" % (
        b"x" * 999
    )
    form = of(parts, ALL, [ALICE])
    assert form.body == "8BITMIME"
    assert b"\xc3\xa9" in form.content
    assert max(map(len, form.content.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(("size", "fits"), [("", True), ("0", True), ("23", True), ("22", False), ("22x", True)])
def test_a_server_says_how_much_it_takes(size: str, fits: bool) -> None:
    machine: Any = Here()
    found: list[Any] = []
    work = fitted(machine, ASCII, [ALICE], {"SIZE": size}, "", False, MimeLimits())
    Deferred.fromCoroutine(work).addBoth(found.append)
    assert isinstance(found[0], Form) is fits
    if not fits:
        assert found[0].value.status == "5.3.4"
