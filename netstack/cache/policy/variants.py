"""Which of several stored responses answers a request: Vary (RFC 9111 §4.1).

Selecting values match when they mean the same by their field's own definition. Normalised is only what a field's
definition allows: case, optional white space, empty list elements, weights, and order in the lists whose order says
nothing. A field that is not known here has to be the same octet for octet.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from netstack.cache.entry import Entry, Selecting, most_recent
from netstack.http.values import tokens

ANY = ("*",)
REMEMBERED = 300
"""Octets of a value whose normal form is remembered."""
_WEIGHT = re.compile(r"q=(?:(0(?:\.[0-9]{0,3})?)|1(?:\.0{0,3})?)", re.IGNORECASE)


def vary_names(value: str | None) -> tuple[str, ...]:
    """The names of a Vary field, sorted; ANY when "*" is among them (RFC 9110 §12.5.5)."""
    if value is None:
        return ()
    names = sorted(set(tokens(value)))
    return ANY if "*" in names else tuple(names)


def selecting(names: Sequence[str], fields: Mapping[str, str]) -> Selecting:
    """What a request has for these fields, normalised."""
    found: list[str | None] = []
    for name in names:
        value = fields.get(name)
        if value is None or name not in _NORMALISERS:
            found.append(value)
        else:
            found.append(_known(name, value) if len(value) <= REMEMBERED else _NORMALISERS[name](value))
    return tuple(found)


@lru_cache(maxsize=1024)
def _known(name: str, value: str) -> str:
    """Clients repeat themselves: a value that was seen is not taken apart again."""
    return _NORMALISERS[name](value)


def matches(entry: Entry, fields: Mapping[str, str]) -> bool:
    """Whether a stored response was selected by the same values as this request has."""
    if not entry.vary:
        return True
    return entry.vary != ANY and selecting(entry.vary, fields) in entry.selecting


def selected(entries: Sequence[Entry], fields: Mapping[str, str]) -> Entry | None:
    """The stored response for a request: of those that match the most recent one (RFC 9111 §4).

    A response without Vary is not used once a more recent one of the same key has it: whoever sent it may have forgotten it
    (RFC 9111 §4.1, last paragraph).
    """
    if len(entries) == 1:
        return entries[0] if matches(entries[0], fields) else None
    found = [entry for entry in entries if matches(entry, fields)]
    varied = [entry for entry in entries if entry.vary]
    if varied:
        newest = most_recent(varied)
        since = newest.date, newest.response_time
        found = [entry for entry in found if entry.vary or (entry.date, entry.response_time) > since]
    return most_recent(found) if found else None


def _elements(value: str) -> list[str]:
    return [each for part in value.split(",") if (each := part.strip(" \t"))]


def _weighted(value: str, name: Callable[[str], str], ordered: bool) -> str:
    """A list of names with weights (RFC 9110 §12.4.2); a weight of 1 is as good as none, others lose final zeros."""
    if '"' in value:
        return value
    found = []
    for element in _elements(value):
        first, *rest = (part.strip(" \t") for part in element.split(";"))
        parts = [name(first)]
        for parameter in rest:
            weight = _WEIGHT.fullmatch(parameter)
            if weight is None:
                key, equals, argument = parameter.partition("=")
                parts.append(key.lower() + equals + argument)
            elif weight[1] is not None:
                parts.append("q=" + (weight[1].rstrip("0").rstrip(".") or "0"))
        found.append(";".join(parts))
    return ",".join(found if ordered else sorted(found))


def _coding(name: str) -> str:
    """RFC 9110 §8.4.1: x-gzip and x-compress are other names of gzip and compress."""
    name = name.lower()
    return name.removeprefix("x-") if name in ("x-gzip", "x-compress") else name


_NORMALISERS: Mapping[str, Callable[[str], str]] = {
    # RFC 9110 §12.5.1: precedence is by how specific a range is, not by order; types are case-insensitive (§8.3.1)
    "accept": lambda value: _weighted(value, str.lower, ordered=False),
    # §12.5.2, §12.5.3: names are case-insensitive, their order says nothing
    "accept-charset": lambda value: _weighted(value, str.lower, ordered=False),
    "accept-encoding": lambda value: _weighted(value, _coding, ordered=False),
    # §12.5.4: some recipients take the order for the preference
    "accept-language": lambda value: _weighted(value, str.lower, ordered=True),
    # §7.2, RFC 3986 §3.2.2
    "host": str.lower,
}
