"""Rates, delays and losses as people write them: "1.54 Mbit/s", "20 ms", "1 %", or plain numbers in SI units."""

import re

_RATES = {"": 1.0, "bit/s": 1.0, "bps": 1.0}
for _prefix, _factor in (("k", 1e3), ("m", 1e6), ("g", 1e9)):
    _RATES |= {_prefix: _factor, _prefix + "bit": _factor, _prefix + "bit/s": _factor, _prefix + "bps": _factor}
_TIMES = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e-?[0-9]+)?)\s*([a-zµ%/]*)")


def parse_rate(value: object) -> float | None:
    """Bits per second, more than 0; "unlimited" is None. Raises ValueError that says what was expected."""
    if value == "unlimited":
        return None
    rate = _quantity(value, _RATES)
    if rate is None or rate <= 0:
        raise ValueError(f'{value!r} is not a rate; expected bits per second, such as 1540000, "1.54 Mbit/s" or "unlimited"')
    return rate


def parse_delay(value: object) -> float:
    """Seconds, not negative. Raises ValueError that says what was expected."""
    delay = _quantity(value, _TIMES)
    if delay is None:
        raise ValueError(f'{value!r} is not a time; expected seconds, such as 0.02, or "20 ms"')
    return delay


def parse_loss(value: object) -> float:
    """A probability from 0 to 1. Raises ValueError that says what was expected."""
    loss = _quantity(value, {"": 1.0, "%": 0.01})
    if loss is None or loss > 1:
        raise ValueError(f'{value!r} is not a loss; expected a probability from 0 to 1, such as 0.01 or "1 %"')
    return loss


def _quantity(value: object, units: dict[str, float]) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip().lower())
        if match is None or match[2] not in units:
            return None
        return float(match[1]) * units[match[2]]
    return float(value) if 0 <= value < float("inf") else None
