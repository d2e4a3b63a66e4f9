"""The second question: what becomes of a response, or of a request that got none (RFC 9111 §3, §4.3.3-§4.4)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netstack.cache.directives import RequestControl, ResponseControl, request_control, response_control
from netstack.cache.entry import Entry, Flags
from netstack.cache.keys import named_keys, resolved_key
from netstack.cache.policy.answering import answer
from netstack.cache.policy.combining import joins, span
from netstack.cache.policy.forwarding import downstream_fields, upstream_fields
from netstack.cache.policy.freshness import explicit
from netstack.cache.policy.planning import CONDITIONAL
from netstack.cache.policy.plans import Action, Forward, Outcome, Serve, Stale
from netstack.cache.policy.storing import joined, make_entry, refreshed, storable, useful, valid_tag, why_not_stored
from netstack.cache.policy.validating import agrees, identified
from netstack.cache.policy.variants import matches
from netstack.cache.rules import Rules
from netstack.http.values import entity_tags, http_date
from netstack.http.wire import Request, Response, field_block

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"})
"""RFC 9110 §9.2.1 and the registry of methods; what is not known here is taken for unsafe (RFC 9111 §4.4)."""
FAILURES = frozenset({500, 502, 503, 504})
"""Errors of RFC 5861 §4."""
_NOT_STALE = Flags.VALIDATE | Flags.STRICT


def received(
    plan: Forward, request: Request, response: Response, request_time: float, response_time: float, rules: Rules
) -> Outcome:
    """What becomes of the final response to a request that went forward. Wall seconds: request sent, head received."""
    lines = downstream_fields(response, rules.name)
    if "date" not in response.fields:
        lines.append(("Date", http_date(response_time)))  # RFC 9110 §6.6.1
    said, asked = response_control(response.fields, rules.targets), request_control(request.fields)
    return _Exchange(plan, request, response, lines, said, asked, request_time, response_time, rules).outcome()


def failed(plan: Forward, request: Request, wall: float, rules: Rules) -> Serve | None:
    """What may be served of the store when no response came, None for an error (RFC 9111 §4.2.4, RFC 5861 §4)."""
    entry, fields = plan.selected, request.fields
    if entry is None or entry.flags & _NOT_STALE or wall < entry.request_time:
        return None
    asked = request_control(fields)
    if asked.no_cache or asked.no_store or "if-match" in fields or "if-unmodified-since" in fields:
        return None
    late = wall - entry.fresh_until
    allowed = wall < entry.stale_error or (asked.stale_if_error is not None and late < asked.stale_if_error)
    found = answer(entry, request, rules) if allowed else None
    return None if found is None else Serve(entry, found, Stale.IF_ERROR)


def completed(entry: Entry, octets: int, whole: bool) -> Entry | None:
    """The entry when its body has ended after so many octets; None when it must not be kept (RFC 9111 §3.3).

    A body that broke off is kept only if its rest can be asked for: 200 with a strong validator.
    """
    stop = entry.first + octets
    if whole and (entry.length is None or stop == entry.length) and entry.first == 0:
        return replace(entry, length=stop, stop=stop)
    if whole and entry.stop == stop:
        return entry
    if octets == 0 or entry.status != 200 or entry.strong is None or (entry.length is not None and stop > entry.length):
        return None
    return replace(entry, stop=stop)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request that went forward, and its response."""

    plan: Forward
    request: Request
    response: Response
    lines: Sequence[tuple[str, str]]
    """Of the response, as they are passed on."""
    said: ResponseControl
    asked: RequestControl
    request_time: float
    response_time: float
    rules: Rules

    def outcome(self) -> Outcome:
        status, method, plan = self.response.status, self.request.method, self.plan
        if method not in SAFE:
            return self._unsafe()
        if method == "HEAD":
            return self._head()
        if method != "GET":
            return self._pass("method")
        if status == 304:
            return self._unmodified()
        if status in FAILURES and (served := failed(plan, self.request, self.response_time, self.rules)):
            entry = served.entry
            return Outcome(Action.SERVE, entry, served.answer, base=entry, stale=served.stale, detail="failed")
        if status == 206:
            return self._partial()
        if status == 416 and plan.completes and plan.selected is not None:
            return self._again("range", (plan.selected,))
        return self._whole()

    def _pass(
        self,
        detail: str,
        removes: Sequence[Entry] = (),
        invalidates: Sequence[bytes] = (),
        freshened: Sequence[tuple[Entry, Entry]] = (),
    ) -> Outcome:
        return Outcome(
            Action.PASS, freshened=freshened, removes=removes, invalidates=invalidates, detail=detail, fields=self.lines
        )

    def _again(self, detail: str, removes: Sequence[Entry] = ()) -> Outcome:
        """The same request once more, for the whole and without any condition."""
        fields = upstream_fields(self.request, self.rules.name, dict.fromkeys(CONDITIONAL))
        again = replace(self.plan, fields=fields, nominated=(), selected=None, completes=False)
        return Outcome(Action.AGAIN, removes=removes, again=again, detail=detail)

    def _why_not_stored(self) -> str | None:
        return why_not_stored(self.request, self.asked, self.response, self.said, self.rules)

    def _entry(self, siblings: Sequence[Entry]) -> Entry:
        """What is stored of the response, with the length that it promises."""
        stated = self.response.fields.get("content-length")
        length = int(stated) if stated is not None and stated.isascii() and stated.isdigit() else None
        return make_entry(
            self.plan.key, self.request, self.response, self.lines, self.said, siblings, self.request_time,
            self.response_time, self.rules, length,
        )  # fmt: skip

    def _refreshed(self, old: Entry) -> Entry:
        return refreshed(
            old, self.request, self.response, self.lines, self.request_time, self.response_time, self.rules
        )  # fmt: skip

    def _unsafe(self) -> Outcome:
        """What a request that is not safe leaves behind: nothing (RFC 9111 §4.4), or what POST says to be the resource."""
        if not 200 <= self.response.status < 400:
            return self._pass("method")
        gone = (self.plan.key, *named_keys(self.plan.key, self.response.fields))
        entry = self._posted()
        if entry is None:
            return self._pass("method", invalidates=gone)
        return Outcome(Action.STORE, entry, invalidates=gone, detail="method", fields=self.lines)

    def _posted(self) -> Entry | None:
        """What GET gets of a response to POST that says how long it lives and that it is the resource (RFC 9110 §9.3.3)."""
        location = self.response.fields.get("content-location")
        if self.request.method != "POST" or self.response.status != 200 or location is None:
            return None
        if resolved_key(self.plan.key, location) != self.plan.key or not explicit(self.response.fields, self.said):
            return None
        if self._why_not_stored() is not None:
            return None
        entry = self._entry(())
        return entry if storable(entry) and useful(entry) else None

    def _whole(self) -> Outcome:
        """A full response takes the place of what was selected before, whether it is stored or not (RFC 9111 §4.3.3)."""
        plan = self.plan
        reason = self._why_not_stored() if plan.may_store else "request"
        if reason is None:
            entry = self._entry(plan.stored)
            if not storable(entry):
                reason = "too large"
            elif useful(entry):
                return Outcome(Action.STORE, entry, removes=self._replaced(entry), fields=self.lines)
            else:
                reason = "already stale"
        outdated = self.response.status < 500 and plan.may_store and plan.selected is not None
        return self._pass(reason, (plan.selected,) if outdated and plan.selected else ())

    def _replaced(self, entry: Entry) -> tuple[Entry, ...]:
        """The stored responses whose place a new one takes: those for the same requests, and the oldest beyond the bound."""
        fields = self.request.fields
        gone = [each for each in self.plan.stored if matches(each, fields) or (not each.vary and not entry.vary)]
        left = [each for each in self.plan.stored if each not in gone]
        beyond = len(left) + 1 - max(1, self.rules.variants)
        if beyond > 0:
            left.sort(key=lambda each: (each.date, each.response_time))
            gone += left[:beyond]
        return tuple(gone)

    def _unmodified(self) -> Outcome:
        """304 (RFC 9111 §4.3.4): freshens what it identifies; else it is the client's; else it says nothing."""
        plan, request = self.plan, self.request
        clients = not CONDITIONAL.isdisjoint(request.fields)
        found = identified(self.response.fields, plan.nominated, plan.stored, alone=not clients)
        if not found:
            if clients and self._is_clients():
                return self._pass("not modified")
            if plan.nominated:
                return self._again("304 of another", plan.nominated if len(plan.nominated) == 1 else ())
            return Outcome(Action.FAIL, detail="304 to an unconditional request")
        pairs = [(old, self._refreshed(old)) for old in found]
        named = [pair for pair in pairs if pair[0] is plan.selected or pair[0] in plan.nominated] or pairs
        base, chosen = next((pair for pair in named if pair[0] is plan.selected), named[-1])
        # that one is what this request's values select; the others are only newer
        pairs = [
            (old, new if new is chosen or new.vary != old.vary else replace(new, selecting=old.selecting))
            for old, new in pairs
        ]
        served = answer(chosen, request, self.rules)
        if served is None:
            return self._again("partial")
        cookies = [line for line in self.lines if line[0].lower() == "set-cookie"]
        if cookies and chosen.field("set-cookie") is None:
            served = replace(served, head=served.head + field_block(cookies))  # they are this client's alone
        said = response_control(joined(chosen.fields()), self.rules.targets)
        if said.no_store or said.private or self.asked.no_store:
            gone = [old for old, _ in pairs]
            return Outcome(Action.SERVE, chosen, served, base=base, removes=gone, detail="no-store")
        return Outcome(Action.SERVE, chosen, served, base=base, freshened=pairs)

    def _is_clients(self) -> bool:
        """Whether a 304 can be the answer to the client's own conditions (RFC 9111 §4.3.2)."""
        asked = self.request.fields.get("if-none-match")
        tag = valid_tag(self.response.fields.get("etag"))
        if asked is None or tag is None:
            return True
        tags = entity_tags(asked) or []
        return "*" in tags or any(each.removeprefix("W/") == tag.removeprefix("W/") for each in tags)

    def _head(self) -> Outcome:
        """An answer to HEAD freshens what it describes; what it contradicts has to be validated (RFC 9111 §4.3.5)."""
        if self.response.status != 200 or self.asked.no_store:
            return self._pass("method")
        pairs = []
        for old in self.plan.stored:
            if not matches(old, self.request.fields) or old.status != 200:
                continue
            if agrees(self.response.fields, old) and not (self.said.no_store or self.said.private):
                pairs.append((old, self._refreshed(old)))
            else:
                flags = old.flags | _NOT_STALE
                pairs.append((old, replace(old, fresh_until=0.0, stale_while=0.0, stale_error=0.0, flags=flags)))
        return self._pass("method", freshened=pairs)

    def _partial(self) -> Outcome:
        """206: joins what is stored, or is stored as an incomplete 200 (RFC 9111 §3.3, §3.4)."""
        plan, base, new = self.plan, self.plan.selected, span(self.response.fields)
        if "range" not in self.request.fields and not plan.completes:
            return Outcome(Action.FAIL, detail="206 to a request without Range")
        reason = self._why_not_stored() if new is not None and plan.may_store else "partial"
        tag = valid_tag(self.response.fields.get("etag"))
        pieces = None if new is None or base is None else joins(base, new, tag)
        if plan.completes and (base is None or pieces is None or new is None or new.first != base.stop):
            return self._again("range", () if base is None else (base,))
        if new is not None and base is not None and pieces is not None and (reason is None or plan.completes):
            size = base.length if new.size is None else new.size
            first, stop = min(base.first, new.first), max(base.stop or 0, new.stop)
            entry = replace(self._refreshed(base), length=size, first=first, stop=stop)
            served = answer(entry, self.request, self.rules) if plan.completes else None
            return Outcome(
                Action.COMBINE,
                entry,
                served,
                pieces=pieces,
                base=base,
                removes=(base,),
                detail=reason or "",
                fields=self.lines,
            )
        if new is not None and reason is None:
            entry = replace(self._entry(plan.stored), status=200, length=new.size, first=new.first, stop=new.stop)
            if any(each.whole and each.strong == tag and matches(each, self.request.fields) for each in plan.stored):
                reason = "whole is stored"
            elif storable(entry) and useful(entry):
                return Outcome(Action.STORE, entry, removes=self._replaced(entry), fields=self.lines)
        return self._pass(reason or "partial")
