"""Circles of the chapter as hosts of a world, each with a node of netstack-ring, and what labs ask of them."""

from collections.abc import Callable, Mapping, Sequence
from math import cos, pi, sin
from typing import Any

from netstack.kernel.journal import Row
from netstack.lab.bench import Bench
from netstack.world.session import Session, SimulatedSession

CHAPTER = (1, 3, 4, 5, 8, 10, 12, 15)
OTHER = (1, 3, 4, 5, 8, 10, 12, 14)
SIX_BITS = (1, 12, 13, 25, 32, 40, 48, 60)
PERIOD = 1.0
"""Seconds between two pings of a peer's successors."""
BARE: Mapping[str, Any] = {"successors": 1, "shortcuts": False, "stabilize": PERIOD}
SHORTCUTS: Mapping[str, Any] = {"successors": 2, "stabilize": PERIOD, "fix": 0.2}
LOOK = 0.02
"""Seconds between two looks at what is waited for."""


def host(number: int) -> str:
    """Of the peer that is so far down the list, from 0."""
    return f"node{number + 1}.umass.edu"


def circle(
    bench: Bench,
    idents: Sequence[int],
    bits: int,
    ring: Mapping[str, Any],
    by_hand: Mapping[int, Sequence[int]] | None = None,
) -> Session:
    """A world with these peers; `by_hand`: shortcuts of some of them."""
    hosts = {}
    for number, ident in enumerate(idents):
        options = {"ident": ident, "bits": bits, "ring": dict(ring), "data": {"copies": 2}}
        if by_hand and ident in by_hand:
            options["shortcuts"] = [str(each) for each in by_hand[ident]]
        hosts[host(number)] = {"services": {"ring": options}}
    return bench.changed("small", {"hosts": hosts}, "circle", ring=True)


def services(running: Any) -> dict[int, Any]:
    """The ring services that run, by identifier."""
    return {each.service.peer.me.ident: each.service for _, each in running.with_plugin("ring")}


def successors(running: Any, ident: int) -> list[int]:
    """Those that a peer knows."""
    return [each.ident for each in services(running)[ident].peer.node.successors]


def predecessor(running: Any, ident: int) -> int:
    """The peer before one; -1 where it knows none."""
    before = services(running)[ident].peer.node.predecessor
    return before.ident if before is not None else -1


def leave(internet: Session, ident: int, at: str) -> None:
    """A peer goes politely; in simulations a host that stops does not."""
    if isinstance(internet, SimulatedSession):
        internet.drive(_leave, ident)
    internet.stop_host(at)


async def _leave(running: Any, ident: int) -> None:
    from twisted.internet.defer import maybeDeferred

    await maybeDeferred(services(running)[ident].stopService)


def settled(internet: Session, idents: Sequence[int], count: int, within: float = 30.0) -> float:
    """Wait until all know so many successors and their predecessor; seconds that it took, -1 if it does not come."""
    ordered = sorted(idents)
    right = {
        ident: [ordered[(place + step) % len(ordered)] for step in range(1, count + 1)]
        for place, ident in enumerate(ordered)
    }

    def whole(running: Any) -> bool:
        return all(
            successors(running, ident) == expected and predecessor(running, expected[0]) == ident
            for ident, expected in right.items()
        )

    return until(internet, [whole], within)[0]


def until(internet: Session, conditions: Sequence[Callable[[Any], bool]], within: float) -> list[float]:
    """When each came true for the first time, in seconds from now; -1 for those that did not."""
    found: list[float] = internet.drive(_until, conditions, within, within=within + 60.0)
    return found


async def _until(running: Any, conditions: Sequence[Callable[[Any], bool]], within: float) -> list[float]:
    from netstack.lab.post_office import sleep

    machine = next(one.machine for one in running.hosts.values() if one.machine is not None)
    begun = machine.reactor.seconds()
    found = [-1.0] * len(conditions)
    while True:
        passed = machine.reactor.seconds() - begun
        for place, condition in enumerate(conditions):
            if found[place] < 0 and condition(running):
                found[place] = passed
        if all(each >= 0 for each in found) or passed >= within:
            return found
        await sleep(machine, LOOK)


def pause(internet: Session, seconds: float) -> None:
    """Let the world go on."""
    until(internet, [lambda running: False], seconds)


def asked(internet: Session, at: int, key: int) -> tuple[int, list[int], list[Row]]:
    """Who is responsible, the path, and the rows of the journal with which the question was handed on."""
    internet.record()
    found = internet.drive(lambda running: services(running)[at].pass_on(key))
    rows = [row for row in internet.rows() if row.protocol == "ring" and row.summary.startswith("Forward")]
    responsible = found.responsible.ident if found.responsible is not None else -1
    return responsible, list(found.path), rows


def drawn(bits: int, idents: Sequence[int], path: Sequence[int] = (), wide: int = 41, high: int = 15) -> str:
    """The circle as text: peers where their identifiers lie, 0 on top; with the steps of a path in brackets."""
    lines = [[" "] * wide for _ in range(high)]
    order = {ident: str(place) for place, ident in enumerate(path)}
    for ident in [*range(1 << bits)] if bits <= 4 else idents:
        turn = 2 * pi * ident / (1 << bits)
        text = (f"{ident}[{order[ident]}]" if ident in order else str(ident)) if ident in idents else "."
        row = round((high - 1) / 2 * (1 - cos(turn)))
        left = round((wide - 6) / 2 * (1 + sin(turn)))
        lines[row][left : left + len(text)] = text
    return "\n".join("".join(line).rstrip() for line in lines)
