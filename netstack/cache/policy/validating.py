"""Asking the origin whether stored responses still hold, and what its answer says about which (RFC 9111 §4.3)."""

from collections.abc import Mapping, Sequence

from netstack.cache.entry import Entry, most_recent
from netstack.cache.policy.freshness import parse_date
from netstack.cache.policy.storing import valid_tag
from netstack.cache.rules import Rules
from netstack.http.values import entity_tags, http_date


def conditions(
    selected: Entry | None, others: Sequence[Entry], fields: Mapping[str, str], rules: Rules
) -> dict[str, str | None]:
    """Fields of the request that validates (RFC 9111 §4.3.1, §4.3.2), None for one that goes; empty: nothing can be asked.

    Entity tags of other variants are asked too, so that a 304 can select one; with those that the client has itself. Only
    whole responses are named.
    """
    asked = fields.get("if-none-match")
    clients = [] if asked is None else entity_tags(asked)
    if clients is None or "*" in clients:
        return {}  # it is for the origin alone, or nobody knows what it says
    own = [] if selected is None or selected.etag is None else [selected.etag]
    own += [each.etag for each in others if each.etag is not None and each.whole and each is not selected]
    tags = list(dict.fromkeys(own))[: rules.tags]
    found: dict[str, str | None] = {}
    if tags:
        found["if-none-match"] = ", ".join(dict.fromkeys(tags + clients))
    elif asked is not None:
        return {}  # If-Modified-Since beside it would not be looked at (RFC 9110 §13.1.3)
    if selected is not None and selected.modified is not None:
        stated = selected.field("last-modified")
        found["if-modified-since"] = stated if stated is not None else http_date(selected.modified)
    elif tags and "if-modified-since" in fields:
        found["if-modified-since"] = None
    return found


def identified(fields: Mapping[str, str], nominated: Sequence[Entry], stored: Sequence[Entry], alone: bool) -> list[Entry]:
    """The stored responses that a 304 updates (RFC 9111 §4.3.4): all with its strong tag, else one of those `nominated`.

    Without any validator it can mean the only one that was named, if the request had no conditions of the client (`alone`).
    """
    tag = valid_tag(fields.get("etag"))
    stated = fields.get("last-modified")
    modified = None if stated is None else parse_date(stated)
    if tag is not None and not tag.startswith("W/"):
        return [each for each in stored if each.etag == tag]
    if tag is not None:
        found = [each for each in nominated if each.etag is not None and each.etag.removeprefix("W/") == tag[2:]]
    elif modified is not None:
        found = [each for each in nominated if each.modified == modified]
    else:
        return list(nominated) if alone and len(nominated) == 1 else []
    return [most_recent(found)] if found else []


def agrees(fields: Mapping[str, str], entry: Entry) -> bool:
    """Whether an answer to HEAD describes a stored response to GET (RFC 9111 §4.3.5)."""
    tag, stated, length = valid_tag(fields.get("etag")), fields.get("last-modified"), fields.get("content-length")
    if tag is not None and tag != entry.etag:
        return False
    if stated is not None and parse_date(stated) != entry.modified:
        return False
    return length is None or entry.length is None or length == str(entry.length)
