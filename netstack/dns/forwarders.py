"""Servers that are asked for the whole work, as options name them; pure.

`ADDRESS`; `tls://ADDRESS[:PORT]#NAME` (RFC 7858, strict as in RFC 8310 §5); `https://NAME[:PORT]/PATH@ADDRESS` (RFC 8484).
"""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from netstack.dns.events import Proto

EXPECTED = "expected ADDRESS, tls://ADDRESS[:PORT]#NAME or https://NAME[:PORT]/PATH@ADDRESS, maybe with ZONE= before it"
PORTS = {"udp": 53, "tls": 853, "https": 443}


@dataclass(frozen=True, slots=True)
class Forwarder:
    """One of them. `key` is what a Recursor knows it by: its address, or its text where it is asked over TLS or HTTPS."""

    key: str
    proto: Proto
    address: str
    port: int
    """A standard one, 0 for the resolver's own choice."""
    name: str = ""
    """What its certificate must be for."""
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Forwarder":
        """Raises ValueError that says what was expected."""
        try:
            found = cls._parsed(text)
            ip_address(found.address.partition("%")[0])
        except ValueError:
            raise ValueError(f"{EXPECTED}, got {text!r}") from None
        return found

    @classmethod
    def _parsed(cls, text: str) -> "Forwarder":
        scheme, separator, _ = text.partition("://")
        if not separator:
            return cls(text, "udp", text, 0)
        if scheme == "tls":
            parts = urlsplit(text)
            if not parts.hostname or not parts.fragment or parts.path or parts.query or parts.username is not None:
                raise ValueError(text)
            return cls(text, "tls", parts.hostname, parts.port or PORTS["tls"], parts.fragment.rstrip("."))
        url, _, address = text.rpartition("@")
        parts = urlsplit(url)
        if scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username is not None:
            raise ValueError(text)
        return cls(text, "https", address.strip("[]"), parts.port or PORTS["https"], parts.hostname, parts.path or "/")
