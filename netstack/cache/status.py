"""Fields that tell what a cache and a proxy did: Cache-Status (RFC 9211), Proxy-Status (RFC 9209)."""

from netstack.cache.entry import Entry
from netstack.cache.keys import key_url
from netstack.cache.policy.plans import Why
from netstack.cache.rules import Rules
from netstack.cache.structured import Token, parameters, token_or_string

Parameters = dict[str, bool | int | str | Token]


def hit(rules: Rules, entry: Entry, wall: float, detail: str | None = None) -> str:
    """The member of Cache-Status for a response out of the store (RFC 9211 §2.1); a stale one has a negative ttl (§2.4)."""
    said: Parameters = {"hit": True}
    if entry.fresh_until:
        said["ttl"] = entry.ttl(wall)
    return _member(rules, said, entry.key, detail)


def forwarded(
    rules: Rules,
    why: Why,
    key: bytes,
    status: int | None = None,
    stored: bool = False,
    collapsed: bool | None = None,
    ttl: int | None = None,
    detail: str | None = None,
) -> str:
    """The member of Cache-Status for a request that went forward (RFC 9211 §2.2-§2.8).

    `status` is the next server's when it is not the one that the client gets; `collapsed` is told only when asked for.
    """
    said: Parameters = {"fwd": Token(why.value)}
    if status is not None:
        said["fwd-status"] = status
    if ttl is not None:
        said["ttl"] = ttl
    if stored:
        said["stored"] = True
    if collapsed is not None:
        said["collapsed"] = collapsed
    return _member(rules, said, key, detail)


def own(rules: Rules, detail: str) -> str:
    """The member of Cache-Status for a response that this cache made itself."""
    return token_or_string(rules.name) + parameters({"detail": _told(detail)})


def proxy_status(rules: Rules, error: str, detail: str | None = None, next_hop: str | None = None) -> str:
    """The value of Proxy-Status for an error, a word of `http.faults.ErrorType` (RFC 9209 §2)."""
    said: Parameters = {"error": Token(error)}
    if next_hop is not None:
        said["next-hop"] = next_hop
    if detail is not None:
        said["details"] = detail
    return token_or_string(rules.name) + parameters(said)


def _member(rules: Rules, said: Parameters, key: bytes, detail: str | None) -> str:
    if rules.show_key:
        said["key"] = key_url(key)
    if detail is not None:
        said["detail"] = _told(detail)
    return token_or_string(rules.name) + parameters(said)


def _told(detail: str) -> str | Token:
    return Token(detail) if detail.replace("-", "").isalpha() else detail
