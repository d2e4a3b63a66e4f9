"""What the processes of one service say to each other, how their metrics add up, whose the ports are."""

import socket
from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred

from netstack.kernel.listen import Endpoint, ListenError
from netstack.kernel.workers.channel import Channel, Kind, Unanswered
from netstack.kernel.workers.exposition import Sum
from netstack.kernel.workers.ports import SharedPorts, claim
from tests.addresses import own_address


def joined(cut: int = 0) -> tuple[Channel, Channel]:
    """Two ends; octets arrive in pieces of `cut`."""
    ends: list[Channel] = []

    def deliver(to: int) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            step = cut or len(data)
            for start in range(0, len(data), step):
                ends[to].receive(data[start : start + step])

        return write

    ends += [Channel(deliver(1)), Channel(deliver(0))]
    return ends[0], ends[1]


def result(answer: Deferred[bytes]) -> object:
    found: list[object] = []
    answer.addBoth(found.append)
    if not found:
        return None
    value = getattr(found[0], "value", found[0])
    return str(value) if isinstance(value, Unanswered) else value


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_a_question_has_its_own_answer(cut: int) -> None:
    here, there = joined(cut)
    later: Deferred[bytes] = Deferred()
    there.handlers = {"slow": lambda asker, data: later, "echo": lambda asker, data: b"%d:" % asker + data}
    slow = here.ask("slow")
    assert result(here.ask("echo", b"line\nline")) == b"255:line\nline"
    seen: list[bytes] = []
    slow.addCallback(seen.append)
    assert seen == []
    later.callback(b"at last")
    assert seen == [b"at last"]
    assert result(here.ask("nonsense")) == "nobody answers that here"


def test_who_is_gone_answers_nothing() -> None:
    here, there = joined()
    there.handlers = {"never": lambda asker, data: Deferred()}
    waiting = here.ask("never")
    here.lost()
    assert result(waiting) == "the process is gone"
    assert result(here.ask("never")) == "the process is gone"


def test_an_error_of_a_handler_is_told_to_the_asker() -> None:
    here, there = joined()

    def refuse(asker: int, data: bytes) -> bytes:
        raise Unanswered("not now")

    there.handlers = {"refuse": refuse}
    assert result(here.ask("refuse")) == "not now"


def test_what_is_for_another_is_relayed() -> None:
    frames: list[tuple[int, Kind, int, bytes]] = []
    runs = True

    def relay(to: int, kind: Kind, number: int, body: bytes) -> bool:
        frames.append((to, kind, number, body))
        return runs

    ends: list[Channel] = []
    worker = Channel(lambda data: ends[0].receive(data))
    ends.append(Channel(worker.receive, relay))
    answer = worker.ask("update", b"x", 0)
    assert frames == [(0, Kind.QUESTION, 1, b"update\nx")]
    ends[0].send(Kind.ANSWER, 0, 1, b"done")
    assert result(answer) == b"done"
    runs = False
    assert result(worker.ask("update", b"x", 0)) == "that worker does not run"


@pytest.mark.parametrize("data", [b"\0\0\0\1\1\0\0\0\0\0", b"\xff\xff\xff\xff" + bytes(6)])
def test_nonsense_is_no_frame(data: bytes) -> None:
    here, _ = joined()
    with pytest.raises(ValueError, match="a frame of"):
        here.receive(data)


ONE = """# HELP netstack_dns_requests_total Queries.
# TYPE netstack_dns_requests_total counter
netstack_dns_requests_total{type="A",proto="udp"} 3.0
# HELP netstack_dns_connections_active Open.
# TYPE netstack_dns_connections_active gauge
netstack_dns_connections_active 2.0
# HELP netstack_dns_zone_serial Serial.
# TYPE netstack_dns_zone_serial gauge
netstack_dns_zone_serial 7.0
# HELP netstack_dns_seconds Time.
# TYPE netstack_dns_seconds histogram
netstack_dns_seconds_bucket{le="0.1"} 1.0
netstack_dns_seconds_bucket{le="+Inf"} 3.0
netstack_dns_seconds_count 3.0
netstack_dns_seconds_sum 0.75
"""


def test_counters_add_up_and_gauges_follow_their_rule() -> None:
    other = ONE.replace(
        '"A",proto="udp"} 3.0', '"A",proto="udp"} 4.0\nnetstack_dns_requests_total{type="MX",proto="tcp"} 1.0'
    )
    found = Sum([ONE, other.replace("serial 7.0", "serial 9.0")]).text()
    for line in (
        'netstack_dns_requests_total{proto="udp",type="A"} 7.0',
        'netstack_dns_requests_total{proto="tcp",type="MX"} 1.0',
        "netstack_dns_connections_active 4.0",
        "netstack_dns_zone_serial 9.0",
        'netstack_dns_seconds_bucket{le="+Inf"} 6.0',
        "netstack_dns_seconds_sum 1.5",
        "# TYPE netstack_dns_requests_total counter",
    ):
        assert line in found.splitlines()
    assert Sum([found]).text() == found


def test_what_has_ended_keeps_its_counters_alone() -> None:
    ended = Sum()
    ended.add(ONE, gauges=False)
    assert 'netstack_dns_requests_total{proto="udp",type="A"} 3.0' in ended.text()
    assert "active" not in ended.text()
    assert 'requests_total{proto="udp",type="A"} 6.0' in Sum([ended.text(), ONE]).text()


def test_workers_share_a_port_that_others_do_not() -> None:
    address = own_address()
    endpoints = [Endpoint("udp", 12000, address), Endpoint("tcp", 12000, address)]
    claim(endpoints, "here")
    first, second = SharedPorts("here", endpoints), SharedPorts("here", endpoints)
    first.bind()
    second.bind()
    assert set(first.descriptors()) == {str(each) for each in endpoints}
    with pytest.raises(ListenError, match="another process listens there"):
        claim(endpoints, "here")
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect((address, 12000))  # bound, and nobody listens: the parent eats nothing
    first.release()
    assert first.descriptors() == {}
    first.bind()
    for each in (first, second):
        each.close()
    claim(endpoints, "here")
