"""A small world with a registry, a registrar and a client, in virtual time; requests as a client there sends them."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from netstack.dns.client import query
from netstack.http.client import FetchError, Result, fetch
from netstack.kernel.machine import Machine
from netstack.world.loader import parse
from netstack.world.simulated.world import SimulatedWorld, bring_up

REGISTRAR, REGISTRY, CLIENT = "registrar.test", "a.nic.com", "pc.test"
SECRET = "correct horse battery"
SERVERS = [
    {"name": "dns1.utopia.com", "addresses": ["10.9.0.1", "2001:db8::1"]},
    {"name": "dns2.utopia.com", "addresses": ["10.9.0.2"]},
]
WISH = {"name": "utopia.com", "servers": SERVERS, "secret": SECRET, "registrant": "Alice"}


def table(profile: str = "textbook", **options: object) -> dict[str, Any]:
    return {
        "profile": profile,
        "sites": {"core": {"resolver": False}, "home": {"delay": "10 ms"}},
        "zones": {
            ".": {"site": "core", "servers": ["root.test"]},
            "com": {"site": "core", "servers": [REGISTRY, "b.nic.com"], "updates": REGISTRAR},
            "test": {"site": "core", "servers": ["ns.test"]},
        },
        "hosts": {
            REGISTRAR: {"site": "core", "services": {"registrar": options}},
            CLIENT: {"site": "home"},
            "www.deep.com": {"site": "home"},
        },
    }


@dataclass
class Town:
    up: SimulatedWorld

    def ask(
        self, method: str, path: str, body: object = None, secret: str = "", scheme: str = "https", **more: str
    ) -> Result:
        """A request of the client; `more` are fields, with _ for -. A body that is not octets is sent as JSON."""
        fields = {"Content-Type": "application/json"} if body is not None else {}
        if secret:
            fields["Authorization"] = f"Bearer {secret}"
        fields |= {name.replace("_", "-"): value for name, value in more.items()}
        octets = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()

        async def go(machine: Machine) -> Result:
            return await fetch(machine, f"{scheme}://{REGISTRAR}{path}", method, list(fields.items()), octets)

        found: Result = self.up.ask(CLIENT, go)
        return found

    def send(self, path: str, form: dict[str, Any], **more: str) -> Result:
        """A form as a browser sends it."""
        told = {"Content_Type": "application/x-www-form-urlencoded", "Origin": f"https://{REGISTRAR}"} | more
        return self.ask("POST", path, urlencode(form, doseq=True).encode(), **told)

    def register(self, **changes: object) -> Result:
        return self.ask("POST", "/api/domains", WISH | changes)

    def records(self, server: str, name: str, rdtype: str = "NS") -> list[str]:
        """What a name server says of a name, referrals with their glue, in order."""
        address = self.up.running.table.first(server)

        async def go(machine: Machine) -> list[str]:
            reply = await query(machine, (address, machine.port(53)), name, rdtype, recursion_desired=False)
            sections = (*reply.answer, *reply.authority, *reply.additional)
            return sorted(str(rdata) for rrset in sections for rdata in rrset if rrset.rdtype != 6)

        found: list[str] = self.up.ask(CLIENT, go)
        return found


def town(profile: str = "textbook", **options: object) -> Town:
    return Town(bring_up(parse(table(profile, **options), "town", "town")))


def read(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.body)
    return found


__all__ = ["CLIENT", "REGISTRAR", "REGISTRY", "SECRET", "SERVERS", "WISH", "FetchError", "Town", "read", "town"]
