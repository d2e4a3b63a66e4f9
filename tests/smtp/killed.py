"""A mail host that is killed under load: what it answered with 250 is delivered, to mailboxes here and to another host."""

import re
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random
from smtplib import SMTP, SMTPException
from threading import Event, Lock, Thread

from tests.addresses import own_address
from tests.interop.smtp_hosts import mailbox
from tests.processes import PATIENCE, Running, environment_of, running, twistd

SESSIONS = 20
PORT = 10_025
_ID = re.compile(rb"^Message-ID: <([0-9]+)@", re.MULTILINE)
_SIZES = (10, 1000, 1000, 5000, 90_000)


@dataclass
class Load:
    """Clients that send one message after the other, and know which were taken."""

    address: str
    most: float = inf
    """Messages that are sent; then the clients end."""
    taken: dict[int, str] = field(default_factory=dict)
    """The reply to each."""
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
            if self.count >= self.most:
                self.stop.set()
                return
            self.count += 1
            number = self.count
        server.ehlo_or_helo_if_needed()
        replies = [server.mail("alice@there.test"), *map(server.rcpt, recipients(number)), server.data(message(number))]
        if {code for code, _ in replies} != {250}:
            raise SMTPException(replies)
        with self.lock:
            self.taken[number] = replies[-1][1].decode()


def recipients(number: int) -> list[str]:
    """Every other message is for another host, some for both."""
    if number % 12 == 0:
        return ["bob@here.test", "bob@there.test"]
    return ["bob@here.test"] if number % 2 else ["bob@there.test"]


def message(number: int) -> bytes:
    """Of a few octets to 90 KB."""
    size = _SIZES[number % len(_SIZES)]
    return b"Message-ID: <%d@x>\r\n\r\n" % number + (b"%-70d\r\n" % number) * (size // 72)


@dataclass(frozen=True)
class Told:
    """What became of the messages that were taken, one for each recipient."""

    taken: int
    once: int
    twice: int
    """Or more often."""
    never: int
    relayed: int
    """Of all of them, those for the other host."""


def killed_under_load(directory: Path, kills: int, seed: int = 1) -> Told:
    """Kill -9 at random moments, while 20 clients send; then wait until the queue is empty, and count."""
    rng = Random(seed)
    here, there = own_address(), own_address()
    for name in ("here", "there"):
        (directory / name).mkdir()
        (directory / f"{name}.accounts").write_text(f"bob@{name}.test\n")
    common = (
        "--no-authentication", "--no-dane", "--no-mta-sts", "--first-retry", "1", "--keep-connection", "1",
        "--relay-for", "127.0.0.0/8", "--store-octets", str(1 << 40),
    )  # fmt: skip

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
            started = Running(host("here", here), environment_of())
            started.wait_for(ready, seconds=120)
            enough = len(load.taken) + rng.choice((0, 5, 20, 40))
            started.wait_until(lambda enough=enough: len(load.taken) >= enough, f"{enough} messages are taken")
            load.stop.wait(rng.uniform(0.0, 0.1))
            started.process.send_signal(signal.SIGKILL)
            started.process.wait(PATIENCE)
            assert not started.trouble(), "".join(started.lines)
        with running(*host("here", here), ready=ready) as started:
            enough = len(load.taken) + 20
            started.wait_until(lambda: len(load.taken) >= enough, f"{enough} messages are taken")
            load.stop.set()
            for thread in threads:
                thread.join(PATIENCE)

            def delivered() -> bool:
                now = {f"bob@{name}.test": arrived(directory / name) for name in ("here", "there")}
                return all(now[to][number] for number in load.taken for to in recipients(number))

            with suppress(AssertionError):  # what does not come is counted below
                started.wait_until(delivered, "all that was taken is delivered")
    found = {f"bob@{name}.test": arrived(directory / name) for name in ("here", "there")}
    counts = [found[to][number] for number in load.taken for to in recipients(number)]
    return Told(
        len(counts),
        sum(count == 1 for count in counts),
        sum(count > 1 for count in counts),
        sum(count == 0 for count in counts),
        sum("bob@there.test" in recipients(number) for number in load.taken),
    )


def arrived(state: Path) -> Counter[int]:
    """How often each message is in bob's mailbox: in a file of its own, or not yet."""
    found: Counter[int] = Counter()
    for account in (state / "mail" / "accounts").glob("*"):
        for octets in mailbox(state, account.name):
            match = _ID.search(octets)
            assert match is not None, f"a message without its octets: {octets[:200]!r}"
            found[int(match[1])] += 1
    return found
