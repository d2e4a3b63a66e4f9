"""The registrar over HTTP in virtual time: API, RDAP, forms; every way to be refused."""

import re

import pytest

from netstack.world.simulated.world import bring_up
from tests.registrar.town import REGISTRAR, REGISTRY, SECRET, SERVERS, WISH, Town, read, town

DS = "12345 13 2 " + "ab" * 32
GLUE = ["10.9.0.1", "10.9.0.2", "2001:db8::1", "dns1.utopia.com.", "dns2.utopia.com."]


@pytest.fixture(scope="module")
def shared() -> Town:
    """For requests that change nothing, or other domains than each other's."""
    up = town(limits={"client-changes": 1000})
    assert up.register(name="taken.com", servers=["ns.x.test", "ns.y.test"]).status == 201
    return up


def test_a_domain_s_life() -> None:
    here = town()
    assert read(here.ask("GET", "/api/domains/utopia.com")) == {"name": "utopia.com", "available": True}
    made = here.register(ds=[DS])
    assert (made.status, made.field("location")) == (201, "/rdap/domain/utopia.com")
    assert read(made) | {"ds": 0, "created": 0, "changed": 0, "expires": 0} == {
        "name": "utopia.com", "unicode_name": "utopia.com", "state": "registered", "servers": SERVERS, "ds": 0,
        "registrant": "Alice", "created": 0, "changed": 0, "expires": 0,
    }  # fmt: skip
    for server in (REGISTRY, "b.nic.com"):
        assert here.records(server, "www.utopia.com", "A") == GLUE
        assert here.records(server, "utopia.com", "DS") == [DS]
    assert read(here.ask("GET", "/api/domains/utopia.com"))["available"] is False

    other = {"servers": [{"name": "ns.utopia.com", "addresses": ["10.9.9.9"]}, "ns.elsewhere.test"]}
    changed = here.ask("PUT", "/api/domains/utopia.com/servers", other, SECRET)
    assert changed.status == 200
    assert here.records(REGISTRY, "utopia.com") == ["10.9.9.9", "ns.elsewhere.test.", "ns.utopia.com."]
    assert here.records(REGISTRY, "utopia.com", "DS") == []
    assert here.records(REGISTRY, "dns1.utopia.com", "A") == ["10.9.9.9", "ns.elsewhere.test.", "ns.utopia.com."]

    before = read(changed)["expires"]
    renewed = read(here.ask("POST", "/api/domains/utopia.com/renewal", {"years": 2}, SECRET))
    assert int(renewed["expires"][:4]) == int(before[:4]) + 2
    handed = read(here.ask("POST", "/api/domains/utopia.com/transfer", {"registrant": "Bob"}, SECRET))
    assert handed["registrant"] == "Bob"
    assert here.ask("DELETE", "/api/domains/utopia.com", None, SECRET).status == 403, "the old secret is worth nothing"
    assert here.ask("DELETE", "/api/domains/utopia.com", None, handed["secret"]).status == 204
    assert here.records(REGISTRY, "utopia.com") == []
    assert here.ask("GET", "/rdap/domain/utopia.com").status == 404
    assert here.register().status == 201, "and it is free again"


def test_the_same_request_again_is_no_other_domain() -> None:
    here = town()
    assert here.register().status == 201
    again = here.register()
    assert (again.status, read(again)["state"]) == (200, "registered")
    assert here.register(secret="another secret").status == 409
    assert here.register(servers=["ns.x.test", "ns.y.test"]).status == 409
    made = here.register(name="made.com", servers=["ns.x.test", "ns.y.test"], secret="")
    assert re.fullmatch(r"([a-z2-9]{6}-){3}[a-z2-9]{6}", read(made)["secret"])


