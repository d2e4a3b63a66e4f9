"""Options of the DNS servers about rates and cookies."""

from typing import Any

from netstack.dns.guard import COOKIE_RULES
from netstack.dns.limits import ServerLimits

_LIMITS = ServerLimits()
RATE_OPTIONS: tuple[list[Any], ...] = (
    ["cookies", None, "on", f"Server cookies: {', '.join(COOKIE_RULES)}."],
    ["cookie-rotation", None, _LIMITS.cookie_rotation, "Seconds after which cookies have a new secret.", float],
    ["client-rate", None, _LIMITS.client_rate, "Queries of one client in a second; 0 is no limit.", float],
    ["response-rate", None, _LIMITS.response_rate, "Equal replies to one network in a second; 0 is no limit.", float],
    ["response-window", None, _LIMITS.response_window, "Seconds for which a network that goes on is held back.", float],
    ["response-slip", None, _LIMITS.response_slip, "Of the replies held back, one in so many is sent with TC.", int],
)


def rate_limits(options: Any) -> dict[str, Any]:
    """The fields of ServerLimits that these options set."""
    names = [option[0] for option in RATE_OPTIONS if option[0] != "cookies"]
    return {name.replace("-", "_"): options[name] for name in names}
