"""The circle as a picture (SVG 1.1): nodes where their identifiers lie, one node's shortcuts, and the ways of look-ups."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import cos, pi, sin

from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import LookedUp

SIZE = 640
RADIUS = 250
LABELS = 64
"""Of more nodes only the one that draws is named."""
COLOURS = ("#c0392b", "#8e44ad", "#16a085", "#d35400", "#2c3e50")
"""Of the ways, the newest first."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn."""

    circle: Circle
    me: Contact
    nodes: Sequence[Contact]
    successors: Sequence[Contact] = ()
    shortcuts: Sequence[Contact] = ()
    lookups: Sequence[LookedUp] = ()
    """The newest last."""


def shown(circle: Circle, ident: int) -> str:
    """An identifier for people: a number on small circles, else the first digits of its hexadecimal form."""
    return str(ident) if circle.bits <= 16 else f"{ident:0{-(-circle.bits // 4)}x}"[:6]


def draw(picture: Picture) -> str:
    """The SVG document."""
    circle, me = picture.circle, picture.me
    middle = SIZE / 2
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{len(picture.nodes)} nodes on a circle of {circle.bits} bits, as {shown(circle, me.ident)} sees it</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<circle cx="{middle:g}" cy="{middle:g}" r="{RADIUS}" fill="none" stroke="#95a5a6" stroke-width="2"/>',
    ]
    here = _place(circle, me.ident)
    for each in dict.fromkeys(picture.shortcuts):
        out.append(_line(here, _place(circle, each.ident), "#3498db", "shortcut", 'stroke-dasharray="4 3"'))
    for each in dict.fromkeys(picture.successors):
        if each != me:
            out.append(_line(here, _place(circle, each.ident), "#27ae60", "successor"))
    for colour, lookup in zip(COLOURS, reversed(picture.lookups), strict=False):
        places = [_place(circle, ident) for ident in lookup.path]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        said = f"key {shown(circle, lookup.key)}: {' - '.join(shown(circle, ident) for ident in lookup.path)}"
        out.append(f'<polyline class="way" points="{points}" fill="none" stroke="{colour}" stroke-width="2.5">')
        out.append(f"<title>{escape(said)}</title></polyline>")
        if lookup.key >= 0:
            x, y = _place(circle, lookup.key)
            out.append(f'<path class="key" d="M{x - 5:.1f},{y:.1f}l5,-5l5,5l-5,5z" fill="{colour}"/>')
    named = len(picture.nodes) <= LABELS
    for each in picture.nodes:
        x, y = _place(circle, each.ident)
        colour, radius = ("#e67e22", 8) if each == me else ("#34495e", 5)
        out.append(f'<circle class="node" cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}">')
        out.append(f"<title>{escape(f'{each.ident} {each.address}')}</title></circle>")
        if named or each == me:
            x, y = _place(circle, each.ident, RADIUS + 24)
            out.append(
                f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" dominant-baseline="middle">'
                f"{shown(circle, each.ident)}</text>"
            )
    out.append("</svg>\n")
    return "\n".join(out)


def _place(circle: Circle, ident: int, radius: float = RADIUS) -> tuple[float, float]:
    """Identifier 0 is on top, and they grow clockwise."""
    turn = 2 * pi * (ident / circle.size)
    return SIZE / 2 + radius * sin(turn), SIZE / 2 - radius * cos(turn)


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, kind: str, more: str = "") -> str:
    (a, b), (c, d) = start, end
    return (
        f'<line class="{kind}" x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}" stroke="{colour}" '
        f'stroke-width="1.5" {more}/>'
    )
