"""The registrar's work: domains are registered, changed, renewed, handed over and deleted, the registry always first.

What is to happen is written down, then the registry is asked, then it is written down that it has happened; the client is
told after that. Where the registry does not answer, the registrar goes on asking, also after a crash, until it knows.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from dns.rcode import Rcode
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.http.passwords import parse_verifiers, verifier_line, verify
from netstack.kernel.machine import Machine
from netstack.registrar.events import Change, Kind, NameServer, Registration
from netstack.registrar.limits import RegistrarLimits
from netstack.registrar.metrics import Counts
from netstack.registrar.policy import Policy
from netstack.registrar.registry import TAKEN, RegistryClient, Unreachable
from netstack.registrar.store import Store
from netstack.sansio.rates import Rates

YEAR = 365 * 86400.0
GRACE = 30 * 86400.0
"""After a domain's time is over it can still be renewed for so long; then it is deleted (RFC 3915 has the like)."""
HASH_COST = 0.05
_WHO = "domain"
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class Refusal(Exception):
    """Nothing is done; the text says why, `status` is HTTP's."""

    def __init__(self, status: int, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.field = field


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for when it registers a domain, as it was sent."""

    name: str
    servers: Sequence[tuple[str, Sequence[str]]]
    ds: Sequence[str] = ()
    registrant: str = ""
    secret: str = ""
    """Empty: one is made."""
    years: object = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it. `pending`: the registry has not answered yet."""

    registration: Registration
    pending: bool = False
    secret: str = ""
    """Only where it was made here: nobody can tell it again."""
    new: bool = True
    """False: that was so already, by an earlier request of the same registrant."""


class Registrar:
    """One registrar. Methods raise Refusal, and Invalid for what the policy does not accept."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        store: Store,
        clients: Mapping[str, RegistryClient],
        policy: Policy,
        limits: RegistrarLimits,
        counts: Counts,
    ) -> None:
        self.machine = machine
        self.store = store
        self.policy = policy
        self.limits = limits
        self.counts = counts
        self._clients = clients
        self._rates = Rates(limits.client_changes)
        self._locks: dict[str, DeferredLock] = {}
        self._under_way = 0
        self._wrong: dict[str, tuple[int, float]] = {}
        """Wrong secrets of a domain, and when the first of them came; bounded by the number of domains."""
        self._timers: dict[str, IDelayedCall] = {}
        self._delay = limits.first_retry
        self._running = False
        counts.domains = lambda: len(store.domains)
        counts.pending = lambda: len(store.intended)

    def start(self) -> None:
        """Carry on what a crash interrupted."""
        self._running = True
        if self.store.intended:
            self._after("retry", 0.0, self._retry)
        self._plan_expiry()

    def stop(self) -> None:
        """What is under way ends by itself; nothing new begins."""
        self._running = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def find(self, name: str) -> Registration | None:
        """The registration of a domain."""
        return self.store.domains.get(name)

    def server(self, name: str) -> NameServer | None:
        """A name server of any domain, with the addresses that are published here."""
        found = [each for one in self.store.domains.values() for each in one.delegation.servers if each.name == name]
        return max(found, key=lambda each: len(each.addresses), default=None)

    async def availability(self, text: str) -> tuple[str, bool, str]:
        """(domain, whether it can be registered now, why not); raises Refusal where the registry does not answer."""
        domain = self.policy.domain(text)
        if domain in self.store.domains or domain in self.store.intended:
            return domain, False, f"{domain} is registered here"
        used = await self._in_use(domain)
        return domain, not used, f"{domain} is in use" if used else ""

    async def register(self, wish: Wish, client: str) -> Outcome:
        """Register a domain."""
        policy = self.policy
        domain = policy.domain(wish.name)
        delegation = policy.delegation(domain, wish.servers, wish.ds)
        registrant, years = policy.registrant(wish.registrant), policy.years(wish.years)
        chosen = policy.secret(wish.secret) if wish.secret else ""
        async with self._turn(domain, client):
            known = await self._known(domain)
            if known is not None:
                pending = domain in self.store.intended
                if chosen and known.delegation == delegation and await self._verifies(known, chosen):
                    return Outcome(known, pending, new=False)
                raise Refusal(409, f"{domain} is registered already", "name")
            if len(self.store.domains) + len(self.store.intended) >= self.limits.domains:
                raise Refusal(503, "This registrar takes no more domains.")
            if await self._in_use(domain):  # the update's prerequisite is what counts; this spares most of those in vain
                raise Refusal(409, f"{domain} is in use", "name")
            secret = chosen or self._made_secret()
            now = self.machine.wall()
            verifier = await self._verifier(secret)
            made = Registration(domain, delegation, registrant, now, now, now + years * YEAR, verifier)
            done = await self._carry_out(Change("registration", None, made))
            return Outcome(made, not done, "" if chosen else secret)

    async def change_servers(
        self, name: str, secret: str, servers: Sequence[tuple[str, Sequence[str]]], ds: Sequence[str], client: str
    ) -> Outcome:
        """Other name servers and DS records for a domain, in place of all that it has."""
        domain = self.policy.domain(name)
        delegation = self.policy.delegation(domain, servers, ds)
        return await self._change("servers", domain, secret, client, lambda one: replace(one, delegation=delegation))

    async def renew(self, name: str, secret: str, years: object, client: str) -> Outcome:
        """Keep a domain for some more years, counted from the end of its time."""
        number = self.policy.years(years)
        latest = self.machine.wall() + self.policy.most_years * YEAR

        def renewed(one: Registration) -> Registration:
            expires = one.expires + number * YEAR
            if expires > latest:
                raise Refusal(422, f"a domain is kept for {self.policy.most_years} years at most", "years")
            return replace(one, expires=expires)

        return await self._change("renewal", self.policy.domain(name), secret, client, renewed)

    async def transfer(self, name: str, secret: str, registrant: str, new_secret: str, client: str) -> Outcome:
        """Hand a domain over: another registrant, another secret, which the old one does not know if none is given."""
        domain = self.policy.domain(name)
        told = self.policy.registrant(registrant)
        chosen = self.policy.secret(new_secret) if new_secret else ""
        fresh = chosen or self._made_secret()
        verifier = await self._verifier(fresh)
        outcome = await self._change(
            "transfer", domain, secret, client, lambda one: replace(one, registrant=told, verifier=verifier)
        )
        return replace(outcome, secret="" if chosen else fresh)

    async def delete(self, name: str, secret: str, client: str) -> Outcome:
        """Give a domain up: its top-level domain does not know it any more."""
        return await self._change("deletion", self.policy.domain(name), secret, client, lambda one: None)

    async def _change(
        self, kind: Kind, domain: str, secret: str, client: str, changed: Callable[[Registration], Registration | None]
    ) -> Outcome:
        async with self._turn(domain, client):
            known = await self._known(domain)
            if known is None:
                raise Refusal(404, f"{domain} is not registered here", "name")
            if domain in self.store.intended:
                raise Refusal(409, f"a change of {domain} waits for the registry; try again soon")
            if not await self._verifies(known, secret):
                raise Refusal(403, f"that is not the secret of {domain}", "secret")
            after = changed(known)
            if after is not None:
                after = replace(after, changed=self.machine.wall())
            done = await self._carry_out(Change(kind, known, after))
            return Outcome(after or known, not done)

    async def _known(self, domain: str) -> Registration | None:
        """What a domain is, or is to become; what was interrupted is carried on first."""
        if domain in self.store.intended:
            with suppress(Refusal):  # it will not happen: the domain is what it was before
                await self._send(self.store.intended[domain], again=True)
        under_way = self.store.intended.get(domain)
        if under_way is not None and under_way.after is not None:
            return under_way.after
        return self.store.domains.get(domain)

    async def _in_use(self, domain: str) -> bool:
        """Whether the registry has something at a name, or below it."""
        try:
            return (await self._client(domain).look(domain)).in_use
        except Unreachable as error:
            raise Refusal(503, str(error)) from None

    async def _carry_out(self, change: Change) -> bool:
        """Whether it is done; False: the registry has not answered yet."""
        before, after = change.delegations
        try:
            if before == after:
                await self.store.done(change)
                self._settled(change, "done")
                return True
            await self.store.intend(change)
        except OSError as error:
            self.store.intended.pop(change.name, None)
            self.log.error("{name}: {why}", name=self.machine.name, why=str(error))
            raise Refusal(503, "The registrar cannot write anything down now.") from error
        return await self._send(change, again=False)

    async def _send(self, change: Change, again: bool) -> bool:
        """Ask the registry. `again`: it may have carried the change out before, and then says that it cannot any more."""
        client = self._client(change.name)
        try:
            rcode = await client.update(change)
            if again and rcode in TAKEN and (await client.look(change.name)).is_(change.delegations[1]):
                rcode = Rcode.NOERROR
        except Unreachable as error:
            self.log.info("{domain}: {why}", domain=change.name, why=str(error))
            self.counts.changes[change.kind, "pending"] += 1
            if "retry" not in self._timers:
                self._after("retry", self._delay, self._retry)
            return False
        try:
            if rcode == Rcode.NOERROR:
                await self.store.done(change)
                self._settled(change, "done")
                return True
            await self.store.abandon(change.name)
        except OSError as error:
            self.log.error("{name}: {why}", name=self.machine.name, why=str(error))
            raise Refusal(503, "The registrar cannot write anything down now; what the registry knows counts.") from error
        self._settled(change, "refused")
        if rcode in TAKEN and change.before is None:
            raise Refusal(409, f"{change.name} is in use", "name")
        if rcode in TAKEN:
            raise Refusal(409, f"the registry says something else of {change.name} than this registrar does")
        raise Refusal(502, f"the registry refuses the change of {change.name} ({Rcode.to_text(rcode)})")

    def _settled(self, change: Change, outcome: str) -> None:
        self.counts.changes[change.kind, outcome] += 1
        self._delay = self.limits.first_retry
        self._wrong.pop(change.name, None)
        self.log.info("{domain}: {kind} {outcome}", domain=change.name, kind=change.kind, outcome=outcome)
        self._plan_expiry()

    async def _retry(self) -> None:
        """Once more, everything that the registry has not answered."""
        self._delay = min(2 * self._delay, self.limits.most_retry)
        for domain in list(self.store.intended):
            lock = self._lock(domain)
            await lock.acquire()
            try:
                change = self.store.intended.get(domain)
                if change is not None and self._running:
                    await self._send(change, again=True)
            except Refusal as refusal:
                self.log.warn("{domain}: {why}", domain=domain, why=str(refusal))
            finally:
                self._release(domain, lock)

    def _plan_expiry(self) -> None:
        """Wake up when the time of the next domain is over."""
        due = min((each.expires for each in self.store.domains.values()), default=None)
        if due is not None:
            self._after("expiry", max(0.0, due + GRACE - self.machine.wall()), self._expire)

    async def _expire(self) -> None:
        for one in list(self.store.domains.values()):
            if one.expires + GRACE > self.machine.wall() or one.name in self.store.intended:
                continue
            lock = self._lock(one.name)
            await lock.acquire()
            try:
                if self.store.domains.get(one.name) is one:
                    await self._carry_out(Change("deletion", one, None))
            except Refusal as refusal:
                self.log.warn("{domain}: {why}", domain=one.name, why=str(refusal))
            finally:
                self._release(one.name, lock)

    def _after(self, what: str, seconds: float, work: Callable[[], object]) -> None:
        before = self._timers.pop(what, None)
        if before is not None:
            before.cancel()
        if not self._running:
            return

        def due() -> None:
            del self._timers[what]
            running: Deferred[object] = Deferred.fromCoroutine(work())  # type: ignore[arg-type]
            running.addErrback(self._failed)

        self._timers[what] = self.machine.reactor.callLater(seconds, due)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("what the registrar does by itself failed", failure)

    @asynccontextmanager
    async def _turn(self, domain: str, client: str) -> AsyncIterator[None]:
        """One change of a domain after another; not too many, and not too often."""
        if not self._rates.take(client, self.machine.now().monotonic):
            raise Refusal(429, "Too many changes from this address; try again in a second.")
        if self._under_way >= self.limits.changes:
            raise Refusal(503, "Too many changes are under way; try again in a second.")
        self._under_way += 1
        lock = self._lock(domain)
        try:
            await lock.acquire()
            try:
                yield
            finally:
                self._release(domain, lock)
        finally:
            self._under_way -= 1

    def _lock(self, domain: str) -> DeferredLock:
        return self._locks.setdefault(domain, DeferredLock())

    def _release(self, domain: str, lock: DeferredLock) -> None:
        lock.release()
        if not lock.locked and not lock.waiting:
            self._locks.pop(domain, None)

    def _client(self, domain: str) -> RegistryClient:
        registry = self.policy.registry_of(domain)
        return self._clients[registry or ""]

    def _made_secret(self) -> str:
        letters = [_ALPHABET[self.machine.rng.randrange(len(_ALPHABET))] for _ in range(24)]
        return "-".join("".join(letters[at : at + 6]) for at in range(0, 24, 6))

    async def _verifier(self, secret: str) -> str:
        salt = self.machine.rng.randbytes(16)
        return await self.machine.offload(lambda: verifier_line(_WHO, secret, salt), HASH_COST)

    async def _verifies(self, one: Registration, secret: str) -> bool:
        """Whether that is the secret of a domain; compared in constant time, and not tried too often."""
        now = self.machine.now().monotonic
        wrong, since = self._wrong.get(one.name, (0, now))
        if now - since > self.limits.wrong_seconds:
            wrong, since = 0, now
        if wrong >= self.limits.wrong_secrets:
            raise Refusal(429, f"Too many wrong secrets for {one.name}; try again in a minute.", "secret")
        known = parse_verifiers([one.verifier])
        right = await self.machine.offload(lambda: verify(known, _WHO, secret.encode()), HASH_COST)
        if not right:
            self.counts.wrong_secrets += 1
            self._wrong[one.name] = wrong + 1, since
        return right
