"""The control socket: its protocol against good and bad clients, its place, and who may open it."""

import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport

from netstack.world.control.paths import (
    AlreadyRunning,
    Claim,
    NoPrivateDirectory,
    make_private,
    names_in_use,
    runtime_directory,
    runtime_root,
)
from netstack.world.control.server import ControlConnection, ControlError, ControlLimits, ControlServer, Stream


async def echo(arguments: Mapping[str, Any], stream: Stream) -> object:
    return dict(arguments)


async def refuse(arguments: Mapping[str, Any], stream: Stream) -> object:
    raise ControlError("not today", "usage")


async def count(arguments: Mapping[str, Any], stream: Stream) -> object:
    for number in range(arguments["to"]):
        stream.send(number)
    return {"dropped": stream.dropped}


async def follow(arguments: Mapping[str, Any], stream: Stream) -> object:
    stream.send("first")
    await stream.ended()
    return "ended"


async def never(arguments: Mapping[str, Any], stream: Stream) -> object:
    await Deferred()
    return None


VERBS = {"echo": echo, "refuse": refuse, "count": count, "follow": follow, "never": never}


class Client:
    """A client joined to the server in memory."""

    def __init__(self, server: ControlServer) -> None:
        self.connection = ControlConnection(server)
        self.transport = StringTransport()
        self.connection.makeConnection(self.transport)

    def say(self, *requests: object) -> list[dict[str, Any]]:
        for request in requests:
            self.connection.dataReceived(json.dumps(request).encode() + b"\n")
        return self.heard()

    def heard(self) -> list[dict[str, Any]]:
        lines = self.transport.value().splitlines()
        self.transport.clear()
        return [json.loads(line) for line in lines]


def server(**limits: int) -> ControlServer:
    return ControlServer(None, Path("unused"), VERBS, ControlLimits(**limits))


def test_answers_carry_the_ids_of_their_requests() -> None:
    client = Client(server())
    answers = client.say({"id": 1, "verb": "echo", "arguments": {"a": [1]}}, {"id": "x", "verb": "echo"})
    assert answers == [{"id": 1, "result": {"a": [1]}}, {"id": "x", "result": {}}]


def test_errors_say_whose_fault_it_is() -> None:
    client = Client(server())
    assert client.say({"id": 1, "verb": "refuse"})[0]["error"] == {"kind": "usage", "message": "not today"}
    unknown = client.say({"id": 2, "verb": "fly"})[0]["error"]
    assert unknown["kind"] == "request"
    assert "echo" in unknown["message"]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"{", b"[]", b"7", b'"x"', b'{"verb": 1}', b'{"verb": "echo", "arguments": 3}', b"[" * 5000]
)
def test_garbage_is_answered_and_the_next_request_works(line: bytes) -> None:
    client = Client(server())
    client.connection.dataReceived(line + b"\n")
    assert [answer["error"]["kind"] for answer in client.heard()] == ["request"]
    assert client.say({"id": 1, "verb": "echo"}) == [{"id": 1, "result": {}}]


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_octets_in_any_pieces(data: bytes, size: int) -> None:
    client = Client(server(line=120))
    for start in range(0, len(data), size):
        client.connection.dataReceived(data[start : start + size])
    assert all("error" in answer or "result" in answer for answer in client.heard())
    assert len(client.connection.buffer) <= 120


def test_a_long_line_ends_the_connection() -> None:
    client = Client(server(line=100))
    client.connection.dataReceived(b" " * 101)
    assert client.heard()[0]["error"]["kind"] == "request"
    assert client.transport.disconnecting


def test_many_lines_in_one_chunk_are_each_within_the_bound() -> None:
    client = Client(server(line=100))
    client.connection.dataReceived(b'{"id": 1, "verb": "echo"}\n' * 50)
    assert len(client.heard()) == 50


def test_one_client_too_many_is_told_so() -> None:
    full = server(clients=1)
    first, second = Client(full), Client(full)
    assert second.heard()[0]["error"]["kind"] == "busy"
    assert second.transport.disconnecting
    first.connection.connectionLost()
    assert Client(full).say({"id": 1, "verb": "echo"}) == [{"id": 1, "result": {}}]


