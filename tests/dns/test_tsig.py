"""Transaction signatures: against dnspython's own, every error of RFC 8945, hostile octets."""

import time

import dns.message
import dns.name
import dns.query
import dns.rdatatype
import dns.tsig
import pytest
from dns.rcode import Rcode
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.tsig import (
    BadReply,
    Key,
    Signature,
    Signer,
    UnusableKey,
    Unverified,
    Verified,
    keyring,
    keys_from_text,
    signed_query,
    split,
    verify,
)
from netstack.dns.wire import MalformedMessage, header_reply
from netstack.sansio import ProtocolError

NOW = 1_763_683_200.0
KEY = Key.make("transfer.umass.edu", b"0123456789abcdef" * 2)
OTHER = Key.make("other", b"x" * 20, "hmac-sha512")
RING = keyring([KEY, OTHER])
QUERY = dns.message.make_query("umass.edu", "AXFR", id=7).to_wire()
ALGORITHMS = ["hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"]


def theirs(key: Key) -> dns.tsig.Key:
    return dns.tsig.Key(key.name, key.secret, key.algorithm)


def refused(data: bytes, wall: float = NOW) -> Unverified:
    found = verify(data, RING, wall)
    assert isinstance(found, Unverified)
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_dnspython_and_we_accept_each_other(algorithm: str) -> None:
    key = Key.make("k", b"secret", algorithm)
    now = time.time()  # dnspython asks the clock itself
    message = dns.message.make_query("umass.edu", "SOA", id=9)
    message.use_tsig(theirs(key))
    asked = message.to_wire()
    found = verify(asked, keyring([key]), now)
    assert isinstance(found, Verified)
    reply = dns.message.make_response(dns.message.make_query("umass.edu", "SOA", id=9)).to_wire()
    signed = found.signer.sign(reply, now)
    assert len(signed) == len(reply) + found.signer.size
    read = dns.message.from_wire(signed, keyring={key.name: theirs(key)}, request_mac=message.mac)
    assert read.had_tsig
    ours, check = signed_query(QUERY, key, now)
    taken = dns.message.from_wire(ours, keyring={key.name: theirs(key)})
    response = dns.message.make_response(taken)
    assert check.check(response.to_wire(), now)[:2] == QUERY[:2]
    assert check.complete


def test_a_good_signature_gives_the_message_as_it_was_signed() -> None:
    signed, _ = signed_query(QUERY, KEY, NOW)
    found = verify(b"\xff\xff" + signed[2:], RING, NOW + 299)  # a forwarder changed the id (RFC 8945 §5.4)
    assert isinstance(found, Verified)
    assert (found.key, found.message) == (KEY, QUERY)
    assert verify(QUERY, RING, NOW) is None


def test_unknown_key_and_algorithm() -> None:
    for key in (Key.make("nobody", b"secret"), Key.make("other", b"x" * 20, "hmac-sha256")):
        found = refused(signed_query(QUERY, key, NOW)[0])
        assert (found.rcode, found.error) == (Rcode.NOTAUTH, Rcode.BADKEY)
        _, told = split(found.attach(header_reply(QUERY, Rcode.NOTAUTH), NOW))
        assert told is not None
        assert (told.key, told.error, told.mac) == (key.name, 17, b"")


def test_wrong_secret() -> None:
    found = refused(signed_query(QUERY, Key.make("transfer.umass.edu", b"wrong"), NOW)[0])
    assert (found.rcode, found.error) == (Rcode.NOTAUTH, Rcode.BADSIG)
    _, told = split(found.attach(header_reply(QUERY, Rcode.NOTAUTH), NOW))
    assert told is not None
    assert (told.error, told.mac, told.other) == (16, b"", b"")


@pytest.mark.parametrize("skew", [-301, 301])
def test_wrong_time_is_told_under_a_signature(skew: int) -> None:
    asked, _ = signed_query(QUERY, KEY, NOW)
    found = refused(asked, NOW + skew)
    assert (found.rcode, found.error) == (Rcode.NOTAUTH, Rcode.BADTIME)
    reply = header_reply(QUERY, Rcode.NOTAUTH)
    _, told = split(found.attach(reply, NOW + skew))
    assert told is not None
    assert (told.error, told.time, told.other) == (18, int(NOW), int(NOW + skew).to_bytes(6, "big"))
    mac = found.signature.mac
    assert KEY.matches(told.mac, len(mac).to_bytes(2, "big") + mac, reply, told.variables())


def test_truncated_macs() -> None:
    message, signature = split(signed_query(QUERY, KEY, NOW)[0])
    assert signature is not None

    def cut(size: int) -> Unverified:
        fields = {name: getattr(signature, name) for name in Signature.__slots__}
        return refused(Signature(**{**fields, "mac": signature.mac[:size]}).attached(message))

    assert (cut(16).rcode, cut(16).error) == (Rcode.NOTAUTH, Rcode.BADTRUNC)
    assert cut(15).rcode == Rcode.FORMERR
    assert cut(0).rcode == Rcode.FORMERR


