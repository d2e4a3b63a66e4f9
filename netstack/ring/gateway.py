"""The ring over HTTP: keys are resources (RFC 9110), the circle is a page, a picture and an object (JSON, RFC 8259).

A PUT sets a key's value in the place of all others, a POST adds one, a GET returns one value as it is, several as an object.
Answers come once the quorum has done its part; what goes wrong is a problem (RFC 9457).
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError, TimeoutError

from netstack.http.answers import HTML, content
from netstack.http.application import Call
from netstack.http.conditional import evaluate
from netstack.http.events import Respond
from netstack.http.forms import Fields, from_elsewhere, parse_form
from netstack.http.wire import BadMessage, Request
from netstack.kernel.resolver import is_address
from netstack.ring.data_messages import Got
from netstack.ring.identifiers import Contact
from netstack.ring.messages import LookedUp
from netstack.ring.picture import Picture, draw, shown
from netstack.ring.records import Value, Version
from netstack.ring.service import OperationFailed, RingService
from netstack.sansio import Peer
from netstack.sansio.bounds import positive

JSON, OCTETS, PROBLEM = "application/json", "application/octet-stream", "application/problem+json"
FRESH = b"Cache-Control: no-cache\r\n"
_PAGE = (
    b"Content-Security-Policy: default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; form-action 'self'; "
    b"frame-ancestors 'none'; base-uri 'none'\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
)
_STATUS = {"too large": 413, "too many": 409, "full": 507}
_ADVICE = {
    "lookup": "Nobody was found who is responsible for the key; the circle may be mending itself. Try again.",
    "unanswered": "The node that is responsible does not answer. A change may have happened: read the key first.",
    "quorum": "Too few of the nodes that keep copies answer. A change may have happened: read the key first.",
    "deadline": "It took too long. A change may have happened: read the key first.",
    "leaving": "This node leaves the circle: ask another one.",
    "too large": "The value, or all values of the key together, are larger than the nodes take.",
    "too many": "The key has as many values as it may have: PUT replaces them, DELETE removes them.",
    "full": "The node that is responsible has no room for more.",
}


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Who may ask, and for how much."""

    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of clients; others get 403."""
    names: tuple[str, ...] = ()
    """Hosts' names that it answers to, beside the machine's, `localhost` and addresses; others get 421."""
    survey: int = 256
    """Nodes that a picture of the whole circle has."""
    surveyed: float = 2.0
    """Seconds for which the nodes that were found last are believed to be those of the circle."""

    def __post_init__(self) -> None:
        for name in ("survey", "surveyed"):
            positive(name, getattr(self, name))


class Gateway:
    """Implements http.application.Application for one node."""

    def __init__(self, service: RingService, options: GatewayOptions) -> None:
        self._service = service
        self._options = options
        self._names = {"localhost", service.machine.name, *options.names}
        self._nodes: list[Contact] = []
        self._seen = float("-inf")
        self._surveying = False

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        """What needs no body to be refused."""
        if not self._is_allowed(peer.remote[0]):
            return problem(403, f"{peer.remote[0]} is in none of the networks that may ask this node.")
        host = request.host or ""
        if host not in self._names and not is_address(host.strip("[]")):
            return problem(421, f"{host or 'A request without a host'} is not served here.")
        allow = _methods(request.path)
        if not allow:
            return problem(404, f"There are /, /ring, /ring.svg, /keys/KEY and /lookup/KEY, not {request.path[:200]}.")
        if request.method not in allow:
            return problem(405, f"{request.method[:80]} is not for this.", f"Allow: {', '.join(allow)}\r\n".encode())
        if request.method not in ("GET", "HEAD") and from_elsewhere(request, peer.security is not None):
            return problem(403, "A page of another site has sent this.")
        return None

    async def answer(self, call: Call) -> Respond:
        """Does what is asked."""
        request, service = call.request, self._service
        path = request.path
        try:
            query = parse_form(request.query or "")
            if path.startswith("/keys/"):
                return await self._key(call, _key(path.removeprefix("/keys/")), query)
            if not service.placed:
                return problem(503, f"This node has no place on the circle yet. {service.trouble}".strip(), _retry(1))
            if path.startswith("/lookup/"):
                return await self._look_up(_key(path.removeprefix("/lookup/")), query)
            if path == "/lookup":
                return await self._look_up(query.get("key").encode(), query)
            if path == "/ring":
                nodes = await self._survey() if query.get("nodes") else None
                return content(200, JSON, _json(described(service, nodes)), FRESH)
            if path == "/ring.svg":
                return content(200, "image/svg+xml", draw(await self._picture()).encode(), _PAGE)
            return Respond(200, HTML + _PAGE, page(service).encode())
        except OperationFailed as failed:
            reason = str(failed)
            status = _STATUS.get(reason, 503)
            return problem(status, _ADVICE.get(reason, reason), _retry(1) if status == 503 else b"", reason)
        except TimeoutError:
            return problem(503, _ADVICE["deadline"], _retry(1), "deadline")
        except CancelledError:
            return problem(503, _ADVICE["leaving"], _retry(1), "leaving")

    # Keys

    async def _key(self, call: Call, key: bytes, query: Fields) -> Respond:
        request, service, options = call.request, self._service, self._service.peer.options
        if not key:
            return problem(404, "A key has at least one octet: /keys/KEY, with what is no character of URLs as %XX.")
        if len(key) > options.key_octets:
            return problem(414, f"A key has at most {options.key_octets} octets, not {len(key)}.")
        if not service.placed:
            return problem(503, f"This node has no place on the circle yet. {service.trouble}".strip(), _retry(1))
        quorum = _number(query, "quorum", int)
        if quorum is not None and not 1 <= quorum <= options.copies:
            return problem(400, f"quorum: expected 1 to {options.copies}, the copies of a key.")
        if request.method in ("GET", "HEAD"):
            return self._values(request, key, await self._asked(service.get(key, quorum=quorum)))
        refused = await self._refused(request, key, quorum)
        if refused is not None:
            return refused
        if request.method == "DELETE":
            await self._asked(service.remove(key, quorum=quorum))
            return Respond(204, FRESH)
        if len(call.body) > options.value_octets:
            return problem(413, f"A value has at most {options.value_octets} octets, not {len(call.body)}.")
        ttl = _number(query, "ttl", float)
        if ttl is not None and not ttl > 0:
            return problem(400, "ttl: expected a number of seconds above 0.")
        replace = request.method == "PUT"
        stored = await self._asked(service.put(key, call.body, ttl=ttl, replace=replace, quorum=quorum))
        tag = f"ETag: {etag(stored.version, [call.body])}\r\n".encode() if replace else b""
        return Respond(204, FRESH + tag)

    async def _asked(self, done: Any) -> Any:
        """What the node says; a bound that is reached is no fault of the client."""
        try:
            return await done
        except ValueError as busy:
            raise OperationFailed("leaving" if self._service.peer.left else str(busy)) from None

    async def _refused(self, request: Request, key: bytes, quorum: int | None) -> Respond | None:
        """412 where a condition does not hold. It is looked at before the change, not with it: see the README."""
        if not {"if-match", "if-none-match"} & request.fields.keys():
            return None
        got: Got = await self._asked(self._service.get(key, quorum=quorum))
        tag = etag(got.version, [each.data for each in got.values]) if got.values else ""
        match, none_match = request.fields.get("if-match"), request.fields.get("if-none-match")
        holds = bool(tag) if match == "*" else not tag if none_match == "*" else None
        if holds is None:
            holds = evaluate(request.fields, request.method, tag, 0) is None
        return None if holds else problem(412, "The key has other values now: read it again.")

    def _values(self, request: Request, key: bytes, got: Got) -> Respond:
        if not got.values:
            return problem(404, "No value is kept under this key.")
        values = [each.data for each in got.values]
        tag = etag(got.version, values)
        fields = FRESH + f"ETag: {tag}\r\nVary: Accept\r\n".encode()
        if evaluate(request.fields, "GET", tag, 0) == 304:
            return Respond(304, fields)
        accept = request.fields.get("accept", "*/*").lower()
        if JSON not in accept and len(values) == 1:
            return content(200, OCTETS, values[0], fields + b"X-Content-Type-Options: nosniff\r\n")
        if not any(kind in accept for kind in (JSON, "application/*", "*/*")):
            return problem(406, f"The key has {len(values)} values, which are {JSON}.")
        shown_key = {"key": key.decode("utf-8", "replace"), "octets": b64encode(key).decode()}
        return content(200, JSON, _json({**shown_key, "version": str(got.version), "values": _listed(got.values)}), fields)

    # The circle

    async def _look_up(self, key: bytes, query: Fields) -> Respond:
        service, circle = self._service, self._service.peer.circle
        ident = _number(query, "ident", int)
        if ident is None:
            if not key:
                return problem(400, "Which key? /lookup/KEY, or /lookup/?ident=NUMBER.")
            ident = circle.of(key)
        if not 0 <= ident < circle.size:
            return problem(400, f"ident: expected 0 to {circle.size - 1}.")
        ask = service.pass_on if query.get("way") == "forwarding" else service.look_up
        found = await self._asked(ask(ident))
        told = {"key": key.decode("utf-8", "replace")} if key else {}
        return content(200, JSON, _json(told | way(service, found)), FRESH)

    async def _picture(self) -> Picture:
        service, node = self._service, self._service.peer.node
        nodes = await self._survey()
        shortcuts = [node.shortcuts[each] for each in node.shortcuts]
        return Picture(node.circle, node.me, nodes, tuple(node.successors), shortcuts, tuple(service.recent)[-5:])

    async def _survey(self) -> Sequence[Contact]:
        """The nodes of the circle: who is responsible for what comes after the last one, until it is the first."""
        service, node = self._service, self._service.peer.node
        seconds = service.machine.reactor.seconds
        if self._surveying or seconds() - self._seen < self._options.surveyed:
            return self._nodes or [node.me]
        self._surveying = True
        try:
            found = [node.me]
            while len(found) < self._options.survey:
                after = await self._asked(service.look_up((found[-1].ident + 1) % node.circle.size, remembered=False))
                if after.responsible is None or after.responsible in found:
                    break
                found.append(after.responsible)
            self._nodes, self._seen = sorted(found), seconds()
        finally:
            self._surveying = False
        return self._nodes

    def _is_allowed(self, address: str) -> bool:
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._options.allow)


def _methods(path: str) -> tuple[str, ...]:
    if path.startswith("/keys/"):
        return ("GET", "HEAD", "PUT", "POST", "DELETE")
    return ("GET", "HEAD") if path in ("/", "/ring", "/ring.svg", "/lookup") or path.startswith("/lookup/") else ()


def _key(text: str) -> bytes:
    return unquote_to_bytes(text)


def _number(query: Fields, name: str, kind: type) -> Any:
    """A number of the query, None without it; raises BadMessage."""
    text = query.get(name)
    if not text:
        return None
    try:
        return kind(text, 0) if kind is int else kind(text)
    except ValueError:
        raise BadMessage(f"{name}: expected a number, got {text[:80]!r}") from None


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


def _retry(seconds: int) -> bytes:
    return f"Retry-After: {seconds}\r\n".encode()


def problem(status: int, detail: str, fields: bytes = b"", reason: str = "") -> Respond:
    """RFC 9457 §3."""
    told = {"status": status, "detail": detail, **({"reason": reason} if reason else {})}
    return content(status, PROBLEM, _json(told), fields + b"Cache-Control: no-store\r\n")


def etag(version: Version, values: Sequence[bytes]) -> str:
    """Of a key's values: another one whenever they are others, also when one of them has expired."""
    found = sha256()
    for each in values:
        found.update(b"%d " % len(each))
        found.update(each)
    return f'"{version}-{found.hexdigest()[:16]}"'


