"""A client's requests that may be signed: SOA queries, NOTIFY, UPDATE (one reply), and transfers (many messages)."""

from typing import Any

import dns.flags
import dns.message
from dns.name import Name
from dns.opcode import Opcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import RRset
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from netstack.dns.engine import ClientStream
from netstack.dns.events import ReplyReceived, SendQuery, StreamEnded
from netstack.dns.limits import ZoneLimits
from netstack.dns.transfer import Incoming, TransferError, Transferred
from netstack.dns.tsig import Key, ReplyCheck, signed_query
from netstack.dns.upstream import ALPN, DatagramUpstream, StreamUpstream, Upstream, too_old
from netstack.dns.wire import AA, TC, MalformedMessage
from netstack.kernel.driver import StreamDriver
from netstack.kernel.listen import ListenError, connect_stream
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Connection
from netstack.sansio import Address, Event


class NoReply(Exception):
    """Nobody answered in time, or only somebody without the key."""


def message(
    identity: int, opcode: Opcode, origin: Name, rdtype: RdataType = RdataType.SOA, soa: RRset | None = None
) -> bytes:
    """A request about a zone: a query, or a NOTIFY (RFC 1996 §3.7) with the new SOA; an IXFR has it in the authority."""
    made = dns.message.QueryMessage(id=identity)
    made.flags = dns.flags.Flag(AA if opcode == Opcode.NOTIFY else 0)
    made.set_opcode(opcode)
    made.find_rrset(made.question, origin, RdataClass.IN, rdtype, create=True)
    if soa is not None:
        (made.answer if opcode == Opcode.NOTIFY else made.authority).append(soa)
    return bytes(made.to_wire())


async def request(
    machine: Machine,
    server: Address,
    data: bytes,
    key: Key | None,
    limits: ZoneLimits,
    stream: bool = False,
    name: str | None = None,
) -> bytes:
    """The reply to one message, its signature checked and taken away; over TCP where UDP's is cut. Raises NoReply.

    With the server's `name` all is over TLS.
    """
    if not stream and name is None:
        reply = await _Request(machine, server, data, key, limits, stream=False).done
        if not int.from_bytes(reply[2:4], "big") & TC:
            return reply
    return await _Request(machine, server, data, key, limits, stream=True, name=name).done


