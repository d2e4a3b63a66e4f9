"""A reactor in a thread of its own, so that programs that block (requests, smtplib, a script) can use a world beside it.

An EPollReactor cannot be started twice: there is one for each process, kept until the process or its test session ends.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.epollreactor import EPollReactor

from netstack.kernel.real import steady


class ReactorThread:
    """Runs a reactor of its own beside whatever reactor the process has; `call` enters it from any other thread."""

    def __init__(self) -> None:
        self.reactor: Any = EPollReactor()
        steady(self.reactor)
        started = threading.Event()
        self.reactor.callWhenRunning(started.set)
        self._thread = threading.Thread(
            target=self.reactor.run, kwargs={"installSignalHandlers": False}, name="netstack reactor", daemon=True
        )
        self._thread.start()
        started.wait()

    def call(self, f: Callable[..., Any], *arguments: Any, within: float = 60.0) -> Any:
        """The result of `f(*arguments)`, which may be a coroutine or a Deferred; TimeoutError after `within` seconds."""
        if not self._thread.is_alive():
            raise RuntimeError("the reactor's thread has ended")
        future: Future[Any] = Future()
        running: list[Deferred[Any]] = []

        def begin() -> None:
            deferred = maybeDeferred(_as_deferred, f, arguments)
            running.append(deferred)
            deferred.addCallbacks(future.set_result, lambda failure: future.set_exception(failure.value))

        self.reactor.callFromThread(begin)
        try:
            return future.result(within)
        except FutureTimeout:
            if future.done():
                raise  # what was called raised a TimeoutError of its own
            self.reactor.callFromThread(lambda: running[0].cancel())
            raise TimeoutError(f"no result within {within:g} s") from None

    def stop(self) -> None:
        """End the reactor; it cannot be started again."""
        if self._thread.is_alive():
            self.reactor.callFromThread(self.reactor.stop)
            self._thread.join(10)


def _as_deferred(f: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    result = f(*arguments)
    return Deferred.fromCoroutine(result) if hasattr(result, "send") and hasattr(result, "throw") else result
