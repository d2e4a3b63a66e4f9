"""The first question: what to do with a request (RFC 9111 §4)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netstack.cache.directives import NOTHING_ASKED, RequestControl, request_control
from netstack.cache.entry import Entry, Flags
from netstack.cache.policy.answering import answer
from netstack.cache.policy.forwarding import last_hop, loops, upstream_fields
from netstack.cache.policy.plans import Final, Forward, Plan, Serve, Stale, Why
from netstack.cache.policy.validating import conditions
from netstack.cache.policy.variants import selected as select
from netstack.cache.rules import Rules
from netstack.http.values import tokens
from netstack.http.wire import Request

CONDITIONAL = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"})
_ORIGINS = ("if-match", "if-unmodified-since")
"""Conditions that only an origin evaluates (RFC 9111 §4.3.2)."""
_NOT_PLAIN = CONDITIONAL | {"range", "cache-control", "pragma", "max-forwards", "via"}


def plain(request: Request) -> bool:
    """Whether nothing in a request but its key and its selecting fields says what a stored response has to be like.

    A fresh Entry without Vary answers it with its whole body; the hot path asks this once for equal heads.
    """
    return request.method in ("GET", "HEAD") and _NOT_PLAIN.isdisjoint(request.fields)


def plan(request: Request, key: bytes, entries: Sequence[Entry], wall: float, rules: Rules) -> Plan:
    """What to do with a request, given all that is stored under its key."""
    fields = request.fields
    if plain(request):
        entry = select(entries, fields)
        if entry is not None and entry.request_time <= wall < entry.fresh_until and (found := answer(entry, request, rules)):
            return Serve(entry, found)
    if loops(fields, rules.name):
        return Final(502, "loop")
    if last_hop(request):
        return _last(request)
    if request.method not in ("GET", "HEAD"):
        return Forward(Why.METHOD, upstream_fields(request, rules.name), key, entries)
    control = request_control(fields)
    told = control if rules.obey_requests else _least(control)
    entry = select(entries, fields)
    if entry is None:
        return _missing(request, key, entries, told, rules)
    why = refusal(entry, told, wall, request)
    if why is None and (found := answer(entry, request, rules)):
        return Serve(entry, found)
    if why is Why.STALE and (stale := _served_stale(entry, request, key, entries, told, wall, rules)):
        return stale
    if told.only_if_cached:
        return Final(504, "only-if-cached")
    if why is None:
        return _partial(request, key, entries, entry, told, rules)
    return validation(request, key, entries, entry, why, told, rules)


def refusal(entry: Entry, told: RequestControl, wall: float, request: Request) -> Why | None:
    """Why a selected response cannot be used as it is, None when it can (RFC 9111 §4, §5.2.1)."""
    if not entry.fresh(wall):
        return Why.STALE
    if not _answerable(request.fields) or told.no_cache or told.no_store:
        return Why.REQUEST
    # RFC 8246 §2.1: what is immutable is not validated because of a reload
    too_old = told.max_age is not None and (told.max_age == 0 or wall - entry.born > told.max_age)
    if too_old and Flags.IMMUTABLE not in entry.flags:
        return Why.REQUEST
    if told.min_fresh is not None and entry.fresh_until - wall < told.min_fresh:
        return Why.REQUEST
    return None


def validation(
    request: Request,
    key: bytes,
    entries: Sequence[Entry],
    entry: Entry | None,
    why: Why,
    told: RequestControl,
    rules: Rules,
) -> Forward:
    """The request with conditions that may spare the body (RFC 9111 §4.3)."""
    fields = request.fields
    others = [each for each in entries if each is not entry]
    usable = None
    if entry is not None and (entry.whole or ("range" in fields and answer(entry, request, rules) is not None)):
        usable = entry  # RFC 9111 §4.3.2: partial content is named only for a range that it has
    asked: Mapping[str, str | None] = {}
    if _answerable(fields) and request.method == "GET":
        asked = conditions(usable, others if entry is None else (), fields, rules)
    nominated: list[Entry] = []
    if asked.get("if-none-match") is not None or asked.get("if-modified-since") is not None:
        nominated = [
            each for each in ([usable] if usable else []) + (others if entry is None else []) if _named(each, asked)
        ]
    return Forward(
        why, upstream_fields(request, rules.name, asked), key, entries, entry, nominated,
        may_store=request.method == "GET" and not told.no_store,
        collapsible=_collapsible(request, told),
    )  # fmt: skip


def _named(entry: Entry, asked: Mapping[str, str | None]) -> bool:
    tags = asked.get("if-none-match")
    if entry.etag is not None and tags is not None and entry.etag in tags:
        return True
    return entry.modified is not None and asked.get("if-modified-since") is not None


def _missing(request: Request, key: bytes, entries: Sequence[Entry], told: RequestControl, rules: Rules) -> Plan:
    if told.only_if_cached:
        return Final(504, "only-if-cached")
    why = Why.VARY_MISS if entries else Why.URI_MISS
    return validation(request, key, entries, None, why, told, rules)


def _partial(
    request: Request, key: bytes, entries: Sequence[Entry], entry: Entry, told: RequestControl, rules: Rules
) -> Forward:
    """The selected response lacks octets. A beginning with a strong validator is completed (RFC 9111 §3.3, §3.4)."""
    base = validation(request, key, entries, None, Why.PARTIAL, told, rules)
    base = replace(base, selected=entry)
    completes = (
        entry.first == 0 and entry.stop is not None and entry.stop > 0 and entry.strong is not None
        and request.method == "GET" and CONDITIONAL.isdisjoint(request.fields) and "range" not in request.fields
        and (entry.length is None or entry.stop < entry.length)
    )  # fmt: skip
    if not completes:
        return base
    asked = {"range": f"bytes={entry.stop}-", "if-range": entry.strong, "if-none-match": None}
    return replace(base, fields=upstream_fields(request, rules.name, asked), nominated=(), completes=True)


def _served_stale(
    entry: Entry,
    request: Request,
    key: bytes,
    entries: Sequence[Entry],
    told: RequestControl,
    wall: float,
    rules: Rules,
) -> Serve | None:
    """A stale response by leave of the client or of the origin (RFC 9111 §4.2.4, RFC 5861 §3)."""
    if Flags.VALIDATE in entry.flags or wall < entry.request_time or not _answerable(request.fields):
        return None
    if told.no_cache or told.no_store or told.min_fresh is not None:
        return None
    if told.max_age is not None and wall - entry.born > told.max_age + (told.max_stale or 0):
        return None
    found = answer(entry, request, rules)
    if found is None:
        return None
    late = wall - entry.fresh_until
    if told.max_stale is not None and late <= told.max_stale and Flags.STRICT not in entry.flags:
        return Serve(entry, found, Stale.MAX_STALE)
    if wall < entry.stale_while and told.max_age is None:
        refresh = validation(whole_request(request), key, entries, entry, Why.STALE, NOTHING_ASKED, rules)
        return Serve(entry, found, Stale.WHILE_REVALIDATE, refresh)
    return None


def whole_request(request: Request) -> Request:
    """The request that a validation in the background makes: for the whole, without the client's conditions."""
    gone = CONDITIONAL | {"range", "cache-control", "pragma"}
    kept = {name: value for name, value in request.fields.items() if name not in gone}
    return replace(request, method="GET", fields=kept)


