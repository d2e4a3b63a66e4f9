"""The second question: what becomes of a response, or of a request that got none (RFC 9111 §3, §4.3.3-§4.4)."""

from collections.abc import Sequence
from dataclasses import replace

from netstack.cache.directives import request_control, response_control
from netstack.cache.entry import Entry, Flags
from netstack.cache.keys import named_keys, resolved_key
from netstack.cache.policy.answering import answer
from netstack.cache.policy.combining import joins, span
from netstack.cache.policy.forwarding import downstream_fields, upstream_fields
from netstack.cache.policy.freshness import explicit
from netstack.cache.policy.planning import CONDITIONAL
from netstack.cache.policy.plans import Action, Forward, Outcome, Serve, Stale
from netstack.cache.policy.storing import make_entry, refreshed, storable, useful, valid_tag, why_not_stored
from netstack.cache.policy.validating import agrees, identified
from netstack.cache.policy.variants import matches
from netstack.cache.rules import Rules
from netstack.http.values import entity_tags, http_date
from netstack.http.wire import Request, Response

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"})
"""RFC 9110 §9.2.1 and the registry of methods; what is not known here is taken for unsafe (RFC 9111 §4.4)."""
FAILURES = frozenset({500, 502, 503, 504})
"""Errors of RFC 5861 §4."""


def received(
    plan: Forward, request: Request, response: Response, request_time: float, response_time: float, rules: Rules
) -> Outcome:
    """What becomes of the final response to a request that went forward. Wall seconds: request sent, head received."""
    outcome = _received(plan, request, response, request_time, response_time, rules)
    if outcome.answer is None and outcome.action in (Action.PASS, Action.STORE, Action.COMBINE):
        lines = downstream_fields(response, rules.name)
        if "date" not in response.fields:
            lines.append(("Date", http_date(response_time)))  # RFC 9110 §6.6.1
        outcome = replace(outcome, fields=lines)
    return outcome


def failed(plan: Forward, request: Request, wall: float, rules: Rules) -> Serve | None:
    """What may be served of the store when no response came, None for an error (RFC 9111 §4.2.4, RFC 5861 §4)."""
    entry = plan.selected
    if entry is None or {Flags.VALIDATE, Flags.STRICT} & set(entry.flags) or wall < entry.request_time:
        return None
    told = request_control(request.fields)
    if (
        told.no_cache
        or told.no_store
        or not CONDITIONAL.isdisjoint({"if-match", "if-unmodified-since"} & set(request.fields))
    ):
        return None
    late = wall - entry.fresh_until
    allowed = wall < entry.stale_error or (told.stale_if_error is not None and late < told.stale_if_error)
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


def _received(
    plan: Forward, request: Request, response: Response, request_time: float, response_time: float, rules: Rules
) -> Outcome:
    status = response.status
    if request.method not in SAFE:
        if not 200 <= status < 400:
            return Outcome(Action.PASS, detail="method")
        gone = (plan.key, *named_keys(plan.key, response.fields))
        entry = _posted(plan, request, response, request_time, response_time, rules)
        return Outcome(Action.PASS if entry is None else Action.STORE, entry, invalidates=gone, detail="method")
    if request.method == "HEAD":
        return _head(plan, request, response, request_time, response_time, rules)
    if request.method != "GET":
        return Outcome(Action.PASS, detail="method")
    if status == 304:
        return _unmodified(plan, request, response, request_time, response_time, rules)
    if status in FAILURES and (served := failed(plan, request, response_time, rules)):
        return Outcome(Action.SERVE, served.entry, served.answer, base=served.entry, stale=served.stale, detail="failed")
    if status == 206:
        return _partial(plan, request, response, request_time, response_time, rules)
    if status == 416 and plan.completes and plan.selected is not None:
        return Outcome(Action.AGAIN, removes=(plan.selected,), again=unconditional(plan, request, rules), detail="range")
    return _whole(plan, request, response, request_time, response_time, rules)


