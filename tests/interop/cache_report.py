"""The conformance table as a report: `python -m tests.interop.cache_report > docs/reports/cache-conformance.md`.

What it says of the others is what test_cache_side_by_side.py holds against them; nothing is run.
"""

from collections.abc import Iterator, Mapping, Sequence

from tests.cache.conformance import ROWS
from tests.cache.steps import Row
from tests.interop.cache_differences import NGINX, OURS, SQUID, VARNISH, Differences

CACHES: dict[str, Differences] = {"netstack-cache": OURS, "Squid 5.7": SQUID, "Varnish 7.1": VARNISH, "nginx 1.22": NGINX}
LEVELS = ("MUST", "SHOULD", "MAY")


def report() -> Iterator[str]:
    """The lines of the report."""
    why = {name: {row: reason for reason, rows in told for row in rows.split()} for name, told in CACHES.items()}
    yield "# The Web cache beside Squid, Varnish and nginx: conformance"
    yield ""
    yield "Command: `python -m tests.interop.cache_report`, of what `tests/interop/test_cache_side_by_side.py` checks:"
    yield f"{len(ROWS)} rows, each a dialogue of a client and an origin through the cache, sent to all four in one run."
    yield "They are Debian 12's; nginx is keyed also by Host and validates (`proxy_cache_revalidate`), Varnish runs without"
    yield "its default grace. MAY is reuse that an RFC allows, or a choice between two ways. Cells: rows as the table asks /"
    yield "otherwise, but allowed (the cache does less, so that the question does not arise) / not met."
    yield ""
    yield f"| rows | {' | '.join(CACHES)} |"
    yield f"|---|{'---|' * len(CACHES)}"
    for level in LEVELS:
        rows = [row for row in ROWS if row.level == level]
        yield f"| {level} ({len(rows)}) | {' | '.join(_counts(rows, why[name]) for name in CACHES)} |"
    for family in sorted({row.section.split()[0] for row in ROWS}):
        rows = [row for row in ROWS if row.section.split()[0] == family]
        yield f"| RFC {family} ({len(rows)}) | {' | '.join(_counts(rows, why[name]) for name in CACHES)} |"
    yield ""
    yield "## Why"
    for name, told in CACHES.items():
        yield ""
        yield f"{name}:" if told else f"{name}: as the table asks, in every row."
        for reason, rows in told:
            yield f"- {reason} ({len(rows.split())})"
    yield ""
    yield "## Rows in which somebody does otherwise"
    yield ""
    yield f"| row | section | level | {' | '.join(CACHES)} |"
    yield f"|---|---|---|{'---|' * len(CACHES)}"
    for row in ROWS:
        if any(row.name in told for told in why.values()):
            cells = [_verdict(row, why[name]) for name in CACHES]
            yield f"| {row.name} | RFC {row.section} | {row.level} | {' | '.join(cells)} |"


def _verdict(row: Row, why: Mapping[str, str]) -> str:
    reason = why.get(row.name)
    return "yes" if reason is None else "allowed" if "Allowed" in reason else "no"


def _counts(rows: Sequence[Row], why: Mapping[str, str]) -> str:
    verdicts = [_verdict(row, why) for row in rows]
    return " / ".join(str(verdicts.count(each)) for each in ("yes", "allowed", "no"))


if __name__ == "__main__":
    print("\n".join(report()))
