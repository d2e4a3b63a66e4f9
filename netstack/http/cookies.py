"""Cookies in field values (RFC 6265bis §4, §5.1, §5.6): what servers set and read, what clients are told; pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from netstack.http.values import http_date

SameSite = Literal["Strict", "Lax", "None", ""]
LARGEST = 4096
"""Octets of a name and its value together; more is no cookie (§5.6)."""
LARGEST_ATTRIBUTE = 1024
"""Octets of an attribute's value; a longer one is passed over."""
LONGEST = 400 * 86_400
"""Seconds that a cookie is kept at most (§5.5)."""

# §4.1.1: cookie-name = token, cookie-value = *cookie-octet, perhaps in quotes; path-value without controls and ";"
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r'"?[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"?')
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# §5.1.1
_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_CLOCK = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)")
_DAY = re.compile(r"(\d{1,2})(?!\d)")
_YEAR = re.compile(r"(\d{2,4})(?!\d)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parse_cookies(value: str, most: int = 180) -> dict[str, str]:
    """What a client's Cookie field says: the first value of each name, of the first `most` pairs (§4.2.1, §5.8.3).

    Quotes are part of a value. What is no pair is passed over: one bad cookie must not cost a visitor the others.
    """
    found: dict[str, str] = {}
    for pair in value.split(";", most)[:most]:
        name, equals, content = pair.strip(" \t").partition("=")
        if equals and _NAME.fullmatch(name):
            found.setdefault(name, content)
    return found


def set_cookie(
    name: str,
    value: str,
    *,
    max_age: int | None = None,
    expires: float | None = None,
    domain: str = "",
    path: str = "",
    secure: bool = True,
    http_only: bool = True,
    same_site: SameSite = "Lax",
) -> str:
    """The value of a Set-Cookie field (§4.1); `max_age` in seconds, `expires` in seconds since 1970.

    Raises ValueError for what no client would take: characters, sizes, and the rules of the prefixes `__Host-` and
    `__Secure-` (§4.1.3).
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: expected a cookie's name of letters, digits and !#$%&'*+-.^_`|~")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"cookie {name}: expected a value without spaces, commas, semicolons, quotes and backslashes")
    if len(name) + len(value) > LARGEST:
        raise ValueError(f"cookie {name}: expected at most {LARGEST} octets of name and value")
    if path and not _PATH.fullmatch(path):
        raise ValueError(f"cookie {name}: expected a path such as /shop, got {path!r}")
    wrong = broken_prefix(name, secure, domain, path)
    if wrong:
        raise ValueError(f"cookie {name}: {wrong}")
    if same_site == "None" and not secure:
        raise ValueError(f"cookie {name}: SameSite=None needs Secure")
    parts = [f"{name}={value}"]
    if expires is not None:
        parts.append(f"Expires={http_date(expires)}")
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    if domain:
        parts.append(f"Domain={domain}")
    if path:
        parts.append(f"Path={path}")
    parts += ["Secure"] * secure + ["HttpOnly"] * http_only
    if same_site:
        parts.append(f"SameSite={same_site}")
    return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A Set-Cookie field as a client understands it; an attribute that was not given, or not well, is None."""

    name: str
    value: str
    expires: int | None = None
    """Seconds since 1970."""
    max_age: int | None = None
    """Seconds; not above zero: it is to be forgotten at once."""
    domain: str | None = None
    """Lower case, without a dot before it."""
    path: str | None = None
    secure: bool = False
    http_only: bool = False
    same_site: SameSite = ""


def parse_set_cookie(text: str) -> SetCookie | None:
    """§5.6, which takes nearly anything; None for what is to be ignored."""
    if _CONTROLS.search(text):
        return None
    pair, *attributes = text.split(";")
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", pair
    name, value = name.strip(" \t"), value.strip(" \t")
    if len((name + value).encode("utf-8", "replace")) > LARGEST or not name + value:
        return None
    found = dict(_attributes(attributes))
    expires, max_age = found.get("expires"), found.get("max-age", "")
    same_site = {"strict": "Strict", "lax": "Lax", "none": "None"}.get(found.get("samesite", "").lower(), "")
    path = found.get("path", "")
    return SetCookie(
        name,
        value,
        None if expires is None else parse_cookie_date(expires),
        int(max_age[:12]) if re.fullmatch(r"-?[0-9]+", max_age) else None,
        found.get("domain", "").removeprefix(".").lower() or None,
        path if path.startswith("/") else None,
        "secure" in found,
        "httponly" in found,
        same_site,  # type: ignore[arg-type]
    )


def broken_prefix(name: str, secure: bool, domain: str | None, path: str | None) -> str | None:
    """Which rule of a name's prefix a cookie breaks (§4.1.3, §5.7 steps 20 to 22), whatever the case of the prefix."""
    folded = name.lower()
    if folded.startswith("__secure-") and not secure:
        return "the prefix __Secure- needs Secure"
    if folded.startswith("__host-") and not (secure and not domain and path == "/"):
        return "the prefix __Host- needs Secure, Path=/ and no Domain"
    return None


def parse_cookie_date(text: str) -> int | None:
    """Seconds since 1970 of an Expires attribute in any of the forms that are about (§5.1.1)."""
    clock: tuple[int, int, int] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text):
        if clock is None and (found := _CLOCK.match(token)):
            clock = int(found[1]), int(found[2]), int(found[3])
        elif day is None and (found := _DAY.match(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _YEAR.match(token)):
            year = int(found[1])
    if clock is None or day is None or month is None or year is None:
        return None
    year += 1900 if 70 <= year <= 99 else 2000 if year <= 69 else 0
    if year < 1601:
        return None
    try:
        return int(datetime(year, month, day, *clock, 0, UTC).timestamp())
    except ValueError:
        return None


def _attributes(parts: list[str]) -> Iterator[tuple[str, str]]:
    """Names in lower case with their values; the last of a name counts, so far as it can be used."""
    for part in parts:
        name, _, value = part.partition("=")
        name, value = name.strip(" \t").lower(), value.strip(" \t")
        usable = {
            "max-age": re.fullmatch(r"-?[0-9]+", value) is not None,
            "expires": parse_cookie_date(value) is not None,
        }
        if len(value) <= LARGEST_ATTRIBUTE and usable.get(name, True):
            yield name, value