def _listed(values: Sequence[Value]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for each in values:
        told: dict[str, object] = {"octets": b64encode(each.data).decode(), "version": str(each.version)}
        if each.life != float("inf"):
            told["seconds"] = round(each.life, 3)
        with suppress(UnicodeDecodeError):
            told["text"] = each.data.decode()
        found.append(told)
    return found


# What a node tells of itself


def _told(service: RingService, contact: Contact | None) -> dict[str, object] | None:
    if contact is None:
        return None
    return {"ident": number(service, contact.ident), "address": contact.address}


def number(service: RingService, ident: int) -> int | str:
    """An identifier in JSON: a number where all readers take it for the same, else hexadecimal digits."""
    circle = service.peer.circle
    return ident if circle.bits <= 53 else f"{ident:0{-(-circle.bits // 4)}x}"


def way(service: RingService, found: LookedUp) -> dict[str, object]:
    """A look-up that came to its end."""
    return {
        "ident": number(service, found.key),
        "responsible": _told(service, found.responsible),
        "path": [number(service, ident) for ident in found.path],
        "forwards": found.forwards,
        "timeouts": found.timeouts,
        "seconds": round(found.seconds, 6),
    }


def described(service: RingService, nodes: Sequence[Contact] | None = None) -> dict[str, object]:
    """A node, its neighbours and what it keeps; with the nodes of the whole circle where these were asked for."""
    peer, node = service.peer, service.peer.node
    found: dict[str, object] = {
        "network": service.network,
        "bits": peer.circle.bits,
        "node": _told(service, node.me),
        "placed": service.placed,
        "trouble": service.trouble,
        "predecessor": _told(service, node.predecessor),
        "successors": [_told(service, each) for each in node.successors],
        "shortcuts": {str(each): _told(service, node.shortcuts[each]) for each in node.shortcuts},
        "lost": [_told(service, each) for each in node.lost],
        "keys": len(peer.table),
        "octets": peer.table.octets,
        "lookups": [way(service, each) for each in service.recent],
    }
    if nodes is not None:
        found["nodes"] = [_told(service, each) for each in nodes]
    return found


def page(service: RingService) -> str:
    """The live page: the picture, and the last look-ups, again every two seconds."""
    node, circle = service.peer.node, service.peer.circle
    rows = "".join(
        f"<tr><td>{shown(circle, each.key)}<td>{'-' if each.responsible is None else shown(circle, each.responsible.ident)}"
        f"<td>{' - '.join(shown(circle, ident) for ident in each.path)}<td>{each.forwards}<td>{each.timeouts}"
        f"<td>{1000 * each.seconds:.1f} ms</tr>\n"
        for each in reversed(service.recent)
    )
    after = ", ".join(shown(circle, each.ident) for each in node.successors)
    before = "-" if node.predecessor is None else shown(circle, node.predecessor.ident)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
        f"<title>Node {shown(circle, node.me.ident)} of {escape(service.network)}</title>"
        "<style>body{font-family:sans-serif;margin:1em;display:flex;flex-wrap:wrap;gap:2em}"
        "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"
        '</style></head>\n<body><img src="/ring.svg" width="640" height="640" alt="The circle">'
        f"<div><h1>Node {shown(circle, node.me.ident)}</h1>\n"
        f"<p>Before it: {before}. After it: {after}. {len(service.peer.table)} keys here.</p>\n"
        '<form action="/lookup"><input name="key" placeholder="key"> <button>Look up</button></form>\n'
        f"<table><tr><th>Key<th>Responsible<th>Way<th>Forwards<th>Time-outs<th>Took</tr>\n{rows}</table></div></body></html>\n"
    )
