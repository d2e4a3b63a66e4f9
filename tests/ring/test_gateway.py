"""The ring over HTTP: keys, conditions, what goes wrong, the circle as an object and as a picture."""

import json
from base64 import b64decode
from ipaddress import ip_network
from typing import Any
from xml.etree import ElementTree

import pytest

from netstack.http.application import ApplicationLimits, ApplicationServer
from netstack.http.client import Result, fetch
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.service import HTTPService
from netstack.kernel.listen import Endpoint
from netstack.ring.gateway import Gateway, GatewayOptions, etag
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import LookedUp
from netstack.ring.picture import Picture, draw
from netstack.ring.records import Version
from tests.ring.town import Town

OPTIONS = GatewayOptions(allow=(ip_network("198.51.100.0/24"),), names=("node8.ring.test",))


class Gated(Town):
    """A town whose node 8 has a gateway, and a client elsewhere."""

    def __init__(self, options: GatewayOptions = OPTIONS, **more: Any) -> None:
        super().__init__(**{"shortcuts": False, **more})
        self.run(5.0)
        self.pc = self.simulation.host("pc", "198.51.100.1")
        self.pc.start()
        service = self.services[8]
        machine = service.machine

        def begin() -> None:
            application = ApplicationServer(
                Gateway(service, options), (machine.name,), ApplicationLimits(), requests(machine.registry), None
            )
            where = [Endpoint("tcp", 80, machine.address)]
            web: Any = HTTPService(machine, where, application, HTTPLimits(body=200_000), machine.limits, "netstack")
            web.privilegedStartService()
            web.startService()

        self.simulation.call(self.hosts[8], begin)

    def http(self, method: str, path: str, body: bytes = b"", host: str = "", **fields: str) -> Result:
        url = f"http://192.0.2.9{path}"
        sent = [(name.replace("_", "-"), value) for name, value in fields.items()] + ([("Host", host)] if host else [])
        machine = self.simulation.machine(self.pc)
        found: Result = self.simulation.ask(self.pc, lambda: fetch(machine, url, method, sent, body))
        return found


@pytest.fixture(scope="module")
def town() -> Gated:
    return Gated()


def test_a_value_is_put_read_and_removed(town: Gated) -> None:
    assert town.http("GET", "/keys/one").status == 404
    put = town.http("PUT", "/keys/one", b"\x00first")
    assert (put.status, put.body) == (204, b"")
    got = town.http("GET", "/keys/one")
    assert (got.status, got.body, got.field("content-type")) == (200, b"\x00first", "application/octet-stream")
    assert got.field("etag") == put.field("etag")
    assert town.http("HEAD", "/keys/one").status == 200
    assert town.http("GET", "/keys/one", If_None_Match=got.field("etag") or "").status == 304
    assert town.http("DELETE", "/keys/one").status == 204
    assert town.http("GET", "/keys/one").status == 404


def test_several_values_are_an_object(town: Gated) -> None:
    town.http("PUT", "/keys/list", b"a")
    town.http("POST", "/keys/list?ttl=100", b"\xff")
    got = town.http("GET", "/keys/list")
    assert got.field("content-type") == "application/json"
    values = json.loads(got.body)["values"]
    assert [b64decode(each["octets"]) for each in values] == [b"a", b"\xff"]
    assert values[0]["text"] == "a"
    assert "text" not in values[1]
    assert 90 < values[1]["seconds"] <= 100
    assert "seconds" not in values[0]
    assert town.http("GET", "/keys/list", Accept="application/octet-stream").status == 406
    town.run(101)
    assert town.http("GET", "/keys/list").body == b"a"
    assert json.loads(town.http("GET", "/keys/list", Accept="application/json").body)["values"][0]["text"] == "a"


def test_any_octets_are_a_key(town: Gated) -> None:
    for path in ("/keys/%00%FF", "/keys/a%2Fb", "/keys/a/b", "/keys/%C3%A9?quorum=3"):
        assert town.http("PUT", path, path.encode()).status == 204
    assert town.http("GET", "/keys/a/b").body == b"/keys/a/b"
    assert town.http("GET", "/keys/a%2fb").body == b"/keys/a/b"
    assert town.http("GET", "/keys/%00%ff").body == b"/keys/%00%FF"


def test_conditions(town: Gated) -> None:
    first = town.http("PUT", "/keys/c", b"1", If_None_Match="*")
    assert first.status == 204
    assert town.http("PUT", "/keys/c", b"2", If_None_Match="*").status == 412
    second = town.http("PUT", "/keys/c", b"2", If_Match=first.field("etag") or "")
    assert second.status == 204
    assert town.http("PUT", "/keys/c", b"3", If_Match=first.field("etag") or "").status == 412
    assert town.http("DELETE", "/keys/c", If_Match=first.field("etag") or "").status == 412
    assert town.http("DELETE", "/keys/c", If_Match=second.field("etag") or "").status == 204
    assert town.http("PUT", "/keys/c", b"4", If_Match="*").status == 412


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/keys/", 404, "at least one octet"),
        ("GET", "/keys/" + "k" * 1025, 414, "at most 1024"),
        ("PUT", "/keys/k?ttl=0", 400, "ttl: expected"),
        ("PUT", "/keys/k?ttl=nan", 400, "ttl: expected"),
        ("PUT", "/keys/k?ttl=soon", 400, "ttl: expected a number"),
        ("PUT", "/keys/k?quorum=4", 400, "quorum: expected 1 to 3"),
        ("GET", "/keys/k?quorum=many", 400, "quorum: expected a number"),
        ("PATCH", "/keys/k", 405, "is not for this"),
        ("PUT", "/ring", 405, "is not for this"),
        ("GET", "/elsewhere", 404, "There are /"),
        ("GET", "/lookup/", 400, "Which key"),
        ("GET", "/lookup/?ident=16", 400, "expected 0 to 15"),
    ],
)
def test_what_cannot_be_asked(town: Gated, method: str, path: str, status: int, said: str) -> None:
    found = town.http(method, path, b"x" if method == "PUT" else b"")
    assert found.status == status
    assert said in found.body.decode()
    if path.startswith("/keys/k") and status == 405:
        assert found.field("allow") == "GET, HEAD, PUT, POST, DELETE"


