"""Connections on their way up: the name is looked up, its addresses are tried, each a moment after the one before."""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet import error as errors
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from netstack.http.faults import ErrorType
from netstack.http.links import FetchError
from netstack.http.places import Place
from netstack.kernel.authority import TLSError
from netstack.kernel.driver import StreamDriver
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import connect_stream
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic
from netstack.kernel.resolver import NameNotFound, ResolutionError, is_address
from netstack.kernel.roles import Connection, Role
from netstack.sansio import Engine

ADDRESSES = 8
"""Of one name that are tried."""


class Dialed(Role, Protocol):
    """The role of a connection that is dialed, and when it came up; times are monotonic seconds."""

    engine: Engine
    connection: Connection | None
    resolved: float | None
    """When the addresses were known."""
    opened: float
    """When the TCP connection was up."""
    up: float
    """When it could be used: with TLS."""


Made = TypeVar("Made", bound=Dialed)


@dataclass(frozen=True, slots=True)
class DialLimits:
    """Times in seconds."""

    connect_seconds: float = 10.0
    """For a name's addresses and a connection to one of them, TLS included."""
    attempt_seconds: float = 0.25
    """Until the next address is tried beside the one that has not answered (RFC 8305 §5)."""


class Dial(Generic[Made]):
    """One connection on its way: `up` or `failed` is called once, unless it is given up before."""

    def __init__(
        self,
        machine: Machine,
        place: Place,
        limits: DialLimits,
        connections: StreamLimits,
        traffic: Traffic,
        alpn: Sequence[str],
        permits: Callable[[Place, str], bool],
        make_role: Callable[[], Made],
        up: Callable[["Dial[Made]", Made], None],
        failed: Callable[["Dial[Made]", FetchError], None],
        protocol: str = "http",
    ) -> None:
        """`permits` is asked about each address: whoever asks for a name may not choose where it leads.

        `make_role` makes one for each address that is tried.
        """
        self.place = place
        self._machine, self._limits, self._connections = machine, limits, connections
        self._traffic, self._alpn, self._permits = traffic, alpn, permits
        self._make_role, self._up, self._failed, self._protocol = make_role, up, failed, protocol
        self._addresses: list[str] = []
        self._running: dict[Deferred[Any], Made] = {}
        self._error: FetchError | None = None
        self._resolved: float | None = None
        self._done = False
        self._next: IDelayedCall | None = None
        self._end: IDelayedCall | None = None
        self._lookup: Deferred[None] | None = None

    def start(self) -> None:
        """Begin; it may fail before this returns."""
        self._end = self._machine.reactor.callLater(self._limits.connect_seconds, self._too_late)
        if is_address(self.place.host):
            self._found([self.place.host])
        else:
            self._lookup = Deferred.fromCoroutine(self._look_up())
            self._lookup.addErrback(_cancelled)

    def give_up(self) -> None:
        """Nobody wants it any more."""
        if self._done:
            return
        self._done = True
        for timer in (self._end, self._next):
            if timer is not None and timer.active():
                timer.cancel()
        if self._lookup is not None:
            self._lookup.cancel()
        for attempt in tuple(self._running):
            attempt.cancel()

    async def _look_up(self) -> None:
        host = self.place.host
        try:
            found = await self._machine.resolver.addresses(host)
        except ResolutionError as error:
            rcode = "NXDOMAIN" if isinstance(error, NameNotFound) else "SERVFAIL" if error.temporary else None
            self._fail(FetchError(str(error), ErrorType.DNS_ERROR, rcode))
            return
        if self._done:
            return
        self._resolved = self._machine.reactor.seconds()
        if found:
            self._found(found)
        else:
            self._fail(FetchError(f"{host} has no address", ErrorType.DNS_ERROR))

    def _found(self, addresses: Sequence[str]) -> None:
        port = self.place.port
        self._addresses = [each for each in interleaved(addresses) if self._permits(self.place, each)][:ADDRESSES]
        if self._addresses:
            self._try_next()
        else:
            self._fail(
                FetchError(
                    f"{self.place.host} ({', '.join(addresses[:3])} port {port}) may not be connected to from here",
                    ErrorType.DESTINATION_IP_PROHIBITED,
                )
            )

    def _try_next(self) -> None:
        """One address more."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        place, address, role = self.place, self._addresses.pop(0), self._make_role()
        role.resolved = self._resolved
        attempt = connect_stream(
            self._machine, address, place.port, self._protocol, role.engine, role, self._traffic, self._connections,
            place.host if place.secure else None, self._alpn,
        )  # fmt: skip
        self._running[attempt] = role
        if self._addresses:
            self._next = self._machine.reactor.callLater(self._limits.attempt_seconds, self._try_next)
        attempt.addCallbacks(self._connected, self._refused, (attempt,), {}, (attempt, address))

    def _connected(self, driver: StreamDriver, attempt: "Deferred[Any]") -> None:
        role = self._running.pop(attempt)
        if self._done:
            driver.abort()
            return
        role.connection, role.opened, role.up = driver, driver.opened, self._machine.reactor.seconds()
        self.give_up()
        self._up(self, role)

    def _refused(self, failure: Failure, attempt: "Deferred[Any]", address: str) -> None:
        self._running.pop(attempt, None)
        if self._done:
            return
        message, kind = explained(failure.value)
        where = f"{self.place.host} ({address} port {self.place.port})"
        self._error = self._error or FetchError(f"{where}: {message}", kind)
        if self._addresses:
            self._try_next()
        elif not self._running:
            self._fail(self._error)

    def _too_late(self) -> None:
        within = f"within {self._limits.connect_seconds:g} seconds"
        if not self._running and self._error is None:
            self._fail(FetchError(f"{self.place.host} could not be looked up {within}", ErrorType.DNS_TIMEOUT))
        else:
            where = f"{self.place.host} port {self.place.port}"
            self._fail(FetchError(f"{where}: no connection {within}", ErrorType.CONNECTION_TIMEOUT))

    def _fail(self, error: FetchError) -> None:
        if not self._done:
            self.give_up()
            self._failed(self, error)


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)


def interleaved(addresses: Sequence[str]) -> list[str]:
    """The families in turns, that of the first address first (RFC 8305 §4)."""
    six = [":" in each for each in addresses]
    first = [each for each, is_six in zip(addresses, six, strict=True) if is_six == six[0]]
    others = [each for each, is_six in zip(addresses, six, strict=True) if is_six != six[0]]
    return [each for each in chain.from_iterable(zip_longest(first, others)) if each is not None]


def explained(error: BaseException | None) -> tuple[str, ErrorType]:
    """Why a connection did not come up, for people and for Proxy-Status."""
    said = getattr(error, "args", ())
    if said and isinstance(said[0], list):  # OpenSSL's: (library, function, reason) of each
        reasons = [str(each[-1]) for each in said[0]]
        alert = any("alert" in reason for reason in reasons)
        return "TLS: " + ", ".join(reasons), ErrorType.TLS_ALERT_RECEIVED if alert else ErrorType.TLS_PROTOCOL_ERROR
    if getattr(error, "osError", None) == errno.EHOSTUNREACH:
        kind = ErrorType.DESTINATION_IP_UNROUTABLE
    else:
        kind = next((kind for types, kind in _KINDS if isinstance(error, types)), ErrorType.TLS_PROTOCOL_ERROR)
    return str(error) or type(error).__name__, kind


_KINDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], ErrorType], ...] = (
    (TLSError, ErrorType.TLS_CERTIFICATE_ERROR),
    (errors.ConnectionRefusedError, ErrorType.CONNECTION_REFUSED),
    ((errors.TCPTimedOutError, errors.UserError), ErrorType.CONNECTION_TIMEOUT),
    (errors.NoRouteError, ErrorType.DESTINATION_IP_UNROUTABLE),
    (errors.ConnectionClosed, ErrorType.CONNECTION_TERMINATED),
    (errors.ConnectError, ErrorType.DESTINATION_UNAVAILABLE),
)
