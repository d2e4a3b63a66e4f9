"""What a resolver does beyond RFC 1034's algorithm; each is a switch, since each changes the messages that are seen."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Hardening:
    """All off: the messages of the textbook's figures and no others."""

    mixed_case: bool = False
    """Questions in random case, which a forger has to guess as well ("0x20")."""
    minimise: bool = False
    """A server is asked for one label more than its zone has, not for the whole name (RFC 9156)."""
    cookies: bool = False
    """Queries carry a cookie that only their server sees (RFC 7873)."""
    nxdomain_cut: bool = False
    """Below a name that does not exist nothing exists (RFC 8020)."""
    serve_stale: bool = False
    """What has expired is better than no answer when no server can be reached (RFC 8767)."""
    prefetch: bool = False
    """Popular names are asked for again shortly before they expire."""
    remember_failures: bool = False
    """A question that could not be resolved is not tried again at once (RFC 9520)."""
    local_zones: bool = False
    """Names such as localhost, and private addresses backwards, are answered here (RFC 6303, RFC 6761)."""
    encrypt: bool = False
    """Servers that speak TLS are asked so, though nobody vouches for them (RFC 9539). In no profile by itself."""

    follow_anchors: bool = False
    """A resolver that validates follows rollovers of the keys that it trusts (RFC 5011)."""
    aggressive_nsec: bool = False
    """A resolver that validates answers from spans that are proved to be empty (RFC 8198)."""


TEXTBOOK = Hardening()
HARDENED = replace(Hardening(*(True for _ in fields(Hardening))), encrypt=False)
FEATURES = tuple(field.name.replace("_", "-") for field in fields(Hardening))
"""The switches as they are written in options."""


def hardening(profile: Hardening, features: Iterable[str]) -> Hardening:
    """The profile with features added, or taken away by "no-"; raises ValueError."""
    for feature in features:
        name = feature.removeprefix("no-")
        if name not in FEATURES:
            raise ValueError(
                f"features: expected some of {', '.join(FEATURES)}, or the same with no- before it, got {feature!r}"
            )
        profile = replace(profile, **{name.replace("-", "_"): name == feature})
    return profile
