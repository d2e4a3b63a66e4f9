"""The proxy on the simulated Internet: hits and misses, roles, errors, what is passed on."""

import pytest

from netstack.cache.targets import Targets
from netstack.http.events import EndResponse, Interim, Respond, SendBody, StartResponse
from netstack.http.limits import HTTPLimits
from netstack.http.wire import parse_request
from tests.cache.town import CACHE, DELAY, ORIGIN, Town, fresh, ok, slowly


def test_a_miss_then_hits() -> None:
    town = Town()
    first, second, third = (town.get() for _ in range(3))
    assert [got.status for got in (first, second, third)] == [200] * 3
    assert [got.body for got in (first, second, third)] == [b"hello"] * 3
    assert (first.told, second.told, third.told) == ("fwd=uri-miss; stored", "hit", "hit")
    assert len(town.asked) == 1
    assert first.field("age") is None
    assert second.field("age") == "0"
    assert second.field("date") == first.field("date")
    assert second.field("via") == first.field("via") == f"1.1 {CACHE}"
    assert town.metric("requests_total") == 3
    assert town.metric("hits_total", kind="fresh") == 2


def test_what_is_forwarded() -> None:
    town = Town()
    town.get("/a?b", ("Host", "elsewhere.test"), ("Connection", "x-mine"), ("X-Mine", "1"), ("X-Yours", "2"))
    request = town.asked[0].request
    assert (request.target, request.host) == ("/a?b", ORIGIN)  # RFC 9112 §3.2.2: the target's host, not the field's
    assert "x-mine" not in request.fields
    assert request.fields["x-yours"] == "2"
    assert request.fields["via"] == f"1.1 {CACHE}"


def test_freshness_ends_and_a_304_renews_it() -> None:
    def script(request):  # type: ignore[no-untyped-def]
        if request.fields.get("if-none-match") == '"1"':
            return [Respond(304, b'ETag: "1"\r\nCache-Control: max-age=10\r\n')]
        return fresh(b"hello", 'ETag: "1"', seconds=10)

    town = Town(script)
    town.get()
    town.sleep(11)
    again = town.get()
    assert (again.status, again.body) == (200, b"hello")
    assert again.told == "fwd=stale; fwd-status=304"
    assert town.get().told == "hit"
    assert len(town.asked) == 2
    assert town.metric("validations_total", outcome="not_modified") == 1
    assert town.metric("hits_total", kind="revalidated") == 1


def test_what_is_not_to_be_stored_is_asked_for_each_time() -> None:
    town = Town(lambda request: ok(b"mine", "Cache-Control: private"))
    assert [town.get().told for _ in range(2)] == ["fwd=uri-miss"] * 2
    assert len(town.asked) == 2


@pytest.mark.parametrize("control", ["no-store", "max-age=60"])
def test_connections_to_the_origin_are_used_again(control: str) -> None:
    """Also when the client has all of a response before its end has been told."""
    town = Town(lambda request: ok(b"x" * 1000, f"Cache-Control: {control}"))
    assert [town.get(f"/{number}").body for number in range(5)] == [b"x" * 1000] * 5
    assert town.machine.registry.get_sample_value("netstack_http_connections_total", {"role": "client"}) == 1
    assert town.metric("fetching") == 0


def test_head_and_ranges_of_what_is_stored() -> None:
    town = Town(lambda request: fresh(b"0123456789", 'ETag: "1"'))
    town.get()
    head = town.get(method="HEAD")
    assert (head.status, head.body, head.field("content-length"), head.told) == (200, b"", "10", "hit")
    part = town.get("/", ("Range", "bytes=2-4"))
    assert (part.status, part.body, part.field("content-range")) == (206, b"234", "bytes 2-4/10")
    several = town.get("/", ("Range", "bytes=0-1,8-9"))
    assert several.status == 206
    assert b"bytes 8-9/10" in several.body
    assert town.get("/", ("Range", "bytes=20-")).status == 416
    assert town.get("/", ("If-None-Match", '"1"')).status == 304
    assert len(town.asked) == 1


