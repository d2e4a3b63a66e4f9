"""Cookies: field values both ways, and what a client keeps and sends (RFC 6265bis)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.http.cookies import LONGEST, SetCookie, parse_cookie_date, parse_cookies, parse_set_cookie, set_cookie
from netstack.http.jar import Jar, default_path, domain_match, path_match

NOW = 1_780_000_000.0


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("id=1678", {"id": "1678"}),
        ("id=1678; cart=3=4;  lang=en", {"id": "1678", "cart": "3=4", "lang": "en"}),
        ('a="quoted"; b=', {"a": '"quoted"', "b": ""}),
        ("a=1; a=2", {"a": "1"}),
        ("nothing; =x; bad name=1; ok=1", {"ok": "1"}),
        ("", {}),
        (";;;", {}),
    ],
)
def test_cookie_fields_are_read(value: str, found: dict[str, str]) -> None:
    assert parse_cookies(value) == found


def test_a_cookie_field_costs_no_more_than_its_bound() -> None:
    assert len(parse_cookies("; ".join(f"n{number}=1" for number in range(5000)))) == 180


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "id", "value": "1678"}, "id=1678; Secure; HttpOnly; SameSite=Lax"),
        (
            {"name": "__Host-id", "value": "1", "path": "/", "max_age": 60, "same_site": "Strict"},
            "__Host-id=1; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Strict",
        ),
        (
            {"name": "a", "value": "", "expires": 0.0, "secure": False, "http_only": False, "same_site": ""},
            "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ),
    ],
)
def test_set_cookie_is_written(arguments: dict[str, Any], text: str) -> None:
    assert set_cookie(**arguments) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "a b", "value": "1"}, "name"),
        ({"name": "a", "value": "1; Path=/"}, "value"),
        ({"name": "a", "value": "x\r\ny"}, "value"),
        ({"name": "a", "value": "1" * 4096}, "4096"),
        ({"name": "a", "value": "1", "path": "/;x"}, "path"),
        ({"name": "__Secure-a", "value": "1", "secure": False}, "Secure"),
        ({"name": "__HOST-a", "value": "1", "path": "/shop"}, "Path=/"),
        ({"name": "__Host-a", "value": "1", "path": "/", "domain": "a.test"}, "no Domain"),
        ({"name": "a", "value": "1", "same_site": "None", "secure": False}, "Secure"),
    ],
)
def test_what_no_client_would_take_is_not_set(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        set_cookie(**arguments)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("id=1678", SetCookie("id", "1678")),
        ("  id  =  1 6  ; Secure", SetCookie("id", "1 6", secure=True)),
        ("only", SetCookie("", "only")),
        ("=x", SetCookie("", "x")),
        ("", None),
        ("=", None),
        ("; Secure", None),
        ("a=\x01", None),
        ("a=b\tc", SetCookie("a", "b\tc")),
        ("a=" + "x" * 4096, None),
        ("a=1; DOMAIN=.Example.COM; path=/x", SetCookie("a", "1", domain="example.com", path="/x")),
        ("a=1; Domain=a.test; Domain=", SetCookie("a", "1")),
        ("a=1; Path=x; Path=y", SetCookie("a", "1")),
        ("a=1; Path=/x; Path=/y", SetCookie("a", "1", path="/y")),
        ("a=1; Max-Age=60; Max-Age=+1", SetCookie("a", "1", max_age=60)),
        ("a=1; Max-Age=-", SetCookie("a", "1")),
        ("a=1; Max-Age=99999999999999999999", SetCookie("a", "1", max_age=999_999_999_999)),
        ("a=1; SameSite=strict; HttpOnly=x", SetCookie("a", "1", same_site="Strict", http_only=True)),
        ("a=1; SameSite=Strict; SameSite=Odd", SetCookie("a", "1")),
        ("a=1; Path=/" + "x" * 1024, SetCookie("a", "1")),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:10 GMT", SetCookie("a", "1", expires=10)),
    ],
)
def test_set_cookie_is_read_as_browsers_do(text: str, found: SetCookie | None) -> None:
    assert parse_set_cookie(text) == found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("6 november 94 8:49:37", 784_111_777),
        ("08:49:37 06 1994 Nov", 784_111_777),
        ("06 Nov 69 00:00:00", 3_150_921_600),
        ("06 Nov 1994", None),
        ("31 Feb 1994 00:00:00", None),
        ("06 Nov 1600 00:00:00", None),
        ("06 Nov 1994 24:00:00", None),
        ("", None),
    ],
)
def test_dates_in_many_forms(text: str, seconds: int | None) -> None:
    assert parse_cookie_date(text) == seconds


@given(st.text(max_size=200))
def test_any_text_is_a_cookie_or_none(text: str) -> None:
    parse_set_cookie(text)
    parse_cookie_date(text)
    Jar().take(text, "a.test", "/", True, NOW)
    assert all(parse_cookies(text).keys())


VALUE = st.text("abcXYZ0123!#$%&'()*+-./:<=>?@[]^_`{|}~", max_size=40)


@given(st.text("abcXYZ019-_.", min_size=1, max_size=20), VALUE, st.booleans())
def test_what_a_server_sets_comes_back(name: str, value: str, secure: bool) -> None:
    jar = Jar()
    assert jar.take(set_cookie(name, value, secure=secure), "shop.test", "/a/b", secure, NOW)
    assert parse_cookies(jar.field("shop.test", "/a/c", secure, NOW)) == {name: value}


def told(text: str, host: str = "x.test", path: str = "/", secure: bool = True) -> tuple[str, str, str, bool]:
    """A Set-Cookie field and the request to whose response it belongs."""
    return text, host, path, secure


def ask(host: str = "x.test", path: str = "/", secure: bool = True) -> tuple[str, str, bool]:
    """A request."""
    return host, path, secure


# (fields set, each at a host and path over TLS or not; the request; the Cookie field that it has)
KEPT: list[tuple[str, list[tuple[str, str, str, bool]], tuple[str, str, bool], str]] = [
    ("a host's own", [told("a=1")], ask(), "a=1"),
    ("not for hosts below", [told("a=1")], ask("www.x.test"), ""),
    ("a domain's", [told("a=1; Domain=x.test", "www.x.test")], ask("ftp.x.test"), "a=1"),
    ("not for another domain", [told("a=1; Domain=y.test")], ask("y.test"), ""),
    ("not for a suffix of letters", [told("a=1; Domain=x.test")], ask("yx.test"), ""),
    ("not for a top level", [told("a=1; Domain=test")], ask(), ""),
    ("a top level's own", [told("a=1; Domain=test", "test")], ask("test"), "a=1"),
    ("no domains of addresses", [told("a=1; Domain=0.0.1", "127.0.0.1")], ask("127.0.0.1"), ""),
    ("the path's directory", [told("a=1", "x.test", "/shop/cart")], ask("x.test", "/shop/x"), "a=1"),
    ("not above", [told("a=1", "x.test", "/shop/cart")], ask(), ""),
    ("not beside", [told("a=1; Path=/shop")], ask("x.test", "/shopping"), ""),
    ("secure over TLS", [told("a=1; Secure")], ask(), "a=1"),
    ("secure not in clear", [told("a=1; Secure")], ask("x.test", "/", False), ""),
    ("secure cannot be set in clear", [told("a=1; Secure", "x.test", "/", False)], ask(), ""),
    ("nor be covered in clear", [told("a=1; Secure"), told("a=2", "x.test", "/", False)], ask(), "a=1"),
    ("longer paths first", [told("a=1"), told("b=2; Path=/s")], ask("x.test", "/s/"), "b=2; a=1"),
    ("replaced", [told("a=1"), told("b=1"), told("a=2")], ask(), "a=2; b=1"),
    ("taken back", [told("a=1"), told("a=; Max-Age=0")], ask(), ""),
    ("expired at once", [told("a=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT")], ask(), ""),
    ("SameSite=None needs Secure", [told("a=1; SameSite=None")], ask(), ""),
    ("__Host- at the host", [told("__Host-a=1; Secure; Path=/")], ask(), "__Host-a=1"),
    ("__Host- has no domain", [told("__Host-a=1; Secure; Path=/; Domain=x.test")], ask(), ""),
    ("__Host- has a path", [told("__Host-a=1; Secure")], ask(), ""),
    ("__Secure- is secure", [told("__SECURE-a=1")], ask(), ""),
    ("no prefix by trickery", [told("=__Host-a=1; Secure; Path=/")], ask(), ""),
    ("a value alone", [told("only")], ask(), "only"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given_", "asked", "field"), KEPT, ids=[row[0] for row in KEPT])
def test_a_jar_keeps_and_sends(
    what: str, given_: list[tuple[str, str, str, bool]], asked: tuple[str, str, bool], field: str
) -> None:
    jar = Jar()
    for at, (text, host, path, secure) in enumerate(given_):
        jar.take(text, host, path, secure, NOW + at)
    assert jar.field(*asked, NOW + 10) == field


def test_cookies_end_with_their_time_and_none_lasts_longer_than_400_days() -> None:
    jar = Jar()
    jar.take("week=1; Max-Age=604800", "x.test", "/", True, NOW)
    jar.take("ever=1; Max-Age=99999999999", "x.test", "/", True, NOW)
    jar.take("session=1", "x.test", "/", True, NOW)
    assert jar.field("x.test", "/", True, NOW + 604_799) == "week=1; ever=1; session=1"
    assert jar.field("x.test", "/", True, NOW + 604_800) == "ever=1; session=1"
    assert jar.field("x.test", "/", True, NOW + LONGEST) == "session=1"
    assert len(jar) == 1


@pytest.mark.parametrize(
    ("attribute", "safe", "sent"),
    [("Strict", True, False), ("Lax", True, True), ("Lax", False, False), ("None", False, True), ("", True, True)],
)
def test_requests_of_other_sites(attribute: str, safe: bool, sent: bool) -> None:
    jar = Jar()
    jar.take(f"a=1; Secure; SameSite={attribute}", "x.test", "/", True, NOW)
    assert (jar.field("x.test", "/", True, NOW, same_site=False, safe=safe) == "a=1") is sent
    assert jar.take(f"b=1; Secure; SameSite={attribute}", "x.test", "/", True, NOW, same_site=False) is (
        attribute in ("None", "")
    )


def test_a_jar_is_bounded() -> None:
    jar = Jar(per_domain=3, most=5)
    for number in range(6):
        secure = "; Secure" if number == 0 else ""
        jar.take(f"n{number}=1{secure}", "x.test", "/", True, NOW + number)
    assert jar.field("x.test", "/", True, NOW + 10) == "n0=1; n4=1; n5=1"
    for number in range(6):
        jar.take("a=1", f"h{number}.test", "/", True, NOW + 20 + number)
    assert len(jar) == 5


@pytest.mark.parametrize(
    ("host", "domain", "match"),
    [("a.b", "a.b", True), ("x.a.b", "a.b", True), ("xa.b", "a.b", False), ("1.2.3.4", "3.4", False)],
)
def test_domains(host: str, domain: str, match: bool) -> None:
    assert domain_match(host, domain) is match


@pytest.mark.parametrize(
    ("path", "default"), [("/a/b", "/a"), ("/a/", "/a"), ("/a", "/"), ("/", "/"), ("", "/"), ("x", "/")]
)
def test_default_paths(path: str, default: str) -> None:
    assert default_path(path) == default


@pytest.mark.parametrize(
    ("path", "of", "match"),
    [("/a", "/a", True), ("/a/b", "/a", True), ("/a/b", "/a/", True), ("/ab", "/a", False), ("/", "/a", False)],
)
def test_paths(path: str, of: str, match: bool) -> None:
    assert path_match(path, of) is match
