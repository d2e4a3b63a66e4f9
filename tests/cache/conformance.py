"""The conformance table: what RFC 9111, 9110 §13-§15, 5861, 8246, 9211 and 9213 ask of a shared cache.

A row names its section and level, and is sent as it stands to the rules in memory (test_conformance.py), to netstack-cache
on sockets, and to Squid, Varnish and nginx (tests/interop/test_cache_side_by_side.py).
"""

from collections.abc import Mapping, Sequence

from tests.cache.rows import freshness, passing, ranges, selection, storing, validation
from tests.cache.steps import Reply, Row, Step

ROWS: tuple[Row, ...] = (
    storing.ROWS + freshness.ROWS + validation.ROWS + selection.ROWS + ranges.ROWS + passing.ROWS
)  # fmt: skip


class Seen:
    """What happened at one step: the origin's requests (fields in lower case) and the client's response."""

    def __init__(self, requests: Sequence[Mapping[str, str]], status: int, fields: Mapping[str, str], body: bytes) -> None:
        self.requests = requests
        self.status = status
        self.fields = fields
        self.body = body
        self.interim: Sequence[int] = ()


def body_of(name: str, step: int, reply: Reply) -> bytes:
    """What the origin answers at a step, when it does not answer with another body."""
    if reply.status in (204, 304):
        return b""
    return f"the answer of {name} at step {step}\n".encode() if reply.body is None else reply.body


def problem(row: Row, number: int, seen: Seen) -> str | None:
    """What is wrong at a step, None when all is as the row asks."""
    step = row.steps[number]
    asked = bool(seen.requests)
    if step.asked is not None and step.asked is not asked:
        return f"step {number}: the origin was {'asked' if asked else 'not asked'}"
    if asked:
        for name, wanted in step.sent.items():
            if complaint := _field(wanted, seen.requests[0].get(name)):
                return f"step {number}: the origin got {name} {complaint}"
    if step.unless_asked and asked:
        return None
    if step.status is not None and step.status not in (seen.status, seen.status // 100):
        return f"step {number}: status {seen.status}"
    body = step.body
    if step.of is not None:
        body = b"" if step.of < 0 else body_of(row.name, step.of, row.steps[step.of].reply)
    elif body is None and step.asked and step.method != "HEAD" and step.status == step.reply.status:
        body = body_of(row.name, number, step.reply)
    if body is not None and seen.body not in (body if isinstance(body, tuple) else (body,)):
        return f"step {number}: body {seen.body[:80]!r}"
    if missing := [each for each in step.holds if each not in seen.body]:
        return f"step {number}: no {missing[0]!r} in {seen.body[:80]!r}"
    if step.interim is not None and step.interim not in seen.interim:
        return f"step {number}: no {step.interim}"
    for name, wanted in step.got.items():
        if complaint := _field(wanted, seen.fields.get(name)):
            return f"step {number}: {name} {complaint}"
    return None


def _field(wanted: str | None, found: str | None) -> str | None:
    """What is wrong with a field's value; see Step.got. After "~" and "^" come parts that have to, and may not, be there."""
    if wanted is None or found is None:
        absent = wanted is None or wanted.startswith("!")
        return None if absent == (found is None) or (wanted or "").startswith("!") else f"is {found!r}"
    if wanted.startswith(">="):
        right = found.isdigit() and int(found) >= int(wanted[2:])
    elif wanted.startswith("!"):
        right = found != wanted[1:]
    elif wanted.startswith("~"):
        parts = wanted[1:].split("~")
        right = all((part[1:] not in found) if part.startswith("^") else (part in found) for part in parts)
    else:
        right = found == wanted
    return None if right else f"is {found!r}"


def conditional(fields: Mapping[str, str]) -> bool:
    """Whether an origin that has `otherwise` answers with its first reply."""
    return "if-none-match" in fields or "if-modified-since" in fields


def reply_to(step: Step, fields: Mapping[str, str]) -> Reply:
    """What the origin answers to a request at a step: `otherwise` is for requests without conditions, and without Range
    where the first reply is a part."""
    if step.reply.otherwise is None:
        return step.reply
    suits = "range" in fields if step.reply.status in (206, 416) else conditional(fields)
    return step.reply if suits else step.reply.otherwise
