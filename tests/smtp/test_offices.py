"""Mail between two hosts of the simulated Internet: relaying, log-ins, aliases, outages, what is refused (RFC 5321 §3)."""

import email

import pytest

from netstack.smtp.admission import AdmissionLimits
from netstack.smtp.events import Recipient
from netstack.smtp.wire import Reply
from tests.smtp.town import Town

MESSAGE = b"Subject: ketchup\r\n\r\nDo you like it?\r\n"


@pytest.fixture
def town() -> Town:
    return Town()


async def submitted(town: Town, *to: str, sender: str = "alice@crepes.fr", content: bytes = MESSAGE) -> Reply:
    """Alice, at her own server."""
    dialogue = await town.dialogue("192.0.2.1", 587, log_in="alice@crepes.fr")
    sent = await dialogue.send(sender, [Recipient(each) for each in to], content)
    dialogue.quit()
    assert sent.final is not None
    return sent.final


def test_from_alice_to_bob(town: Town) -> None:
    assert town.ask(submitted, town, "bob@hamburger.edu").code == 250
    town.run(5)
    [(sender, to, octets)] = town.hamburger.boxes.mail
    assert (sender, to) == ("alice@crepes.fr", "bob@hamburger.edu")
    assert octets.endswith(MESSAGE)
    head = octets.removesuffix(MESSAGE).decode()
    assert "\r\nMessage-ID: <" in head
    assert head.count("Received: from ") == 2
    assert "Received: from mail.crepes.fr ([192.0.2.1])\r\n\t(using TLSv1.3" in head
    assert "by mail.hamburger.edu with ESMTPS id 1\r\n\tfor <bob@hamburger.edu>;" in head
    assert "by mail.crepes.fr with ESMTPSA id 1\r\n" in head
    assert not town.crepes.queue.messages
    assert not town.hamburger.queue.messages


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        (b"Do you like ketchup?\r\n", b"\r\n"),
        (b"", b""),
        (b"a: b\r\n", b""),
        (b"\r\nbody\r\n", b""),
        (b" a: b\r\n", b"\r\n"),
    ],
)
def test_a_message_without_a_header_gets_none(town: Town, content: bytes, separator: bytes) -> None:

    async def send() -> int:
        dialogue = await town.dialogue("192.0.2.2")
        return (await dialogue.send("x@crepes.fr", [Recipient("bob@hamburger.edu")], content)).of(0).code

    assert town.ask(send) == 250
    town.run(1)
    [(_, _, octets)] = town.hamburger.boxes.mail
    head, _, rest = octets.partition(b" +0000\r\n")
    assert head.startswith(b"Received: ")
    assert rest == separator + content


@pytest.mark.parametrize(
    ("to", "code", "boxes"),
    [
        ("bob@hamburger.edu", 250, ["bob@hamburger.edu"]),
        ("BOB@Hamburger.EDU", 250, ["BOB@hamburger.edu"]),
        ("bob+sports@hamburger.edu", 250, ["bob+sports@hamburger.edu"]),
        ("both@hamburger.edu", 250, ["bob@hamburger.edu", "eve@hamburger.edu"]),
        ("postmaster", 250, ["bob@hamburger.edu"]),
        ("Postmaster@hamburger.edu", 250, ["bob@hamburger.edu"]),
        ("list@hamburger.edu", 250, ["bob@hamburger.edu"]),
        ("nobody@hamburger.edu", 550, []),
        ("alice@crepes.fr", 550, []),
        ("alice%crepes.fr@hamburger.edu", 550, []),
        ("crepes.fr!alice@hamburger.edu", 550, []),
        ('"alice@crepes.fr"@hamburger.edu', 550, []),
        ("@hamburger.edu:alice@crepes.fr", 550, []),
        ("alice@[192.0.2.1]", 550, []),
        ("bob@[192.0.2.2]", 550, []),
    ],
)
def test_who_gets_mail_from_a_stranger(town: Town, to: str, code: int, boxes: list[str]) -> None:
    """No way around: an open relay would have taken one of these."""
    for sender in ("", "bob@hamburger.edu", "x@elsewhere.test"):
        town.hamburger.boxes.mail.clear()

        async def send(sender: str = sender) -> Reply:
            dialogue = await town.dialogue("192.0.2.2")
            return (await dialogue.send(sender, [Recipient(to)], MESSAGE)).of(0)

        assert town.ask(send).code == code
        town.run(5)
        assert sorted(recipient for _, recipient, _ in town.hamburger.boxes.mail) == boxes
        assert not town.crepes.boxes.mail


