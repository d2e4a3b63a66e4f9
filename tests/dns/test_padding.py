"""Padding and the keepalive option: what a stream adds to its messages."""

import dns.edns
import dns.message
import pytest
from dns.message import Message
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.options import opt_at, option
from netstack.dns.padding import (
    KEEPALIVE,
    PADDING,
    kept_for,
    padded,
    query_on_stream,
    reply_on_stream,
    without_stream_options,
)
from netstack.dns.tsig import Key, Signer
from netstack.dns.wire import LARGEST


def query(*options: tuple[int, bytes], edns: bool = True) -> bytes:
    made: list[dns.edns.Option] = [dns.edns.GenericOption(*each) for each in options]
    return bytes(dns.message.make_query("gaia.cs.umass.edu", "A", use_edns=0 if edns else -1, options=made, id=7).to_wire())


def reply(to: bytes, octets: int = 0) -> bytes:
    made: Message = dns.message.make_response(dns.message.from_wire(to), pad=0)
    if octets:
        made.answer.append(
            dns.rrset.from_text_list("gaia.cs.umass.edu.", 1, "IN", "TYPE65280", [rf"\# {octets} {'ab' * octets}"])
        )
    return bytes(made.to_wire(max_size=LARGEST))


@given(st.integers(0, 65_000))
def test_padded_messages_are_whole_blocks_and_say_the_same(octets: int) -> None:
    asked = query((PADDING, b""))
    plain = reply(asked, octets)
    made = reply_on_stream(asked, plain, 10.0, secure=True)
    assert len(made) % 468 == 0 or len(made) == LARGEST or len(plain) > LARGEST - 4 == len(made) - 4 or made == plain
    assert dns.message.from_wire(made).answer == dns.message.from_wire(plain).answer


@pytest.mark.parametrize(
    ("asked", "secure", "pads", "told"),
    [
        (query((PADDING, b"12")), True, True, None),
        (query((PADDING, b"12")), False, False, None),
        (query((KEEPALIVE, b"")), False, False, 12.5),
        (query((KEEPALIVE, b""), (PADDING, b"")), True, True, 12.5),
        (query(), True, False, None),
        (query(edns=False), True, False, None),
    ],
)
def test_replies_have_what_was_asked_for(asked: bytes, secure: bool, pads: bool, told: float | None) -> None:
    made = reply_on_stream(asked, reply(asked), 12.5, secure)
    assert (len(made) == 468) is pads
    assert kept_for(made) == told
    if not pads and told is None:
        assert made == reply(asked)


def test_http_tells_no_time_and_signed_replies_stay_as_they_are() -> None:
    asked = query((KEEPALIVE, b""), (PADDING, b""))
    assert kept_for(reply_on_stream(asked, reply(asked), None, secure=True)) is None
    key = Key(dns.name.from_text("key."), dns.name.from_text("hmac-sha256."), b"secret")
    signed = Signer(key).sign(reply(asked), 1.0)
    assert reply_on_stream(asked, signed, 10.0, secure=True) == signed


def test_queries_are_padded_to_128_octets() -> None:
    made = query_on_stream(query(), secure=True)
    at = opt_at(made)
    assert at is not None
    assert len(made) == 128
    assert option(made, at, KEEPALIVE) == b""
    assert len(query_on_stream(query(), secure=False)) == len(query()) + 4
    assert without_stream_options(made) == query()
    other = query((65001, b"x"), (PADDING, bytes(9)), (10, b"12345678"))
    assert without_stream_options(other) == query((65001, b"x"), (10, b"12345678"))
    for cut in range(len(other)):
        assert without_stream_options(other[:cut]) == other[:cut]
    bare = query(edns=False)
    assert query_on_stream(bare, secure=True) == bare
    assert len(padded(query(), 128)) == 128
