"""Fields of HTTP/2: requests out of field sections, responses into field blocks (RFC 9113 §8, RFC 7541).

Blocks are written without the dynamic table: they are the same octets on every connection, and cost it no state.
"""

import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType

from hpack import Decoder
from hpack.hpack import encode_integer
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable

from netstack.http.limits import HTTPLimits
from netstack.http.values import authority
from netstack.http.wire import TOKEN, VALUE, BadMessage, Request, content_length, split_target
from netstack.sansio import RemoteProtocolError

Pairs = tuple[tuple[bytes, bytes], ...]
"""A field section as it was sent."""

# RFC 9113 §8.2.1: a token of RFC 9110 without capital letters.
_NAME = re.compile(TOKEN)
_VALUE = re.compile(VALUE)
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*")
_METHOD = re.compile(TOKEN)
_PATH = re.compile(rb"[!-~]+")
_HOP_BY_HOP = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
"""RFC 9113 §8.2.2."""
_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})
_HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
_STATIC = HeaderTable.STATIC_TABLE_MAPPING


class Malformed(RemoteProtocolError):
    """A request or response that HTTP/2 does not allow: its stream is reset (RFC 9113 §8.1.1)."""


class _WatchedTable(HeaderTable):
    """Says when it has changed: equal blocks mean equal fields only while it has not."""

    def __init__(self) -> None:
        self.version = 0
        super().__init__()

    def add(self, name: bytes, value: bytes) -> None:
        self.version += 1
        super().add(name, value)

    @property
    def maxsize(self) -> int:
        return self._maxsize

    @maxsize.setter
    def maxsize(self, newmax: int) -> None:
        self.version += 1
        HeaderTable.maxsize.fset(self, newmax)  # type: ignore[attr-defined]  # a property of the class


class FieldDecoder:
    """HPACK of one connection's requests (RFC 7541)."""

    def __init__(self, limit: int) -> None:
        """`limit`: octets of a field section, counted as RFC 9113 §6.5.2 does; more end the connection."""
        self._decoder = Decoder(max_header_list_size=limit)
        self._table = _WatchedTable()
        self._decoder.header_table = self._table

    @property
    def version(self) -> int:
        """Another one when the table is another one."""
        return self._table.version

    def decode(self, block: bytes) -> Pairs:
        """The fields of a block; raises hpack's HPACKError, after which the connection cannot go on."""
        return tuple([(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)])


def parse_fields(
    pairs: Iterable[tuple[bytes, bytes]], pseudo: frozenset[bytes]
) -> tuple[dict[bytes, bytes], Sequence[tuple[str, str]]]:
    """Pseudo-header fields and fields; raises Malformed (RFC 9113 §8.2, §8.3)."""
    special: dict[bytes, bytes] = {}
    fields: list[tuple[str, str]] = []
    for name, value in pairs:
        if name[:1] == b":":
            if fields:
                raise Malformed(f"{_shown(name)} comes after a field (RFC 9113 §8.3)")
            if name not in pseudo:
                raise Malformed(f"{_shown(name)} has no place here (RFC 9113 §8.3)")
            if name in special:
                raise Malformed(f"{_shown(name)} comes twice")
            special[name] = value
            continue
        if not _NAME.fullmatch(name) or name.lower() != name:
            raise Malformed(f"{_shown(name)} is not the name of a field in small letters (RFC 9113 §8.2.1)")
        if not _VALUE.fullmatch(value) or value != value.strip(b" \t"):
            raise Malformed(f"the value of {_shown(name)} has octets that are not allowed (RFC 9113 §8.2.1)")
        if name in _HOP_BY_HOP or (name == b"te" and value.lower() != b"trailers"):
            raise Malformed(f"{_shown(name)} has no place in HTTP/2 (RFC 9113 §8.2.2)")
        fields.append((name.decode("ascii"), value.decode("latin-1")))
    return special, fields


def parse_trailers(pairs: Pairs, limits: HTTPLimits) -> Sequence[tuple[str, str]]:
    """Trailers have no pseudo-header fields (RFC 9113 §8.1), and none that frames what has been read (RFC 9110 §6.5.1)."""
    if len(pairs) > limits.fields:
        raise BadMessage(f"more than {limits.fields} trailers", 431)
    trailers = parse_fields(pairs, frozenset())[1]
    if any(name == "content-length" for name, _ in trailers):
        raise Malformed("content-length is no trailer (RFC 9110 §6.5.1)")
    return trailers


