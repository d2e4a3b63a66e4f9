"""Poisoning and deception: what one client sends never changes what another gets, and what is one client's is nobody else's.

Cache keys are method and target URI (RFC 9111 §2) and what Vary names; all else that an origin might look at is "unkeyed".
"""

import pytest

from netstack.http.wire import Request
from tests.cache.test_faults import raw
from tests.cache.town import ORIGIN, Step, Town, fresh, ok

EVIL = "evil.test"
UNKEYED = [
    "X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Protocol",
    "X-Forwarded-Port", "X-Forwarded-For", "X-Forwarded-Prefix", "X-Forwarded-Path", "X-Forwarded-URI",
    "X-Forwarded-SSL", "X-Forwarded-By", "X-Forwarded", "Forwarded", "Forwarded-For", "X-Host", "X-Original-Host",
    "X-HTTP-Host-Override", "X-Backend-Host", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Request-URI",
    "X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-DestinationURL", "X-Envoy-Original-Path",
    "X-Script-Name", "X-Scheme", "X-URL-Scheme", "Front-End-Https", "X-Real-IP", "X-Client-IP", "Client-IP",
    "True-Client-IP", "CF-Connecting-IP", "X-Cluster-Client-IP", "X-ProxyUser-IP", "X-WAP-Profile", "X-Sendfile-Type",
    "X-Accel-Mapping", "Proxy", "X-Middleware-Prefetch", "X-Middleware-Subrequest", "X-Invoke-Path", "X-Invoke-Status",
]  # fmt: skip


def reflecting(request: Request) -> list[Step]:
    """An origin that believes everything that it is told, and says that it may be stored."""
    told = " ".join(f"{name}={value}" for name, value in request.fields.items() if name not in ("via", "accept"))
    return [*fresh(f"{request.method} {request.target} {told}".encode())]


@pytest.mark.parametrize("name", UNKEYED)
@pytest.mark.parametrize("forwarded", ["off", "both"])
def test_what_a_client_says_of_itself_changes_nothing_for_others(name: str, forwarded: str) -> None:
    town = Town(reflecting, forwarded=forwarded)
    attacker = town.get("/", (name, EVIL))
    chains = ("X-Forwarded-For", "Forwarded") if forwarded == "both" else ()
    if name not in chains:  # who asks to be told for whom a request is, gets the whole chain, and has to vary with it
        assert EVIL.encode() not in attacker.body
        victim = town.get("/")
        assert EVIL.encode() not in victim.body
        assert victim.told == "hit"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/a", "/a/"), ("/a", "/A"), ("/a", "/a?"), ("/a", "/a?b"), ("/a?b=1&c=2", "/a?c=2&b=1"), ("/a", "/%61"),
        ("/a/b", "/a%2fb"), ("/a%2fb", "/a%2Fb"), ("/b", "/a/../b"), ("/b", "/./b"), ("/a", "//a"), ("/a", "/a;b"),
        ("/a", "/a%00"),
        ("/a", "/a%3fb"), ("/a?b", "/a%3Fb"), ("/a", "/a%0d%0ab"), ("/a", "/a\\b"), ("/a?utm_source=x", "/a"),
        ("/a?b=1;c=2", "/a?b=1"),
    ],
)  # fmt: skip
def test_urls_that_an_origin_can_tell_apart_share_nothing(one: str, other: str) -> None:
    """No normalisation that the origin does not do: a poisoned or private page cannot be moved to another URL."""
    town = Town(reflecting)
    for url in (one, other, one, other):
        assert town.get(url).body.split()[1] == url.encode()
    assert len(town.asked) == 2


