"""A stream arrives whole and in order, whatever the links do to its segments."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone

from netstack.kernel.links import LinkSettings
from netstack.world.simulated import Simulation
from tests.world.simulated.ends import Accepting, End, Once

LINKS = st.builds(
    LinkSettings,
    rate_bps=st.sampled_from([None, 1e5, 1e6, 1e9]),
    delay=st.sampled_from([0.0, 1e-9, 0.001, 0.3]),
    loss=st.sampled_from([0.0, 0.02, 0.3]),
    queue=st.sampled_from([None, 3000, 50_000]),
)


class Pausing(End):
    """Stops reading for a while after each piece."""

    def __init__(self, reactor: Any, pause: float) -> None:
        super().__init__()
        self.reactor = reactor
        self.pause = pause

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.pause and data:
            self.transport.pauseProducing()  # type: ignore[union-attr]
            self.reactor.callLater(self.pause, self.transport.resumeProducing)  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(
    LINKS,
    LINKS,
    st.lists(st.integers(1, 40_000), max_size=6),
    st.lists(st.integers(1, 40_000), max_size=6),
    st.sampled_from([8760, 1 << 16, 1 << 20]),
    st.booleans(),
    st.sampled_from([0.0, 0.05]),
    st.integers(0, 1000),
)
def test_streams_are_whole_and_in_order(
    there: LinkSettings,
    back: LinkSettings,
    asked: list[int],
    answered: list[int],
    window: int,
    slow: bool,
    pause: float,
    seed: int,
) -> None:
    simulation = Simulation(seed, window=window, slow_start=slow)
    a, b = simulation.host("a", "10.0.0.1"), simulation.host("b", "10.0.0.2")
    simulation.join(a, b, there, back)
    client, server = Pausing(a.reactor, pause), Pausing(b.reactor, pause)
    question = b"".join(bytes([number + 1]) * size for number, size in enumerate(asked))
    answer = b"".join(bytes([number + 101]) * size for number, size in enumerate(answered))

    def send(end: End, sizes: list[int], first: int) -> None:
        for number, size in enumerate(sizes):
            end.transport.write(bytes([first + number]) * size)  # type: ignore[union-attr]

    assert a.reactor is not None
    assert b.reactor is not None
    b.reactor.listenTCP(80, Accepting(server))
    client.made.addCallback(send, asked, 1)
    server.made.addCallback(send, answered, 101)
    simulation.call(a, a.reactor.connectTCP, "10.0.0.2", 80, Once(client), 300)
    simulation.run(
        until=3000,
        stop=lambda: len(client.heard) == len(answer) and len(server.heard) == len(question) and server.made.called,
    )
    assert server.heard == question
    assert client.heard == answer
    simulation.call(a, lambda: client.transport.loseConnection())  # type: ignore[union-attr]
    simulation.run(until=simulation.now + 3000)
    assert client.lost.result is ConnectionDone
    assert server.lost.result is ConnectionDone
    assert not a.reactor.streams
    assert not b.reactor.streams
