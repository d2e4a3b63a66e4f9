"""Mailboxes and the paths of an envelope: octets to values, and back to text that breaks nothing (RFC 5321, RFC 6531)."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import idna

from netstack.mail.limits import AddressLimits

LIMITS = AddressLimits()
POSTMASTER = "postmaster"
_LDH = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# What is not ASCII is in each of these classes: they say what is not in them, which is compiled in a tenth of the time.
_ATEXT = r'[^\x00- "(),.:;<>@\[\\\]\x7f]'
_DOT_STRING = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"
# RFC 5321 §4.1.2: qtextSMTP and quoted-pairSMTP; RFC 6531 §3.3 adds what is not ASCII to both strings and to sub-domains.
_QUOTED = r'"(?:[^\x00-\x1f"\\\x7f]|\\[ -~])*"'
_LETTERS = r"[^\x00-,./:-@\[-`{-\x7f]+"
_DOMAIN = rf"{_LETTERS}(?:\.{_LETTERS})*\.?"
_MAILBOX = rf"(?P<local>{_DOT_STRING}|{_QUOTED})@(?P<domain>{_DOMAIN}|\[[!-Z^-~]*\])"
_ROUTE = rf"(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?"
MAILBOX = re.compile(_MAILBOX)
PATH = re.compile(rf"<(?:{_ROUTE}{_MAILBOX}|(?P<postmaster>[Pp][Oo][Ss][Tt][Mm][Aa][Ss][Tt][Ee][Rr])|(?P<null>))>")
DOT_STRING = re.compile(_DOT_STRING)
_LABEL = re.compile(_LDH)
_NUMERIC = re.compile(r"[0-9]+")


class AddressError(ValueError):
    """No address, or none that may be here: the text is one line of ASCII, `status` the enhanced code (RFC 3463)."""

    def __init__(self, message: str, status: str = "5.1.3") -> None:
        super().__init__("".join(c if " " <= c <= "~" else "?" for c in message))
        self.status = status


@dataclass(frozen=True, slots=True, order=True)
class Mailbox:
    """RFC 5321 §2.3.11. Made by hand or parsed, neither part can break a line of a command or of a message."""

    local: str
    """Without the quotes and backslashes that it was written with."""
    domain: str
    """Canonical (`canonical_domain`); empty for the postmaster of whoever is asked (§4.5.1), and for nobody else."""

    def __post_init__(self) -> None:
        if not self.local:
            raise AddressError("an address has a local part")
        for character in self.local:
            if not " " <= character <= "~" and _breaks(character):
                raise AddressError(f"a local part has no character U+{ord(character):04X}")
        if self.domain != "" and canonical_domain(self.domain) != self.domain:
            raise AddressError(f"{self.domain} is not in its canonical form")
        if self.domain == "" and self.local != POSTMASTER:
            raise AddressError("an address has a domain")

    def __str__(self) -> str:
        local = self.quoted_local
        return f"{local}@{self.domain}" if self.domain else local

    @property
    def quoted_local(self) -> str:
        """The local part as it is written: in quotes where it has to be."""
        if DOT_STRING.fullmatch(self.local):
            return self.local
        return '"' + self.local.replace("\\", "\\\\").replace('"', '\\"') + '"'

    @property
    def is_ascii(self) -> bool:
        """Whether a server without SMTPUTF8 can have it (RFC 6531 §3.2); domains always can, as A-labels."""
        return self.local.isascii()

    @property
    def is_literal(self) -> bool:
        """Whether the domain is an address (RFC 5321 §4.1.3)."""
        return self.domain.startswith("[")

    @property
    def key(self) -> tuple[str, str]:
        """The same for all spellings that a server takes for one of its own users."""
        return unicodedata.normalize("NFC", self.local).casefold(), self.domain

    def same(self, other: "Mailbox") -> bool:
        """As others have to compare them: local parts octet for octet (RFC 5321 §2.4), but the postmaster's (§4.5.1)."""
        if self.domain != other.domain:
            return False
        return self.local == other.local or self.local.lower() == other.local.lower() == POSTMASTER

    def detail(self, separators: str = "+") -> tuple["Mailbox", str | None]:
        """The user's own mailbox, and what stands after the first separator (RFC 5233); None where there is none."""
        for at, character in enumerate(self.local):
            if character in separators and at > 0:
                return Mailbox(self.local[:at], self.domain), self.local[at + 1 :]
        return self, None


def parse_mailbox(text: str | bytes, utf8: bool = False, limits: AddressLimits = LIMITS) -> Mailbox:
    """`local@domain` (RFC 5321 §4.1.2), with RFC 6531's characters if `utf8`. Raises AddressError."""
    decoded = _decoded(text, utf8)
    if len(decoded.encode("utf-8", "replace")) > limits.path:
        raise AddressError(f"an address has at most {limits.path} octets")
    match = MAILBOX.fullmatch(decoded)
    if match is None:
        raise AddressError("local-part@domain was expected")
    return _mailbox(match, utf8, limits)


