"""Arguments of commands: names, addresses with their parameters, chunks (RFC 5321 §4.1.1, and the extensions')."""

import re
from collections.abc import Mapping

from netstack.mail.addresses import AddressError, canonical_domain, forward_path, reverse_path
from netstack.smtp.events import MailReceived, RecipientReceived
from netstack.smtp.limits import SMTPLimits
from netstack.smtp.offer import Offer
from netstack.smtp.wire import BadCommand, decode_xtext, parameters, path_argument

# RFC 5321 §4.1.1.1: Domain; underscores and a final dot are in use.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_NOTIFY = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})
_SIZE = re.compile(r"[0-9]{1,20}")
# RFC 3461 §4.2: original-recipient-address = addr-type ";" xtext
_ORIGINAL = re.compile(r"([A-Za-z0-9-]{1,64});(.+)")


def hello_name(argument: str) -> str:
    """The name in HELO and EHLO, in ASCII, since nobody knows yet what the other side takes (RFC 6531 §3.7.1); raises
    BadCommand."""
    if not _NAME.fullmatch(argument):
        try:
            literal = argument.startswith("[") and canonical_domain(argument)
        except AddressError:
            literal = ""
        if not literal:
            raise BadCommand(501, "5.5.4", "say your name: a domain, or an address in square brackets")
    return argument


def mail_arguments(argument: str, offer: Offer, limits: SMTPLimits, extended: bool, secure: bool) -> MailReceived:
    """What MAIL says; raises BadCommand."""
    octets = path_argument(argument, "FROM").encode()
    try:
        sender, rest = reverse_path(octets, utf8=True, limits=limits.addresses)
    except AddressError as wrong:
        raise BadCommand(
            553 if wrong.status == "5.6.7" else 501, wrong.status.replace("5.1.3", "5.1.7"), str(wrong)
        ) from None
    given = _after_path(rest)
    _only_known(given, extended, "SIZE", "BODY", *_offered(offer, secure))
    size = _number(given["SIZE"]) if "SIZE" in given else 0
    if size > limits.message:
        raise BadCommand(552, "5.3.4", f"a message has at most {limits.message} octets")
    body = (given.get("BODY", "7BIT") or "").upper()
    if body not in ("7BIT", "8BITMIME", "BINARYMIME") or (body == "BINARYMIME" and not offer.chunking):
        raise BadCommand(501, "5.5.4", "BODY is 7BIT, 8BITMIME or BINARYMIME")
    for flag in ("SMTPUTF8", "REQUIRETLS"):
        if given.get(flag) is not None:
            raise BadCommand(501, "5.5.4", f"{flag} takes no value")
    returns = (given.get("RET", "") if "RET" in given else "") or ""
    if "RET" in given and returns.upper() not in ("FULL", "HDRS"):
        raise BadCommand(501, "5.5.4", "RET is FULL or HDRS")
    utf8 = "SMTPUTF8" in given
    _ascii_unless(utf8, octets[: len(octets) - len(rest)])
    envelope_id = decode_xtext(given["ENVID"] or "") if "ENVID" in given else ""
    if len(envelope_id) > 100 or ("ENVID" in given and not envelope_id):
        raise BadCommand(501, "5.5.4", "ENVID has 1 to 100 characters")
    submitter = decode_xtext(given["AUTH"] or "") if "AUTH" in given else None
    return MailReceived(sender, size, body, utf8, "REQUIRETLS" in given, returns.upper(), envelope_id, submitter)


def recipient_arguments(argument: str, offer: Offer, limits: SMTPLimits, extended: bool, utf8: bool) -> RecipientReceived:
    """What RCPT says; raises BadCommand."""
    octets = path_argument(argument, "TO").encode()
    try:
        recipient, rest = forward_path(octets, utf8=True, limits=limits.addresses)
    except AddressError as wrong:
        raise BadCommand(553 if wrong.status == "5.6.7" else 501, wrong.status, str(wrong)) from None
    given = _after_path(rest)
    _only_known(given, extended, *(("NOTIFY", "ORCPT") if offer.dsn else ()))
    _ascii_unless(utf8, octets[: len(octets) - len(rest)])
    notify = None
    if "NOTIFY" in given:
        notify = frozenset((given["NOTIFY"] or "").upper().split(","))
        if not notify <= _NOTIFY or ("NEVER" in notify and len(notify) > 1):
            raise BadCommand(501, "5.5.4", "NOTIFY is NEVER, or some of SUCCESS, FAILURE, DELAY")
    original = ""
    if "ORCPT" in given:
        match = _ORIGINAL.fullmatch(given["ORCPT"] or "")
        if match is None or len(match[2]) > 500:
            raise BadCommand(501, "5.5.4", "ORCPT is a type, a semicolon and an address in xtext")
        if not utf8 and not match[2].isascii():  # RFC 6533 §3
            raise BadCommand(501, "5.6.7", "ORCPT is not ASCII: say SMTPUTF8 with MAIL")
        original = f"{match[1]};{match[2] if match[1].lower() == 'utf-8' else decode_xtext(match[2])}"
    return RecipientReceived(recipient, notify, original)


def chunk_arguments(argument: str) -> tuple[int, bool]:
    """Octets of a chunk, and whether it is the last (RFC 3030 §2). Raises BadCommand that closes."""
    words = argument.upper().split()
    if not 1 <= len(words) <= 2 or not _SIZE.fullmatch(words[0]) or words[1:] not in ([], ["LAST"]):
        raise BadCommand(521, "5.5.4", "expected BDAT and a number of octets, maybe LAST")
    return int(words[0]), len(words) == 2


def _after_path(rest: bytes) -> Mapping[str, str | None]:
    if rest and not rest.startswith(b" "):
        raise BadCommand(501, "5.5.4", "a space belongs between the address and its parameters")
    return parameters(rest.decode())


def _offered(offer: Offer, secure: bool) -> list[str]:
    names = ["AUTH"] if offer.mechanisms else []
    names += ["SMTPUTF8"] if offer.utf8 else []
    names += ["RET", "ENVID"] if offer.dsn else []
    return names + (["REQUIRETLS"] if offer.require_tls and secure else [])


def _only_known(given: Mapping[str, str | None], extended: bool, *known: str) -> None:
    for name in given:
        if not extended or name not in known:
            raise BadCommand(555, "5.5.4", f"{name[:40]} is not a parameter that was offered")


def _ascii_unless(utf8: bool, path: bytes) -> None:
    if not utf8 and not path.isascii():
        raise BadCommand(553, "5.6.7", "the address is not ASCII: say SMTPUTF8 with MAIL")


def _number(value: str | None) -> int:
    if value is None or not _SIZE.fullmatch(value):
        raise BadCommand(501, "5.5.4", "SIZE is a number of octets")
    return int(value)
