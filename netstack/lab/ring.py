"""Who has a key, and how many peers does the question pass on the chapter's circles, bare and with shortcuts?

Each peer is a host with netstack-ring; the question is handed from peer to peer, and the journal counts how often. The
answer, which goes straight back, is not counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import cos, pi, sin
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.ring_world import (
    BARE,
    CHAPTER,
    OTHER,
    SHORTCUTS,
    SIX_BITS,
    asked,
    circle,
    drawn,
    host,
    leave,
    pause,
    predecessor,
    settled,
    successors,
    until,
)

TITLE = "The chapter's circles of peers: who has a key, and how the question gets there"
SUBSTRATES = ("simulated", "loopback")


@dataclass(frozen=True, slots=True)
class Case:
    """One circle, and what is asked on it."""

    what: str
    bits: int
    idents: Sequence[int]
    ring: Mapping[str, Any]
    questions: Sequence[tuple[int, Sequence[int]]]
    """Keys, and the peers that the question passes, where it is asked first."""
    by_hand: Mapping[int, Sequence[int]] = field(default_factory=dict)


NOT_SHOWN = ("on loopback: a peer that comes, for a node that has left begins again only with a new process.",)
SHORTCUTS_TAKE = 4.0
"""Seconds within which all are there."""

CASES = (
    Case("bare", 4, CHAPTER, BARE, ((14, (3, 4, 5, 8, 10, 12, 15)), (11, (3, 4, 5, 8, 10, 12)))),
    Case("with shortcuts", 4, CHAPTER, SHORTCUTS, ((14, (3, 12, 15)),)),
    Case("with a shortcut from 3 to 12 given by hand", 4, CHAPTER, BARE, ((14, (3, 12, 15)),), {3: (12,)}),
    Case("peer 14 in place of 15", 4, OTHER, BARE, ((13, (3, 4, 5, 8, 10, 12, 14)), (15, (3, 4, 5, 8, 10, 12, 14, 1)))),
    Case(
        "six bits, bare", 6, SIX_BITS, BARE,
        (
            (53, (12, 13, 25, 32, 40, 48, 60)), (51, (12, 13, 25, 32, 40, 48, 60)),
            (60, (12, 13, 25, 32, 40, 48, 60)), (61, (12, 13, 25, 32, 40, 48, 60, 1)),
        ),
    ),
    Case("six bits, with shortcuts", 6, SIX_BITS, SHORTCUTS, ((53, (12, 48, 60)), (61, (12, 48, 60, 1)))),
    Case("six bits, with a shortcut from 12 to 48 given by hand", 6, SIX_BITS, BARE, ((53, (12, 48, 60)),), {12: (48,)}),
)  # fmt: skip
NEW = 13
ENTERS_THROUGH = 1
TO_ITS_PLACE = (1, 3, 4, 5, 8, 10, 12)
"""Peers at which the question is where the new one belongs; the last of them is the one before it."""

RESPONSIBLE = "{what}: key {key}, asked at {at}: the peer that has it"
FORWARDS = "{what}: key {key}, asked at {at}: how often the question is handed on"
JOIN = (
    (f"peer {NEW} asks peer {ENTERS_THROUGH}: how often the question is handed on to peer {TO_ITS_PLACE[-1]}", 6),
    (f"peer {NEW} comes: questions it asks until it knows its place, of which the first is to {ENTERS_THROUGH}", 7),
    (f"then {NEW}'s successor", 15),
    (f"then {TO_ITS_PLACE[-1]}'s successor", NEW),
    ("then 15's predecessor", NEW),
)


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    joins = JOIN[:1] if on == "loopback" else JOIN
    return [*(claim for case in CASES for claim in _claims(case)), *(Claim(text, model, None) for text, model in joins)]


def measure(bench: Bench) -> Iterator[Claim]:
    """One world for each circle; then a peer comes to the first of them."""
    for case in CASES:
        with circle(bench, case.idents, case.bits, case.ring, case.by_hand) as internet:
            settled(internet, case.idents, case.ring["successors"])
            if case.by_hand or case.ring.get("shortcuts", True):  # each of them is looked up
                pause(internet, SHORTCUTS_TAKE)
            found = []
            for key, path in case.questions:
                responsible, way, rows = asked(internet, path[0], key)
                names = [host(case.idents.index(ident)) for ident in way]
                pairs = list(pairwise(names))
                handed = [(row.source_name, row.destination_name) for row in rows]
                found.append((responsible, way, len(rows) if handed == pairs else -1))
            yield from _claims(case, found)
    yield from _joins(bench)


def _claims(case: Case, found: Sequence[tuple[int, Sequence[int], int]] = ()) -> Iterator[Claim]:
    for place, (key, path) in enumerate(case.questions):
        responsible, way, count = found[place] if found else (None, (), None)
        note = ""
        if way:
            note = f"{' - '.join(map(str, way))}; to the peer before it: {len(way) - 2}"
            if place == 0:
                note += f"\n{drawn(case.bits, case.idents, way)}"
        named = {"what": case.what, "key": key, "at": path[0]}
        yield Claim(RESPONSIBLE.format(**named), path[-1], responsible)
        yield Claim(FORWARDS.format(**named), len(path) - 1, count, note=note)


def _joins(bench: Bench) -> Iterator[Claim]:
    idents = (*CHAPTER, NEW)
    last = host(len(CHAPTER))
    with circle(bench, idents, 4, BARE) as internet:
        settled(internet, idents, 1)
        leave(internet, NEW, last)
        settled(internet, CHAPTER, 1)
        _, way, rows = asked(internet, ENTERS_THROUGH, NEW)
        yield Claim(*JOIN[0], len(rows) - 1 if tuple(way[:-1]) == TO_ITS_PLACE else -1)
        if bench.on == "loopback":
            return
        internet.record()
        internet.start_host(last)
        until(internet, [lambda running: successors(running, 12) == [NEW] and predecessor(running, 15) == NEW], 20.0)
        questions = [row for row in internet.rows() if row.source_name == last and row.summary.startswith("Step:")]
        asked_at = [row.destination_name for row in questions]
        right = asked_at == [host(CHAPTER.index(ident)) for ident in TO_ITS_PLACE]
        measured = (
            len(questions) if right else -1,
            internet.drive(successors, NEW)[0],
            internet.drive(successors, TO_ITS_PLACE[-1])[0],
            internet.drive(predecessor, 15),
        )
    for (text, model), value in zip(JOIN[1:], measured, strict=True):
        note = "13 asks each of them itself; to hand the question on takes one less" if model == 7 else ""
        yield Claim(text, model, value, note=note)


def draw(figure: Any, claims: Sequence[Claim]) -> None:
    """The circles, with the way of each case's first question as it was measured."""
    notes = {claim.claim: claim.note for claim in claims}
    *circles, unused = figure.subplots(2, 4).flat
    unused.remove()
    for axes, case in zip(circles, CASES, strict=True):
        size = 1 << case.bits

        def at(ident: int, far: float = 1.0, size: int = size) -> tuple[float, float]:
            turn = 2 * pi * ident / size
            return far * sin(turn), far * cos(turn)

        turns = [at(step, size=120) for step in range(121)]
        axes.plot([x for x, _ in turns], [y for _, y in turns], color="lightgrey")
        for ident in case.idents:
            axes.plot(*at(ident), "o", color="#34495e")
            axes.text(*at(ident, 1.15), str(ident), ha="center", va="center", fontsize="small")
        key, path = case.questions[0]
        note = notes.get(FORWARDS.format(what=case.what, key=key, at=path[0]), "").partition(";")[0]
        way = [int(ident) for ident in note.split(" - ")] if note else []
        for before, after in pairwise(way):
            axes.annotate("", at(after), at(before), arrowprops={"arrowstyle": "->", "color": "#c0392b"})
        axes.set_title(f"{case.what}: key {key}", fontsize="small")
        axes.set_aspect("equal")
        axes.axis("off")
