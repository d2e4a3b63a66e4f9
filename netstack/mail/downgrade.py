"""Eight bits made seven, and lines that are too long made shorter, by re-encoding parts (RFC 6152 §3, RFC 2045 §6)."""

import re
from base64 import encodebytes
from binascii import b2a_qp
from collections.abc import Iterator
from dataclasses import dataclass

from netstack.mail.limits import MimeLimits
from netstack.mail.mime import LIMITS, Part, structure

LONGEST = 998
"""Octets of a line without its end (RFC 5322 §2.1.1)."""
_BINARY = re.compile(rb"\x00|\r(?!\n)|(?<!\r)\n")
_EIGHT = bytes(range(128)) + b"?" * 128
_WRAPPED = 76
"""Octets of a line that is made here (RFC 2045 §6.7, §6.8)."""
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


def has_long_line(octets: bytes, start: int = 0, end: int | None = None) -> bool:
    """Whether a line has more than 998 octets before its CRLF. Looks at one octet in a few hundred."""
    stop = len(octets) if end is None else end
    at = start
    while stop - at > LONGEST:
        found = octets.rfind(b"\n", at, min(at + LONGEST + 2, stop))
        if found < 0:
            return True
        at = found + 1
    return False


def needs(octets: bytes, limits: MimeLimits = LIMITS) -> Needs:
    """Looks at the structure only where there are more than seven bits."""
    binary = _BINARY.search(octets) is not None or has_long_line(octets)
    if octets.isascii():
        return Needs(False, binary, False)
    utf8 = any(not octets[part.start : part.body].isascii() for part in _every(structure(octets, limits).root))
    return Needs(True, binary, utf8)


def downgraded(octets: bytes, limits: MimeLimits = LIMITS, seven: bool = True) -> bytes:
    """The same message in lines of at most 998 octets and, unless `seven` is False, in seven bits. Raises CannotDowngrade.

    Text becomes quoted-printable, everything else base64; long lines of heads are folded. What is signed or encrypted stays
    as it is, or is refused (RFC 1847 §2.1); so are heads that are not ASCII. A signature over the whole (DKIM) does not
    survive.
    """
    if (octets.isascii() or not seven) and not _BINARY.search(octets) and not has_long_line(octets):
        return octets
    found = structure(octets, limits)
    if not found.whole:
        raise CannotDowngrade("the message has more parts than are looked at")
    edits: list[tuple[int, int, bytes]] = []
    _Rewriting(octets, seven, edits).part(found.root, root=True)
    pieces, at = [], 0
    for start, end, replacement in sorted(edits):
        pieces += [octets[at:start], replacement]
        at = end
    pieces.append(octets[at:])
    made = b"".join(pieces)
    if has_long_line(made):  # in a head that was not looked at as a whole
        raise CannotDowngrade("it has lines that cannot be made shorter", "5.6.0")
    return made


def _every(part: Part) -> list[Part]:
    found, waiting = [], [part]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting.extend(one.parts)
    return found