def reverse_path(octets: bytes, utf8: bool = False, limits: AddressLimits = LIMITS) -> tuple[Mailbox | None, bytes]:
    """The sender and the octets after it, of `MAIL FROM:`'s argument; None for `<>` (§4.5.5). Raises AddressError."""
    match, rest = _path(octets, utf8, limits, "5.1.7")
    if match["null"] is not None:
        return None, rest
    if match["postmaster"] is not None:
        raise AddressError("a sender has a domain", "5.1.7")
    try:
        return _mailbox(match, utf8, limits), rest
    except AddressError as error:
        raise AddressError(str(error), "5.1.7" if error.status == "5.1.3" else error.status) from None


def forward_path(octets: bytes, utf8: bool = False, limits: AddressLimits = LIMITS) -> tuple[Mailbox, bytes]:
    """A recipient and the octets after it, of `RCPT TO:`'s argument; source routes are dropped (RFC 5321 appendix C).

    Raises AddressError.
    """
    match, rest = _path(octets, utf8, limits, "5.1.3")
    if match["null"] is not None:
        raise AddressError("a recipient is not empty")
    if match["postmaster"] is not None:
        return Mailbox(POSTMASTER, ""), rest
    return _mailbox(match, utf8, limits), rest


@lru_cache(1024)
def canonical_domain(text: str, utf8: bool = True, most: int = LIMITS.domain) -> str:
    """A domain name in lower case, U-labels as A-labels (RFC 5890, UTS 46), without a dot at its end; a literal as its
    address is written. Raises AddressError."""
    if text.startswith("["):
        return _literal(text)
    if len(text) > most:
        raise AddressError(f"a domain has at most {most} octets")
    name = text.lower()
    if not name.isascii():
        if not utf8:
            raise AddressError("a domain outside of ASCII needs SMTPUTF8", "5.6.7")
        try:
            name = idna.encode(text, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise AddressError("no internationalised domain name (RFC 5891)") from None
    labels = name.removesuffix(".").split(".")
    for label in labels:
        if len(label) > 63 or _LABEL.fullmatch(label) is None:
            raise AddressError("a domain's labels are 1 to 63 letters, digits and hyphens inside")
    if _NUMERIC.fullmatch(labels[-1]):
        raise AddressError("an IP address in place of a domain stands in brackets")
    canonical = ".".join(labels)
    if len(canonical) > most:
        raise AddressError(f"a domain has at most {most} octets")
    return canonical


def display_domain(domain: str) -> str:
    """For people: A-labels as U-labels where they are such."""
    if "xn--" not in domain:
        return domain
    shown = []
    for label in domain.split("."):
        try:
            shown.append(idna.ulabel(label))
        except (idna.IDNAError, UnicodeError):
            shown.append(label)
    return ".".join(shown)


def _path(octets: bytes, utf8: bool, limits: AddressLimits, status: str) -> tuple[re.Match[str], bytes]:
    try:
        text = _decoded(octets, utf8)
    except AddressError as error:
        raise AddressError(str(error), error.status if error.status != "5.1.3" else status) from None
    match = PATH.match(text)
    if match is None:
        raise AddressError("<local-part@domain> was expected", status)
    path = match[0].encode()
    if len(path) > limits.path:
        raise AddressError(f"a path has at most {limits.path} octets", status)
    return match, octets[len(path) :]


def _mailbox(match: re.Match[str], utf8: bool, limits: AddressLimits) -> Mailbox:
    local = match["local"]
    if local.startswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
        if not local:
            raise AddressError("an address has a local part")
    mailbox = Mailbox(local, canonical_domain(match["domain"], utf8, limits.domain))
    if len(mailbox.quoted_local.encode()) > limits.local:
        raise AddressError(f"a local part has at most {limits.local} octets")
    return mailbox


def _decoded(text: str | bytes, utf8: bool) -> str:
    """Octets as text; what is not ASCII is the fault of who sends it unannounced (RFC 6531 §3.5)."""
    if not utf8 and not text.isascii():
        raise AddressError("an address outside of ASCII needs SMTPUTF8", "5.6.7")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise AddressError("an address is UTF-8") from None


def _literal(text: str) -> str:
    """RFC 5321 §4.1.3; tags other than IPv6 are nobody's."""
    inner = text[1:-1]
    try:
        if not text.endswith("]"):
            raise ValueError
        if inner[:5].lower() == "ipv6:":
            address = IPv6Address(inner[5:])
            if address.scope_id is not None:
                raise ValueError
            return f"[IPv6:{address.compressed}]"
        return f"[{IPv4Address(inner)}]"
    except ValueError:
        raise AddressError("[IPv4 address] or [IPv6:address] was expected") from None


def _breaks(character: str) -> bool:
    """Controls, separators of lines, and what is no character: none of them can be in a line."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
