import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.sansio import Close, Command, Event, LocalProtocolError, Message, Now, Peer, RemoteProtocolError
from netstack.sockets.answers import upper
from netstack.sockets.engine import (
    CLIENT,
    SERVER,
    Bounds,
    DatagramClient,
    DatagramServer,
    Input,
    State,
    StreamClient,
    StreamServer,
)
from netstack.sockets.events import (
    Answer,
    AnswerMissed,
    AnswerReceived,
    Ask,
    Connected,
    SentenceReceived,
    SourceRefused,
)
from netstack.sockets.wire import LARGEST_DATAGRAM
from netstack.testing.engines import Side, converse

NOW = Now(0.0, 0.0)
BOUNDS = Bounds()
PEER = Peer(("127.0.0.1", 12000), ("127.0.0.1", 40000))
HERE, THERE = ("192.0.2.1", 40000), ("192.0.2.2", 12000)


def asking(sentence: bytes) -> Side:
    return Side(StreamClient(Bounds()), lambda event: Ask(sentence) if isinstance(event, Connected) else None)


def answering(bounds: Bounds = BOUNDS) -> Side:
    def answer(event: Event) -> Command | None:
        return Answer(upper(event.sentence)) if isinstance(event, SentenceReceived) else None

    return Side(StreamServer(bounds), answer)


# One connection


@given(st.binary(min_size=1, max_size=200))
def test_a_client_and_a_server_in_memory(sentence: bytes) -> None:
    client, server = asking(sentence), answering()
    converse(client, server)
    assert client.events == [Connected(), AnswerReceived(upper(sentence)), Close()]
    assert server.events == [SentenceReceived(sentence), Close()]
    assert client.engine.state is State.ANSWERED
    assert server.engine.state is State.DONE


@pytest.mark.parametrize("at", range(1, 6))
def test_the_first_read_is_the_sentence_wherever_the_stream_is_split(at: int) -> None:
    server = answering()
    assert server.step(server.engine.receive(b"hello"[:at], NOW), NOW) == b"HELLO"[:at]
    assert server.closed
    assert not server.engine.wants_data()
    assert server.step(server.engine.receive(b"hello"[at:], NOW), NOW) == b""


@pytest.mark.parametrize("at", range(1, 5))
def test_an_answer_may_come_in_any_pieces(at: int) -> None:
    client = asking(b"hello")
    client.step(client.engine.connected(PEER, NOW), NOW)
    client.step(client.engine.receive(b"HELLO"[:at], NOW), NOW)
    client.step(client.engine.receive(b"HELLO"[at:], NOW), NOW)
    assert not client.of(AnswerReceived)
    client.step(client.engine.eof(NOW), NOW)
    assert client.of(AnswerReceived) == [AnswerReceived(b"HELLO")]


def test_what_is_beyond_the_bound_is_ignored() -> None:
    server = answering(Bounds(sentence=4))
    assert server.step(server.engine.receive(b"hello", NOW), NOW) == b"HELL"
    assert server.of(SentenceReceived) == [SentenceReceived(b"hell", is_cut=True)]


def test_an_answer_above_its_bound_is_the_servers_fault() -> None:
    client = StreamClient(Bounds(answer=4))
    client.send(Ask(b"x"), NOW)
    with pytest.raises(RemoteProtocolError):
        client.receive(b"HELLO", NOW)


def test_a_late_answer_is_sent_and_the_connection_closed() -> None:
    server = StreamServer(Bounds())
    assert list(server.receive(b"hello", NOW)) == [SentenceReceived(b"hello")]
    assert list(server.eof(NOW)) == []
    server.send(Answer(b"HELLO"), NOW)
    assert list(server.receive(b"", NOW)) == [Close()]
    assert server.data_to_send() == [b"HELLO"]


def test_a_client_that_says_nothing_gets_nothing() -> None:
    server = answering()
    assert server.step(server.engine.eof(NOW), NOW) == b""
    assert server.events == [Close()]


def test_an_empty_answer_is_an_answer() -> None:
    client = asking(b"x")
    client.step(client.engine.connected(PEER, NOW), NOW)
    client.step(client.engine.eof(NOW), NOW)
    assert client.events == [Connected(), AnswerReceived(b""), Close()]


def stream_server(state: State) -> StreamServer:
    engine = StreamServer(Bounds())
    if state is not State.READY:
        list(engine.receive(b"x", NOW))
    if state in (State.ANSWERED, State.DONE):
        engine.send(Answer(b"X"), NOW)
    if state is State.DONE:
        list(engine.receive(b"", NOW))
    assert engine.state is state
    return engine


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("command", [Answer(b"X"), Ask(b"x")])
def test_a_server_obeys_its_table(state: State, command: Command) -> None:
    engine = stream_server(state)
    if isinstance(command, Answer) and SERVER.allows(state, Input.ANSWER):
        engine.send(command, NOW)
        assert engine.state is State.ANSWERED
    else:
        with pytest.raises(LocalProtocolError):
            engine.send(command, NOW)
        assert engine.state is state


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("given_input", ["octets", "eof"])
def test_a_server_takes_any_input_in_any_state(state: State, given_input: str) -> None:
    engine = stream_server(state)
    events = list(engine.receive(b"y", NOW) if given_input == "octets" else engine.eof(NOW))
    expected = {
        (State.READY, "octets"): [SentenceReceived(b"y")],
        (State.READY, "eof"): [Close()],
        (State.ANSWERED, "octets"): [Close()],
    }
    assert events == expected.get((state, given_input), [])


