"""Applications beside files: who answers, the chapter's two forms, and WSGI under the standard library's own judge."""

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import demo_app
from wsgiref.validate import validator

import pytest

from netstack.http.application import Call
from netstack.http.client import Result, fetch
from netstack.http.events import UNKNOWN
from netstack.http.limits import HTTPLimits
from netstack.http.wire import parse_request
from netstack.http.wsgi import WSGIApplication, WSGILimits, load
from netstack.kernel.machine import Machine
from netstack.sansio import Peer
from netstack.taps.mounting import Mounting
from netstack.taps.origin import Config, Site, build
from netstack.world.simulated import Simulation

SERVER, CLIENT, NAME = "10.0.0.1", "10.0.0.2", "www.somesite.com"
checked: Any = validator(demo_app)
MULTIPART = b"".join(
    b"--AaB\r\n" + part + b"\r\n"
    for part in (
        b'Content-Disposition: form-data; name="note"\r\n\r\n<b>monkeys & bananas</b>',
        b'Content-Disposition: form-data; name="picture"; filename="a<b>.gif"\r\nContent-Type: image/gif\r\n\r\nGIF89a',
    )
) + b"--AaB--\r\n"  # fmt: skip


class Stage:
    def __init__(self, **options: Any) -> None:
        self.simulation = Simulation(1)
        self.server = self.simulation.host(NAME, SERVER)
        self.client = self.simulation.host("pc.test", CLIENT)
        machine = self.simulation.machine(self.server, names=(NAME,))
        machine.disk.write("www/index.html", b"files", mtime=1.0)
        machine.disk.write("www/animalsearches", b"a file", mtime=1.0)
        self.service: Any = build(Config((Site((NAME,), "www"),), **options), machine)
        self.simulation.call(self.server, self.service.startService)
        self.machine = self.simulation.machine(self.client)

    def ask(self, method: str, path: str, body: bytes = b"", media: str = "", host: str = NAME) -> Result:
        async def go() -> Result:
            fields = [("Host", host), *([("Content-Type", media)] if media else [])]
            return await fetch(self.machine, f"http://{SERVER}{path}", method, fields, body)

        outcome = self.simulation.call(self.client, go)
        self.simulation.run(for_seconds=10)
        found: Result = outcome.value
        return found


@pytest.fixture(scope="module")
def site() -> Stage:
    mounted = ("/animalsearch=search", "/upload=upload")
    return Stage(mount=mounted, wsgi=("/other/demo=tests.http.test_mounts:checked",), default_site="refuse")


@pytest.mark.parametrize(
    ("method", "path", "status", "found"),
    [
        ("GET", "/", 200, b"files"),
        ("GET", "/animalsearches", 200, b"a file"),
        ("GET", "/animalsearch", 200, b"Which animals?"),
        ("GET", "/animalsearch?monkeys&bananas", 200, b"<dt>monkeys</dt><dd>Monkeys live in troops"),
        ("GET", "/animalsearch?monkeys&bananas", 200, b"<dt>bananas</dt><dd>Bananas are berries"),
        ("GET", "/animalsearch?q=Penguins+bananas", 200, b"<dt>penguins</dt><dd>Penguins fly"),
        ("GET", "/animalsearch?%3Cscript%3E", 200, b"<dt>&lt;script&gt;</dt><dd>Nothing is known"),
        ("GET", "/animalsearch?" + "&".join("x" * 300), 400, b"more than 200 fields"),
        ("GET", "/animalsearch?%ff", 400, b"not UTF-8"),
        ("GET", "/animalsearch/", 404, b"nothing at"),
        ("GET", "/%61nimalsearch", 404, b"not found"),
        ("HEAD", "/animalsearch", 200, b""),
        ("POST", "/animalsearch", 405, b"not for /animalsearch"),
        ("PUT", "/upload", 405, b"not for /upload"),
        ("GET", "/upload", 200, b'enctype="multipart/form-data"'),
        ("GET", "/other", 404, b"not found"),
    ],
)
def test_who_answers(site: Stage, method: str, path: str, status: int, found: bytes) -> None:
    answer = site.ask(method, path)
    assert answer.status == status
    assert found in answer.body


