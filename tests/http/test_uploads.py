"""PUT and DELETE over real sockets and TLS: who may, under which conditions, what is on the disk then."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.logger import globalLogPublisher

from netstack.http.passwords import basic_credentials, parse_verifiers, verifier_line, verify
from netstack.http.uploads import UploadLimits
from netstack.kernel.machine import Machine
from netstack.taps.origin import Config
from tests.http.conversation import statuses
from tests.http.test_server import CONFIG, Hand, by_hand, machine, request, serving

__all__ = ["machine"]  # the fixture

PASSWORD = "Käse:Brot"
WRITERS = ("# who may write", "", verifier_line("alice", PASSWORD, b"0123456789abcdef"))
TRUSTED = replace(CONFIG, writers=WRITERS)


def credentials(name: str = "alice", password: str = PASSWORD) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def over_tls(port: int, octets: bytes) -> Deferred[bytes]:
    """Everything that the server sends on one connection under TLS."""
    hand = Hand(octets)
    factory: Any = Factory.forProtocol(lambda: hand)
    factory.noisy = factory.startedConnecting = factory.clientConnectionLost = lambda *arguments: None
    reactor.connectSSL("127.0.0.1", port, factory, CertificateOptions())
    return hand.ended


def put(path: str, content: bytes, *fields: str, who: str | None = None, method: str = "PUT") -> bytes:
    length = [f"Content-Length: {len(content)}"] if method == "PUT" else []
    return request(method, path, "a.test", *length, who or credentials(), *fields) + content


@asynccontextmanager
async def asking(machine: Machine, config: Config = TRUSTED) -> AsyncIterator[Any]:
    """Asks over TLS: statuses and octets."""
    async with serving(machine, config) as ports:

        async def ask(octets: bytes) -> tuple[list[int], bytes]:
            answer = await over_tls(ports["tls"], octets)
            return statuses(answer), answer

        ask.ports = ports  # type: ignore[attr-defined]
        yield ask


def tag(answer: bytes) -> str:
    return answer.partition(b"ETag: ")[2].partition(b"\r\n")[0].decode()


@pytest_twisted.ensureDeferred
async def test_a_file_is_created_replaced_and_removed(machine: Machine) -> None:
    async with asking(machine) as ask:
        created, answer = await ask(put("/new/page.html", b"<p>one"))
        assert (created, machine.disk.read("a/new/page.html")) == ([201], b"<p>one")
        first = tag(answer)
        read, answer = await ask(request("GET", "/new/page.html"))
        assert read == [200]
        assert (tag(answer), answer.endswith(b"<p>one")) == (first, True)
        replaced, answer = await ask(put("/new/page.html", b"<p>two"))
        assert (replaced, tag(answer) != first) == ([204], True)
        read, answer = await ask(request("GET", "/new/page.html"))
        assert answer.endswith(b"<p>two")
        assert (await ask(put("/new/page.html", b"", method="DELETE")))[0] == [204]
        assert (await ask(request("GET", "/new/page.html")))[0] == [404]
        assert (await ask(put("/new/page.html", b"", method="DELETE")))[0] == [404]


@pytest.mark.parametrize(
    ("octets", "status", "holds"),
    [
        (put("/x.html", b"x", who="X: y"), 401, b'WWW-Authenticate: Basic realm="files", charset="UTF-8"'),
        (put("/x.html", b"x", who=credentials("alice", "wrong")), 401, b"not right"),
        (put("/x.html", b"x", who=credentials("bob")), 401, b"not right"),
        (put("/x.html", b"x", who="Authorization: Basic !!!"), 401, b"WWW-Authenticate"),
        (put("/x.html", b"x", who="Authorization: Bearer abc"), 401, b"WWW-Authenticate"),
        (put("/x.html", b"x", "Content-Range: bytes 0-0/5"), 400, b"Content-Range"),
        (put("/x.html", b"x", "Content-Encoding: gzip"), 415, b"Accept-Encoding: identity"),
        (put("/x.html", b"x", "Content-Type: image/png"), 415, b"image/png"),
        (put("/x.html", b"x", "Content-Type: text/html; charset=x"), 201, b"ETag"),
        (request("PUT", "/x.html", "a.test", credentials()), 411, b"Content-Length"),
        (put("/dir/", b"x"), 409, b"directory"),
        (put("/dir", b"x"), 409, b"directory"),
        (put("/index.html/x", b"x"), 409, b"index.html"),
        (put("/../x", b"x"), 400, b"leads out"),
        (put("/.writing-1", b"x"), 404, b"not found"),
        (put("/index.html", b"x", "If-None-Match: *"), 412, b"Precondition"),
        (put("/index.html", b"x", 'If-Match: "no"'), 412, b"Precondition"),
        (put("/index.html", b"x", "If-Match: *"), 204, b"ETag"),
        (put("/none.html", b"x", "If-Match: *"), 412, b"Precondition"),
        (put("/none.html", b"x", "If-None-Match: *"), 201, b"ETag"),
        (put("/index.html", b"", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", method="DELETE"), 412, b"Precond"),
        (put("/x.html", b"x" * 5, "Expect: 100-continue"), 201, b"ETag"),
        (request("OPTIONS", "/x.html"), 204, b"Allow: GET, HEAD, OPTIONS, PUT, DELETE\r\n"),
        (put("/x.html", b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"") + b"2\r\nab\r\n0\r\n\r\n",
         201, b"ETag"),
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_what_is_answered(machine: Machine, octets: bytes, status: int, holds: bytes) -> None:
    async with asking(machine) as ask:
        found, answer = await ask(octets)
    assert found[-1] == status
    assert holds in answer


@pytest_twisted.ensureDeferred
async def test_nothing_is_changed_in_the_clear_and_nothing_without_writers(machine: Machine) -> None:
    async with serving(machine, TRUSTED) as ports:
        answer = await by_hand(ports["tcp"], put("/x.html", b"x"))
        assert statuses(answer) == [403]
        assert b"HTTPS only" in answer
    async with asking(machine) as ask:
        assert (await ask(put("/x.html", b"x")))[0] == [201]
    async with asking(machine, CONFIG) as ask:
        assert (await ask(put("/x.html", b"y")))[0] == [405]
    assert machine.disk.read("a/x.html") == b"x"


class Expecting(Hand):
    """Sends its content when it is told to go on."""

    content = b""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if data.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            self.transport.write(self.content)  # type: ignore[union-attr]


@pytest.mark.parametrize(("who", "expected"), [("alice", [100, 201]), ("bob", [401])])
@pytest_twisted.ensureDeferred
async def test_a_client_that_waits_for_100_gets_it_or_the_refusal(machine: Machine, who: str, expected: list[int]) -> None:
    head = put("/x.txt", b"12345", "Expect: 100-continue", who=credentials(who))[:-5]
    async with serving(machine, TRUSTED) as ports:
        hand = Expecting(head)
        hand.content = b"12345"
        factory: Any = Factory.forProtocol(lambda: hand)
        factory.noisy = factory.startedConnecting = factory.clientConnectionLost = lambda *arguments: None
        reactor.connectSSL("127.0.0.1", ports["tls"], factory, CertificateOptions())
        answer = await hand.ended
    assert statuses(answer) == expected


@pytest_twisted.ensureDeferred
async def test_one_of_two_conditional_changes_is_refused(machine: Machine) -> None:
    async with asking(machine) as ask:
        _, answer = await ask(request("GET", "/"))
        both = [ask(put("/index.html", content, f"If-Match: {tag(answer)}")) for content in (b"<p>1", b"<p>2")]
        done = await DeferredList([Deferred.fromCoroutine(each) for each in both], fireOnOneErrback=True)
    assert sorted(found[0] for _, (found, _) in done) == [204, 412]


@pytest_twisted.ensureDeferred
async def test_uploads_together_have_a_bound(machine: Machine) -> None:
    async with asking(machine, replace(TRUSTED, uploads=UploadLimits(memory=10))) as ask:
        found, answer = await ask(put("/x.txt", b"x" * 11))
        assert found == [503]
        assert b"Retry-After" in answer
        assert (await ask(put("/x.txt", b"x" * 10)))[0] == [201]
        assert (await ask(put("/x.txt", b"y" * 10)))[0] == [204]
    async with asking(machine, replace(TRUSTED, uploads=UploadLimits(verifying=1))) as ask:
        asked = [Deferred.fromCoroutine(ask(put("/x.txt", b"x"))) for _ in range(8)]
        found = {tuple(statuses) for statuses, _ in await gatherResults(asked)}
        assert found == {(204,), (503,)}


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_changes_nothing(machine: Machine) -> None:
    async with asking(machine, replace(TRUSTED, uploads=UploadLimits(memory=8))) as ask:
        half = put("/x.txt", b"12345678")[:-4].replace(b"Connection: close\r\n", b"")
        hand = Hand(half)
        factory: Any = Factory.forProtocol(lambda: hand)
        factory.noisy = factory.startedConnecting = factory.clientConnectionLost = lambda *arguments: None
        reactor.connectSSL("127.0.0.1", ask.ports["tls"], factory, CertificateOptions())
        waited: Deferred[None] = Deferred()
        reactor.callLater(0.15, waited.callback, None)
        await waited
        hand.transport.abortConnection()  # type: ignore[union-attr]
        await hand.ended
        assert (await ask(put("/x.txt", b"abcdefgh")))[0] == [201]
    assert machine.disk.read("a/x.txt") == b"abcdefgh"


@pytest_twisted.ensureDeferred
async def test_no_secret_is_in_the_log(machine: Machine) -> None:
    told: list[str] = []

    def observe(event: Any) -> None:
        told.append(repr(event))

    globalLogPublisher.addObserver(observe)
    try:
        async with asking(machine) as ask:
            await ask(put("/x.txt", b"x"))
    finally:
        globalLogPublisher.removeObserver(observe)
    assert any("PUT /x.txt" in each for each in told)
    secrets = (PASSWORD, credentials().split()[-1], WRITERS[2].split("$")[-1])
    assert not any(secret in each for each in told for secret in secrets)


def test_verifiers() -> None:
    verifiers = parse_verifiers(WRITERS)
    assert verify(verifiers, "alice", PASSWORD.encode())
    assert not verify(verifiers, "alice", b"x")
    assert not verify(verifiers, "bob", PASSWORD.encode())
    assert PASSWORD not in WRITERS[2]
    for line in ("alice", "alice:secret", WRITERS[2].replace("ln=14", "ln=30"), ":" + WRITERS[2].partition(":")[2]):
        with pytest.raises(ValueError, match="line 1"):
            parse_verifiers([line])
    with pytest.raises(ValueError, match="line 4"):
        parse_verifiers([*WRITERS, WRITERS[2]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Basic YTpiOmM=", ("a", b"b:c")), ("basic YTpiOmM=", ("a", b"b:c")), ("Basic YWI=", None), ("Basic", None),
        ("", None),        ("Digest YTpi", None), ("Basic YTpi YTpi", None), ("Basic /zpi", None),
    ],
)  # fmt: skip
def test_basic_credentials(value: str, expected: tuple[str, bytes] | None) -> None:
    assert basic_credentials(value) == expected
