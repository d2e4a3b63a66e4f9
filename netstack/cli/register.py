"""`netstack register DOMAIN --ns NAME ...`: a client of the registrar's API, as on a host of the world."""

import argparse
import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS, USAGE, CommandError

PLUGIN = "netstack-registrar"


def run(options: argparse.Namespace) -> int:
    """0 when the domain is registered, or given up with --delete; else 1, and why."""
    if options.delete and not options.secret:
        raise CommandError("--delete needs the domain's --secret", USAGE, "usage")
    if not options.delete and not options.ns:
        raise CommandError("expected its name servers: --ns NAME[=ADDRESS,...], the primary first", USAGE, "usage")
    with Client(options.name) as client:
        hosts = client.call("status")["hosts"]
        place = f"https://{registrar(hosts)}/api/domains"
        if options.delete:
            headers = [["Authorization", f"Bearer {options.secret}"]]
            sent = {"url": f"{place}/{options.domain}", "method": "DELETE", "headers": headers}
        else:
            body = json.dumps(wish(options, hosts)).encode()
            headers = [["Content-Type", "application/json"]]
            sent = {"url": place, "method": "POST", "headers": headers, "content": base64.b64encode(body).decode()}
        found = client.call("get", host=options.host, **sent)
    answer = base64.b64decode(found["body"])
    told: Mapping[str, Any] = json.loads(answer) if answer else {"state": "deleted"}
    if options.json:
        render.print_json(told)
    else:
        render.console(error=found["status"] >= 400).print(said(options.domain, found["status"], told), markup=False)
    return PASS if found["status"] < 400 else FAIL


def registrar(hosts: Mapping[str, Any]) -> str:
    """The host that registers domains."""
    for name, host in hosts.items():
        if any(service["plugin"] == PLUGIN for service in host["services"]):
            return name
    raise CommandError("no host of this world is a registrar", USAGE, "usage")


def wish(options: argparse.Namespace, hosts: Mapping[str, Any]) -> dict[str, object]:
    """What the API is sent; a server within the domain that is a host of the world has its addresses from there."""
    told = {
        "name": options.domain,
        "servers": [server(text, options.domain, hosts) for text in options.ns],
        "ds": options.ds,
    }
    return told | ({"secret": options.secret} if options.secret else {})


def server(text: str, domain: str, hosts: Mapping[str, Any]) -> dict[str, object]:
    """From NAME or NAME=ADDRESS,..."""
    name, _, given = text.partition("=")
    addresses: Sequence[str] = given.split(",") if given else ()
    if not given and name in hosts and f".{name}".endswith(f".{domain}"):
        addresses = hosts[name]["addresses"]
    return {"name": name, "addresses": list(addresses)}


def said(domain: str, status: int, told: Mapping[str, Any]) -> str:
    """For people."""
    if status >= 400:
        return f"netstack: {told.get('detail') or told.get('title') or status}"
    if told["state"] == "deleted":
        return f"{domain} is given up"
    lines = [f"{told['name']} is {told['state']}, until {told['expires'][:10]}"]
    lines += [f"  {' '.join((each['name'], *each['addresses']))}" for each in told["servers"]]
    if "secret" in told:
        lines.append(f"its secret, which is shown this once: {told['secret']}")
    return "\n".join(lines)
