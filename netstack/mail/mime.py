"""The parts of a message as offsets into its octets (RFC 2045, RFC 2046): one pass, bounded in depth, parts and delimiters.

Nothing is decoded and nothing copied, so that a bomb of nested parts costs no more than its octets.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from netstack.mail.limits import MimeLimits
from netstack.mail.message import Head, head

LIMITS = MimeLimits()
_ATOM = r"[!#-'*+\-.0-9A-Z^-z|{}~]+"  # RFC 2045 §5.1: no specials
_TYPE = re.compile(rf"\s*({_ATOM})/({_ATOM})")
_WORD = re.compile(rf"\s*({_ATOM})")
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)')
_QUOTED = re.compile(r"\\(.)")
_COMPOSITE = ("message/rfc822", "message/global")
LONGEST_BOUNDARY = 70
"""Octets (RFC 2046 §5.1.1); trailing white space is no part of one."""


@dataclass(slots=True)
class Part:
    """A message, or a part of one. Offsets are into the octets of the whole."""

    start: int
    head: Head
    """Its own fields; `head.body` is where its body begins."""
    type: str
    subtype: str
    parameters: dict[str, str]
    encoding: str
    """Of the transfer (RFC 2045 §6), in lower case; `7bit` where nothing is said."""
    end: int = 0
    parts: list["Part"] = field(default_factory=list)
    """Of a multipart; of a message/rfc822 the one message in it."""

    @property
    def body(self) -> int:
        """Where the body begins."""
        return self.head.body

    @property
    def media(self) -> str:
        """`text/plain`."""
        return f"{self.type}/{self.subtype}"

    @property
    def size(self) -> int:
        """Octets of the body."""
        return self.end - self.head.body

    def lines(self, octets: bytes) -> int:
        """Lines of the body, the last one also without an end."""
        count = octets.count(b"\n", self.body, self.end)
        return count + (self.size > 0 and octets[self.end - 1 : self.end] != b"\n")

    def leaves(self) -> Iterator["Part"]:
        """Parts without parts, in order."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            if part.parts:
                waiting.extend(reversed(part.parts))
            else:
                yield part

    def find(self, numbers: tuple[int, ...]) -> "Part | None":
        """The part of that section number (RFC 9051 §6.4.5.1), such as (1, 2)."""
        part = self
        for number in numbers:
            if part.media in _COMPOSITE and part.parts:
                part = part.parts[0]
            inside = part.parts if part.type == "multipart" else [part]
            if not 1 <= number <= len(inside) or (part.type != "multipart" and number != 1):
                return None
            part = inside[number - 1]
        return part


@dataclass(frozen=True, slots=True)
class Structure:
    """Of a whole message."""

    root: Part
    whole: bool = True
    """False where a bound was met: what follows belongs to the part that was open."""


def structure(octets: bytes, limits: MimeLimits = LIMITS) -> Structure:
    """The parts of a message; whatever it is, it has some."""
    return _Scan(octets, limits).run()