def test_another_host_gets_nothing(site: Stage) -> None:
    assert site.ask("GET", "/animalsearch", host="elsewhere.test").status == 421


@pytest.mark.parametrize(
    ("media", "body", "status", "found"),
    [
        ("application/x-www-form-urlencoded", b"animals=monkeys+%26+bananas", 200, b"<td>monkeys &amp; bananas</td>"),
        ("multipart/form-data; boundary=AaB", MULTIPART, 200, b"<td>&lt;b&gt;monkeys &amp; bananas&lt;/b&gt;</td>"),
        ("multipart/form-data; boundary=AaB", MULTIPART, 200, b"a&lt;b&gt;.gif</td><td><code>image/gif, 6 octets, SHA-256 "),
        ("multipart/form-data; boundary=AaB", MULTIPART[:-9], 400, b"last boundary"),
        ("multipart/form-data", MULTIPART, 400, b"boundary"),
        ("multipart/form-data; boundary=AaB", b"--AaB\r\n\r\nx\r\n" * 200, 400, b""),
        ("text/plain", b"x", 415, b"has to be a form, not text/plain"),
        ("", b"x", 415, b"not none"),
        ("application/x-www-form-urlencoded", b"\xff", 400, b"UTF-8"),
    ],
)
def test_uploads(site: Stage, media: str, body: bytes, status: int, found: bytes) -> None:
    answer = site.ask("POST", "/upload", body, media)
    assert answer.status == status
    assert found in answer.body
    assert b"<b>monkeys" not in answer.body


def test_an_upload_that_is_too_large(site: Stage) -> None:
    answer = site.ask("POST", "/upload", b"x" * 1_048_577, "application/x-www-form-urlencoded")
    assert answer.status == 413


def test_wsgi_is_what_its_judge_says_it_is(site: Stage) -> None:
    """wsgiref.validate raises for whatever in an environ or a call is not as PEP 3333 says."""
    answer = site.ask("POST", "/other/demo/a%20b?c=d", b"content", "text/x-told")
    assert (answer.status, answer.field("content-type")) == (200, "text/plain; charset=utf-8")
    told = dict(line.split(" = ", 1) for line in answer.body.decode().splitlines() if " = " in line)
    assert {name: told[name] for name in ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH")} == {
        "SCRIPT_NAME": "'/other/demo'", "PATH_INFO": "'/a b'", "QUERY_STRING": "'c=d'", "CONTENT_TYPE": "'text/x-told'",
        "CONTENT_LENGTH": "'7'",
    }  # fmt: skip
    assert (told["REQUEST_METHOD"], told["SERVER_NAME"], told["REMOTE_ADDR"]) == ("'POST'", f"'{NAME}'", f"'{CLIENT}'")
    assert site.ask("HEAD", "/other/demo").status == 200
    assert site.ask("BREW", "/other/demo").status == 501


def twice(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [])
    start("200 OK", [])
    return []


