"""What an operator may decide about caching; every one is an option of netstack-cache."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds."""

    name: str = "netstack-cache"
    """What Via, Cache-Status and Proxy-Status call this cache (RFC 9110 §7.6.3, RFC 9211 §2)."""
    targets: tuple[str, ...] = ()
    """Targeted fields that are obeyed, the first one first, lower case: "cdn-cache-control" at a CDN's edge (RFC 9213)."""
    heuristic: float = 0.1
    """Without an explicit lifetime: this part of the time since Last-Modified (RFC 9111 §4.2.2); 0 for none."""
    heuristic_seconds: float = 86400.0
    """A lifetime guessed so is not longer."""
    negative_seconds: float = 0.0
    """Lifetime of 404, 405, 410, 414 and 501 that come without one and without Last-Modified."""
    stale_if_error_seconds: float = 0.0
    """How stale a response may be when the origin fails and neither side said anything about it (RFC 9111 §4.2.4)."""
    obey_requests: bool = True
    """Heed Cache-Control and Pragma of requests, all but no-store and only-if-cached (RFC 9111 §5.2.1)."""
    share_cookies: bool = False
    """Store a response with Set-Cookie like any other; else only where the origin says that it is for shared caches:
    public, s-maxage, or a targeted field (RFC 9111 §7.3)."""
    ranges: int = 16
    """Ranges of one request that are served; a request for more gets the whole (RFC 9110 §14.2)."""
    variants: int = 32
    """Responses stored under one key (RFC 9111 §4.1); the oldest goes first."""
    alternates: int = 8
    """Different selecting values that one stored response is known to serve."""
    tags: int = 16
    """Entity tags that are sent in one If-None-Match."""
    show_key: bool = False
    """Tell the key in Cache-Status (RFC 9211 §2.7)."""
