from hypothesis import given
from hypothesis import strategies as st

from netstack.sockets.wire import SUMMARY, cut, decode, encode, summary


@given(st.binary())
def test_every_input_survives_decoding(octets: bytes) -> None:
    assert encode(decode(octets)) == octets


@given(st.text())
def test_text_is_what_the_chapters_programs_decode(text: str) -> None:
    assert decode(text.encode()) == text


@given(st.text(), st.integers(0, 40))
def test_a_cut_ends_with_a_whole_character(text: str, limit: int) -> None:
    kept = cut(text.encode(), limit)
    assert limit - 3 <= len(kept) <= limit or kept == text.encode()
    assert text.startswith(kept.decode())


@given(st.binary(), st.integers(0, 40))
def test_a_cut_of_anything_loses_less_than_a_character(octets: bytes, limit: int) -> None:
    kept = cut(octets, limit)
    assert octets.startswith(kept)
    assert len(kept) <= limit
    assert len(kept) >= min(limit, len(octets)) - 3


@given(st.binary(max_size=300))
def test_a_summary_is_one_short_printable_line(octets: bytes) -> None:
    line = summary(octets)
    assert line.isprintable()
    assert len(line) <= SUMMARY + 3


def test_summaries() -> None:
    assert summary(b"hello") == '"hello"'
    assert summary(b"two\r\nlines") == '"two··lines"'
    assert summary(b"x" * 1000) == '"' + "x" * SUMMARY + '…"'
