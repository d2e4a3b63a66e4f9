"""The primary key of a stored response: method and target URI (RFC 9111 §2).

Normalised is what means the same to everybody: scheme and host in lower case, no default port, "/" for an empty path
(RFC 9110 §4.2.3). Percent-encoding, dot segments and the query stay as they were sent, because origins tell them apart,
and a key that does not would hand out one resource for another. A fragment is not part of a request.
"""

import re
from collections.abc import Mapping
from urllib.parse import urljoin

from netstack.http.values import authority

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)


def primary_key(scheme: str, host: str, port: int | None, path: str, query: str | None) -> bytes:
    """The key of a resource: `GET http://host/path?query`. A HEAD is answered from what GET stored."""
    place = host.lower() if port is None or port == _PORTS[scheme] else f"{host.lower()}:{port}"
    rest = path or "/"
    if query is not None:
        rest += "?" + query
    return f"GET {scheme}://{place}{rest}".encode("latin-1")


def url_key(url: str) -> bytes | None:
    """The key of an absolute http or https URL, None for anything else."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    place = authority(match[2])
    if place is None or not re.fullmatch(r"[!-~]*", match[3]):
        return None
    path, question, query = match[3].partition("?")
    return primary_key(match[1].lower(), *place, path, query if question else None)


def key_url(key: bytes) -> str:
    """The URL of a key."""
    return key.decode("latin-1").partition(" ")[2]


def named_keys(key: bytes, fields: Mapping[str, str]) -> tuple[bytes, ...]:
    """Keys of Location and Content-Location, of the same origin only (RFC 9111 §4.4)."""
    found = []
    for name in ("location", "content-location"):
        named = resolved_key(key, fields[name]) if name in fields else None
        if named is not None and origin(named) == origin(key) and named != key:
            found.append(named)
    return tuple(dict.fromkeys(found))


def resolved_key(key: bytes, reference: str) -> bytes | None:
    """The key of what a reference names in a response to a request of `key` (RFC 3986 §5)."""
    try:
        return url_key(urljoin(key_url(key), reference))
    except ValueError:
        return None


def origin(key: bytes) -> bytes:
    """Scheme, host and port of a key (RFC 9110 §4.3.1)."""
    return b"/".join(key.split(b"/", 3)[:3])