class _Request:
    """One message until its reply has come; what does not belong to it, or is not signed, is passed over (RFC 8945 §5.3)."""

    def __init__(
        self,
        machine: Machine,
        server: Address,
        data: bytes,
        key: Key | None,
        limits: ZoneLimits,
        stream: bool,
        name: str | None = None,
    ) -> None:
        self.machine = machine
        self.server = server
        self.key = key
        self.done: Deferred[bytes] = Deferred(lambda _: self._end())
        self._data = data
        self._checks: list[ReplyCheck] = []
        self._patience = limits.patience
        self._left = 1 if stream else limits.attempts
        self._why = f"no reply from {server[0]} port {server[1]}"
        self._upstream: Upstream | None = None
        self._timer: IDelayedCall | None = None
        try:
            if stream:
                self._patience *= limits.attempts
                self._upstream = StreamUpstream(machine, server, self._received, self._lost, name)
            else:
                self._upstream = DatagramUpstream(machine, server, self._received)
        except ListenError as error:
            self._fail(str(error))
            return
        self._send()

    def _send(self) -> None:
        self._left -= 1
        data = self._data
        if self.key is not None:
            data, check = signed_query(data, self.key, self.machine.wall())
            self._checks.append(check)
        self._timer = self.machine.reactor.callLater(self._patience, self._late)
        self._patience *= 2
        if self._upstream is not None:
            self._upstream.send(data)

    def _late(self) -> None:
        self._timer = None
        if self._left > 0:
            self._send()
        else:
            self._fail(self._why)

    def _lost(self) -> None:
        self._fail(f"{self.server[0]} port {self.server[1]} closed the connection or refused it")

    def _received(self, data: bytes, source: Address) -> None:
        if source != self.server or len(data) < 12 or data[:2] != self._data[:2] or not data[2] & 0x80:
            return
        if (data[2] ^ self._data[2]) & 0x78:
            return
        for check in self._checks:
            try:
                data = check.check(data, self.machine.wall())
                break
            except MalformedMessage as error:
                self._why = f"{self.server[0]} port {self.server[1]}: {error}"
        else:
            if self._checks:
                return
        self._end()
        if not self.done.called:
            self.done.callback(data)

    def _fail(self, reason: str) -> None:
        self._end()
        if not self.done.called:
            self.done.errback(Failure(NoReply(reason)))

    def _end(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()


async def fetch(
    machine: Machine,
    server: Address,
    origin: Name,
    soa: RRset | None,
    key: Key | None,
    limits: ZoneLimits,
    name: str | None = None,
) -> Transferred:
    """Transfer a zone, by differences from the version of `soa` unless None. Raises TransferError, NotIncremental.

    With the server's `name` it is over TLS (RFC 9103).
    """
    return await _Fetch(machine, server, origin, soa, key, limits, name).done


class _Fetch:
    """One transfer on a connection of its own."""

    def __init__(
        self,
        machine: Machine,
        server: Address,
        origin: Name,
        soa: RRset | None,
        key: Key | None,
        limits: ZoneLimits,
        name: str | None,
    ) -> None:
        self.machine = machine
        self.server = server
        self.limits = limits
        self.done: Deferred[Transferred] = Deferred(lambda _: self._end())
        identity = machine.rng.getrandbits(16)
        serial: Any = None if soa is None else soa[0]
        self._incoming = Incoming(identity, origin, None if soa is None else serial.serial, limits.transfer_records)
        self._data = message(identity, Opcode.QUERY, origin, self._incoming.question.rdtype, soa)
        self._key = key
        self._check: ReplyCheck | None = None
        self._driver: StreamDriver | None = None
        reactor = machine.reactor
        self._deadline: IDelayedCall | None = reactor.callLater(
            limits.transfer_time, self._fail, f"not done after {limits.transfer_time:g} seconds"
        )
        self._idle: IDelayedCall | None = None
        counted = traffic(machine.registry, "dns", "client")
        self._connecting: Deferred[StreamDriver] | None = connect_stream(
            machine, *server, "dns", ClientStream(), self, counted, tls_name=name, alpn=ALPN
        )
        self._connecting.addCallbacks(self._connected, lambda failure: self._fail(failure.getErrorMessage()))

    def handle(self, event: Event, connection: Connection) -> None:
        if self.done.called:
            return
        if isinstance(event, StreamEnded):
            self._fail("the connection ended before the transfer did")
        elif isinstance(event, ReplyReceived):
            self._rest()
            try:
                data = event.data
                if self._check is not None:
                    data = self._check.check(data, self.machine.wall())
                outcome = self._incoming.receive(data)
                if outcome is None:
                    return
                if self._check is not None and not self._check.complete:
                    raise TransferError("the last message is not signed")
            except MalformedMessage as error:
                self._fail(str(error))
            except TransferError as error:
                self._end()
                self.done.errback(Failure(error))
            else:
                self._end()
                self.done.callback(outcome)

    def lost(self, reason: str) -> None:
        self._fail(f"the connection was lost: {reason}")

    def _connected(self, driver: StreamDriver) -> None:
        self._connecting = None
        self._driver = driver
        if self.done.called:
            driver.close()
            return
        if too_old(driver.peer):
            self._fail("it speaks TLS of an old version, by which no zone is transferred: 1.3 is expected")
            return
        data = self._data
        if self._key is not None:
            data, self._check = signed_query(data, self._key, self.machine.wall())
        self._rest()
        driver.send(SendQuery(data))

    def _rest(self) -> None:
        """Set the time until the next message anew."""
        if self._idle is not None and self._idle.active():
            self._idle.reset(self.limits.transfer_idle)
        else:
            self._idle = self.machine.reactor.callLater(
                self.limits.transfer_idle, self._fail, f"silent for {self.limits.transfer_idle:g} seconds"
            )

    def _fail(self, reason: str) -> None:
        self._end()
        if not self.done.called:
            self.done.errback(Failure(TransferError(f"{self.server[0]} port {self.server[1]}: {reason}")))

    def _end(self) -> None:
        for timer in (self._deadline, self._idle):
            if timer is not None and timer.active():
                timer.cancel()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()