@dataclass(frozen=True, slots=True)
class _Rewriting:
    octets: bytes
    seven: bool
    edits: list[tuple[int, int, bytes]]
    """Where one begins and ends, and what stands there then."""

    def part(self, part: Part, root: bool = False) -> None:
        octets, seven = self.octets, self.seven
        if seven and not octets[part.start : part.body].isascii():
            raise CannotDowngrade("a head that is not ASCII needs SMTPUTF8", "5.6.7")
        if _BINARY.search(octets, part.start, part.body):
            raise CannotDowngrade("a head has NUL, or lines that do not end in CRLF")
        if has_long_line(octets, part.start, part.body):
            self._fold(part)
        body = octets[part.body : part.end]
        if self._plain(body):
            self._unlabel(part, root)
            return
        if part.type == "multipart" and part.subtype in _UNTOUCHABLE:
            raise CannotDowngrade(f"what is {part.subtype} cannot be changed")
        if seven and part.media == "message/global":
            raise CannotDowngrade("a message inside needs SMTPUTF8", "5.6.7")
        if part.parts:
            self._unlabel(part, root)
            for inside in part.parts:
                self.part(inside)
            self._between(part)
            return
        if part.type in ("multipart", "message"):  # RFC 2046 §5.1, §5.2.1: nothing but an identity encoding
            raise CannotDowngrade(f"a {part.media} without parts has more than seven bits, or lines that are too long")
        if part.encoding not in _IDENTITY:
            shorten = {"base64": _wrapped, "quoted-printable": _softened}.get(part.encoding)
            if shorten is None or not body.isascii() or _BINARY.search(body):
                raise CannotDowngrade(f"a part that says it is {part.encoding} has more than seven bits")
            self.edits.append((part.body, part.end, shorten(body)))
            return
        text = part.type == "text" and part.encoding != "binary" and not _BINARY.search(body)
        self._set_encoding(part, b"quoted-printable" if text else b"base64", root)
        self.edits.append((part.body, part.end, quoted_printable(body) if text else base64(body)))

    def _plain(self, body: bytes) -> bool:
        return (body.isascii() or not self.seven) and not _BINARY.search(body) and not has_long_line(body)

    def _unlabel(self, part: Part, root: bool) -> None:
        """It has seven bits now."""
        if self.seven and part.encoding in ("8bit", "binary"):
            self._set_encoding(part, b"7bit", root)

    def _fold(self, part: Part) -> None:
        """Lines of a head that are too long, at white space (RFC 5322 §2.2.3)."""
        at = part.start
        for field in part.head.fields:
            line = 0
            while has_long_line(field.raw, line):
                following = field.raw.find(b"\n", line, line + LONGEST + 2)
                if following < 0:
                    space = max(field.raw.rfind(sign, line + 1, line + LONGEST) for sign in (b" ", b"\t"))
                    if space < 0 or not field.raw[line:space].strip() or field.name == b"content-transfer-encoding":
                        raise CannotDowngrade(f"nothing to fold {field.name.decode().capitalize()} at", "5.6.0")
                    self.edits.append((at + space, at + space, b"\r\n"))
                    following = space - 1
                line = following + 1
            at += len(field.raw)

    def _between(self, part: Part) -> None:
        """Preamble, delimiters and epilogue: nobody reads them (RFC 2046 §5.1.1), and any server takes them afterwards."""
        at = part.body
        for inside in (*part.parts, None):
            end = inside.start if inside is not None else part.end
            text = self.octets[at:end]
            cleaned = _BINARY.sub(b"?", text)
            if self.seven:
                cleaned = cleaned.translate(_EIGHT)
            if has_long_line(cleaned):  # a delimiter is shorter
                cleaned = b"\r\n".join(line[:LONGEST] for line in cleaned.split(b"\r\n"))
            if cleaned != text:
                self.edits.append((at, end, cleaned))
            at = inside.end if inside is not None else end

    def _set_encoding(self, part: Part, encoding: bytes, root: bool) -> None:
        """Its Content-Transfer-Encoding field, made if need be; a message that is none of MIME becomes one (RFC 1428 §3)."""
        line = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
        at = part.start
        seen = set()
        for one in part.head.fields:
            if one.name == b"content-transfer-encoding":
                self.edits.append((at, at + len(one.raw), line if one.name not in seen else b""))
            seen.add(one.name)
            at += len(one.raw)
        added = b"" if b"content-transfer-encoding" in seen else line
        if root and b"mime-version" not in seen:
            added = b"MIME-Version: 1.0\r\n" + added
            if b"content-type" not in seen:
                charset = b"us-ascii" if self.octets.isascii() else b"unknown-8bit"
                added += b"Content-Type: text/plain; charset=" + charset + b"\r\n"
        if at == part.body:  # there is no empty line
            added += b"\r\n"
        self.edits.append((at, at, added))


def quoted_printable(octets: bytes) -> bytes:
    """RFC 2045 §6.7, of text whose lines end in CRLF."""
    return b2a_qp(octets.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", b"\r\n")


def base64(octets: bytes) -> bytes:
    """RFC 2045 §6.8."""
    return encodebytes(octets).replace(b"\n", b"\r\n").removesuffix(b"\r\n")


def _wrapped(octets: bytes) -> bytes:
    """Base64 in lines of 76."""
    signs = b"".join(octets.split())
    lines = [signs[at : at + _WRAPPED] for at in range(0, len(signs), _WRAPPED)]
    return b"\r\n".join(lines) + b"\r\n" * octets.endswith(b"\n")


def _softened(octets: bytes) -> bytes:
    """Quoted-printable, its long lines with soft breaks (RFC 2045 §6.7)."""
    lines = octets.split(b"\r\n")
    return b"\r\n".join(line if len(line) <= LONGEST else b"=\r\n".join(_pieces(line)) for line in lines)


def _pieces(line: bytes) -> Iterator[bytes]:
    at = 0
    while len(line) - at > _WRAPPED:
        end = at + _WRAPPED - 1
        sign = line.rfind(b"=", end - 2, end)  # an octet written as =XX stays together
        end = end if sign < 0 else sign
        yield line[at:end]
        at = end
    yield line[at:]
