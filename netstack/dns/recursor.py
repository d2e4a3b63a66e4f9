"""The iterative resolver (RFC 1034 §5.3.3) as a pure engine: questions, replies and times in; queries and outcomes out.

Each question is one task: a generator that yields when it must wait, for a server (`_Try`, `_Wait`) or for another task
(`_Need`: the address of a name server). Equal questions share a task.
"""

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Protocol

import dns.name
from dns.message import Message
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.cache import ALL_TYPES, Cache, Entry, Key, Rank
from netstack.dns.events import Dismiss, Outcome, Resolved, ResolverCounts, SendUpstream
from netstack.dns.limits import ResolverLimits
from netstack.dns.scrub import Useful, scrub
from netstack.dns.servers import Servers
from netstack.dns.wire import TC, MalformedMessage, Question, make_query, parse_reply
from netstack.sansio import Address

_REFERRALS = 32
"""Each one leads deeper into the name, which has at most 127 labels; real ones have five."""
_BARE = (Rcode.FORMERR, Rcode.NOTIMP, Rcode.REFUSED, Rcode.SERVFAIL)
"""Replies that may come without the question."""


class Randomness(Protocol):
    """The part of random.Random that is used."""

    def random(self) -> float: ...

    def getrandbits(self, k: int, /) -> int: ...


_FAILED = Outcome(Rcode.SERVFAIL)


@dataclass(frozen=True, slots=True)
class _Try:
    """Ask a server, again if it was asked before, and wait."""

    address: str
    stream: bool
    timeout: float


@dataclass(frozen=True, slots=True)
class _Wait:
    """Go on waiting."""


@dataclass(frozen=True, slots=True)
class _Need:
    """Wait for the outcome of another question."""

    question: Question


@dataclass(frozen=True, slots=True)
class _Reply:
    address: str
    message: Message
    stream: bool


@dataclass(frozen=True, slots=True)
class _Failure:
    """The server could not be asked, or sent nonsense."""

    address: str


@dataclass(frozen=True, slots=True)
class _Silence:
    """The time is over."""


_Step = _Try | _Wait | _Need
_Input = _Reply | _Failure | _Silence | Outcome | None
_Steps = Generator[_Step, Any, Any]


class _Exhausted(Exception):
    """The question has cost as much as one may."""


@dataclass(slots=True)
class _Budget:
    """Shared by a client's question and those that it brings about."""

    queries: int
    sent: int = 0


@dataclass(eq=False, slots=True)
class _Task:
    question: Question
    depth: int
    budget: _Budget
    deadline: float
    asked: Question
    """What the servers are asked now: the question, or where its aliases have led."""
    waiters: list[object] = field(default_factory=list)
    parents: list["_Task"] = field(default_factory=list)
    child: "_Task | None" = None
    steps: _Steps | None = None
    wake: float | None = None
    fresh: dict[Key, Entry] = field(default_factory=dict)
    """What this task has learned, whatever its TTL and the cache's bounds."""
    exchanges: dict[tuple[str, bool], "_Exchange"] = field(default_factory=dict)
    admitted: bool = False
    """It may send queries: it was within the bound of resolutions when it sent the first one."""
    done: bool = False


