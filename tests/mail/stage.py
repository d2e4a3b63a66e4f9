"""A host with a store, in virtual time, on the disk of the simulation or on a real one."""

from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from netstack.kernel.disk import RealDisk
from netstack.mail.store import AccountStore, MailStore, Message, StoreLimits
from netstack.world.simulated import Simulation

T = TypeVar("T")
ALICE = "alice@crepes.fr"


class Stage:
    def __init__(self, real: Path | None = None, **limits: Any) -> None:
        self.simulation = Simulation(1)
        self.host = self.simulation.host("mail.crepes.fr", "10.0.0.1")
        self._real = real
        self._limits = limits
        self.begin()

    def begin(self) -> None:
        """A new process."""
        machine = self.simulation.machine(self.host)
        self.machine = machine if self._real is None else replace(machine, disk=RealDisk(self._real))
        self.store = MailStore(self.machine, StoreLimits(**self._limits))

    @property
    def account(self) -> AccountStore:
        return self.store.account(ALICE)

    def start(self, work: Awaitable[T]) -> list[Any]:
        """What becomes of it, once that is known."""
        seen: list[Any] = []

        async def run() -> T:
            return await work

        Deferred.fromCoroutine(run()).addCallbacks(seen.append, lambda failure: seen.append(failure))
        return seen

    def do(self, work: Awaitable[T], seconds: float = 60) -> T:
        """Its outcome; raises what it raises."""
        seen = self.start(work)
        self.simulation.run(for_seconds=seconds, stop=lambda: bool(seen))
        assert seen, "it takes too long"
        if isinstance(seen[0], Failure):
            seen[0].raiseException()
        found: T = seen[0]
        return found

    def wait(self, seconds: float) -> None:
        self.simulation.run(for_seconds=seconds)

    def deliver(self, message: Any, **more: Any) -> int:
        """To alice: the UID."""
        return self.do(self.store.deliver(ALICE, None, message, **more)).uid

    def texts(self, folder: str = "INBOX") -> dict[int, bytes]:
        """What is after the Return-Path of each message."""
        _, found = self.do(self.account.snapshot(folder))
        return {message.uid: self.read(message).removeprefix(b"Return-Path: <>\r\n") for message in found}

    def read(self, message: Message) -> bytes:
        opened = self.account.content(message)
        octets = opened.read_at(0, message.size + 1)
        opened.close()
        return octets

    def restart(self, how: str) -> None:
        """`close`, `kill` or `power_off`, and a new process."""
        if how == "close":
            self.do(self.store.close())
            self.wait(1)
            self.host.kill()
        elif how == "kill":
            self.host.kill()
        else:
            assert self._real is None
            self.host.power_off()
        self.host.boot()
        self.begin()