def test_a_reply_of_many_messages() -> None:
    asked, check = signed_query(QUERY, KEY, NOW)
    found = verify(asked, RING, NOW)
    assert isinstance(found, Verified)
    replies = [QUERY[:2] + bytes([0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0]) for _ in range(4)]
    signed = [found.signer.sign(reply, NOW + second) for second, reply in enumerate(replies)]
    assert [check.check(data, NOW) for data in signed] == replies
    _, check = signed_query(QUERY, KEY, NOW)
    check.check(signed[0], NOW)
    with pytest.raises(BadReply, match="wrong"):
        check.check(signed[2], NOW)  # one was left out


def test_messages_between_signed_ones_are_covered_by_the_next_signature() -> None:
    asked, check = signed_query(QUERY, KEY, NOW)
    signer = Signer(KEY, split(asked)[1].mac)  # type: ignore[union-attr]
    plain = QUERY[:2] + bytes([0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    check.check(signer.sign(plain, NOW), NOW)
    check.check(plain, NOW)
    assert not check.complete
    unsigned = Signature(KEY.name, KEY.algorithm, int(NOW), 300, b"", 7)
    mac = KEY.mac(len(signer.mac).to_bytes(2, "big") + signer.mac, plain, plain, unsigned.timers())
    fields = {name: getattr(unsigned, name) for name in Signature.__slots__}
    check.check(Signature(**{**fields, "mac": mac}).attached(plain), NOW)
    assert check.complete


def test_replies_that_are_not_taken() -> None:
    reply = QUERY[:2] + bytes([0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    asked, check = signed_query(QUERY, KEY, NOW)
    with pytest.raises(BadReply, match="not signed"):
        check.check(reply, NOW)
    found = refused(asked, NOW + 1000)
    with pytest.raises(BadReply, match="BADTIME"):
        check.check(found.attach(reply, NOW + 1000), NOW)
    with pytest.raises(BadReply, match="expected"):
        check.check(Signer(OTHER).sign(reply, NOW), NOW)
    with pytest.raises(BadReply, match="time"):
        check.check(Signer(KEY, split(asked)[1].mac).sign(reply, NOW - 400), NOW)  # type: ignore[union-attr]


def test_the_record_is_the_last_one() -> None:
    signed, _ = signed_query(QUERY, KEY, NOW)
    count = int.from_bytes(signed[10:12], "big")
    record = signed[len(QUERY) :]
    twice = signed[:10] + (count + 1).to_bytes(2, "big") + signed[12:] + record
    in_answer = signed[:6] + b"\0\1" + signed[8:10] + b"\0\0" + signed[12:]
    for data in (twice, in_answer, signed + b"x", signed[:-1], signed[:5]):
        with pytest.raises(MalformedMessage):
            verify(data, RING, NOW)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_whatever_the_octets_are(junk: bytes, at: int) -> None:
    signed, _ = signed_query(QUERY, KEY, NOW)
    for data in (junk, QUERY[:10] + b"\0\1" + QUERY[12:] + junk, signed[:at] + junk + signed[at + len(junk) :]):
        try:
            found = verify(data, RING, NOW)
        except ProtocolError:
            continue
        assert not isinstance(found, Verified) or data[2:] == signed[2:]


def test_key_files() -> None:
    text = '# made by tsig-keygen\nkey "a.b" {\n\talgorithm hmac-sha512;\n\tsecret "c2VjcmV0";\n};\n'
    text += 'key c { secret "eA=="; algorithm hmac-md5.sig-alg.reg.int; };'
    first, second = keys_from_text(text)
    assert (first.name.to_text(), first.algorithm.to_text(), first.secret) == ("a.b.", "hmac-sha512.", b"secret")
    assert second.secret == b"x"
    assert "secret" not in repr(first).replace("secret=", "")
    assert "c2VjcmV0" not in repr(first)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "at least one key"),
        ("zone x { };", "key"),
        ('key a { algorithm hmac-sha256; secret "%%c2VjcmV0"; };', "base64"),
        ("key a { algorithm hmac-sha256; };", "a secret"),
        ('key a { algorithm rot13; secret "c2VjcmV0"; };', "one of the algorithms"),
        ('key a..b { algorithm hmac-md5; secret "c2VjcmV0"; };', "domain name"),
        ('key a { algorithm hmac-md5; secret ""; };', "a secret"),
    ],
)
def test_key_files_that_cannot_be_used(text: str, expected: str) -> None:
    with pytest.raises(UnusableKey, match=expected) as raised:
        keys_from_text(text)
    assert "c2VjcmV0" not in str(raised.value)


def test_a_key_comes_once() -> None:
    with pytest.raises(UnusableKey, match="more than once"):
        keyring([KEY, KEY])
