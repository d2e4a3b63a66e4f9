"""What never leaves us: an end of a message that is none, a line that somebody else wrote into a command or a report."""

import email
import re
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from netstack.kernel.machine import Machine
from netstack.kernel.resolver import FakeResolver
from netstack.mail.addresses import parse_mailbox
from netstack.smtp.agent import AgentError, Letter, Posted, Way, send
from netstack.smtp.events import Recipient
from netstack.smtp.wire import bare_line_end
from tests.smtp.capturing import ENDINGS, SECOND, Captured, unstuffed
from tests.smtp.dialogue import server
from tests.smtp.town import TABLE, Town

HEAD = b"From: <alice@crepes.fr>\r\nDate: Fri, 27 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@crepes.fr>\r\n"
X = "x@elsewhere.test"
OFFERS = ["", "PIPELINING 8BITMIME SIZE", "PIPELINING 8BITMIME SMTPUTF8 CHUNKING DSN", "8BITMIME CHUNKING BINARYMIME"]


def body(ending: bytes) -> bytes:
    return b"hello" + ending + SECOND


async def submit(town: Town, content: bytes, *to: Recipient, **parameters: str | None) -> list[int]:
    """By BDAT, as nothing else brings bare line ends; what is said of each recipient."""
    dialogue = await town.dialogue("192.0.2.1", 587, log_in="alice@crepes.fr")
    given = [("BODY", "BINARYMIME"), *parameters.items()]
    sent = await dialogue.send("alice@crepes.fr", to or (Recipient(X),), content, given, chunked=True)
    dialogue.quit()
    return [sent.of(place).code for place in range(len(to) or 1)]


def is_one_message(data: bytes) -> None:
    """As whoever reads the wire sees it: one end, of whatever kind he takes for one."""
    assert not bare_line_end(data)
    assert b"\0" not in data
    assert data.endswith(b"\r\n.\r\n")
    assert data.count(b"\r\n.\r\n") == 1
    assert re.search(rb"[\r\n]\.[\r\n]", data[:-3]) is None


@pytest.mark.parametrize("offer", OFFERS, ids=[each or "nothing" for each in OFFERS])
def test_the_courier_smuggles_nothing(offer: str) -> None:
    town = Town()
    captured = Captured(offer).on(town.simulation)
    for ending in ENDINGS.values():
        assert town.ask(submit, town, HEAD + b"\r\n" + body(ending)) == [250]
    town.run(60)
    assert len(captured.mails) == len(ENDINGS)
    assert not any(b"evil" in each for each in captured.commands)
    sent = captured.chunks if "BINARYMIME" in offer else captured.data
    assert len(sent) == len(captured.chunks) + len(captured.data) == len(ENDINGS)
    for data in captured.data:
        is_one_message(data)
    found = [data if "BINARYMIME" in offer else unstuffed(data) for data in sent]
    payloads = [_payload(each) for each in found]
    for ending in ENDINGS.values():
        assert body(ending) in payloads
    assert not town.crepes.boxes.mail


def _payload(octets: bytes) -> bytes:
    message = email.message_from_bytes(octets)
    if message["Content-Transfer-Encoding"] in ("base64", "quoted-printable"):
        found: Any = message.get_payload(decode=True)
        return bytes(found)
    return octets.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("offer", OFFERS, ids=[each or "nothing" for each in OFFERS])
def test_the_agent_smuggles_nothing(offer: str) -> None:
    """It sends a message as one, or not at all."""
    town = Town()
    captured = Captured(offer).on(town.simulation)
    machine = town.simulation.machine(town.client, resolver=FakeResolver(TABLE))
    way = Way(server="elsewhere.test", port=25)
    sent = 0
    for ending in ENDINGS.values():
        letter = Letter(parse_mailbox("alice@crepes.fr"), [parse_mailbox(X)], HEAD + b"\r\n" + body(ending))
        with suppress(AgentError):
            [posted] = town.simulation.ask(town.client, _posting(machine, letter, way))
            sent += posted.accepted
        town.run(1)
        assert len(captured.data) + len(captured.chunks) == sent
        if captured.data and "BINARYMIME" not in offer:
            is_one_message(captured.data[-1])
            assert _payload(unstuffed(captured.data[-1])).removesuffix(b"\r\n") == body(ending).removesuffix(b"\r\n")
    assert sent == len(ENDINGS)
    assert not any(b"evil" in each for each in captured.commands)


