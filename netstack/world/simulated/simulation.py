"""The simulated Internet: hosts, links and virtual time from one seed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from netstack.kernel.authority import Authority
from netstack.kernel.journal import Journal
from netstack.kernel.limits import StreamLimits
from netstack.kernel.links import LinkSettings
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import FakeResolver, Resolver
from netstack.kernel.tls import TLS, HostTLS
from netstack.world.simulated.hashes import JournalHash, PacketHash
from netstack.world.simulated.host import SimulatedHost
from netstack.world.simulated.network import AccessNetwork, Link, Network
from netstack.world.simulated.offload import InlineOffload
from netstack.world.simulated.scheduler import NANOSECONDS, Scheduler, nanoseconds
from netstack.world.simulated.tripwires import Tripped, installed

T = TypeVar("T")

EPOCH = 1_700_000_000.0
"""The wall clock at the start, seconds since 1970."""
YEAR = 365 * 86400.0
WINDOW = 1 << 20
"""Octets of a stream that may be unacknowledged."""
PROBLEMS = 100
"""Errors that are kept; more are counted alone."""


class SimulationFailed(AssertionError):
    """Errors were logged during a run: an exception in an event, or a Deferred's failure that nobody handled."""

    def __init__(self, problems: list[Failure], count: int) -> None:
        self.problems = problems
        texts = "\n".join(problem.getTraceback() for problem in problems[:3])
        super().__init__(f"{count} errors in the simulation; the first:\n{texts}")


@implementer(ILogObserver)
class _Observer:
    """Watches the log during a run."""

    def __init__(self, watch: Callable[[LogEvent], None]) -> None:
        self._watch = watch

    def __call__(self, event: LogEvent) -> None:
        self._watch(event)


