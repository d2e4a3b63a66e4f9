"""What a submission server makes sure of before it signs a message: who its author is, and lines that everybody takes
(RFC 6409 §6.1, §8; RFC 5322 §2.1.1)."""

import re
from collections import Counter

from netstack.kernel.machine import Machine
from netstack.mail.addresses import AddressError, Mailbox, canonical_domain
from netstack.mail.downgrade import CannotDowngrade, downgraded, has_long_line
from netstack.mail.envelope import MOST, address_list
from netstack.mail.limits import HeadLimits, MimeLimits
from netstack.mail.message import Head, head, is_broken
from netstack.smtp.directory import Directory
from netstack.smtp.reception import Client, Transaction, Verdict
from netstack.smtp.wire import Reply

COST = 0.001
"""Seconds that making lines shorter takes, in the simulation alone."""
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\\.', re.DOTALL)
_COMMENT = re.compile(r"\([^()]*\)")
_ADDRESS = re.compile(r"(?<![^\s<>,;:@()])([^\s<>,;:@()]+)@([^\s<>,;:@()]+)")
_AFTER = re.compile(r">\s*[^\s,;>]|<[^<>]*<")
_NESTED = 10
"""Comments in comments of a From field."""


class Authorship:
    """Whoever has logged in is the author: From and Sender have his own addresses alone, and aliases that lead to him."""

    def __init__(self, directory: Directory, counts: Counter[str], limits: HeadLimits | None = None) -> None:
        """`counts`: refusals by field."""
        self._directory = directory
        self._counts = counts
        self._limits = limits or HeadLimits()

    async def __call__(self, client: Client, transaction: Transaction, content: bytes) -> Verdict:
        of = head(content, self._limits)
        if not of.whole:
            return Verdict(refusal=Reply(554, ("the message has a head that is too long, or has too many fields",), "5.6.0"))
        if is_broken(content, of):  # others may find another From below
            return Verdict(
                refusal=Reply(554, ("a line of the message's head is no field: an empty line is missing",), "5.6.0")
            )
        for name in (b"from", b"sender"):
            trouble = self._trouble(client.account, of, name)
            if trouble:
                self._counts[name.decode()] += 1
                return Verdict(refusal=Reply(550, (trouble,), "5.7.1"))
        return Verdict()

    def _trouble(self, account: str, of: Head, name: bytes) -> str:
        shown = name.decode().capitalize()
        count = of.count(name)
        if count > 1:
            return f"the message has {count} {shown} fields, and may have one"
        value = of.get(name)
        if value is None:
            return ""
        try:
            authors = authors_of(value.decode("utf-8", "replace"))
        except ValueError as error:
            return f"the {shown} field cannot be read: {error}"
        for author in authors:
            if not self._directory.may_write_as(account, author):
                return f"{shown} says {author}, which is not an address of {account}; write in your own name"
        return ""


def authors_of(value: str) -> list[Mailbox]:
    """Every address that a reader may take for one of the field's, at least one; raises ValueError."""
    plain = _QUOTED.sub("", value)
    for _ in range(_NESTED):
        plain, found = _COMMENT.subn("", plain)
        if not found:
            break
    if "(" in plain or _AFTER.search(plain):  # programs do not agree on what comes after the address
        raise ValueError("an address list was expected")
    listed = address_list(value)
    if len(listed) >= MOST:
        raise ValueError("it has too many addresses")
    pairs = [(each.local or "", each.domain) for each in listed if each.domain is not None]
    pairs += _ADDRESS.findall(plain)  # be they in a name without quotes
    if not pairs:
        raise ValueError("it has no address")
    try:
        return list(dict.fromkeys(Mailbox(local, canonical_domain(domain)) for local, domain in pairs))
    except AddressError as error:
        raise ValueError(str(error)) from None


class ShortLines:
    """A message with lines over 998 octets gets others before it is signed, or is refused: not every server takes such lines
    (RFC 5321 §4.5.3.1.6)."""

    def __init__(self, machine: Machine, limits: MimeLimits | None = None) -> None:
        self._machine = machine
        self._limits = limits or MimeLimits()

    async def __call__(self, client: Client, transaction: Transaction, content: bytes) -> Verdict:
        if transaction.mail.body == "BINARYMIME" or not has_long_line(content):
            return Verdict()
        try:
            return Verdict(content=await self._machine.offload(lambda: downgraded(content, self._limits, seven=False), COST))
        except CannotDowngrade as error:
            return Verdict(
                refusal=Reply(550, (f"the message has lines of more than 998 octets, and {error}",), error.status)
            )
