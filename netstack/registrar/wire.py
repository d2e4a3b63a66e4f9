"""JSON of the registrar: requests of its API, RDAP objects (RFC 9083), problems (RFC 9457); pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from netstack.registrar.events import NameServer, Registration
from netstack.registrar.policy import Invalid, unicode_name

JSON = "application/json"
PROBLEM = "application/problem+json"
RDAP = "application/rdap+json"
CONFORMANCE = ["rdap_level_0"]
_NOTICE = {
    "title": "About this service",
    "description": ["What this registrar knows of the domains that were registered with it. Registrants are not shown."],
}


def encoded(value: object) -> bytes:
    """A JSON text with its last line end."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"


def read_object(body: bytes, known: Sequence[str]) -> dict[str, Any]:
    """The JSON object of a request, with none but known members; raises Invalid."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("", "the content is not JSON") from None
    if not isinstance(value, dict):
        raise Invalid("", "the content is not a JSON object")
    for name in value:
        if name not in known:
            raise Invalid(str(name)[:80], f"no such member; expected {', '.join(known)}")
    return value


def read_text(table: Mapping[str, Any], name: str) -> str:
    """A member that is text; empty where it is absent. Raises Invalid."""
    value = table.get(name, "")
    if not isinstance(value, str):
        raise Invalid(name, "expected text")
    return value


def read_texts(table: Mapping[str, Any], name: str, field: str = "") -> list[str]:
    """A member that is a list of texts; raises Invalid."""
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Invalid(field or name, "expected a list of texts")
    return value


def read_servers(table: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """`servers`: names, or objects of name and addresses; raises Invalid."""
    value = table.get("servers", [])
    if not isinstance(value, list):
        raise Invalid("servers", 'expected a list such as [{"name": "dns1.example.com", "addresses": ["192.0.2.1"]}]')
    found: list[tuple[str, list[str]]] = []
    for number, each in enumerate(value):
        field = f"servers[{number}]"
        if isinstance(each, str):
            found.append((each, []))
        elif isinstance(each, dict) and set(each) <= {"name", "addresses"}:
            found.append((read_text(each, "name"), read_texts(each, "addresses", field)))
        else:
            raise Invalid(field, "expected a name, or an object of name and addresses")
    return found


def problem(status: int, title: str, detail: str, field: str = "") -> dict[str, object]:
    """RFC 9457 §3; `field` is the member of the request that is at fault."""
    told: dict[str, object] = {"title": title, "status": status, "detail": detail}
    return told | {"field": field} if field else told


def registration_object(one: Registration, state: str) -> dict[str, object]:
    """A domain as the API shows it to whoever registered it."""
    return {
        "name": one.name,
        "unicode_name": unicode_name(one.name),
        "state": state,
        "servers": [{"name": server.name, "addresses": list(server.addresses)} for server in one.delegation.servers],
        "ds": list(one.delegation.ds),
        "registrant": one.registrant,
        "created": timestamp(one.created),
        "changed": timestamp(one.changed),
        "expires": timestamp(one.expires),
    }


def rdap_domain(one: Registration, base: str, now: float, registrar: str, pending: bool) -> dict[str, object]:
    """RFC 9083 §5.3. `base` is the URL of the RDAP service, with a slash at its end."""
    status = ["active"] if one.expires > now else ["redemption period"]
    events = [
        {"eventAction": "registration", "eventDate": timestamp(one.created)},
        {"eventAction": "expiration", "eventDate": timestamp(one.expires)},
    ]
    if one.changed > one.created:
        events.insert(1, {"eventAction": "last changed", "eventDate": timestamp(one.changed)})
    return {
        "rdapConformance": CONFORMANCE,
        "objectClassName": "domain",
        "handle": one.name,
        "ldhName": one.name,
        **_unicode(one.name),
        "status": [*status, *(["pending update"] if pending else [])],
        "links": [_link(f"{base}domain/{one.name}")],
        "events": events,
        "nameservers": [_server(each, base) for each in one.delegation.servers],
        "secureDNS": _secure(one.delegation.ds),
        "entities": [{"objectClassName": "entity", "handle": registrar, "roles": ["registrar"]}],
    }


def rdap_server(server: NameServer, base: str) -> dict[str, object]:
    """RFC 9083 §5.2."""
    return {"rdapConformance": CONFORMANCE, **_server(server, base)}


def rdap_help() -> dict[str, object]:
    """RFC 9083 §7."""
    return {"rdapConformance": CONFORMANCE, "notices": [_NOTICE]}


def rdap_error(status: int, title: str, description: str) -> dict[str, object]:
    """RFC 9083 §6."""
    return {"rdapConformance": CONFORMANCE, "errorCode": status, "title": title, "description": [description]}


def timestamp(wall: float) -> str:
    """RFC 3339, in whole seconds of UTC."""
    return datetime.fromtimestamp(int(wall), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _server(server: NameServer, base: str) -> dict[str, object]:
    found: dict[str, object] = {"objectClassName": "nameserver", "ldhName": server.name, **_unicode(server.name)}
    by_version = {
        version: addresses
        for version, addresses in (
            ("v4", [each for each in server.addresses if ":" not in each]),
            ("v6", [each for each in server.addresses if ":" in each]),
        )
        if addresses
    }
    if by_version:
        found["ipAddresses"] = by_version
    return found | {"links": [_link(f"{base}nameserver/{server.name}")]}


def _secure(ds: Sequence[str]) -> dict[str, object]:
    if not ds:
        return {"delegationSigned": False}
    data = []
    for text in ds:
        tag, algorithm, kind, digest = text.split(None, 3)
        data.append(
            {"keyTag": int(tag), "algorithm": int(algorithm), "digestType": int(kind), "digest": digest.replace(" ", "")}
        )
    return {"delegationSigned": True, "dsData": data}


def _unicode(name: str) -> dict[str, str]:
    shown = unicode_name(name)
    return {"unicodeName": shown} if shown != name else {}


def _link(url: str) -> dict[str, str]:
    return {"value": url, "rel": "self", "href": url, "type": RDAP}
