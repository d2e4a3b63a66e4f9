"""The hot path: answers made ready are octet for octet those of the plain path, with the same counts and log lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netstack.http.access import AccessLog
from netstack.http.engine import Heads, ServerEngine
from netstack.http.engine.alike import Alike
from netstack.http.events import RequestReceived
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import Requests
from netstack.http.server import REGARDS, Conversation, Origin, OriginOptions, Site
from netstack.http.store import StoreLimits
from netstack.http.wire import parse_request
from netstack.kernel.disk import RealDisk
from netstack.kernel.machine import Machine
from netstack.kernel.real import real_machine
from netstack.sansio import Close, Command, FileSlice, Now, Peer, RemoteProtocolError
from tests.http.conversation import WALL

PEER = Peer(("192.0.2.1", 80), ("192.0.2.2", 50_000))


class Clock:
    """Stands for a reactor: time passes when it is told."""

    def __init__(self) -> None:
        self.time = 0.0

    def seconds(self) -> float:
        return self.time

    def callLater(self, *arguments: Any) -> Any:
        return None


@dataclass
class Served:
    """One connection to an origin of its own; `memo` 0 makes every answer anew."""

    machine: Machine
    limits: HTTPLimits
    peer: Peer = PEER
    sent: bytes = b""
    closed: bool = False
    requests: Requests = field(default_factory=Requests)

    def __post_init__(self) -> None:
        self.log = AccessLog(self.machine, "combined")
        options = OriginOptions(store=StoreLimits(check=1.0))
        self.origin = Origin(self.machine, [Site(("a.test",), "")], options, self.requests, self.log)
        self.heads = Heads(self.limits, "netstack", regards=self.origin.regards)
        self.connect()

    def connect(self) -> None:
        self.closed = False
        self.engine = ServerEngine(self.heads)
        self.role: Conversation = self.origin.conversation()
        self.engine.connected(PEER, self.now)

    @property
    def now(self) -> Now:
        seconds = self.machine.reactor.seconds()
        return Now(seconds, WALL + seconds)

    def send(self, command: Command) -> None:
        self.engine.send(command, self.now)

    def receive(self, data: bytes) -> None:
        if self.closed:
            self.connect()
        answer = self.engine.at_once(data, self.now.monotonic) if not self.engine.recording else None  # as drivers do
        if answer is not None:
            self.sent += answer
            return
        again = data
        while True:
            before = len(self.sent)
            try:
                for event in self.engine.receive(again, self.now):
                    if isinstance(event, Close):
                        self.closed = True
                        break
                    self.role.handle(event, self)  # type: ignore[arg-type]
            except RemoteProtocolError:
                self.closed = True
            self.sent += b"".join(
                part.file.read_at(part.offset, part.length) if isinstance(part, FileSlice) else part
                for part in self.engine.data_to_send()
            )
            if len(self.sent) == before or self.closed:
                return
            again = b""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = real_machine("www", state_directory=tmp_path)
    made.reactor = Clock()  # type: ignore[assignment]
    made.wall = lambda: WALL + made.reactor.seconds()
    made.disk = RealDisk(tmp_path / "site")
    made.disk.write("index.html", b"<p>1", mtime=1e9)
    made.disk.write("empty.txt", b"", mtime=1e9)
    made.disk.write("page.html.fr", b"<p>fr", mtime=1e9)
    made.disk.write("page.html.en", b"<p>en", mtime=1e9)
    made.disk.write("large.bin", b"x" * 70_000, mtime=1e9)
    return made


def head(line: str, *fields: str) -> bytes:
    return "\r\n".join((f"{line} HTTP/1.1", "Host: a.test", *fields, "", "")).encode("latin-1")


HEADS = (
    head("GET /"), head("HEAD /"), head("GET /", "If-None-Match: *"), head("GET /", 'If-None-Match: "x"'),
    head("GET /empty.txt"),
    head("GET /page.html", "Accept-Language: fr"), head("GET /page.html"), head("GET /none"), head("GET /large.bin"),
    head("GET /", "Connection: keep-alive"), head("GET /", "Connection: close"), head("GET /", "Range: bytes=1-2"),
    head("GET /", "Content-Length: 2") + b"ab", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", head("OPTIONS *"),
    head("GET /", "User-Agent: a", "Referer: b") * 2, head("POST /"), b"\r\n" + head("GET /"),
    head("GET /", "Authorization: Basic YTpi"), head("GET /", "A: " + "b" * 3000),
    *(head(line, f"Trace: {number}", *fields) for number in range(3) for line in ("GET /", "HEAD /page.html")
      for fields in ((), ("cookie: a=b",), ("User-Agent: c", "A:"), ("Connection: close",), ("Host: b.test",), ("X Y: z",),
                     ("Range: bytes=0-1", "B: c"), (" folded",), ("C: \x01",), ("D: e\nF: g",),
                     ("Accept: text/plain;q=0",))),
    b"Trace: 1\r\n" + head("GET /", "Trace: 1"), head("GET /", "Trace: 2") + head("GET /", "Trace: 1"),
    b"GET / HTTP/1.1\r\n\r\n", head("GET /", "")[:-2], head("GET /", *(["Many: x"] * 100)),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(HEADS), st.sampled_from([0.0, 0.3, 1.5]), st.integers(0, 3)), min_size=1, max_size=40
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(STEPS)
def test_ready_answers_are_those_of_the_plain_path(machine: Machine, steps: Sequence[tuple[bytes, float, int]]) -> None:
    clock: Any = machine.reactor
    clock.time = 0.0
    machine.disk.write("index.html", b"<p>1", mtime=1e9)
    ready, plain = (Served(machine, HTTPLimits(memo=memo, requests=9, idle_seconds=100)) for memo in (1024, 0))
    for number, (octets, wait, split) in enumerate(steps):
        clock.time += wait
        if split == 3 and wait > 1:  # a change that is seen after a second
            machine.disk.write("index.html", b"<p>%d" % number, mtime=1e9 + number)
            clock.time += 1.0
        for served in (ready, plain):
            served.receive(octets[:split])
            served.receive(octets[split:])
        assert ready.sent == plain.sent
        assert ready.closed == plain.closed
        assert ready.engine.next_timer() == plain.engine.next_timer()
    assert ready.requests.counts == plain.requests.counts
    assert ready.log._lines == plain.log._lines


def test_an_equal_request_is_answered_without_the_role(machine: Machine) -> None:
    served = Served(machine, HTTPLimits())
    served.receive(HEADS[0])
    first, served.sent = served.sent, b""
    assert len([*served.engine.receive(HEADS[0], served.now)]) == 1  # the second may be the last: nothing is ready yet
    served.connect()
    served.receive(HEADS[0])
    assert served.engine.at_once(HEADS[0], served.now.monotonic) is None  # nor is the second's Date
    assert [*served.engine.receive(HEADS[0], served.now)] == []
    assert b"".join(part for part in served.engine.data_to_send() if isinstance(part, bytes)) == first
    assert served.engine.at_once(HEADS[0], served.now.monotonic + 0.99) == first
    assert served.engine.at_once(HEADS[0], served.now.monotonic + 1.0) is None
    assert served.requests.counts == {("GET", 200): 4}
    served.engine.recording = True  # the journal sees every message: the plain path
    assert len([*served.engine.receive(HEADS[0], served.now)]) == 1


def test_what_no_answer_depends_on_is_not_looked_at(machine: Machine) -> None:
    served = Served(machine, HTTPLimits())
    fields = "Cookie: visitor=7", "User-Agent: a", "Trace: 0"
    served.receive(head("GET /", *fields))
    served.receive(head("GET /", *fields[:2]))  # as the one before, for a file; its answer is ready now
    served.receive(head("GET /", "User-Agent: a"))
    for alike in (("User-Agent: a", "Trace: 1"), ("Trace:2", "User-Agent: a", "cookie: visitor=8; x")):
        assert (served.engine.at_once(head("GET /", *alike), 0.0) or b"").endswith(b"<p>1")
    for other in (("User-Agent: b",), ("User-Agent: a", "Trace 1: x"), ("User-Agent: a", "X: \x7f"), ("Host: a.test",)):
        assert served.engine.at_once(head("GET /", *other), 0.0) is None


PIECES = (
    b"\r\n", b"\r", b"\n", b":", b" ", b"\t", b"\0", b"\x7f", b"\xe9", b"(", b"Host: a.test\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"A: b\r\n", b"\r\n\r\n", b" x\r\n", b"Connection: close\r\n", b"Te: trailers\r\n",
)  # fmt: skip


def test_what_is_found_by_what_is_left_of_it_is_a_request_that_says_the_same() -> None:
    """Heads with damage that the parser refuses are never found (RFC 9112 §11)."""
    sound = head("GET /x", "Trace: abc", "User-Agent: u", "Cookie: q=1; z=2", "X-Y: \x80\xff v", "Accept: */*")
    limits, random, found = HTTPLimits(), Random(1), 0
    wanted = parse_request(sound, limits)
    alike = Alike(limits, REGARDS)
    alike.remember(sound, RequestReceived(wanted))
    for _ in range(6000):
        octets = bytearray(sound)
        for _ in range(random.randint(1, 3)):
            at = random.randrange(len(octets))
            match random.randrange(3):
                case 0:
                    octets[at] = random.randrange(256)
                case 1:
                    del octets[at : at + random.randint(1, 6)]
                case _:
                    octets[at:at] = random.choice(PIECES)
        if alike.find(bytes(octets)) is not None:
            found += 1
            request = parse_request(bytes(octets), limits)
            assert {name: request.fields.get(name) for name in REGARDS} == {
                name: wanted.fields.get(name) for name in REGARDS
            }
            for said in ("method", "target", "host", "port", "minor", "keep_alive", "length", "chunked", "expects_continue"):
                assert getattr(request, said) == getattr(wanted, said)
    assert found > 200


def test_alike_heads_are_bounded() -> None:
    alike = Alike(HTTPLimits(memo=8), ())
    for number in range(100):
        octets = head(f"GET /{number % 50}", f"X: {number}", f"Host: b{number}")
        alike.remember(octets, Heads(HTTPLimits(memo=0)).parse(head(f"GET /{number}")))
    assert len(alike) <= 8
    assert len(alike._ignored) <= 8
    assert len(alike._regarded) <= 8


def test_who_is_drained_is_not_answered_from_the_hot_path(machine: Machine) -> None:
    served = Served(machine, HTTPLimits())
    served.receive(HEADS[0])
    served.receive(HEADS[0])
    served.role.drain(served)  # type: ignore[arg-type]
    served.receive(HEADS[0])
    assert served.closed


@pytest.mark.parametrize(
    ("fields", "limits", "told"),
    [
        ((), HTTPLimits(), []),
        (("Connection: keep-alive",), HTTPLimits(requests=3), [b"timeout=15, max=2", b"timeout=15, max=1"]),
        (("Connection: Keep-Alive",), HTTPLimits(requests=0, idle_seconds=7), [b"timeout=7"] * 4),
    ],
)
def test_who_asks_is_told_how_long_the_connection_lasts(
    machine: Machine, fields: tuple[str, ...], limits: HTTPLimits, told: list[bytes]
) -> None:
    served = Served(machine, limits)
    for _ in range(4):
        if not served.closed:
            served.receive(head("GET /", *fields))
    found = [line.partition(b": ")[2] for line in served.sent.split(b"\r\n") if line.startswith(b"Keep-Alive")]
    assert found == told
    assert served.sent.count(b"Connection: close") == bool(limits.requests and limits.requests < 4)


def test_heads_that_come_often_stay_remembered(machine: Machine) -> None:
    heads = Heads(HTTPLimits(memo=8))
    often = heads.parse(HEADS[0])
    for number in range(100):
        heads.parse(head("GET /", f"X: {number}"))
        if number % 3 == 0:
            assert heads.parse(HEADS[0]) is often
    assert len(heads.memo) + len(heads._older) <= 8
    secret = head("GET /", "Authorization: Basic YTpi")
    assert heads.parse(secret) is not heads.parse(secret)
