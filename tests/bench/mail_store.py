"""The mail store: deliveries that are durable, 20 at once, and the opening of a mailbox of 10^5 messages."""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import defer, task

from netstack.kernel.real import real_machine
from netstack.mail import Mailbox
from netstack.mail.store import MailStore, StoreLimits, search

BOB = "bob@hamburger.edu"
ALICE = Mailbox("alice", "crepes.fr")
HEAD = (
    b"Received: from mail.crepes.fr (mail.crepes.fr [192.0.2.1])\r\n\tby mail.hamburger.edu with ESMTPS id %d;\r\n"
    b"\tTue, 14 Nov 2023 22:13:20 +0000\r\nFrom: Alice <alice@crepes.fr>\r\nTo: Bob <bob@hamburger.edu>\r\n"
    b"Subject: message %d\r\nMessage-ID: <%d@crepes.fr>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n"
)


def message(number: int, size: int) -> bytes:
    head = HEAD % (number, number, number)
    return head + (b"x" * 78 + b"\r\n") * (max(0, size - len(head)) // 80)


async def deliveries(store: MailStore, count: int, size: int, sessions: int, accounts: int) -> None:
    numbers = iter(range(count))

    async def session(which: int) -> None:
        account = BOB if accounts == 1 else f"bob{which % accounts}@hamburger.edu"
        for number in numbers:
            await store.deliver(account, ALICE, message(number, size), once=f"{number}")

    await defer.gatherResults([defer.Deferred.fromCoroutine(session(which)) for which in range(sessions)])


async def timed(what: str, count: int, work: Callable[[], Awaitable[Any]]) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    found = await work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    each = f", {count / wall:8.0f}/s, {cpu / count * 1e6:6.0f} µs CPU each" if count > 1 else ""
    print(f"{what:44} {wall:7.2f} s{each}", flush=True)
    return found


def probe(directory: Path, count: int = 100) -> float:
    """fdatasync(2) of a small write, in ms: what the disk costs just now."""
    descriptor = os.open(directory / "probe", os.O_WRONLY | os.O_CREAT)
    began = time.perf_counter()
    for _ in range(count):
        os.write(descriptor, b"x" * 4096)
        os.fdatasync(descriptor)
    os.close(descriptor)
    return (time.perf_counter() - began) / count * 1000


async def run(reactor: Any, options: argparse.Namespace, directory: Path) -> None:
    machine = real_machine("bench", state_directory=directory, reactor=reactor)
    limits = StoreLimits(messages=10**7, octets=1 << 40)
    print(f"fdatasync: {probe(directory):.2f} ms")
    for size, count, accounts in ((1024, options.count, 1), (1024, options.count, 20), (102_400, options.count // 20, 1)):
        store = MailStore(machine, limits, f"mail-{size}-{accounts}")
        what = f"{size} octets, {options.sessions} at once, {accounts} mailbox{'es' * (accounts > 1)}"
        await timed(what, count, partial(deliveries, store, count, size, options.sessions, accounts))
        await timed("  until all are in their files", count, store.close)
    store = MailStore(machine, limits, "mail-large")
    await timed(
        f"{options.large} messages, 1000 at once", options.large, lambda: deliveries(store, options.large, 600, 900, 1)
    )
    await store.close()
    store = MailStore(machine, limits, "mail-large")
    folder, found = await timed("opening it, and all of its messages", 1, lambda: store.account(BOB).snapshot("INBOX"))
    assert len(found) == options.large
    account = store.account(BOB)
    await timed("once more", 1, lambda: account.snapshot("INBOX"))
    await timed("a search by subject", 1, lambda: account.search(folder.id, search.text("subject", "message 77")))
    uids = [each.uid for each in found]
    await timed("\\Seen for all of them", 1, lambda: account.change_flags(folder.id, uids, "add", ["\\Seen"]))

    async def read() -> None:
        for each in found[:10_000]:
            opened = account.content(each)
            opened.read_at(0, each.size)
            opened.close()

    await timed("reading 10000 of them", min(10_000, len(found)), read)
    await store.close()
    index = directory / "mail-large" / "accounts" / BOB
    print(f"index {(index / 'index.sqlite').stat().st_size >> 20} MiB, ledger {(index / 'ledger').stat().st_size >> 20} MiB")
    for file in index.glob("index.sqlite*"):
        file.unlink()
    store = MailStore(machine, limits, "mail-large")
    await timed("making its index anew", options.large, lambda: store.account(BOB).snapshot("INBOX"))
    await store.close()
    print(f"fdatasync: {probe(directory):.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="messages of 1 KB")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--large", type=int, default=100_000, help="messages of the large mailbox")
    parser.add_argument("--directory", help="on the disk to be measured (default: a temporary one)")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(dir=options.directory))
    try:
        task.react(lambda reactor: defer.ensureDeferred(run(reactor, options, directory)))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