def test_a_head_that_nothing_is_stored_for() -> None:
    town = Town(lambda request: fresh(b"0123456789"))
    got = town.get(method="HEAD")
    assert (got.status, got.field("content-length"), got.body) == (200, "10", b"")
    assert town.asked[0].request.method == "HEAD"


@pytest.mark.parametrize("length", [True, False])
def test_a_response_streams(length: bool) -> None:
    body = bytes(range(250)) * 4000
    town = Town(lambda request: slowly(body, 10, 1.0, "Cache-Control: max-age=60", length=length))
    got = town.get()
    assert got.body == body
    assert got.at - got.first_octet > 9
    assert town.get().body == body
    assert len(town.asked) == 1


@pytest.mark.parametrize("lines", [("Cache-Control: max-age=60",), ("Cache-Control: no-store",)])
def test_a_body_that_breaks_off_is_seen_to_break_off(lines: tuple[str, ...]) -> None:
    head = "".join(f"{line}\r\n" for line in lines).encode()
    town = Town(lambda request: [StartResponse(200, head, 1000), SendBody(b"x" * 400), 1.0, "abort"])
    got = town.get()
    assert got.error is not None
    assert got.body == b"x" * 400
    assert town.get().error is not None
    assert len(town.asked) == 2


def test_an_upload_goes_to_the_origin_and_what_is_stored_goes() -> None:
    town = Town()
    town.get("/form")
    body = b"content " * 100_000
    got = town.get("/form", method="POST", body=body)
    assert (got.status, town.asked[1].body) == (200, body)
    assert got.told == "fwd=method"
    assert town.get("/form").told == "fwd=uri-miss; stored"
    assert town.metric("purged_total", by="unsafe") == 1


def test_an_unsafe_request_waits_for_nobody() -> None:
    town = Town(lambda request: [1.0, *fresh()])
    first, post = town.begin(f"http://{ORIGIN}/"), town.begin(f"http://{ORIGIN}/", method="POST", body=b"x")
    town.wait(first, post)
    assert len(town.asked) == 2


def test_one_octet_too_many_and_one_too_few() -> None:
    """Framing lies end the connection to the origin, and nothing of it is stored."""
    for sent in (b"short", b"much too long"):
        answer = [
            StartResponse(200, b"Cache-Control: max-age=60\r\nContent-Length: 9\r\n", None),
            SendBody(sent),
            EndResponse(),
        ]
        town = Town(lambda request, answer=answer: answer)  # type: ignore[misc]
        assert town.get().status == 502  # Transfer-Encoding beside Content-Length
        assert len(list(town.proxy.store.list())) == 0


@pytest.mark.parametrize(("rest", "target"), [("", "*"), ("/", "/"), ("/?", "/?")])
def test_options_of_a_whole_server_reach_it_as_such(rest: str, target: str) -> None:
    """RFC 9112 §3.2.4."""
    town = Town(lambda request: ok(b""))
    got = town.begin(f"http://{ORIGIN}{rest}", method="OPTIONS")
    town.wait(got)
    assert got.status == 200
    assert [(asked.request.method, asked.request.target) for asked in town.asked] == [("OPTIONS", target)]


def test_a_sites_server_is_out_of_reach_for_clients_that_name_it_themselves() -> None:
    """Also on connections that are open because the site was asked for."""
    town = Town(sites=(f"site.test=http://{ORIGIN}",), reach=())
    assert town.get("http://site.test/").status == 200
    got = town.get(f"http://{ORIGIN}/")
    assert got.status == 502
    assert "destination_ip_prohibited" in (got.field("proxy-status") or "")
    assert len(town.asked) == 1


# Who may, and what is refused


def test_strangers_are_refused_also_what_is_stored() -> None:
    town = Town(allow=("10.9.0.0/16",))
    for _ in range(3):
        got = town.get()
        assert got.status == 403
        assert b"clients of its own networks" in got.body
    assert town.metric("refused_total", why="client") == 3
    assert town.asked == []


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("/path", 400, b"http_proxy"),
        (f"http://{ORIGIN}:25/", 403, b"port 25"),
        (f"ftp://{ORIGIN}/", 400, b"absolute http URL"),
    ],
)
def test_what_is_no_request_for_a_forward_proxy(target: str, status: int, said: bytes) -> None:
    town = Town()
    got = town.begin(target)
    town.wait(got)
    assert got.status == status
    assert said in got.body
    assert town.asked == []


