"""The recursive resolver as a pure engine: questions, replies and times in; queries and outcomes out.

Each question is one task, whose steps `algorithm` has; equal questions share a task.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType
from typing import Protocol

from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.algorithm import FAILED, Algorithm
from netstack.dns.asking import Verdict, compose, in_our_case, in_random_case, verdict
from netstack.dns.events import (
    NO_REACHABLE_AUTHORITY,
    OTHER,
    Dismiss,
    ExtendedError,
    Outcome,
    Probe,
    Proto,
    Resolved,
    ResolverCounts,
    SendUpstream,
)
from netstack.dns.hardening import TEXTBOOK, Hardening
from netstack.dns.identity import SAFE, Identity
from netstack.dns.limits import ResolverLimits
from netstack.dns.probing import Probing
from netstack.dns.tasks import Broken, Budget, Exchange, Input, Need, Replied, Silence, Task, Try
from netstack.dns.wire import MalformedMessage, Question, parse_reply
from netstack.sansio import Address


class Randomness(Protocol):
    """The part of random.Random that is used."""

    def random(self) -> float: ...

    def getrandbits(self, k: int, /) -> int: ...


_LATE = Outcome(Rcode.SERVFAIL, error=ExtendedError(NO_REACHABLE_AUTHORITY, "no answer in time"))
_COSTLY = Outcome(Rcode.SERVFAIL, error=ExtendedError(OTHER, "too many queries"))


class Recursor:
    """Resolves questions, beginning at `hints`. After each call `output()` says what is to be done."""

    def __init__(
        self,
        hints: Sequence[tuple[str, str]],
        limits: ResolverLimits,
        rng: Randomness,
        port: int = 53,
        address_types: Sequence[RdataType] = (RdataType.A,),
        priming: bool = False,
        rotate: bool = True,
        udp_payload: int = 1232,
        counts: ResolverCounts | None = None,
        forward: Mapping[Name, Sequence[str]] | None = None,
        hardening: Hardening = TEXTBOOK,
        dnssec: bool = False,
        encrypted: Mapping[str, Proto] = MappingProxyType({}),
        identity: Identity = SAFE,
    ) -> None:
        """`dnssec`: servers are asked for what proves their answers, and outcomes have it.

        `encrypted`: servers that are asked by encrypted streams alone, by the keys that stand for their addresses.
        """
        self.encrypted = encrypted
        self.limits = limits
        self.port = port
        self.hardening = hardening
        self.udp_payload = udp_payload
        self.counts = counts or ResolverCounts()
        self.algorithm = Algorithm(
            hints,
            limits,
            rng.random,
            address_types,
            priming,
            rotate,
            self.counts,
            self._dismiss,
            forward,
            hardening,
            dnssec,
        )
        self.probing = Probing(limits.probe_persistence, limits.probe_damping)
        self.cache = self.algorithm.cache
        self.servers = self.algorithm.servers
        self._rng = rng
        self.identity = identity
        self._new_id = identity.numbers(rng.getrandbits)
        self._tasks: dict[Question, Task] = {}
        self._refreshing: dict[Question, Task] = {}
        """Tasks for which nobody waits: the cache still has an answer."""
        self._exchanges: dict[int, Exchange] = {}
        self._next_key = 0
        self._ready: deque[tuple[Task, Input]] = deque()
        self._timers: list[tuple[float, int, Task]] = []
        self._timer_count = 0
        self._output: list[SendUpstream | Dismiss | Resolved | Probe] = []

    # What the driver calls

    @property
    def in_flight(self) -> int:
        """Questions under way."""
        return len(self._tasks) + len(self._refreshing)

    def ask(self, question: Question, waiter: object, now: float) -> None:
        """Resolve; a Resolved with `waiter` comes out, at once or later."""
        self.algorithm.now = now
        self.counts.cache_requests += 1
        task = self._tasks.get(question)
        if task is None:
            task = self._start(question, 0, self._budget(), now + self.limits.deadline)
        task.waiters.append(waiter)
        self._run()
        if self.hardening.serve_stale and task.waiters and not task.done:
            self._promise_stale(task)
        while self.algorithm.expiring:
            self._refresh(self.algorithm.expiring.pop())

    def receive(self, key: int, data: bytes, source: Address, now: float) -> None:
        """A message came to the socket of a query."""
        self.algorithm.now = now
        exchange = self._exchanges.get(key)
        if exchange is None:
            return
        if source != (exchange.address, self.port) or data[:2] != exchange.identity.to_bytes(2, "big"):
            self._mismatch(exchange)
            return
        data, kept = in_our_case(exchange, data)
        try:
            message = parse_reply(data)
        except MalformedMessage:
            self._end(exchange)
            self._resume(exchange.task, Broken(exchange.address))
            return
        judged = verdict(exchange, message, kept, self.servers)
        if judged is Verdict.FOREIGN:
            self._mismatch(exchange)
            return
        if judged is Verdict.DOUBTFUL:
            self.counts.doubtful += 1
            self._ask_by_stream(exchange)
            return
        self.counts.rcodes[message.rcode()] += 1
        if exchange.secure:
            self.probing.succeeded(exchange.address, now)
        elif not exchange.repeated:  # Karn: of a repeated query nobody knows which one was answered
            self.counts.round_trips.add(now - exchange.sent)
            self.servers.replied(exchange.address, now - exchange.sent)
        self._end(exchange)
        self._resume(exchange.task, Replied(exchange.address, message, exchange.stream))

    def failed(self, key: int, now: float, reason: str = "") -> None:
        """The query of this key could not be sent, or its stream ended; `reason` is told to clients."""
        self.algorithm.now = now
        exchange = self._exchanges.get(key)
        if exchange is not None and exchange.secure:
            self.probing.failed(exchange.address, now)
            self._ask(exchange, Try(exchange.address, False, self.servers.timeout(exchange.address, 0)))
        elif exchange is not None:
            self.servers.silent(exchange.address)
            self._end(exchange)
            self._resume(exchange.task, Broken(exchange.address, reason))

    def probed(self, address: str, success: bool, now: float) -> None:
        """A handshake with a server was completed, or was not."""
        if success:
            self.probing.succeeded(address, now)
        else:
            self.probing.failed(address, now)

    def next_timer(self) -> float | None:
        """When `on_timer` wants to be called."""
        while self._timers and self._timers[0][2].done:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def on_timer(self, now: float) -> None:
        """The time asked for by `next_timer` has come."""
        self.algorithm.now = now
        while self._timers and self._timers[0][0] <= now:
            _, _, task = heappop(self._timers)
            if task.done:
                continue
            if now >= task.deadline:
                self._finish(task, _LATE)
            elif task.stale_at is not None and now >= task.stale_at:
                self._give_stale(task)
            elif task.wake is not None and now >= task.wake:
                task.wake = None
                for exchange in task.exchanges.values():
                    if exchange.secure:
                        self.probing.failed(exchange.address, now)
                self._ready.append((task, Silence()))
        self._run()

    def output(self) -> Sequence[SendUpstream | Dismiss | Resolved | Probe]:
        """What is to be done, once, in this order."""
        output = self._output
        if output:
            self._output = []
        return output

    @property
    def types(self) -> Sequence[RdataType]:
        """Of the addresses by which servers are asked."""
        return self.algorithm.address_types

    def forward_to(self, zone: Name, addresses: Sequence[str]) -> None:
        """From now on these servers are asked to do the rest for names at and below the zone."""
        self.algorithm.forward[zone] = tuple(addresses)

    def flush(self) -> None:
        """Forget all that was learned: the next question begins at the root, cold."""
        self.algorithm.flush()
        self.probing.forget()

    # Tasks

    def _start(self, question: Question, depth: int, budget: Budget, deadline: float) -> Task:
        task = Task(question, depth, budget, deadline, question)
        task.steps = self.algorithm.steps(task)
        self._tasks[question] = task
        self._set_timer(task, deadline)
        self._ready.append((task, None))
        return task

    def _resume(self, task: Task, given: Input) -> None:
        self._ready.append((task, given))
        self._run()

    def _run(self) -> None:
        ready = self._ready
        while ready:
            task, given = ready.popleft()
            if task.done or task.steps is None:
                continue
            try:
                step = task.steps.send(given)
            except StopIteration as stop:
                self._finish(task, stop.value)
            else:
                if isinstance(step, Try):
                    self._send(task, step)
                elif isinstance(step, Need):
                    self._need(task, step.question)

    def _budget(self) -> Budget:
        return Budget(self.limits.queries, self.limits.hosts)

    def _refresh(self, question: Question) -> None:
        """Ask again for what the cache is about to forget."""
        if question in self._refreshing or question in self._tasks or len(self._refreshing) >= self.limits.prefetches:
            return
        self.counts.prefetches += 1
        task = self._start(question, 0, self._budget(), self.algorithm.now + self.limits.deadline)
        task.refresh = True
        del self._tasks[question]
        self._refreshing[question] = task
        self._run()

    def _promise_stale(self, task: Task) -> None:
        """Those who wait are answered soon, if anything is known (RFC 8767 §5, client response timer)."""
        if task.stale_at is None and self.algorithm.stale(task.question) is not None:
            task.stale_at = self.algorithm.now + self.limits.stale_wait
            self._set_timer(task, task.stale_at)

    def _give_stale(self, task: Task) -> None:
        """The resolution goes on, but nobody waits for it any more."""
        task.stale_at = None
        outcome = self.algorithm.stale(task.question)
        if outcome is not None:
            waiters, task.waiters = task.waiters, []
            self.counts.stale += len(waiters)
            self._output.extend(Resolved(waiter, outcome) for waiter in waiters)

    def _need(self, task: Task, question: Question) -> None:
        child = self._tasks.get(question)
        if child is None:
            if task.depth >= self.limits.depth or len(self._tasks) >= self.limits.resolutions:
                self._ready.append((task, FAILED))
                return
            child = self._start(question, task.depth + 1, task.budget, task.deadline)
        else:
            waits_for: Task | None = child
            while waits_for is not None:
                if waits_for is task:  # a circle: each needs the other's address (RFC 1034 §4.2.1 asks for glue)
                    self._ready.append((task, FAILED))
                    return
                waits_for = waits_for.child
        task.child = child
        child.parents.append(task)

    def _finish(self, task: Task, outcome: Outcome) -> None:
        task.done = True
        self._dismiss(task)
        for tasks in (self._tasks, self._refreshing):
            if tasks.get(task.question) is task:
                del tasks[task.question]
        if outcome.rcode == Rcode.SERVFAIL:
            outcome = self._failed(task, outcome)
        if task.child is not None:
            task.child.parents.remove(task)
            if not task.child.parents and not task.child.waiters:
                self._finish(task.child, FAILED)
            task.child = None
        for waiter in task.waiters:
            if outcome.rcode == Rcode.SERVFAIL:
                self.counts.failures += 1
            if task.budget.sent == 0:
                self.counts.cache_hits += 1
            self._output.append(Resolved(waiter, outcome))
        for parent in task.parents:
            parent.child = None
            self._ready.append((parent, outcome))
        task.parents = []
        if task.steps is not None:
            steps, task.steps = task.steps, None
            steps.close()

    def _failed(self, task: Task, outcome: Outcome) -> Outcome:
        """What is given in place of a failure: what has expired, if it may be used."""
        if task.depth == 0 and task.admitted:
            self.algorithm.failures.note(task.question, self.algorithm.now)
        if self.hardening.serve_stale and not task.refresh:
            stale = self.algorithm.stale(task.question)
            if stale is not None:
                self.counts.stale += len(task.waiters)
                return stale
        return outcome

    # Queries

    def _send(self, task: Task, step: Try) -> None:
        task.admitted = task.admitted or self.in_flight <= self.limits.resolutions
        if task.budget.queries <= task.budget.sent or not task.admitted:
            self._finish(task, _COSTLY)
            return
        task.budget.sent += 1
        proto = self.encrypted.get(step.address)
        if proto is not None:
            step = Try(step.address, True, step.timeout)
        secure = False
        if self.hardening.encrypt and proto is None and not step.stream:
            secure = self.probing.good(step.address, self.algorithm.now)
            if secure:  # it may take a handshake
                proto, step = "tls", Try(step.address, True, min(2 * step.timeout, self.limits.max_timeout))
            elif self.probing.due(step.address, self.algorithm.now):
                self._output.append(Probe(step.address))
        exchange = task.exchanges.get((step.address, step.stream))
        if exchange is None:
            exchange = self._exchange(task, step)
            exchange.secure = secure
            task.exchanges[step.address, step.stream] = exchange
            self._exchanges[exchange.key] = exchange
        else:
            exchange.repeated = True
        if proto is not None:
            self.counts.queries_encrypted[proto] += 1
        elif step.stream:
            self.counts.queries_tcp += 1
        else:
            self.counts.queries_udp += 1
        self._output.append(SendUpstream(exchange.key, (step.address, self.port), exchange.data, step.stream, secure))
        task.wake = self.algorithm.now + step.timeout
        self._set_timer(task, task.wake)

    def _exchange(self, task: Task, step: Try) -> Exchange:
        self._next_key += 1
        identity = self._new_id()
        payload = None if self.servers.is_plain(step.address) else self.udp_payload
        name, rdtype = task.asked
        if self.hardening.mixed_case and self.servers.keeps_case(step.address):
            name = in_random_case(name, self._rng.getrandbits)
        client = sent = None
        if self.hardening.cookies and payload is not None:
            cookies = self.servers.cookies(step.address, self._rng.getrandbits)
            client, sent = cookies.client, cookies.client + cookies.server
        question = Question(name, rdtype)
        data = compose(identity, question, task.recursion, payload, sent, self.algorithm.dnssec)
        now = self.algorithm.now
        return Exchange(
            self._next_key, task, step.address, question, task.asked.name, identity, data, step.stream, now, client
        )

    def _mismatch(self, exchange: Exchange) -> None:
        """A forged reply, or a late one. Many of them to one query: somebody guesses, so ask over TCP (RFC 5452 §9.1)."""
        self.counts.mismatched += 1
        exchange.mismatched += 1
        if exchange.mismatched == self.limits.forged and not exchange.stream:
            self._ask_by_stream(exchange)

    def _ask_by_stream(self, exchange: Exchange) -> None:
        """Whoever forges datagrams cannot forge this."""
        self._ask(exchange, Try(exchange.address, True, self.limits.max_timeout))

    def _ask(self, exchange: Exchange, step: Try) -> None:
        """Ask the same server in another way."""
        task = exchange.task
        if task.wake is not None:
            self._end(exchange)
            self._send(task, step)
            self._run()

    def _end(self, exchange: Exchange) -> None:
        if self._exchanges.pop(exchange.key, None) is not None:
            exchange.task.exchanges.pop((exchange.address, exchange.stream), None)
            self._output.append(Dismiss(exchange.key))

    def _dismiss(self, task: Task) -> None:
        for exchange in tuple(task.exchanges.values()):
            self._end(exchange)
        task.wake = None

    def _set_timer(self, task: Task, due: float) -> None:
        self._timer_count += 1
        heappush(self._timers, (due, self._timer_count, task))
