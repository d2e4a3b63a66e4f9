"""The conformance table against the rules with a store and an origin in memory."""

import re

import pytest

from netstack.cache.rules import Rules
from tests.cache import engine
from tests.cache.conformance import ROWS, Seen, body_of, problem, reply_to
from tests.cache.messages import NOW, request
from tests.cache.steps import Row, written

RULES = Rules(name="cache.test", targets=("cdn-cache-control",))


def run(row: Row) -> str | None:
    """What is wrong in a row."""
    requests: list[dict[str, str]] = []
    number = 0

    def origin(asked: engine.Asked) -> engine.Reply | None:
        requests.append(asked.fields)
        step = row.steps[number]
        reply = reply_to(step, asked.fields)
        if reply.dead:
            return None
        fields = [(name, value.replace("%ROW%", row.name)) for name, value in written(reply.fields, made.wall)]
        body = body_of(row.name, number, reply)
        length = [] if reply.status in (204, 304) else [("Content-Length", str(len(body)))]
        return engine.Reply(reply.status, [*fields, *length], b"" if asked.method == "HEAD" else body, reply.delay)

    made = engine.MemoryCache(origin, RULES, NOW)
    for step in row.steps:
        made.wall += step.wait
        requests.clear()
        fields = list(written(step.fields, made.wall))
        if step.content:
            fields.append(("Content-Length", str(len(step.content))))
        got = made.ask(request(step.method, f"/{row.name}{step.path}", fields, step.host))
        seen = Seen(requests, got.status, got.fields, got.body)
        if wrong := problem(row, number, seen):
            return wrong
        number += 1
    return None


@pytest.mark.parametrize("row", [row for row in ROWS if not row.sockets], ids=lambda row: row.name)
def test_the_rules_conform(row: Row) -> None:
    assert run(row) is None


def test_rows_are_well_formed() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert [
        row.name
        for row in ROWS
        if not re.fullmatch(r"(9110|9111|9112|9211|9213|5861|8246) §[0-9.]+[0-9]|.* §[0-9]", row.section)
    ] == []
    assert len(names) > 300
