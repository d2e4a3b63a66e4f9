"""The hot path: what ready octets answer is octet for octet what the plain path answers, counts and logs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netstack.cache.entry import Entry
from netstack.cache.metrics import Counts
from netstack.cache.options import ProxyLimits, ProxyOptions
from netstack.cache.proxy import Proxy
from netstack.cache.responses import Responses
from netstack.cache.rules import Rules
from netstack.cache.status import hit
from netstack.cache.store import Store
from netstack.cache.targets import Friends
from netstack.http.access import AccessLog
from netstack.http.engine import Heads, ServerEngine
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import Requests
from netstack.http.upstream import Upstream, UpstreamOptions
from netstack.kernel.machine import Machine
from netstack.kernel.real import real_machine
from netstack.sansio import Close, Command, FileSlice, Now, Peer
from tests.cache.town import Town, fresh
from tests.http.conversation import WALL

FRIEND = Peer(("192.0.2.1", 3128), ("10.0.0.7", 50_000))
LIFE = 30.0


class Clock:
    """Stands for a reactor: time passes when it is told."""

    def __init__(self) -> None:
        self.time = 0.0

    def seconds(self) -> float:
        return self.time

    def callLater(self, *arguments: Any) -> Any:
        return None


def entry(key: bytes, body: bytes, born: float, vary: tuple[str, ...] = (), language: str | None = None) -> Entry:
    return Entry(
        key, 200, b"Date: then\r\nContent-Type: text/plain\r\nVia: 1.1 test\r\n", born, born, born, born + LIFE, 0.0, 0.0,
        int(born), length=len(body), first=0, stop=len(body), etag='"1"', vary=vary,
        selecting=((language,),) if vary else ((),),
    )  # fmt: skip


@dataclass
class Served:
    """One connection to a cache of its own, whose origins cannot be had; `memo` 0 makes every answer anew."""

    machine: Machine
    memo: int
    sent: bytes = b""
    closed: bool = False
    peer: Peer = FRIEND

    def __post_init__(self) -> None:
        self.log = AccessLog(self.machine, "combined")
        self.requests, self.counts = Requests(), Counts()
        self.store = Store(self.machine)
        options = ProxyOptions(allow=(ip_network("10.0.0.0/8"),), limits=ProxyLimits(ready_octets=4000, ready_memory=9000))
        self.proxy = Proxy(
            self.machine, options, Rules(name="test"), self.store, Upstream(self.machine, UpstreamOptions()), self.counts,
            self.requests, self.log,
        )  # fmt: skip
        self.heads = Heads(HTTPLimits(memo=self.memo, requests=9, idle_seconds=1000), date=False)
        self.connect()

    def connect(self) -> None:
        self.closed = False
        self.engine = ServerEngine(self.heads)
        self.role = self.proxy.conversation()
        self.engine.connected(FRIEND, self.now)

    @property
    def now(self) -> Now:
        return self.machine.now()

    @property
    def writable(self) -> bool:
        return True

    def send(self, command: Command) -> None:
        self.engine.send(command, self.now)

    def close(self) -> None:
        self.closed = True

    abort = close

    def put(self, path: str, body: bytes, *languages: str | None) -> None:
        """Store a response, or one for each language."""
        key = f"GET http://a.test{path}".encode()
        self.proxy.remove(key)
        for language in languages or (None,):
            made = entry(key, body, self.machine.wall(), ("accept-language",) if languages else (), language)
            if languages:
                body = body + (language or "").encode()
                made = replace(made, length=len(body), stop=len(body))
            writing = self.store.begin(key, made.to_bytes(), len(body))
            writing.write(body)
            self.proxy.stored(key, writing.end(made.to_bytes()), made)

    def receive(self, data: bytes) -> None:
        if self.closed:
            self.connect()
        while True:
            before = len(self.sent)
            for event in self.engine.receive(data, self.now):
                if isinstance(event, Close):
                    self.closed = True
                    break
                self.role.handle(event, self)  # type: ignore[arg-type]
            self.sent += b"".join(part for part in self.engine.data_to_send() if not isinstance(part, FileSlice))
            if len(self.sent) == before or self.closed:
                return
            data = b""

    def totals(self) -> tuple[object, ...]:
        counts = self.counts
        return (
            counts.requests + counts.ready, counts.hits["fresh"] + counts.ready, counts.client_octets + counts.ready_octets,
            counts.hit_octets + counts.ready_octets, counts.ages.counts, counts.ages.seconds, self.requests.counts,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = real_machine("cache", state_directory=tmp_path)
    made.reactor = Clock()  # type: ignore[assignment]
    made.wall = lambda: WALL + 0.25 + made.reactor.seconds()
    return made


def head(path: str, *fields: str, method: str = "GET") -> bytes:
    lines = (f"{method} http://a.test{path} HTTP/1.1", "Host: a.test", "Cache-Control: only-if-cached", *fields, "", "")
    return "\r\n".join(lines).encode()


def plain(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} http://a.test{path} HTTP/1.1", "Host: a.test", *fields, "", "")).encode()


HEADS = (
    plain("/a"), plain("/a", "User-Agent: x"), plain("/a", method="HEAD"), plain("/a", 'If-None-Match: "1"'),
    plain("/a", "Range: bytes=1-2"), plain("/a", "Connection: close"), plain("/a", "Connection: keep-alive"),
    plain("/b", "Accept-Language: fr"), plain("/b", "Accept-Language: en"), plain("/large"), plain("/a", "X: y") * 2,
    head("/a"), head("/none"), plain("/a", "Cache-Control: max-age=5"),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(HEADS), st.sampled_from([0.0, 0.3, 1.5, 7.0]), st.sampled_from(["", "", "", "a", "b", "purge"])
    ),
    min_size=1,
    max_size=50,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(STEPS)
def test_ready_answers_are_those_of_the_plain_path(machine: Machine, steps: Sequence[tuple[bytes, float, str]]) -> None:
    clock: Any = machine.reactor
    clock.time = 0.0
    both = [Served(machine, memo) for memo in (1024, 0)]
    bodies = {"/a": b"aaaa", "/b": b"b", "/large": b"x" * 5000}

    def fill() -> None:
        for served in both:
            served.put("/a", bodies["/a"])
            served.put("/b", bodies["/b"], "fr", "en")
            served.put("/large", bodies["/large"])

    fill()
    for number, (octets, wait, change) in enumerate(steps):
        clock.time += wait
        if clock.time - (clock.time // LIFE) * LIFE < wait:  # all is stale: the origins would be asked
            clock.time = (clock.time // LIFE) * LIFE
            fill()
        for served in both:
            if change == "a":
                served.put("/a", b"%d" % number)
            elif change == "b":
                served.put("/b", b"%d" % number, "fr", "en")
            elif change == "purge":
                served.proxy.remove(b"GET http://a.test/large")
                served.put("/large", b"y" * 3999)
            served.receive(octets)
        assert both[0].sent == both[1].sent
        assert both[0].closed == both[1].closed
        assert both[0].engine.next_timer() == both[1].engine.next_timer()
    assert both[0].totals() == both[1].totals()
    assert both[0].log._lines == both[1].log._lines


def test_an_equal_request_is_answered_without_the_role(machine: Machine) -> None:
    served = Served(machine, 1024)
    served.put("/a", b"aaaa")
    for _ in range(3):
        served.receive(HEADS[0])
    assert served.counts.ready == 1
    served.engine.recording = True  # the journal sees every message: the plain path
    served.receive(HEADS[0])
    assert served.counts.ready == 1


def test_ready_octets_have_a_bound(machine: Machine) -> None:
    served = Served(machine, 1024)
    for number in range(10):
        served.put(f"/{number}", b"x" * 3000)
        for _ in range(3):
            served.receive(plain(f"/{number}"))
    assert served.proxy.responses._octets <= 9000
    assert served.proxy.responses._kept == 3


def test_nothing_is_ready_once_it_is_stale_or_gone(machine: Machine) -> None:
    served = Served(machine, 1024)
    served.put("/a", b"aaaa")
    for _ in range(3):
        served.receive(HEADS[0])
    clock: Any = machine.reactor
    clock.time = LIFE + 1
    before = served.counts.ready
    assert len([*served.engine.receive(HEADS[0], served.now)]) == 1
    clock.time = 0.0
    served.put("/a", b"other")
    served.sent = b""
    served.connect()
    served.receive(HEADS[0])
    assert served.sent.endswith(b"other")
    assert served.counts.ready == before


def test_a_clock_that_jumps_back_makes_nothing_fresh(machine: Machine) -> None:
    served = Served(machine, 1024)
    served.put("/a", b"aaaa")
    for _ in range(3):
        served.receive(HEADS[0])
    machine.wall = lambda: WALL - 100 + machine.reactor.seconds()
    assert len([*served.engine.receive(HEADS[0], served.now)]) == 1


def test_strangers_get_no_ready_answer_of_friends() -> None:
    town = Town(lambda request: fresh(), sites=("site.test=http://www.a.test",))
    for told in ("fwd=uri-miss; stored", "hit", "hit", "hit"):
        assert town.get().told == told
    assert town.proxy.counts.ready == 2
    town.proxy.friends = Friends(())
    town.leave()
    assert [town.get().status for _ in range(3)] == [403] * 3
    for told in ("fwd=uri-miss; stored", "hit", "hit", "hit"):
        got = town.begin("/", ("Host", "site.test"))
        town.wait(got)
        assert got.told == told
    assert town.proxy.counts.ready == 4


@pytest.mark.parametrize("name", ["test", "localhost:3128", "a b"])
@pytest.mark.parametrize("show_key", [True, False])
def test_the_words_of_a_hit_are_those_of_the_rules(machine: Machine, name: str, show_key: bool) -> None:
    served = Served(machine, 1024)
    served.proxy.rules = Rules(name=name, show_key=show_key)
    words = Responses(served.proxy, served.requests)
    stored = entry(b"GET http://a.test/", b"x", WALL)
    for wall in (WALL, WALL + 1, WALL + 29):
        assert words._hit(stored, wall) == hit(served.proxy.rules, stored, wall)
