"""What a control client can ask of nodes of the ring: keys, look-ups, what a node knows, to leave and to join."""

from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from netstack.world.control.names import text
from netstack.world.control.server import ControlError, Stream, Verb
from netstack.world.running import RunningHost

Arguments = Mapping[str, Any]
PLUGIN = "ring"
ONE = ("ring.show", "ring.get", "ring.put", "ring.remove", "ring.leave", "ring.join")
"""Verbs of one host."""


class RingVerbs:
    """The verbs of one world. `host` finds the host that arguments name, `client` the one that asks."""

    def __init__(
        self,
        host: Callable[[Arguments], RunningHost],
        client: Callable[[Arguments], RunningHost],
        traced: Callable[..., Any],
    ) -> None:
        self._host = host
        self._client = client
        self._traced = traced

    def table(self) -> dict[str, Verb]:
        """Verb -> handler."""
        return {
            "ring.show": self.show,
            "ring.get": self.get,
            "ring.put": self.put,
            "ring.remove": self.remove,
            "ring.lookup": self.look_up,
            "ring.leave": self.leave,
            "ring.join": self.join,
        }

    async def show(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"} -> the node, its neighbours, shortcuts and last look-ups."""
        from netstack.ring.gateway import described

        return described(_service(self._host(arguments)))

    async def get(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "key"} -> {"version", "values": [base64]}."""
        got = await _done(_service(self._host(arguments)).get(text(arguments, "key").encode()))
        return {"version": str(got.version), "values": [b64encode(each.data).decode() for each in got.values]}

    async def put(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "key", "value": base64, "ttl"?, "add"?} -> {"version", "copies"}."""
        try:
            value = b64decode(text(arguments, "value"), validate=True)
        except ValueError:
            raise ControlError("value: expected base64", "usage") from None
        ttl = arguments.get("ttl")
        if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int | float) or not ttl > 0):
            raise ControlError(f"ttl: expected a number of seconds above 0, got {ttl!r}", "usage")
        service = _service(self._host(arguments))
        stored = await _done(service.put(text(arguments, "key").encode(), value, ttl=ttl, replace=not arguments.get("add")))
        return {"version": str(stored.version), "copies": stored.copies}

    async def remove(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "key"} -> {"version", "copies"}."""
        stored = await _done(_service(self._host(arguments)).remove(text(arguments, "key").encode()))
        return {"version": str(stored.version), "copies": stored.copies}

    async def look_up(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "key" or "ident", "forwarding"?, "trace"?} -> the path, and who is responsible; "messages"."""
        from netstack.ring.gateway import way

        service = _service(self._client(arguments))
        circle = service.peer.circle
        ident = arguments.get("ident")
        if ident is None:
            ident = circle.of(text(arguments, "key").encode())
        if isinstance(ident, bool) or not isinstance(ident, int) or not 0 <= ident < circle.size:
            raise ControlError(f"ident: expected a number from 0 to {circle.size - 1}, got {ident!r}", "usage")

        async def talk() -> dict[str, Any]:
            ask = service.pass_on if arguments.get("forwarding") else service.look_up
            return way(service, await _done(ask(ident)))

        return await self._traced(talk, arguments)

    async def leave(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"} -> {"left": true}: it has handed over what it had, told its neighbours, and listens no more."""
        await _service(self._host(arguments)).stopService()
        return {"left": True}

    async def join(self, arguments: Arguments, stream: Stream) -> object:
        """{"host", "through": ["HOST:PORT", ...]} -> {"joined": true, "successor"}: it has a place on their circle."""
        from netstack.ring.joining import NotJoined
        from netstack.ring.wire import is_place

        service = _service(self._host(arguments), running=False)
        through = arguments.get("through")
        if not isinstance(through, list) or not through or not all(isinstance(each, str) for each in through):
            raise ControlError('through: expected a list of "HOST:PORT"', "usage")
        for each in through:
            if not is_place(each):
                raise ControlError(f"through: expected HOST:PORT, an IPv6 address in brackets, got {each!r}", "usage")
        try:
            await service.join(through)
        except NotJoined as failed:
            raise ControlError(str(failed)) from None
        after = service.peer.node.successors[0]
        return {"joined": True, "successor": {"ident": after.ident, "address": after.address}}


def _service(host: RunningHost, running: bool = True) -> Any:
    for each in host.services:
        if each.plugin == PLUGIN:
            found: Any = each.service
            if running and not found.running:
                raise ControlError(f"{host.name} has left the circle: `netstack ring join {host.name}` brings it back")
            return found
    raise ControlError(f"{host.name} is no node of the ring", "usage")


async def _done(asked: Awaitable[Any]) -> Any:
    """What a node says; what goes wrong is the answer."""
    from twisted.internet.defer import CancelledError, TimeoutError

    from netstack.ring.service import OperationFailed

    try:
        return await asked
    except ValueError as wrong:
        raise ControlError(str(wrong), "usage") from None
    except OperationFailed as failed:
        raise ControlError(f"the ring did not do it: {failed}") from None
    except (TimeoutError, CancelledError):
        raise ControlError("the ring gave no answer in time") from None
