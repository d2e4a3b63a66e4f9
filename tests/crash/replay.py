"""A traced run, played on a disk whose power fails at many places."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.crash.disk import ALL, NOTHING, Disk, Left
from tests.crash.trace import SYNCS, Call, Tracing, after, steps

IMAGES = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where what is left of a disk is written: syncs cost nothing there."""


@dataclass
class Boot:
    """One life of a process: what it did, and what was on the disk afterwards."""

    calls: list[Call]
    copy: Path


@dataclass
class Run:
    """All its lives, one after the other; its files are below `root`."""

    root: Path
    boots: list[Boot]

    def ended(self, tracing: Tracing, process: int) -> None:
        """One more of them, that is over now."""
        start = after(self.boots[-1].calls) if self.boots else 0
        copy = self.root.with_name(f"copy-{len(self.boots)}")
        self.boots.append(Boot(tracing.calls(process, start), shutil.copytree(self.root, copy)))


@dataclass(frozen=True)
class Moment:
    """A call begins, or it has `ended`; the disk is as it is then. What may be left of it, if the power fails now."""

    boot: int
    call: Call
    ended: bool
    lefts: Sequence[Left]


def moments(run: Run, disk: Disk, cuts: int, rng: Random, tells: Callable[[Call], bool]) -> Iterator[Moment]:
    """All of a run; the power fails at so many of them.

    Half of those are anywhere, half where much depends on the moment: something is said that `tells` what has been done, a
    sync has not ended yet, a name has changed.
    """
    for number, boot in enumerate(run.boots):
        there = steps(boot.calls)
        telling = [index for index, (_, ended, call) in enumerate(there) if _is_telling(call, ended, tells)]
        anywhere = rng.sample(range(len(there)), min(cuts // len(run.boots) // 2, len(there)))
        chosen = {*anywhere, *rng.sample(telling, min(len(anywhere), len(telling)))}
        for index, (place, ended, call) in enumerate(there):
            disk.step(call, ended)
            yield Moment(number, call, ended, _lefts(rng, place) if index in chosen else ())
        disk.restarted(boot.copy, boot.calls)


def _is_telling(call: Call, ended: bool, tells: Callable[[Call], bool]) -> bool:
    if call.name.startswith(("rename", "unlink", "mkdir")):
        return ended
    return not ended and (call.name in SYNCS or tells(call))


def _lefts(rng: Random, place: int) -> list[Left]:
    """Nothing that was not synced, and something else."""
    some = Left(rng.choice([0.1, 0.5, 0.9]), rng.choice([512, 4096]))
    in_order = Left(rng.choice([0.0, 0.5]), 4096, until=place - rng.randrange(200))
    return [NOTHING, rng.choice([some, some, in_order, ALL])]
