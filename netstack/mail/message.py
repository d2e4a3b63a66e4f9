"""A message's head: its fields as they came, and what is missing in it (RFC 5322, RFC 6532)."""

import re
from calendar import timegm
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import parsedate_tz
from functools import lru_cache

from netstack.mail.limits import HeadLimits

LIMITS = HeadLimits()
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_END = re.compile(rb"(?:\A|\n)\r?\n")
_NEXT = re.compile(rb"\n(?![ \t])")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_WORD = "=?"
_ID = re.compile(rb"<[^<>\s]+@[^<>\s]+>")


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


_MONTH = {name.encode(): number for number, name in enumerate(_MONTHS, 1)}
_DATE = re.compile(  # RFC 5322 §3.3 without comments, in years that every calendar has
    rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?(0?[1-9]|[12][0-9]|30) ([A-Z][a-z]{2}) ((?:19|20)[0-9]{2})"
    rb" ([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))? ([+-])([01][0-9])([0-5][0-9])"
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field line with its continuations."""

    name: bytes
    """In lower case."""
    raw: bytes
    """All of it, with its name and its ends of lines."""

    @property
    def value(self) -> bytes:
        """Unfolded (RFC 5322 §2.2.3), without white space around it."""
        return _FOLD.sub(b"", self.raw.partition(b":")[2]).strip()


@dataclass(frozen=True, slots=True)
class Head:
    """The fields of a message or a part, in order."""

    fields: tuple[Field, ...]
    body: int
    """Where what follows the empty line begins; where there is no head at all, 0."""
    whole: bool = True
    """False where the head has more octets or fields than were looked at."""

    def get(self, name: bytes) -> bytes | None:
        """The value of the first field of that name, in lower case."""
        return next((field.value for field in self.fields if field.name == name), None)

    def all(self, name: bytes) -> list[bytes]:
        """The values of all fields of that name, in lower case."""
        return [field.value for field in self.fields if field.name == name]

    def count(self, name: bytes) -> int:
        """How many fields have that name, in lower case."""
        return sum(field.name == name for field in self.fields)


def head(octets: bytes, limits: HeadLimits = LIMITS, start: int = 0, end: int | None = None) -> Head:
    """The head of what lies from `start` to `end`. A line that is no field ends it, as if an empty line stood before it."""
    stop = len(octets) if end is None else end
    most = min(stop, start + limits.octets)
    block = octets[start:most]
    found = _END.search(block)
    after = found.end() if found else len(block)
    lines = block[: found.start() + 1] if found and found.start() else b"" if found else block
    fields: list[Field] = []
    at = 0
    while at < len(lines):
        match = _FIELD.match(lines, at)
        if match is None:
            return Head(tuple(fields), start + at)
        if len(fields) >= limits.fields:
            return Head(tuple(fields), start + after, whole=False)
        following = _NEXT.search(lines, at)
        upto = following.end() if following else len(lines)
        fields.append(Field(match[1].lower(), lines[at:upto]))
        at = upto
    return Head(tuple(fields), start + after, whole=found is not None or most == stop)


def is_broken(octets: bytes, of: Head) -> bool:
    """Whether a line that is no field ends a message's head: others may read on behind it."""
    return bool(of.fields) and 0 < of.body < len(octets) and not octets.endswith((b"\n\r\n", b"\n\n"), 0, of.body)


def decoded(value: bytes, most: int = 1000) -> str:
    """A value for people: encoded words (RFC 2047) and UTF-8 decoded, controls taken out, at most so many characters."""
    text = value[: 4 * most].decode("utf-8", "replace")
    if _WORD in text:
        parts = []
        try:
            for part, charset in decode_header(text):
                parts.append(part if isinstance(part, str) else part.decode(charset or "utf-8", "replace"))
            text = "".join(parts)
        except (LookupError, ValueError, HeaderParseError):  # a charset that is none, base64 that is none
            pass
    return (text if text.isprintable() else _CONTROLS.sub(" ", text))[:most]


def identifiers(value: bytes, most: int = 50) -> list[bytes]:
    """The message identifiers of a Message-ID, In-Reply-To or References field (RFC 5322 §3.6.4), the last so many."""
    return _ID.findall(value)[-most:]


def date_of(value: bytes) -> float | None:
    """Seconds since 1970 of a Date field (RFC 5322 §3.3), None where it is none."""
    return _date_of(value[:200])


@lru_cache(64)
def _date_of(value: bytes) -> float | None:
    """Messages that come together were often written in the same second."""
    usual = _DATE.fullmatch(value)
    if usual is not None and (month := _MONTH.get(usual[2])) is not None:
        seconds = timegm((int(usual[3]), month, int(usual[1]), int(usual[4]), int(usual[5]), int(usual[6] or 0)))
        return float(seconds - int(usual[7] + b"1") * (int(usual[8]) * 3600 + int(usual[9]) * 60))
    found = parsedate_tz(value.decode("ascii", "replace"))
    if found is None:
        return None
    try:
        zone = timezone(timedelta(seconds=found[9] or 0))
        return datetime(*found[:6], tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None


def date_field(wall: float) -> bytes:
    """The value of a Date field, in UTC."""
    at = datetime.fromtimestamp(wall, UTC)
    return f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at:%Y %H:%M:%S} +0000".encode()


def message_id(wall: float, random: int, domain: str) -> bytes:
    """A new Message-ID's value (RFC 5322 §3.6.4); `random` has 64 bits that nobody can guess."""
    at = datetime.fromtimestamp(wall, UTC)
    return f"<{at:%Y%m%d%H%M%S}.{random & (1 << 64) - 1:016x}@{domain}>".encode()


def missing_fields(of: Head, date: bytes, identifier: bytes, sender: bytes) -> bytes:
    """What a submission server puts in front (RFC 6409 §8): Date, Message-ID and From where there is none."""
    added = b""
    if of.count(b"from") == 0:
        added += b"From: " + sender + b"\r\n"
    if of.count(b"date") == 0:
        added += b"Date: " + date + b"\r\n"
    if of.count(b"message-id") == 0:
        added += b"Message-ID: " + identifier + b"\r\n"
    return added
