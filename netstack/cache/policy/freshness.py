"""Age and lifetime of a response (RFC 9111 §4.2), computed once, when it is received, as instants."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import floor

from netstack.cache.directives import MOST_SECONDS, ResponseControl
from netstack.cache.entry import Flags
from netstack.cache.rules import Rules
from netstack.http.values import parse_http_date

HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses whose lifetime may be guessed (RFC 9110 §15.1)."""
NEGATIVE = frozenset({404, 405, 410, 414, 501})
"""Those of them that say that there is nothing."""

LONGEST_DATE = 200
"""A longer value is no date, however often one is repeated."""


@dataclass(frozen=True, slots=True)
class Instants:
    """What an Entry has of them; wall seconds."""

    born: float
    fresh_until: float
    stale_while: float
    stale_error: float
    date: int
    flags: Flags


def instants(
    status: int,
    fields: Mapping[str, str],
    control: ResponseControl,
    request_time: float,
    response_time: float,
    rules: Rules,
) -> Instants:
    """How old a response is, and what may be done with it until when."""
    stated = fields.get("date")
    written = None if stated is None else parse_dates(stated)
    date = floor(response_time) if written is None else written  # RFC 9110 §6.6.1
    born = response_time - initial_age(fields, date, request_time, response_time)
    lifetime, guessed = freshness_lifetime(status, fields, control, date, rules)
    flags = Flags(0)
    if guessed:
        flags |= Flags.HEURISTIC
    if control.immutable:
        flags |= Flags.IMMUTABLE
    if control.must_revalidate or control.proxy_revalidate or control.s_maxage is not None:
        flags |= Flags.STRICT
    if control.no_cache:
        return Instants(born, 0.0, 0.0, 0.0, date, flags | Flags.VALIDATE | Flags.STRICT)
    until = born + lifetime
    if flags & Flags.STRICT:
        return Instants(born, until, until, until, date, flags)
    error = rules.stale_if_error_seconds if control.stale_if_error is None else control.stale_if_error
    return Instants(born, until, until + (control.stale_while_revalidate or 0), until + error, date, flags)


def initial_age(fields: Mapping[str, str], date: int, request_time: float, response_time: float) -> float:
    """corrected_initial_age (RFC 9111 §4.2.3), seconds."""
    apparent = max(0, floor(response_time) - date)
    return max(apparent, age_value(fields.get("age")) + max(0.0, response_time - request_time))


def age_value(value: str | None) -> int:
    """The first member of an Age field; 0 where it is absent or no number (RFC 9111 §5.1)."""
    if value is None:
        return 0
    first = value.partition(",")[0].strip(" \t")
    if not (first.isascii() and first.isdigit()):
        return 0
    return MOST_SECONDS if len(first) > 10 else min(MOST_SECONDS, int(first))


def freshness_lifetime(
    status: int, fields: Mapping[str, str], control: ResponseControl, date: int, rules: Rules
) -> tuple[float, bool]:
    """Seconds of RFC 9111 §4.2.1, and whether they are a guess (§4.2.2)."""
    if control.s_maxage is not None:
        return control.s_maxage, False
    if control.max_age is not None:
        return control.max_age, False
    expires = None if control.targeted else fields.get("expires")
    if expires is not None:
        until = parse_dates(expires)
        return (0.0 if until is None else max(0.0, until - date)), False  # §5.3: invalid is already expired
    if status not in HEURISTIC and not control.public:
        return 0.0, False
    modified = fields.get("last-modified")
    since = None if modified is None else parse_date(modified)
    if since is not None and since < date:
        return min(rules.heuristic_seconds, (date - since) * rules.heuristic), True
    return (rules.negative_seconds if status in NEGATIVE and since is None else 0.0), True


def explicit(fields: Mapping[str, str], control: ResponseControl) -> bool:
    """Whether the origin said how long a response lives (RFC 9111 §3)."""
    said = control.s_maxage is not None or control.max_age is not None
    return said or (not control.targeted and "expires" in fields)


@lru_cache(maxsize=1024)  # of one second's responses most have the same Date, and are read three times
def parse_date(value: str) -> int | None:
    """An HTTP-date in any case of letters (RFC 9111 §4.2)."""
    if len(value) > LONGEST_DATE:
        return None
    parsed = parse_http_date(value)
    return parse_http_date(_as_written(value)) if parsed is None else parsed


def parse_dates(value: str) -> int | None:
    """The date of a field whose lines all have the same one, None when they differ (RFC 9111 §4.2.1)."""
    parsed = parse_date(value)
    if parsed is not None or "," not in value:
        return parsed
    middle = len(value) // 2
    halves = {value[:middle].strip(" ,"), value[middle:].strip(" ,")}
    return parse_date(halves.pop()) if len(halves) == 1 else None


def _as_written(value: str) -> str:
    """The letters of a date in the case that its grammar has."""
    if value.isascii():
        value = " ".join("-".join(part.capitalize() for part in word.split("-")) for word in value.split(" "))
        if value.endswith(" Gmt"):
            value = value[:-3] + "GMT"
    return value
