"""What a control client can ask of name servers and resolvers: zones reloaded and dumped, caches looked at and emptied."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from netstack.world.control.server import ControlError, Stream, Verb
from netstack.world.running import Running, RunningHost

Arguments = Mapping[str, Any]
ONE = ("zone.reload", "zone.dump", "zone.freeze", "zone.thaw", "cache.dump")
"""Verbs of one host."""


class NameVerbs:
    """The verbs of one world. `host` finds the host that arguments name."""

    def __init__(self, running: Running, host: Callable[[Arguments], RunningHost]) -> None:
        self.running = running
        self._host = host
        self._dumps: dict[str, Any] = {}

    def table(self) -> dict[str, Verb]:
        """Verb -> handler."""
        return {
            "zone.reload": self.reload,
            "zone.dump": self.zone_dump,
            "zone.freeze": self.freeze,
            "zone.thaw": self.thaw,
            "cache.dump": self.cache_dump,
        }

    async def reload(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "zone"?, "force"?} -> {"zones": [{"zone", "result", "serial", "reason", "warnings"}]}."""
        reloader = self._of(arguments, "reloader", "serves no zones")
        origin = origin_of(arguments) if arguments.get("zone") else None
        return {"zones": [asdict(each) for each in await reloader.reload(origin, bool(arguments.get("force")))]}

    async def freeze(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "zone"} -> {"frozen": true}: updates of the zone are refused until it is thawed."""
        keeper = self._of(arguments, "keeper", "serves no zones")
        if not await keeper.freeze(origin_of(arguments)):
            raise ControlError(f"{arguments['zone']} takes no updates on {arguments['host']}")
        return {"frozen": True}

    async def thaw(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "zone"} -> {"frozen": false}."""
        keeper = self._of(arguments, "keeper", "serves no zones")
        if not keeper.thaw(origin_of(arguments)):
            raise ControlError(f"{arguments['zone']} is not frozen on {arguments['host']}")
        return {"frozen": False}

    async def zone_dump(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "zone"} or {"host", "next"} -> {"items": [lines], "next": what to ask with for more, or null}."""
        from netstack.dns.dump import dump
        from netstack.dns.paging import Pages

        host = self._host(arguments)
        pages = self._dumps.setdefault(host.name, Pages())

        async def begin() -> Iterator[str]:
            authority = self._of(arguments, "authority", "serves no zones")
            zone = authority.zones.get(origin_of(arguments))
            if zone is None:
                served = ", ".join(sorted(name.to_text() for name in authority.zones)) or "none"
                raise ControlError(f"{host.name} does not serve {arguments['zone']}; it serves {served}", "usage")
            lines: Iterator[str] = await dump(host.machine, zone)
            return lines

        return await paged(arguments, pages, begin)

    async def cache_dump(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"} or {"host", "next"} -> {"items": [entries], "next"}."""
        control = self._of(arguments, "cache_control", "has no cache of names")

        async def begin() -> Iterator[dict[str, Any]]:
            entries: Iterator[dict[str, Any]] = control.entries()
            return entries

        return await paged(arguments, control.pages, begin)

    def _of(self, arguments: Arguments, attribute: str, lack: str) -> Any:
        """What a service of the host has under this name."""
        host = self._host(arguments)
        for service in host.services:
            found = getattr(service.service, attribute, None)
            if found is not None:
                return found
        raise ControlError(f"{host.name} {lack}", "usage")


def text(arguments: Arguments, key: str, default: str | None = None) -> str:
    """A text argument; ControlError without it."""
    value = arguments.get(key, default)
    if not isinstance(value, str) or not value:
        raise ControlError(f"{key}: expected a text", "usage")
    return value


def origin_of(arguments: Arguments, key: str = "zone") -> Any:
    """The name in an argument; ControlError when it is none."""
    import dns.exception
    import dns.name

    written = text(arguments, key)
    try:
        return dns.name.from_text(written)
    except dns.exception.DNSException as error:
        raise ControlError(f"{key}: {written!r} is not a domain name: {error}", "usage") from None


async def paged(arguments: Arguments, pages: Any, begin: Callable[[], Any]) -> object:
    """A piece of a long list: the first one, which `begin` makes, or that of {"next"}."""
    number = arguments.get("next")
    if number is None:
        number = pages.begin(await begin())
    try:
        items, more = pages.take(number)
    except (KeyError, TypeError):
        raise ControlError("that dump is over, or was given up for later ones: begin again") from None
    return {"items": items, "next": number if more else None}
