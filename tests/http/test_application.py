"""Applications behind a Web server: bodies in bounds, refusals before the body, answers at once and later."""

from collections.abc import Awaitable
from typing import Any

import pytest
from twisted.internet.task import deferLater

from netstack.http.answers import content, error
from netstack.http.application import ApplicationLimits, ApplicationServer, Call
from netstack.http.client import FetchError, Result, fetch
from netstack.http.events import Respond
from netstack.http.forms import Fields, media_type_of, parse_form
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.service import HTTPService
from netstack.http.wire import BadMessage, Request, parse_request
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint
from netstack.kernel.machine import Machine
from netstack.sansio import Peer
from netstack.world.simulated import Simulation

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"


class Echo:
    """Says what it got."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.ended = 0

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        return error(415, "no") if media_type_of(request) == "text/wrong" else None

    def answer(self, call: Call) -> Respond | Awaitable[Respond]:
        if call.request.path == "/later":
            return self.later(call)
        if call.request.path == "/bug":
            raise RuntimeError("a bug")
        if call.request.path == "/form":
            return content(200, "text/plain", parse_form(call.body).get("word").encode())
        return content(200, "text/plain", call.body)

    async def later(self, call: Call) -> Respond:
        await deferLater(self.machine.reactor, 5.0)  # type: ignore[arg-type]
        self.ended += 1
        return content(200, "text/plain", b"late " + call.body)


class Stage:
    def __init__(self, limits: ApplicationLimits | None = None, endpoints: tuple[str, ...] = ("tcp:80",)) -> None:
        self.simulation = Simulation(1)
        self.server = self.simulation.host("www.test", SERVER)
        self.client = self.simulation.host("pc.test", CLIENT)
        machine = self.simulation.machine(self.server, names=("www.test",))
        self.counts = requests(machine.registry)
        self.echo = Echo(machine)
        self.application = ApplicationServer(self.echo, ("www.test",), limits or ApplicationLimits(), self.counts, None)
        places = [Endpoint.parse(f"{text}:interface={SERVER}") for text in endpoints]
        self.service: Any = HTTPService(
            machine, places, self.application, HTTPLimits(body=1000), StreamLimits(), "", redirect_to_https=len(places) > 1
        )
        for listener in self.service.listeners:
            listener.bind()
        self.simulation.call(self.server, self.service.startService)
        self.machine = self.simulation.machine(self.client)

    def begin(self, method: str, path: str, body: bytes = b"", media: str = "text/plain") -> Any:
        async def go() -> Result | str:
            try:
                return await fetch(self.machine, f"http://{SERVER}{path}", method, [("Content-Type", media)], body)
            except FetchError as failed:
                return str(failed)

        return self.simulation.call(self.client, go)

    def ask(self, *arguments: Any) -> Result:
        outcome = self.begin(*arguments)
        self.simulation.run(for_seconds=10)
        found: Result = outcome.value
        return found


@pytest.mark.parametrize(
    ("arguments", "status", "body"),
    [
        (("GET", "/"), 200, b""),
        (("POST", "/", b"x" * 1000), 200, b"x" * 1000),
        (("POST", "/later", b"hello"), 200, b"late hello"),
        (("POST", "/form", b"word=caf%C3%A9+au+lait&x=1"), 200, "café au lait".encode()),
        (("POST", "/form", b"word=%FF"), 400, None),
        (("POST", "/form", "word=é".encode()), 400, None),
        (("POST", "/form", b"&".join([b"a=1"] * 201)), 400, None),
        (("POST", "/", b"x" * 1001), 413, None),
        (("POST", "/", b"x", "text/wrong"), 415, None),
    ],
)
def test_answers(arguments: tuple[Any, ...], status: int, body: bytes | None) -> None:
    stage = Stage()
    found = stage.ask(*arguments)
    assert found.status == status
    assert body is None or found.body == body
    assert sum(stage.counts.counts.values()) == 1
    assert (stage.application.octets, stage.application.answering) == (0, 0)


def test_a_bug_is_500_and_the_next_request_is_answered() -> None:
    stage = Stage()
    outcome = stage.begin("GET", "/bug")
    stage.simulation.run(for_seconds=10, check=False)
    problems, _ = stage.simulation.forget_problems()
    assert [str(problem.value) for problem in problems] == ["a bug"]
    assert outcome.value.status == 500
    assert stage.ask("GET", "/").status == 200


def test_what_is_too_much_at_once_is_503() -> None:
    stage = Stage(ApplicationLimits(bodies=1500, answers=2))
    waiting = [stage.begin("GET", "/later") for _ in range(3)]
    stage.simulation.run(for_seconds=10)
    assert sorted(outcome.value.status for outcome in waiting) == [200, 200, 503]
    stage.application.octets = 1000  # as if other bodies were on their way
    assert stage.ask("POST", "/", b"x" * 600).status == 503
    stage.application.octets -= 1000
    assert stage.ask("POST", "/", b"x" * 600).status == 200
    with pytest.raises(ValueError, match="answers"):
        ApplicationLimits(answers=0)


def test_work_goes_on_when_the_client_is_gone() -> None:
    stage = Stage()
    stage.begin("POST", "/later", b"x")
    stage.simulation.run(for_seconds=1)
    stage.client.power_off()
    stage.simulation.run(for_seconds=60)
    assert (stage.echo.ended, stage.application.answering) == (1, 0)


def test_what_may_not_come_in_the_clear_is_sent_to_https() -> None:
    stage = Stage(endpoints=("tcp:80", "tls:443"))
    seen = stage.ask("GET", "//elsewhere.test/?a=1")
    assert (seen.status, seen.field("location")) == (301, "https://www.test/elsewhere.test/?a=1")
    assert stage.ask("POST", "/", b"x").status == 403


def test_fields_of_forms() -> None:
    form = parse_form("a=1&b=&a=+2+")
    assert (form.get("a"), form.every("a"), form.get("b", "x"), form.get("c", "x")) == ("1", ["1", "2"], "", "x")
    assert "b" in form
    assert "c" not in Fields([])
    with pytest.raises(BadMessage):
        parse_form("a=%ff")
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: Text/HTML; charset=x\r\n\r\n"
    assert media_type_of(parse_request(head, HTTPLimits())) == "text/html"