class Outcome(Generic[T]):
    """What became of a call into a host; it carries values, no Deferred, across the border."""

    __slots__ = ("done", "failure", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: T | None = None
        self.failure: Failure | None = None

    def is_done(self) -> bool:
        """For `Simulation.run(stop=...)`."""
        return self.done

    def result(self) -> T:
        """The value; raises what the call raised, or RuntimeError while it is not done."""
        if self.failure is not None:
            self.failure.raiseException()
        if not self.done:
            raise RuntimeError("the call is not done yet")
        return self.value  # type: ignore[return-value]  # done without failure


class Simulation:
    """One simulated Internet. Times of its interface are seconds since its start."""

    def __init__(
        self,
        seed: int | str = 0,
        default_link: LinkSettings | None = None,
        *,
        journal: Journal | None = None,
        epoch: float = EPOCH,
        window: int = WINDOW,
        slow_start: bool = False,
    ) -> None:
        self.seed = seed
        self.epoch = epoch
        self.window = window
        self.slow_start = slow_start
        self.scheduler = Scheduler()
        self.packets = PacketHash()
        self.scheduler.housekeeping.append(self.packets.flush)
        self.network = Network(self.scheduler, default_link or LinkSettings(delay=0.01), Random(f"{seed}/network"))
        self.entropy = Random(f"{seed}/entropy")
        """What libraries get for the system's randomness."""
        self.hosts: dict[str, SimulatedHost] = self.network.hosts
        self.journal = journal if journal is not None else Journal(names=self._name)
        self.journal_hash = JournalHash()
        self.journal.subscribe(self.journal_hash.add)
        self._authority: Authority | None = None
        self.problems: list[Failure] = []
        """Errors logged in runs, not yet reported or expected."""
        self._problem_count = 0
        self._running = False
        self._observer = _Observer(self._observe)

    def _name(self, address: str) -> str:
        host = self.network.addresses.get(address)
        return address if host is None else host.name

    # Topology

    def host(self, name: str, *addresses: str, site: AccessNetwork | None = None) -> SimulatedHost:
        """A new host with addresses of its own, in a site's network or at the core; it is up."""
        if name in self.hosts:
            raise ValueError(f"there is a host {name} already")
        for address in addresses:
            if address in self.network.addresses:
                raise ValueError(f"{address} belongs to {self.network.addresses[address].name} already")
        host = SimulatedHost(self, name, addresses, len(self.hosts))
        host.site = site
        self.hosts[name] = host
        for address in addresses:
            self.network.addresses[address] = host
        return host

    def join(
        self, a: SimulatedHost, b: SimulatedHost, settings: LinkSettings, back: LinkSettings | None = None
    ) -> tuple[Link, Link]:
        """A link between two hosts, one Link for each direction; `back` differs where given."""
        there, home = Link(settings), Link(back or settings)
        self.network.route(a, b, there)
        self.network.route(b, a, home)
        return there, home

    def route(self, a: SimulatedHost, b: SimulatedHost, *links: Link) -> None:
        """Packets from `a` to `b` cross these links, which others may share; one direction."""
        self.network.route(a, b, *links)

    # Machines

    def machine(
        self,
        host: SimulatedHost,
        *,
        resolver: Resolver | None = None,
        tls: TLS | None = None,
        names: Sequence[str] | None = None,
        anchored: bool = False,
        registry: CollectorRegistry | None = None,
        limits: StreamLimits | None = None,
    ) -> Machine:
        """The Machine of a host's present boot; made anew after each boot.

        Without `tls` it trusts the simulation's own CA and gets a leaf for its name and addresses; `names` says for which
        names instead, none for no leaf at all. `anchored`: it sends the CA's certificate after its own.
        """
        if host.reactor is None:
            raise ValueError(f"{host.name} is down")
        if host.machine is None:
            host.machine = Machine(
                name=host.name,
                addresses=host.addresses,
                reactor=host.reactor,
                wall=host.wall,
                rng=host.rng("machine"),
                disk=host.disk,
                registry=registry if registry is not None else CollectorRegistry(auto_describe=False),
                resolver=resolver or FakeResolver(),
                tls=tls or self._tls(host, names, anchored),
                journal=self.journal,
                offload=InlineOffload(host.reactor),
                limits=limits or StreamLimits(),
            )
        return host.machine

    @property
    def authority(self) -> Authority:
        """The simulation's CA, the same for the same seed."""
        if self._authority is None:
            self._authority = Authority.seeded(Random(f"{self.seed}/ca"), self.epoch - YEAR, self.epoch + 20 * YEAR)
        return self._authority

    def _tls(self, host: SimulatedHost, names: Sequence[str] | None, anchored: bool) -> TLS:
        authority = self.authority
        if host.leaf is None and names != ():
            leaf = authority.issue((host.name,), host.addresses) if names is None else authority.issue(names)
            host.leaf = replace(leaf, chain=(authority.certificate,)) if anchored else leaf
        leaves = () if host.leaf is None else (host.leaf,)
        return HostTLS(host.reactor, host.wall, leaves, (authority.certificate,))

    # Time

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.scheduler.now / NANOSECONDS

    def at(self, when: float, call: Callable[..., Any], *arguments: Any) -> None:
        """Do something to the world itself (cut, kill, boot, a link) at a time."""
        self.scheduler.at(max(nanoseconds(when), self.scheduler.now), None, call, *arguments)

    def run(
        self,
        until: float | None = None,
        stop: Callable[[], bool] | None = None,
        *,
        for_seconds: float | None = None,
        check: bool = True,
    ) -> None:
        """Run until nothing is left to happen, a time has come or `stop()` is true; raises SimulationFailed.

        Not `check`: errors are left for `forget_problems`.

        An idle world has nothing to do, but a world with periodic timers needs `until`, `for_seconds` or `stop`.
        """
        if for_seconds is not None:
            until = self.now + for_seconds
        if self._running:
            raise RuntimeError("the simulation runs already")
        self._running = True
        globalLogPublisher.addObserver(self._observer)
        try:
            with installed(self):
                self.scheduler.run(None if until is None else nanoseconds(until), stop)
        finally:
            self._running = False
            globalLogPublisher.removeObserver(self._observer)
        if check and self.problems:
            problems, count = self.forget_problems()
            raise SimulationFailed(problems, count)

    def call(self, host: SimulatedHost, f: Callable[..., Any], *arguments: Any) -> Outcome[Any]:
        """Call into a host at this instant, as one of its events. `f` may be a coroutine function or return a Deferred."""
        if host.reactor is None:
            raise ValueError(f"{host.name} is down")
        outcome: Outcome[Any] = Outcome()
        host.reactor.soon(_run, outcome, f, arguments)
        return outcome

    def ask(self, host: SimulatedHost, f: Callable[..., Any], *arguments: Any, within: float = 3600.0) -> Any:
        """Call into a host and run until it is done; raises TimeoutError after `within` seconds of virtual time."""
        outcome = self.call(host, f, *arguments)
        self.run(until=self.now + within, stop=outcome.is_done)
        if not outcome.done:
            raise TimeoutError(f"no result within {within} s of virtual time")
        return outcome.result()

    # Errors

    def _observe(self, event: LogEvent) -> None:
        failure = event.get("log_failure") or (event.get("failure") if event.get("isError") else None)
        if failure is not None:
            self._problem_count += 1
            if len(self.problems) < PROBLEMS:
                self.problems.append(failure)

    def forget_problems(self) -> tuple[list[Failure], int]:
        """The errors of runs that did not `check`, and how many there were."""
        problems, count = self.problems, self._problem_count
        self.problems, self._problem_count = [], 0
        return problems, count

    @contextmanager
    def expecting(self, *kinds: type[Exception]) -> Iterator[list[Failure]]:
        """Runs inside may log errors of these kinds; the list holds them afterwards, at least one of each kind."""
        found: list[Failure] = []
        try:
            yield found
        except SimulationFailed as failed:
            others = [problem for problem in failed.problems if not problem.check(*kinds)]
            if others:
                raise SimulationFailed(others, len(others)) from None
            found.extend(failed.problems)
        missing = [kind.__name__ for kind in kinds if not any(problem.check(kind) for problem in found)]
        if missing:
            raise AssertionError(f"expected errors did not happen: {', '.join(missing)}")

    def tripped(self, text: str) -> Tripped:
        """A tripwire's error, which fails the run also when the caller swallows it."""
        error = Tripped(text)
        self._problem_count += 1
        self.problems.append(Failure(error))
        return error

    # Hashes

    def hashes(self) -> tuple[str, str]:
        """(packets, journal): equal for equal runs. The journal's is over hosts whose journal was on."""
        return self.packets.hexdigest(), self.journal_hash.hexdigest()


def _run(outcome: Outcome[Any], f: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    def call() -> Any:
        result = f(*arguments)
        return Deferred.fromCoroutine(result) if hasattr(result, "send") and hasattr(result, "throw") else result

    def done(value: Any) -> None:
        outcome.done = True
        if isinstance(value, Failure):
            outcome.failure = value
        else:
            outcome.value = value

    maybeDeferred(call).addBoth(done)
