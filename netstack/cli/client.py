"""The control socket's client for commands: plain and blocking. Services use other ways; they never import socket."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from netstack.cli.errors import FAIL, USAGE, CommandError
from netstack.world.control.paths import control_socket, names_in_use

MOST_LINE = 256 * 1024 * 1024
"""Octets of one answer: a whole journal with its messages' octets fits."""
PIECE = 256 * 1024
"""Octets read at a time."""
LAST = 5.0
"""Seconds to wait for the next of what was under way when a stream was cancelled."""


def choose(name: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The world that a command means: the one named, or the only one that is up."""
    running = names_in_use(environment)
    if name is not None:
        if name not in running:
            others = f" (up: {', '.join(running)})" if running else ""
            raise CommandError(f"no world named {name} is up{others}; start it with: netstack up", USAGE, "not-running")
        return name
    if not running:
        raise CommandError("no world is up; start one with: netstack up", USAGE, "not-running")
    if len(running) > 1:
        raise CommandError(f"{len(running)} worlds are up: say which with --name ({', '.join(running)})", USAGE, "usage")
    return running[0]


class Client:
    """One connection to a world's control socket. Requests one after another; errors are CommandErrors."""

    def __init__(self, name: str | None, timeout: float | None = 60.0, environment: Mapping[str, str] = os.environ) -> None:
        self.world = choose(name, environment)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        path = control_socket(self.world, environment)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise CommandError(f"{self.world} does not answer on {path}: {error.strerror or error}") from error
        self._waiting = bytearray()
        self._looked = 0
        """Octets of it that hold no end of a line."""
        self._last = self._streaming = 0
        self._cancelled = False
        self.result: Any = None
        """Of the last stream; None when none came in time."""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def timeout(self, seconds: float | None) -> None:
        """How long to wait for each next line; None: for ever."""
        self._socket.settimeout(seconds)

    def call(self, verb: str, **arguments: object) -> Any:
        """Carry out a verb; its result."""
        return self.hear(verb, lambda item: None, **arguments)

    def hear(self, verb: str, told: Callable[[Any], None], /, **arguments: object) -> Any:
        """The same; `told` gets the items that come before the result."""
        identifier = self._send(verb, arguments)
        while True:
            answer = self._receive()
            if answer.get("id") != identifier:
                continue
            if "item" not in answer:
                return answer.get("result")
            told(answer["item"])

    def stream(self, verb: str, seconds: float | None = None, **arguments: object) -> Iterator[Any]:
        """Carry out a streaming verb: its items, until `seconds` are over or `cancel` is called; `result` is set then.

        What was under way then comes all the same. Whoever stops iterating earlier closes the client.
        """
        end = None if seconds is None else time.monotonic() + seconds
        self.result = None
        identifier = self._streaming = self._send(verb, arguments)
        while True:
            if end is not None and not self._cancelled and time.monotonic() >= end:
                self.cancel()
            self.timeout(LAST if self._cancelled else None if end is None else max(end - time.monotonic(), 0.001))
            try:
                answer = self._receive()
            except CommandError as error:
                if error.kind != "timeout":
                    raise
                if self._cancelled:
                    return
                continue
            if answer.get("id") != identifier:
                continue
            if "item" not in answer:
                self.result = answer.get("result")
                return
            yield answer["item"]

    def cancel(self) -> None:
        """End the stream."""
        if self._streaming and not self._cancelled:
            self._cancelled = True
            self._send("cancel", {"id": self._streaming})

    @contextmanager
    def cancelled_by_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the stream instead of the command; a second one ends the command."""

        def caught(number: int, frame: object) -> None:
            if self._cancelled or not self._streaming:
                raise KeyboardInterrupt
            self.cancel()

        before = {each: signal.signal(each, caught) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _send(self, verb: str, arguments: Mapping[str, object]) -> int:
        self._last += 1
        request = {"id": self._last, "verb": verb, "arguments": arguments}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise CommandError(f"{self.world} went away: {error.strerror or error}") from error
        return self._last

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._line()
        except TimeoutError:
            raise CommandError(f"{self.world} gave no answer in {self._socket.gettimeout():g} s", FAIL, "timeout") from None
        except OSError as error:
            raise CommandError(f"{self.world} went away: {error.strerror or error}") from error
        if line is None:
            raise CommandError(f"{self.world} went away")
        answer: dict[str, Any] = json.loads(line)
        wrong = answer.get("error")
        if wrong is not None:
            usage = wrong["kind"] in ("usage", "request")
            raise CommandError(wrong["message"], USAGE if usage else FAIL, wrong["kind"])
        return answer

    def _line(self) -> bytes | None:
        """The next line, None at the end. What has come of a line stays when it takes too long."""
        while (found := self._waiting.find(b"\n", self._looked)) < 0:
            self._looked = len(self._waiting)
            received = self._socket.recv(PIECE) if self._looked < MOST_LINE else b""
            if not received:
                return None
            self._waiting += received
        line, self._looked = bytes(self._waiting[:found]), 0
        del self._waiting[: found + 1]
        return line
