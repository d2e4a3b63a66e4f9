"""Rows of several processes become each message once."""

from typing import Any

from netstack.world.control.merged import flow, merged

CLIENT, SERVER, DIG = ["10.0.0.1", 40000], ["10.0.0.2", 53], ["10.0.0.1", 50000]


def row(time: float, source: list[Any], destination: list[Any], by_sender: bool) -> dict[str, Any]:
    return {
        "time": time,
        "transport": "udp",
        "from_address": source,
        "to_address": destination,
        "by_sender": by_sender,
    }


def test_a_receivers_row_goes_when_the_sender_wrote_its_own() -> None:
    sent, seen = row(1.0, CLIENT, SERVER, True), row(1.1, CLIENT, SERVER, False)
    assert merged([seen, sent]) == [sent]


def test_a_foreign_senders_message_stays() -> None:
    asked, answered = row(1.0, DIG, SERVER, False), row(1.1, SERVER, DIG, True)
    assert merged([answered, asked]) == [asked, answered]


def test_a_known_sender_writes_for_itself() -> None:
    seen = row(1.0, CLIENT, SERVER, False)
    assert merged([seen], {flow(seen)}) == []


def test_udp_and_tcp_between_the_same_ports_are_two_flows() -> None:
    sent, seen = row(1.0, CLIENT, SERVER, True), row(1.1, CLIENT, SERVER, False) | {"transport": "tcp"}
    assert merged([sent, seen]) == [sent, seen]