def test_the_host_of_the_target_is_the_one_that_counts() -> None:
    """RFC 9112 §3.2.2: Host is replaced by the target's; also behind credentials, ports and another case."""
    town = Town(reflecting)
    for host in (b"evil.test", b"www.a.test:81"):
        got = raw(
            town, b"GET http://" + ORIGIN.encode() + b"/x HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        ).got
        assert b"host=www.a.test" in got
    assert {asked.request.fields["host"] for asked in town.asked} == {ORIGIN}
    got = raw(town, b"GET http://evil@" + ORIGIN.encode() + b"/x HTTP/1.1\r\nHost: x\r\n\r\n").got
    assert got.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("host", [f"{ORIGIN}:8080", f"{ORIGIN.upper()}:1234"])
def test_a_port_in_host_is_in_the_key_of_a_reverse_proxy(host: str) -> None:
    town = Town(reflecting, forward=False, sites=(f"{ORIGIN}=http://{ORIGIN}",))
    poisoned = town.get(f"http://{host}/")
    assert b":" in poisoned.body
    clean = town.get(f"http://{ORIGIN}/")
    assert clean.told != "hit"
    assert b"host=www.a.test " in clean.body + b" "


@pytest.mark.parametrize("status", [400, 401, 403, 408, 411, 413, 414, 417, 431, 500, 501, 502, 503, 504])
def test_an_error_that_one_client_provokes_is_not_everybodys(status: int) -> None:
    """Denial of service by a stored error (an oversized or odd field that the origin refuses)."""

    def script(request: Request) -> list[Step]:
        return [*ok(b"no", status=status)] if "x-odd" in request.fields else [*fresh(b"fine")]

    town = Town(script)
    assert town.get("/", ("X-Odd", "x" * 10_000)).status == status
    victim = town.get("/")
    assert (victim.status, victim.body) == (200, b"fine")


@pytest.mark.parametrize("octets", [b"X: \x00", b"X: \x07", b"X: \x7f", b"\x07X: y", b"X: a\rb", b"X : y", b"X"])
def test_odd_octets_go_no_further_than_this_proxy(octets: bytes) -> None:
    town = Town(lambda request: fresh(b"fine"))
    got = raw(town, b"GET http://" + ORIGIN.encode() + b"/ HTTP/1.1\r\nHost: x\r\n" + octets + b"\r\n\r\n").got
    assert got.startswith(b"HTTP/1.1 400")
    assert not town.asked
    assert town.get("/").body == b"fine"


def test_a_range_of_one_is_not_the_whole_of_another() -> None:
    """Nor a refusal of it."""
    town = Town(lambda request: ok(b"", status=416) if "range" in request.fields else fresh(b"fine"))
    assert town.get("/", ("Range", "bytes=900-")).status == 416
    assert town.get("/").body == b"fine"


PRIVATE = b"the account of alice"
DECEPTIVE = [
    "/account/x.css", "/account;x.css", "/account%2fx.css", "/account%3fx.css", "/account%23x.css", "/account%0ax.js",
    "/static/..%2faccount", "/account/x.jpg?y=.css", "/robots.txt/../account",
]  # fmt: skip


@pytest.mark.parametrize("url", DECEPTIVE)
@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ([("Cookie", "session=alice")], ["Set-Cookie: session=alice2"]),
        ([("Cookie", "session=alice")], ["Cache-Control: private, max-age=600"]),
        ([("Cookie", "session=alice")], ["Cache-Control: no-store"]),
        ([("Cookie", "session=alice")], ["Vary: Cookie", "Cache-Control: max-age=600"]),
        ([("Cookie", "session=alice")], ["Vary: *", "Cache-Control: max-age=600"]),
        ([("Authorization", "Basic x")], ["Cache-Control: max-age=600"]),
        ([("Authorization", "Basic x")], ["Last-Modified: Fri, 01 May 2020 00:00:00 GMT"]),
        ([("Cookie", "session=alice")], []),
    ],
)
def test_a_url_that_looks_like_a_static_file_makes_no_page_everybodys(
    url: str, asked: list[tuple[str, str]], answered: list[str]
) -> None:
    """Cache deception: what the origin says decides, never how a URL ends."""

    def script(request: Request) -> list[Step]:
        known = "cookie" in request.fields or "authorization" in request.fields
        return [*ok(PRIVATE if known else b"log in", *answered)]

    town = Town(script)
    assert town.get(url, *asked).body == PRIVATE
    assert town.get(url).body == b"log in"
