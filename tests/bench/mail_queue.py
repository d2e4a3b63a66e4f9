"""A queue whose destinations are all down: memory, time to start, cost of a pass that tries everything again.

    python -m tests.bench.mail_queue [--sizes 10000,100000] [--domains 1000] [--directory PATH]

Each size has a directory of its own and is looked at by two processes: one takes the messages and tries each once, the other
starts with what is there, as after a crash, and makes passes by setting its clock on. CPU is the process's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import defer, task

from netstack.kernel.real import real_machine
from netstack.mail.addresses import Mailbox
from netstack.smtp.envelope import Destination, Envelope, Fate
from netstack.smtp.limits import QueueLimits
from netstack.smtp.queue import Job, Outcome, Queue, Unreachable
from tests.processes import ROOT

CONTENT = b"Subject: lunch\r\n\r\n" + b"How about pickles?\r\n" * 50
TOGETHER = 200
"""Messages that come at once."""
PASSES = 3
ROWS = (
    ("accepted", "CPU of a message that is taken and tried once", "us"),
    ("started", "CPU of a message at the start", "us"),
    ("seconds", "from the start until the queue works", "s"),
    ("memory", "memory of a message, after it was taken", "octets"),
    ("again", "memory of a message, after a start", "octets"),
    ("pass", "CPU of a message in a pass that tries all again", "us"),
    ("attempts", "attempts of such a pass", ""),
    ("one", "CPU of a pass in which one message is due", "us"),
    ("disk", "octets on disk for a message", "octets"),
)


class Down:
    """A destination that nobody can reach."""

    usable = True

    def __init__(self, destination: str) -> None:
        self.outcome = Outcome(Fate.WAITING, "4.4.1", f"nobody listens at mail.{destination}", f"mail.{destination}")

    async def deliver(self, job: Job) -> Sequence[Outcome]:
        raise Unreachable(self.outcome)

    def close(self) -> None:
        pass


class Host:
    """A queue on the real disk, with a clock that can be set on."""

    def __init__(self, directory: Path, reactor: Any) -> None:
        self.ahead = 0.0
        machine = real_machine("bench", state_directory=directory, reactor=reactor)
        limits = QueueLimits(first_retry=3600, growth=1, longest_retry=3600, lifetime=10**9, delay_notice=10**9)
        self.machine = replace(machine, wall=lambda: time.time() + self.ahead)
        self.reactor = reactor
        self.queue = Queue(self.machine, "mail.crepes.fr", lambda mailbox: mailbox.domain, Down, limits)

    async def until_deferred(self, count: int) -> None:
        while self.queue.counts.deferred < count:
            await task.deferLater(self.reactor, 0.005)
        await self.queue.spool.change(-1, {})

    async def fill(self, count: int, domains: int) -> dict[str, float]:
        self.queue.start()
        sender = Mailbox("alice", "crepes.fr")
        before, spent = resident(), time.process_time()
        for start in range(0, count, TOGETHER):
            now = self.machine.wall()
            envelopes = [
                Envelope(
                    sender, [Destination(Mailbox(f"bob{n}", f"d{n % domains}.test"))], now, source="crepes.fr [127.0.0.1]"
                )
                for n in range(start, start + TOGETHER)
            ]
            await defer.gatherResults([self.queue.accept([each], CONTENT) for each in envelopes])
        await self.until_deferred(count)
        found = {"accepted": (time.process_time() - spent) / count * 1e6, "memory": (resident() - before) / count}
        await self.queue.stop()
        return found

    async def start(self, count: int) -> dict[str, float]:
        before, spent, began = resident(), time.process_time(), time.perf_counter()
        self.queue.start()
        found = {
            "seconds": time.perf_counter() - began,
            "started": (time.process_time() - spent) / count * 1e6,
            "again": (resident() - before) / count,
        }
        assert len(self.queue.messages) == count
        passes = []
        for number in range(1, PASSES + 1):
            tried, spent = self.queue.counts.attempts, time.process_time()
            self.ahead += 7200
            self.queue._wake()
            await self.until_deferred(count * number)
            passes.append((time.process_time() - spent) / count * 1e6)
            found["attempts"] = self.queue.counts.attempts - tried
        found["pass"] = sorted(passes)[PASSES // 2]
        [first, *_] = self.queue.messages
        spent = time.process_time()
        for _ in range(100):
            self.queue.flush([first])
        found["one"] = (time.process_time() - spent) / 100 * 1e6
        await self.queue.stop()
        return found


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def child(what: str, count: int, domains: int, directory: Path) -> None:
    async def run(reactor: Any) -> None:
        host = Host(directory, reactor)
        print(json.dumps(await (host.fill(count, domains) if what == "fill" else host.start(count))))

    task.react(lambda reactor: defer.ensureDeferred(run(reactor)))


def measured(count: int, domains: int, place: str | None) -> dict[str, float]:
    directory = Path(tempfile.mkdtemp(dir=place, prefix="bench-queue-"))
    found: dict[str, float] = {}
    try:
        for what in ("fill", "start"):
            command = [sys.executable, "-m", "tests.bench.mail_queue", "--child", what, "--sizes", str(count)]
            command += ["--domains", str(domains), "--directory", str(directory)]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=1200)
            found |= json.loads(done.stdout)
        found["disk"] = sum(each.stat().st_size for each in directory.glob("queue/*")) / count
    finally:
        shutil.rmtree(directory)
    return found


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000", help="messages")
    parser.add_argument("--domains", type=int, default=1000, help="that they are for")
    parser.add_argument("--directory", help="on the disk to be measured (default: that of temporary files)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(list(arguments))
    sizes = [int(each) for each in options.sizes.split(",")]
    if options.child:
        child(options.child, sizes[0], options.domains, Path(options.directory))
        return 0
    found = [measured(size, options.domains, options.directory) for size in sizes]
    print(f"messages of {len(CONTENT)} octets for {options.domains} domains that are down")
    print(f"  {'':50}" + "".join(f"{size:>12}" for size in sizes))
    for key, title, unit in ROWS:
        values = "".join(f"{each[key]:12.{2 if unit == 's' else 0}f}" for each in found)
        print(f"  {title + (f', {unit}' if unit else ''):50}{values}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
