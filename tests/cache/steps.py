"""The words of the conformance table: a row is what a client sends, what the origin would answer, what has to come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from netstack.http.values import http_date

Level = Literal["MUST", "SHOULD", "MAY"]
"""MAY: reuse that the RFC allows; a cache that does not is slower, not wrong."""


@dataclass(frozen=True)
class At:
    """A date that many seconds from the moment of writing."""

    seconds: int


Lines = Sequence[tuple[str, str | At]]


def written(lines: Lines, wall: float) -> list[tuple[str, str]]:
    """Field lines with their dates."""
    return [(name, http_date(wall + value.seconds) if isinstance(value, At) else value) for name, value in lines]


@dataclass(frozen=True)
class Reply:
    """What the origin answers when it is asked. A body of its own unless one is given."""

    status: int = 200
    fields: Lines = ()
    body: bytes | None = None
    cut: int | None = None
    """The connection breaks after so many octets of the body."""
    chunked: bool = False
    trailers: Lines = ()
    interim: tuple[int, Lines] | None = None
    """A 1xx response that comes before."""
    otherwise: "Reply | None" = None
    """The answer to a request without If-None-Match and If-Modified-Since."""
    dead: bool = False
    """The connection is closed without an answer."""
    delay: float = 0.0
    """Seconds until it comes."""


def ok(*fields: tuple[str, str | At], status: int = 200, body: bytes | None = None) -> Reply:
    """A response with a Date."""
    return Reply(status, (("Date", At(0)), *fields), body)


NO_STORE = ("Cache-Control", "no-store")
FRESH = ("Cache-Control", "max-age=3600")
SHORT = ("Cache-Control", "max-age=2")
TAG = ("ETag", '"one"')
OLD = ("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")
DEAD = Reply(dead=True)
NOT_STORED = ok(NO_STORE)
LATER = 3.2
"""Seconds after which SHORT is over for every cache, also for one that counts in whole seconds."""


@dataclass(frozen=True)
class Step:
    """One request, and what has to come of it."""

    fields: Lines = ()
    method: str = "GET"
    path: str = ""
    """After the row's own path."""
    host: str = "a.test"
    content: bytes = b""
    wait: float = 0.0
    """Seconds before it."""
    reply: Reply = NOT_STORED
    asked: bool | None = None
    """Whether the origin has to be asked; None for either."""
    sent: Mapping[str, str | None] = field(default_factory=dict)
    """Fields that the origin has to get if it is asked; None: may not be there."""
    status: int | None = None
    """That the client has to get; 5 for any of that class, None for any at all."""
    of: int | None = None
    """The step whose body the client has to get; -1 for nothing at all."""
    body: bytes | tuple[bytes, ...] | None = None
    """What the client has to get, or one of several."""
    holds: tuple[bytes, ...] = ()
    """What has to be in what the client gets."""
    got: Mapping[str, str | None] = field(default_factory=dict)
    """Fields that the client has to get: a value, None for absent, ">=N", "~part", "!value" for any other or none."""
    interim: int | None = None
    """A 1xx that has to come before."""
    unless_asked: bool = False
    """`status`, `of`, `body` and `got` hold only for an answer out of the store; else the origin's has to come."""
    settle: float = 0.0
    """Seconds to wait after it: something goes on in the background."""


@dataclass(frozen=True)
class Row:
    """One requirement."""

    name: str
    section: str
    level: Level
    steps: tuple[Step, ...]
    sockets: bool = False
    """About octets on a connection: not for the rules alone."""


def row(name: str, section: str, level: Level, *steps: Step, sockets: bool = False) -> Row:
    """RFC numbers and sections as "9111 §4.2"."""
    return Row(name, section, level, steps, sockets)


def forward(reply: Reply, *fields: tuple[str, str | At], method: str = "GET", **rest: object) -> Step:
    """The origin has to be asked, and its answer has to come."""
    status = None if reply.dead or reply.status == 304 else reply.status
    return change(Step(fields, method, reply=reply, asked=True, status=status), **rest)


def reused(*fields: tuple[str, str | At], of: int = 0, method: str = "GET", **rest: object) -> Step:
    """The origin may not be asked: the body of an earlier step comes."""
    return change(Step(fields, method, asked=False, status=200, of=of), **rest)


def validated(*fields: tuple[str, str | At], of: int = 0, reply: Reply | None = None, **rest: object) -> Step:
    """The origin is asked with conditions, says 304, and the body of an earlier step comes."""
    reply = reply or Reply(304, (("Date", At(0)), TAG), otherwise=ok(NO_STORE))
    return change(Step(fields, asked=True, reply=reply, status=200, of=of), **rest)


def change(step: Step, **rest: object) -> Step:
    """A step with something else about it."""
    return replace(step, **rest)  # type: ignore[arg-type]


def not_reused(
    name: str, section: str, level: Level, *fields: tuple[str, str | At], wait: float = 0.0, status: int = 200
) -> Row:
    """A response that may not be used for the same request again."""
    return row(name, section, level, forward(ok(*fields, status=status)), forward(ok(NO_STORE), wait=wait))


def is_reused(
    name: str, section: str, level: Level, *fields: tuple[str, str | At], wait: float = 0.0, status: int = 200
) -> Row:
    """A response that is used for the same request again."""
    return row(name, section, level, forward(ok(*fields, status=status)), reused(wait=wait, status=status))
