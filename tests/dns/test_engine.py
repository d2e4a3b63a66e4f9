"""Framing, bounds and time-outs of streams; datagrams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.engine import ClientStream, Datagrams, ServerStream
from netstack.dns.events import QueryReceived, ReplyReceived, SendQuery, SendReply, StreamEnded
from netstack.sansio import Close, Event, LocalProtocolError, Now, Peer, RemoteProtocolError

NOW = Now(100.0, 0.0)
PEER = Peer(("127.0.0.1", 53), ("127.0.0.1", 40000))


def message(number: int) -> bytes:
    return number.to_bytes(2, "big") + bytes(10 + number % 7)


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def server(pipeline: int = 4, idle: float = 10.0) -> ServerStream:
    made = ServerStream(pipeline, idle)
    assert list(made.connected(PEER, NOW)) == []
    return made


def test_every_split() -> None:
    stream = b"".join(framed(message(number)) for number in range(3))
    expected: list[Event] = [QueryReceived(message(number)) for number in range(3)]
    for at in range(len(stream) + 1):
        engine = server()
        assert [*engine.receive(stream[:at], NOW), *engine.receive(stream[at:], NOW)] == expected
    engine = server()
    assert [event for octet in stream for event in engine.receive(bytes([octet]), NOW)] == expected


@given(st.lists(st.binary(min_size=12, max_size=300), max_size=8))
def test_what_a_client_sends_a_server_gets(messages: list[bytes]) -> None:
    client, engine = ClientStream(), server(pipeline=100)
    for data in messages:
        client.send(SendQuery(data), NOW)
    assert [*engine.receive(b"".join(client.data_to_send()), NOW)] == [QueryReceived(data) for data in messages]
    for data in messages:
        engine.send(SendReply(data), NOW)
    assert [*client.receive(b"".join(engine.data_to_send()), NOW)] == [ReplyReceived(data) for data in messages]
    assert list(client.eof(NOW)) == [StreamEnded(), Close()]


def test_no_more_than_the_pipeline_is_in_hand() -> None:
    engine = server(pipeline=2)
    stream = b"".join(framed(message(number)) for number in range(5))
    assert len(list(engine.receive(stream, NOW))) == 2
    assert not engine.wants_data()
    assert list(engine.receive(b"", NOW)) == []
    engine.send(SendReply(None), NOW)
    assert engine.wants_data()
    assert list(engine.receive(b"", NOW)) == [QueryReceived(message(2))]
    assert engine.data_to_send() == []


def test_answers_in_the_middle_of_a_batch() -> None:
    engine = server(pipeline=1)
    got = []
    for event in engine.receive(b"".join(framed(message(number)) for number in range(50)), NOW):
        assert isinstance(event, QueryReceived)
        got.append(event.data)
        engine.send(SendReply(event.data), NOW)
    assert b"".join(engine.data_to_send()) == b"".join(map(framed, got))
    assert len(got) == 50


def test_a_drip_of_octets_does_not_keep_a_connection() -> None:
    engine = server(idle=10.0)
    for second, octet in enumerate(framed(message(1))[:9]):
        assert list(engine.receive(bytes([octet]), Now(100.0 + second, 0.0))) == []
        assert engine.next_timer() == 110.0
    assert list(engine.on_timer(Now(110.0, 0.0))) == [Close()]


def test_a_query_in_hand_keeps_it() -> None:
    engine = server(idle=10.0)
    assert list(engine.receive(framed(message(1)), Now(105.0, 0.0)))
    assert engine.next_timer() is None
    assert list(engine.on_timer(Now(200.0, 0.0))) == []
    engine.send(SendReply(message(1)), Now(130.0, 0.0))
    assert engine.next_timer() == 140.0


def test_after_the_last_query_the_replies_still_come() -> None:
    engine = server()
    assert len(list(engine.receive(framed(message(1)), NOW))) == 1
    assert list(engine.eof(NOW)) == []
    engine.send(SendReply(message(1)), NOW)
    assert list(engine.receive(b"", NOW)) == [Close()]
    assert list(server().eof(NOW)) == [Close()]


@pytest.mark.parametrize("start", [b"\0\0", b"\0\x0b" + bytes(11), b"\0\1x"])
def test_a_message_shorter_than_a_header_ends_the_stream(start: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        list(server().receive(start, NOW))


def test_too_much_that_waits_ends_the_stream() -> None:
    engine = server(pipeline=1)
    chunk = framed(bytes(60000))
    for _ in range(9):
        list(engine.receive(chunk, NOW))
    with pytest.raises(RemoteProtocolError):
        list(engine.receive(chunk, NOW))


def test_commands_in_a_wrong_state() -> None:
    with pytest.raises(LocalProtocolError, match="without a query"):
        server().send(SendReply(message(1)), NOW)
    with pytest.raises(LocalProtocolError):
        server().send(SendQuery(message(1)), NOW)
    with pytest.raises(LocalProtocolError):
        ClientStream().send(SendReply(message(1)), NOW)
    with pytest.raises(LocalProtocolError):
        Datagrams(server=True).send(SendReply(message(1)), NOW)


def test_datagrams() -> None:
    source = ("127.0.0.1", 4000)
    engine = Datagrams(server=True)
    assert list(engine.receive(b"x", NOW, source)) == [QueryReceived(b"x", source)]
    assert list(Datagrams(server=False).receive(b"x", NOW, source)) == [ReplyReceived(b"x", source)]
    assert list(engine.receive(b"x", NOW, ("127.0.0.1", 0))) == []
    engine.send(SendReply(b"y", source), NOW)
    engine.send(SendReply(None, source), NOW)
    assert engine.data_to_send() == [(b"y", source)]
    assert engine.data_to_send() == []
    assert (engine.next_timer(), list(engine.on_timer(NOW))) == (None, [])


def test_messages_for_the_journal_are_the_octets_of_the_stream() -> None:
    engine = server()
    engine.recording = True
    list(engine.receive(framed(message(1)), NOW))
    engine.send(SendReply(message(1)), NOW)
    kept = engine.messages()
    assert [(each.sent, each.data) for each in kept] == [(False, framed(message(1))), (True, framed(message(1)))]