def parse_request(key: tuple[bool, Pairs], limits: HTTPLimits) -> Request:
    """The request of a field section, and whether its stream ended with it (RFC 9113 §8.3.1).

    Raises Malformed for what ends the stream, BadMessage for what is answered.
    """
    ended, pairs = key
    if len(pairs) > limits.fields + len(_PSEUDO):
        raise BadMessage(f"more than {limits.fields} field lines", 431)
    special, listed = parse_fields(pairs, _PSEUDO)
    method, path = special.get(b":method"), special.get(b":path")
    if method is None or not _METHOD.fullmatch(method):
        raise Malformed("a request needs a :method that is a token")
    stated = special.get(b":authority")
    if method == b"CONNECT":
        if path is not None or b":scheme" in special or not stated:
            raise Malformed("CONNECT has :authority, and neither :scheme nor :path (RFC 9113 §8.5)")
        path = stated
    elif not _SCHEME.fullmatch(special.get(b":scheme", b"")) or path is None or not _PATH.fullmatch(path):
        raise Malformed("a request needs a :scheme and a :path (RFC 9113 §8.3.1)")
    elif path[:1] != b"/" and (path != b"*" or method != b"OPTIONS"):
        raise Malformed('a :path begins with "/" (RFC 9113 §8.3.1)')
    fields = joined(listed)
    place = _place(stated, fields)
    length = _body_length(fields, ended)
    size = sum(len(name) + len(value) + 4 for name, value in pairs)
    if len(path) > limits.target:
        raise BadMessage(f"the request target is longer than {limits.target} octets", 414)
    if len(listed) > limits.fields:
        raise BadMessage(f"more than {limits.fields} field lines", 431)
    if size > limits.head:
        raise BadMessage(f"the head is longer than {limits.head} octets", 431)
    expect = fields.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        raise BadMessage(f"only 100-continue can be expected, not {expect[:80]!r}", 417)
    target = path.decode("ascii")
    where, query, _ = split_target(method.decode("ascii"), target)
    if length is not None and length > limits.body:
        raise BadMessage(f"the body would have {length} octets; {limits.body} are allowed", 413)
    return Request(
        method.decode("ascii"), target, where, query, place[0], place[1], 1, MappingProxyType(fields),
        True, length or 0, length is None, expect is not None and length != 0, http2=True,
        scheme=special[b":scheme"].decode("ascii").lower() if b":scheme" in special else None,
    )  # fmt: skip


def joined(listed: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Fields whose names are in small letters, repeated ones as one; Cookie may come in crumbs (RFC 9113 §8.2.3)."""
    fields: dict[str, str] = {}
    for name, value in listed:
        if name not in fields:
            fields[name] = value
        elif name in ("host", "content-length"):
            if fields[name] != value:
                raise Malformed(f"two different {name} fields")
        else:
            fields[name] += ("; " if name == "cookie" else ", ") + value
    return fields


def _place(stated: bytes | None, fields: dict[str, str]) -> tuple[str, int | None]:
    """Host and port; Host says the same as :authority or nothing (RFC 9113 §8.3.1), and is there for who looks for it."""
    host = fields.get("host")
    told = None if host is None else authority(host)
    if host is not None and told is None:
        raise Malformed(f"host: {host[:80]!r} is not a host with an optional port")
    if stated is None:
        if told is None:
            raise BadMessage("a request needs an :authority or a host field (RFC 9113 §8.3.1)")
        return told
    text = stated.decode("latin-1")
    place = authority(text)
    if place is None:
        raise Malformed(f":authority: {text[:80]!r} is not a host with an optional port")
    if told is not None and told != place:
        raise Malformed("host says something else than :authority")
    fields["host"] = text
    return place


def _body_length(fields: dict[str, str], ended: bool) -> int | None:
    """Octets of the body; None when nobody knows yet."""
    stated = fields.get("content-length")
    if stated is None:
        return 0 if ended else None
    try:
        length = content_length(stated)
    except BadMessage as error:
        if error.code == 413:
            raise
        raise Malformed(str(error)) from None
    if ended and length:
        raise Malformed("the request ended without the body that its content-length promises (RFC 9113 §8.1.1)")
    return length


# Responses


def encode_field(name: bytes, value: bytes) -> bytes:
    """One field, from the static table or as a literal that nobody indexes (RFC 7541 §6.1, §6.2.2, §6.2.3)."""
    index, values = _STATIC.get(name, (0, {}))
    if value in values:
        whole = encode_integer(values[value], 7)
        whole[0] |= 0x80
        return bytes(whole)
    first = encode_integer(index, 4)
    if name == b"set-cookie":
        first[0] |= 0x10
    return bytes(first) + (b"" if index else _literal(name)) + _literal(value)


def _literal(text: bytes) -> bytes:
    """RFC 7541 §5.2."""
    short: bytes = _HUFFMAN.encode(text)
    if len(short) >= len(text):
        return bytes(encode_integer(len(text), 7)) + text
    length = encode_integer(len(short), 7)
    length[0] |= 0x80
    return bytes(length) + short


def encode_lines(lines: bytes) -> bytes:
    """Field lines of HTTP/1, each with its CRLF, as a block; what belongs to a connection is left out."""
    block = []
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name not in _HOP_BY_HOP:
            block.append(encode_field(name, value.strip(b" \t")))
    return b"".join(block)


def encode_status(status: int) -> bytes:
    """RFC 9113 §8.3.2."""
    return encode_field(b":status", b"%d" % status)


def _shown(name: bytes) -> str:
    return repr(name[:80].decode("latin-1"))
