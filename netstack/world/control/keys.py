"""The verbs about the keys of signed zones: listed, rolled over."""

from collections.abc import Iterator
from typing import Any

from netstack.world.control.names import origin_of
from netstack.world.control.server import ControlError, Stream, Verb
from netstack.world.running import Running


class KeyVerbs:
    """What can be asked of the keys of one world's zones."""

    def __init__(self, running: Running) -> None:
        self.running = running

    def table(self) -> dict[str, Verb]:
        """Verb -> handler."""
        return {"keys.list": self.list, "keys.roll": self.roll, "keys.seen": self.seen}

    async def list(self, arguments: Any, stream: Stream) -> object:
        """{"zone": optional} -> {"keys": [{"host", "zone", "tag", "role", "state", and the time of each step}]}."""
        wanted = None if arguments.get("zone") is None else _plain(origin_of(arguments))
        found = [{"host": host, **key} for host, signer in self._signers() for key in signer.listed()]
        return {"keys": [key for key in found if wanted is None or key["zone"].lower() == wanted]}

    async def roll(self, arguments: Any, stream: Stream) -> object:
        """{"zone", "role": optional} -> {"tag"}: the new key's; its rollover has begun."""
        role = arguments.get("role")
        return {"tag": self._of(arguments, lambda signer, origin: signer.roll(origin, role).tag)}

    async def seen(self, arguments: Any, stream: Stream) -> object:
        """{"zone"} -> {}: the parent has the new key's DS record, as the operator has seen."""
        self._of(arguments, lambda signer, origin: signer.parent_has(origin))
        return {}

    def _of(self, arguments: Any, work: Any) -> Any:
        from netstack.dns.dnssec.keeper import RollError

        origin = origin_of(arguments)
        for _, signer in self._signers():
            if origin in signer.tended:
                try:
                    return work(signer, origin)
                except (RollError, OSError) as error:
                    raise ControlError(str(error), "usage" if isinstance(error, RollError) else "failed") from error
        raise ControlError(f"no zone {_plain(origin)} is signed here; netstack keys list shows those that are", "usage")

    def _signers(self) -> Iterator[tuple[str, Any]]:
        """(host, Keeper of netstack.dns.dnssec) of each server that signs zones."""
        for host in self.running.hosts.values():
            for service in host.services:
                signer = getattr(service.service, "signer", None)
                if signer is not None:
                    yield host.name, signer


def _plain(origin: Any) -> str:
    """A zone's name in lower case, without a dot at its end."""
    name: str = origin.to_text(omit_final_dot=True)
    return name.lower()
