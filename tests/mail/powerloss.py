"""A mail store whose power fails, at any place of a traced run: what it had acknowledged is there, once, as it was.

Then the index is taken away, and made anew from ledger and files: nothing that a client sees is different.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory

from netstack.mail.store import NoSuchFolder
from tests.crash.disk import Disk
from tests.crash.replay import IMAGES, Run, moments
from tests.crash.trace import Call, Tracing
from tests.mail.killed import BOB, Heard, begin, mailbox, message, survived
from tests.mail.stage import Stage
from tests.processes import ROOT, environment_of


def recorded(directory: Path, strace: str, messages: int, kills: int = 1, seed: int = 1) -> Run:
    """A run in which so many messages are delivered, and the store is killed so often in between, at syncs."""
    rng = Random(seed)
    run, heard = Run(directory / "disk", []), Heard()
    run.root.mkdir()
    for boot in range(kills + 1):
        tracing = Tracing(strace, directory / f"trace-{boot}")
        killed_at = rng.randint(4, 60) if boot < kills else 0
        command = tracing.around(sys.executable, "-m", "tests.mail.killed", str(run.root / "state"), killed_at=killed_at)
        with Popen(command, cwd=ROOT, env=environment_of(), stdin=PIPE, stdout=PIPE) as process:
            assert process.stdout is not None
            assert begin(process, heard, messages * (boot + 1) // (kills + 1)) or boot < kills
            for line in process.stdout:
                heard.line(line)
        run.ended(tracing, process.pid)
    assert len(heard.taken) > messages // 2
    return run


@dataclass
class Told:
    """Summed over all images of the disk."""

    images: int = 0
    taken: int = 0
    """Messages that had been acknowledged."""
    rebuilt: int = 0
    """Messages that were there again after the index had been lost later."""
    both: int = 0
    """Messages that were in their files when the index was lost together with the power."""


def replayed(run: Run, cuts: int, seed: int = 1) -> Told:
    """Let the power fail at so many places, two images each."""
    rng = Random(seed)
    told, disk, heard = Told(), Disk(run.root), Heard()
    for moment in moments(run, disk, cuts, rng, _tells):
        if _tells(moment.call) and not moment.ended:
            heard.line(moment.call.data)
        for left in moment.lefts:
            with TemporaryDirectory(dir=IMAGES) as name:
                disk.write(Path(name), left, rng)
                _look(Path(name) / "state", heard, told, rng.random() < 0.3)
    return told


def _tells(call: Call) -> bool:
    """Whether it prints something."""
    return call.name == "write" and bool(call.descriptors) and call.descriptors[0][0] == 1 and call.data[:1] in b"?!*-x="


def _look(state: Path, heard: Heard, told: Told, lose_index: bool) -> None:
    told.images += 1
    told.taken += len(heard.taken)
    if lose_index:
        _without_index(state)
        have = _have(Stage(state), damaged=True)
        assert heard.settled - heard.leaving <= have.keys(), "lost with the index"
        told.both += len(heard.settled & have.keys())
        return
    stage = Stage(state)
    survived(_have(stage), heard)
    for number in heard.asked - heard.taken:  # whoever sent it has no answer, and comes again
        stage.do(stage.store.deliver(BOB, None, message(number), once=f"{number}"))
    have = _have(stage)
    assert have.keys() >= heard.asked - heard.leaving
    assert all(len(each) == 1 for each in have.values()), "there twice"
    before = _shown(stage)
    stage.wait(1)
    stage.restart("close")
    _without_index(state)
    stage.begin()
    after = _shown(stage)
    assert after == before, set(after) ^ set(before)
    told.rebuilt += len(before)


def _have(stage: Stage, damaged: bool = False) -> dict[int, list[bool]]:
    try:
        return stage.do(mailbox(stage.store, damaged))
    except NoSuchFolder:
        return {}


def _shown(stage: Stage) -> list[tuple[int, int, int, str, int, float]]:
    """All that a client sees of the messages, whose octets have been looked at, but modseqs."""
    try:
        _, found = stage.do(stage.store.account(BOB).snapshot("INBOX"))
    except NoSuchFolder:
        return []
    return [(each.uid, each.file, each.bits, each.keywords, each.size, round(each.date, 3)) for each in found]


def _without_index(state: Path) -> None:
    for path in (state / "mail" / "accounts" / BOB).glob("index.sqlite*"):
        path.unlink()