def test_requests_in_hand_are_bounded() -> None:
    client = Client(server(requests=2))
    answers = client.say(*({"id": number, "verb": "never"} for number in range(3)))
    assert [(answer["id"], answer["error"]["kind"]) for answer in answers] == [(2, "busy")]
    assert client.say({"id": 0, "verb": "echo"})[0]["error"]["kind"] == "request"


def test_a_stream_ends_when_it_is_cancelled() -> None:
    client = Client(server())
    assert client.say({"id": 5, "verb": "follow"}) == [{"id": 5, "item": "first"}]
    answers = client.say({"id": 6, "verb": "cancel", "arguments": {"id": 5}})
    assert sorted(answers, key=lambda answer: answer["id"]) == [
        {"id": 5, "result": "ended"}, {"id": 6, "result": {"cancelled": True}},
    ]  # fmt: skip


def test_a_client_that_hangs_up_leaves_nothing_behind() -> None:
    control = server()
    client = Client(control)
    client.say({"id": 1, "verb": "follow"}, {"id": 2, "verb": "never"})
    client.connection.connectionLost()
    assert client.connection.running == {}
    assert control.clients == set()


def test_a_slow_client_loses_items_and_is_told_how_many() -> None:
    client = Client(server())
    client.connection.pauseProducing()
    assert client.transport.producerState == "paused"
    assert client.say({"id": 1, "verb": "count", "arguments": {"to": 7}}) == [{"id": 1, "result": {"dropped": 7}}]
    client.connection.resumeProducing()
    assert len(client.say({"id": 2, "verb": "count", "arguments": {"to": 7}})) == 8


def test_a_bug_in_a_verb_is_an_answer_too() -> None:
    client = Client(server())
    answer = client.say({"id": 1, "verb": "count", "arguments": {}})[0]
    assert answer["error"] == {"kind": "failed", "message": "KeyError: 'to'"}


# Its place


def test_a_name_is_held_once_and_given_back(private: Path) -> None:
    claim = Claim.take("small")
    claim.socket.touch()
    assert names_in_use() == ["small"]
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}.*netstack down --name small"):
        Claim.take("small")
    claim.release()
    assert names_in_use() == []
    Claim.take("small").release()


def test_what_a_killed_process_left_is_removed(private: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        claim = Claim.take("small")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(claim.socket))
        os.write(writer, b"x")
        os.kill(os.getpid(), 9)
    os.read(reader, 1)
    os.waitpid(child, 0)
    left = private / "netstack" / "small" / "control.sock"
    assert left.exists()
    assert names_in_use() == []
    claim = Claim.take("small")
    assert not left.exists()
    claim.release()


def test_the_directory_is_private(private: Path) -> None:
    directory = runtime_directory("small")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    directory.chmod(0o755)
    with pytest.raises(NoPrivateDirectory, match="chmod 700"):
        runtime_directory("small")


def test_without_the_variable_a_directory_of_the_users_own() -> None:
    assert runtime_root({}).name == f"netstack-{os.getuid()}"


def test_a_directory_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoPrivateDirectory, match="set XDG_RUNTIME_DIR to a shorter one"):
        runtime_directory("small", {"XDG_RUNTIME_DIR": str(tmp_path / ("x" * 100))})


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "other")
    with pytest.raises(NoPrivateDirectory, match="not a directory"):
        make_private(tmp_path / "link")


@contextmanager
def listening(path: Path) -> Iterator[ControlServer]:
    from twisted.internet.epollreactor import EPollReactor

    reactor = EPollReactor()
    control = ControlServer(reactor, path, VERBS)
    control.startService()
    try:
        yield control
    finally:
        control.stopService()
        reactor.iterate(0)
        reactor._poller.close()


def test_the_socket_is_for_its_owner_alone(private: Path) -> None:
    path = runtime_directory("small") / "control.sock"
    with listening(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()