def test_what_a_list_does_not_deliver_is_told_to_its_owner(town: Town) -> None:
    async def send() -> Reply:
        dialogue = await town.dialogue("192.0.2.2")
        return (await dialogue.send("x@crepes.fr", [Recipient("list@hamburger.edu")], MESSAGE)).of(0)

    assert town.ask(send).code == 250
    town.run(6 * 86400)
    assert sorted((sender, to) for sender, to, _ in town.hamburger.boxes.mail) == [
        ("", "eve@hamburger.edu"), ("eve@hamburger.edu", "bob@hamburger.edu"),
    ]  # fmt: skip
    assert not town.crepes.boxes.mail


def test_submission_is_for_those_who_log_in_and_in_their_own_name(town: Town) -> None:
    async def without() -> Reply:
        dialogue = await town.dialogue("192.0.2.1", 587)
        return (await dialogue.send("alice@crepes.fr", [Recipient("bob@hamburger.edu")], MESSAGE)).of(0)

    assert town.ask(without).code == 530
    assert town.ask(submitted, town, "bob@hamburger.edu", sender="bob@hamburger.edu").code == 553
    assert town.ask(submitted, town, "bob@hamburger.edu", sender="").code == 550
    assert town.ask(submitted, town, "bob@hamburger.edu", sender="Alice+x@crepes.fr").code == 250

    async def wrong() -> list[object]:
        dialogue = await town.dialogue("192.0.2.1", 587)
        in_the_clear = await dialogue.authenticate("PLAIN", b"\0alice@crepes.fr\0ketchup")
        await dialogue.start_tls()
        await dialogue.hello("client.test")
        return [in_the_clear, await dialogue.authenticate("PLAIN", b"\0alice@crepes.fr\0mustard")]

    assert [reply.code for reply in town.ask(wrong)] == [538, 535]


def test_a_server_that_is_down_gets_its_mail_when_it_is_back(town: Town) -> None:
    town.hamburger.host.power_off()
    assert town.ask(submitted, town, "bob@hamburger.edu").code == 250
    town.run(2 * 3600)
    [envelope] = town.crepes.queue.messages.values()
    assert envelope.recipients[0].attempts >= 2
    assert envelope.recipients[0].status == "4.4.1"
    town.hamburger.host.boot()
    town.run(4 * 3600)
    assert [to for _, to, _ in town.hamburger.boxes.mail] == ["bob@hamburger.edu"]
    assert not town.crepes.queue.messages


def test_a_server_that_stays_down(town: Town) -> None:
    town.hamburger.host.power_off()
    assert town.ask(submitted, town, "bob@hamburger.edu").code == 250
    town.run(5.5 * 86400)
    notices = [octets for sender, to, octets in town.crepes.boxes.mail if (sender, to) == ("", "alice@crepes.fr")]
    assert [octets.partition(b"Subject: ")[2].partition(b"\r\n")[0] for octets in notices] == [
        b"Your message is delayed", b"Your message was not delivered",
    ]  # fmt: skip
    assert b"Status: 4.4.7" in notices[1]
    assert MESSAGE.removesuffix(b"\r\n") in notices[1]


def test_nobody_s_address_is_told_at_once(town: Town) -> None:
    assert town.ask(submitted, town, "nobody@hamburger.edu", "x@no.such.test", "bob@hamburger.edu").code == 250
    town.run(60)
    assert len(town.hamburger.boxes.mail) == 1
    reports = [octets.decode() for _, to, octets in town.crepes.boxes.mail if to == "alice@crepes.fr"]
    assert len(reports) == 2
    assert any("Status: 5.1.1" in each and "550 5.1.1 nobody@hamburger.edu is nobody's" in each for each in reports)
    assert any("Status: 5.1.2" in each and "does not exist" in each for each in reports)


def test_a_crash_of_the_sender_s_server_loses_nothing(town: Town) -> None:
    for _ in range(5):
        assert town.ask(submitted, town, "bob@hamburger.edu").code == 250
        town.crepes.host.power_off()
        town.run(1)
        town.crepes.host.boot()
        town.run(1)
    town.run(3600)
    assert len(town.hamburger.boxes.mail) >= 5
    assert not town.crepes.queue.messages


def test_mail_that_goes_in_circles_ends(town: Town) -> None:
    content = b"Received: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 51 + MESSAGE
    assert town.ask(submitted, town, "bob@hamburger.edu", content=content).code == 554


def test_what_cannot_be_kept_is_not_taken(town: Town) -> None:
    town.crepes.host.disk.room = town.crepes.host.disk.used
    assert town.ask(submitted, town, "bob@hamburger.edu").code == 452
    town.crepes.host.disk.room = float("inf")
    assert town.ask(submitted, town, "bob@hamburger.edu").code == 250
    assert town.ask(submitted, town, "bob@hamburger.edu", content=b"x" * 99 + b"\r\n" * 60_000).code == 552
    town.run(10)
    assert len(town.hamburger.boxes.mail) == 1


