"""`netstack ring put|get|rm|lookup|show|join|leave`: keys of a ring, the way to them, and its nodes."""

import argparse
import base64
import sys
from collections.abc import Iterator
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS, USAGE, CommandError
from netstack.ring.identifiers import place

PLUGIN = "netstack-ring"


def run(options: argparse.Namespace) -> int:
    """As the action says, at a node: that of --at, or the first that is on the circle."""
    with Client(options.name) as client:
        host = getattr(options, "host", None) or options.at or _node(client)
        return {"put": put, "get": get, "rm": remove, "lookup": look_up, "show": show, "join": join, "leave": leave}[
            options.action
        ](client, host, options)


def put(client: Client, host: str, options: argparse.Namespace) -> int:
    """Set a value, or add one."""
    value = sys.stdin.buffer.read() if options.value is None else options.value.encode()
    found = client.call(
        "ring.put", host=host, key=options.key, value=base64.b64encode(value).decode(), ttl=options.ttl, add=options.add
    )
    return _said(found, options, f"{options.key}: version {found['version']}, in {found['copies']} copies")


def get(client: Client, host: str, options: argparse.Namespace) -> int:
    """The values, a line each; one alone as it is."""
    found = client.call("ring.get", host=host, key=options.key)
    values = [base64.b64decode(each) for each in found["values"]]
    if options.json:
        render.print_json(found)
    elif len(values) == 1 and not sys.stdout.isatty():
        sys.stdout.buffer.write(values[0])
        sys.stdout.flush()
    else:
        for each in values:
            print(each.decode("utf-8", "backslashreplace"))
    if not values and not options.json:
        print(f"no value is kept under {options.key}", file=sys.stderr)
    return PASS if values else FAIL


def remove(client: Client, host: str, options: argparse.Namespace) -> int:
    """All values of a key."""
    found = client.call("ring.remove", host=host, key=options.key)
    return _said(found, options, f"{options.key} is removed")


def look_up(client: Client, host: str, options: argparse.Namespace) -> int:
    """Who is responsible, and by which way."""
    if (options.key is None) == (options.ident is None):
        raise CommandError("expected a key, or --ident NUMBER", USAGE, "usage")
    asked = {"key": options.key} if options.ident is None else {"ident": options.ident}
    found = client.call("ring.lookup", host=host, forwarding=options.forwarding, trace=options.trace, **asked)
    if options.json:
        render.print_json(found)
    else:
        print("\n".join(way(found)))
        if options.trace:
            for row in found["messages"]:
                print(render.message_line(row))
    return PASS if found["responsible"] is not None else FAIL


def show(client: Client, host: str, options: argparse.Namespace) -> int:
    """What nodes know: of all, unless one is named."""
    found = (
        {host: client.call("ring.show", host=host)}
        if options.host
        else {each: _shown(client, each) for each in _nodes(client)}
    )
    if options.json:
        render.print_json(found)
        return PASS
    for name, node in found.items():
        if "error" in node:
            print(node["error"])
            continue
        before = node["predecessor"]
        after = " ".join(str(each["ident"]) for each in node["successors"])
        print(
            f"{name}  {node['node']['ident']}  before it {before['ident'] if before else '-'}  after it {after}  "
            f"{node['keys']} keys"
        )
        if not node["placed"]:
            print(
                f"  no place on the circle yet. {node['trouble']}".rstrip(". ")
                + f": `netstack ring join {name}` has it try now"
            )
        for exponent, each in node["shortcuts"].items() if options.host else ():
            print(f"  shortcut {exponent}: {each['ident']} {each['address']}")
    return PASS


def leave(client: Client, host: str, options: argparse.Namespace) -> int:
    """A node hands over what it has and goes."""
    found = client.call("ring.leave", host=host)
    return _said(found, options, f"{host} has left the circle")


def join(client: Client, host: str, options: argparse.Namespace) -> int:
    """A node that has left, or has no place yet, comes into the circle that others are in."""
    places = _places(client)
    through = []
    for each in options.through or [name for name in places if name != host]:
        place = places.get(each, each)
        if ":" not in place:
            raise CommandError(
                f"{each} is no node of the ring that runs; expected one of {', '.join(places) or 'none'}, or HOST:PORT",
                USAGE, "usage",
            )  # fmt: skip
        through.append(place)
    if not through:
        raise CommandError(f"no other node runs that {host} could join through: name one with --through HOST:PORT")
    found = client.call("ring.join", host=host, through=through)
    return _said(found, options, f"{host} has a place on the circle, before {found['successor']['ident']}")


def way(found: dict[str, Any]) -> Iterator[str]:
    """A look-up, for people."""
    path = " - ".join(str(each) for each in found["path"])
    if found["responsible"] is None:
        yield f"{found['ident']}: nobody responsible was found, {found['timeouts']} nodes did not answer"
        return
    count = found["forwards"]
    told = f"{count} {'forward' if count == 1 else 'forwards'} ({max(0, count - 1)} up to the one before it)"
    yield f"{found['ident']} belongs to {found['responsible']['ident']} {found['responsible']['address']}"
    yield f"{path}: {told}, {1000 * found['seconds']:.1f} ms"


def _said(found: Any, options: argparse.Namespace, line: str) -> int:
    if options.json:
        render.print_json(found)
    else:
        print(line)
    return PASS


def _places(client: Client) -> dict[str, str]:
    """Nodes that run, and where they listen."""
    return {
        name: place(endpoint["address"], endpoint["port"])
        for name, host in client.call("status")["hosts"].items()
        for service in host["services"]
        if service["plugin"] == PLUGIN
        for endpoint in service["endpoints"][:1]
    }


def _nodes(client: Client) -> list[str]:
    found = list(_places(client))
    if not found:
        raise CommandError("the world has no ring; textbook has one of eight nodes", USAGE, "usage")
    return found


def _shown(client: Client, host: str) -> dict[str, Any]:
    """What a node knows; of one that has left {"error": what was said}."""
    try:
        found: dict[str, Any] = client.call("ring.show", host=host)
    except CommandError as error:
        if error.kind != "failed":
            raise
        return {"error": str(error)}
    return found


def _node(client: Client) -> str:
    """The first that is on the circle; the first of all where none is."""
    nodes = _nodes(client)
    return next((each for each in nodes if _shown(client, each).get("placed")), nodes[0])
