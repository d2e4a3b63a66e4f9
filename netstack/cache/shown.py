"""What is stored, for people and for the control socket."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from netstack.cache.entry import Entry, Flags
from netstack.cache.keys import key_url
from netstack.cache.objects import Stored

if TYPE_CHECKING:
    from netstack.cache.proxy import Proxy

_FLAGS = {
    Flags.VALIDATE: "always validated",
    Flags.STRICT: "never stale",
    Flags.HEURISTIC: "lifetime guessed",
    Flags.IMMUTABLE: "immutable",
}


async def listed(proxy: "Proxy", prefix: str = "") -> AsyncIterator[dict[str, Any]]:
    """Every stored response whose URL begins with `prefix`, in no order."""
    async for stored in proxy.store.everything(b"GET " + prefix.encode("latin-1", "replace")):
        for entry in proxy.entries([stored]):
            yield short(stored, entry, proxy.machine.wall())


def short(stored: Stored, entry: Entry, wall: float) -> dict[str, Any]:
    """One response in a line: {"url", "status", "octets", "age", "ttl", "state"}, times in seconds."""
    fresh = entry.fresh(wall)
    return {
        "url": key_url(stored.key),
        "status": entry.status,
        "octets": stored.size,
        "age": entry.age(wall),
        "ttl": int(entry.fresh_until - wall) if entry.fresh_until else 0,
        "state": "fresh" if fresh else "stale",
    }


async def inspected(proxy: "Proxy", url: str) -> dict[str, Any]:
    """All that is stored under a URL, and what is under way for it; raises ValueError for what is no URL."""
    key = proxy.url_key(url)
    wall = proxy.machine.wall()
    entries = proxy.entries(await proxy.store.load(key))
    return {
        "url": key_url(key),
        "variants": [long(stored, entry, wall) for entry, stored in entries.items()],
        **proxy.under_way(key),
    }


def long(stored: Stored, entry: Entry, wall: float) -> dict[str, Any]:
    """One response with all that is known of it."""
    return {
        **short(stored, entry, wall),
        "length": entry.length,
        "first": entry.first,
        "received": entry.response_time,
        "stale_while_revalidate_until": entry.stale_while,
        "stale_if_error_until": entry.stale_error,
        "flags": [text for flag, text in _FLAGS.items() if flag in entry.flags],
        "vary": dict(zip(entry.vary, entry.selecting[0], strict=True)) if entry.selecting else {},
        "fields": [list(line) for line in entry.fields()],
    }