def test_who_sends_too_much_has_to_wait() -> None:
    town = Town()
    town.restart(town.hamburger, AdmissionLimits(client_rate=3))
    town.restart(town.crepes, AdmissionLimits(account_rate=2))

    async def send() -> int:
        dialogue = await town.dialogue("192.0.2.2")
        return (await dialogue.send("x@crepes.fr", [Recipient("bob@hamburger.edu")], MESSAGE)).of(0).code

    assert [town.ask(send) for _ in range(4)] == [250, 250, 250, 450]
    town.run(60)
    assert town.ask(send) == 250
    assert [town.ask(submitted, town, "bob@hamburger.edu").code for _ in range(3)] == [250, 250, 450]


def test_strangers_have_to_come_again() -> None:
    town = Town()
    town.restart(town.hamburger, AdmissionLimits(greylist_seconds=300))
    assert town.ask(submitted, town, "bob@hamburger.edu").code == 250
    town.run(1600)
    assert not town.hamburger.boxes.mail
    assert town.crepes.queue.counts.deferred == 1
    town.run(600)
    assert len(town.hamburger.boxes.mail) == 1
    assert town.ask(submitted, town, "bob@hamburger.edu").code == 250
    town.run(5)
    assert len(town.hamburger.boxes.mail) == 2


def test_what_a_program_leaves_out_is_added(town: Town) -> None:
    assert town.ask(submitted, town, "alice@crepes.fr", content=b"hi\r\n").code == 250
    assert (
        town.ask(
            submitted, town, "alice@crepes.fr", content=b"From: alice@crepes.fr\r\nDate: x\r\nMessage-ID: <y>\r\n\r\nhi\r\n"
        ).code
        == 250
    )
    town.run(1)
    first, second = (octets.decode().partition(" +0000\r\n")[2] for _, _, octets in town.crepes.boxes.mail)
    assert first.startswith("From: <alice@crepes.fr>\r\nDate: ")
    assert "\r\nMessage-ID: <" in first
    assert first.endswith("@mail.crepes.fr>\r\n\r\nhi\r\n")
    assert second == "From: alice@crepes.fr\r\nDate: x\r\nMessage-ID: <y>\r\n\r\nhi\r\n"


EIGHT = (
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nSubject: x\r\n"
    b"\r\n" + "Crêpes für alle\r\n".encode()
)


@pytest.mark.parametrize("without", [frozenset(), frozenset({"8BITMIME"})])
def test_eight_bits_and_a_server_that_takes_seven(town: Town, without: frozenset[str]) -> None:
    town.hamburger.without = without
    town.restart(town.hamburger, AdmissionLimits())
    assert town.ask(submitted, town, "bob@hamburger.edu", content=EIGHT).code == 250
    town.run(5)
    [(_, _, octets)] = town.hamburger.boxes.mail
    assert octets.isascii() is bool(without)
    message = email.message_from_bytes(octets)
    assert message["Content-Transfer-Encoding"] == ("quoted-printable" if without else "8bit")
    assert message.get_payload(decode=True) == "Crêpes für alle\r\n".encode()


def test_what_cannot_be_sent_is_reported(town: Town) -> None:
    town.hamburger.without = frozenset({"SMTPUTF8", "8BITMIME"})
    town.restart(town.hamburger, AdmissionLimits())

    async def send(content: bytes, *to: str) -> int:
        dialogue = await town.dialogue("192.0.2.1", 587, log_in="alice@crepes.fr")
        recipients = [Recipient(each) for each in to]
        return (await dialogue.send("alice@crepes.fr", recipients, content, [("SMTPUTF8", None)])).of(0).code

    assert town.ask(send, MESSAGE, "bob@hamburger.edu") == 250  # asked for, and not needed
    assert town.ask(send, MESSAGE, "jürgen@hamburger.edu") == 250
    signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xa9\r\n--b--\r\n"
    assert town.ask(send, signed, "bob@hamburger.edu") == 250
    town.run(30)
    assert len(town.hamburger.boxes.mail) == 1
    reports = sorted(
        octets.partition(b"Status: ")[2][:5] for _, to, octets in town.crepes.boxes.mail if to == "alice@crepes.fr"
    )
    assert reports == [b"5.6.3", b"5.6.7"]


def test_ten_thousand_recipients_are_refused_one_by_one(town: Town) -> None:
    async def send() -> list[int]:
        dialogue = await town.dialogue("192.0.2.2")
        recipients = [Recipient(f"bob+{number}@hamburger.edu") for number in range(10_000)]
        sent = await dialogue.send("x@crepes.fr", recipients, MESSAGE)
        return [sent.of(index).code for index in range(10_000)]

    codes = town.ask(send)
    assert codes == [250] * 1000 + [452] * 9000
    town.run(60)
    assert len(town.hamburger.boxes.mail) == 1000