def silent(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    return [b"x"]


def broken(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    raise RuntimeError("of the application")


def leaving(error: BaseException) -> Any:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [])
        yield b"begun"
        raise error

    return application


def endless(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [])
    while True:
        yield b"x" * 1000


def answering(status: str, *headers: tuple[str, str]) -> Any:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start(status, list(headers))
        return [b"content"]

    return application


def changed_its_mind(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [])(b"begun")
    try:
        raise ValueError("late")
    except ValueError as error:
        start("409 Conflict", [("X-Why", "late")], (ValueError, error, error.__traceback__))
    return [b"sorry"]


class Closing:
    closed = 0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> "Closing":
        start("200 OK", [])
        return self

    def __iter__(self) -> Any:
        raise RuntimeError("in the middle")

    def close(self) -> None:
        self.closed += 1


def outcome(application: Any, method: str = "GET", fields: dict[str, str] | None = None) -> Any:
    """The answer of an application, or the exception."""
    simulation = Simulation(1)
    machine: Machine = simulation.machine(simulation.host(NAME, SERVER))
    lines = "".join(f"{name}: {value}\r\n" for name, value in (fields or {}).items())
    request = parse_request(f"{method} /x HTTP/1.1\r\nHost: {NAME}\r\n{lines}\r\n".encode(), HTTPLimits())
    call = Call(request, b"", Peer((SERVER, 80), (CLIENT, 40000), "tcp"))
    done: Any = WSGIApplication(machine, application, "/", WSGILimits(content=5000)).answer(call)
    seen: list[Any] = []
    done.addCallbacks(seen.append, lambda failure: seen.append(failure.value))
    simulation.run(for_seconds=1)
    return seen[0]


@pytest.mark.parametrize(
    ("application", "why"),
    [
        (twice, "twice"),
        (silent, "before start_response"),
        (broken, "of the application"),
        (endless, "more than 5000 octets"),
        (leaving(SystemExit(1)), "raised SystemExit"),
        (leaving(KeyboardInterrupt()), "raised KeyboardInterrupt"),
        (lambda environ, start: [], "was not called"),
        (answering("200"[:2]), "no status"),
        (answering("999 Odd"), "999"),
        (answering("100 Continue"), "whole answer"),
        (answering("200 OK", ("X", "a\r\nSet-Cookie: b")), "no field"),
        (answering("200 OK", ("X Y", "a")), "no field"),
    ],
)
def test_what_is_no_wsgi(application: Any, why: str) -> None:
    assert why in str(outcome(application))


def test_answers_of_applications() -> None:
    plain = outcome(answering("404 Not Found", ("X-A", "b"), ("Content-Length", "99"), ("Connection", "close")))
    assert (plain.status, plain.fields, plain.body) == (404, b"X-A: b\r\n", b"content")
    changed = outcome(changed_its_mind)
    assert (changed.status, changed.fields, changed.body) == (409, b"X-Why: late\r\n", b"sorry")
    assert outcome(answering("205 Reset Content")).body == b""
    closing = Closing()
    assert "in the middle" in str(outcome(closing))
    assert closing.closed == 1


@pytest.mark.parametrize(
    ("headers", "length"), [((("Content-Length", "1000"),), 1000), ((("Content-Length", "many"),), UNKNOWN), ((), UNKNOWN)]
)
def test_the_length_of_an_answer_to_head(headers: tuple[tuple[str, str], ...], length: int) -> None:
    """RFC 9110 §8.6: what GET would have, where the application says it."""

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [*headers])
        return []

    assert outcome(application, "HEAD").length == length


def test_a_client_s_fields_cannot_be_the_environment_s() -> None:
    """httpoxy: a Proxy field would become HTTP_PROXY; X_Y would take the place of X-Y."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        seen.update(environ)
        start("204 No Content", [])
        return []

    outcome(application, fields={"Proxy": "http://evil.test", "X_Forwarded": "a", "X-Told": "b"})
    assert {name for name in seen if name.startswith("HTTP_")} == {"HTTP_HOST", "HTTP_X_TOLD"}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"mount": ("search",)}, "PATH=NAME"),
        ({"mount": ("a=search",)}, "PATH=NAME"),
        ({"mount": ("/a/=search",)}, "PATH=NAME"),
        ({"mount": ("/a b=search",)}, "PATH=NAME"),
        ({"mount": ("/a=find",)}, "search, shop, tracker, upload"),
        ({"mount": ("/a=search", "/a=upload")}, "twice"),
        ({"mount": ("/shop=shop",)}, "/=shop"),
        ({"wsgi": ("/a=no.such.module:x",)}, "no.such"),
        ({"wsgi": ("/a=wsgiref.validate",)}, "MODULE:OBJECT"),
        ({"wsgi": ("/a=wsgiref.validate:__name__",)}, "called"),
    ],
)
def test_what_cannot_be_mounted(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Mounting(**options)


def test_loading() -> None:
    assert load("wsgiref.simple_server:demo_app") is demo_app
