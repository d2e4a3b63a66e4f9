"""Structured field values (RFC 8941): the Dictionaries that are read, and the Items that are written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# RFC 8941 §3.1.2: key = ( lcalpha / "*" ) *( lcalpha / DIGIT / "_" / "-" / "." / "*" )
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
# §3.3.1, §3.3.2: at most 15 digits, or 12 and 3 after the point
_NUMBER = re.compile(r"-?[0-9]{1,15}(?![0-9.])|-?[0-9]{1,12}\.[0-9]{1,3}(?![0-9.])")
# §3.3.3: DQUOTE *chr DQUOTE, with a backslash before DQUOTE and backslash only
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
# §3.3.4: token = ( ALPHA / "*" ) *( tchar / ":" / "/" )
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
# §3.3.5
_OCTETS = re.compile(r":[A-Za-z0-9+/=]*:")
# §3.3.6
_BOOLEAN = re.compile(r"\?[01]")
_SPACE = re.compile(r" *")
_OWS = re.compile(r"[ \t]*")


@dataclass(frozen=True, slots=True)
class Token:
    """A Token, to be told from a String."""

    text: str


@dataclass(frozen=True, slots=True)
class Other:
    """A value of a type that no directive has: a Decimal, a Byte Sequence, an Inner List."""


Value = bool | int | str | Token | Other


class NotStructured(ValueError):
    """The field is to be ignored: it does not parse (RFC 8941 §4.2)."""


def parse_dictionary(text: str) -> Mapping[str, Value]:
    """The members of a Dictionary without their parameters, the last one where a key comes twice (RFC 8941 §4.2.2).

    Raises NotStructured.
    """
    found: dict[str, Value] = {}
    text = text.strip(" ")
    at = 0
    while at < len(text):
        key = _KEY.match(text, at)
        if key is None:
            raise NotStructured(text[at : at + 40])
        at = key.end()
        value: Value = True
        if text[at : at + 1] == "=":
            value, at = _member(text, at + 1)
        at = _parameters(text, at)
        found.pop(key[0], None)
        found[key[0]] = value
        at = _end(_OWS, text, at)
        if at == len(text):
            return found
        if text[at] != ",":
            raise NotStructured(text[at : at + 40])
        at = _end(_OWS, text, at + 1)
        if at == len(text):
            raise NotStructured("a comma at the end")
    return found


def bare_item(value: bool | int | str) -> str:
    """Serialised as Boolean, Integer or String (RFC 8941 §4.1); what a String cannot hold becomes "?"."""
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, int):
        return str(max(-999_999_999_999_999, min(999_999_999_999_999, value)))
    clean = "".join(each if " " <= each <= "~" else "?" for each in value)
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


def token_or_string(text: str) -> str:
    """As a Token when it is one, else as a String."""
    return text if _TOKEN.fullmatch(text) else bare_item(text)


def parameters(values: Mapping[str, bool | int | str | Token]) -> str:
    """Parameters after an Item (RFC 8941 §4.1.1.2)."""
    lines = []
    for key, value in values.items():
        if value is True:
            lines.append(f"; {key}")
        else:
            lines.append(f"; {key}={value.text if isinstance(value, Token) else bare_item(value)}")
    return "".join(lines)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _member(text: str, at: int) -> tuple[Value, int]:
    """An Item or an Inner List (§4.2.1.1)."""
    if text[at : at + 1] != "(":
        return _bare(text, at)
    at += 1
    while True:
        at = _end(_SPACE, text, at)
        if text[at : at + 1] == ")":
            return Other(), at + 1
        _, at = _bare(text, at)
        at = _parameters(text, at)
        if text[at : at + 1] not in (" ", ")"):
            raise NotStructured(text[at : at + 40])


def _bare(text: str, at: int) -> tuple[Value, int]:
    """§4.2.3.1"""
    if match := _NUMBER.match(text, at):
        return (Other() if "." in match[0] else int(match[0])), match.end()
    if match := _STRING.match(text, at):
        return re.sub(r"\\(.)", r"\1", match[1]), match.end()
    if match := _TOKEN.match(text, at):
        return Token(match[0]), match.end()
    if match := _BOOLEAN.match(text, at):
        return match[0] == "?1", match.end()
    if match := _OCTETS.match(text, at):
        return Other(), match.end()
    raise NotStructured(text[at : at + 40])


def _parameters(text: str, at: int) -> int:
    """The end of the parameters that begin here (§4.2.3.2)."""
    while text[at : at + 1] == ";":
        at = _end(_SPACE, text, at + 1)
        key = _KEY.match(text, at)
        if key is None:
            raise NotStructured(text[at : at + 40])
        at = key.end()
        if text[at : at + 1] == "=":
            _, at = _bare(text, at + 1)
    return at
