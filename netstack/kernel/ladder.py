"""Message rows as a ladder (sequence) diagram, the way the chapter draws a look-up: as text, as a list, as SVG. Pure.

The text is plain ASCII, so that it can be pasted anywhere.
"""

from collections.abc import Sequence
from html import escape

from netstack.kernel.journal import Row

WIDTH = 100
COLUMN = 14
"""Characters that a host's column needs at least; below it the diagram becomes a list."""


def hosts(rows: Sequence[Row]) -> list[str]:
    """The names of the ends, in order of appearance."""
    return list(dict.fromkeys(name for row in rows for name in (row.source_name, row.destination_name)))


def listing(rows: Sequence[Row]) -> str:
    """One numbered line for each message: `1  cse.nyu.edu -> dns.nyu.edu  A gaia.cs.umass.edu?`."""
    digits = len(str(len(rows)))
    flows = [f"{row.source_name} -> {row.destination_name}" for row in rows]
    wide = max(map(len, flows), default=0)
    return "\n".join(
        f"{number:>{digits}}  {flow:<{wide}}  {_said(row)}"
        for number, (row, flow) in enumerate(zip(rows, flows, strict=True), 1)
    )


def ladder(rows: Sequence[Row], width: int = WIDTH) -> str:
    """Hosts as columns, messages as numbered arrows, at most `width` characters wide; `listing` when the hosts don't fit."""
    names = hosts(rows)
    if not rows or len(names) * COLUMN > width:
        return listing(rows)
    spacing = min(width // len(names), max(COLUMN, *(len(name) + 4 for name in names), *_wanted(rows, names)))
    middles = {name: spacing // 2 + spacing * column for column, name in enumerate(names)}
    total = spacing * len(names)
    lifelines = _canvas(total, dict.fromkeys(middles.values(), "|"))
    lines = [*_headings(middles, spacing), "".join(lifelines).rstrip()]
    for number, row in enumerate(rows, 1):
        start, end = middles[row.source_name], middles[row.destination_name]
        left, right = min(start, end), max(start, end)
        text = list(lifelines)
        label = _clipped(f"{number} {_said(row)}", total)
        at = min(left + 2, total - len(label))
        text[at : at + len(label)] = label
        arrow = list(lifelines)
        if start == end:
            arrow[start : start + 3] = "|<>"
        else:
            arrow[left + 1 : right] = "-" * (right - left - 1)
            arrow[right - 1 if end > start else left + 1] = ">" if end > start else "<"
        lines += ["".join(text).rstrip(), "".join(arrow).rstrip()]
    return "\n".join(lines)


def svg(rows: Sequence[Row]) -> str:
    """The diagram as a stand-alone SVG document."""
    names = hosts(rows)
    spacing, step, top = 190, 34, 50
    middles = {name: spacing // 2 + spacing * column for column, name in enumerate(names)}
    wide, high = max(1, len(names)) * spacing, top + step * (len(rows) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
        ' font-family="sans-serif" font-size="12">',
        '<defs><marker id="head" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L9,4 L0,8 z"/></marker></defs>',
        f'<rect width="{wide}" height="{high}" fill="white"/>',
    ]
    for name, x in middles.items():
        parts.append(f'<text x="{x}" y="24" text-anchor="middle" font-weight="bold">{escape(name)}</text>')
        parts.append(f'<line x1="{x}" y1="34" x2="{x}" y2="{high - 8}" stroke="#999"/>')
    for number, row in enumerate(rows, 1):
        y = top + step * number - 12
        start, end = middles[row.source_name], middles[row.destination_name]
        title = f"{row.source_name} to {row.destination_name}, {row.protocol} over {row.transport}"
        path = f"M{start},{y - 8} h24 v8 h-24" if start == end else f"M{start},{y} H{end}"
        parts.append(
            f"<g><title>{escape(title)}, {len(row.data) + row.omitted} octets</title>"
            f'<path d="{path}" fill="none" stroke="black" marker-end="url(#head)"/>'
            f'<text x="{(start + end) // 2}" y="{y - 6}" text-anchor="middle" stroke="white" stroke-width="3"'
            f' paint-order="stroke">{number} {escape(_said(row))}</text></g>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _said(row: Row) -> str:
    """The summary on one line, with what a reader of plaintext must know: that it went under TLS."""
    summary = "".join(letter if letter.isprintable() else " " for letter in row.summary)
    return f"{summary} (TLS)" if row.secure else summary


def _wanted(rows: Sequence[Row], names: Sequence[str]) -> list[int]:
    """Column widths at which each label fits over its arrow."""
    places = {name: column for column, name in enumerate(names)}
    return [
        -(
            -(len(_said(row)) + len(str(len(rows))) + 5)
            // max(1, abs(places[row.source_name] - places[row.destination_name]))
        )
        for row in rows
    ]


def _clipped(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _canvas(width: int, marks: dict[int, str]) -> list[str]:
    return [marks.get(at, " ") for at in range(width)]


def _headings(middles: dict[str, int], spacing: int) -> list[str]:
    """The hosts' names centred over their lines, broken at dots where a column is too narrow."""
    broken = {name: _broken(name, spacing - 1) for name in middles}
    depth = max(len(parts) for parts in broken.values())
    lines = []
    for level in range(depth):
        line = [" "] * (spacing * len(middles))
        for name, middle in middles.items():
            parts = broken[name]
            text = parts[level - (depth - len(parts))] if level >= depth - len(parts) else ""
            at = middle - len(text) // 2
            line[at : at + len(text)] = text
        lines.append("".join(line).rstrip())
    return lines


def _broken(name: str, width: int) -> list[str]:
    lines = [""]
    for label in name.replace(".", ".\n").split("\n"):
        if lines[-1] and len(lines[-1]) + len(label) > width:
            lines.append("")
        lines[-1] += label
    return [_clipped(line, width) for line in lines]
