"""Conditional requests (RFC 9110 §13)."""

from collections.abc import Mapping

from netstack.http.values import entity_tags, parse_http_date


def evaluate(fields: Mapping[str, str], method: str, etag: str, modified: int) -> int | None:
    """304 or 412 when a precondition says so, None to go on; in the order of RFC 9110 §13.2.2.

    `etag` is strong, with its quotes; `modified` is in whole seconds. Malformed conditions are ignored.
    """
    safe = method in ("GET", "HEAD")
    match = fields.get("if-match")
    if match is not None:
        tags = entity_tags(match)
        if tags is not None and "*" not in tags and etag not in tags:
            return 412
    elif (since := _date(fields.get("if-unmodified-since"))) is not None and modified > since:
        return 412
    none_match = fields.get("if-none-match")
    if none_match is not None:
        tags = entity_tags(none_match)
        if tags is not None and ("*" in tags or any(tag.removeprefix("W/") == etag for tag in tags)):
            return 304 if safe else 412
    elif safe and (since := _date(fields.get("if-modified-since"))) is not None and modified <= since:
        return 304
    return None


def _date(value: str | None) -> int | None:
    return None if value is None else parse_http_date(value)
