"""Servers that answer with a code of another place: only a yes to the end of a message relays it (RFC 5321 §4.3.2)."""

import pytest

from netstack.smtp.events import Recipient
from tests.smtp.capturing import Captured
from tests.smtp.test_offices import MESSAGE
from tests.smtp.town import Town

CODES = ("150", "220", "250", "251", "299", "354", "399")
RELAYED = {
    "MAIL": {"220", "250", "251", "299"},
    "RCPT": {"220", "250", "251", "299"},
    "DATA": set(),
    ".": {"220", "250", "251", "299"},
}
CASES = [(verb, code) for verb in RELAYED for code in CODES if (verb, code) != ("DATA", "354")]


@pytest.mark.parametrize("extensions", ["", "PIPELINING"])
def test_a_yes_to_something_else_is_none(extensions: str) -> None:
    town = Town()
    servers = {}
    for number, (verb, code) in enumerate(CASES):
        domain = f"lie{number}.test"
        town.crepes.resolver.table[domain, "A"] = [f"192.0.3.{number}"]
        captured = Captured(extensions, {verb: f"{code} hm".encode()})
        servers[domain] = captured.on(town.simulation, domain, f"192.0.3.{number}")

    async def send() -> list[int]:
        dialogue = await town.dialogue("192.0.2.1", 587, log_in="alice@crepes.fr")
        sent = await dialogue.send("alice@crepes.fr", [Recipient(f"x@{domain}") for domain in servers], MESSAGE)
        return [sent.of(place).code for place in range(len(servers))]

    assert town.ask(send) == [250] * len(servers)
    town.run(600)
    [envelope] = town.crepes.queue.messages.values()
    fates = {str(each.mailbox.domain): each.fate.value for each in envelope.recipients}
    expected = {
        domain: "relayed" if code in RELAYED[verb] else "waiting"
        for domain, (verb, code) in zip(servers, CASES, strict=True)
    }
    assert fates == expected
    for domain, fate in fates.items():
        if fate == "relayed":
            assert any(b"ketchup" in octets for octets in servers[domain].data)
