"""Pictures and accents in seven bits: what MIME makes of them, what it costs, and what arrives.

SMTP carries text of seven bits (RFC 5321 §2.4). alice's server says HELO here, so that bob's offers no 8BITMIME: whatever
has eight bits has to be made seven, by her agent (base64) or by her server (RFC 6152 §3).
"""

from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.post_office import ALICE, BOB, HERS, HIS, WORLD, hand_in, mailbox
from netstack.world.session import Session

TITLE = "Pictures and accents through a mail server that takes seven bits"
SUBSTRATES = ("simulated", "loopback")

CHANGES = {"hosts": {HERS: {"services": {"smtp": {"hello": True, "queue": {"keep": 0}}}}}}
PICTURE = "http://www.exotiquecuisine.com/fruit/kiwi.gif"
TEXT = "Déjà vu: crêpes à Paris, sehr schön, 100 % bœuf.\r\n" * 4
HIGH = sum(octet > 127 for octet in TEXT.encode())
LINE, ITS_OCTETS = 78, 57
"""A line of base64 with its end, and the octets that it stands for (RFC 2045 §6.8)."""

# (claim, model, tolerance, unit)
CLAIMS = (
    ("picture: pictures that arrive octet for octet", 1, 0.0, ""),
    ("picture: characters of base64 for an octet", 4 / 3, 0.002, ""),
    ("picture: the same with the ends of lines", LINE / ITS_OCTETS, 0.01, ""),
    ("picture: octets of more than seven bits between the servers", 0, 0.0, ""),
    ("picture without MIME: part of it that has the eighth bit and would not get through", 0.5, 0.25, ""),
    ("text of eight bits: octets of more than seven bits that alice hands in", HIGH, 0.0, ""),
    ("text of eight bits: of these between the servers", 0, 0.0, ""),
    ("text of eight bits: characters that bob reads", len(TEXT), 0.0, ""),
    ("text of eight bits: parts that her server has made quoted-printable", 1, 0.0, ""),
)  # fmt: skip


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [Claim(text, model, None, tolerance, unit) for text, model, tolerance, unit in CLAIMS]


def measure(bench: Bench) -> Iterator[Claim]:
    """Sends a picture of the Web as an attachment, and a text whose agent trusts in eight bits."""
    with bench.changed(WORLD, CHANGES, "mail-mime") as internet:
        picture = internet.fetch(PICTURE).body
        wire = _sent(internet, _with_picture(picture))
        [octets] = mailbox(internet, HIS, BOB)
        found = [part for part in _parts(octets) if part.get_content_type() == "image/gif"]
        arrived = found[0].get_payload(decode=True) if len(found) == 1 else b""
        text = found[0].get_payload() if found else ""
        encoded = len("".join(text.split()))
        lines = len(text.replace("\r\n", "\n").strip().replace("\n", "\r\n")) + 2
        part = sum(octet > 127 for octet in picture) / len(picture)
        yield from _claims(0, arrived == picture, encoded / len(picture), lines / len(picture), _high(wire), part)

        wire = _sent(internet, _with_accents())
        *_, octets = mailbox(internet, HIS, BOB, 2)
        read = "".join(
            f"{line}\r\n" for line in message_from_bytes(octets, policy=policy.default).get_content().splitlines()
        )
        made = octets.lower().count(b"content-transfer-encoding: quoted-printable")
        yield from _claims(5, _high(_with_accents()), _high(wire), len(read) if read == TEXT else -1, made)


def _claims(first: int, *measured: float) -> Iterator[Claim]:
    for (text, model, tolerance, unit), value in zip(CLAIMS[first:], measured, strict=False):
        yield Claim(text, model, float(value), tolerance, unit)


def _sent(internet: Session, content: bytes) -> bytes:
    """Hands a message in: the octets that alice's server then sends to bob's."""
    before = len(mailbox(internet, HIS, BOB, 0))
    internet.record(HERS, HIS)
    hand_in(internet, content)
    mailbox(internet, HIS, BOB, before + 1)
    rows = [row for row in internet.rows() if row.protocol == "smtp"]
    return b"".join(row.data for row in rows if (row.source_name, row.destination_name) == (HERS, HIS))


def _with_picture(picture: bytes) -> bytes:
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["To"], made["Subject"] = ALICE, BOB, "Picture of yummy crepe"
    made.set_content("Dear Bob, please find a picture of a crepe.\n")
    made.add_attachment(picture, "image", "gif", filename="crepe.gif")
    return made.as_bytes()


def _with_accents() -> bytes:
    head = (
        f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: accents\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return head.encode() + TEXT.encode()


def _parts(octets: bytes) -> list[Any]:
    return list(message_from_bytes(octets).walk())


def _high(octets: bytes) -> int:
    """How many octets have the eighth bit."""
    return sum(octet > 127 for octet in octets)
