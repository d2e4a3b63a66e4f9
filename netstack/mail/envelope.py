"""A message's head as IMAP's ENVELOPE has it (RFC 9051 §7.5.2): addresses as they are written by people (RFC 5322 §3.4)."""

import re
from dataclasses import dataclass

from netstack.mail.message import Head

MOST = 1000
"""Addresses of one field that are looked at; and words of one name."""
_TOKEN = re.compile(
    r'\s+|"((?:[^"\\]|\\.)*)"?|(\[(?:[^\[\]\\]|\\.)*\]?)|([<>:;@,.])|(\()|([^\s"\[<>:;@,.()\\]+|[\\)])', re.DOTALL
)
_COMMENT = re.compile(r"[()]|\\.|[^()\\]+|\\", re.DOTALL)
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Address:
    """One of a list; with only a `local` it begins a group of that name, with nothing at all it ends it."""

    name: str | None = None
    """As it is written: encoded words (RFC 2047) are not decoded."""
    route: str | None = None
    local: str | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """RFC 9051 §7.5.2: values as they are written, unfolded; None where there is no such field."""

    date: bytes | None
    subject: bytes | None
    sender: tuple[Address, ...]
    from_: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    in_reply_to: bytes | None
    message_id: bytes | None


def envelope(of: Head) -> Envelope:
    """Where Sender and Reply-To say nothing, they are From's."""
    lists = {name: _listed(of, name) for name in (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")}
    return Envelope(
        of.get(b"date"),
        of.get(b"subject"),
        lists[b"sender"] or lists[b"from"],
        lists[b"from"],
        lists[b"reply-to"] or lists[b"from"],
        lists[b"to"],
        lists[b"cc"],
        lists[b"bcc"],
        of.get(b"in-reply-to"),
        of.get(b"message-id"),
    )


def address_list(text: str, most: int = MOST) -> list[Address]:
    """The addresses of a field's value, in time that grows with its length; what is none is left out."""
    return _Reader(text, most).run()


def _listed(of: Head, name: bytes) -> tuple[Address, ...]:
    found: list[Address] = []
    for value in of.all(name):
        found += address_list(value.decode("utf-8", "replace"), MOST - len(found))
    return tuple(found)


class _Reader:
    """Words are gathered until a comma, a semicolon or a bracket says what they were."""

    def __init__(self, text: str, most: int) -> None:
        self._text = text
        self._most = most
        self._found: list[Address] = []
        self._group = False
        self._clear()

    def _clear(self) -> None:
        self._words: list[tuple[str, bool]] = []
        """Words, and whether white space stood before each."""
        self._comment = ""
        self._angle: list[str] | None = None
        """What stands between < and >."""
        self._inside = False

    def run(self) -> list[Address]:
        at, space = 0, False
        while at < len(self._text) and len(self._found) < self._most:
            match = _TOKEN.match(self._text, at)
            if match is None:  # not to be reached: the last alternative takes what is left
                break
            at = match.end()
            if match[4] is not None:
                at = self._take_comment(at)
                space = True
            elif match[3] is not None:
                self._special(match[3], space)
                space = False
            elif match.lastindex is None:
                space = True
            else:
                quoted = match[1] is not None
                word = _PAIR.sub(r"\1", match[1]) if quoted else match[match.lastindex]
                self._word(word, space)
                space = False
        self._end()
        if self._group:
            self._found.append(Address())
        return self._found

    def _word(self, word: str, space: bool) -> None:
        if self._inside and self._angle is not None:
            self._angle.append(word)
        elif self._angle is None and len(self._words) < self._most:
            self._words.append((word, space))

    def _special(self, special: str, space: bool) -> None:
        if special == "<" and self._angle is None:
            self._angle, self._inside = [], True
        elif special == ">" and self._inside:
            self._inside = False
        elif self._inside and special in ",:;":
            if special == ";":
                self._inside = False
                self._special(special, space)
            else:
                self._word(special, space)
        elif special == ",":
            self._end()
        elif special == ":" and not self._group and not any(word == "@" for word, _ in self._words):
            self._found.append(Address(local=self._phrase() or ""))
            self._group = True
            self._clear()
        elif special == ";" and self._group:
            self._end()
            self._found.append(Address())
            self._group = False
        else:
            self._word(special, space)

    def _end(self) -> None:
        """What came since the last comma."""
        if self._angle is not None:
            self._add(self._phrase() or None, self._angle)
        elif self._words:
            self._add(self._comment or None, [word for word, _ in self._words])
        self._clear()

    def _add(self, name: str | None, words: list[str]) -> None:
        route = None
        if words[:1] == ["@"] and ":" in words:  # RFC 5322 §4.4: obs-route
            end = words.index(":")
            route, words = "".join(words[:end]), words[end + 1 :]
        last = max((number for number, word in enumerate(words) if word == "@"), default=None)
        local = "".join(words if last is None else words[:last])
        domain = "" if last is None else "".join(words[last + 1 :])
        if local or domain:
            self._found.append(Address(name and _shown(name), route, _shown(local), _shown(domain)))

    def _phrase(self) -> str:
        text = "".join(f" {word}" if space else word for word, space in self._words).strip()
        return _shown(text)

    def _take_comment(self, at: int) -> int:
        """To the end of a comment, which may have others inside."""
        depth, pieces = 1, []
        while depth and (match := _COMMENT.match(self._text, at)) is not None:
            at = match.end()
            depth += (match[0] == "(") - (match[0] == ")")
            if depth:
                pieces.append(_PAIR.sub(r"\1", match[0]))
        self._comment = "".join(pieces).strip()
        return at


def _shown(text: str) -> str:
    return _CONTROLS.sub(" ", text)
