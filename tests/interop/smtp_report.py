"""The dialogues as a report: `python -m tests.interop.smtp_report > docs/reports/smtp-conformance.md`.

What it says of the others is what test_smtp_side_by_side.py holds against them; nothing is run.
"""

from collections.abc import Iterator

from tests.interop.smtp_dialogues import FAMILIES, ROWS
from tests.interop.smtp_differences import SERVERS


def report() -> Iterator[str]:
    """The lines of the report."""
    why = {
        kind: {row: reason for reason, rows in server.different for row in rows.split()} for kind, server in SERVERS.items()
    }
    titles = " | ".join(server.title for server in SERVERS.values())
    yield "# The mail server beside Postfix, Exim and OpenSMTPD: dialogues"
    yield ""
    yield "Command: `python -m tests.interop.smtp_report`, of what `tests/interop/test_smtp_side_by_side.py` checks:"
    yield f"{len(ROWS)} dialogues (`tests/interop/smtp_dialogues.py`), sent octet for octet to all four in one run. They"
    yield "are Debian 12's, as they come but for their own domain, users and keys; nobody may relay but who logs in. Replies"
    yield "agree when they are of the same classes, in the same order, and the connection ends alike. Cells: dialogues that"
    yield "agree with ours / otherwise, but allowed / where an RFC asks for what ours does, or the server cannot be asked"
    yield "(TLS of OpenSMTPD)."
    yield ""
    yield f"| dialogues | {titles} |"
    yield f"|---|{'---|' * len(SERVERS)}"
    for family, rows in FAMILIES.items():
        cells = []
        for told in why.values():
            reasons = [told.get(row.name) for row in rows]
            allowed = sum(reason is not None and "Allowed" in reason for reason in reasons)
            cells.append(f"{reasons.count(None)} / {allowed} / {len(rows) - reasons.count(None) - allowed}")
        yield f"| {family} ({len(rows)}) | {' | '.join(cells)} |"
    for server in SERVERS.values():
        yield ""
        yield f"## {server.title}"
        yield ""
        for reason, names in server.different:
            yield f"- {reason} ({', '.join(names.split())})"
        yield ""
        yield "| ours | theirs | same class, another code |"
        yield "|---|---|---|"
        for (ours, theirs), reason in server.codes.items():
            yield f"| {ours} | {theirs} | {reason} |"
    yield ""
    yield "## What ours replies"
    yield ""
    yield "Without the greeting and the reply to QUIT, with which every dialogue ends; `3x250` is 250 three times, `end` a"
    yield "connection that ours closes instead of answering QUIT, `-` no reply, as none is to come. The last columns say"
    yield "who does otherwise."
    yield ""
    yield f"| dialogue | RFC | replies | {titles} |"
    yield f"|---|---|---|{'---|' * len(SERVERS)}"
    for row in ROWS:
        verdicts = [why[kind].get(row.name) for kind in SERVERS]
        cells = ["" if each is None else "allowed" if "Allowed" in each else "otherwise" for each in verdicts]
        yield f"| {row.name} | {row.section} | {row.ours} | {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(report()))
