"""A message as the next server can have it: in eight bits or seven, with SMTPUTF8 or not, in lines and a size that it takes.

RFC 5322 §2.1.1 (lines), RFC 6152 §3 (eight bits), RFC 3030 §3 (binary), RFC 6531 §3.2 (addresses and heads that
are not ASCII), RFC 1870 (size).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netstack.kernel.machine import Machine
from netstack.mail.addresses import Mailbox
from netstack.mail.downgrade import CannotDowngrade, downgraded, has_long_line, needs
from netstack.mail.limits import MimeLimits

COST = 0.001
"""Seconds that making a message seven bits takes, in the simulation alone."""
Parameter = tuple[str, str | None]


class CannotSend(Exception):
    """The server cannot have the message at all; `status` is the enhanced code for its sender."""

    def __init__(self, text: str, status: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Form:
    """A message as a server gets it."""

    content: bytes
    body: str = "7BIT"
    utf8: bool = False

    @property
    def chunked(self) -> bool:
        """It can go by BDAT alone (RFC 3030 §3)."""
        return self.body == "BINARYMIME"

    def parameters(self, extensions: Mapping[str, str]) -> list[Parameter]:
        """What MAIL says of it."""
        found: list[Parameter] = [("SIZE", str(len(self.content)))] if "SIZE" in extensions else []
        if self.body != "7BIT":
            found.append(("BODY", self.body))
        if self.utf8:
            found.append(("SMTPUTF8", None))
        return found


async def fitted(
    machine: Machine,
    content: bytes,
    people: Sequence[Mailbox | None],
    extensions: Mapping[str, str],
    body: str,
    utf8: bool,
    mime: MimeLimits,
) -> Form:
    """The message for a server with these extensions; raises CannotSend.

    `people`: the sender, None for nobody, and the recipients that this server gets. `body`: what whoever brought the message
    said of it; only BINARYMIME counts, the octets say the rest. `utf8`: SMTPUTF8 was asked for, so a head that is not ASCII
    needs it; without it such a head goes as it came, as programs older than RFC 6532 write them. An address that is not
    ASCII needs it always. NUL goes out encoded: a server that drops it, or ends a line there, would see other ends of lines
    than ours (RFC 2045 §2.7 has no NUL). Lines over 998 octets are made shorter, for whoever cannot have binary content.
    """
    utf8 = not all(each is None or each.is_ascii for each in people) or (utf8 and needs(content, mime).utf8)
    if utf8 and "SMTPUTF8" not in extensions:
        raise CannotSend("the message needs SMTPUTF8, which the server does not offer", "5.6.7")
    body = "BINARYMIME" if body == "BINARYMIME" else "7BIT" if content.isascii() else "8BITMIME"
    offered = body in extensions and (body != "BINARYMIME" or "CHUNKING" in extensions)
    seven = (body != "7BIT" and not offered) or (body != "BINARYMIME" and b"\0" in content)
    if seven or (body != "BINARYMIME" and has_long_line(content)):
        try:
            content = await machine.offload(lambda: downgraded(content, mime, seven), COST)
        except CannotDowngrade as error:
            wanted = "seven bits" if seven else "lines of at most 998 octets"
            raise CannotSend(f"the message has to be sent in {wanted}, and {error}", error.status) from None
        body = "7BIT" if content.isascii() else "8BITMIME"
    size = extensions.get("SIZE", "")
    if size.isdigit() and 0 < int(size) < len(content):
        raise CannotSend(f"the message has {len(content)} octets, and the server takes {size}", "5.3.4")
    return Form(content, body, utf8)
