"""Cache directives of both sides: Cache-Control (RFC 9111 §5.2), targeted fields (RFC 9213), Pragma (RFC 9111 §5.4).

Whatever is malformed is read in the way that stores and reuses less (RFC 9111 §4.2.1).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from netstack.cache.structured import NotStructured, Token, Value, parse_dictionary

MOST_SECONDS = 2**31
"""RFC 9111 §1.2.2: what is larger counts as this."""

REMEMBERED = 300
"""Octets of a field whose meaning is remembered."""

# RFC 9110 §5.6.4
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
# RFC 9110 §5.6.2
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

Given = tuple[tuple[str, str | None], ...]
"""Directives in order: the name in lower case, and the argument without its quotes, None where there is none."""


@dataclass(frozen=True, slots=True)
class RequestControl:
    """What a request says (RFC 9111 §5.2.1, RFC 5861 §4). Seconds; None where it says nothing."""

    no_cache: bool = False
    no_store: bool = False
    no_transform: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    max_stale: int | None = None
    min_fresh: int | None = None
    stale_if_error: int | None = None


@dataclass(frozen=True, slots=True)
class ResponseControl:
    """What a response says to a shared cache (RFC 9111 §5.2.2, RFC 5861, RFC 8246). Seconds; None where it says nothing."""

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    withheld: frozenset[str] = frozenset()
    """Names of fields, in lower case, that are not for other requests: the arguments of no-cache and private."""
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    no_transform: bool = False
    immutable: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    targeted: bool = False
    """Said by a field for this class of caches: Cache-Control and Expires do not count (RFC 9213 §2.2)."""


NOTHING_ASKED = RequestControl()
NOTHING_SAID = ResponseControl()


def parse_directives(value: str) -> Given:
    """The directives of a Cache-Control field, repeated lines joined by commas (RFC 9111 §5.2)."""
    found: list[tuple[str, str | None]] = []
    for element in _elements(value):
        name, equals, argument = element.partition("=")
        if not equals:
            found.append((element.lower(), None))
            continue
        if name != name.rstrip(" \t") or argument != argument.lstrip(" \t"):
            argument = " " + argument  # no argument of any directive begins with a space: it is refused where it is read
        quoted = _QUOTED.fullmatch(argument)
        found.append((
            name.rstrip(" \t").lower(),
            argument if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1]),
        ))  # fmt: skip
    return tuple(found)


def request_control(fields: Mapping[str, str]) -> RequestControl:
    """The directives of a request; Pragma: no-cache counts where Cache-Control is not sent (RFC 9111 §5.4)."""
    value = fields.get("cache-control")
    if value is None:
        pragma = fields.get("pragma")
        if pragma is not None and any(name == "no-cache" for name, _ in parse_directives(pragma)):
            return RequestControl(no_cache=True)
        return NOTHING_ASKED
    return _asked(value) if len(value) <= REMEMBERED else _request_control(parse_directives(value))


@lru_cache(maxsize=1024)
def _asked(value: str) -> RequestControl:
    """Clients repeat themselves, and so do origins: a value that was seen is not read again."""
    return _request_control(parse_directives(value))


@lru_cache(maxsize=1024)
def _said(value: str) -> ResponseControl:
    return _response_control(parse_directives(value), False)


def _request_control(given: Given) -> RequestControl:
    names = {name for name, _ in given}
    max_stale = _seconds(given, "max-stale")
    if ("max-stale", None) in given:
        max_stale = MOST_SECONDS  # RFC 9111 §5.2.1.2: a stale response of any age
    return RequestControl(
        "no-cache" in names,
        "no-store" in names,
        "no-transform" in names,
        "only-if-cached" in names,
        _seconds(given, "max-age"),
        max_stale,
        _seconds(given, "min-fresh", worst=MOST_SECONDS),
        _seconds(given, "stale-if-error"),
    )


def response_control(fields: Mapping[str, str], targets: Sequence[str] = ()) -> ResponseControl:
    """The directives of a response: of the first field of `targets` that is there, valid and not empty (RFC 9213 §2.2),
    else of Cache-Control. Names in `targets` are in lower case."""
    for name in targets:
        value = fields.get(name)
        if value is None:
            continue
        try:
            members = parse_dictionary(value)
        except NotStructured:
            continue
        if members:
            return _response_control(tuple(_given(members)), True)
    value = fields.get("cache-control")
    if value is None:
        return NOTHING_SAID
    return _said(value) if len(value) <= REMEMBERED else _response_control(parse_directives(value), False)


def _response_control(given: Given, targeted: bool) -> ResponseControl:
    names = {name for name, _ in given}
    no_cache, withheld = _listed(given, "no-cache")
    private, personal = _listed(given, "private")
    return ResponseControl(
        "no-store" in names,
        no_cache,
        private,
        withheld | personal,
        "public" in names,
        "must-revalidate" in names,
        "proxy-revalidate" in names,
        "must-understand" in names,
        "no-transform" in names,
        "immutable" in names,
        _seconds(given, "max-age"),
        _seconds(given, "s-maxage"),
        _seconds(given, "stale-while-revalidate"),
        _seconds(given, "stale-if-error"),
        targeted,
    )


def _given(members: Mapping[str, Value]) -> Iterator[tuple[str, str | None]]:
    """Directives of a targeted field; a value of the wrong type becomes an argument that is refused."""
    for name, value in members.items():
        if value is True:
            yield name, None
        elif isinstance(value, Token):
            yield name, value.text
        elif value is not False:
            wrong = isinstance(value, str) and name not in ("no-cache", "private")
            yield name, f" {value}" if wrong else str(value) if isinstance(value, int | str) else " "


def _elements(value: str) -> Iterator[str]:
    """What stands between commas that are in no quoted string; a quote that is never closed is no quote."""
    at = start = 0
    while at < len(value):
        if value[at] == '"' and (quoted := _QUOTED.match(value, at)):
            at = quoted.end()
            continue
        if value[at] == ",":
            if element := value[start:at].strip(" \t"):
                yield element
            start = at + 1
        at += 1
    if element := value[start:].strip(" \t"):
        yield element


def _seconds(given: Given, wanted: str, worst: int = 0) -> int | None:
    """The argument of a directive, None where it is absent; `worst` where it is invalid or given twice with two values."""
    found: int | None = None
    for name, argument in given:
        if name != wanted:
            continue
        valid = argument is not None and argument.isascii() and argument.isdigit()
        seconds = worst
        if argument is not None and valid:
            seconds = MOST_SECONDS if len(argument.lstrip("0")) > 10 else min(MOST_SECONDS, int(argument))
        if found is not None and found != seconds:
            return worst
        found = seconds
    return found


def _listed(given: Given, wanted: str) -> tuple[bool, frozenset[str]]:
    """Whether a directive is given for the whole response, and else the fields that it is given for."""
    names: set[str] = set()
    for name, argument in given:
        if name != wanted:
            continue
        listed = [] if argument is None else [each.strip(" \t") for each in argument.split(",") if each.strip(" \t")]
        if not listed or not all(_NAME.fullmatch(each) for each in listed):
            return True, frozenset()
        names.update(each.lower() for each in listed)
    return False, frozenset(names)
