"""Whether a response is stored, and what of it (RFC 9111 §3)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import floor

from netstack.cache.directives import RequestControl, ResponseControl, response_control
from netstack.cache.entry import MOST_OCTETS, Entry, Flags, most_recent
from netstack.cache.policy.freshness import HEURISTIC, explicit, instants, parse_date
from netstack.cache.policy.variants import ANY, selecting, vary_names
from netstack.cache.rules import Rules
from netstack.http.values import entity_tags, http_date
from netstack.http.wire import Request, Response, field_block

UNDERSTOOD = frozenset({
    200, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412,
    413, 414, 415, 416, 417, 421, 422, 426, 451, 500, 501, 502, 503, 504, 505,
})  # fmt: skip
"""Statuses whose caching requirements this cache knows and meets (RFC 9111 §3, must-understand)."""
NEVER = frozenset({101, 304, 407, 412, 416})
"""Statuses that answer one request's conditions, credentials or connection: not stored whatever they say."""
_NOT_STORED = frozenset({"age", "trailer"})
"""Computed anew, or about what is not stored: trailers (RFC 9111 §3.1)."""
_NOT_UPDATED = frozenset({"age", "content-range"})


def why_not_stored(
    request: Request, control: RequestControl, response: Response, said: ResponseControl, rules: Rules
) -> str | None:
    """The reason not to store a response to GET, None to store it (RFC 9111 §3, §3.5, §5.2)."""
    fields, status = response.fields, response.status
    if status < 200 or status in NEVER:
        return "status"
    if control.no_store:
        return "request no-store"
    if said.must_understand:
        if status not in UNDERSTOOD:
            return "must-understand"
    elif said.no_store:
        return "no-store"
    if said.private:
        return "private"
    shared = said.public or said.s_maxage is not None
    if "authorization" in request.fields and not (shared or said.must_revalidate):
        return "authorization"
    if "set-cookie" in fields and not (shared or said.targeted or rules.share_cookies):
        return "set-cookie"
    if not (said.public or explicit(fields, said) or status in HEURISTIC):
        return "no lifetime"
    if "*" in fields.get("vary", "") and vary_names(fields["vary"]) == ANY:
        return "vary *"
    return None


def useful(entry: Entry) -> bool:
    """Whether a stored response can ever serve anybody: fresh, stale by permission, or after validation."""
    if entry.etag is not None or entry.modified is not None:
        return True
    return max(entry.fresh_until, entry.stale_while, entry.stale_error) > entry.response_time


def make_entry(
    key: bytes,
    request: Request,
    response: Response,
    lines: Sequence[tuple[str, str]],
    said: ResponseControl,
    siblings: Sequence[Entry],
    request_time: float,
    response_time: float,
    rules: Rules,
    length: int | None,
) -> Entry:
    """The entry of a response whose body is to come; `lines` are what is passed on of its fields."""
    kept = kept_lines(lines, said, response_time)
    if response.status == 206:
        kept = [line for line in kept if line[0].lower() != "content-range"]  # RFC 9110 §15.3.7.3
    return describe(
        key, request, response.status, kept, said, siblings, request_time, response_time, rules, response.fields, length
    )


def describe(
    key: bytes,
    request: Request,
    status: int,
    lines: Sequence[tuple[str, str]],
    said: ResponseControl,
    siblings: Sequence[Entry],
    request_time: float,
    response_time: float,
    rules: Rules,
    fields: Mapping[str, str],
    length: int | None = None,
) -> Entry:
    """An entry from the field lines that are kept and the `fields` that say how old it is and how long it lives."""
    at = instants(status, fields, said, request_time, response_time, rules)
    flags = at.flags
    vary = vary_names(fields.get("vary"))
    if not vary:
        others = [each for each in siblings if each.vary and each.vary != ANY and Flags.ADOPTED not in each.flags]
        if others:
            vary = most_recent(others).vary
            flags |= Flags.ADOPTED
    etag = fields.get("etag")
    stated = fields.get("last-modified")
    modified = None if stated is None else parse_date(stated)
    return Entry(
        key, status, field_block(lines), request_time, response_time, at.born, at.fresh_until, at.stale_while,
        at.stale_error, at.date, flags,
        length=length,
        etag=valid_tag(etag),
        modified=None if modified is None or modified < 0 else modified,
        vary=vary,
        selecting=(selecting(vary, request.fields),) if vary != ANY else (),
    )  # fmt: skip


