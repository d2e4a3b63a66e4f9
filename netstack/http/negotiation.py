"""Which version of a resource a client wants (RFC 9110 §12): language, content coding, media type, program.

What a client does not mention it may still be sent; only what it refuses, with a weight of 0, it is not (406).
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

# RFC 9110 §12.4.2: weight = OWS ";" OWS "q=" qvalue
_WEIGHT = re.compile(r"[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*")
_ZERO = re.compile(r"[qQ]=0(?:\.0{0,3})?[ \t]*(?:[,;]|$)")
_ELEMENTS = 64
"""Elements of one list that are looked at; what follows counts as not mentioned."""

CODINGS: Mapping[str, str] = MappingProxyType({"br": "br", "zst": "zstd", "gz": "gzip"})
"""Endings of precompressed files and their content codings (RFC 9110 §8.4.1, RFC 7932, RFC 8878)."""


def weights(value: str) -> dict[str, float]:
    """The elements of an Accept-… list in lower case with their weights; malformed ones are left out (RFC 9110 §12.4.2)."""
    found: dict[str, float] = {}
    for element in value.split(",", _ELEMENTS)[:_ELEMENTS]:
        name, *parameters = element.split(";")
        name = name.strip(" \t").lower()
        weight = 1.0
        for parameter in parameters:
            match = _WEIGHT.fullmatch(parameter)
            if match is not None:
                weight = float(match[1])
            elif parameter.strip(" \t")[:2].lower() == "q=":
                name = ""
        if name:
            found[name] = weight
    return found


def language_weight(wanted: Mapping[str, float], tag: str) -> float | None:
    """The weight of a language, None when it is not mentioned (RFC 4647 §3.3.1 filtering, then §3.4 lookup).

    The longest range that is the tag or a prefix of it counts; else a range that the tag is a prefix of (fr-CA is content
    with fr); else "*".
    """
    tag = tag.lower()
    parts = tag.split("-")
    for end in range(len(parts), 0, -1):
        weight = wanted.get("-".join(parts[:end]))
        if weight is not None:
            return weight
    narrower = [weight for range_, weight in wanted.items() if range_.startswith(tag + "-")]
    return max(narrower) if narrower else wanted.get("*")


def choose_language(value: str | None, tags: Sequence[str]) -> str | None:
    """The best of the languages that there are, the first where none is mentioned; None when all are refused (§12.5.4)."""
    if value is None:
        return tags[0]
    wanted = weights(value)
    weighed = [(language_weight(wanted, tag), tag) for tag in tags]
    mentioned = [(weight, tag) for weight, tag in weighed if weight]
    if mentioned:
        return max(mentioned, key=lambda each: each[0])[1]
    return next((tag for weight, tag in weighed if weight is None), None)


def choose_coding(value: str | None, sizes: Mapping[str, int]) -> str | None:
    """The content coding to use, "identity" for none; None when all are refused (RFC 9110 §12.5.3).

    `sizes` are octets by coding, identity among them; of equally wanted codings the smallest is used.
    """
    if value is None or (len(sizes) == 1 and "=" not in value):
        return "identity"
    wanted = weights(value.lower().replace("x-gzip", "gzip"))
    others = wanted.get("*")
    coded = [
        (weight, -size, name) for name, size in sizes.items() if (weight := wanted.get(name, others)) and name != "identity"
    ]
    identity = wanted.get("identity")
    if coded:
        best = max(coded)
        if identity is None or best[0] >= identity:
            return best[2]
    return "identity" if identity or (identity is None and others != 0) else None


def refuses_type(value: str | None, media: str) -> bool:
    """Whether an Accept field gives a media type the weight 0 (RFC 9110 §12.5.1), by the most specific range."""
    if value is None or not _ZERO.search(value):  # most requests refuse nothing
        return False
    wanted = weights(value)
    media = media.partition(";")[0]
    for form in (media, media.partition("/")[0] + "/*", "*/*"):
        if form in wanted:
            return wanted[form] == 0
    return False


def choose_program(value: str | None, programs: Sequence[str]) -> str | None:
    """The first of `programs` that a User-Agent field names, in any case of letters (RFC 9110 §10.1.5)."""
    if value is None:
        return None
    told = value.lower()
    return next((program for program in programs if program.lower() in told), None)