@pytest.mark.parametrize(
    ("changes", "field", "status"),
    [
        ({"name": "taken.com", "servers": ["ns.x.test", "ns.z.test"]}, "name", 409),
        ({"name": "b.nic.com"}, "name", 422),
        (
            {"name": "deep.com", "servers": ["ns.x.test", "ns.y.test"]},
            "name",
            409,
        ),  # a host of the zone itself is called www.deep.com
        ({"name": "utopia.org"}, "name", 422),
        ({"servers": SERVERS[:1]}, "servers", 422),
        ({"servers": "dns1"}, "servers", 422),
        ({"servers": [1, 2]}, "servers[0]", 422),
        ({"servers": [{"name": "a.test", "adresses": []}, "b.test"]}, "servers[0]", 422),
        ({"ds": [DS[:-2]]}, "ds[0]", 422),
        ({"ds": DS}, "ds", 422),
        ({"secret": "short"}, "secret", 422),
        ({"secret": 12}, "secret", 422),
        ({"registrant": "x" * 201}, "registrant", 422),
        ({"years": 11}, "years", 422),
        ({"year": 1}, "year", 422),
    ],
)
def test_registrations_that_are_refused(shared: Town, changes: dict[str, object], field: str, status: int) -> None:
    told = shared.register(**changes)
    assert (told.status, told.field("content-type")) == (status, "application/problem+json")
    assert (read(told)["field"], read(told)["status"]) == (field, status)
    assert shared.ask("GET", "/rdap/domain/utopia.com").status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "more", "status"),
    [
        ("POST", "/api/domains", b"{", {}, 422),
        ("POST", "/api/domains", b"[" * 50_000, {}, 422),
        ("POST", "/api/domains", b"[]", {}, 422),
        ("POST", "/api/domains", b'"\xff"', {}, 422),
        ("POST", "/api/domains", b"{}", {"Content_Type": "text/plain"}, 415),
        ("POST", "/api/domains", b"x" * 65_537, {}, 413),
        ("GET", "/api/domains", None, {}, 405),
        ("PUT", "/api/domains/taken.com", b"{}", {}, 405),
        ("PUT", "/api/domains/taken.com/servers", b"{}", {}, 401),
        ("DELETE", "/api/domains/taken.com", None, {}, 401),
        ("DELETE", "/api/domains/taken.com", None, {"Authorization": "Basic eDp5"}, 401),
        ("DELETE", "/api/domains/nobody.com", None, {"Authorization": "Bearer x"}, 404),
        ("DELETE", "/api/domains/taken.com", None, {"Authorization": "Bearer x"}, 403),
        ("GET", "/api/domains/a%FF.com", None, {}, 400),
        ("GET", "/api/domains/a.org", None, {}, 422),
        ("GET", "/nowhere", None, {}, 404),
        ("GET", "/api/domains/taken.com/secret", None, {}, 404),
        ("GET", "/", None, {"Host": "elsewhere.test"}, 421),
        ("GET", "/?name=a.org", None, {}, 422),
        ("GET", "/manage?name=nobody.com", None, {}, 404),
        ("GET", "/rdap/domain/-.com", None, {}, 400),
        ("GET", "/rdap/nameserver/ns.nobody.test", None, {}, 404),
        ("GET", "/rdap/ip/10.0.0.1", None, {}, 404),
        ("POST", "/rdap/help", b"{}", {}, 405),
    ],
)
def test_requests_that_are_refused(
    shared: Town, method: str, path: str, body: bytes | None, more: dict[str, str], status: int
) -> None:
    told = shared.ask(method, path, body, **more)
    assert told.status == status
    if path.startswith("/rdap/"):
        assert told.field("content-type") == "application/rdap+json"
        assert read(told)["errorCode"] == status
    if status == 405:
        assert told.field("allow")


def test_rdap(shared: Town) -> None:
    here = shared
    assert here.register(name="bücher.com", servers=[{"name": "a.bücher.com", "addresses": ["10.9.0.1", "2001:db8::1"]},
                                                     "ns.x.test"], ds=[DS]).status == 201  # fmt: skip
    for name in ("xn--bcher-kva.com", "XN--BCHER-KVA.com", "b%C3%BCcher.com"):
        found = here.ask("GET", f"/rdap/domain/{name}")
        assert (found.status, found.field("content-type")) == (200, "application/rdap+json")
        assert found.field("access-control-allow-origin") == "*"
        told = read(found)
        assert (told["objectClassName"], told["ldhName"], told["unicodeName"]) == (
            "domain", "xn--bcher-kva.com", "bücher.com",
        )  # fmt: skip
        assert told["status"] == ["active"]
        assert [event["eventAction"] for event in told["events"]] == ["registration", "expiration"]
        assert told["nameservers"][0]["ipAddresses"] == {"v4": ["10.9.0.1"], "v6": ["2001:db8::1"]}
        assert told["secureDNS"] == {
            "delegationSigned": True,
            "dsData": [{"keyTag": 12345, "algorithm": 13, "digestType": 2, "digest": "ab" * 32}],
        }
        assert "Alice" not in str(told), "registrants are nobody's business"
    server = read(here.ask("GET", "/rdap/nameserver/a.xn--bcher-kva.com"))
    assert (server["objectClassName"], server["ipAddresses"]["v4"]) == ("nameserver", ["10.9.0.1"])
    assert here.ask("HEAD", "/rdap/domain/taken.com").status == 200
    assert read(here.ask("GET", "/rdap/help"))["rdapConformance"] == ["rdap_level_0"]


