"""What origins are told of clients: X-Forwarded-For and its kin, Forwarded (RFC 7239); and what is not passed on."""

from collections.abc import Sequence

from netstack.cache.policy import Forward
from netstack.cache.targets import Target
from netstack.sansio import Peer

TOLD = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-real-ip"})
"""What this proxy says itself, or nobody."""
UNKEYED = frozenset({
    "x-forwarded", "forwarded-for", "x-host", "x-backend-host", "x-request-uri", "x-script-name", "x-scheme", "x-url-scheme",
    "x-envoy-original-path", "x-method-override", "front-end-https", "x-client-ip", "client-ip", "true-client-ip",
    "cf-connecting-ip", "x-cluster-client-ip", "x-proxyuser-ip", "x-wap-profile", "x-sendfile-type", "x-accel-mapping",
    "proxy",
})  # fmt: skip
"""Fields by which programs behind proxies take a request for another one than its target says, or for somebody else's. They
are in no key: whoever sends them would have others served what is not theirs, so they are not sent where the response may
be stored."""
PREFIXES = ("x-forwarded-", "x-original-", "x-rewrite-", "x-http-", "x-middleware-", "x-invoke-")
"""Of names of further such fields."""


def is_unkeyed(name: str) -> bool:
    """Whether a field, by its name in lower case, is one of those."""
    return name in UNKEYED or name.startswith(PREFIXES)


def disclosed(decided: Forward, target: Target, peer: Peer | None, rule: str) -> Sequence[tuple[str, str]]:
    """The field lines for the origin; `peer` is the client, None for a request that none waits for:
    what it is for is told all the same, or the origin would answer something else.

    `rule` is one of `options.FORWARDED`. What the client says about others before it is kept where something is told.
    """
    before = {name.lower(): value for name, value in decided.fields if name.lower() in TOLD}
    kept = [
        (name, value) for name, value in decided.fields
        if name.lower() not in TOLD and not (decided.may_store and is_unkeyed(name.lower()))
    ]  # fmt: skip
    if rule == "off":
        return kept
    if rule in ("x", "both"):
        if peer is not None:
            kept.append(("X-Forwarded-For", _after(before.get("x-forwarded-for"), peer.remote[0])))
        kept += [("X-Forwarded-Host", target.authority), ("X-Forwarded-Proto", target.scheme)]
    if rule in ("standard", "both"):
        own = f'for={"unknown" if peer is None else _node(peer.remote[0])};host="{target.authority}";proto={target.scheme}'
        kept.append(("Forwarded", own if peer is None else _after(before.get("forwarded"), own)))
    return kept


def _after(before: str | None, own: str) -> str:
    return own if not before else f"{before}, {own}"


def _node(address: str) -> str:
    """RFC 7239 §6.1"""
    return f'"[{address}]"' if ":" in address else address