def valid_tag(value: str | None) -> str | None:
    """An ETag field's value when it is one entity tag (RFC 9110 §8.8.3)."""
    if value is None:
        return None
    tags = entity_tags(value)
    return tags[0] if tags is not None and len(tags) == 1 and tags[0] == value else None


def storable(entry: Entry) -> bool:
    """Whether the store's record can hold it: no name, tag or value is beyond all measure."""
    values = [value for each in entry.selecting for value in each if value is not None]
    return all(len(each) <= MOST_OCTETS for each in [entry.key, entry.etag or "", ",".join(entry.vary), *values])


def kept_lines(lines: Iterable[tuple[str, str]], said: ResponseControl, response_time: float) -> list[tuple[str, str]]:
    """The field lines that are stored (RFC 9111 §3.1): without the connection's, Age, and those that no-cache and private
    name; with a Date if there was none (RFC 9110 §6.6.1)."""
    kept = [
        (name, value) for name, value in lines
        if name.lower() not in _NOT_STORED and name.lower() not in said.withheld
    ]  # fmt: skip
    dates = [value for name, value in kept if name.lower() == "date"]
    if len(dates) != 1 or parse_date(dates[0]) is None:
        valid = [parsed for value in dates if (parsed := parse_date(value)) is not None]
        kept = [(name, value) for name, value in kept if name.lower() != "date"]
        kept.append(("Date", http_date(valid[0] if valid and len(set(valid)) == 1 else floor(response_time))))
    return kept


def refreshed(
    old: Entry,
    request: Request,
    response: Response,
    lines: Sequence[tuple[str, str]],
    request_time: float,
    response_time: float,
    rules: Rules,
) -> Entry:
    """A stored response with the fields of a 304 or of an answer to HEAD, and new instants (RFC 9111 §3.2, §4.3.4).

    All fields of the new response replace those of the same name but Content-Length and Content-Range, which belong to the
    body, and Set-Cookie, which is this client's. Where it has no directives of its own, those that were stored still count.
    """
    fresh = [(name, value) for name, value in lines if name.lower() not in _NOT_UPDATED]
    names = {name.lower() for name, _ in fresh}
    merged = [(name, value) for name, value in old.fields() if name.lower() not in names] + fresh
    fields = joined(merged)
    if "age" in response.fields:
        fields["age"] = response.fields["age"]
    said = response_control(fields, rules.targets)
    if not (said.public or said.s_maxage is not None or said.targeted or rules.share_cookies):
        merged = [line for line in merged if line[0].lower() != "set-cookie" or line not in fresh]
    made = describe(
        old.key, request, old.status, kept_lines(merged, said, response_time), said, (), request_time, response_time, rules,
        fields,
    )  # fmt: skip
    vary, values, flags = made.vary, made.selecting, made.flags
    if not vary and Flags.ADOPTED in old.flags:
        vary, flags = old.vary, flags | Flags.ADOPTED
        values = (selecting(vary, request.fields),)
    if vary == old.vary:
        values = tuple(dict.fromkeys([*values, *old.selecting]))[: rules.alternates]
    return replace(
        made, vary=vary, selecting=values, flags=flags, length=old.length, first=old.first, stop=old.stop
    )  # fmt: skip


def joined(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Fields by name in lower case, repeated ones joined (RFC 9110 §5.3)."""
    fields: dict[str, str] = {}
    for name, value in lines:
        name = name.lower()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields
