"""The service and the clients over real sockets, without a tap."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from prometheus_client import generate_latest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol

from netstack.kernel.authority import Authority, TLSError
from netstack.kernel.listen import Endpoint, ListenError
from netstack.kernel.machine import Machine
from netstack.kernel.real import real_machine
from netstack.kernel.tls import HostTLS
from netstack.sockets import MODES, Bounds, NoAnswer, SentenceService, ask_datagram, ask_stream

KINDS = ("tcp", "tls", "udp")
ENDPOINTS = ("udp:0:interface=127.0.0.1", "tcp:0:interface=127.0.0.1", "tls:0:interface=127.0.0.1")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = real_machine("upper", state_directory=tmp_path)
    authority = Authority.seeded(Random(1), made.wall() - 60, made.wall() + 3600)
    leaf = authority.issue(["upper.someschool.edu"])
    made.tls = HostTLS(reactor, made.wall, [leaf], [authority.certificate])
    return made


@asynccontextmanager
async def serving(
    machine: Machine, mode: str = "upper", bounds: Bounds | None = None, **limits: Any
) -> AsyncIterator[dict[str, int]]:
    """A running service; the ports of its endpoints by kind."""
    endpoints = [Endpoint.parse(text) for text in ENDPOINTS]
    service = SentenceService(machine, endpoints, MODES[mode], bounds or Bounds(), replace(machine.limits, **limits))
    service.startService()
    try:
        yield {each.endpoint.kind: each.port.getHost().port for each in service.listeners}
    finally:
        await maybeDeferred(service.stopService)


async def ask(machine: Machine, kind: str, port: int, sentence: bytes) -> bytes:
    if kind == "udp":
        return await ask_datagram(machine, "127.0.0.1", port, sentence)
    return await ask_stream(machine, "127.0.0.1", port, sentence, "upper.someschool.edu" if kind == "tls" else None)


def metric(machine: Machine, name: str, **labels: str) -> float | None:
    return machine.registry.get_sample_value(name, labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("mode", "sentence", "answer"),
    [("upper", "à l'œuf".encode(), "À L'ŒUF".encode()), ("upper", b"\xff x", b"\xff X"), ("lengths", b"do you", b"2 3")],
)
@pytest_twisted.ensureDeferred
async def test_every_transport_answers(machine: Machine, kind: str, mode: str, sentence: bytes, answer: bytes) -> None:
    async with serving(machine, mode) as ports:
        assert await ask(machine, kind, ports[kind], sentence) == answer
    assert metric(machine, "netstack_sockets_sentences_total", transport=kind) == 1
    assert metric(machine, "netstack_sockets_connections_active", role="server") == 0


@pytest_twisted.ensureDeferred
async def test_many_at_once(machine: Machine) -> None:
    async with serving(machine) as ports:
        asked = [
            Deferred.fromCoroutine(ask(machine, kind, ports[kind], b"sentence %d" % number))
            for number in range(40)
            for kind in ("tcp", "udp")
        ]
        answers = await DeferredList(asked, fireOnOneErrback=True)
    assert [answer for _, answer in answers] == [b"SENTENCE %d" % number for number in range(40) for _ in range(2)]


@pytest_twisted.ensureDeferred
async def test_an_answer_larger_than_the_buffers_arrives_whole(machine: Machine) -> None:
    sentence = "ΐ".encode() * 20_000
    async with serving(machine, bounds=Bounds(sentence=1 << 20), output_high=4096, output_low=1024) as ports:
        answer = await ask_stream(machine, "127.0.0.1", ports["tcp"], sentence)
    assert answer == sentence[: len(answer) // 3].decode().upper().encode()
    assert answer


@pytest_twisted.ensureDeferred
async def test_an_empty_datagram_is_answered_and_an_empty_stream_is_not_asked(machine: Machine) -> None:
    async with serving(machine) as ports:
        assert await ask_datagram(machine, "127.0.0.1", ports["udp"], b"") == b""
        with pytest.raises(ValueError, match="at least one octet"):
            await ask_stream(machine, "127.0.0.1", ports["tcp"], b"")


@pytest_twisted.ensureDeferred
async def test_a_sentence_above_the_bound_is_cut_and_counted(machine: Machine) -> None:
    async with serving(machine, bounds=Bounds(sentence=5)) as ports:
        assert await ask_stream(machine, "127.0.0.1", ports["tcp"], b"hello, world") == b"HELLO"
    assert metric(machine, "netstack_sockets_sentences_cut_total", transport="tcp") == 1


@pytest_twisted.ensureDeferred
async def test_a_name_that_the_certificate_lacks_is_no_answer(machine: Machine) -> None:
    async with serving(machine) as ports:
        with pytest.raises((NoAnswer, TLSError)):
            await ask_stream(machine, "127.0.0.1", ports["tls"], b"x", "other.someschool.edu")


@pytest_twisted.ensureDeferred
async def test_no_server_is_said_so(machine: Machine) -> None:
    async with serving(machine) as ports:
        pass
    with pytest.raises(ConnectionRefusedError):
        await ask_stream(machine, "127.0.0.1", ports["tcp"], b"x")
    with pytest.raises(NoAnswer, match="2 datagrams"):
        await ask_datagram(machine, "127.0.0.1", ports["udp"], b"x", Bounds(timeout=0.05, attempts=2))


class Silent(Protocol):
    """A client that says nothing and notes how it ends."""

    def __init__(self) -> None:
        self.ended: Deferred[bytes] = Deferred()
        self.read = b""

    def dataReceived(self, data: bytes) -> None:
        self.read += data

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.callback(self.read)


@pytest_twisted.ensureDeferred
async def test_a_silent_client_is_closed_in_its_time(machine: Machine) -> None:
    async with serving(machine, idle=0.1) as ports:
        client = Silent()
        reactor.connectTCP("127.0.0.1", ports["tcp"], _factory(client))
        assert await client.ended == b""
    assert metric(machine, "netstack_sockets_timeouts_total", role="server") == 1


@pytest_twisted.ensureDeferred
async def test_one_connection_too_many_is_refused_and_counted(machine: Machine) -> None:
    async with serving(machine, connections=1, idle=0.3) as ports:
        first, second = Silent(), Silent()
        reactor.connectTCP("127.0.0.1", ports["tcp"], _factory(first))
        reactor.connectTCP("127.0.0.1", ports["tcp"], _factory(second))
        await second.ended
        assert not first.ended.called
        assert metric(machine, "netstack_sockets_connections_refused_total", role="server") == 1
        await first.ended


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_an_error_that_names_it(machine: Machine) -> None:
    async with serving(machine) as ports:
        taken = Endpoint("tcp", ports["tcp"], "127.0.0.1")
        second = SentenceService(machine, [taken], MODES["upper"], Bounds(), machine.limits)
        with pytest.raises(ListenError, match=rf"{taken}.*another process listens there"):
            second.startService()


@pytest_twisted.ensureDeferred
async def test_the_journal_has_each_message_once(machine: Machine) -> None:
    machine.journal.enable("upper")
    async with serving(machine) as ports:
        for kind in KINDS:
            await ask(machine, kind, ports[kind], b"hello")
    rows = [(row.transport, row.summary, row.secure) for row in machine.journal]
    assert rows == [
        (transport, summary, secure)
        for transport, secure in (("tcp", False), ("tcp", True), ("udp", False))
        for summary in ('"hello"', '"HELLO"')
    ]


def test_metrics_are_exported_before_anything_happened(machine: Machine) -> None:
    SentenceService(machine, [Endpoint.parse("udp:0")], MODES["upper"], Bounds(), machine.limits)
    exposition = generate_latest(machine.registry).decode()
    assert 'netstack_sockets_sentences_total{transport="udp"} 0.0' in exposition
    assert 'netstack_sockets_sentences_refused_total{transport="udp"} 0.0' in exposition


def _factory(protocol: Protocol) -> Factory:
    factory: Any = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    for name in ("startedConnecting", "clientConnectionLost", "clientConnectionFailed"):
        setattr(factory, name, lambda *arguments: None)
    return factory
