"""`netstack mail queue`, `ls` and `read`: what waits on mail hosts, and what has come into a mailbox."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import PASS, USAGE, CommandError
from netstack.cli.paged import lines_to, pages

PLUGIN = "netstack-smtp"


def run(options: argparse.Namespace) -> int:
    """As the action says."""
    actions = {"list": listed, "show": show, "ls": ls, "read": read}
    return actions.get(options.action, change)(options)


def listed(options: argparse.Namespace) -> int:
    """The queue of a host, or of all."""
    with Client(options.name) as client:
        hosts = [options.host] if options.host else mail_hosts(client)
        items = ({"host": host, **item} for host in hosts for item in pages(client, "mail.queue", host=host))
        if options.json:
            lines_to(None, items, True)
            return PASS
        count = 0
        for item in items:
            count += 1
            print("\n".join(lines(item)))
        if not count:
            print("nothing waits")
    return PASS


def show(options: argparse.Namespace) -> int:
    """One message, with its beginning."""
    [number] = _numbers(options, "one message")
    with Client(options.name) as client:
        found = client.call("mail.message", host=options.host, message=number)
    if options.json:
        render.print_json(found)
        return PASS
    print("\n".join(lines({"host": options.host, **found})))
    print()
    print(found["content"].replace("\r\n", "\n"), end="")
    return PASS


def change(options: argparse.Namespace) -> int:
    """Flush, freeze, thaw or remove messages; flush without any: all of the host's."""
    numbers: Iterable[str | None] = options.messages
    if not options.messages:
        numbers = [None] if options.action == "flush" else _numbers(options, "messages")
    told = {}
    with Client(options.name) as client:
        for number in numbers:
            asked = {} if number is None else {"message": number}
            told[number or "all"] = client.call(f"mail.{options.action}", host=options.host, **asked)
    if options.json:
        render.print_json(told)
        return PASS
    for name, found in told.items():
        if options.action == "flush":
            count = found["flushed"]
            print(f"{count} {'message is' if count == 1 else 'messages are'} tried now")
        else:
            print(f"{name} is {'thawed' if options.action == 'thaw' else found_word(options.action)}")
    return PASS


def found_word(action: str) -> str:
    return {"freeze": "frozen", "remove": "removed"}[action]


def lines(item: dict[str, Any]) -> Iterator[str]:
    """A message of a queue, and a line for each recipient."""
    frozen = "  frozen" if item["frozen"] else ""
    sender = item["from"] or "<>"
    yield f"{item['host']}  {item['message']}  {sender}  {item['octets']} octets  since {_clock(item['arrived'])}{frozen}"
    for each in item["recipients"]:
        due = f", again at {_clock(each['due'])}" if each["due"] and each["fate"] == "waiting" else ""
        said = f": {each['said']}" if each["said"] else ""
        attempts = each["attempts"]
        yield f"  {each['to']}  {each['fate']}, {attempts} {'attempt' if attempts == 1 else 'attempts'}{due}{said}"


def ls(options: argparse.Namespace) -> int:
    """A line for each message of a mailbox."""
    with Client(options.name) as client:
        host = options.at or host_of(client, options.address)
        items = pages(client, "mail.list", host=host, account=options.address, folder=options.folder)

        def shown() -> Iterator[str]:
            empty = True
            for item in items:
                empty = False
                seen = " " if "\\Seen" in item["flags"] else "N"
                yield f"{item['uid']:>5} {seen} {item['octets']:>9}  {item['from'] or '-'}  {item['subject'] or '-'}"
            if empty:
                yield f"no messages in {options.folder or 'INBOX'} of {options.address} on {host}"

        lines_to(None, items if options.json else shown(), options.json)
    return PASS


def read(options: argparse.Namespace) -> int:
    """A message of a mailbox, as it came."""
    with Client(options.name) as client:
        host = options.at or host_of(client, options.address)
        found = client.call("mail.read", host=host, account=options.address, folder=options.folder, uid=options.uid)
    if options.json:
        render.print_json(found)
        return PASS
    octets = found["content"].encode("latin-1")
    sys.stdout.flush()
    sys.stdout.buffer.write(octets.replace(b"\r\n", b"\n") if sys.stdout.isatty() else octets)
    sys.stdout.flush()
    return PASS


def mail_hosts(client: Client) -> list[str]:
    """The world's."""
    hosts = client.call("status")["hosts"]
    return [name for name, host in hosts.items() if any(service["plugin"] == PLUGIN for service in host["services"])]


def host_of(client: Client, address: str) -> str:
    """The mail host of an address: that in its domain."""
    domain = address.rpartition("@")[2].lower()
    found = [name for name in mail_hosts(client) if name == domain or name.endswith("." + domain)]
    if len(found) != 1:
        hosts = ", ".join(found or mail_hosts(client))
        raise CommandError(f"which host has the mailbox of {address}? Say --at HOST: {hosts or 'none'}", USAGE, "usage")
    return found[0]


def _numbers(options: argparse.Namespace, wanted: str) -> list[str]:
    numbers: list[str] = options.messages
    if not numbers or (wanted == "one message" and len(numbers) != 1):
        raise CommandError(f"expected {wanted}: netstack mail queue list says their numbers", USAGE, "usage")
    return numbers


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
