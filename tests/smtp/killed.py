"""A mail host that is killed under load: what it answered with 250 is delivered, to mailboxes here and to another host."""

import re
import signal
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from smtplib import SMTP, SMTPException
from threading import Event, Lock, Thread

from netstack.mail.store.files import path_of
from tests.addresses import own_address
from tests.processes import Running, running, twistd

SESSIONS = 20
PORT = 10_025
_ID = re.compile(rb"^Message-ID: <([0-9]+)@", re.MULTILINE)
_SIZES = (10, 1000, 1000, 5000, 100_000)


@dataclass
class Load:
    """Clients that send one message after the other, and know which were taken."""

    address: str
    taken: set[int] = field(default_factory=set)
    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    count: int = 0

    def client(self, which: int) -> None:
        while not self.stop.is_set():
            try:
                with SMTP(self.address, PORT, timeout=20) as server:
                    while not self.stop.is_set():
                        self.send(server)
            except (OSError, SMTPException):
                self.stop.wait(0.02)  # it was killed: try again

    def send(self, server: SMTP) -> None:
        with self.lock:
            self.count += 1
            number = self.count
        to = "bob@here.test" if number % 2 else "bob@there.test"
        body = "x" * 70 + "\r\n"
        text = f"Message-ID: <{number}@x>\r\n\r\n" + body * (_SIZES[number % len(_SIZES)] // 72)
        server.sendmail("alice@there.test", [to], text)
        with self.lock:
            self.taken.add(number)


@dataclass(frozen=True)
class Told:
    """What became of the messages that were taken."""

    taken: int
    once: int
    twice: int
    """Or more often."""
    never: int


def killed_under_load(directory: Path, kills: int, seed: int = 1) -> Told:
    """Kill -9 at random moments, while 20 clients send; then wait until the queue is empty, and count."""
    rng = Random(seed)
    here, there = own_address(), own_address()
    for name in ("here", "there"):
        (directory / name).mkdir()
        (directory / f"{name}.accounts").write_text(f"bob@{name}.test\n")
    common = ("--no-authentication", "--no-dane", "--no-mta-sts", "--first-retry", "1", "--keep-connection", "1")

    def host(name: str, address: str) -> tuple[str, ...]:
        gently = ("nice", "-n", "10")  # other tests run beside
        return (*gently, *twistd(
            "netstack-smtp", "--name", f"mail.{name}.test", "--domain", f"{name}.test", "--address", address,
            "--listen", f"tcp:{PORT}", "--accounts", str(directory / f"{name}.accounts"), "--state", str(directory / name),
            "--route", f"there.test={there}:{PORT}", "--resolver", f"{here}:1", *common,
        ))  # fmt: skip

    load = Load(here)
    ready = "takes mail on"
    with running(*host("there", there), ready=ready):
        threads = [Thread(target=load.client, args=(which,), daemon=True) for which in range(SESSIONS)]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            started = Running(host("here", here), {**_environment()})
            started.wait_for(ready)
            load.stop.wait(rng.uniform(0.05, 1.0))
            started.process.send_signal(signal.SIGKILL)
            started.process.wait(20)
            assert not started.trouble(), "".join(started.lines)
        with running(*host("here", here), ready=ready):
            load.stop.wait(0.5)
            load.stop.set()
            for thread in threads:
                thread.join(30)
            deadline = time.monotonic() + 120
            while not load.taken <= (arrived(directory / "here") + arrived(directory / "there")).keys():
                if time.monotonic() > deadline:
                    break
                Event().wait(0.2)
    found = arrived(directory / "here") + arrived(directory / "there")
    return Told(
        len(load.taken),
        sum(found[number] == 1 for number in load.taken),
        sum(found[number] > 1 for number in load.taken),
        sum(found[number] == 0 for number in load.taken),
    )


def arrived(state: Path) -> Counter[int]:
    """How often each message is in bob's mailbox: in a file of its own, or not yet."""
    found: Counter[int] = Counter()
    for account in (state / "mail" / "accounts").glob("*"):
        index = account / "index.sqlite"
        if not index.exists():
            continue
        connection = sqlite3.connect(f"file:{index}?mode=ro", uri=True)
        try:
            files = {number for (number,) in connection.execute("SELECT file FROM message")}
            waiting = dict(connection.execute("SELECT file, octets FROM arrived"))
            sources = dict(connection.execute("SELECT file, source FROM arrived"))
        finally:
            connection.close()
        for number in files:
            octets = waiting.get(number)
            if octets is None:
                path = account / (sources.get(number) or path_of(number))
                octets = path.read_bytes() if path.exists() else (account / path_of(number)).read_bytes()
            match = _ID.search(octets)
            assert match is not None, f"a message without its octets: {number}"
            found[int(match[1])] += 1
    return found


def _environment() -> dict[str, str]:
    import os

    from tests.processes import ROOT

    return {**os.environ, "PYTHONPATH": str(ROOT)}
