"""`netstack mail account|import|export`: what a mail server knows of its users, and their mail."""

import argparse
import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netstack.cli import render
from netstack.cli.errors import PASS, USAGE, CommandError

if TYPE_CHECKING:
    from netstack.mail.store import MailStore


def run(options: argparse.Namespace) -> int:
    """As the action says."""
    return {"account": account, "import": exchange, "export": exchange}[options.action](options)


def account(options: argparse.Namespace) -> int:
    """Print the line for an address and the password on standard input."""
    from netstack.mail.accounts import account_line, new_account, size

    if sys.stdin.isatty():
        from getpass import getpass

        password = getpass("Password: ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        made = new_account(options.address, password, secrets.token_bytes(16), scram=not options.no_scram)
        made = replace(made, octets=size(options.octets), messages=size(options.messages))
    except ValueError as error:
        raise CommandError(str(error), USAGE, "usage") from None
    if options.json:
        render.print_json({"account": made.name, "line": account_line(made)})
    else:
        print(account_line(made))
    return PASS


def exchange(options: argparse.Namespace) -> int:
    """Import or export, in the state directory of a server that does not run."""
    from netstack.kernel.holding import hold
    from netstack.mail.accounts import account_name
    from netstack.mail.exchange import NotAMailbox
    from netstack.mail.store import StoreError

    try:
        name = account_name(options.address)
    except ValueError as error:
        raise CommandError(f"{options.address}: {error}", USAGE, "usage") from None
    if not (Path(options.state) / "mail").is_dir() and options.action == "export":
        raise CommandError(f"{options.state}: there is no mail in this directory", USAGE, "usage")
    work = _import if options.action == "import" else _export
    try:
        held = hold(options.state)
        try:
            count = _with_store(options.state, lambda store: work(store, name, options))
        finally:
            os.close(held)
    except (NotAMailbox, StoreError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or options.path}: {error.strerror or error}") from None
    if options.json:
        render.print_json({"account": name, "folders": dict(count)})
    for folder, messages in sorted(count.items()) if not options.json else ():
        print(f"{folder}: {messages} message{'s' * (messages != 1)}")
    return PASS


async def _import(store: "MailStore", name: str, options: argparse.Namespace) -> Counter[str]:
    from netstack.mail.exchange import read
    from netstack.mail.transfer import import_items

    return await import_items(store, name, read(Path(options.path), options.folder or "INBOX", store.limits.message))


async def _export(store: "MailStore", name: str, options: argparse.Namespace) -> Counter[str]:
    from netstack.mail.exchange import Item, write_maildir, write_mbox
    from netstack.mail.transfer import export_items

    count: Counter[str] = Counter()

    def counted(item: Item) -> Item:
        count[item.folder] += 1
        return item

    write = write_maildir if options.format == "maildir" else write_mbox
    write(Path(options.path), map(counted, await export_items(store.account(name), options.folder)))
    return count


def _with_store(state: str, work: Callable[["MailStore"], Coroutine[Any, Any, Counter[str]]]) -> Counter[str]:
    """What it returns, or raises, once all is written."""
    from twisted.internet import defer, reactor
    from twisted.python.failure import Failure

    from netstack.kernel.real import real_machine
    from netstack.mail.store import MailStore

    store = MailStore(real_machine("mail", state_directory=state))
    found: list[Any] = []
    running: Any = reactor

    async def all_of_it() -> Counter[str]:
        try:
            return await work(store)
        finally:
            await store.close()

    def begin() -> None:
        defer.ensureDeferred(all_of_it()).addBoth(found.append).addBoth(lambda _: running.stop())

    running.callWhenRunning(begin)
    running.run()
    if isinstance(found[0], Failure):
        found[0].raiseException()
    count: Counter[str] = found[0]
    return count
