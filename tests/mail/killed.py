"""A store that is killed while mail comes, and what is there afterwards.

`python -m tests.mail.killed DIRECTORY` is the store. It prints what it has, a line of JSON; reads from standard input, a
line of JSON too, which messages to deliver first; then delivers those and new ones until it is killed, and prints the
number of each once it is durable.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import defer, task

from netstack.kernel.real import real_machine
from netstack.mail.store import MailStore
from tests.processes import ROOT

BOB = "bob@hamburger.edu"
SESSIONS = 20
EACH = 5
"""Messages of a session; then all wait until the store has nothing left to do."""


def message(number: int) -> bytes:
    """Most are committed with their rows, some are larger; some have the size of a page."""
    size = (0, 500, 4096, 900, 1100, 70_000, 1000, 2000, 10_000, 200_000)[number % 10]
    return b"Message-ID: <%d@x>\r\n\r\n" % number + (b"%09d\r\n" % number) * (size // 11)


@dataclass
class Heard:
    """What the store has said, by number of the message."""

    asked: set[int] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    """Those whose \\Seen is durable."""
    leaving: set[int] = field(default_factory=set)
    """Those that are being expunged, or are."""
    gone: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)
    """Those that are in their files, and that the ledger knows."""

    def line(self, line: bytes) -> None:
        """One that is whole."""
        if line == b"=0\n":
            self.settled |= self.taken
        elif line.endswith(b"\n"):
            {b"?": self.asked, b"!": self.taken, b"*": self.seen, b"-": self.leaving, b"x": self.gone}[line[:1]].add(
                int(line[1:])
            )


def say(what: bytes, number: int) -> None:
    os.write(1, b"%s%d\n" % (what, number))


async def mailbox(store: MailStore, damaged: bool = False) -> dict[int, list[bool]]:
    """Whether each message is seen, as often as it is there; those that are `damaged` are passed over, or fail."""
    account = store.account(BOB)
    _, found = await account.snapshot("INBOX")
    have: dict[int, list[bool]] = {}
    for each in found:
        opened = account.content(each)
        octets = opened.read_at(0, each.size)
        opened.close()
        match = re.match(rb"Return-Path: <>\r\nMessage-ID: <([0-9]+)@", octets)
        number = int(match[1]) if match else -1
        if octets != b"Return-Path: <>\r\n" + message(number):
            assert damaged, f"message {number} is damaged"
            continue
        have.setdefault(number, []).append(bool(each.bits & 1))
    return have


async def serve(reactor: Any, directory: str) -> None:
    store = MailStore(real_machine("killed", state_directory=directory, reactor=reactor))
    account = store.account(BOB)
    print(json.dumps({"have": await mailbox(store)}), flush=True)
    told = json.loads(sys.stdin.readline())
    folder, _ = await account.snapshot("INBOX")
    waiting = [*told["again"]]
    fresh = iter(range(told["next"], told["most"]))

    async def session(count: int) -> None:
        for _ in range(count):
            number = waiting.pop() if waiting else next(fresh, None)
            if number is None:
                return
            say(b"?", number)
            delivered = await store.deliver(BOB, None, message(number), once=f"{number}")
            say(b"!", number)
            if number % 5 == 0:
                await account.change_flags(folder.id, [delivered.uid], "add", ["\\Seen"])
                say(b"*", number)
            if number % 7 == 0:
                say(b"-", number)
                await account.expunge(folder.id, [delivered.uid])
                say(b"x", number)

    for _ in range(told["next"], told["most"] + len(waiting), SESSIONS * EACH):
        await defer.gatherResults([defer.Deferred.fromCoroutine(session(EACH)) for _ in range(SESSIONS)])
        while not account.idle:
            await task.deferLater(reactor, 0.05)
        say(b"=", 0)
    await store.close()


def survived(have: Mapping[int, Sequence[bool]], heard: Heard) -> None:
    """Fails where what was acknowledged is not so, or is twice."""
    assert heard.taken - heard.leaving - have.keys() == set(), "lost"
    assert have.keys() & heard.gone == set(), "expunged, and there again"
    assert [number for number, seen in have.items() if len(seen) > 1] == [], "there twice"
    assert [number for number in heard.seen & have.keys() if not have[number][0]] == [], "not seen any more"
    assert have.keys() <= heard.asked, "from nowhere"


def killed_while_mail_comes(directory: Path, times: int, seed: int = 1) -> int:
    """Kill -9 again and again; fails where an acknowledged message is lost, damaged or there twice. How many there are."""
    rng = Random(seed)
    heard = Heard()
    for run in range(times + 1):
        command = [sys.executable, "-m", "tests.mail.killed", str(directory)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert begin(process, heard), "the store did not start"
        for _ in range(rng.choice([1, 30, 100, 300]) if run < times else 0):
            heard.line(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            heard.line(line)
        process.wait(10)
        process.stdout.close()
    return len(heard.taken)


def begin(process: "subprocess.Popen[bytes]", heard: Heard, most: int = 10**9) -> bool:
    """Look at what it has, and tell it what to deliver: first what was not acknowledged. Whether it started."""
    assert process.stdin is not None
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        return False
    survived({int(number): seen for number, seen in json.loads(line)["have"].items()}, heard)
    told = {"again": sorted(heard.asked - heard.taken), "next": max(heard.asked, default=-1) + 1, "most": most}
    process.stdin.write(json.dumps(told).encode() + b"\n")
    process.stdin.close()
    return True


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(serve(reactor, sys.argv[1])))
