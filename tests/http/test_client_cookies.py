"""The client's cookies: kept, sent again, from which pages, in a file that other programs read."""

import http.cookiejar
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.http.answers import content
from netstack.http.application import ApplicationLimits, ApplicationServer, Call
from netstack.http.client import HTTPClient, Result
from netstack.http.cookiefile import HEAD, BadFile, dumped, loaded
from netstack.http.events import Respond
from netstack.http.jar import Jar
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.service import HTTPService
from netstack.http.wire import Request
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint
from netstack.kernel.resolver import FakeResolver
from netstack.sansio import Peer
from netstack.world.simulated import Simulation

WALL = 1_700_000_000.0
NAMES = ("www.a.test", "shop.a.test", "www.b.test")


class Setting:
    """Sets the cookies that the query asks for, and says which came; /go leads to another place."""

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        return None

    def answer(self, call: Call) -> Respond:
        query = call.request.query or ""
        if call.request.path == "/go":
            return Respond(302, f"Location: {query}\r\n".encode())
        told = "".join(f"Set-Cookie: {each.replace('+', ' ')}\r\n" for each in query.split("&") if each)
        return content(200, "text/plain", call.request.fields.get("cookie", "").encode(), told.encode())


class Stage:
    def __init__(self) -> None:
        self.simulation = Simulation(1)
        server = self.simulation.host("www.a.test", "10.0.0.1")
        machine = self.simulation.machine(server, names=NAMES)
        application = ApplicationServer(Setting(), NAMES, ApplicationLimits(), requests(machine.registry), None)
        places = [Endpoint.parse(f"{text}:interface=10.0.0.1") for text in ("tcp:80", "tls:443")]
        service: Any = HTTPService(machine, places, application, HTTPLimits(), StreamLimits(), "")
        self.simulation.call(server, service.startService)
        self.client = self.simulation.host("pc.test", "10.0.0.2")
        resolver = FakeResolver({(name, "A"): ["10.0.0.1"] for name in NAMES})
        self.machine = self.simulation.machine(self.client, resolver=resolver)
        self.jar = Jar()

    def get(self, url: str, page: str | None = None, redirects: int = 0, **fields: str) -> str:
        from netstack.http.client import ClientOptions

        async def go() -> Result:
            client = HTTPClient(self.machine, ClientOptions(redirects=redirects), self.jar)
            try:
                return await client.fetch(url, fields=list(fields.items()), page=page)
            finally:
                client.close()

        outcome = self.simulation.call(self.client, go)
        self.simulation.run(for_seconds=10)
        found: Result = outcome.value
        return found.body.decode()


def test_cookies_go_back_to_where_they_came_from() -> None:
    stage = Stage()
    stage.get("http://www.a.test/shop/?here=1&root=2;+Path=/&all=3;+Path=/;+Domain=a.test&dropped=4;+Domain=b.test")
    assert stage.get("http://www.a.test/shop/cart") == "here=1; root=2; all=3"
    assert stage.get("http://www.a.test/") == "root=2; all=3"
    assert stage.get("http://shop.a.test/") == "all=3"
    assert stage.get("http://www.b.test/") == ""
    assert stage.get("http://www.a.test/", Cookie="mine=0") == "mine=0", "a field of one's own counts"
    stage.get("https://www.a.test/?safe=5;+Secure;+Path=/")
    assert "safe" not in stage.get("http://www.a.test/")
    assert "safe=5" in stage.get("https://www.a.test/")
    stage.get("http://www.a.test/?root=;+Path=/;+Max-Age=0")
    assert "root" not in stage.get("http://www.a.test/")


def test_each_redirect_gets_the_cookies_of_its_own_host() -> None:
    stage = Stage()
    stage.get("http://www.a.test/?a=1;+Path=/")
    stage.get("http://www.b.test/?b=2;+Path=/")
    assert stage.get("http://www.a.test/go?http://www.b.test/", redirects=1) == "b=2"


@pytest.mark.parametrize(
    ("page", "sent"),
    [
        (None, "none lax strict"),
        ("https://www.a.test/", "none lax strict"),
        ("https://shop.a.test/", "none lax strict"),
        ("https://www.b.test/", "none"),
        ("http://www.a.test/", "none"),
    ],
)
def test_pages_of_other_sites(page: str | None, sent: str) -> None:
    """RFC 6265bis §5.2: a site is a scheme and a domain below a public one."""
    stage = Stage()
    stage.get("https://www.a.test/?none=;+Secure;+SameSite=None&lax=;+SameSite=Lax&strict=;+SameSite=Strict")
    found = stage.get("https://www.a.test/", page)
    assert " ".join(each.partition("=")[0] for each in found.split("; ")) == sent


def filled() -> Jar:
    jar = Jar()
    for text in (
        "one=1; Max-Age=1000; Path=/", "two=2; Domain=a.test; Max-Age=1000; HttpOnly", "three=3; Secure; SameSite=None",
        "session=4; SameSite=Strict", "old=5; Max-Age=5",
    ):  # fmt: skip
        assert jar.take(text, "www.a.test", "/shop/x", True, WALL)
    return jar


def fields(jar: Jar, wall: float) -> list[object]:
    return [jar.field(host, "/shop/", True, wall, same) for host in ("www.a.test", "x.a.test") for same in (True, False)]


def test_a_file_keeps_them_all() -> None:
    jar = filled()
    text = dumped(jar, WALL + 10)
    again = loaded(text, WALL + 10)
    assert dumped(again, WALL + 10) == text
    assert sorted(str(fields(again, WALL + 20))) == sorted(str(fields(jar, WALL + 20)))
    assert "old" not in text
    assert "session" not in dumped(jar, WALL, session=False)


def test_python_s_own_reads_it_and_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    file.write_text(dumped(filled(), WALL))
    theirs = http.cookiejar.MozillaCookieJar(str(file))
    theirs.load(ignore_discard=True, ignore_expires=True)
    read = {(cookie.name, cookie.value, cookie.domain) for cookie in theirs}
    assert read >= {("one", "1", "www.a.test"), ("two", "2", ".a.test")}
    theirs.save(ignore_discard=True, ignore_expires=True)
    again = loaded(file.read_text(), WALL)
    assert again.field("x.a.test", "/shop/", True, WALL) == "two=2"


@pytest.mark.parametrize(
    "line",
    [
        "a.test\tTRUE\t/\tFALSE\t0\tname", "a.test\tTRUE\tx\tFALSE\t0\tname\tvalue", "\tTRUE\t/\tFALSE\t0\tname\tvalue",
        "a.test\tTRUE\t/\tFALSE\tsoon\tname\tvalue", "what is this", "a.test\tTRUE\t/\tFALSE\t" + "9" * 40 + "\tn\tv",
    ],
)  # fmt: skip
def test_lines_that_are_no_cookies(line: str) -> None:
    with pytest.raises(BadFile, match="line 2"):
        loaded(f"{HEAD}{line}\n", WALL)


@given(st.text())
def test_any_text_is_a_jar_or_refused(text: str) -> None:
    with suppress(BadFile):
        assert len(loaded(text, WALL)) <= 3000
