"""The caching rules with a store and an origin in memory: a cache without sockets and without a clock of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from netstack.cache.entry import Entry, head_lines
from netstack.cache.policy import Action, Answer, Final, Forward, Outcome, Serve, completed, failed, plan, received
from netstack.cache.rules import Rules
from netstack.cache.status import forwarded, hit, own
from netstack.http.wire import Request
from tests.cache.messages import Lines, request_key, response

BOUNDARY = "boundary"


@dataclass(frozen=True)
class Reply:
    """What an origin answers, and after how long."""

    status: int = 200
    fields: Lines = ()
    body: bytes = b""
    seconds: float = 0.0
    cut: int | None = None
    """The connection breaks after so many octets of the body."""


@dataclass(frozen=True)
class Asked:
    """A request as the origin gets it."""

    method: str
    fields: dict[str, str]


Origin = Callable[[Asked], Reply | None]
"""None: it cannot be reached."""


@dataclass
class Got:
    """What the client gets."""

    status: int
    fields: dict[str, str]
    body: bytes


@dataclass
class MemoryCache:
    """Everything that a proxy does, one request after another."""

    origin: Origin
    rules: Rules = field(default_factory=Rules)
    wall: float = 1_000_000_000.0
    scheme: str = "http"
    bodies: dict[bytes, list[tuple[Entry, bytes]]] = field(default_factory=dict)

    def stored(self, key: bytes) -> list[Entry]:
        return [entry for entry, _ in self.bodies.get(key, [])]

    def ask(self, request: Request) -> Got:
        """One request of a client."""
        key = request_key(request, self.scheme)
        what = plan(request, key, self.stored(key), self.wall, self.rules)
        if isinstance(what, Final):
            return self._made(Answer(what.status, b""), what.body or b"", None, own(self.rules, what.detail), what.fields)
        if isinstance(what, Serve):
            got = self._served(what.entry, what.answer, hit(self.rules, what.entry, self.wall))
            if what.refresh is not None:
                self._forward(what.refresh, request)
            return got
        return self._forward(what, request)

    def _forward(self, what: Forward, request: Request, again: bool = False) -> Got:
        asked = Asked(request.method, {name.lower(): value for name, value in what.fields})
        before = self.wall
        reply = self.origin(asked)
        if reply is None:
            served = failed(what, request, self.wall, self.rules)
            if served is None:
                return Got(504, {"cache-status": forwarded(self.rules, what.why, what.key)}, b"")
            return self._served(served.entry, served.answer, hit(self.rules, served.entry, self.wall))
        self.wall += reply.seconds
        outcome = received(what, request, response(reply.status, reply.fields), before, self.wall, self.rules)
        for key in outcome.invalidates:
            self.bodies.pop(key, None)
        if outcome.action is Action.AGAIN:
            assert outcome.again is not None
            assert not again
            self._remove(what.key, outcome)
            return self._forward(outcome.again, request, again=True)
        if outcome.action is Action.FAIL:
            return Got(502, {}, b"")
        return self._outcome(what, request, reply, outcome)

    def _outcome(self, what: Forward, request: Request, reply: Reply, outcome: Outcome) -> Got:
        base = b""
        for entry, body in self.bodies.get(what.key, []):
            if entry is outcome.base:
                base = body
        if outcome.action is Action.SERVE:
            assert outcome.entry is not None
            assert outcome.answer is not None
            body = next(body for entry, body in self.bodies[what.key] if entry is outcome.base)
            self._remove(what.key, outcome)
            status = forwarded(self.rules, what.why, what.key, reply.status)
            return self._made(outcome.answer, body, outcome.entry, status)
        self._remove(what.key, outcome)
        came = reply.body if reply.cut is None else reply.body[: reply.cut]
        body = came
        if outcome.action is Action.COMBINE:
            body = b"".join(
                (base if piece.stored else came)[piece.offset : piece.offset + piece.length] for piece in outcome.pieces
            )
        stored = False
        if outcome.action in (Action.STORE, Action.COMBINE):
            assert outcome.entry is not None
            ended = completed(outcome.entry, len(body), reply.cut is None)
            if ended is not None:
                stored = True
                self.bodies.setdefault(what.key, []).append((ended, body))
        status = forwarded(self.rules, what.why, what.key, stored=stored)
        if outcome.answer is not None:
            return self._made(outcome.answer, body, outcome.entry, status)
        return self._made(Answer(reply.status, b""), came, None, status, outcome.fields)

    def _remove(self, key: bytes, outcome: Outcome) -> None:
        changed = {id(old): new for old, new in outcome.freshened}
        gone = {id(entry) for entry in outcome.removes}
        self.bodies[key] = [
            (changed.get(id(entry), entry), body) for entry, body in self.bodies.get(key, []) if id(entry) not in gone
        ]  # fmt: skip

    def _served(self, entry: Entry, answer: Answer, status: str) -> Got:
        body = next(body for each, body in self.bodies[entry.key] if each is entry)
        return self._made(answer, body, entry, status)

    def _made(
        self, answer: Answer, body: bytes, entry: Entry | None, status: str, fields: Sequence[tuple[str, str]] = ()
    ) -> Got:
        lines: dict[str, str] = {}
        for name, value in [*head_lines(answer.head), *fields, ("cache-status", status)]:
            lines[name.lower()] = f"{lines[name.lower()]}, {value}" if name.lower() in lines else value
        if entry is None:
            return Got(answer.status, lines, body)
        lines["age"] = str(entry.age(self.wall))
        if answer.length is not None and answer.status != 304:
            lines["content-length"] = str(answer.length)
        if len(answer.parts) < 2:
            return Got(answer.status, lines, b"".join(
                body[at:] if length < 0 else body[at : at + length] for at, length in answer.parts
            ))  # fmt: skip
        heads, tail = answer.between(BOUNDARY)
        lines["content-type"] = f"multipart/byteranges; boundary={BOUNDARY}"
        parts = [head + body[at : at + length] for head, (at, length) in zip(heads, answer.parts, strict=True)]
        return Got(answer.status, lines, b"".join(parts) + tail)