def _posting(machine: Machine, letter: Letter, way: Way) -> Callable[[], Deferred[list[Posted]]]:
    return lambda: Deferred.fromCoroutine(send(machine, letter, way))


EVIL = {
    "a line end in the middle": b"550 5.1.1 no\rX-Evil: 1",
    "a line feed that is bare": b"550-5.1.1 no\n550 X-Evil: 1",
    "controls": b"550 5.1.1 no\x0b\x0c\x85\x1b[2JX-Evil: 1",
    "other ends of lines": "550 5.1.1 no\u2028X-Evil: 1\u2029\x85X-Evil: 2".encode(),
    "many lines": b"550-5.1.1 no\r\n550-\r\n550-X-Evil: 1\r\n550 .",
    "no text": b"550",
    "a long one": b"550 5.1.1 " + b"x" * 3000,
    "octets": b"550 5.1.1 \xff\xfe\0 X-Evil: 1",
}


@pytest.mark.parametrize("reply", EVIL)
def test_what_a_server_says_is_a_line_of_a_report(reply: str) -> None:
    town = Town()
    Captured("DSN", {"RCPT": EVIL[reply]}).on(town.simulation)
    assert town.ask(submit, town, HEAD + b"\r\nx\r\n") == [250]
    town.run(60)
    status = delivery_status(town)
    assert status["Action"] == "failed"
    assert "X-Evil" not in status
    assert status["Diagnostic-Code"].startswith("smtp; 550")


def delivery_status(town: Town) -> Message:
    """The fields about the recipient in the report that alice has got; there is nothing odd in it."""
    [octets] = [octets for sender, to, octets in town.crepes.boxes.mail if (sender, to) == ("", "alice@crepes.fr")]
    assert not bare_line_end(octets)
    assert not re.search(rb"(?m)^X-Evil", octets)
    report = email.message_from_bytes(octets)
    assert report.get_content_type() == "multipart/report"
    text, status, original = report.get_payload()  # type: ignore[misc]
    assert (text.get_content_type(), status.get_content_type()) == ("text/plain", "message/delivery-status")  # type: ignore[union-attr]
    assert original is not None
    assert status.as_string().isascii()  # RFC 3464 §2.1.1
    message, recipient = status.get_payload()  # type: ignore[union-attr, misc]
    assert (
        {"Reporting-MTA", "Arrival-Date"} <= set(message.keys()) <= {"Original-Envelope-Id", "Reporting-MTA", "Arrival-Date"}
    )
    found: Message = recipient
    return found


@pytest.mark.parametrize(
    ("original", "shown"),
    [
        ("rfc822;a+0D+0AX-Evil:+201@b.test", "rfc822; a+0D+0AX-Evil:+201@b.test"),
        ("x-type;+0A+0AX-Evil:1", "x-type; +0A+0AX-Evil:1"),
        ("utf-8;a\\x{0D}\\x{0A}X-Evil@b.test", "utf-8; a\\x{0D}\\x{0A}X-Evil@b.test"),
        ("UTF-8;+0D+0AX-Evil:1", "UTF-8; +0D+0AX-Evil:1"),
    ],
)
def test_what_a_sender_gave_is_written_as_xtext(original: str, shown: str) -> None:
    """ENVID and ORCPT (RFC 3461 §4.2, §4.4), in a report and in commands to the next server."""
    town = Town()
    captured = Captured("DSN", {".": b"550 5.7.1 no"}).on(town.simulation)
    to = Recipient(X, [("ORCPT", original), ("NOTIFY", "FAILURE")])
    assert town.ask(submit, town, HEAD + b"\r\nx\r\n", to, ENVID="a+0D+0AX-Evil:+201") == [250]
    town.run(60)
    assert delivery_status(town)["Original-Recipient"] == shown
    assert not any(each.startswith(b"X-Evil") for each in captured.commands)
    assert any(b" ENVID=a+0D+0AX-Evil:+201" in each for each in captured.commands)
    assert any(f" ORCPT={original}".encode() in each for each in captured.commands)