def token(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_the_forms() -> None:
    here = town()
    page = here.ask("GET", "/?name=utopia.com").body.decode()
    form = {
        "token": token(page), "name": "utopia.com", "server": ["dns1.utopia.com", "dns2.utopia.com", "", ""],
        "addresses": ["10.9.0.1, 2001:db8::1", "10.9.0.2", "", ""], "registrant": "<b>Alice</b>", "ds": "\r\n", "years": "1",
    }  # fmt: skip
    wrong = here.send("/register", form | {"server": ["dns1.utopia.com", ""], "ds": "x"})
    assert wrong.status == 422
    assert "2 to 13 name servers" in wrong.body.decode()
    assert "&lt;b&gt;Alice" in wrong.body.decode(), "what was typed is there again, escaped"
    done = here.send("/register", form)
    assert done.status == 201
    assert (
        done.field(
            "content-security-policy",
        )
        is not None
    )
    found = re.search(r'class="secret">([^<]+)<', done.body.decode())
    assert found is not None
    assert here.records(REGISTRY, "utopia.com") == GLUE
    assert "it cannot be registered" in here.ask("GET", "/?name=utopia.com").body.decode()

    page = here.ask("GET", "/manage?name=utopia.com").body.decode()
    assert "dns1.utopia.com" in page
    act = {"token": token(page), "name": "utopia.com", "secret": found[1]}
    assert here.send("/manage", act | {"action": "renewal", "years": "2", "secret": "wrong"}).status == 403
    assert here.send("/manage", act | {"action": "renewal", "years": "2"}).status == 200
    servers = {"server": ["ns.x.test", "ns.y.test"], "addresses": ["", ""], "ds": DS}
    assert here.send("/manage", act | servers | {"action": "servers"}).status == 200
    assert here.records(REGISTRY, "utopia.com") == ["ns.x.test.", "ns.y.test."]
    assert here.send("/manage", act | {"action": "nonsense"}).status == 400
    handed = here.send("/manage", act | {"action": "transfer", "registrant": "Bob"}).body.decode()
    fresh = re.search(r'class="secret">([^<]+)<', handed)
    assert fresh is not None
    assert here.send("/manage", act | {"action": "deletion"}).status == 403
    assert here.send("/manage", act | {"action": "deletion", "secret": fresh[1]}).status == 200
    assert here.records(REGISTRY, "utopia.com") == []


def test_forms_of_other_pages_are_not_taken(shared: Town) -> None:
    good = token(shared.ask("GET", "/?name=utopia.com").body.decode())
    form = {"token": good, "name": "utopia.com", "server": ["ns.x.test", "ns.y.test"], "addresses": ["", ""], "years": "1"}
    for changes, more in (
        ({}, {"Origin": "https://evil.test"}),
        ({}, {"Origin": "null"}),
        ({}, {"Sec_Fetch_Site": "cross-site"}),
        ({"token": ""}, {}),
        ({"token": "1.ff"}, {}),
        ({"token": "\u2665.\u2665"}, {}),
        ({"token": "9" + good}, {}),
    ):
        told = shared.send("/register", form | changes, **more)
        assert told.status == 403, (changes, more)
        assert told.field("content-type") == "text/html; charset=utf-8"
    shared.up.simulation.run(for_seconds=3 * 3600)
    assert shared.send("/register", form).status == 403, "a token does not last"
    assert shared.ask("GET", "/rdap/domain/utopia.com").status == 404


def test_secrets_do_not_cross_the_network_in_the_clear() -> None:
    strict = town("hardened")
    assert strict.ask("POST", "/api/domains", WISH, scheme="http").status == 403
    assert strict.ask("GET", "/rdap/help", scheme="http").status == 200
    assert strict.register().status == 201
    assert town("textbook").ask("POST", "/api/domains", WISH, scheme="http").status == 201


def test_guessing_and_hurrying_have_bounds() -> None:
    here = town(limits={"wrong-secrets": 3, "client-changes": 2.0})
    assert here.register().status == 201

    def guess(secret: str) -> int:
        here.up.simulation.run(for_seconds=1)
        return here.ask("DELETE", "/api/domains/utopia.com", None, secret).status

    assert [guess(f"wrong{number}") for number in range(4)] == [403, 403, 403, 429]
    assert guess(SECRET) == 429, "nor does the right one count now: who guesses learns nothing"
    here.up.simulation.run(for_seconds=120)
    assert guess(SECRET) == 204
    hurried = [here.register(name=f"d{number}.com", servers=["ns.x.test", "ns.y.test"]).status for number in range(6)]
    assert 429 in hurried
    full = town(limits={"domains": 1})
    assert [full.register(name=f"d{n}.com", servers=["ns.x.test", "ns.y.test"]).status for n in range(2)] == [201, 503]


def test_what_is_counted() -> None:
    here = town()
    here.register()
    here.register(secret="another secret")
    here.ask("GET", "/rdap/domain/utopia.com")
    registry = here.up.running.hosts[REGISTRAR].machine.registry
    assert registry.get_sample_value("netstack_registrar_changes_total", {"kind": "registration", "outcome": "done"}) == 1
    assert registry.get_sample_value("netstack_registrar_domains") == 1
    assert registry.get_sample_value("netstack_registrar_wrong_secrets_total") == 1
    assert registry.get_sample_value("netstack_registrar_lookups_total") == 1
    assert bring_up(here.up.world).running.awaited() == 0


def test_a_domain_whose_time_is_over_goes() -> None:
    here = town()
    here.register()
    here.up.simulation.run(for_seconds=366 * 86400)
    assert read(here.ask("GET", "/rdap/domain/utopia.com"))["status"] == ["redemption period"]
    here.up.simulation.run(for_seconds=30 * 86400)
    assert here.ask("GET", "/rdap/domain/utopia.com").status == 404
    assert here.records(REGISTRY, "utopia.com") == []


def test_signed_zones_take_registrations_too() -> None:
    here = town("hardened")
    assert here.register(ds=[DS]).status == 201
    assert here.records("b.nic.com", "www.utopia.com", "A") == GLUE
    assert here.records("b.nic.com", "utopia.com", "DS") == [DS]
