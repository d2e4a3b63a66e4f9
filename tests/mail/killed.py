"""A store that is killed while mail comes, and what is there afterwards.

`python -m tests.mail.killed DIRECTORY` is the store. It prints what it has, a line of JSON; reads from standard input, a
line of JSON too, which messages to deliver first; then delivers those and new ones until it is killed, and prints the
number of each once it is durable.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import defer, task

from netstack.kernel.real import real_machine
from netstack.mail.store import MailStore
from tests.processes import ROOT

BOB = "bob@hamburger.edu"
SESSIONS = 20


def message(number: int) -> bytes:
    """Most are committed with their rows, some are larger; some have the size of a page."""
    size = (0, 500, 4096, 900, 1100, 70_000, 1000, 2000, 10_000, 200_000)[number % 10]
    return b"Message-ID: <%d@x>\r\n\r\n" % number + (b"%09d\r\n" % number) * (size // 11)


async def serve(reactor: Any, directory: str) -> None:
    store = MailStore(real_machine("killed", state_directory=directory, reactor=reactor))
    account = store.account(BOB)
    folder, found = await account.snapshot("INBOX")
    have: dict[int, int] = {}
    for each in found:
        opened = account.content(each)
        octets = opened.read_at(0, each.size)
        opened.close()
        number = int(octets.partition(b"Message-ID: <")[2].partition(b"@")[0])
        assert octets == b"Return-Path: <>\r\n" + message(number), f"message {number} is damaged"
        have[number] = have.get(number, 0) + 1
    print(json.dumps({"have": have}), flush=True)
    told = json.loads(sys.stdin.readline())
    waiting = [*told["again"]]
    fresh = iter(range(told["next"], 10**9))

    async def session() -> None:
        while True:
            number = waiting.pop() if waiting else next(fresh)
            os.write(1, b"?%d\n" % number)
            delivered = await store.deliver(BOB, None, message(number), once=f"{number}")
            os.write(1, b"!%d\n" % number)
            if number % 5 == 0:
                await account.change_flags(folder.id, [delivered.uid], "add", ["\\Seen"])

    await defer.gatherResults([defer.Deferred.fromCoroutine(session()) for _ in range(SESSIONS)])


def killed_while_mail_comes(directory: Path, times: int, seed: int = 1) -> int:
    """Kill -9 again and again; fails where an acknowledged message is lost, damaged or there twice. How many there are."""
    rng = Random(seed)
    asked: set[int] = set()
    acknowledged: set[int] = set()
    for run in range(times + 1):
        command = [sys.executable, "-m", "tests.mail.killed", str(directory)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the store did not start"
        have = {int(number): count for number, count in json.loads(line)["have"].items()}
        lost, twice = acknowledged - have.keys(), [number for number, count in have.items() if count > 1]
        assert (lost, twice) == (set(), []), f"run {run}"
        assert have.keys() <= asked
        again = sorted(asked - acknowledged)
        process.stdin.write(json.dumps({"again": again, "next": max(asked, default=-1) + 1}).encode() + b"\n")
        process.stdin.flush()
        for _ in range(rng.choice([1, 30, 100, 300]) if run < times else 0):
            take(process.stdout.readline(), asked, acknowledged)
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            take(line, asked, acknowledged)
        process.wait(10)
        process.stdin.close()
        process.stdout.close()
    return len(acknowledged)


def take(line: bytes, asked: set[int], acknowledged: set[int]) -> None:
    if line.endswith(b"\n"):
        (acknowledged if line.startswith(b"!") else asked).add(int(line[1:]))


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(serve(reactor, sys.argv[1])))