def test_an_address_that_is_not_ascii_is_given_in_ascii_to_who_takes_no_other() -> None:
    """RFC 6533 §3: utf-8-addr-xtext."""
    town = Town()
    captured = Captured("DSN 8BITMIME").on(town.simulation)
    to = Recipient(X, [("ORCPT", "utf-8;jürgen@b.test")])
    assert town.ask(submit, town, HEAD + b"\r\nx\r\n", to) == [501]
    assert town.ask(submit, town, HEAD + b"\r\nx\r\n", to, SMTPUTF8=None) == [250]
    town.run(60)
    assert any(each.endswith(b" ORCPT=utf-8;j\\x{FC}rgen@b.test") for each in captured.commands)
    assert captured.octets.isascii()


def test_a_report_brings_no_bare_line_ends_back() -> None:
    """A message that came as BINARYMIME; its report goes by DATA like any other."""
    town = Town()
    Captured("", {"RCPT": b"550 5.1.1 no"}).on(town.simulation)
    content = HEAD + b"Subject: a\r\n\r\nbare \n and \r\n.\nX-Evil: 1\r\n"
    assert town.ask(submit, town, content) == [250]
    town.run(60)
    assert delivery_status(town)["Action"] == "failed"


NAMES = [
    b"a\rX-Evil: 1", b"a\nX-Evil: 1", b"a\x0bX-Evil: 1", b"a\0b", b"a)\x85X-Evil", b"a ([192.0.2.7]) (x", b"a;b", b"a\tb",
    b'"a"', b"[192.0.2.1]\tX-Evil", b"[IPv6:::1] x", "a\u2028X-Evil".encode(),
]  # fmt: skip


@pytest.mark.parametrize("verb", [b"EHLO", b"HELO"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_stands_in_no_received_field(name: bytes, verb: bytes) -> None:
    side = server()
    said = side.feed(verb + b" " + name + b"\r\nMAIL FROM:<a@b.c>\r\n")
    assert said[:3] in (b"501", b"500", b"521")
    assert side.closed or said.splitlines()[-1].startswith(b"503")


@pytest.mark.parametrize(
    "path",
    [
        b'<"a\rb"@c.test>', b'<"a\nb"@c.test>', b'<"a\\\rb"@c.test>', b"<a@b\r\nRSET\r\n.test>", b'<"a\x0bb"@c.test>',
        b"<a\0@c.test>", '<"a\u2028b"@c.test> SMTPUTF8'.encode(), '<"a\x85b"@c.test> SMTPUTF8'.encode(), b"<a@c.test\x7f>",
    ],
)  # fmt: skip
def test_an_envelope_has_no_line_ends(path: bytes) -> None:
    side = server()
    said = side.feed(b"EHLO a\r\nMAIL FROM:" + path + b"\r\n").splitlines()
    assert [line[:1] for line in said if line[3:4] == b" "][1] == b"5"


@pytest.mark.parametrize(
    "name", ["alice\r\nX-Evil: 1", "alice@crepes.fr\nx", "al\0ice", "\r\n.\r\n", "alice\u2028", "x" * 5000]
)
@pytest.mark.parametrize("field", ["authzid", "authcid", "password"])
def test_identities_are_no_lines(name: str, field: str) -> None:
    town = Town()
    parts = {"authzid": "", "authcid": "alice@crepes.fr", "password": "ketchup", field: name}

    async def log_in() -> int:
        dialogue = await town.dialogue("192.0.2.1", 587)
        await dialogue.start_tls()
        await dialogue.hello("client.test")
        found = await dialogue.authenticate("PLAIN", "\0".join(parts.values()).encode())
        assert not isinstance(found, bytes)
        return found.code

    assert town.ask(log_in) in (501, 535)
