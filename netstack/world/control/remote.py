"""The control protocol's asynchronous client: how one process asks the hosts that other processes carry."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from netstack.sansio import ByteBuffer, RemoteProtocolError
from netstack.world.control.server import ControlError

MOST_LINE = 64 * 1024 * 1024
"""Octets of one answer."""


class RemoteControl(Protocol):
    """A connection to another process's control socket; every request fails with ControlError when it is lost."""

    def __init__(self) -> None:
        self._buffer = ByteBuffer(MOST_LINE)
        self._waiting: dict[int, Deferred[Any]] = {}
        self._followers: dict[int, Callable[[Any], None]] = {}
        self._last = 0
        self._lost = False

    @classmethod
    def connect(cls, reactor: Any, path: Path) -> "Deferred[RemoteControl]":
        """Fires with the connection; fails with Twisted's ConnectError."""
        connected: Deferred[RemoteControl] = connectProtocol(UNIXClientEndpoint(reactor, str(path)), cls())
        return connected

    def call(self, verb: str, arguments: Mapping[str, Any] | None = None) -> Deferred[Any]:
        """Fires with the verb's result, fails with ControlError."""
        return self._request(verb, arguments or {})[1]

    def follow(
        self, verb: str, arguments: Mapping[str, Any], follower: Callable[[Any], None]
    ) -> tuple[Deferred[Any], Callable[[], None]]:
        """A streaming verb: `follower` gets each item; the result, and a function that ends the stream."""
        number, result = self._request(verb, arguments)
        self._followers[number] = follower

        def leave() -> None:
            self._request("cancel", {"id": number})[1].addErrback(lambda failure: None)

        return result, leave

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        try:
            self._buffer.feed(data)
        except RemoteProtocolError:
            transport.abortConnection()
            return
        while (line := self._buffer.take_until(b"\n")) is not None:
            self._answer(json.loads(line))

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._lost = True
        waiting, self._waiting = self._waiting, {}
        for result in waiting.values():
            result.errback(ControlError("the host's process is gone"))

    def _request(self, verb: str, arguments: Mapping[str, Any]) -> tuple[int, Deferred[Any]]:
        self._last += 1
        result: Deferred[Any] = Deferred()
        if self._lost:
            result.errback(ControlError("the host's process is gone"))
        else:
            self._waiting[self._last] = result
            transport: Any = self.transport
            transport.write(json.dumps({"id": self._last, "verb": verb, "arguments": dict(arguments)}).encode() + b"\n")
        return self._last, result

    def _answer(self, answer: Mapping[str, Any]) -> None:
        number = answer.get("id", 0)
        if "item" in answer:
            follower = self._followers.get(number)
            if follower is not None:
                follower(answer["item"])
            return
        self._followers.pop(number, None)
        result = self._waiting.pop(number, None)
        if result is None:
            return
        wrong = answer.get("error")
        if wrong is None:
            result.callback(answer.get("result"))
        else:
            result.errback(ControlError(wrong["message"], wrong["kind"]))
