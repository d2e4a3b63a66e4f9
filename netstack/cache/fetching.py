"""One request to an origin, and all who wait for its response: streamed to each while it arrives, stored if it may be."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from netstack.cache.delivery import Delivery, octets_of
from netstack.cache.entry import Entry
from netstack.cache.forwarded import disclosed
from netstack.cache.objects import Stored, Writing
from netstack.cache.policy import Action, Forward, Outcome, Piece, completed, failed, received
from netstack.cache.policy.variants import matches, selecting
from netstack.cache.targets import Target
from netstack.http.faults import ErrorType
from netstack.http.links import FetchError
from netstack.http.places import Place
from netstack.http.transfer import Transfer
from netstack.http.wire import Request, Response

if TYPE_CHECKING:
    from netstack.cache.proxy import Proxy

BODILESS = frozenset({204, 304})
DROPPED = 64 * 1024
"""Octets of a body that nobody wants, which are read for the sake of the connection."""
TRIES = 3
"""Requests that are sent for one plan."""


class Fetch:
    """An exchange. It implements `netstack.http.upstream.Receiver`."""

    def __init__(
        self, proxy: "Proxy", request: Request, target: Target, plan: Forward, stored: Mapping[Entry, Stored]
    ) -> None:
        self.proxy = proxy
        self.request = request
        self.target = target
        self.plan = plan
        self.key = plan.key
        self.entry: Entry | None = None
        """That of the response, once it is known to be stored."""
        self.writing: Writing | None = None
        self.trailers: Sequence[tuple[str, str]] = ()
        self.broken = False
        """The response ended before its end."""
        self.answered = False
        """The head has come, and everybody was told."""
        self.background = False
        """Nobody has to wait for it to be finished."""
        self._stored = dict(stored)
        self._held = [*self._stored.values()]
        for each in self._held:
            each.hold()
        self._first: Delivery | None = None
        self._waiting: dict[Delivery, None] = {}
        self._readers: dict[Delivery, None] = {}
        self._transfer: Transfer | None = None
        self._request_time = 0.0
        self._joining: Joining | None = None
        self._dropping = 0
        """Octets that may still come of a body that nobody wants."""
        self._next_plan: Forward | None = None
        """What is to be asked once more, when this response has ended."""
        self._tries = 0
        self._lagging: IDelayedCall | None = None
        self._done = False

    # Beginning

    def begin(self, first: Delivery | None) -> None:
        """Send the request; `first` is the client whose request it is."""
        self._first = first
        self.background = first is None
        if first is not None:
            first.fetch = self
        self.proxy.counts.fetching += 1
        self._send()

    def _send(self) -> None:
        self._tries += 1
        proxy, request = self.proxy, self.request
        self._request_time = proxy.machine.wall()
        body: int | bool | None = None
        if self._first is not None and (request.chunked or request.length):
            body = True if request.chunked else request.length
        first, target = self._first, self.target
        peer = None if first is None or first.connection is None else first.connection.peer
        fields = disclosed(self.plan, target, peer, proxy.options.forwarded)
        place = Place(target.secure, target.host, target.port, target.site is not None)
        self._transfer = proxy.upstream.open(place, request.method, target.path, fields, body, self)
        if body is not None and first is not None:
            first.body_begins()

    # Who waits

    def may_join(self, delivery: Delivery) -> bool:
        """Whether a request may have this one's response: it has the same selecting fields, as far as they are known."""
        if not self.plan.collapsible or self._done or self.answered:
            return False
        names = next((each.vary for each in self.plan.stored if each.vary), ())
        return selecting(names, delivery.request.fields) == selecting(names, self.request.fields)

    def join(self, delivery: Delivery) -> None:
        """Wait for the response."""
        delivery.fetch = self
        self._waiting[delivery] = None
        self.proxy.counts.waiting += 1

    def leave(self, delivery: Delivery) -> None:
        """It wants nothing more: its client is gone, or has all."""
        delivery.fetch = None
        if self._waiting.pop(delivery, self) is None:
            self.proxy.counts.waiting -= 1
        if delivery is self._first:
            self._first = None
        self._readers.pop(delivery, None)
        if self._done or self._first or self._waiting or self._readers or self.background:
            self._forget()
        else:
            self._abandon()

    def _abandon(self) -> None:
        """Nobody waits for the response: it goes on only if little is missing of what will be stored."""
        writing, limits = self.writing, self.proxy.limits
        if self._dropping or (writing is not None and writing.size == writing.length):
            return  # its end is about to come
        if writing is not None and writing.storing and self.entry is not None and writing.length is not None:
            missing = writing.length - writing.size
            if missing <= limits.abandoned_octets or writing.size * 100 >= writing.length * limits.abandoned_percent:
                self.background = True
                if self._transfer is not None:
                    self._transfer.resume()
                return
        self._abort()
        self.proxy.counts.responses["given_up"] += 1
        self._body_over(False)
        self._end()

    def stop(self) -> None:
        """The service ends."""
        if not self._done:
            self._abort()
            self._body_over(False)
            self._end()

    # The request's body

    @property
    def takes_more(self) -> bool:
        """Whether the client's body may go on."""
        transfer = self._transfer
        return transfer is None or transfer.done or transfer.writable

    def upload(self, delivery: Delivery, data: bytes) -> None:
        """Some of the client's body."""
        if self._transfer is not None and delivery is self._first:
            self._transfer.send(data)

    def uploaded(self, delivery: Delivery, trailers: Sequence[tuple[str, str]]) -> None:
        """All of it has come."""
        if self._transfer is not None and delivery is self._first:
            self._transfer.end(trailers)

    def writable(self) -> None:
        if self._first is not None:
            self._first.body_wanted()

    # The response

    def interim(self, response: Response) -> None:
        """RFC 9110 §15.2: 1xx responses are passed on."""
        if self._first is not None:
            self._first.interim(response)

    def head(self, response: Response) -> None:
        proxy = self.proxy
        wall = proxy.machine.wall()
        outcome = received(self.plan, self.request, response, self._request_time, wall, proxy.rules)
        proxy.store_changed(outcome, self._stored)
        if self.plan.nominated:
            unchanged = outcome.action is Action.SERVE and response.status == 304
            proxy.counts.validated["not_modified" if unchanged else "replaced"] += 1
        if outcome.action is Action.AGAIN and outcome.again is not None and self._tries < TRIES:
            if response.status == 304:
                self._next_plan = outcome.again
            else:
                self._abort()
                self._again(outcome.again)
            return
        if outcome.action in (Action.AGAIN, Action.FAIL):
            self._abort()
            self.failed(FetchError(outcome.detail or "the origin broke the protocol", ErrorType.HTTP_PROTOCOL_ERROR))
            return
        self.answered = True
        proxy.head_known(self)
        if outcome.action is Action.SERVE:
            self._serve(outcome, response)
        elif outcome.action is Action.PASS:
            self._pass(outcome, response)
        else:
            self._keep(outcome, response)

    def _again(self, plan: Forward) -> None:
        """The request once more, otherwise."""
        self._next_plan = None
        self.plan = plan
        self._send()

    def _abort(self) -> None:
        if self._transfer is not None:
            self._transfer.abort()

    def _serve(self, outcome: Outcome, response: Response) -> None:
        """A stored response goes to those who wait; the body that comes is of no use."""
        entry, answer = outcome.entry, outcome.answer
        assert entry is not None  # noqa: S101  as Outcome says
        assert answer is not None  # noqa: S101
        self._dropping = DROPPED
        stored = None if outcome.base is None else self._stored.get(outcome.base)
        first = self._let_first_go()
        if first is not None and stored is not None:
            kind = "revalidated" if response.status == 304 else "stale"
            self.proxy.responses.validated(first, stored, entry, answer, kind, self.plan, response.status)
        elif first is not None:
            self.proxy.plan(first)
        self._release_waiting()

    def _let_first_go(self) -> Delivery | None:
        first, self._first = self._first, None
        if first is not None:
            first.fetch = None
        return first

    def _keep(self, outcome: Outcome, response: Response) -> None:
        """The body goes to the store, by itself or joined with what is there, and meanwhile to all who may have it."""
        proxy, entry, first = self.proxy, outcome.entry, self._first
        assert entry is not None  # noqa: S101  as Outcome says
        self.entry = entry
        joins = outcome.action is Action.COMBINE
        length = entry.stored if joins else self._length(response)
        kept = proxy.store.begin(self.key, b"", length)
        if joins:
            assert outcome.base is not None  # noqa: S101  as Outcome says
            self._joining = Joining(kept, outcome.pieces, self._stored.get(outcome.base))
            kept.on_room = self._resume
            if outcome.answer is None:
                self._pass(outcome, response)
                return
        self.writing = kept
        kept.on_room = self._resume
        proxy.arriving(self)
        if first is not None:
            proxy.responses.passed_on(first, self, outcome, response, True)
        self._release_waiting()

    def _pass(self, outcome: Outcome, response: Response) -> None:
        """To the client alone. Those who waited go their own ways."""
        proxy, first = self.proxy, self._first
        alone = outcome.action is Action.PASS
        if alone:
            proxy.counts.responses["passed"] += 1
            if self.plan.collapsible and self.plan.may_store:
                proxy.remember_passed(self.key)
        if self.request.method != "HEAD" and response.status not in BODILESS:
            self.writing = proxy.store.begin(self.key, b"", self._length(response), storing=False)
            self.writing.on_room = self._resume
        if first is not None:
            proxy.responses.passed_on(first, self, outcome, response, False)
        for delivery in self._take_waiting():
            delivery.alone = alone
            proxy.plan(delivery)
        if not (self._first or self._readers or self._done):
            self._abandon()

    def _length(self, response: Response) -> int | None:
        """Octets that the body will have, where that is known."""
        if response.status in BODILESS:
            return 0
        stated = response.fields.get("content-length")
        return int(stated) if stated is not None and stated.isdigit() else None

    def _release_waiting(self) -> None:
        """Those who waited are looked at anew: there is something in the store, or coming, that they may have."""
        for delivery in self._take_waiting():
            self.proxy.plan(delivery, collapsed=True)

    def _take_waiting(self) -> list[Delivery]:
        waiting, self._waiting = [*self._waiting], {}
        self.proxy.counts.waiting -= len(waiting)
        for delivery in waiting:
            delivery.fetch = None
        return [delivery for delivery in waiting if delivery.connection is not None]

    def attach(self, delivery: Delivery) -> None:
        """One more reader of the body that is coming."""
        delivery.fetch = self
        self._readers[delivery] = None

    def matches(self, request: Request) -> bool:
        """Whether the response that is coming was selected as this request would select."""
        return self.entry is not None and matches(self.entry, request.fields)

    @property
    def arriving(self) -> bool:
        """There is a body on its way that others may read from its beginning."""
        writing = self.writing
        return not self._done and self.entry is not None and writing is not None and writing.storing

    def data(self, data: bytes) -> None:
        self.proxy.counts.origin_octets += len(data)
        if self._dropping:
            self._dropping = max(1, self._dropping - len(data))
            if self._dropping == 1:
                self._abort()
                self.end(())
            return
        if self._joining is not None:
            self._joining.write(data)
        writing = self.writing
        if writing is None:
            return
        if self._joining is None or self._joining.whole is not writing:
            writing.write(data)
        for reader in tuple(self._readers):
            reader.pump()
        if self._done:
            return
        self._forget()
        if self._full and self._transfer is not None:
            self._transfer.pause()
            if self._lagging is None and len(self._readers) > 1 and not writing.storing:
                self._lagging = self.proxy.later(self.proxy.limits.lagging_seconds, self._cut_off)

    @property
    def _full(self) -> bool:
        """Too much waits for readers, or for the disk."""
        joining = self._joining
        return (self.writing is not None and self.writing.full) or (joining is not None and joining.whole.full)

    def _forget(self) -> None:
        """Octets that everybody has read need not be kept; nor anything, once all is over."""
        writing, readers = self.writing, self._readers
        if writing is not None and not writing.storing:
            writing.forget(min([reader.offset for reader in readers]) if readers else writing.size)
        if self._done and not readers:
            if writing is not None:
                writing.close()
            if self._joining is not None:
                self._joining.whole.close()

    def pumped(self) -> None:
        """A reader has gone on."""
        self._forget()
        if not self._done:
            self._resume()

    def _resume(self) -> None:
        self._forget()
        if self._transfer is not None and not self._full:
            self._transfer.resume()

    def _cut_off(self) -> None:
        """The slowest readers keep the others waiting: they go."""
        self._lagging = None
        writing = self.writing
        if writing is None or self._done or not writing.full or len(self._readers) < 2:
            return
        last = min(reader.offset for reader in self._readers)
        for reader in [each for each in self._readers if each.offset == last and each.offset < writing.size]:
            reader.break_off()

    def end(self, trailers: Sequence[tuple[str, str]]) -> None:
        if self._next_plan is not None:
            self._again(self._next_plan)
            return
        self.trailers = trailers
        self._body_over(True)
        self._end()

    def failed(self, error: FetchError) -> None:
        kind = error.kind.value
        counts = self.proxy.counts
        counts.errors[kind] = counts.errors.get(kind, 0) + 1
        if self.plan.nominated and not self.answered:
            counts.validated["failed"] += 1
        if self.answered:
            self._body_over(False)
            self._end()
            return
        self.answered = True
        self.proxy.head_known(self)
        wall = self.proxy.machine.wall()
        first, concerned = self._let_first_go(), self._take_waiting()
        for delivery in concerned if first is None else [first, *concerned]:
            plan = delivery.plan or self.plan
            served = failed(plan, delivery.request, wall, self.proxy.rules)
            stored = None if served is None else self._stored.get(served.entry)
            if served is not None and stored is not None:
                self.proxy.responses.validated(delivery, stored, served.entry, served.answer, "stale", plan, None)
            else:
                self.proxy.fail(delivery, error)
        self._end()

    # The end

    def _body_over(self, whole: bool) -> None:
        """No more of the body comes."""
        if self._joining is not None:
            self._store_joined(whole)
        writing = self.writing
        if writing is None or writing.ended:
            return
        self.broken = not whole or (writing.length is not None and writing.length != writing.size)
        if self.entry is not None and (self._joining is None or self._joining.whole is not writing):
            self._store(writing, self.entry, not self.broken)
        else:
            writing.abort()
        if self.broken:
            self.proxy.counts.responses["broken"] += self.entry is not None
        for reader in tuple(self._readers):
            reader.pump()

    def _store(self, writing: Writing, entry: Entry, whole: bool) -> None:
        done = completed(entry, writing.size, whole)
        if done is None or not writing.storing:
            self.proxy.counts.responses["too_large"] += whole
            writing.abort()
            return
        writing.length = writing.size
        self.proxy.stored(self.key, writing.end(done.to_bytes()), done)

    def _store_joined(self, whole: bool) -> None:
        joining, entry = self._joining, self.entry
        assert joining is not None  # noqa: S101  the caller looked
        assert entry is not None  # noqa: S101  made together
        if joining.whole.ended:
            return
        if whole and joining.finish():
            joining.whole.length = joining.whole.size
            self.proxy.stored(self.key, joining.whole.end(entry.to_bytes()), entry)
        else:
            self.broken = True
            joining.whole.abort()

    def _end(self) -> None:
        if self._done:
            return
        self._done = True
        self.proxy.counts.fetching -= 1
        self.proxy.ended(self)
        if self._lagging is not None:
            self._lagging.cancel()
            self._lagging = None
        for each in self._held:
            each.release()
        self._held.clear()
        self._forget()


class Joining:
    """A body put together of what is stored and what comes, in order."""

    def __init__(self, whole: Writing, pieces: Sequence[Piece], stored: Stored | None) -> None:
        self.whole = whole
        self._pieces = [*pieces]
        self._stored = stored
        self._received = 0
        """Octets that came."""
        self._write_stored()

    def write(self, data: bytes) -> None:
        """What came next."""
        start, stop = self._received, self._received + len(data)
        self._received = stop
        while self._pieces and not self._pieces[0].stored:
            piece = self._pieces[0]
            low, high = max(start, piece.offset), min(stop, piece.offset + piece.length)
            if low < high:
                self.whole.write(data[low - start : high - start])
            if high < piece.offset + piece.length:
                return
            del self._pieces[0]
            self._write_stored()

    def _write_stored(self) -> None:
        while self._pieces and self._pieces[0].stored:
            piece = self._pieces.pop(0)
            if self._stored is None:
                continue
            self.whole.write(octets_of(self._stored.part(piece.offset, piece.length)))

    def finish(self) -> bool:
        """Whether everything is there."""
        return not self._pieces and self._stored is not None