def _posted(
    plan: Forward, request: Request, response: Response, request_time: float, response_time: float, rules: Rules
) -> Entry | None:
    """What GET gets of a response to POST: one that says how long it lives and that it is the resource (RFC 9110 §9.3.3)."""
    location = response.fields.get("content-location")
    if request.method != "POST" or response.status != 200 or location is None:
        return None
    said = response_control(response.fields, rules.targets)
    same = resolved_key(plan.key, location) == plan.key
    if not same or not explicit(response.fields, said):
        return None
    if why_not_stored(request, request_control(request.fields), response, said, rules) is not None:
        return None
    entry = make_entry(plan.key, request, response, said, (), request_time, response_time, rules)
    return _sized(entry, response) if storable(entry) and useful(entry) else None


def _sized(entry: Entry, response: Response) -> Entry:
    """With the length that the response promises."""
    length = response.fields.get("content-length")
    return replace(entry, length=int(length)) if length is not None and length.isdigit() else entry


def _whole(
    plan: Forward, request: Request, response: Response, request_time: float, response_time: float, rules: Rules
) -> Outcome:
    """A full response takes the place of what was selected before, whether it is stored or not (RFC 9111 §4.3.3)."""
    said = response_control(response.fields, rules.targets)
    control = request_control(request.fields)
    reason = why_not_stored(request, control, response, said, rules) if plan.may_store else "request"
    if reason is None:
        entry = make_entry(plan.key, request, response, said, plan.stored, request_time, response_time, rules)
        entry = _sized(entry, response)
        if not storable(entry):
            reason = "too large"
        elif useful(entry):
            return Outcome(Action.STORE, entry, removes=_replaced(entry, request, plan.stored, rules))
        else:
            reason = "already stale"
    outdated = response.status < 500 and plan.selected is not None and plan.may_store
    return Outcome(Action.PASS, removes=(plan.selected,) if outdated and plan.selected else (), detail=reason)


def _replaced(entry: Entry, request: Request, stored: Sequence[Entry], rules: Rules) -> tuple[Entry, ...]:
    """The stored responses whose place a new one takes: those for the same requests, and the oldest beyond the bound."""
    gone = [each for each in stored if matches(each, request.fields) or (not each.vary and not entry.vary)]
    left = [each for each in stored if each not in gone]
    beyond = len(left) + 1 - max(1, rules.variants)
    if beyond > 0:
        left.sort(key=lambda each: (each.date, each.response_time))
        gone += left[:beyond]
    return tuple(gone)


def _unmodified(
    plan: Forward, request: Request, response: Response, request_time: float, response_time: float, rules: Rules
) -> Outcome:
    """304 (RFC 9111 §4.3.4): freshens what it identifies; else it is the client's; else it says nothing."""
    clients = not CONDITIONAL.isdisjoint(request.fields)
    found = identified(response.fields, plan.nominated, alone=not clients)
    if not found:
        if clients and _is_clients(plan, request, response):
            return Outcome(Action.PASS, detail="not modified")
        if plan.nominated:
            outdated = plan.nominated if len(plan.nominated) == 1 else ()
            return Outcome(
                Action.AGAIN, removes=outdated, again=unconditional(plan, request, rules), detail="304 of another"
            )
        return Outcome(Action.FAIL, detail="304 to an unconditional request")
    pairs = [(old, refreshed(old, request, response, request_time, response_time, rules)) for old in found]
    base, chosen = next(((old, new) for old, new in pairs if old is plan.selected), pairs[-1])
    pairs = [
        (old, new if new is chosen or new.vary != old.vary else replace(new, selecting=old.selecting)) for old, new in pairs
    ]  # fmt: skip
    said = response_control({name.lower(): value for name, value in chosen.fields()}, rules.targets)
    served = answer(chosen, request, rules)
    if served is None:
        return Outcome(Action.AGAIN, again=unconditional(plan, request, rules), detail="partial")
    if said.no_store or said.private or "no-store" in request.fields.get("cache-control", "").lower():
        return Outcome(Action.SERVE, chosen, served, base=base, removes=[old for old, _ in pairs], detail="no-store")
    return Outcome(Action.SERVE, chosen, served, base=base, freshened=pairs)


