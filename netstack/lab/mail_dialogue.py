"""The chapter's dialogue between crepes.fr and hamburger.edu, typed by hand and spoken by alice's server; who opens what.

SMTP pushes: whoever has the message opens the connection. HTTP pulls: whoever wants the page opens it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from netstack.kernel.journal import Row
from netstack.kernel.ladder import ladder
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.post_office import AGENT, BOB, HERS, HIS, WORLD, body, hand_in, mailbox

TITLE = "The dialogue of two mail servers, and a message from alice's agent to bob's mailbox"
SUBSTRATES = ("simulated", "loopback")

TYPED = (
    ("the connection", ()),
    ("HELO crepes.fr", ("HELO crepes.fr",)),
    ("MAIL FROM: <alice@crepes.fr>", ("MAIL FROM: <alice@crepes.fr>",)),
    ("RCPT TO: <bob@hamburger.edu>", ("RCPT TO: <bob@hamburger.edu>",)),
    ("DATA", ("DATA",)),
    ("the message and its full stop", ("Do you like ketchup?", "How about pickles?", ".")),
    ("QUIT", ("QUIT",)),
)
REPLIES = (220, 250, 250, 250, 354, 250, 221)
SAID = ("HELO", "MAIL", "RCPT", "DATA", "message", "QUIT")
MESSAGE = b"Do you like ketchup?\r\nHow about pickles?\r\n"
CHANGES = {"hosts": {HERS: {"services": {"smtp": {"hello": True, "queue": {"keep": 0}}}}}}
"""As in the chapter; and QUIT at once, without waiting for more messages."""
PAGE = "www.someschool.edu"

TEXTS = (
    ("typed: messages in bob's mailbox", 1),
    ("typed: octets of its text, which has no header", len(MESSAGE)),
    ("alice's server: messages of the dialogue", 13),
    ("alice's server: replies that are those of the chapter, in order", len(REPLIES)),
    ("alice's server: commands that are those of the chapter, in order", len(SAID)),
    ("alice's server: messages in bob's mailbox", 2),
    ("alice's server: octets of the text that bob gets", len(MESSAGE)),
    ("alice's server: Received fields, one for each server", 2),
    ("SMTP: connections that carried the message, agent to server, server to server", 2),
    ("SMTP: of these opened by who has it (push)", 2),
    ("HTTP: connections that carried the page", 1),
    ("HTTP: of these opened by who has it", 0),
    ("HTTP: of these opened by who wants it (pull)", 1),
)


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [*_typed([None] * len(TYPED)), *(Claim(text, model, None) for text, model in TEXTS)]


def measure(bench: Bench) -> Iterator[Claim]:
    """Types the dialogue, has alice's agent send the same message, fetches a page; counts in the journal."""
    with bench.changed(WORLD, CHANGES, "mail-dialogue") as internet:
        texts = iter(TEXTS)

        def claim(measured: int, note: str = "") -> Claim:
            text, model = next(texts)
            return Claim(text, model, measured, note=note)

        replies = internet.ask(HERS, _type, internet.address(HIS), within=120.0)
        yield from _typed(replies)
        [octets] = mailbox(internet, HIS, BOB)
        yield claim(1)
        yield claim(len(body(octets)) if body(octets) == MESSAGE else -1)

        internet.record()
        hand_in(internet, MESSAGE)
        box = mailbox(internet, HIS, BOB, 2)
        internet.ask(HERS, _wait_for_quit, within=120.0)
        everything = [row for row in internet.rows() if row.protocol == "smtp"]
        rows = [row for row in everything if {row.source_name, row.destination_name} == {HERS, HIS}]
        yield claim(len(rows), ladder(rows))
        yield claim(_alike([row.summary[:3] for row in rows if row.source_name == HIS], [str(code) for code in REPLIES]))
        yield claim(_alike([row.summary.split()[0] for row in rows if row.source_name == HERS], SAID))
        yield claim(len(box))
        yield claim(len(body(box[-1])) if body(box[-1]) == MESSAGE else -1)
        yield claim(box[-1].partition(b"\r\n\r\n")[0].count(b"Received: "))

        carried = _connections(everything, "message")
        yield claim(len(carried))
        yield claim(sum(opener == sender for opener, sender in carried))
        internet.record()
        internet.fetch(f"http://{PAGE}/campus.gif", AGENT)
        pulled = _connections([row for row in internet.rows() if row.protocol == "http"], "200")
        yield claim(len(pulled))
        yield claim(sum(opener == sender for opener, sender in pulled))
        yield claim(sum(opener != sender for opener, sender in pulled))


def _typed(replies: Sequence[int | None]) -> Iterator[Claim]:
    for (text, _), model, measured in zip(TYPED, REPLIES, replies, strict=True):
        yield Claim(f"typed: reply to {text}", model, measured)


def _alike(found: Sequence[str], wanted: Sequence[str]) -> int:
    """How many there are when they are these, in order; else -1."""
    return len(found) if list(found) == list(wanted) else -1


def _connections(rows: Sequence[Row], content: str) -> list[tuple[str, str]]:
    """Of each connection that carried content: who opened it, and who had the content.

    Rows have standard ports, which are below those that a client's own end gets.
    """
    found = {}
    for row in rows:
        if row.summary.startswith(content):
            opener = row.source_name if row.source[1] > row.destination[1] else row.destination_name
            found[frozenset((row.source, row.destination))] = (opener, row.source_name)
    return list(found.values())


async def _type(machine: Any, address: str) -> list[int]:
    """The codes of the replies to what somebody types, line by line."""
    from netstack.lab.typist import converse

    return [int(reply[:3]) for reply in await converse(machine, address, 25, [lines for _, lines in TYPED])]


async def _wait_for_quit(machine: Any) -> None:
    """The dialogue ends after the message is in the mailbox."""
    from netstack.lab.post_office import sleep

    await sleep(machine, 1.0)
