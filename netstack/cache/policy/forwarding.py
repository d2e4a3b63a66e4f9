"""What an intermediary does to messages that it passes on (RFC 9110 §7.6): Connection, Via, Max-Forwards."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from netstack.http.values import tokens
from netstack.http.wire import Request, Response

HOP_BY_HOP = frozenset({
    "connection", "proxy-connection", "keep-alive", "te", "transfer-encoding", "upgrade",
    "proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "http2-settings",
})  # fmt: skip
"""RFC 9110 §7.6.1, and what belongs to a client and its proxy (RFC 9111 §3.1)."""
END_TO_END = frozenset({
    "age", "cache-control", "content-length", "content-type", "date", "etag", "expires", "host", "last-modified", "vary",
})  # fmt: skip
"""Never a connection option (RFC 9110 §7.6.1): a peer that lists these in Connection would change what the message means."""


def connection_options(value: str | None) -> frozenset[str]:
    """Names of the fields that a Connection field takes away."""
    return frozenset() if value is None else frozenset(tokens(value)) - END_TO_END


def end_to_end(lines: Iterable[tuple[str, str]], connection: str | None) -> list[tuple[str, str]]:
    """The field lines that are for all recipients: without those of the connection (RFC 9110 §7.6.1)."""
    gone = HOP_BY_HOP if connection is None else HOP_BY_HOP | connection_options(connection)
    return [(name, value) for name, value in lines if name.lower() not in gone]


def via(before: str | None, version: str, name: str) -> str:
    """The value of Via with this recipient added (RFC 9110 §7.6.3); `version` is that of the message received: "1.1"."""
    own = f"{version} {name}"
    return own if not before else f"{before}, {own}"


def loops(fields: Mapping[str, str], name: str) -> bool:
    """Whether a request has been here before: Via has our name (RFC 9110 §7.6)."""
    value = fields.get("via")
    if value is None:
        return False
    for member in value.split(","):
        words = member.split()
        if len(words) > 1 and words[1].lower() == name.lower():
            return True
    return False


def upstream_fields(
    request: Request, name: str, replaced: Mapping[str, str | None] | None = None
) -> Sequence[tuple[str, str]]:
    """The field lines of a request as it is passed on: with Via, and with `replaced` fields, gone where that says None.

    Content-Length is left to the connection; Host is what the request's target or Host field said (RFC 9112 §3.2.2).
    """
    replaced = replaced or {}
    fields = request.fields
    lines = []
    for key, value in end_to_end(fields.items(), fields.get("connection")):
        if key in ("host", "content-length", "via", "max-forwards") or key in replaced:
            continue
        lines.append((title(key), value))
    if request.host is not None:
        lines.insert(0, ("Host", request.host if request.port is None else f"{request.host}:{request.port}"))
    hops = fields.get("max-forwards")
    if hops is not None:
        lines.append(("Max-Forwards", fewer_hops(hops) if request.method in ("TRACE", "OPTIONS") else hops))
    lines += [(title(key), value) for key, value in replaced.items() if value is not None]
    version = "2.0" if request.http2 else f"1.{request.minor}"
    lines.append(("Via", via(fields.get("via"), version, name)))
    return lines


def fewer_hops(value: str) -> str:
    """Max-Forwards of a request that is passed on (RFC 9110 §7.6.2); what is no number is passed on as it is."""
    return str(max(0, int(value) - 1)) if value.isascii() and value.isdigit() and len(value) < 10 else value


def last_hop(request: Request) -> bool:
    """Whether a TRACE or OPTIONS may go no further (RFC 9110 §7.6.2)."""
    value = request.fields.get("max-forwards")
    return request.method in ("TRACE", "OPTIONS") and value is not None and value.strip("0") == "" and value != ""


def downstream_fields(response: Response, name: str) -> list[tuple[str, str]]:
    """The field lines of a response as it is passed on and stored: with Via, without framing."""
    lines = []
    for line in end_to_end(response.field_lines, response.fields.get("connection")):
        key = line[0].lower()
        if key not in ("content-length", "via") and not (key == "warning" and obsolete_warning(line[1])):
            lines.append(line)
    version = "2.0" if response.http2 else f"1.{response.minor}"
    lines.append(("Via", via(response.fields.get("via"), version, name)))
    return lines


def obsolete_warning(value: str) -> bool:
    """A Warning about freshness, which only the cache that wrote it could tell (RFC 9111 §5.5): code 1xx."""
    return value.startswith("1")


@lru_cache(maxsize=1024)
def title(name: str) -> str:
    """A field's name as people write it."""
    return _TITLES.get(name) or "-".join(part.capitalize() for part in name.split("-"))


_TITLES = {"etag": "ETag", "te": "TE", "dnt": "DNT", "www-authenticate": "WWW-Authenticate"}
