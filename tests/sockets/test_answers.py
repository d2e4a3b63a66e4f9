import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.sockets.answers import MODES, upper, word_lengths

CASES = [
    # sentence, upper, lengths
    (b"", b"", b""),
    (b"hello", b"HELLO", b"5"),
    (b"What do you want?", b"WHAT DO YOU WANT?", b"4 2 3 5"),
    (b"input lowercase sentence:\r\n", b"INPUT LOWERCASE SENTENCE:\r\n", b"5 9 9\r\n"),
    (b"  two\t words \n", b"  TWO\t WORDS \n", b"3 5 \n"),
    (b" \n", b" \n", b" \n"),
    ("crêpes à l'œuf".encode(), "CRÊPES À L'ŒUF".encode(), b"6 1 5"),
    ("straße".encode(), b"STRASSE", b"6"),
    ("\u0390".encode(), "\u0399\u0308\u0301".encode(), b"1"),
    ("日本 語".encode(), "日本 語".encode(), b"2 1"),
    (b"caf\xe9 au lait", b"CAF\xe9 AU LAIT", b"4 2 4"),
    (b"\x00\x7f\x80\xff", b"\x00\x7f\x80\xff", b"4"),
    (b"half \xc3", b"HALF \xc3", b"4 1"),
    (b"\xed\xa0\x80 x", b"\xed\xa0\x80 X", b"3 1"),
]


@pytest.mark.parametrize(("sentence", "upper_case", "lengths"), CASES)
def test_cases(sentence: bytes, upper_case: bytes, lengths: bytes) -> None:
    assert MODES["upper"](sentence) == upper_case
    assert MODES["lengths"](sentence) == lengths


@given(st.text())
def test_upper_is_the_chapters_one_line(text: str) -> None:
    assert upper(text.encode()) == text.encode().decode().upper().encode()


@given(st.binary())
def test_every_input_has_an_answer(octets: bytes) -> None:
    assert len(upper(octets)) <= 3 * len(octets)
    assert len(word_lengths(octets)) <= 2 * len(octets)


@given(st.lists(st.text("abcdefé", min_size=1), min_size=1))
def test_word_lengths_are_those_of_the_words(words: list[str]) -> None:
    assert word_lengths(" ".join(words).encode()) == " ".join(str(len(word)) for word in words).encode()
