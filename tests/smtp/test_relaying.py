"""Nobody but our users sends to others through us, in whatever form that is asked for (RFC 5321 §3.6.2, RFC 2505 §2.1).

Crepes.fr's server is asked to bring mail to x@elsewhere.test, which runs, by strangers at both doors; nothing may get there.
"""

from typing import Any

import pytest

from netstack.smtp.events import Recipient
from netstack.smtp.wire import Reply
from tests.smtp.capturing import Captured
from tests.smtp.town import Town

MESSAGE = b"Subject: relay\r\n\r\nx\r\n"
LITERAL, OTHER = "[192.0.2.1]", "[192.0.2.4]"
SENDERS = [
    "", "spam@elsewhere.test", "alice@crepes.fr", "nobody@crepes.fr", "postmaster@crepes.fr", "root@mail.crepes.fr",
    "root@localhost", f"root@{LITERAL}", f"x@{OTHER}", "x@hamburger.edu", "@crepes.fr:x@elsewhere.test",
]  # fmt: skip
RECIPIENTS = [
    "x@elsewhere.test", "X@ELSEWHERE.TEST", "x@elsewhere.test.", f"x@{OTHER}", "x@[IPv6:2001:db8::4]",
    # the percent hack
    "x%elsewhere.test@crepes.fr", f"x%elsewhere.test@{LITERAL}", "x%elsewhere.test@mail.crepes.fr",
    "x%elsewhere.test@localhost", "x%elsewhere.test", "x%elsewhere.test%crepes.fr@crepes.fr", f"x%{OTHER}@crepes.fr",
    "alice+x%elsewhere.test@hamburger.edu",
    # bang paths
    "elsewhere.test!x@crepes.fr", f"elsewhere.test!x@{LITERAL}", "elsewhere.test!x", "crepes.fr!elsewhere.test!x",
    "elsewhere.test!x@mail.crepes.fr", "crepes.fr!x@elsewhere.test",
    # source routes
    "@crepes.fr:x@elsewhere.test", f"@{LITERAL}:x@elsewhere.test", "@mail.crepes.fr,@crepes.fr:x@elsewhere.test",
    "@elsewhere.test:x%elsewhere.test@crepes.fr", "@crepes.fr:x%elsewhere.test@crepes.fr",
    # in quotes
    '"x@elsewhere.test"@crepes.fr', '"x@elsewhere.test"', '"x%elsewhere.test"', '"x%elsewhere.test"@crepes.fr',
    f'"x@elsewhere.test"@{LITERAL}', '"elsewhere.test!x"@crepes.fr', '"@crepes.fr:x@elsewhere.test"@crepes.fr',
    '"x"@elsewhere.test', '"alice@crepes.fr"@elsewhere.test', '"alice\\"@crepes.fr"@elsewhere.test',
    # more than one address in one
    "x@elsewhere.test@crepes.fr", "x@elsewhere.test,alice@crepes.fr", "alice@crepes.fr,x@elsewhere.test",
    "alice@crepes.fr> <x@elsewhere.test", "alice@crepes.fr x@elsewhere.test", "x@elsewhere.test (alice@crepes.fr)",
    "x@elsewhere.test;alice@crepes.fr", "alice@crepes.fr\\,x@elsewhere.test", "x@elsewhere.test#crepes.fr",
    "x@elsewhere.test/crepes.fr", "x@crepes.fr.elsewhere.test", "x@elsewhere.test:25", "<x@elsewhere.test>",
    "smtp:x@elsewhere.test", "x@elsewhere%2etest@crepes.fr",
]  # fmt: skip


async def attempts(town: Town, port: int, sender: str, log_in: str = "") -> list[Reply]:
    dialogue = await town.dialogue("192.0.2.1", port, log_in=log_in)
    found = []
    for recipient in RECIPIENTS:
        found.append((await dialogue.send(sender, [Recipient(recipient)], MESSAGE)).of(0))
        if not dialogue.usable:  # after too many refusals
            dialogue = await town.dialogue("192.0.2.1", port, log_in=log_in)
    dialogue.quit()
    return found


def asked(port: int, sender: str) -> tuple[list[Reply], Captured, Town]:
    town = Town()
    captured = Captured("PIPELINING").on(town.simulation)
    replies = town.ask(attempts, town, port, sender)
    town.run(60)
    return replies, captured, town


@pytest.mark.parametrize("sender", SENDERS)
def test_strangers_at_the_door_for_servers(sender: str) -> None:
    replies, captured, town = asked(25, sender)
    assert {reply.code for reply in replies} <= {421, 501, 550, 553, 555}
    assert {reply.code for reply in replies} >= {501, 550}
    assert not captured.octets
    assert not town.crepes.boxes.mail
    assert not town.hamburger.boxes.mail
    assert not town.crepes.queue.messages


@pytest.mark.parametrize("sender", ["", "alice@crepes.fr", "x@elsewhere.test"])
def test_strangers_at_the_door_for_users(sender: str) -> None:
    replies, captured, _ = asked(587, sender)
    assert {reply.code for reply in replies} <= {421, 501, 503, 530, 555}
    assert 530 in {reply.code for reply in replies}
    assert not captured.octets


def test_a_user_sends_to_addresses_and_not_by_way_of_us() -> None:
    """Who has logged in reaches whoever an address names; what is written in a local part of ours is somebody of ours."""
    town = Town()
    captured = Captured("PIPELINING").on(town.simulation)
    literal = Captured().on(town.simulation, "six", "2001:db8::4")
    replies = town.ask(attempts, town, 587, "alice@crepes.fr", "alice@crepes.fr")
    town.run(60)
    taken = [recipient for recipient, reply in zip(RECIPIENTS, replies, strict=True) if reply.code == 250]
    assert {reply.code for reply in replies} <= {250, 421, 501, 550, 553, 555}
    elsewhere = [each for each in taken if "elsewhere.test" in each.rpartition("@")[2] or each.endswith(OTHER)]
    assert not [each for each in taken if each.endswith("@crepes.fr")]
    reached = sorted(each for each in captured.commands if each.startswith(b"RCPT"))
    assert len(reached) >= len(elsewhere) - 3
    assert {each.lower() for each in reached} <= {
        b"rcpt to:<x@elsewhere.test>", b"rcpt to:<x@[192.0.2.4]>", b'rcpt to:<"alice@crepes.fr"@elsewhere.test>',
        b'rcpt to:<"alice\\"@crepes.fr"@elsewhere.test>', b"rcpt to:<crepes.fr!x@elsewhere.test>",
    }  # fmt: skip
    assert all(each.upper().startswith(b"MAIL FROM:<ALICE@CREPES.FR>") for each in captured.mails + literal.mails)


@pytest.mark.parametrize("sender", SENDERS)
def test_nobody_sends_in_another_name(sender: str) -> None:
    """Alice, logged in, who says that she is somebody else (RFC 6409 §6.1)."""
    town = Town()
    captured = Captured().on(town.simulation)

    async def send() -> Any:
        dialogue = await town.dialogue("192.0.2.1", 587, log_in="alice@crepes.fr")
        return (await dialogue.send(sender, [Recipient("x@elsewhere.test")], MESSAGE)).of(0)

    expected = {"alice@crepes.fr": 250, "": 550}.get(sender, 553)
    assert town.ask(send).code == expected
    town.run(10)
    assert bool(captured.octets) is (expected == 250)