def _last(request: Request) -> Final:
    """The final recipient of a TRACE or OPTIONS (RFC 9110 §7.6.2): TRACE without what is secret (§9.3.8)."""
    if request.method == "OPTIONS":
        return Final(204, "max-forwards", (("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE"),), b"")
    secret = {"authorization", "proxy-authorization", "cookie"}
    lines = [f"TRACE {request.target} {request.version}"]
    lines += [f"{name}: {value}" for name, value in request.fields.items() if name not in secret]
    body = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return Final(200, "max-forwards", (("Content-Type", "message/http"),), body)


def _collapsible(request: Request, told: RequestControl) -> bool:
    """Whether others may wait for this response: it is asked for whole and without conditions that only this client has."""
    fields = request.fields
    return (
        request.method == "GET" and not told.no_store and CONDITIONAL.isdisjoint(fields) and "range" not in fields
        and "authorization" not in fields
    )  # fmt: skip


def _answerable(fields: Mapping[str, str]) -> bool:
    """Nothing in a request is for the origin alone to judge."""
    if any(name in fields for name in _ORIGINS):
        return False
    unit = fields.get("range")
    return unit is None or unit.lstrip().lower().startswith("bytes=") or not [*tokens(unit)]


def _least(control: RequestControl) -> RequestControl:
    """What of a request is heeded by an operator who heeds nothing else."""
    return RequestControl(no_store=control.no_store, only_if_cached=control.only_if_cached)
