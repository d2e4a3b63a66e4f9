"""Runs one coroutine on a simulated reactor or on a real one."""

import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure

from netstack.kernel.links import LinkSettings
from netstack.world.simulated import Simulation

Case = Callable[["Place"], Coroutine[Any, Any, Any]]


class Place:
    """Where a case runs: a reactor and an address of its own."""

    def __init__(self, reactor: Any, address: str, real: bool) -> None:
        self.reactor = reactor
        self.address = address
        self.real = real

    def full_port(self) -> tuple[str, int, Any]:
        """Address and port where connections are neither taken nor refused, and something that keeps it so."""
        if not self.real:
            return "10.0.0.9", 80, None
        listening = socket.socket()
        listening.bind((self.address, 0))
        listening.listen(0)
        waiting = []
        for _ in range(3):  # the queue is full then, and Linux drops requests
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listening.getsockname())
        return self.address, listening.getsockname()[1], (listening, waiting)

    def sleep(self, seconds: float) -> Deferred[None]:
        """Fires after some time of this reactor."""
        done: Deferred[None] = Deferred()
        self.reactor.callLater(seconds, done.callback, None)
        return done


class Simulated:
    """A host of its own for each case."""

    name = "simulated"

    def run(self, case: Case) -> Any:
        simulation = Simulation(7, LinkSettings(delay=0.001))
        host = simulation.host("host", "10.0.0.1")
        return simulation.ask(host, case, Place(host.reactor, "10.0.0.1", False))

    def stop(self) -> None:
        pass


class Real:
    """An epoll reactor in a thread, for all cases of a module."""

    name = "real"

    def __init__(self, kind: type = EPollReactor) -> None:
        self.reactor = kind()
        self.thread = threading.Thread(target=self.reactor.run, kwargs={"installSignalHandlers": False}, daemon=True)
        self.thread.start()

    def run(self, case: Case) -> Any:
        future: Future[Any] = Future()
        place = Place(self.reactor, "127.0.0.1", True)

        def finish(result: Any) -> None:
            if isinstance(result, Failure):
                future.set_exception(result.value)
            else:
                future.set_result(result)

        self.reactor.callFromThread(lambda: Deferred.fromCoroutine(case(place)).addBoth(finish))
        return future.result(60)

    @classmethod
    def selecting(cls) -> "Real":
        """By select(2): epoll takes a refused datagram socket for a lost connection."""
        return cls(SelectReactor)

    def stop(self) -> None:
        self.reactor.callFromThread(self.reactor.stop)
        self.thread.join(5)
