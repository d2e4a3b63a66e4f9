"""Whatever is asked of a pool, and whatever origins do: everybody is told once how it ended, and nothing is left."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.http.dialing import DialLimits
from netstack.http.places import Place
from netstack.http.transfer import UpstreamLimits
from tests.http.origins import CLOSE, RESET, Step
from tests.http.test_upstream import CHUNKED, HOST, NAME, OK, Receiving, World

SCRIPTS: list[Sequence[Step]] = [
    [OK], [0.3, OK], [OK[:20], 0.2, OK[20:]], [CLOSE], [RESET], [0.2, CLOSE], [OK[:-1], CLOSE], [OK[:-1], 0.1, RESET],
    [OK, CLOSE], [OK, RESET], [OK + b"more"], [b"nonsense\r\n\r\n"], [b"HTTP/1.1 100 Continue\r\n\r\n", 0.1, OK], [500.0],
    [CHUNKED + b"2\r\nok\r\n", 0.1, b"0\r\n\r\n"], [b"HTTP/1.0 200 OK\r\n\r\nok", 0.1, CLOSE],
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"],
    [b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + bytes(500_000)],
]  # fmt: skip
PLACES = [Place(False, NAME, 80), Place(False, NAME, 81), Place(False, NAME, 82), Place(False, "nowhere.test", 80)]
opening = st.tuples(
    st.just("open"), st.sampled_from(PLACES), st.sampled_from(["GET", "POST"]), st.sampled_from([None, b"whole", 6, True])
)
doing = st.tuples(st.sampled_from(["send", "end", "abort", "pause", "resume"]), st.integers(0, 30))
waiting = st.tuples(st.just("wait"), st.sampled_from([0.0, 0.05, 0.2, 1.0, 6.0]))
LIMITS = UpstreamLimits(
    per_host=2, connections=3, idle_per_host=1, idle=2, idle_seconds=5, queue=8, queue_seconds=4, head_seconds=3,
    read_seconds=3, write_seconds=3, exchange_seconds=30,
)  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(SCRIPTS), min_size=1, max_size=12),
    st.lists(st.one_of(opening, opening, doing, waiting), max_size=40),
    st.booleans(),
)
def test_everybody_is_told_once_and_nothing_is_left(
    scripts: list[Sequence[Step]], steps: list[tuple[Any, ...]], pipelining: bool
) -> None:
    world = World(*scripts, limits=LIMITS, dial=DialLimits(connect_seconds=2), pipelining=pipelining)
    upstream = world.upstream
    opened: list[tuple[Any, Receiving]] = []
    aborted: set[int] = set()
    ended_by_us: set[int] = set()

    def act(step: tuple[Any, ...]) -> None:
        if step[0] == "open":
            _, place, method, body = step
            receiver = Receiving()
            opened.append((upstream.open(place, method, "/", HOST, body, receiver), receiver))
            assert not receiver.told
            return
        if not opened:
            return
        number = step[1] % len(opened)
        transfer, _ = opened[number]
        if step[0] == "send":
            transfer.send(b"abc")
        elif step[0] == "abort":
            aborted.add(number)
            transfer.abort()
        elif step[0] == "end":
            ended_by_us.add(number)
            transfer.end()
        else:
            getattr(transfer, step[0])()

    for step in steps:
        if step[0] == "wait":
            world.simulation.run(for_seconds=step[1])
        else:
            world.simulation.call(world.client, act, step)
            world.simulation.run(for_seconds=0)
        assert upstream.connections <= LIMITS.connections
        assert upstream.waiting <= LIMITS.queue
    for number in range(len(opened)):
        world.simulation.call(world.client, act, ("resume", number))
    world.simulation.run(for_seconds=100)
    for number, (transfer, receiver) in enumerate(opened):
        assert transfer.done
        assert receiver.ended or number in aborted
        if receiver.trailers is not None:
            assert receiver.response is not None
            assert receiver.body in (b"ok", bytes(500_000))
    assert upstream.connections == upstream.waiting == 0
    assert not upstream._hosts
    assert not upstream._idle
    assert not upstream._hungry
    assert world.counted("netstack_http_connections_active", role="client") == 0