def _is_clients(plan: Forward, request: Request, response: Response) -> bool:
    """Whether a 304 can be the answer to the client's own conditions (RFC 9111 §4.3.2)."""
    asked = request.fields.get("if-none-match")
    tag = valid_tag(response.fields.get("etag"))
    if asked is None or tag is None:
        return True
    tags = entity_tags(asked) or []
    return "*" in tags or any(each.removeprefix("W/") == tag.removeprefix("W/") for each in tags)


def unconditional(plan: Forward, request: Request, rules: Rules) -> Forward:
    """The same request once more, for the whole and without any condition."""
    gone: dict[str, str | None] = dict.fromkeys(CONDITIONAL)
    fields = upstream_fields(request, rules.name, gone)
    return replace(plan, fields=fields, nominated=(), selected=None, completes=False)


def _head(
    plan: Forward, request: Request, response: Response, request_time: float, response_time: float, rules: Rules
) -> Outcome:
    """An answer to HEAD freshens what it describes; what it contradicts has to be validated (RFC 9111 §4.3.5)."""
    if response.status != 200 or request_control(request.fields).no_store:
        return Outcome(Action.PASS, detail="method")
    said = response_control(response.fields, rules.targets)
    pairs = []
    for old in plan.stored:
        if not matches(old, request.fields) or old.status != 200:
            continue
        if agrees(response.fields, old) and not (said.no_store or said.private):
            pairs.append((old, refreshed(old, request, response, request_time, response_time, rules)))
        else:
            pairs.append((old, replace(
                old, fresh_until=0.0, stale_while=0.0, stale_error=0.0, flags=old.flags | Flags.VALIDATE | Flags.STRICT
            )))  # fmt: skip
    return Outcome(Action.PASS, freshened=pairs, detail="method")


def _partial(
    plan: Forward, request: Request, response: Response, request_time: float, response_time: float, rules: Rules
) -> Outcome:
    """206: joins what is stored, or is stored as an incomplete 200 (RFC 9111 §3.3, §3.4)."""
    new = span(response.fields)
    if "range" not in request.fields and not plan.completes:
        return Outcome(Action.FAIL, detail="206 to a request without Range")
    said = response_control(response.fields, rules.targets)
    reason = why_not_stored(request, request_control(request.fields), response, said, rules)
    if new is None or not plan.may_store:
        reason = "partial"
    tag = valid_tag(response.fields.get("etag"))
    base = plan.selected
    pieces = None if new is None or base is None else joins(base, new, tag)
    if plan.completes and (base is None or pieces is None or new is None or new.first != base.stop):
        gone = () if base is None else (base,)
        return Outcome(Action.AGAIN, removes=gone, again=unconditional(plan, request, rules), detail="range")
    if new is None:
        return Outcome(Action.PASS, detail=reason or "partial")
    if base is not None and pieces is not None:
        size = base.length if new.size is None else new.size
        entry = refreshed(base, request, response, request_time, response_time, rules)
        entry = replace(entry, length=size, first=min(base.first, new.first), stop=max(base.stop or 0, new.stop))
        served = answer(entry, request, rules) if plan.completes else None
        if reason is None or plan.completes:
            return Outcome(Action.COMBINE, entry, served, pieces=pieces, base=base, removes=(base,), detail=reason or "")
    if reason is None:
        entry = make_entry(plan.key, request, response, said, plan.stored, request_time, response_time, rules)
        entry = replace(entry, status=200, length=new.size, first=new.first, stop=new.stop)
        if storable(entry) and useful(entry):
            whole = [each for each in plan.stored if each.whole and matches(each, request.fields) and each.strong == tag]
            if not whole:
                return Outcome(Action.STORE, entry, removes=_replaced(entry, request, plan.stored, rules))
            reason = "whole is stored"
    return Outcome(Action.PASS, detail=reason or "partial")
