"""What becomes of the chapter's circle when peers die, leave and come? Within how many pings is it whole again?

Every peer has two successors and asks the first of them once in a ping period (1 s) whether it is there.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.ring_world import (
    CHAPTER,
    PERIOD,
    circle,
    host,
    leave,
    pause,
    predecessor,
    services,
    settled,
    successors,
    until,
)
from netstack.world.session import Session, SimulatedSession

TITLE = "Peers of the circle that die, leave and come"
SUBSTRATES = ("simulated", "loopback")
NOT_SHOWN = ("on loopback: a peer that comes back, for a node that has left begins again only with a new process.",)

RING: Mapping[str, Any] = {"successors": 2, "shortcuts": False, "stabilize": PERIOD, "hurry": 1.0, "timeout": 0.5}
DEAD, BEFORE, TWO_BEFORE, AFTER = 5, 4, 3, 8
AT = host(CHAPTER.index(DEAD))
LEFT = tuple(ident for ident in CHAPTER if ident != DEAD)
KEYS = range(16)

DIES = "peer 5's process dies"
SILENT = "peer 5's host is off, nobody hears anything"
LEAVES = "peer 5 leaves"
COMES = "peer 5 comes back"
FIRST = "{what}: {peer}'s first successor"
SECOND = "{what}: {peer}'s second successor"
PREDECESSOR = "{what}: {peer}'s predecessor"
LATE = "{what}: ping periods until {peer} has these, beyond {bound}"
RIGHT = "{what}: look-ups of all keys at all peers that find the right one"


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    found = [*_gone(DIES, 2.0), *_gone(LEAVES, 1.0)]
    return [*found, *_back(), *_gone(SILENT, 2.0 + RING["timeout"] / PERIOD)] if on == "simulated" else found


def measure(bench: Bench) -> Iterator[Claim]:
    """Peer 5 goes in each way, and comes back."""
    with circle(bench, CHAPTER, 4, RING) as internet:
        settled(internet, CHAPTER, 2)
        yield from _gone(DIES, 2.0, internet)
        if isinstance(internet, SimulatedSession):
            internet.start_host(AT)
            yield from _back(internet)
            yield from _gone(LEAVES, 1.0, internet)
            internet.start_host(AT)
            settled(internet, CHAPTER, 2)
            yield from _gone(SILENT, 2.0 + RING["timeout"] / PERIOD, internet)
    if bench.on == "loopback":
        with circle(bench, CHAPTER, 4, RING) as internet:
            settled(internet, CHAPTER, 2)
            yield from _gone(LEAVES, 1.0, internet)


def _end(what: str, internet: Session) -> None:
    """Peer 5 goes."""
    if what == LEAVES:
        leave(internet, DEAD, AT)
    elif what == SILENT and isinstance(internet, SimulatedSession):
        internet.up.host(AT).power_off()
    else:
        internet.drive(_no_word)
        internet.stop_host(AT)


def _no_word(running: Any) -> None:
    """On loopback all hosts are one process: its node forgets that it has a place, so that it tells nobody that it goes."""
    services(running)[DEAD].placed = False


def _gone(what: str, bound: float, internet: Session | None = None) -> Iterator[Claim]:
    """Claims about the circle without peer 5."""
    measured: list[float | None] = [None] * 8
    note = ""
    if internet is not None:
        pause(internet, PERIOD / 3)
        begun = internet.seconds()
        _end(what, internet)
        begun -= internet.seconds()  # what leaving took
        conditions = [
            lambda running: successors(running, BEFORE) == [8, 10],
            lambda running: successors(running, TWO_BEFORE) == [4, 8],
            lambda running: predecessor(running, AFTER) == BEFORE,
        ]
        times = until(internet, conditions, 20.0)
        seconds = [each - begun if each >= 0 else float("inf") for each in times]
        first, second = internet.drive(successors, BEFORE)[:2]
        other, third = internet.drive(successors, TWO_BEFORE)[:2]
        late = [max(0.0, each / PERIOD - bound) for each in seconds]
        measured = [
            first,
            second,
            late[0],
            other,
            third,
            late[1],
            internet.drive(predecessor, AFTER),
            _right(internet, LEFT),
        ]
        note = "after {:.2f} s; {}'s predecessor after {:.2f} s"
        notes = [note.format(each, AFTER, seconds[2]) for each in seconds[:2]]
    else:
        notes = ["", ""]
    shown = iter(measured)
    for peer, one, two, told in ((BEFORE, 8, 10, notes[0]), (TWO_BEFORE, 4, 8, notes[1])):
        yield Claim(FIRST.format(what=what, peer=peer), one, next(shown))
        yield Claim(SECOND.format(what=what, peer=peer), two, next(shown))
        yield Claim(LATE.format(what=what, peer=peer, bound=f"{bound:g}"), 0, next(shown), note=told)
    yield Claim(PREDECESSOR.format(what=what, peer=AFTER), BEFORE, next(shown))
    yield Claim(RIGHT.format(what=what), len(KEYS) * len(LEFT), next(shown))


def _back(internet: Session | None = None) -> Iterator[Claim]:
    measured: list[float | None] = [None] * 4
    note = ""
    if internet is not None:
        [seconds] = until(internet, [lambda running: successors(running, BEFORE) == [5, 8]], 20.0)
        settled(internet, CHAPTER, 2)
        note = f"after {seconds:.2f} s"
        found = internet.drive(successors, BEFORE)
        measured = [found[0], found[1], internet.drive(predecessor, AFTER), _right(internet, CHAPTER)]
    shown = iter(measured)
    yield Claim(FIRST.format(what=COMES, peer=BEFORE), DEAD, next(shown), note=note)
    yield Claim(SECOND.format(what=COMES, peer=BEFORE), AFTER, next(shown))
    yield Claim(PREDECESSOR.format(what=COMES, peer=AFTER), DEAD, next(shown))
    yield Claim(RIGHT.format(what=COMES), len(KEYS) * len(CHAPTER), next(shown))


def _right(internet: Session, there: Sequence[int]) -> int:
    """How many look-ups, step by step, find the closest successor."""
    right = {key: next((ident for ident in there if ident >= key), there[0]) for key in KEYS}
    found: int = internet.drive(_look_up, there, right)
    return found


async def _look_up(running: Any, there: Sequence[int], right: Mapping[int, int]) -> int:
    count = 0
    for at in there:
        for key, responsible in right.items():
            found = await services(running)[at].look_up(key)
            count += found.responsible is not None and found.responsible.ident == responsible
    return count
