"""The parent of a service's workers: starts them, starts them again, passes on what they say, sums up what they count."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.kernel.listen import Endpoint, ListenError
from netstack.kernel.machine import Machine
from netstack.kernel.workers.channel import PARENT, Channel, Kind
from netstack.kernel.workers.exposition import Sum
from netstack.kernel.workers.ports import SharedPorts, claim
from netstack.kernel.workers.worker import FROM_PARENT, OWNER, SOCKETS, TO_PARENT, TURN, VARIABLE, Hello

LONGEST_LINE = 65536
"""Octets of a worker's log line; the rest of a longer one is a line of its own."""
_RUN = "from twisted.scripts.twistd import run; run()"
_LOGGER = "netstack.kernel.workers.log.observer"


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Bounds, in seconds."""

    silence: float = 10.0
    """A worker that does not answer for so long is killed, and started again."""
    stop: float = 30.0
    """For a worker to end by itself; then it is killed."""
    again: float = 0.1
    """Before a worker that has ended is started again; doubled each time, to `again_longest`."""
    again_longest: float = 30.0
    steady: float = 10.0
    """A worker that ran so long had nothing to do with the failures before."""


class _Member(ProcessProtocol):
    """One worker's place: at most one process at a time."""

    def __init__(self, parent: "Workers", number: int, ports: SharedPorts) -> None:
        self.parent = parent
        self.number = number
        self.ports = ports
        self.running = self.started = self.joined = False
        self.begun = 0.0
        self.delay = parent.limits.again
        self.shown = ""
        """What it counted, as was last told."""
        self.relayed: set[tuple[int, int]] = set()
        """(worker, number) of questions that it has not answered."""
        self.timer: IDelayedCall | None = None
        self.ended: Deferred[None] | None = None
        self.channel = Channel(lambda data: None)
        self.lines: dict[int, bytearray] = {}

    def spawn(self) -> None:
        """Start the process."""
        self.timer = None
        parent = self.parent
        self.ports.bind()
        self.channel = Channel(self._send, lambda to, kind, number, body: parent.relay(self, to, kind, number, body))
        self.channel.handlers |= {
            "started": lambda asker, data: parent.worker_started(self),
            "join": lambda asker, data: self._join(),
            "everyone": lambda asker, data: parent.everyone(self, data),
        }
        self.lines = {1: bytearray(), 2: bytearray()}
        self.started = self.joined = False
        self.begun = parent.machine.reactor.seconds()
        inherited = self.ports.descriptors()
        told = {text: SOCKETS + place for place, text in enumerate(inherited)}
        descriptors: dict[int, Any] = {0: os.open(os.devnull, os.O_RDONLY), 1: "r", 2: "r", FROM_PARENT: "w", TO_PARENT: "r"}
        descriptors[TURN] = parent.turn
        descriptors |= {told[text]: inherited[text] for text in told}
        arguments = [sys.executable, "-c", _RUN, "--nodaemon", "--pidfile=", f"--logger={_LOGGER}", *parent.command]
        reactor: Any = parent.machine.reactor
        try:
            reactor.spawnProcess(self, sys.executable, arguments, {**os.environ, VARIABLE: "1"}, None, childFDs=descriptors)
        finally:
            os.close(descriptors[0])
        self.running = True
        self._send(Hello(self.number, len(parent.members), parent.secret.hex(), told).octets())

    def _send(self, data: bytes) -> None:
        transport: Any = self.transport
        if self.running:
            transport.writeToChild(FROM_PARENT, data)

    def _join(self) -> bytes:
        self.joined = True
        return b""

    def signal(self, number: int) -> None:
        """To the process, if there is one."""
        transport: Any = self.transport
        if self.running:
            transport.signalProcess(number)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == TO_PARENT:
            try:
                self.channel.receive(data)
            except ValueError:
                self.parent.log.failure("worker {number} cannot be understood", number=self.number)
                self.signal(signal.SIGKILL)
            return
        kept = self.lines[childFD]
        kept += data
        *lines, rest = kept.split(b"\n")
        if len(rest) > LONGEST_LINE:
            lines, rest = [*lines, rest], bytearray()
        self.lines[childFD] = rest
        for line in lines:
            self.parent.log.info("worker {number}: {line}", number=self.number, line=line.decode("utf-8", "replace"))

    def childConnectionLost(self, childFD: int) -> None:
        """The end is told by `processEnded`."""

    def processEnded(self, reason: Any) -> None:
        self.running = self.joined = False
        self.channel.lost()
        self.parent.worker_ended(self, reason.value)