class _Scan:
    def __init__(self, octets: bytes, limits: MimeLimits) -> None:
        self._octets = octets
        self._limits = limits
        self._open: list[Part] = []
        """From the root to the innermost."""
        self._boundaries: dict[bytes, Part] = {}
        """Of the multiparts that are open."""
        self._by_part: dict[int, bytes] = {}
        self._count = 0
        self._left = limits.delimiters
        self._whole = True

    def run(self) -> Structure:
        root = self._begin(0, "text/plain")
        at = self._open[-1].body
        while (found := self._next(at)) is not None:
            start, at, owner, closing = found
            self._close_inside(owner, start)
            if closing:
                self._forget(owner)
            elif self._count >= self._limits.parts:
                self._whole = False
                break
            else:
                kind = "message/rfc822" if owner.subtype == "digest" else "text/plain"  # RFC 2046 §5.1.5
                self._begin(at, kind, owner)
                at = self._open[-1].body
        for part in self._open:
            part.end = len(self._octets)
        return Structure(root, self._whole)

    def _begin(self, start: int, default: str, parent: Part | None = None) -> Part:
        """A part that begins there, and the messages inside of it that begin with it."""
        first: Part | None = None
        while True:
            part = self._part(start, default)
            self._count += 1
            if parent is not None:
                parent.parts.append(part)
            first = first or part
            self._open.append(part)
            deep = len(self._open) >= self._limits.depth or self._count >= self._limits.parts
            if part.type == "multipart":
                boundary = part.parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
                if boundary and len(boundary) <= LONGEST_BOUNDARY and boundary not in self._boundaries:
                    if deep:
                        self._whole = False
                    else:
                        self._boundaries[boundary] = part
                        self._by_part[id(part)] = boundary
                return first
            if part.media not in _COMPOSITE or part.encoding not in ("7bit", "8bit", "binary"):
                return first
            if deep:
                self._whole = False
                return first
            parent, start, default = part, part.body, "text/plain"

    def _part(self, start: int, default: str) -> Part:
        most = min(len(self._octets), start + self._limits.head.octets)
        delimiter = self._next(start, most) if self._boundaries else None
        end = delimiter[0] if delimiter is not None else len(self._octets)
        of = head(self._octets, self._limits.head, start, end)
        media, parameters = content_type(of.get(b"content-type"), default)
        kind, _, subtype = media.partition("/")
        return Part(start, of, kind, subtype, parameters, content_encoding(of.get(b"content-transfer-encoding")))

    def _next(self, at: int, most: int | None = None) -> tuple[int, int, Part, bool] | None:
        """The next delimiter of an open multipart: where the part before it ends, where what follows begins, whose it is,
        and whether it is the last one."""
        octets, limit = self._octets, len(self._octets) if most is None else most
        line = at if octets.startswith(b"--", at) and (at == 0 or octets[at - 1 : at] == b"\n") else -1
        while self._left > 0:
            self._left -= 1
            if line < 0:
                line = octets.find(b"\n--", at, limit) + 1
                if line == 0:
                    return None
            after = octets.find(b"\n", line, line + 2 * LONGEST_BOUNDARY)
            text = octets[line + 2 : after if after >= 0 else line + 2 * LONGEST_BOUNDARY].rstrip(b" \t\r")
            owner = self._boundaries.get(text)
            closing = owner is None and text.endswith(b"--")
            if closing:
                owner = self._boundaries.get(text[:-2])
            if owner is not None:
                end = line - 2 if octets[line - 2 : line] == b"\r\n" else line - (line > 0)  # RFC 2046 §5.1.1
                return max(end, at), after + 1 if after >= 0 else len(octets), owner, closing
            at, line = line + 2, -1
        self._whole = False
        return None

    def _close_inside(self, owner: Part, end: int) -> None:
        while self._open[-1] is not owner:
            part = self._open.pop()
            part.end = max(end, part.body)
            self._forget(part)

    def _forget(self, part: Part) -> None:
        boundary = self._by_part.pop(id(part), None)
        if boundary is not None:
            del self._boundaries[boundary]


def content_type(value: bytes | None, default: str = "text/plain") -> tuple[str, dict[str, str]]:
    """The media type and its parameters, names in lower case (RFC 2045 §5.1). Where nothing is said it is the default, where
    it is no type text/plain (§5.2)."""
    if value is None:
        return default, {}
    text = value.decode("utf-8", "replace")
    match = _TYPE.match(text)
    if match is None:
        return "text/plain", {}
    return f"{match[1]}/{match[2]}".lower(), parameters(text, match.end())


def parameters(text: str, start: int = 0, most: int = 50) -> dict[str, str]:
    """`; name=value; name="value"`, the first of each name."""
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(text, start):
        value = match[2]
        if value.startswith('"'):
            value = _QUOTED.sub(r"\1", value[1:-1])
        found.setdefault(match[1].lower(), value)
        if len(found) >= most:
            break
    return found


def content_encoding(value: bytes | None) -> str:
    """Content-Transfer-Encoding (RFC 2045 §6.1) in lower case."""
    match = _WORD.match(value.decode("ascii", "replace")) if value is not None else None
    return match[1].lower() if match is not None else "7bit"
