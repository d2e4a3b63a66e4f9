"""A shop in a small world in virtual time, and customers with browsers that keep cookies."""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from netstack.http.client import HTTPClient, Result
from netstack.http.jar import Jar
from netstack.kernel.machine import Machine
from netstack.world.loader import parse
from netstack.world.simulated.world import SimulatedWorld, bring_up

SHOP, CLIENT = "www.bigshop.test", "pc.test"
ADDRESS = {"name": "Susan", "address": "1 Packet Lane"}


def table(profile: str = "textbook", **options: object) -> dict[str, Any]:
    return {
        "profile": profile,
        "sites": {"core": {"resolver": False}, "home": {"delay": "10 ms"}},
        "zones": {".": {"site": "core", "servers": ["root.test"]}, "test": {"site": "core", "servers": ["ns.test"]}},
        "hosts": {
            SHOP: {"site": "core", "services": {"origin": {"mount": ["/=shop"], **options}}},
            CLIENT: {"site": "home"},
        },
    }


def town(profile: str = "textbook", **options: object) -> SimulatedWorld:
    return bring_up(parse(table(profile, **options), "shops", "shops"))


@dataclass
class Browser:
    """Somebody who sends forms as they were shown."""

    up: SimulatedWorld
    scheme: str = "https"
    jar: Jar = field(default_factory=Jar)
    shown: str = ""

    def ask(
        self, method: str, path: str, body: bytes = b"", fields: dict[str, str] | None = None, host: str = SHOP
    ) -> Result:
        async def go(machine: Machine) -> Result:
            client = HTTPClient(machine, jar=self.jar)
            try:
                return await client.fetch(f"{self.scheme}://{host}{path}", method, list((fields or {}).items()), body)
            finally:
                client.close()

        found: Result = self.up.ask(CLIENT, go)
        return found

    def open(self, path: str = "/") -> str:
        found = self.ask("GET", path)
        assert found.status == 200, found.body
        self.shown = found.body.decode()
        return self.shown

    def hidden(self, name: str) -> str:
        """A hidden field of the page that is shown."""
        found = re.search(rf'name="{name}" value="([^"]+)"', self.shown)
        assert found, f"no {name} in {self.shown}"
        return found[1]

    def send(self, path: str, **form: str) -> Result:
        """A form, with the token of the page that is shown."""
        told = {"token": self.hidden("token")} | form
        fields = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"{self.scheme}://{SHOP}"}
        return self.ask("POST", path, urlencode(told).encode(), fields)

    def click(self, product: str) -> Result:
        """One click."""
        self.open(f"/product/{product}")
        return self.send("/buy", product=product, once=self.hidden("once"))

    @property
    def number(self) -> int:
        """The visitor's number in the cookie."""
        [cookie] = self.jar.cookies(self.up.host(CLIENT).wall())
        return int(cookie.value.partition("-")[0])