@pytest.mark.parametrize(
    ("url", "status", "error"),
    [("http://none.test/", 502, "dns_error"), (f"http://{ORIGIN}:8080/", 502, "connection_refused")],
)
def test_what_cannot_be_had_is_explained(url: str, status: int, error: str) -> None:
    town = Town()
    got = town.get(url)
    assert got.status == status
    assert got.field(
        "proxy-status",
    ).startswith(f"{CACHE}; error={error}")  # type: ignore[union-attr]
    assert url.encode() in got.body
    assert got.field("cache-control") == "no-store"
    assert town.metric("upstream_errors_total", kind=error) == 1


def test_a_dead_origin_is_504_and_what_is_stale_may_be_served() -> None:
    town = Town(lambda request: fresh(b"old", "Cache-Control: stale-if-error=600", seconds=5))
    town.get("/kept")
    town.origin.power_off()
    town.sleep(10)
    stale = town.get("/kept")
    assert (stale.status, stale.body) == (200, b"old")
    assert town.metric("hits_total", kind="stale") == 1
    missing = town.get("/other")
    assert missing.status == 504
    assert "connection_timeout" in (missing.field("proxy-status") or "")


def test_an_origin_that_answers_nothing_in_time_is_504() -> None:
    town = Town(lambda request: [100.0])
    got = town.get()
    assert got.status == 504
    assert "http_response_timeout" in (got.field("proxy-status") or "")


def test_a_loop_is_508() -> None:
    town = Town()
    got = town.get(f"http://{CACHE}:3128/")
    assert got.status == 508
    assert b"leads back to this proxy" in got.body
    assert town.metric("refused_total", why="loop") == 1


def test_only_if_cached() -> None:
    town = Town()
    got = town.get("/", ("Cache-Control", "only-if-cached"))
    assert got.status == 504
    assert town.asked == []
    town.get()
    assert town.get("/", ("Cache-Control", "only-if-cached")).status == 200


def test_trace_ends_where_max_forwards_says() -> None:
    town = Town()
    got = town.get("/", ("Max-Forwards", "0"), ("Cookie", "secret"), method="TRACE")
    assert (got.status, got.field("content-type")) == (200, "message/http")
    assert b"secret" not in got.body
    assert town.asked == []
    town.get("/", ("Max-Forwards", "3"), method="TRACE")
    assert town.asked[0].request.fields["max-forwards"] == "2"


# A site's own proxy


def reverse(**more: object) -> Town:
    return Town(sites=(f"www.site.test,site.test=http://{ORIGIN}",), forward=False, **more)  # type: ignore[arg-type]


def test_a_reverse_proxy_stands_before_its_sites() -> None:
    town = reverse()
    got = town.begin("/page", ("Host", "www.site.test"))
    town.wait(got)
    assert (got.status, got.body) == (200, b"hello")
    assert town.asked[0].request.fields["host"] == "www.site.test"
    for target in ("/page", "http://www.site.test/page"):
        again = town.begin(target, ("Host", "www.site.test"))
        town.wait(again)
        assert again.told == "hit"
    elsewhere = town.begin("/page", ("Host", "www.other.test"))
    town.wait(elsewhere)
    assert elsewhere.status == 421


def test_a_reverse_proxy_does_not_tell_where_its_origin_is() -> None:
    town = reverse()
    town.origin.kill()
    got = town.begin("/", ("Host", "site.test"))
    town.wait(got)
    assert got.status == 502
    text = got.body + repr(got.response).encode()
    assert ORIGIN.encode() not in text
    assert b"10.0.0.3" not in text


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("off", {}),
        ("x", {"x-forwarded-for": "10.0.0.1", "x-forwarded-host": "www.site.test", "x-forwarded-proto": "https"}),
        ("standard", {"forwarded": 'for=10.0.0.1;host="www.site.test";proto=https'}),
    ],
)
def test_what_origins_are_told_of_clients(rule: str, told: dict[str, str]) -> None:
    town = reverse(forwarded=rule)
    got = town.begin("/", ("Host", "www.site.test"), ("X-Original-URL", "/admin"), secure=True)
    town.wait(got)
    fields = town.asked[0].request.fields
    assert {name: fields[name] for name in fields if "forwarded" in name} == told
    assert "x-original-url" not in fields


