"""What the server does with a sentence: pure functions from octets to octets, chosen by the option `mode`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from netstack.sockets.wire import decode, encode

Answering = Callable[[bytes], bytes]


def upper(sentence: bytes) -> bytes:
    """The section's `sentence.decode().upper().encode()`; octets that are not UTF-8 come back unchanged.

    An answer can be longer than its sentence, at most three times ("ΐ" has an upper case of three characters).
    """
    return encode(decode(sentence).upper())


def word_lengths(sentence: bytes) -> bytes:
    """The length of each word in characters, in decimal, with one space between: `What do you want?` -> `4 2 3 5`.

    Words are what white space separates. White space at the end is kept, so that a line gives a line. An octet that is
    not UTF-8 counts as one character.
    """
    text = decode(sentence)
    end = text[len(text.rstrip()) :]
    return encode(" ".join(str(len(word)) for word in text.split()) + end)


MODES: Mapping[str, Answering] = MappingProxyType({"upper": upper, "lengths": word_lengths})
"""The values of the option `mode`."""
