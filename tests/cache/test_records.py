"""Octets of the store's files: what comes back is what was written, and nothing else ever does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.cache import records
from netstack.cache.records import Corrupt, Table


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50), st.integers(0, 2**64 - 1), st.data())
def test_a_record(key: bytes, meta: bytes, body: bytes, hashed: int, data: st.DataObject) -> None:
    octets = b"".join(records.record(key, meta, body, hashed))
    head, *parts = records.parse_record(octets)
    assert (parts, head.hash, head.size) == ([key, meta, body], hashed, len(octets))
    at = data.draw(st.integers(0, len(octets) - 1))
    changed = bytes([*octets[:at], octets[at] ^ data.draw(st.integers(1, 255)), *octets[at + 1 :]])
    for other in (changed, octets[:at], octets + b"\0"):
        with pytest.raises(Corrupt):
            records.parse_record(other)


@given(st.lists(st.tuples(*(st.integers(0, 2**bits - 1) for bits in (64, 32, 32))), max_size=20), st.data())
def test_a_table(rows: list[tuple[int, int, int]], data: st.DataObject) -> None:
    table = Table()
    for row in rows:
        table.add(*row)
    octets = table.to_bytes()

    def parsed(octets: bytes) -> list[tuple[int, int, int]]:
        count, checksum = records.parse_table_end(octets[-records.TABLE_END :])
        found = Table.from_bytes(octets[: -records.TABLE_END], count, checksum)
        return list(zip(found.hashes, found.offsets, found.sizes, strict=True))

    assert parsed(octets) == rows
    at = data.draw(st.integers(0, len(octets) - 1))
    changed = bytes([*octets[:at], octets[at] ^ data.draw(st.integers(1, 255)), *octets[at + 1 :]])
    for other in (changed, octets[:at]):
        with pytest.raises(Corrupt):
            parsed(other)


def test_removals() -> None:
    octets = records.removal(1, 2) + records.removal(3, records.EVERYWHERE, 4)
    assert list(records.parse_removals(octets)) == [(1, 2, 0), (3, records.EVERYWHERE, 4)]
    assert list(records.parse_removals(octets[:-1])) == [(1, 2, 0)]
    for at in range(len(octets)):
        with pytest.raises(Corrupt):
            list(records.parse_removals(octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]))


def test_the_format() -> None:
    octets = records.format_of(b"0123456789abcdef")
    assert records.parse_format(octets) == b"0123456789abcdef"
    for at in range(len(octets)):
        with pytest.raises(Corrupt):
            records.parse_format(octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :])


def test_a_key_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="65536"):
        records.record(b"k" * 65536, b"", b"", 0)
