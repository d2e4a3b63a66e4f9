"""Mailboxes of other programs into the store and out of it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from netstack.mail.exchange import Item
from netstack.mail.message import head
from netstack.mail.store import AccountStore, Folder, MailStore, Message, Quota, flags
from netstack.mail.store.errors import StoreError

TOGETHER = 100
"""Messages under way at once, which share commits."""


async def import_items(store: MailStore, account: str, items: Iterable[Item], quota: Quota | None = None) -> Counter[str]:
    """Appends them, folders made if need be: how many by folder. Keywords that are none are left out. Raises StoreError.

    After an error those before it are there.
    """
    waiting = iter(items)
    count: Counter[str] = Counter()
    while batch := list(islice(waiting, TOGETHER)):
        started = [
            store.append(account, each.octets, each.folder, flags=_known(each.flags), date=each.date, quota=quota, make=True)
            for each in batch
        ]
        failure: StoreError | None = None
        for item, appended in zip(batch, started, strict=True):
            try:
                await appended
                count[item.folder] += 1
            except StoreError as error:
                failure = failure or error
        if failure is not None:
            raise failure
    return count


async def export_items(account: AccountStore, only: str | None = None) -> Iterator[Item]:
    """All messages, or those of one folder, read when they are asked for. Raises StoreError, and OSError while reading."""
    names = [only] if only is not None else [folder.name for folder in await account.folders()]
    found = [await account.snapshot(name) for name in names]
    return _contents(account, found)


def _contents(account: AccountStore, found: Iterable[tuple[Folder, list[Message]]]) -> Iterator[Item]:
    for folder, messages in found:
        for message in messages:
            opened = account.content(message)
            try:
                octets = opened.read_at(0, message.size)
            finally:
                opened.close()
            path = head(octets).get(b"return-path") or b""
            sender = path.decode("utf-8", "replace").strip("<>")
            yield Item(folder.name, octets, flags.names(message.bits, message.keywords), message.date, sender)


def _known(names: Iterable[str]) -> list[str]:
    known = []
    for name in names:
        try:
            flags.parsed([name])
        except ValueError:
            continue
        known.append(name)
    return known[:64]
