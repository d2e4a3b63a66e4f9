"""Options of the DNS servers about rates and cookies, and about what they tell of themselves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from netstack.dns.chaos import Introduction
from netstack.dns.cookies import secrets_from_text
from netstack.dns.guard import COOKIE_RULES, CookieRule, Guard
from netstack.dns.limits import ServerLimits
from netstack.kernel.machine import Machine
from netstack.taps.standalone import reason

_LIMITS = ServerLimits()
RATE_OPTIONS: tuple[list[Any], ...] = (
    ["cookies", None, "on", f"Server cookies: {', '.join(COOKIE_RULES)}."],
    ["cookie-secret", None, None, "File of secrets that several servers share (anycast); the first makes cookies."],
    ["cookie-rotation", None, _LIMITS.cookie_rotation, "Seconds after which cookies have a new secret.", float],
    ["client-rate", None, _LIMITS.client_rate, "Queries of one client in a second; 0 is no limit.", float],
    ["response-rate", None, _LIMITS.response_rate, "Equal replies to one network in a second; 0 is no limit.", float],
    ["response-window", None, _LIMITS.response_window, "Seconds for which a network that goes on is held back.", float],
    ["response-slip", None, _LIMITS.response_slip, "Of the replies held back, one in so many is sent with TC.", int],
)
INTRODUCTION_OPTIONS: tuple[list[Any], ...] = (
    ["nsid", None, "", "What this server says when asked for its NSID (RFC 5001); nothing when empty."],
    ["server-version", None, "", "The same of version.bind and version.server, class CH; REFUSED when empty."],
    ["server-id", None, "", "The same of id.server and hostname.bind, class CH (RFC 4892)."],
)


def introduction(options: Any) -> Introduction:
    """What a server tells of itself; raises ValueError."""
    return Introduction(options["server-version"], options["server-id"], options["nsid"])


def rate_limits(options: Any) -> dict[str, Any]:
    """The fields of ServerLimits that these options set."""
    names = [option[0] for option in RATE_OPTIONS if option[0] not in ("cookies", "cookie-secret")]
    return {name.replace("-", "_"): options[name] for name in names}


def cookie_secrets(options: Any) -> tuple[bytes, ...]:
    """What `--cookie-secret` has; raises ValueError."""
    path = options["cookie-secret"]
    if path is None:
        return ()
    try:
        return secrets_from_text(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cookie-secret: {path}: {reason(error)}") from None


def guard_of(
    machine: Machine,
    limits: ServerLimits,
    rule: CookieRule,
    secrets: tuple[bytes, ...],
    introduction: Introduction | None = None,
) -> Guard:
    """A server's guard. Its workers make the same cookies, and each grants its part of the rates."""
    worker = machine.worker
    if worker is None:
        return Guard(limits, rule, lambda: machine.rng.randbytes(16), secrets, introduction)
    limits = replace(limits, client_rate=worker.part(limits.client_rate), response_rate=worker.part(limits.response_rate))
    return Guard(limits, rule, lambda: worker.secret, secrets, introduction)