@pytest.mark.parametrize("state", [State.READY, State.ASKED, State.ANSWERED, State.DONE])
@pytest.mark.parametrize("command", [Ask(b"x"), Answer(b"X"), Ask(b"")])
def test_a_client_obeys_its_table(state: State, command: Command) -> None:
    engine = StreamClient(Bounds())
    if state in (State.ASKED, State.ANSWERED):
        engine.send(Ask(b"x"), NOW)
    if state in (State.ANSWERED, State.DONE):
        list(engine.eof(NOW))
    assert engine.state is state
    if command == Ask(b"x") and CLIENT.allows(state, Input.SENTENCE):
        engine.send(command, NOW)
        assert engine.state is State.ASKED
    else:
        with pytest.raises(LocalProtocolError):
            engine.send(command, NOW)


def test_the_diagrams_are_drawn_from_the_tables() -> None:
    assert SERVER.dot().count("->") == 4
    assert '"ASKED" -> "ANSWERED" [label="ANSWER"]' in CLIENT.dot()


# Datagrams


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_each_datagram_is_a_sentence(sentences: list[bytes]) -> None:
    server = DatagramServer(12000)
    for sentence in sentences:
        events = list(server.receive(sentence, NOW, HERE))
        assert events == [SentenceReceived(sentence, HERE)]
        server.send(Answer(upper(sentence), HERE), NOW)
    assert server.data_to_send() == [(upper(sentence), HERE) for sentence in sentences]
    assert server.data_to_send() == []


@pytest.mark.parametrize("port", [12000, 7, 53, 1023])
def test_two_servers_never_answer_each_other(port: int) -> None:
    source = ("192.0.2.9", port)
    assert list(DatagramServer(12000).receive(b"PING", NOW, source)) == [SourceRefused(source)]


def test_an_answer_that_no_datagram_holds_is_cut_at_a_character() -> None:
    server = DatagramServer(12000)
    server.send(Answer(upper("ΐ".encode() * 30_000), HERE), NOW)
    ((answer, destination),) = server.data_to_send()
    assert len(answer) == LARGEST_DATAGRAM - 1
    assert answer.decode()
    assert destination == HERE


@pytest.mark.parametrize("command", [Ask(b"x"), Answer(b"X")])
def test_a_server_of_datagrams_needs_an_answer_with_a_destination(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        DatagramServer(12000).send(command, NOW)


def test_a_lost_datagram_is_sent_again_until_the_attempts_are_used_up() -> None:
    client = DatagramClient(THERE, Bounds(timeout=2.0, attempts=2))
    assert client.next_timer() is None
    client.send(Ask(b"x"), Now(10.0, 0.0))
    assert client.next_timer() == 12.0
    assert list(client.on_timer(Now(11.0, 0.0))) == []
    assert list(client.on_timer(Now(12.0, 0.0))) == []
    assert client.data_to_send() == [(b"x", THERE), (b"x", THERE)]
    assert list(client.on_timer(Now(14.0, 0.0))) == [AnswerMissed(2)]
    assert client.next_timer() is None
    assert list(client.receive(b"X", Now(15.0, 0.0), THERE)) == []


def test_only_the_server_that_was_asked_answers_and_only_once() -> None:
    client = DatagramClient(THERE, Bounds())
    client.send(Ask(b"x"), NOW)
    assert list(client.receive(b"forged", NOW, ("192.0.2.2", 12001))) == []
    assert client.strangers == 1
    assert list(client.receive(b"X", NOW, THERE)) == [AnswerReceived(b"X")]
    assert list(client.receive(b"X", NOW, THERE)) == []
    assert client.next_timer() is None


@pytest.mark.parametrize("command", [Answer(b"X"), Ask(b"x" * (LARGEST_DATAGRAM + 1))])
def test_a_client_of_datagrams_refuses_what_cannot_be_sent(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        DatagramClient(THERE, Bounds()).send(command, NOW)


# The journal


def test_messages_are_named_while_recording() -> None:
    client, server = asking(b"hello"), answering()
    client.engine.recording = server.engine.recording = True
    converse(client, server)
    assert server.engine.messages() == (Message(False, '"hello"', b"hello"), Message(True, '"HELLO"', b"HELLO"))
    assert client.engine.messages() == (Message(True, '"hello"', b"hello"), Message(False, '"HELLO"', b"HELLO"))
    assert client.engine.messages() == ()


def test_messages_of_datagrams_name_the_other_end() -> None:
    server = DatagramServer(12000)
    server.recording = True
    list(server.receive(b"hello", NOW, HERE))
    server.send(Answer(b"HELLO", HERE), NOW)
    assert server.messages() == (Message(False, '"hello"', b"hello", HERE), Message(True, '"HELLO"', b"HELLO", HERE))
