"""Keeps a resolver's trust anchors those of their zones (RFC 5011): looks at the keys now and then, remembers on disk."""

from dataclasses import dataclass

from dns.name import Name
from dns.rdatatype import RdataType
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.dns.dnssec.points import SHORTEST, Point, from_text, observe, to_text, wait
from netstack.dns.dnssec.trust import Trust
from netstack.dns.dnssec.verify import Bogus
from netstack.dns.events import Outcome
from netstack.dns.recursion import Recursion
from netstack.dns.wire import Question, name_text
from netstack.kernel.machine import Machine

DIRECTORY = "anchors"
"""On the machine's disk."""
SYNC = 0.002
"""Seconds that a write takes in the simulation."""


@dataclass(slots=True)
class _Followed:
    point: Point
    timer: IDelayedCall | None = None


class Following(Service):
    """Follows the anchors of one resolver."""

    log = Logger()

    def __init__(self, machine: Machine, recursion: Recursion, trust: Trust) -> None:
        """What was remembered counts from now on."""
        self.machine = machine
        self.recursion = recursion
        self.trust = trust
        self._points = {zone: _Followed(self._load(zone)) for zone in trust.anchors}
        for each in self._points.values():
            trust.anchors[each.point.zone] = list(each.point.trusted)

    @property
    def points(self) -> tuple[Point, ...]:
        """As they are now."""
        return tuple(each.point for each in self._points.values())

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for each in self._points.values():
            self._wait(each, SHORTEST)

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        for each in self._points.values():
            if each.timer is not None and each.timer.active():
                each.timer.cancel()
            each.timer = None

    def _wait(self, followed: _Followed, seconds: float) -> None:
        if self.running:
            followed.timer = self.machine.reactor.callLater(seconds, self._look, followed)

    def _look(self, followed: _Followed) -> None:
        """Ask for the keys, not the cache for what they were."""
        followed.timer = None
        zone = followed.point.zone
        self.recursion.recursor.algorithm.cache.forget(zone, RdataType.DNSKEY)
        self.recursion.ask(
            Question(zone, RdataType.DNSKEY), lambda outcome: self._seen(followed, outcome), checking_disabled=True
        )

    def _seen(self, followed: _Followed, outcome: Outcome) -> None:
        before, wall = followed.point, self.machine.wall()
        zone = name_text(before.zone)
        keys = next((each for each in outcome.answer if each.rdtype == RdataType.DNSKEY and each.name == before.zone), None)
        if keys is None:
            self.log.warn("{zone}: its keys cannot be had; the trust anchors stay", zone=zone)
            self._wait(followed, SHORTEST)
            return
        try:
            after = observe(before, keys, outcome.proof, wall)
        except Bogus as bogus:
            self.log.warn("{zone}: no trust anchor has signed its keys: {why}", zone=zone, why=bogus.text)
            self._wait(followed, wait(keys, outcome.proof, wall, failed=True))
            return
        followed.point = after
        written = self.machine.offload(lambda: self.machine.disk.write(_file(before.zone), to_text(after).encode()), SYNC)
        written.addErrback(self._not_written, zone)
        states = {each.record: each.state for each in before.keys}
        for each in after.keys:
            if states.get(each.record) != each.state:
                self.log.info("{zone}: key {key} is {state}", zone=zone, key=each.record.to_text()[:30], state=each.state)
        if set(after.trusted) != set(before.trusted):
            self.trust.anchors[before.zone] = list(after.trusted)
            self.trust.forget()
        self._wait(followed, wait(keys, outcome.proof, wall))

    def _not_written(self, failure: Failure, zone: str) -> None:
        failure.trap(OSError)
        self.log.error("{zone}: trust anchors cannot be kept on disk: {why}", zone=zone, why=failure.getErrorMessage())

    def _load(self, zone: Name) -> Point:
        configured = tuple(self.trust.anchors[zone])
        try:
            text = self.machine.disk.read(_file(zone)).decode("utf-8")
            return from_text(zone, configured, text)
        except FileNotFoundError:
            return Point(zone, configured)
        except ValueError as error:
            self.log.warn("{file}: {why}; the configured anchors count", file=_file(zone), why=str(error))
            return Point(zone, configured)


def _file(zone: Name) -> str:
    return f"{DIRECTORY}/{name_text(zone).rstrip('.') or '@'}"
