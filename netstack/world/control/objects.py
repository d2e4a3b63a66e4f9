"""What a control client can ask of Web caches: what they have stored, and to remove it."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from netstack.dns.paging import MOST, PIECE
from netstack.world.control.names import text
from netstack.world.control.server import ControlError, Stream, Verb
from netstack.world.running import RunningHost

Arguments = Mapping[str, Any]
ONE = ("objects.list", "objects.inspect", "objects.purge")
"""Verbs of one host."""


class ObjectVerbs:
    """The verbs of one world. `host` finds the host that arguments name."""

    def __init__(self, host: Callable[[Arguments], RunningHost]) -> None:
        self._host = host
        self._lists: dict[str, OrderedDict[int, AsyncIterator[dict[str, Any]]]] = {}
        self._last = 0

    def table(self) -> dict[str, Verb]:
        """Verb -> handler."""
        return {"objects.list": self.list, "objects.inspect": self.inspect, "objects.purge": self.purge}

    async def list(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "prefix"?} or {"host", "next"} -> {"items": [responses], "next"}."""
        from netstack.cache.shown import listed

        proxy, lists = self._proxy(arguments), self._lists.setdefault(self._host(arguments).name, OrderedDict())
        number = arguments.get("next")
        if number is None:
            number = self._last = self._last + 1
            lists[number] = listed(proxy, text(arguments, "prefix") if arguments.get("prefix") else "")
            while len(lists) > MOST:
                lists.popitem(last=False)
        items: list[dict[str, Any]] = []
        try:
            async for item in lists[number]:
                items.append(item)
                if len(items) == PIECE:
                    return {"items": items, "next": number}
        except (KeyError, TypeError, RuntimeError):  # no such list, or its next piece is being made for somebody else
            raise ControlError("that list is over, or was given up for later ones: begin again") from None
        lists.pop(number, None)
        return {"items": items, "next": None}

    async def inspect(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "url"} -> {"url", "variants": [...], "fetching", "passed"}."""
        from netstack.cache.shown import inspected

        try:
            return await inspected(self._proxy(arguments), text(arguments, "url"))
        except ValueError as error:
            raise ControlError(f"url: {error}", "usage") from None

    async def purge(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"} and one of {"url"}, {"prefix"}, {"all": true} -> {"removed": responses}."""
        proxy = self._proxy(arguments)
        try:
            count = proxy.purging.url(text(arguments, "url")) if arguments.get("url") else None
        except ValueError as error:
            raise ControlError(f"url: {error}", "usage") from None
        if count is None and not arguments.get("prefix") and arguments.get("all") is not True:
            raise ControlError("url: expected a URL, or a prefix, or all", "usage")
        if count is None:
            count = await proxy.purging.below(text(arguments, "prefix") if arguments.get("prefix") else "")
        await proxy.store.removals()
        return {"removed": count}

    def _proxy(self, arguments: Arguments) -> Any:
        host = self._host(arguments)
        for service in host.services:
            found = getattr(service.service, "web_cache", None)
            if found is not None:
                return found
        raise ControlError(f"{host.name} is no Web cache", "usage")
