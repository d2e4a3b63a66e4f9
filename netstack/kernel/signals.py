"""What a process does at a signal, beside ending: for taps that run alone."""

import signal
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service


class Signals(Service):
    """Has the reactor call functions when the process gets signals, from its start to its stop."""

    def __init__(self, reactor: Any, actions: Mapping[signal.Signals, Callable[[], object]]) -> None:
        self.reactor = reactor
        self.actions = dict(actions)
        self._before: dict[signal.Signals, Any] = {}

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for number, action in self.actions.items():
            self._before[number] = signal.signal(number, lambda *_, action=action: self.reactor.callFromThread(action))

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)