class Workers(Service, Collector):
    """`count` processes of one service. `command` is what follows twistd's own options."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        command: Sequence[str],
        endpoints: Sequence[Endpoint],
        count: int,
        limits: WorkerLimits | None = None,
    ) -> None:
        self.machine = machine
        self.command = list(command)
        self.endpoints = list(endpoints)
        self.limits = limits or WorkerLimits()
        self.secret = machine.rng.randbytes(16)
        self.members: list[_Member] = []
        self.members += [_Member(self, number, SharedPorts(machine.name, endpoints)) for number in range(count)]
        self.restarts = 0
        self.turn = os.memfd_create("turn")
        """Workers that do what one at a time may do lock it."""
        self._retired = Sum()
        self._stopping = False
        self._bound = False
        machine.registry.register(self)

    def privilegedStartService(self) -> None:
        """Before twistd drops root; raises ListenError."""
        if not self._bound:
            claim(self.endpoints, self.machine.name)
            for member in self.members:
                member.ports.bind()
            self._bound = True

    def startService(self) -> None:
        self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        for member in self.members:
            member.spawn()

    def pass_on(self, number: int) -> None:
        """A signal for all workers."""
        for member in self.members:
            member.signal(number)

    def stopService(self) -> Deferred[Any]:
        """All drain; one that has not ended in time is killed."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._stopping = True
        waiting: list[Deferred[None]] = []
        for member in self.members:
            if member.timer is not None:
                member.timer.cancel()
                member.timer = None
            member.ports.close()
            if member.running:
                member.ended = Deferred()
                waiting.append(member.ended)
                member.signal(signal.SIGTERM)
        late = self.machine.reactor.callLater(self.limits.stop, self.pass_on, signal.SIGKILL)
        all_ended = DeferredList(waiting)
        all_ended.addCallback(lambda _: late.cancel() if late.active() else None)
        return all_ended

    def worker_started(self, member: _Member) -> bytes:
        """It serves from now on."""
        member.started = True
        self.log.info("{name}: worker {number} runs", name=self.machine.name, number=member.number)
        if member.number == OWNER:
            for other in self.members:
                if other.joined:
                    self._bounded(other, other.channel.ask("owner"))
        return b""

    def worker_ended(self, member: _Member, reason: Exception) -> None:
        """Start another, unless all is to end or none of them ever ran."""
        self._retired.add(member.shown, gauges=False)
        member.shown = ""
        for asker, number in member.relayed:
            self.members[asker].channel.send(Kind.FAILED, member.number, number, b"that worker has ended")
        member.relayed.clear()
        ended, member.ended = member.ended, None
        if ended is not None:
            ended.callback(None)
        if self._stopping:
            return
        if not member.started and not self.restarts:
            self.log.critical(
                "{name}: worker {number} does not start: {why}", name=self.machine.name, number=member.number, why=reason
            )
            os.kill(os.getpid(), signal.SIGTERM)
            return
        member.ports.release()
        ran = self.machine.reactor.seconds() - member.begun
        delay = self.limits.again if ran >= self.limits.steady else member.delay
        member.delay = min(2 * delay, self.limits.again_longest)
        self.restarts += 1
        self.log.warn(
            "{name}: worker {number} has ended, starts again in {delay:g} s: {why}",
            name=self.machine.name, number=member.number, delay=delay, why=reason,
        )  # fmt: skip
        member.timer = self.machine.reactor.callLater(delay, self._again, member)

    def _again(self, member: _Member) -> None:
        try:
            member.spawn()
        except ListenError as error:
            self.log.error("{why}", why=error)
            member.timer = self.machine.reactor.callLater(self.limits.again_longest, self._again, member)

    def relay(self, sender: _Member, to: int, kind: Kind, number: int, body: bytes) -> bool:
        """Pass a frame of one worker on to another; False: it does not run."""
        if not 0 <= to < len(self.members) or not self.members[to].running:
            return False
        receiver = self.members[to]
        if kind is Kind.QUESTION:
            receiver.relayed.add((sender.number, number))
        else:
            sender.relayed.discard((to, number))
        receiver.channel.send(kind, sender.number, number, body)
        return True

    def everyone(self, sender: _Member, data: bytes) -> Deferred[bytes]:
        """Ask all others that have joined; one that does not answer in time is killed, so that it is not behind."""
        subject, _, body = data.partition(b"\n")
        asked = [
            self._bounded(member, member.channel.ask(subject.decode(), body).addErrback(self._behind, member))
            for member in self.members
            if member is not sender and member.joined
        ]
        done: Deferred[Any] = DeferredList(asked)
        return done.addCallback(lambda _: b"")

    def _behind(self, failure: Failure, member: _Member) -> Failure:
        if member.channel.open:
            self.log.warn("worker {number} is behind and killed: {why}", number=member.number, why=failure.getErrorMessage())
            member.signal(signal.SIGKILL)
        return failure

    def _bounded(self, member: _Member, answer: Deferred[bytes]) -> Deferred[bytes | None]:
        """The answer, or None when the worker has ended or was killed for its silence."""

        def silent() -> None:
            self.log.warn("worker {number} does not answer and is killed", number=member.number)
            member.signal(signal.SIGKILL)

        timer = self.machine.reactor.callLater(self.limits.silence, silent)

        def answered(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        bounded: Deferred[Any] = answer.addBoth(answered)
        return bounded.addErrback(lambda failure: None)

    def metrics(self) -> Deferred[bytes]:
        """All that is counted, by this process and by all workers, as Prometheus's text."""

        def told(text: bytes | None, member: _Member) -> None:
            if text is not None:
                member.shown = text.decode()

        asked = [
            self._bounded(member, member.channel.ask("metrics")).addCallback(told, member)
            for member in self.members
            if member.started
        ]
        done: Deferred[Any] = DeferredList(asked)
        return done.addCallback(lambda _: self._sum())

    def _sum(self) -> bytes:
        found = Sum([generate_latest(self.machine.registry).decode(), self._retired.text()])
        for member in self.members:
            found.add(member.shown)
        return found.text().encode()

    def not_ready(self) -> Deferred[list[str]]:
        """What is missing, of all workers."""
        missing: list[str] = [f"worker {member.number}" for member in self.members if not member.started]

        def told(text: bytes | None, member: _Member) -> None:
            if text is None:
                missing.append(f"worker {member.number}")
            else:
                missing.extend(f"worker {member.number}: {name}" for name in text.decode().splitlines())

        asked = [
            self._bounded(member, member.channel.ask("ready")).addCallback(told, member)
            for member in self.members
            if member.started
        ]
        done: Deferred[Any] = DeferredList(asked)
        return done.addCallback(lambda _: missing)

    def collect(self) -> list[Metric]:
        """What the parent itself knows."""
        running = GaugeMetricFamily("netstack_kernel_workers", "Worker processes that run.")
        running.add_metric([], sum(member.started for member in self.members))
        restarts = CounterMetricFamily("netstack_kernel_worker_restarts", "Workers started again after they had ended.")
        restarts.add_metric([], self.restarts)
        return [running, restarts]


__all__ = ["PARENT", "WorkerLimits", "Workers"]
