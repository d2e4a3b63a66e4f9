"""The health port: strict, bounded, and right about listeners."""

import urllib.error
import urllib.request
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from netstack.kernel.health import HealthEngine, Requested, Respond, health_listener, unbound
from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.metrics import Traffic, traffic
from netstack.sansio import Close, LocalProtocolError, Now, Peer, RemoteProtocolError
from tests.kernel.echo import EchoRole, LineEngine, make_machine

NOW = Now(100.0, 0.0)
PEER = Peer(("127.0.0.1", 1), ("127.0.0.1", 2))


def fed(*parts: bytes) -> tuple[HealthEngine, list[Any]]:
    engine = HealthEngine()
    events = list(engine.connected(PEER, NOW))
    for part in parts:
        events.extend(engine.receive(part, NOW))
    return engine, events


def test_one_request_one_response_the_end() -> None:
    head = b"GET /livez?verbose HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.30\r\n\r\n"
    for split in range(len(head)):
        engine, events = fed(head[:split], head[split:])
        assert events == [Requested("/livez")]
        assert not engine.wants_data()
        engine.send(Respond(200, b"ok\n"), NOW)
        assert list(engine.receive(b"", NOW)) == [Close()]
        (data,) = engine.data_to_send()
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        assert data.endswith(b"\r\nContent-Length: 3\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nok\n")
        with pytest.raises(LocalProtocolError):
            engine.send(Respond(200, b""), NOW)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /livez HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"HEAD /livez HTTP/1.1\r\n\r\n", 405),
        (b"GET livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/2.0\r\n\r\n", 400),
        (b"GET /livez\r\n\r\n", 400),
        (b"GET /li vez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nbad field\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nA: x\ny\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\n\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000, 431),
    ],
)
def test_what_is_refused(data: bytes, status: int) -> None:
    engine = HealthEngine()
    engine.connected(PEER, NOW)
    with pytest.raises(RemoteProtocolError) as caught:
        list(engine.receive(data, NOW))
    assert caught.value.code == status
    assert engine.data_to_send()[0].startswith(b"HTTP/1.1 %d " % status)


def test_a_slow_head_is_refused() -> None:
    engine, _ = fed(b"GET /")
    assert engine.next_timer() == 105.0
    with pytest.raises(RemoteProtocolError):
        engine.on_timer(Now(105.0, 5.0))
    assert engine.data_to_send()[0].startswith(b"HTTP/1.1 408 ")


@given(
    st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([b"GET / HTTP/1.1\r\n", b"\r\n", b"a: b\r\n"])), max_size=8)
)
def test_garbage_is_refused_or_waits(parts: list[bytes]) -> None:
    engine = HealthEngine()
    try:
        for part in parts:
            for event in engine.receive(part, NOW):
                assert isinstance(event, Requested)
    except RemoteProtocolError:
        assert len(engine.data_to_send()) == 1


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest_twisted.ensureDeferred
async def test_ready_when_all_listeners_are_bound() -> None:
    machine = make_machine(reactor)
    traffic(machine.registry, "upper", "server").received += 42
    services = MultiService()
    endpoint = Endpoint("tcp", 0, "127.0.0.1")
    late = StreamListener(machine, endpoint, "line", LineEngine, EchoRole, Traffic())
    late.setServiceParent(services)
    health = health_listener(machine, 0, lambda: unbound(services))
    health.startService()
    port = health.port.getHost().port  # type: ignore[union-attr]

    async def ask(path: str) -> tuple[int, str]:
        return await deferToThread(get, port, path)

    assert await ask("/livez") == (200, "ok\n")
    assert await ask("/readyz") == (503, "not ready: tcp:0:interface=127.0.0.1\n")
    services.startService()
    assert await ask("/readyz") == (200, "ok\n")
    status, text = await ask("/metrics")
    assert status == 200
    assert 'netstack_upper_received_bytes_total{role="server"} 42.0' in text
    assert (await ask("/other"))[0] == 404
    await services.stopService()
    assert (await ask("/readyz"))[0] == 503
    await health.stopService()
    assert traffic(machine.registry, "health", "server").active == 0
