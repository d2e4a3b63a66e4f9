"""MTA-STS: what a domain says of its exchanges, fetched by HTTPS and kept on disk for as long as it says (RFC 8461).

Whoever can suppress DNS records or connections cannot undo a policy that is kept (§10.2). Policies in use are fetched again
before they end (§3.3).
"""

import json
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.kernel.disk import AppendedFile
from netstack.kernel.machine import Machine
from netstack.sansio.bounds import all_positive
from netstack.smtp.authentication.lookup import TemporaryError, texts

FILE = "mta-sts"
"""On the machine's disk: a line of JSON for each policy, the last one of a domain counts."""
SYNC = 0.005
"""Seconds of a write, in the simulation alone."""
LONGEST_AGE = 31_557_600
"""Seconds of max_age (§3.2)."""
_SLACK = 100
"""Lines beyond twice those that are needed, before the file is written anew."""
_RECORD = re.compile(r"v=STSv1\s*;\s*id=([A-Za-z0-9]{1,32})\s*;?(?:.*)?", re.DOTALL)
_MX_PATTERN = re.compile(r"(?:\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class STSLimits:
    """Bounds of what is kept and fetched; times in seconds."""

    policies: int = 10_000
    """Domains whose policy is kept; those fetched longest ago are forgotten."""
    octets: int = 64 * 1024
    """Of a policy (§3.3)."""
    fetch_seconds: float = 60.0
    """For fetching one (§3.3)."""
    refresh: float = 86_400.0
    """Age at which a policy in use is fetched again, or half of its max_age if that is less."""
    pause: float = 300.0
    """After a fetch that failed, until the next one."""
    together: int = 10
    """Policies that are fetched again at once."""

    def __post_init__(self) -> None:
        all_positive(self)


class NoPolicy(Exception):
    """None could be fetched; `result` says why by RFC 8460's names (§4.3.2.2)."""

    def __init__(self, text: str, result: str = "sts-policy-fetch-error") -> None:
        super().__init__(text)
        self.result = result


class PolicyFetcher(Protocol):
    """Gets a policy by HTTPS, the certificate verified."""

    async def __call__(self, url: str) -> str:
        """The text of a response 200; raises NoPolicy."""


@dataclass(frozen=True, slots=True)
class STSPolicy:
    """What a domain says about its exchanges (§3.2)."""

    mode: str
    patterns: tuple[str, ...]
    max_age: int

    def allows(self, host: str) -> bool:
        """Whether a host is one of its exchanges (§4.1)."""
        name = host.lower().rstrip(".")
        return any(name == each or (each.startswith("*.") and name.partition(".")[2] == each[2:]) for each in self.patterns)


def parse_policy(text: str) -> STSPolicy:
    """A policy file; raises NoPolicy."""
    found: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.split("\n"):
        key, colon, value = line.rstrip("\r").partition(":")
        if not colon:
            continue
        key, value = key.strip(), value.strip()
        if key == "mx":
            patterns.append(value.lower())
        else:
            found.setdefault(key, value)
    if found.get("version") != "STSv1":
        raise NoPolicy("it is no policy of version STSv1", "sts-policy-invalid")
    age = found.get("max_age", "")
    return _checked(found.get("mode", ""), patterns, int(age) if age.isascii() and age.isdigit() and len(age) < 11 else -1)


def _checked(mode: str, patterns: list[str], max_age: int) -> STSPolicy:
    """Raises NoPolicy."""
    for each in patterns:
        if not _MX_PATTERN.fullmatch(each):
            raise NoPolicy(f"mx: {each[:60]!r}", "sts-policy-invalid")
    if mode not in ("enforce", "testing", "none") or not 0 <= max_age <= LONGEST_AGE or (not patterns and mode != "none"):
        raise NoPolicy("mode, max_age or mx is missing or wrong", "sts-policy-invalid")
    return STSPolicy(mode, tuple(patterns), max_age)


@dataclass(slots=True)
class _Kept:
    """A policy and what is known of it; wall seconds."""

    identifier: str
    """Of the record for which it was fetched."""
    policy: STSPolicy
    fetched: float
    used: float

    @property
    def until(self) -> float:
        return self.fetched + self.policy.max_age


class STSPolicies:
    """Those of all domains that mail was sent to."""

    log = Logger()

    def __init__(self, machine: Machine, fetch: PolicyFetcher, limits: STSLimits, count: Callable[[str], None]) -> None:
        """`count` is told why a policy could not be had, by RFC 8460's names."""
        self.limits = limits
        self._machine = machine
        self._fetch = fetch
        self._count = count
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._not_before: OrderedDict[str, float] = OrderedDict()
        """Domains whose policy could not be fetched, and when it is tried again."""
        self._fetching: dict[str, list[Deferred[None]]] = {}
        """Who waits for a fetch that is under way, by domain."""
        self._file = AppendedFile(machine.disk, FILE)
        self._lines = 0
        self._unwritten: list[bytes] = []
        self._writing: Deferred[None] | None = None
        self._stopped: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._running = False

    def __len__(self) -> int:
        return len(self._kept)

    def start(self) -> None:
        """Know what was known."""
        self._running = True
        try:
            lines = self._machine.disk.read(FILE).splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as error:
            self.log.error("{file}: {error}; MTA-STS policies are fetched anew", file=FILE, error=error)
            lines = []
        self._lines = len(lines)
        for line in lines:
            try:
                domain, kept = _from_line(line)
            except (ValueError, TypeError, OverflowError, RecursionError, NoPolicy):  # a crash may have cut the last one off
                continue
            if self._machine.wall() < kept.until:
                self._put(domain, kept)
        self._arm()

    def stop(self) -> Deferred[None]:
        """Fetch nothing any more; fires when what is known is on disk."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None:
            self._file.close()
        else:
            self._stopped = Deferred()
        return self._stopped or succeed(None)

    async def find(self, domain: str) -> STSPolicy | None:
        """The domain's policy, where it has one (§3.1); a new one is fetched where the record's id has changed."""
        kept = self._valid(domain)
        if kept is not None:
            kept.used = self._machine.wall()
        try:
            found = await texts(self._machine.resolver, f"_mta-sts.{domain}") or ()
        except TemporaryError:
            found = ()
        records = [match for each in found if (match := _RECORD.fullmatch(each.strip()))]
        if len(records) == 1 and (kept is None or kept.identifier != records[0][1]):
            await self._get(domain, records[0][1], self._machine.wall())
        kept = self._valid(domain)
        return None if kept is None else kept.policy

    def _valid(self, domain: str) -> _Kept | None:
        kept = self._kept.get(domain)
        return kept if kept is not None and self._machine.wall() < kept.until else None

    # Fetching

    async def _get(self, domain: str, identifier: str, used: float) -> None:
        """Fetch a policy and keep it, once for all that ask meanwhile; where that fails, the one that is kept holds (§5)."""
        waiting = self._fetching.get(domain)
        if waiting is not None:
            mine: Deferred[None] = Deferred()
            waiting.append(mine)
            await mine
            return
        if 0 < self._not_before.get(domain, 0.0) - self._machine.wall() <= self.limits.pause:
            return
        self._fetching[domain] = []
        try:
            policy = parse_policy(await self._fetch(f"https://mta-sts.{domain}/.well-known/mta-sts.txt"))
        except NoPolicy as error:
            self._failed(domain, error)
        else:
            self._not_before.pop(domain, None)
            self._put(domain, _Kept(identifier, policy, self._machine.wall(), used))
            self._write(_to_line(domain, self._kept[domain]))
            self._arm()
        finally:
            for each in self._fetching.pop(domain):
                each.callback(None)

    def _failed(self, domain: str, error: NoPolicy) -> None:
        self._count(error.result)
        self._not_before[domain] = self._machine.wall() + self.limits.pause
        if len(self._not_before) > self.limits.policies:
            self._not_before.popitem(last=False)
        kept = self._valid(domain)
        if kept is not None and kept.policy.mode != "none":  # §3.3: somebody should know before it ends
            self.log.warn(
                "MTA-STS: {error}; the policy of {domain} that is kept holds for {hours:.0f} hours",
                error=error, domain=domain, hours=(kept.until - self._machine.wall()) / 3600,
            )  # fmt: skip

    def _put(self, domain: str, kept: _Kept) -> None:
        self._kept[domain] = kept
        self._kept.move_to_end(domain)
        while len(self._kept) > self.limits.policies:
            self._kept.popitem(last=False)

    # Refreshing

    def _arm(self) -> None:
        if self._timer is None and self._running and self._kept:
            pause = max(self.limits.pause, self.limits.refresh / 24)
            self._timer = self._machine.reactor.callLater(pause, self._look)

    def _look(self) -> None:
        """Every so often: forget what has ended, fetch again what is in use."""
        self._timer = None
        self._forget()
        due = [domain for domain, kept in self._kept.items() if self._is_due(kept)]
        looked = Deferred.fromCoroutine(self._refresh(due))
        looked.addErrback(lambda failure: self.log.failure("MTA-STS policies could not be fetched again", failure))
        looked.addCallback(lambda _: self._arm())

    async def _refresh(self, domains: list[str]) -> None:
        together = self.limits.together
        for start in range(0, len(domains), together):
            some = [(domain, kept) for domain in domains[start : start + together] if (kept := self._kept.get(domain))]
            if not self._running:
                return
            await DeferredList(
                [Deferred.fromCoroutine(self._get(domain, kept.identifier, kept.used)) for domain, kept in some]
            )

    def _is_due(self, kept: _Kept) -> bool:
        """Nobody's who has not been sent mail for as long as the policy holds."""
        now, age = self._machine.wall(), kept.policy.max_age
        return (
            kept.policy.mode != "none" and now - kept.fetched >= min(self.limits.refresh, age / 2) and now - kept.used < age
        )

    def _forget(self) -> None:
        now = self._machine.wall()
        for domain in [domain for domain, kept in self._kept.items() if now >= kept.until]:
            del self._kept[domain]

    # Keeping

    def _write(self, line: bytes) -> None:
        self._unwritten.append(line)
        if self._writing is None:
            self._write_on()

    def _write_on(self) -> None:
        """Off the reactor's thread, one write after another; a file that is mostly history is written anew."""
        data, count = b"".join(self._unwritten), len(self._unwritten)
        self._unwritten.clear()
        if self._lines + count > 2 * len(self._kept) + _SLACK:
            data, self._lines = b"".join(_to_line(*each) for each in self._kept.items()), len(self._kept)
            self._writing = self._machine.offload(lambda: self._replace(data), SYNC)
        else:
            self._lines += count
            self._writing = self._machine.offload(lambda: self._file.append(data), SYNC)
        self._writing.addErrback(self._not_written)
        self._writing.addCallback(self._written)

    def _replace(self, data: bytes) -> None:
        self._file.close()
        self._machine.disk.write(FILE, data)

    def _not_written(self, failure: Failure) -> None:
        self.log.error("MTA-STS policies cannot be kept: {error}", error=failure.getErrorMessage())

    def _written(self, _: None) -> None:
        self._writing = None
        if self._unwritten:
            self._write_on()
        elif self._stopped is not None:
            self._file.close()
            self._stopped.callback(None)


def _to_line(domain: str, kept: _Kept) -> bytes:
    policy = kept.policy
    values = domain, kept.identifier, round(kept.fetched), policy.mode, policy.max_age, policy.patterns
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _from_line(line: bytes) -> tuple[str, _Kept]:
    """Raises ValueError, TypeError, OverflowError, RecursionError, NoPolicy."""
    domain, identifier, fetched, mode, max_age, patterns = json.loads(line)
    policy = _checked(str(mode), [str(each) for each in patterns], int(max_age))
    return str(domain), _Kept(str(identifier), policy, float(fetched), float(fetched))
