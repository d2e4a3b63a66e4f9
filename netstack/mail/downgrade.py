"""Eight bits made seven by re-encoding parts (RFC 6152 §3, RFC 2045 §6), for servers that take no others."""

import re
from base64 import encodebytes
from binascii import b2a_qp
from dataclasses import dataclass

from netstack.mail.limits import MimeLimits
from netstack.mail.mime import LIMITS, Part, structure

LONGEST = 998
"""Octets of a line without its end (RFC 5322 §2.1.1)."""
_LONG = re.compile(rb"(?:\A|\n)[^\n]{%d}" % (LONGEST + 2))
_BINARY = re.compile(rb"\x00|\r(?!\n)|(?<!\r)\n")
_EIGHT = bytes(range(128)) + b"?" * 128
_UNTOUCHABLE = ("signed", "encrypted")
_IDENTITY = ("7bit", "8bit", "binary")


class CannotDowngrade(ValueError):
    """The next server cannot have it; `status` is the enhanced code for the sender."""

    def __init__(self, message: str, status: str = "5.6.3") -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Needs:
    """What a message asks of a server (RFC 6152, RFC 3030, RFC 6531)."""

    eight_bits: bool
    """8BITMIME."""
    binary: bool
    """BINARYMIME: NUL, a CR or LF that is alone, or a line that is too long."""
    utf8: bool
    """SMTPUTF8: a head that is not ASCII."""


def needs(octets: bytes, limits: MimeLimits = LIMITS) -> Needs:
    """Looks at the structure only where there are more than seven bits."""
    binary = _BINARY.search(octets) is not None or _LONG.search(octets) is not None
    if octets.isascii():
        return Needs(False, binary, False)
    utf8 = any(not octets[part.start : part.body].isascii() for part in _every(structure(octets, limits).root))
    return Needs(True, binary, utf8)


def downgraded(octets: bytes, limits: MimeLimits = LIMITS) -> bytes:
    """The same message in seven bits and lines of at most 998 octets. Raises CannotDowngrade.

    Text becomes quoted-printable, everything else base64. What is signed or encrypted stays as it is, or is refused
    (RFC 1847 §2.1); so are heads that are not ASCII. A signature over the whole (DKIM) does not survive.
    """
    if octets.isascii() and not _BINARY.search(octets) and not _LONG.search(octets):
        return octets
    found = structure(octets, limits)
    if not found.whole:
        raise CannotDowngrade("the message has more parts than are looked at")
    edits: list[tuple[int, int, bytes]] = []
    _part(octets, found.root, edits, root=True)
    pieces, at = [], 0
    for start, end, replacement in sorted(edits):
        pieces += [octets[at:start], replacement]
        at = end
    pieces.append(octets[at:])
    return b"".join(pieces)


def _every(part: Part) -> list[Part]:
    found, waiting = [], [part]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting.extend(one.parts)
    return found


def _part(octets: bytes, part: Part, edits: list[tuple[int, int, bytes]], root: bool = False) -> None:
    if not octets[part.start : part.body].isascii():
        raise CannotDowngrade("a head that is not ASCII needs SMTPUTF8", "5.6.7")
    if _BINARY.search(octets, part.start, part.body):
        raise CannotDowngrade("a head has NUL, or lines that do not end in CRLF")
    body = octets[part.body : part.end]
    if _plain(body):
        if part.encoding in ("8bit", "binary"):
            _set_encoding(octets, part, b"7bit", edits, root)
        return
    if part.type == "multipart" and part.subtype in _UNTOUCHABLE:
        raise CannotDowngrade(f"what is {part.subtype} cannot be changed")
    if part.media == "message/global":
        raise CannotDowngrade("a message inside needs SMTPUTF8", "5.6.7")
    if part.parts:
        if part.encoding in ("8bit", "binary"):
            _set_encoding(octets, part, b"7bit", edits, root)
        for inside in part.parts:
            _part(octets, inside, edits)
        _between(octets, part, edits)
        return
    if part.type in ("multipart", "message"):  # RFC 2046 §5.1, §5.2.1: nothing but an identity encoding
        raise CannotDowngrade(f"a {part.media} without parts has more than seven bits")
    if part.encoding not in _IDENTITY:
        raise CannotDowngrade(f"a part that says it is {part.encoding} has more than seven bits")
    text = part.type == "text" and part.encoding != "binary" and not _BINARY.search(body)
    _set_encoding(octets, part, b"quoted-printable" if text else b"base64", edits, root)
    edits.append((part.body, part.end, quoted_printable(body) if text else base64(body)))


def _plain(body: bytes) -> bool:
    return body.isascii() and not _BINARY.search(body) and not _LONG.search(body)


def _between(octets: bytes, part: Part, edits: list[tuple[int, int, bytes]]) -> None:
    """Preamble, delimiters and epilogue: nobody reads them (RFC 2046 §5.1.1), and they have seven bits afterwards."""
    at = part.body
    for inside in (*part.parts, None):
        end = inside.start if inside is not None else part.end
        text = octets[at:end]
        if not text.isascii() or _BINARY.search(text):
            edits.append((at, end, _BINARY.sub(b"?", text).translate(_EIGHT)))
        at = inside.end if inside is not None else end


def _set_encoding(octets: bytes, part: Part, encoding: bytes, edits: list[tuple[int, int, bytes]], root: bool) -> None:
    """Its Content-Transfer-Encoding field, made if need be; a message that is none of MIME becomes one (RFC 1428 §3)."""
    line = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    at = part.start
    seen = set()
    for one in part.head.fields:
        if one.name == b"content-transfer-encoding":
            edits.append((at, at + len(one.raw), line if one.name not in seen else b""))
        seen.add(one.name)
        at += len(one.raw)
    added = b"" if b"content-transfer-encoding" in seen else line
    if root and b"mime-version" not in seen:
        added = b"MIME-Version: 1.0\r\n" + added
        if b"content-type" not in seen:
            added += b"Content-Type: text/plain; charset=unknown-8bit\r\n"
    if at == part.body:  # there is no empty line
        added += b"\r\n"
    edits.append((at, at, added))


def quoted_printable(octets: bytes) -> bytes:
    """RFC 2045 §6.7, of text whose lines end in CRLF."""
    return b2a_qp(octets.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", b"\r\n")


def base64(octets: bytes) -> bytes:
    """RFC 2045 §6.8."""
    return encodebytes(octets).replace(b"\n", b"\r\n").removesuffix(b"\r\n")
