"""What the control socket tells of stored responses, and what it removes."""

from types import SimpleNamespace
from typing import Any

import pytest

from netstack.cli.objects import described
from netstack.kernel.machine import Ports
from netstack.world.control.objects import ObjectVerbs
from netstack.world.control.server import ControlError
from tests.cache.town import ORIGIN, Town, fresh, ok


def verbs(town: Town) -> Any:
    """Calls a verb of the cache's host."""
    host: Any = SimpleNamespace(name="cache.test", services=[SimpleNamespace(service=town.service)])
    table = ObjectVerbs(lambda arguments: host).table()

    def call(verb: str, **arguments: object) -> Any:
        stream: Any = None
        return town.simulation.ask(town.cache, lambda: table[verb](arguments, stream))

    return call


@pytest.fixture
def town() -> Town:
    made = Town(lambda request: fresh(request.path.encode(), 'ETag: "1"', "Vary: Accept-Language", seconds=100))
    made.get("/a")
    made.get("/a", ("Accept-Language", "fr"))
    made.get("/b/c")
    made.sleep(10)
    return made


def test_everything_that_is_stored_is_listed(town: Town) -> None:
    call = verbs(town)
    found = call("objects.list")
    assert found["next"] is None
    assert sorted(item["url"] for item in found["items"]) == [f"http://{ORIGIN}/{path}" for path in ("a", "a", "b/c")]
    assert {(item["status"], item["state"], item["age"], item["ttl"]) for item in found["items"]} <= {
        (200, "fresh", 10, 89), (200, "fresh", 10, 90), (200, "fresh", 11, 88), (200, "fresh", 11, 89),
    }  # fmt: skip
    below = call("objects.list", prefix=f"http://{ORIGIN}/b")
    assert [(item["url"], item["octets"]) for item in below["items"]] == [(f"http://{ORIGIN}/b/c", 4)]


def test_one_url_is_inspected(town: Town) -> None:
    found = verbs(town)("objects.inspect", url=f"HTTP://{ORIGIN}:80/a")
    assert (found["fetching"], found["passed"]) == (0, 0)
    assert [variant["vary"] for variant in found["variants"]] == [{"accept-language": "fr"}, {"accept-language": None}]
    assert ["ETag", '"1"'] in found["variants"][0]["fields"]
    text = "\n".join(described(found))
    assert "for accept-language: (without the field)" in text
    assert "2 stored" in text
    nothing = verbs(town)("objects.inspect", url=f"http://{ORIGIN}/none")
    assert "\n".join(described(nothing)) == f"http://{ORIGIN}/none: nothing stored"


def test_what_is_under_way_and_what_is_passed_is_said(town: Town) -> None:
    town.script = lambda request: [5.0, *ok(b"mine", "Cache-Control: private")]
    asked = town.begin(f"http://{ORIGIN}/mine")
    town.sleep(1)
    call = verbs(town)
    assert "1 requests to the origin under way" in described(call("objects.inspect", url=f"http://{ORIGIN}/mine"))
    town.wait(asked)
    assert call("objects.inspect", url=f"http://{ORIGIN}/mine")["passed"] > 100


@pytest.mark.parametrize(
    ("arguments", "removed", "left"),
    [
        ({"url": f"http://{ORIGIN}/a"}, 2, 1),
        ({"prefix": f"http://{ORIGIN}/"}, 3, 0),
        ({"all": True}, 3, 0),
        ({"url": f"http://{ORIGIN}/none"}, 0, 3),
    ],
)
def test_purging_by_control(town: Town, arguments: dict[str, object], removed: int, left: int) -> None:
    call = verbs(town)
    assert call("objects.purge", **arguments) == {"removed": removed}
    assert len(call("objects.list")["items"]) == left
    assert town.metric("purged_total", by="control") == removed


@pytest.mark.parametrize("arguments", [{}, {"url": "nonsense"}, {"all": "yes"}])
def test_a_purge_of_nothing_in_particular_is_refused(town: Town, arguments: dict[str, object]) -> None:
    with pytest.raises(ControlError) as refused:
        verbs(town)("objects.purge", **arguments)
    assert refused.value.kind == "usage"


def test_urls_of_a_world_whose_ports_are_shifted() -> None:
    town = Town()
    town.sleep(0.1)
    town.machine.ports = Ports(10_000)
    for url in ("http://h/a?b", "http://h:80/a?b", "HTTP://H:10080/a?b"):
        assert town.proxy.url_key(url) == b"GET http://h/a?b"
    assert town.proxy.url_key("http://h:8080/") == b"GET http://h:8080/"
    assert town.proxy.url_key("https://h:10443") == b"GET https://h/"
