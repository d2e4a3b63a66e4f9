"""Reports to senders about what became of their mail (RFC 3464, RFC 3461 §6; RFC 6533 where addresses are not ASCII)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from netstack.mail.message import date_field
from netstack.smtp.envelope import Destination, Envelope, Fate
from netstack.smtp.wire import bare_line_end, encode_xtext

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
"""What came by BINARYMIME may have it, and a report goes by DATA."""


class Kind(Enum):
    """What a report tells: its subject, and what it says first."""

    FAILURE = (
        "Your message was not delivered",
        "could not be delivered to the following recipients and will not be tried again.",
    )
    DELAY = (
        "Your message is delayed",
        "has not reached the following recipients yet. It will be tried again; you need not send it again.",
    )
    SUCCESS = ("Your message was delivered", "was handed over for the following recipients.")


@dataclass(frozen=True, slots=True)
class Notice:
    """A report, ready to be sent."""

    octets: bytes
    body: str
    """7BIT or 8BITMIME."""


_ACTIONS = {
    Fate.WAITING: "delayed",
    Fate.DELIVERED: "delivered",
    Fate.RELAYED: "relayed",
    Fate.EXPANDED: "expanded",
    Fate.FAILED: "failed",
}


def notice(
    kind: Kind,
    host: str,
    envelope: Envelope,
    recipients: Sequence[Destination],
    original: bytes,
    now: float,
    unique: str,
    returned: int,
) -> Notice:
    """The report to `envelope.sender` about some recipients. Of the original at most `returned` octets come back.

    `unique`: letters and digits that nobody can guess, for its Message-ID and between its parts.
    """
    boundary = f"report-{unique}"
    subject, opening = kind.value
    head = [
        f"From: Mail delivery system <MAILER-DAEMON@{host}>",
        f"To: {envelope.sender}",
        f"Subject: {subject}",
        f"Date: {_date(now)}",
        f"Message-ID: <{unique}@{host}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        f"Content-Type: multipart/report; report-type=delivery-status;\r\n boundary={boundary}",
    ]
    text = [f"This is the mail system of {host}.", "", f"Your message of {_date(envelope.arrived)}", opening, ""]
    for each in recipients:
        text.append(f"  <{each.mailbox}>")
        if each.said:
            text += [f"    {line}" for line in _wrapped(f"{each.remote} said: {each.said}" if each.remote else each.said)]
        text.append("")
    utf8 = envelope.utf8
    whole = kind is Kind.FAILURE and envelope.returns != "HDRS" and len(original) <= returned and not bare_line_end(original)
    what = original if whole else _BARE.sub(b"\r\n", _header(original)[:returned])
    what_type = "message/rfc822" if whole else "text/rfc822-headers"
    if utf8:
        what_type = "message/global" if whole else "message/global-headers"
    parts = [
        _part("text/plain; charset=utf-8", "\r\n".join(text)),
        _part(
            "message/global-delivery-status" if utf8 else "message/delivery-status", _status(host, envelope, recipients, now)
        ),
        f"Content-Type: {what_type}\r\n".encode() + _encoding(what) + b"\r\n" + what,
    ]
    octets = "\r\n".join((*head, "", "")).encode()
    octets += b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part.removesuffix(b"\r\n")) for part in parts)
    octets += b"--%b--\r\n" % boundary.encode()
    return Notice(octets, "7BIT" if octets.isascii() else "8BITMIME")


def _status(host: str, envelope: Envelope, recipients: Sequence[Destination], now: float) -> str:
    """message/delivery-status (RFC 3464 §2.1)."""
    lines = [f"Reporting-MTA: dns; {host}", f"Arrival-Date: {_date(envelope.arrived)}"]
    if envelope.envelope_id:
        lines.insert(0, f"Original-Envelope-Id: {encode_xtext(envelope.envelope_id)}")
    for each in recipients:
        lines.append("")
        if each.original:
            kind, _, address = each.original.partition(";")
            lines.append(f"Original-Recipient: {kind}; {address if kind.lower() == 'utf-8' else encode_xtext(address)}")
        kind = "rfc822" if each.mailbox.is_ascii else "utf-8"
        lines += [f"Final-Recipient: {kind}; {each.mailbox}", f"Action: {_ACTIONS[each.fate]}"]
        lines.append(f"Status: {each.status or _default_status(each.fate)}")
        if each.remote:
            lines.append(f"Remote-MTA: dns; {_one_line(each.remote, envelope.utf8)}")
        if each.said:
            lines.append(f"Diagnostic-Code: smtp; {_one_line(each.said, envelope.utf8)}")
        if each.fate is not Fate.DELIVERED and each.attempts:
            lines.append(f"Last-Attempt-Date: {_date(now)}")
    return "\r\n".join((*lines, ""))


def _default_status(fate: Fate) -> str:
    return {Fate.FAILED: "5.0.0", Fate.WAITING: "4.0.0"}.get(fate, "2.0.0")


def _part(media: str, text: str) -> bytes:
    octets = text.encode()
    return f"Content-Type: {media}\r\n".encode() + _encoding(octets) + b"\r\n" + octets


def _encoding(octets: bytes) -> bytes:
    return b"" if octets.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"


def _header(original: bytes) -> bytes:
    """A message's header section."""
    end = original.find(b"\r\n\r\n")
    return original if end < 0 else original[: end + 2]


def _one_line(text: str, utf8: bool = True) -> str:
    """In ASCII where the fields have to be (RFC 3464 §2.1.1)."""
    return "".join(sign if sign.isprintable() and (utf8 or sign.isascii()) else "?" for sign in text)[:400]


def _wrapped(text: str) -> list[str]:
    words, lines = _one_line(text).split(" "), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > 68:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _date(wall: float) -> str:
    return date_field(wall).decode()
