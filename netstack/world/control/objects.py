"""What a control client can ask of Web caches: what they have stored, and to remove it."""

from collections.abc import Callable, Mapping
from typing import Any

from netstack.world.control.names import paged, text
from netstack.world.control.server import ControlError, Stream, Verb
from netstack.world.running import RunningHost

Arguments = Mapping[str, Any]
ONE = ("objects.list", "objects.inspect", "objects.purge")
"""Verbs of one host."""


class ObjectVerbs:
    """The verbs of one world. `host` finds the host that arguments name."""

    def __init__(self, host: Callable[[Arguments], RunningHost]) -> None:
        self._host = host
        self._lists: dict[str, Any] = {}

    def table(self) -> dict[str, Verb]:
        """Verb -> handler."""
        return {"objects.list": self.list, "objects.inspect": self.inspect, "objects.purge": self.purge}

    async def list(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "prefix"?} or {"host", "next"} -> {"items": [responses], "next"}."""
        from netstack.cache.shown import listed
        from netstack.dns.paging import Pages

        proxy, pages = self._proxy(arguments), self._lists.setdefault(self._host(arguments).name, Pages())

        async def begin() -> Any:
            return listed(proxy, text(arguments, "prefix") if arguments.get("prefix") else "")

        return await paged(arguments, pages, begin)

    async def inspect(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "url"} -> {"url", "variants": [...], "fetching", "passed"}."""
        from netstack.cache.shown import inspected

        try:
            return await inspected(self._proxy(arguments), text(arguments, "url"))
        except ValueError as error:
            raise ControlError(f"url: {error}", "usage") from None

    async def purge(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"} and one of {"url"}, {"prefix"}, {"all": true} -> {"removed": responses}."""
        purging = self._proxy(arguments).purging
        try:
            if arguments.get("url"):
                return {"removed": purging.url(text(arguments, "url"))}
        except ValueError as error:
            raise ControlError(f"url: {error}", "usage") from None
        if not arguments.get("prefix") and arguments.get("all") is not True:
            raise ControlError("url: expected a URL, or a prefix, or all", "usage")
        return {"removed": purging.below(text(arguments, "prefix") if arguments.get("prefix") else "")}

    def _proxy(self, arguments: Arguments) -> Any:
        host = self._host(arguments)
        for service in host.services:
            found = getattr(service.service, "web_cache", None)
            if found is not None:
                return found
        raise ControlError(f"{host.name} is no Web cache", "usage")
