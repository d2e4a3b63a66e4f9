"""While events run: callers in netstack that reach for the world outside are stopped, libraries get the machine's instead.

Services have no business with the global clock, entropy, sockets, threads or reactor; everything comes through Machine. A
library is given the running machine's time and bytes from the seed. Other threads, and code between
events, see the real ones.
"""

import os
import random
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import twisted.internet
from twisted.internet import task

if TYPE_CHECKING:
    from netstack.world.simulated.simulation import Simulation

EXEMPT = ("netstack.world.simulated",)
"""Packages of ours that are on the other side of the fence."""
RANDOM = (
    "betavariate", "choice", "choices", "expovariate", "gammavariate", "gauss", "getrandbits", "lognormvariate",
    "normalvariate", "paretovariate", "randbytes", "randint", "random", "randrange", "sample", "shuffle", "triangular",
    "uniform", "vonmisesvariate", "weibullvariate",
)  # fmt: skip
BOUND_AT_IMPORT: dict[str, tuple[str, ...]] = {
    "twisted.web.http": ("time", "gmtime"),
    "twisted.web.server": ("time",),
    "twisted.names.dns": ("urandom",),
    "twisted.names.client": ("time",),
    "random": ("_urandom",),
}
"""Names that libraries copied out of `time` and `os` when they were imported."""


class Tripped(AssertionError):
    """A service reached for something that does not come through its Machine."""


def _ours(depth: int = 2) -> str | None:
    """The module that called a tripwire, when it is one of ours that must not."""
    name = sys._getframe(depth).f_globals.get("__name__", "")
    if isinstance(name, str) and (name == "netstack" or name.startswith("netstack.")) and not name.startswith(EXEMPT):
        return name
    return None


class CurrentReactor(types.ModuleType):
    """Stands for `twisted.internet.reactor`: whatever machine is running now."""

    def __init__(self, simulation: "Simulation") -> None:
        super().__init__("twisted.internet.reactor")
        self.__dict__["_simulation"] = simulation

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        simulation = self.__dict__["_simulation"]
        ours = _ours()
        if ours is not None:
            raise simulation.tripped(f"{ours} uses the global reactor ({name})")
        reactor = simulation.scheduler.current
        if reactor is None:
            raise AttributeError(f"no simulated machine is running now, so there is no reactor to take {name} from")
        return getattr(reactor, name)


@contextmanager
def installed(simulation: "Simulation") -> Iterator[None]:
    """Set the tripwires for the duration of a run, in this thread."""
    scheduler = simulation.scheduler
    thread = threading.get_ident()
    get_thread = threading.get_ident
    saved: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        saved.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    def guard(what: str, real: Callable[..., Any], instead: Callable[..., Any] | None) -> Callable[..., Any]:
        def guarded(*arguments: Any, **keywords: Any) -> Any:
            if scheduler.current is None or get_thread() != thread:
                return real(*arguments, **keywords)
            ours = _ours()
            if ours is not None:
                raise simulation.tripped(f"{ours} calls {what}")
            return (instead or real)(*arguments, **keywords)

        return guarded

    def wall() -> float:
        current = scheduler.current
        return simulation.epoch if current is None else current.host.wall()

    def seconds() -> float:
        return scheduler.now / 1e9

    real_gmtime, real_localtime = time.gmtime, time.localtime
    entropy = simulation.entropy.randbytes
    replacements: dict[str, Callable[..., Any]] = {
        "time": guard("time.time", time.time, wall),
        "gmtime": guard("time.gmtime", time.gmtime, lambda when=None: real_gmtime(wall() if when is None else when)),
        "urandom": guard("os.urandom", os.urandom, entropy),
    }
    replacements["_urandom"] = replacements["urandom"]
    put(time, "time", replacements["time"])
    put(time, "time_ns", guard("time.time_ns", time.time_ns, lambda: int(wall() * 1e9)))
    put(time, "gmtime", replacements["gmtime"])
    put(
        time,
        "localtime",
        guard("time.localtime", time.localtime, lambda when=None: real_localtime(wall() if when is None else when)),
    )
    put(time, "monotonic", guard("time.monotonic", time.monotonic, seconds))
    put(time, "monotonic_ns", guard("time.monotonic_ns", time.monotonic_ns, lambda: scheduler.now))
    put(time, "perf_counter", guard("time.perf_counter", time.perf_counter, seconds))
    put(time, "sleep", guard("time.sleep", time.sleep, None))
    put(os, "urandom", replacements["urandom"])
    for name in RANDOM:
        put(random, name, guard(f"random.{name}", getattr(random, name), getattr(simulation.entropy, name)))
    for module_name, names in BOUND_AT_IMPORT.items():
        module = sys.modules.get(module_name)
        for name in names:
            if module is not None and callable(module.__dict__.get(name)) and not isinstance(module.__dict__[name], type):
                put(module, name, replacements[name])
    real_start, real_open = threading.Thread.start, socket.socket.__init__

    def start(self: threading.Thread) -> None:
        ours = _ours() if scheduler.current is not None and get_thread() == thread else None
        if ours is not None:
            raise simulation.tripped(f"{ours} starts a thread")
        real_start(self)

    def open_socket(self: socket.socket, *arguments: Any, **keywords: Any) -> None:
        if scheduler.current is not None and get_thread() == thread:
            raise simulation.tripped(f"{sys._getframe(1).f_globals.get('__name__')} opens a real socket")
        real_open(self, *arguments, **keywords)

    put(threading.Thread, "start", start)
    put(socket.socket, "__init__", open_socket)
    proxy: Any = CurrentReactor(simulation)
    missing = object()
    real_module = sys.modules.get("twisted.internet.reactor", missing)
    real_attribute = twisted.internet.__dict__.get("reactor", missing)
    sys.modules["twisted.internet.reactor"] = proxy
    twisted.internet.__dict__["reactor"] = proxy
    put(task, "_theCooperator", task.Cooperator(lambda: lambda: True, lambda call: proxy.callLater(0, call)))
    try:
        yield
    finally:
        for owner, name, value in reversed(saved):
            setattr(owner, name, value)
        _restore(sys.modules, "twisted.internet.reactor", real_module, missing)
        _restore(twisted.internet.__dict__, "reactor", real_attribute, missing)


def _restore(names: dict[str, Any], name: str, value: Any, missing: object) -> None:
    if value is missing:
        names.pop(name, None)
    else:
        names[name] = value