def test_a_value_that_is_too_large_and_a_key_with_too_many(town: Gated) -> None:
    large = town.http("PUT", "/keys/large", b"x" * 65_537)
    assert large.status == 413
    assert "at most 65536 octets" in json.loads(large.body)["detail"]
    assert town.http("PUT", "/keys/large", b"x" * 200_001).status == 413
    answers = [town.http("POST", "/keys/many", b"%d" % each).status for each in range(66)]
    assert answers == [204] * 64 + [409] * 2


def test_who_may_ask() -> None:
    town = Gated(GatewayOptions(allow=(ip_network("127.0.0.0/8"),)))
    found = town.http("GET", "/keys/one")
    assert found.status == 403
    assert "198.51.100.1 is in none of the networks" in found.body.decode()


def test_a_page_of_another_site_gets_nothing(town: Gated) -> None:
    """A name that somebody else points to this address (DNS rebinding), and forms of other pages."""
    assert town.http("GET", "/ring", host="evil.example").status == 421
    assert town.http("GET", "/ring", host="node8.ring.test").status == 200
    assert town.http("POST", "/keys/k", b"x", Origin="http://evil.example").status == 403
    assert town.http("POST", "/keys/k", b"x", Sec_Fetch_Site="cross-site").status == 403


def test_too_few_copies_answer() -> None:
    town = Gated(successors=2)
    town.http("PUT", "/keys/k", b"x")
    for ident in (1, 3, 4, 5, 10, 12, 15):
        town.hosts[ident].kill()
        del town.services[ident]
    found = town.http("PUT", "/keys/k", b"y")
    assert found.status == 503
    assert found.field("retry-after") == "1"
    assert json.loads(found.body)["reason"] in ("quorum", "unanswered", "lookup", "deadline")


def test_who_is_responsible_and_by_which_way(town: Gated) -> None:
    steps = json.loads(town.http("GET", "/lookup/?ident=14").body)
    assert steps["path"] == [8, 12, 15]
    assert steps["responsible"] == {"ident": 15, "address": town.contact(15).address}
    assert (steps["forwards"], steps["timeouts"]) == (2, 0)
    assert json.loads(town.http("GET", "/lookup/?ident=14&way=forwarding").body)["path"] == [8, 12, 15]
    named = json.loads(town.http("GET", "/lookup/some%20key").body)
    assert named["key"] == "some key"
    assert named["ident"] == Circle(4).of(b"some key")
    assert json.loads(town.http("GET", "/lookup?key=some+key").body)["ident"] == named["ident"]


def test_the_circle(town: Gated) -> None:
    town.http("GET", "/lookup/?ident=14")
    ring = json.loads(town.http("GET", "/ring?nodes=1").body)
    assert [each["ident"] for each in ring["nodes"]] == [1, 3, 4, 5, 8, 10, 12, 15]
    assert ring["node"]["ident"] == 8
    assert ring["predecessor"]["ident"] == 5
    assert [each["ident"] for each in ring["successors"]] == [10, 12]
    assert ring["lookups"][-1]["path"] == [8, 12, 15]
    assert "nodes" not in json.loads(town.http("GET", "/ring").body)
    page = town.http("GET", "/")
    assert page.status == 200
    assert "8 - 12 - 15" in page.body.decode()
    picture = town.http("GET", "/ring.svg")
    assert picture.field("content-type") == "image/svg+xml"
    assert len(_of(picture.body, "node")) == 8
    assert len(_of(picture.body, "successor")) == 2
    assert _of(picture.body, "way")


def test_a_node_that_has_no_place_yet() -> None:
    town = Gated()
    town.services[8].placed = False
    for path in ("/keys/k", "/ring", "/lookup/k"):
        found = town.http("GET", path)
        assert found.status == 503
        assert found.field("retry-after") == "1"


def _of(svg: bytes, kind: str) -> list[Any]:
    return [each for each in ElementTree.fromstring(svg).iter() if each.get("class") == kind]


def test_a_picture_of_what_others_say() -> None:
    """Addresses are of other nodes, and no markup."""
    me, other = Contact(0, "a:1"), Contact(1 << 159, "<script>&\"'")
    looked = LookedUp(1, 5, other, (0, 1 << 159), 0, 0.1)
    svg = draw(Picture(Circle(160), me, [me, other], [other], [other, other], [looked]))
    nodes = _of(svg.encode(), "node")
    assert [(each.get("cx"), each.get("cy")) for each in nodes] == [("320.0", "70.0"), ("320.0", "570.0")]
    assert "<script" not in svg
    assert len(_of(svg.encode(), "shortcut")) == 1


def test_tags_differ_when_values_do() -> None:
    version = Version(3, 255)
    assert etag(version, [b"a"]) == etag(version, [b"a"])
    assert len({etag(version, each) for each in ([b"a"], [b"b"], [b"a", b"b"], [b"ab"], [])}) == 5
    assert etag(version, [b"a"]) != etag(Version(4, 255), [b"a"])
