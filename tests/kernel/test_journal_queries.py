"""Looking into the journal: selections and polling."""

import pytest

from netstack.kernel.journal import Journal, Row, Selection


def row(time: float = 5.0, source: str = "a.test", protocol: str = "dns", summary: str = "A x.test?") -> Row:
    return Row(time, ("127.0.0.1", 1), ("127.0.0.2", 53), source, "b.test", "udp", protocol, summary, b"")


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(), True),
        (Selection(hosts=frozenset({"a.test"})), True),
        (Selection(hosts=frozenset({"127.0.0.2", "z.test"})), True),
        (Selection(hosts=frozenset({"z.test"})), False),
        (Selection(protocols=frozenset({"dns"}), text="X.TEST"), True),
        (Selection(protocols=frozenset({"http"})), False),
        (Selection(text="y.test"), False),
        (Selection(since=5.0, until=5.1), True),
        (Selection(until=5.0), False),
        (Selection(since=5.1), False),
    ],
)
def test_selection(selection: Selection, wanted: bool) -> None:
    assert selection(row()) is wanted


def test_a_reader_that_polls_sees_each_row_once() -> None:
    journal = Journal(capacity=3)
    journal.enable("a.test")
    seen: list[str] = []
    position = 0
    for batch in ((), ("1",), ("2", "3"), (), ("4", "5", "6", "7")):
        for summary in batch:
            journal.write(1.0, "udp", "dns", True, ("127.0.0.1", 1), ("127.0.0.2", 53), summary, b"")
        seen += [new.summary for new in journal.after(position)]
        position = journal.written
    assert seen == ["1", "2", "3", "5", "6", "7"]  # 4 left the ring before it was read


def test_polling_after_clear_gives_new_rows_alone() -> None:
    journal = Journal()
    journal.write(1.0, "udp", "dns", True, ("127.0.0.1", 1), ("127.0.0.2", 53), "old", b"")
    position = journal.written
    journal.clear()
    journal.write(1.0, "udp", "dns", True, ("127.0.0.1", 1), ("127.0.0.2", 53), "new", b"")
    assert [new.summary for new in journal.after(position)] == ["new"]
    assert [new.summary for new in journal.after(0)] == ["new"]


def test_large_messages_leave_the_ring_before_it_has_all_its_rows() -> None:
    journal = Journal(capacity=5, octets=1000)
    for size in (400, 400, 400, 1, 1, 1, 1, 2000, 3):
        journal.write(1.0, "tcp", "http", True, ("127.0.0.1", 80), ("127.0.0.2", 1), str(size), bytes(size))
        assert len(list(journal)) <= 5
        assert journal.octets == sum(len(row.data) for row in journal) <= max(1000, size)
    assert [row.summary for row in journal] == ["3"]
    journal.clear()
    assert journal.octets == 0
