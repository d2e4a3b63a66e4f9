"""The one adapter from an engine to Twisted: feeds it, writes for it, runs its timers, keeps its bounds.

Only drivers read clocks and touch transports. An engine's event goes to the role; the events that are the driver's own
(StartTLS, CloseWrite, Close, Abort) are carried out here.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from math import inf
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from netstack.kernel.accepting import Nursery, first_look
from netstack.kernel.closing import REASONS, Deadline, HalfClose
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic
from netstack.kernel.roles import Role
from netstack.kernel.transport import PLAIN, AcceptedTransport, finish_now, unsent
from netstack.kernel.writing import WritingProtocol
from netstack.sansio import (
    Abort,
    Close,
    CloseWrite,
    Command,
    Engine,
    Event,
    Flush,
    HandOver,
    Message,
    Now,
    Peer,
    RemoteProtocolError,
    StartTLS,
)

_OURS = frozenset({StartTLS, CloseWrite, Close, Abort, Flush, HandOver})
"""Events that are not the role's."""


_NOWHERE = Peer(("", 0), ("", 0))
_NEVER = Now(0.0, 0.0)


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class StreamDriver(WritingProtocol):
    """Drives one engine over one stream connection."""

    __slots__ = (
        "_active", "_again", "_at_once", "_busy", "_deadline", "_due", "_eof", "_finished", "_idle", "_now", "_nursery",
        "_on_lost", "_on_up", "_reading", "_reason", "_said", "_seconds", "_server_name", "_timer", "_tls", "_verify",
        "_waiting", "engine", "limits", "machine", "opened", "peer", "protocol_name", "role",
    )  # fmt: skip
    failure: Failure | None = None
    """Why the connection was lost, as Twisted says it."""
    _aborted = False

    def __init__(
        self,
        machine: Machine,
        protocol: str,
        engine: Engine,
        role: Role,
        traffic: Traffic,
        limits: StreamLimits,
        secure: bool = False,
        on_lost: Callable[["StreamDriver"], None] | None = None,
        on_up: Callable[["StreamDriver"], None] | None = None,
        server_name: str | None = None,
        nursery: Nursery | None = None,
        verify: bool = True,
    ) -> None:
        """`secure`: TLS lies below from the start. `server_name`: for StartTLS, the name to `verify`; None on a server.

        `nursery`: shared by the connections that a listener accepts.
        """
        super().__init__()
        self.machine = machine
        self.protocol_name = protocol
        self.engine = engine
        self._at_once = getattr(type(engine), "at_once", None)
        """The engine's hot path (`sansio.Hot`), if it has one."""
        self._said = getattr(type(engine), "said", None)
        """Another part of it (`sansio.HotAnswers`)."""
        self.role = role
        self.traffic = traffic
        self.limits = limits
        self.peer = _NOWHERE
        self.opened = 0.0
        """When the TCP connection was up, before any TLS handshake: monotonic seconds."""
        self._tls = secure
        self._server_name, self._verify = server_name, verify
        self._on_lost, self._on_up = on_lost, on_up
        self._nursery = nursery
        self._seconds = machine.reactor.seconds
        self._busy = self._again = self._finished = self._eof = False
        self._reading = True
        self._reason: str | None = None
        self._waiting: Iterable[Event] | None = None
        """Events that wait until there is room for their output."""
        self._timer: IDelayedCall | None = None
        self._due = inf
        """When the timer fires, or the nursery tells."""
        self._active = 0.0
        self._idle = limits.idle
        self._now = _NEVER
        self._deadline: tuple[Deadline, float] | None = None

    # What Twisted calls

    def connectionMade(self) -> None:
        transport: Any = self.transport
        nursery: Any = self._nursery
        kind = type(transport)
        self._direct = kind in PLAIN
        if issubclass(kind, AcceptedTransport) and len(transport.client) == 2:  # IPv4: without objects for each connection
            local, remote = nursery.local or transport.socket.getsockname(), transport.client
        else:
            host, peer = transport.getHost(), transport.getPeer()
            local, remote = (host.host, host.port), (peer.host, peer.port)
        self.peer = Peer(local, remote)
        if nursery is None or not nursery.no_delay:
            transport.setTcpNoDelay(True)
        if not self._direct:
            transport.registerProducer(self, True)
        self.traffic.active += 1
        self.traffic.connections += 1
        self.machine.journal.opened("tcp", local)
        self.opened = self._active = now = self._seconds()
        if self._closing:  # stopped while a shaped link was still connecting
            transport.abortConnection()
        elif self._tls:
            self._until(Deadline.HANDSHAKE, self.limits.handshake)
        else:
            if nursery is not None:
                self._due = nursery.add(self, now)
            else:
                self._arm(now + first_look(self.limits))
            self._up()

    def handshakeCompleted(self) -> None:
        transport: Any = self.transport
        self._deadline = None
        self.peer = Peer(self.peer.local, self.peer.remote, security=transport.security())
        self._up()

    def _up(self) -> None:
        self._step(self.engine.connected, self.peer)
        on_up, self._on_up = self._on_up, None
        if on_up is not None:
            on_up(self)

    def dataReceived(self, data: bytes) -> None:
        traffic = self.traffic
        traffic.received += len(data)
        if self._closing:
            return
        at_once = self._at_once
        if at_once is not None and not (self._outbox or self._paused or self._busy or self._waiting is not None):
            machine = self.machine
            enabled = machine.journal.enabled
            if (not enabled or machine.name not in enabled) and not self.engine.recording:
                now = self._seconds()
                answer = at_once(self.engine, data, now)
                if answer is not None:  # its timer is not due before the one that is set
                    self._active = now
                    if answer:
                        self._write(answer)
                    return
        self._step(self.engine.receive, data)

    def readConnectionLost(self) -> None:
        """The peer's FIN. The transport reads no more; starting it again would bring the FIN again, without end."""
        self._eof = True
        if not self._closing:
            self._step(self.engine.eof)
        elif self._finished:
            self.transport.loseConnection()  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        """Our FIN is out, and all before it."""
        if self._finished and not self._gone:
            self._until(Deadline.DISCARD, self.limits.discard)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008  Twisted's signature
        if self._gone:
            return
        self._direct = False
        if not self._closing and not self._eof and self._deadline is None and reason.check(ConnectionDone):
            self._eof = True  # TLS tells its end (close_notify, RFC 8446 §6.1) and that of the connection as one
            self._step(self.engine.eof)
        self._gone = self._closing = True
        self.failure = reason
        self.traffic.active -= 1
        self.machine.journal.closed("tcp", self.peer.local)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._nursery is not None:
            self._nursery.drop(self)
        self._collect()
        if self._outbox:
            self._drop_output()
        if self._reason is None:
            self._reason = REASONS.get(reason.type) or reason.getErrorMessage()
        self.role.lost(self._reason)
        if self._on_lost is not None:
            self._on_lost(self)

    # IPushProducer: the transport's buffer is full, empty again, or gone

    def pauseProducing(self) -> None:
        self._paused = True
        if not self._busy:
            self._read_or_not()

    def resumeProducing(self) -> None:
        if self._gone:
            return
        self._paused = False
        self._active = self._seconds()
        self._flush()
        if self._paused or self._closing or self._busy:
            return
        writable = getattr(self.role, "writable", None)
        if writable is not None:
            writable(self)
        self._step(self.engine.receive, b"")

    def stopProducing(self) -> None:
        pass

    # Connection: what a role calls

    @property
    def writable(self) -> bool:
        """False while queued output waits for the peer; the role's `writable` is called when it may go on."""
        return not self._paused and not self._closing and self._queued < self.limits.output_high

    def send(self, command: Command) -> None:
        """Hand a command to the engine and write what comes of it; raises LocalProtocolError in a wrong state.

        Nothing happens once the connection is closing: the peer that asked is not there to read it.
        """
        if self._closing:
            return
        if self._busy:
            self.engine.send(command, self._now)
            self._again = True
            return
        machine = self.machine
        said, recording = self._said, machine.name in machine.journal.enabled
        at_once = not (recording or self.engine.recording or self._outbox or self._paused or self._waiting is not None)
        if said is not None and at_once:
            now = self._seconds()
            answer = said(self.engine, command, now)
            if answer is not None:
                self._active = now
                self._write(answer)
                due = self.engine.next_timer()
                if due is not None and due < self._due:
                    self._arm(due)
                return
        self.engine.recording = recording
        self.engine.send(command, machine.now())
        self._step(self.engine.receive, b"")

    def close(self) -> None:
        """Send what is queued, then close."""
        if self._closing:
            return
        self._closing = True
        if self.transport is not None and not self._busy:
            self._collect()
            self._flush()
            self._read_or_not()

    def abort(self, reason: str = "aborted") -> None:
        """Reset the connection now."""
        self._closing = self._aborted = True
        if self._reason is None:
            self._reason = reason
        self._drop_output()
        transport: Any = self.transport
        if transport is not None and not self._gone:
            transport.abortConnection()

    def drain(self) -> None:
        """The service stops."""
        drain = getattr(self.role, "drain", None)
        if drain is None:
            self.close()
        else:
            drain(self)

    # The step

    def _step(self, feed: Callable[..., Iterable[Event]], *arguments: Any) -> None:
        """Feed the engine, hand its events on, write, set the timer. Within a step: only go on when it is done."""
        if self._busy:
            self._again = True
            return
        self._busy = True
        paused = self._paused
        machine, engine = self.machine, self.engine
        self._active = active = self._seconds()
        self._now = now = Now(active, machine.wall())
        engine.recording = recording = machine.name in machine.journal.enabled
        try:
            events = feed(*arguments, now)
            if self._waiting is not None:
                events, self._waiting = chain(self._waiting, events), None
            if events:  # an engine that has none may say so with ()
                self._hand_on(events, True)
            while self._again and not self._closing and self._waiting is None:
                self._again = False
                events = self.engine.receive(b"", now)
                if events:
                    self._hand_on(events, False)
        except RemoteProtocolError:
            self.traffic.protocol_errors += 1
            if self._reason is None:
                self._reason = "protocol error"
            self.close()
        finally:
            self._busy = self._again = False
        if self._gone:
            return
        engine = self.engine  # it may be another one now
        if recording and (messages := engine.messages()):
            self._journal(messages)
        output = engine.data_to_send()
        if output:
            if not self._outbox and not self._paused and len(output) == 1 and type(output[0]) is bytes:
                self._write(output[0], self._closing)
            else:
                self._enqueue(output)
        if self._outbox or self._closing:
            self._flush()
        if self._closing:
            if not self._reading:
                self._read_or_not()
            return
        due = engine.next_timer()
        idle = active + self._idle
        if due is None or due > idle:
            due = idle
        if due < self._due:
            self._arm(due)
        # Who was just paused reads on until something comes: most send nothing before they have what they asked for.
        if self._reading != (engine.wants_data() and not (paused and self._paused and self._stuck())):
            self._read_or_not()

    def _hand_on(self, events: Iterable[Event], first: bool) -> None:
        """Give events to the role; when their output fills the queue, the rest waits. The `first` has room."""
        recording = self.engine.recording
        for event in (iterator := iter(events)):
            ours = type(event) in _OURS
            if not first and (self._paused and self._stuck() if ours else not self._room()):
                self._waiting = chain((event,), iterator)
                return
            first = False
            if ours and isinstance(event, HandOver):
                self._collect()
                self.engine = after = event.engine
                self._at_once, self._said = (getattr(type(after), name, None) for name in ("at_once", "said"))
                after.recording, now = recording, self._now
                self._hand_on(chain(after.connected(self.peer, now), after.receive(event.data, now)), True)
                return
            if ours:
                self._carry_out(event)
            else:
                if recording and (messages := self.engine.messages()):
                    self._journal(messages)  # what was received, before what the role does about it
                self.role.handle(event, self)
            if self._closing:
                return

    def _room(self) -> bool:
        """Whether more output may be made; what there is is written when it is much. If not, resumeProducing goes on."""
        self._collect()
        if self._queued >= self.limits.output_high:
            self._flush()
        return not (self._paused and self._stuck())

    def _stuck(self) -> bool:
        """Whether output that waits holds input up: of a duplex engine only when it has become much."""
        return not getattr(self.engine, "duplex", False) or self._queued >= self.limits.output_high

    def _carry_out(self, event: Event) -> None:
        kind = type(event)
        if kind is Close:
            self.close()
        elif kind is Abort:
            self.abort()
        elif kind is CloseWrite:
            if not self._tls:  # TLS has no half close that peers agree on
                self._collect()
                self._enqueue((HalfClose.HERE,))
        elif kind is Flush:
            self._collect()
            self._flush()
        else:
            self._collect()
            self._start_tls()

    def _journal(self, messages: Iterable[Message]) -> None:
        machine, peer = self.machine, self.peer
        secure = peer.security is not None
        machine.journal.write_all(machine.wall(), "tcp", self.protocol_name, peer.local, peer.remote, secure, messages)

    def _collect(self) -> None:
        """Take the engine's output and messages."""
        if self.engine.recording and (messages := self.engine.messages()):
            self._journal(messages)
        output = self.engine.data_to_send()
        if output:
            self._enqueue(output)

    def _flush(self) -> None:
        """Write what waits as far as the transport takes it; once all is out, close if that is wanted."""
        if self._outbox:
            self._write_queued()
        if self._closing and not self._gone and not self._aborted:
            if not self._outbox:
                self._close_transport()
            if self._deadline is None:
                self._until(Deadline.FLUSH, self.limits.linger)

    # Closing

    def _close_transport(self) -> None:
        """All is written to the transport: send FIN, read on for a while so that our last octets are not reset away.

        RFC 9112 §9.6: closing with unread input makes the kernel reset the connection, and the peer may lose the reply.
        """
        if self._finished:
            return
        self._finished = True
        transport: Any = self.transport
        if not self._direct or transport.producer is not None:
            transport.unregisterProducer()
        if self._direct and not self._eof and not unsent(transport):
            finish_now(transport)
            self.writeConnectionLost()
        elif self._tls or self._eof or not hasattr(transport, "loseWriteConnection"):
            transport.loseConnection()
        else:
            transport.loseWriteConnection()

    def _start_tls(self) -> None:
        """What was collected goes out in the clear, whatever waits; the new layer begins with an empty queue."""
        self._paused = False
        while self._outbox:
            self._paused = False
            self._flush()
        transport: Any = self.transport
        transport.unregisterProducer()
        self._tls = True
        self._direct = self._paused = False
        layer: Any = self.machine.tls.start(transport, self, self._server_name, verify=self._verify)
        self.transport = layer
        layer.registerProducer(self, True)
        self._until(Deadline.HANDSHAKE, self.limits.handshake)

    # Reading and time

    def _read_or_not(self) -> None:
        if self._eof or self._gone:
            return
        wanted = self._closing or (self.engine.wants_data() and not (self._paused and self._stuck()))
        if wanted != self._reading:
            self._reading = wanted
            transport: Any = self.transport
            if wanted:
                transport.resumeProducing()
            else:
                transport.pauseProducing()

    def _arm(self, due: float) -> None:
        """Call `_on_timer` at `due` or before; one that fires too early sets itself anew: cheaper than moving it."""
        if self._due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self.machine.reactor.callLater(max(0.0, due - self._seconds()), self._on_timer)

    def _until(self, what: Deadline, seconds: float) -> None:
        """Give up, unless what is under way ends within so many seconds."""
        due = self._seconds() + seconds
        self._deadline = what, due
        self._arm(due)

    def grown(self) -> None:
        """The nursery tells; one that has got a timer of its own meanwhile needs it no more."""
        if self._timer is None:
            self._on_timer()

    def _on_timer(self) -> None:
        self._timer, self._due = None, inf
        now = self._seconds()
        if self._deadline is not None:
            what, due = self._deadline
            if now < due:
                self._arm(due)
            elif what is Deadline.DISCARD:
                transport: Any = self.transport
                transport.loseConnection()
            else:
                self.traffic.timeouts += 1
                self.abort("timeout")
            return
        idle = self._active + self._idle
        wanted = self.engine.next_timer()
        if wanted is not None and wanted <= now:
            active = self._active
            self._step(self.engine.on_timer)
            if self._closing:
                return
            self._active = active  # a timer is no sign of life
        if now >= idle:
            self.traffic.timeouts += 1
            self._reason = "timeout"
            self.close()
        else:
            self._arm(idle if wanted is None or wanted > idle or wanted <= now else wanted)