@dataclass(eq=False, slots=True)
class _Exchange:
    """A query in flight. Each has its own socket, hence a port of its own, and its own id (RFC 5452)."""

    key: int
    task: _Task
    address: str
    question: Question
    identity: int
    data: bytes
    stream: bool
    sent: float
    repeated: bool = False
    mismatched: int = 0


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
    ) -> None:
        self.limits = limits
        self.port = port
        self.address_types = tuple(address_types)
        self.priming = priming
        self.rotate = rotate
        self.udp_payload = udp_payload
        self.counts = counts or ResolverCounts()
        self.cache = Cache(limits.cache_entries, limits.cache_bytes)
        self.servers = Servers(limits.first_timeout, limits.max_timeout, limits.lame_time, rng.random)
        self._rng = rng
        self._hints: dict[Name, list[str]] = {}
        for name, address in hints:
            self._hints.setdefault(dns.name.from_text(name), []).append(address)
        self._now = 0.0
        self._tasks: dict[Question, _Task] = {}
        self._exchanges: dict[int, _Exchange] = {}
        self._next_key = 0
        self._ready: deque[tuple[_Task, _Input]] = deque()
        self._timers: list[tuple[float, int, _Task]] = []
        self._timer_count = 0
        self._output: list[SendUpstream | Dismiss | Resolved] = []

    # What the driver calls

    @property
    def in_flight(self) -> int:
        """Questions under way."""
        return len(self._tasks)

    def ask(self, question: Question, waiter: object, now: float) -> None:
        """Resolve; a Resolved with `waiter` comes out, at once or later."""
        self._now = now
        self.counts.cache_requests += 1
        task = self._tasks.get(question)
        if task is None:
            budget = _Budget(self.limits.queries)
            task = self._start(question, 0, budget, now + self.limits.deadline)
        task.waiters.append(waiter)
        self._run()

    def receive(self, key: int, data: bytes, source: Address, now: float) -> None:
        """A message came to the socket of a query."""
        self._now = now
        exchange = self._exchanges.get(key)
        if exchange is None:
            return
        if source != (exchange.address, self.port) or data[:2] != exchange.identity.to_bytes(2, "big"):
            self._mismatch(exchange)
            return
        try:
            message = parse_reply(data)
        except MalformedMessage:
            self._end(exchange)
            self._resume(exchange.task, _Failure(exchange.address))
            return
        asked = message.question
        if not (
            len(asked) == 1 and asked[0].rdclass == 1 and (asked[0].name, asked[0].rdtype) == exchange.question
        ) and not (not asked and message.rcode() in _BARE):
            self._mismatch(exchange)
            return
        if not exchange.repeated:  # Karn: of a repeated query nobody knows which one was answered
            self.servers.replied(exchange.address, now - exchange.sent)
        self._end(exchange)
        self._resume(exchange.task, _Reply(exchange.address, message, exchange.stream))

    def failed(self, key: int, now: float) -> None:
        """The query of this key could not be sent, or its stream ended."""
        self._now = now
        exchange = self._exchanges.get(key)
        if exchange is not None:
            self.servers.silent(exchange.address)
            self._end(exchange)
            self._resume(exchange.task, _Failure(exchange.address))

    def next_timer(self) -> float | None:
        """When `on_timer` wants to be called."""
        while self._timers and self._timers[0][2].done:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def on_timer(self, now: float) -> None:
        """The time asked for by `next_timer` has come."""
        self._now = now
        while self._timers and self._timers[0][0] <= now:
            _, _, task = heappop(self._timers)
            if task.done:
                continue
            if now >= task.deadline:
                self._finish(task, _FAILED)
            elif task.wake is not None and now >= task.wake:
                task.wake = None
                self._ready.append((task, _Silence()))
        self._run()

    def output(self) -> Sequence[SendUpstream | Dismiss | Resolved]:
        """What is to be done, once, in this order."""
        output = self._output
        if output:
            self._output = []
        return output

    def flush(self) -> None:
        """Forget all that was learned: the next question begins at the root, cold."""
        self.cache.flush()
        self.servers.forget()

    # Tasks

    def _start(self, question: Question, depth: int, budget: _Budget, deadline: float) -> _Task:
        task = _Task(question, depth, budget, deadline, question)
        task.steps = self._resolve(task)
        self._tasks[question] = task
        self._set_timer(task, deadline)
        self._ready.append((task, None))
        return task

    def _resume(self, task: _Task, given: _Input) -> None:
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
            except _Exhausted:
                self._finish(task, _FAILED)
            else:
                if isinstance(step, _Try):
                    self._send(task, step)
                elif isinstance(step, _Need):
                    self._need(task, step.question)

    def _need(self, task: _Task, question: Question) -> None:
        child = self._tasks.get(question)
        if child is None:
            if task.depth >= self.limits.depth or len(self._tasks) >= self.limits.resolutions:
                self._ready.append((task, _FAILED))
                return
            child = self._start(question, task.depth + 1, task.budget, task.deadline)
        else:
            waits_for: _Task | None = child
            while waits_for is not None:
                if waits_for is task:  # a circle: each needs the other's address (RFC 1034 §4.2.1 asks for glue)
                    self._ready.append((task, _FAILED))
                    return
                waits_for = waits_for.child
        task.child = child
        child.parents.append(task)

    def _finish(self, task: _Task, outcome: Outcome) -> None:
        task.done = True
        self._dismiss(task)
        if self._tasks.get(task.question) is task:
            del self._tasks[task.question]
        if task.child is not None:
            task.child.parents.remove(task)
            if not task.child.parents and not task.child.waiters:
                self._finish(task.child, _FAILED)
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

    # Queries

    def _send(self, task: _Task, step: _Try) -> None:
        task.admitted = task.admitted or len(self._tasks) <= self.limits.resolutions
        if task.budget.queries <= task.budget.sent or not task.admitted:
            self._finish(task, _FAILED)
            return
        task.budget.sent += 1
        exchange = task.exchanges.get((step.address, step.stream))
        if exchange is None:
            self._next_key += 1
            identity = self._rng.getrandbits(16)
            payload = None if self.servers.is_plain(step.address) else self.udp_payload
            data = make_query(identity, task.asked, False, payload)
            exchange = _Exchange(self._next_key, task, step.address, task.asked, identity, data, step.stream, self._now)
            task.exchanges[step.address, step.stream] = exchange
            self._exchanges[exchange.key] = exchange
        else:
            exchange.repeated = True
        if step.stream:
            self.counts.queries_tcp += 1
        else:
            self.counts.queries_udp += 1
        self._output.append(SendUpstream(exchange.key, (step.address, self.port), exchange.data, step.stream))
        task.wake = self._now + step.timeout
        self._set_timer(task, task.wake)

    def _mismatch(self, exchange: _Exchange) -> None:
        """A forged reply, or a late one. Many of them to one query: somebody guesses, so ask over TCP (RFC 5452 §9.1)."""
        self.counts.mismatched += 1
        exchange.mismatched += 1
        if exchange.mismatched == self.limits.forged and not exchange.stream and exchange.task.wake is not None:
            task = exchange.task
            self._end(exchange)
            self._send(task, _Try(exchange.address, True, self.limits.max_timeout))
            self._run()

    def _end(self, exchange: _Exchange) -> None:
        if self._exchanges.pop(exchange.key, None) is not None:
            exchange.task.exchanges.pop((exchange.address, exchange.stream), None)
            self._output.append(Dismiss(exchange.key))

    def _dismiss(self, task: _Task) -> None:
        for exchange in tuple(task.exchanges.values()):
            self._end(exchange)
        task.wake = None

    def _set_timer(self, task: _Task, due: float) -> None:
        self._timer_count += 1
        heappush(self._timers, (due, self._timer_count, task))

    # The algorithm

    def _resolve(self, task: _Task) -> Generator[_Step, Any, Outcome]:
        """Follow aliases from the question to the end of the chain."""
        name, rdtype = task.question
        answer: list[RRset] = []
        seen = {name}
        while True:
            entry = self._known(task, name, rdtype)
            if entry is None:
                task.asked = Question(name, rdtype)
                if not (yield from self._iterate(task, task.asked)):
                    return _FAILED
                entry = self._known(task, name, rdtype)
                if entry is None:
                    return _FAILED
            rrset = entry.at(self._now, self.rotate)
            if entry.negative:
                return Outcome(entry.rcode, tuple(answer), rrset)
            if rrset is None:
                return _FAILED
            answer.append(rrset)
            if rrset.rdtype == rdtype:
                return Outcome(Rcode.NOERROR, tuple(answer))
            name = rrset[0].target
            if name in seen or len(seen) > self.limits.aliases:
                return _FAILED
            seen.add(name)

    def _iterate(self, task: _Task, question: Question) -> Generator[_Step, Any, bool]:
        """Ask the servers of ever deeper zones until one has the answer; True when it has been learned."""
        zone = self._closest(task, question)
        if self.priming and zone == dns.name.root and self._rrset(task, zone, RdataType.NS) is None:
            prime = Question(dns.name.root, RdataType.NS)
            if question != prime:
                yield _Need(prime)
        for _ in range(_REFERRALS):
            useful = yield from self._ask_zone(task, zone, question)
            if useful is None:
                return False
            self._learn(task, question, useful)
            if useful.referral is None:
                return True
            zone = useful.referral
        return False

    def _ask_zone(self, task: _Task, zone: Name, question: Question) -> Generator[_Step, Any, Useful | None]:
        """Ask the zone's servers in turn, in several rounds, until one is useful."""
        addresses, unknown = self._addresses(task, zone)
        dead: set[str] = set()
        looked_up = 0
        for round in range(self.limits.attempts):
            queue = self.servers.order((it for it in addresses if it not in dead), zone, self._now)
            while True:
                if not queue:
                    if round > 0 or not unknown or looked_up >= self.limits.glueless:
                        break
                    looked_up += 1
                    self._dismiss(task)  # no reply may come while the task waits for another one
                    found = yield from self._host_addresses(unknown.pop(0))
                    fresh = [it for it in found if it not in addresses]
                    addresses += fresh
                    queue = self.servers.order(fresh, zone, self._now)
                    continue
                address = queue.pop(0)
                judged = yield from self._ask_server(task, zone, question, address, round)
                if isinstance(judged, Useful):
                    self._dismiss(task)
                    return judged
                if judged is not None:
                    dead.add(judged)
        self._dismiss(task)
        return None

    def _ask_server(
        self, task: _Task, zone: Name, question: Question, address: str, round: int
    ) -> Generator[_Step, Any, Useful | str | None]:
        """One server's turn. A useful reply, the address of a useless server, or None: no reply in time.

        A reply to an earlier turn counts as well: slow servers may answer while others are asked.
        """
        timeout = self.servers.timeout(address, round)
        given = yield _Try(address, False, timeout)
        while True:
            if isinstance(given, _Silence):
                self.counts.timeouts += 1
                self.servers.silent(address)
                return None
            if isinstance(given, _Failure):
                if given.address == address:
                    return address
                given = yield _Wait()
                continue
            reply: _Reply = given
            if reply.message.flags & TC and not reply.stream:
                given = yield _Try(reply.address, True, max(timeout, self.limits.first_timeout))
                continue
            judged = scrub(reply.message, zone, question)
            if isinstance(judged, Useful):
                return judged
            if judged.plain and not self.servers.is_plain(reply.address):
                self.servers.plain(reply.address)
                given = yield _Try(reply.address, False, timeout)
                continue
            if judged.lame:
                self.counts.lame += 1
                self.servers.lame(reply.address, zone, self._now)
            if reply.address == address:
                return address
            given = yield _Wait()

    def _host_addresses(self, name: Name) -> Generator[_Step, Any, list[str]]:
        """A name server's addresses, resolved like any other name's."""
        addresses: list[str] = []
        for rdtype in self.address_types:
            outcome: Outcome = yield _Need(Question(name, rdtype))
            if outcome.answer and outcome.answer[-1].rdtype == rdtype:
                addresses += (rdata.address for rdata in outcome.answer[-1])
        return addresses

    # What is known

    def _closest(self, task: _Task, question: Question) -> Name:
        """The deepest zone towards the name whose servers can be found; a DS belongs to the parent (RFC 4035 §3.1.4.1)."""
        zone = question.name
        if question.rdtype == RdataType.DS and len(zone) > 1:
            zone = zone.parent()
        while len(zone) > 1:
            if self._rrset(task, zone, RdataType.NS) is not None and any(self._addresses(task, zone)):
                break
            zone = zone.parent()
        return zone

    def _addresses(self, task: _Task, zone: Name) -> tuple[list[str], list[Name]]:
        """Of the zone's servers: the addresses that are known, and the names for which none is."""
        addresses: list[str] = []
        unknown: list[Name] = []
        servers = self._rrset(task, zone, RdataType.NS)
        names = [rdata.target for rdata in servers] if servers is not None else list(self._hints)
        for name in names:
            known = [rdata.address for rdtype in self.address_types for rdata in self._rrset(task, name, rdtype) or ()]
            if not known and zone == dns.name.root:
                known = self._hints.get(name, [])
            if known:
                addresses += known
            elif not name.is_subdomain(zone):  # else only the zone itself could tell: glue is missing
                unknown.append(name)
        return addresses, unknown

    def _rrset(self, task: _Task, name: Name, rdtype: RdataType) -> RRset | None:
        entry = task.fresh.get((name, rdtype)) or self.cache.get(name, rdtype, self._now, Rank.ADDITIONAL)
        return None if entry is None or entry.negative else entry.rrset

    def _known(self, task: _Task, name: Name, rdtype: RdataType) -> Entry | None:
        """The answer, the alias or the absence that is known with the rank of an answer."""
        for kept in (rdtype, RdataType.CNAME, ALL_TYPES):
            entry = task.fresh.get((name, kept))
            if entry is None or entry.rank < Rank.ANSWER:
                entry = self.cache.get(name, kept, self._now, Rank.ANSWER)
            if entry is not None and not (entry.negative and kept == RdataType.CNAME != rdtype):
                return entry
        return None

    def _learn(self, task: _Task, question: Question, useful: Useful) -> None:
        for rrset in useful.extra:
            self._keep(task, rrset, Rank.ADDITIONAL)
        for rrset in useful.answers:
            self._keep(task, rrset, Rank.ANSWER)
        if useful.absent is not None:
            ttl = 0
            if useful.soa is not None:  # RFC 2308 §5
                ttl = min(useful.soa.ttl, useful.soa[0].minimum, self.limits.max_negative_ttl)
            rdtype = ALL_TYPES if useful.rcode == Rcode.NXDOMAIN else question.rdtype
            entry = Entry(useful.soa, self._now + ttl, Rank.ANSWER, True, useful.rcode)
            task.fresh[useful.absent, rdtype] = entry
            self.cache.put(useful.absent, rdtype, entry, self._now)

    def _keep(self, task: _Task, rrset: RRset, rank: Rank) -> None:
        entry = Entry(rrset, self._now + min(rrset.ttl, self.limits.max_ttl), rank)
        old = task.fresh.get((rrset.name, rrset.rdtype))
        if old is None or old.rank <= rank:
            task.fresh[rrset.name, rrset.rdtype] = entry
        self.cache.put(rrset.name, rrset.rdtype, entry, self._now)
