"""A registrar: registers domains and has top-level domains refer to their name servers. README.md lists API and options."""

from netstack.registrar.limits import RegistrarLimits
from netstack.registrar.policy import Policy
from netstack.registrar.registry import Registry

__all__ = ["Policy", "RegistrarLimits", "Registry"]
