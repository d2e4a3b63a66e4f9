"""Ladder diagrams: what a reader sees, and that any rows can be drawn."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from netstack.kernel.journal import Row
from netstack.kernel.ladder import ladder, listing, svg

NAMES = ["cse.nyu.edu", "dns.nyu.edu", "a.root-servers.net", "a.edu-servers.net", "dns.umass.edu"]


def row(source: str, destination: str, summary: str, secure: bool = False) -> Row:
    return Row(1.0, ("127.0.0.1", 1), ("127.0.0.2", 53), source, destination, "udp", "dns", summary, b"12345", secure)


def look_up() -> list[Row]:
    client, local, *servers = NAMES
    rows = [row(client, local, "A gaia.cs.umass.edu?")]
    for server in servers:
        rows += [row(local, server, "A gaia.cs.umass.edu?"), row(server, local, "referral")]
    return [*rows, row(local, client, "A 127.30.0.7")]


def test_a_ladder_of_two_hosts() -> None:
    rows = [row("a.test", "b.test", "A x.test?"), row("b.test", "a.test", "A 127.0.0.9", secure=True)]
    assert ladder(rows) == "\n".join(
        [
            "        a.test                 b.test",
            "           |                      |",
            "           | 1 A x.test?          |",
            "           |--------------------->|",
            "           | 2 A 127.0.0.9 (TLS)  |",
            "           |<---------------------|",
        ]
    )


def test_eight_messages_fit_into_100_columns() -> None:
    text = ladder(look_up())
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert all(name in lines[0] for name in NAMES)
    arrows = [line for line in lines if "->" in line or "<-" in line]
    assert ["->" in line for line in arrows] == [True, True, False, True, False, True, False, False]
    assert all(f" {number} " in text for number in range(1, 9))


def test_long_names_are_broken_at_dots() -> None:
    long = [row(f"client{n}.department.example.test", "server.test", "hello") for n in range(5)]
    lines = ladder(long).splitlines()
    assert "client0." in lines[0]
    assert max(map(len, lines)) <= 100


def test_more_hosts_than_fit_become_a_list() -> None:
    rows = [row(f"host{n}.test", "server.test", "hello") for n in range(10)]
    assert ladder(rows) == listing(rows)
    assert listing(rows).splitlines()[0] == " 1  host0.test -> server.test  hello"


def test_no_rows_are_an_empty_text() -> None:
    assert ladder([]) == ""
    assert ElementTree.fromstring(svg([])) is not None


ROWS = st.lists(st.builds(row, st.sampled_from([*NAMES, "b", "<c>"]), st.sampled_from(NAMES), st.text(max_size=150)))


@given(ROWS, st.integers(20, 120))
def test_any_rows_can_be_drawn(rows: list[Row], width: int) -> None:
    text = ladder(rows, width)
    if text != listing(rows):
        assert all(len(line) <= width for line in text.splitlines())
        assert sum("->" in line or "<-" in line or "|<>" in line for line in text.splitlines()) >= len(rows)
    drawing = ElementTree.fromstring(svg(rows).encode())
    assert len(drawing.findall("{http://www.w3.org/2000/svg}g")) == len(rows)