def test_unkeyed_fields_cannot_poison_what_others_get() -> None:
    town = reverse(forwarded="off")
    names = ("X-Forwarded-Host", "X-Host", "X-Forwarded-Scheme", "X-Rewrite-URL", "X-HTTP-Method-Override", "Forwarded")
    town.wait(town.begin("/", ("Host", "site.test"), *[(name, "evil.test") for name in names]))
    assert "evil.test" not in town.asked[0].request.fields.values()


def test_the_same_under_tls_and_http2() -> None:
    town = Town(sites=(f"site.test=https://{ORIGIN}",), http2=True, upstream_http2=True)
    first = town.begin("/", ("Host", "site.test"), secure=True)
    town.wait(first)
    second = town.begin("/", ("Host", "site.test"), secure=True)
    town.wait(second)
    assert (first.told, second.told) == ("fwd=uri-miss; stored", "hit")
    assert first.response is not None
    assert first.response.http2
    assert town.asked[0].request.http2
    assert second.body == b"hello"


def test_purging() -> None:
    town = Town(purge_key="0123456789abcdef")
    town.get()
    assert town.get(method="PURGE").status == 403  # in the clear, from elsewhere
    url = f"http://{ORIGIN}/"
    wrong = town.begin(url, ("Purge-Key", "0123456789abcdeX"), method="PURGE", secure=True)
    town.wait(wrong)
    assert wrong.status == 403
    assert town.get().told == "hit"
    for status in (200, 404):
        right = town.begin(url, ("Purge-Key", "0123456789abcdef"), method="PURGE", secure=True)
        town.wait(right)
        assert right.status == status
    assert town.get().told == "fwd=uri-miss; stored"
    assert town.metric("purged_total", by="method") == 1
    assert Town().get(method="PURGE").status == 405


def test_round_trips() -> None:
    """A miss costs the client's round trips and the origin's, a hit the client's alone."""
    town = Town()
    for _ in range(2):
        start = town.simulation.now
        town.get()
    assert town.simulation.now - start == pytest.approx(2 * DELAY, abs=2e-3)


# What comes beside responses


def test_early_hints_are_passed_on() -> None:
    town = Town(lambda request: [Interim(103, b"Link: </style.css>; rel=preload\r\n"), 1.0, *fresh()])
    got = town.get()
    assert [(each.status, each.fields["link"]) for each in got.interims] == [(103, "</style.css>; rel=preload")]
    assert got.body == b"hello"


@pytest.mark.parametrize("wanted", [True, False])
def test_trailers_go_to_those_who_want_them(wanted: bool) -> None:
    town = Town(
        lambda request: [
            StartResponse(200, b"Cache-Control: no-store\r\n"), SendBody(b"x"),
            EndResponse(b"Checksum: 1\r\nSet-Cookie: a=b\r\nX-Hop: 2\r\n"),
        ]
    )  # fmt: skip
    got = town.get("/", *([("TE", "trailers"), ("Connection", "te")] if wanted else []))
    assert got.body == b"x"
    assert dict(got.trailers) == ({"Checksum": "1", "X-Hop": "2"} if wanted else {})


def test_ports_that_are_said_are_those_of_the_machine() -> None:
    """Where all ports are shifted, 80 and 443 are what goes without saying."""
    found = Targets((), True, ((80, 80), (1024, 65535)), lambda standard: standard + 10_000)
    for url, port in (
        ("http://h/", 10_080),
        ("http://h:80/", 10_080),
        ("http://h:10080/", 10_080),
        ("http://h:8080/", 8080),
    ):
        head = f"GET {url} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
        target = found.of(parse_request(head, HTTPLimits()), False, True)
        assert (target.port, target.key_port) == (port, port)
