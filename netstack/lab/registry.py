"""Which labs there are: an explicit list, one module each.

A lab's module has TITLE, SUBSTRATES and `measure(bench) -> Iterator[Claim]`, which yields each claim as soon as it is
measured; `promised(on)` lists the claims, unmeasured, so that a lab that breaks off still fails for each of them. It may
have NOT_SHOWN, what it leaves open, and `draw(figure, claims)`, where a picture says more than bars.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim

MODULES: Mapping[str, str] = MappingProxyType(
    {
        "connections": "netstack.lab.connections",
        "cookies": "netstack.lab.cookies",
        "conditional-get": "netstack.lab.conditional_get",
        "web-cache": "netstack.lab.web_cache",
        "dns-messages": "netstack.lab.dns_messages",
        "dns-caching": "netstack.lab.dns_caching",
        "dns-rotation": "netstack.lab.dns_rotation",
        "dns-attacks": "netstack.lab.dns_attacks",
        "mail-dialogue": "netstack.lab.mail_dialogue",
        "mail-outage": "netstack.lab.mail_outage",
        "mail-mime": "netstack.lab.mail_mime",
        "mail-tls": "netstack.lab.mail_tls",
        "ring": "netstack.lab.ring",
        "ring-churn": "netstack.lab.ring_churn",
        "ring-chord": "netstack.lab.ring_chord",
    }
)
"""Lab -> module."""


class NoSuchLab(Exception):
    """Nothing to run: the name is unknown, or the lab does not run on that substrate. The text says what there is."""


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab, loaded."""

    name: str
    title: str
    substrates: Sequence[str]
    measure: Callable[[Bench], Iterable[Claim]]
    promised: Callable[[str], Sequence[Claim]]
    not_shown: Sequence[str] = ()
    draw: Callable[[Any, Sequence[Claim]], None] | None = None


def load(name: str) -> Lab:
    """The lab of a name; raises NoSuchLab."""
    if name not in MODULES:
        raise NoSuchLab(f"no lab {name!r}; there are: {', '.join(MODULES)}")
    module: Any = import_module(MODULES[name])
    not_shown, draw = getattr(module, "NOT_SHOWN", ()), getattr(module, "draw", None)
    return Lab(name, module.TITLE, module.SUBSTRATES, module.measure, module.promised, not_shown, draw)


def labs() -> list[Lab]:
    """All of them, in order."""
    return [load(name) for name in MODULES]
