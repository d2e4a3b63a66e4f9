"""A message in the queue: who sent it, to whom it still has to go, and what came of that (RFC 5321 §2.3.1, RFC 3461)."""

from dataclasses import dataclass, field
from enum import StrEnum
from sys import intern
from typing import Any

from netstack.mail.addresses import Mailbox, parse_mailbox


class Fate(StrEnum):
    """What has become of a recipient (RFC 3464 §2.3.3)."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    """Into a mailbox here."""
    RELAYED = "relayed"
    """Another server has it."""
    EXPANDED = "expanded"
    """To others: an alias or a list."""
    FAILED = "failed"


@dataclass(slots=True)
class Destination:
    """One recipient of a message."""

    mailbox: Mailbox
    notify: frozenset[str] | None = None
    """NOTIFY (RFC 3461 §4.1); None for no wish: of failures, and of delays."""
    original: str = ""
    """ORCPT: type and address, as it was given (RFC 3461 §4.2)."""
    fate: Fate = Fate.WAITING
    attempts: int = 0
    due: float = 0.0
    """When it is tried again: wall seconds."""
    said: str = ""
    """By whom it failed, or waits: the last reply or trouble, with its enhanced code."""
    status: str = ""
    """The enhanced code alone."""
    remote: str = ""
    """The host that said it."""
    delay_told: bool = False
    relayed_dsn: bool = False
    """The next server takes care of the sender's wishes (RFC 3461 §5.2.1)."""

    def wants(self, what: str) -> bool:
        """Whether the sender wants to hear of "SUCCESS", "FAILURE", "DELAY"."""
        return what in self.notify if self.notify is not None else what != "SUCCESS"


@dataclass(slots=True)
class Envelope:
    """All that is known of a message but its content."""

    sender: Mailbox | None
    """None for reports, which are never reported about."""
    recipients: list[Destination]
    arrived: float
    """Wall seconds."""
    body: str = "7BIT"
    utf8: bool = False
    require_tls: bool = False
    returns: str = ""
    """RET: FULL, HDRS, or "" for no wish."""
    envelope_id: str = ""
    source: str = ""
    """Who brought it, for people: "mail.crepes.fr [192.0.2.1]", "alice@crepes.fr"."""
    frozen: bool = False
    """Not tried until somebody thaws it."""
    length: int = 0
    """Octets of the content."""
    waiting: int = field(default=0)
    """Recipients whose fate is open; the queue's to keep."""

    def head(self) -> dict[str, Any]:
        """As the spool keeps it."""
        head: dict[str, Any] = {"from": "" if self.sender is None else str(self.sender), "at": round(self.arrived, 3)}
        head["to"] = [_to_json(each) for each in self.recipients]
        for key in ("utf8", "require_tls", "returns", "envelope_id", "source", "frozen", "length"):
            if value := getattr(self, key):
                head[key] = value
        if self.body != "7BIT":
            head["body"] = self.body
        return head

    @classmethod
    def from_head(cls, head: dict[str, Any]) -> "Envelope":
        """From what the spool kept; raises ValueError, KeyError."""
        sender = parse_mailbox(head["from"], utf8=True) if head["from"] else None
        rest = {key: value for key, value in head.items() if key not in ("from", "to", "at")}
        made = cls(sender, [_from_json(each) for each in head["to"]], head["at"], **rest)
        made.source = intern(made.source)
        return made

    def change(self, change: dict[str, Any]) -> None:
        """What the spool noted after the head. Raises ValueError, KeyError, TypeError, IndexError, AttributeError."""
        for index, state in change.get("to", {}).items():
            _apply(self.recipients[int(index)], state)
        self.frozen = change.get("frozen", self.frozen)


def change_of(index: int, recipient: Destination) -> dict[str, Any]:
    """What the spool notes when something has come of a recipient."""
    return {"to": {str(index): _state(recipient)}}


_STATE = ("fate", "attempts", "due", "said", "status", "remote", "delay_told", "relayed_dsn")


def _state(recipient: Destination) -> dict[str, Any]:
    values = {key: getattr(recipient, key) for key in _STATE}
    return {key: value for key, value in values.items() if value or key == "fate"}


def _apply(recipient: Destination, state: dict[str, Any]) -> None:
    for key in _STATE:
        if key in state:
            value = state[key]
            if key == "fate":
                value = Fate(value)
            elif isinstance(value, str):  # of many messages the same: kept once
                value = intern(value)
            setattr(recipient, key, value)
    recipient.due = max(0.0, recipient.due)  # nothing is on its way after a restart


def _to_json(recipient: Destination) -> dict[str, Any]:
    made: dict[str, Any] = {"to": str(recipient.mailbox)}
    if recipient.notify is not None:
        made["notify"] = sorted(recipient.notify)
    if recipient.original:
        made["original"] = recipient.original
    if recipient.fate is not Fate.WAITING or recipient.attempts:
        made["state"] = _state(recipient)
    return made


def _from_json(given: dict[str, Any]) -> Destination:
    text = given["to"]
    mailbox = Mailbox(text, "") if "@" not in text else parse_mailbox(text, utf8=True)
    notify = frozenset(given["notify"]) if "notify" in given else None
    made = Destination(mailbox, notify, given.get("original", ""))
    _apply(made, given.get("state", {}))
    return made
