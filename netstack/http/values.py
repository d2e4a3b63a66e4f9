"""Field values: lists, dates, hosts, entity tags (RFC 9110 §5.6, §7.2, §8.8)."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = r"(?P<hour>[0-2][0-9]):(?P<minute>[0-5][0-9]):(?P<second>[0-6][0-9])"
_DATES = tuple(
    re.compile(form)
    for form in (
        rf"[A-Z][a-z]{{2}}, (?P<day>[0-3][0-9]) (?P<month>[A-Z][a-z]{{2}}) (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{5,8}}, (?P<day>[0-3][0-9])-(?P<month>[A-Z][a-z]{{2}})-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[ 0-3][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
# RFC 9110 §7.2: Host = uri-host [ ":" port ]; an empty host is no http authority (§4.2.1).
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::([0-9]{0,5}))?")
# RFC 9110 §8.8.3: entity-tag = [ weak ] opaque-tag
_ENTITY_TAG = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')


def http_date(wall: float) -> str:
    """An IMF-fixdate (RFC 9110 §5.6.7) of seconds since 1970."""
    at = datetime.fromtimestamp(int(wall), UTC)
    day = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
    return f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} GMT"


def parse_http_date(text: str) -> int | None:
    """Seconds since 1970 of any of the three forms (RFC 9110 §5.6.7), None for anything else.

    A year of two digits is in 1970 to 2069, as other programs read it.
    """
    for form in _DATES:
        match = form.fullmatch(text)
        if match is None:
            continue
        written = int(match["year"])
        if len(match["year"]) == 2:
            written += 1900 if written >= 70 else 2000
        try:
            at = datetime(
                written,
                _MONTHS.index(match["month"]) + 1,
                int(match["day"]),
                int(match["hour"]),
                int(match["minute"]),
                min(int(match["second"]), 59),
                tzinfo=UTC,
            )
        except ValueError:
            return None
        return int(at.timestamp())
    return None


def tokens(value: str) -> Iterator[str]:
    """The elements of a comma-separated list of tokens in lower case, empty ones left out (RFC 9110 §5.6.1)."""
    for element in value.split(","):
        element = element.strip(" \t").lower()
        if element:
            yield element


def authority(text: str) -> tuple[str, int | None] | None:
    """Host in lower case without a final dot, and port; None when it is not `uri-host [":" port]`."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    port = int(match[2]) if match[2] else None
    if port is not None and port > 65535:
        return None
    return match[1].lower().rstrip(".") or match[1], port


def entity_tags(value: str) -> list[str] | None:
    """The tags of an If-Match or If-None-Match list, `["*"]` for any, None when it is malformed (RFC 9110 §13.1.1)."""
    if value.strip(" \t") == "*":
        return ["*"]
    found: list[str] = []
    at = 0
    while at < len(value):
        match = _ENTITY_TAG.match(value, at)
        if match is None:
            return found if found and not value[at:].strip(" \t,") else None
        found.append(match[1])
        at = match.end()
    return found or None
