"""Messages as octets: frames of a length, a kind and the fields of a message in the order of its dataclass.

    frame    = length (4 octets, of all that follows) kind (1 octet, 128 added for upkeep) fields
    int      = one octet below 128, or 128 + n and n octets, the first of them not 0 (n up to 20)
    bool     = one octet, 0 or 1
    float    = 8 octets, IEEE 754 binary64, a number
    bytes    = int (its length) octets;  str = the same in UTF-8
    Contact  = int (its identifier) str (HOST:PORT)
    X | None = bool, and X where it is 1
    sequence = int (how many) items;  record = its fields

Upkeep is what nobody has asked for: pings, and look-ups of a node for its own shortcuts. It is left out of journals.

All big-endian. There is one way to write a value and no other is read, so that equal messages are equal octets. A new
message is one row of `KINDS`: its fields are read from its class.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from math import isnan
from struct import Struct
from types import MappingProxyType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from netstack.ring import data_messages, messages
from netstack.ring.identifiers import MOST_BITS, Circle, Contact
from netstack.ring.messages import Message
from netstack.sansio import LocalProtocolError, RemoteProtocolError
from netstack.sansio.bounds import positive

VERSION = 1
MAGIC = 0x72696E67
"""In Hello: "ring", so that programs of other protocols are told apart by their first octets."""
LONGEST_ADDRESS = 255
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[a-z0-9._-]+):[1-9][0-9]{0,4}")
_IDENTIFIERS = frozenset({"key", "ident", "path", "start", "end"})
"""Fields with whole numbers that lie on the circle; all others are below 2^160."""


# What connections say themselves


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """The first frame of both sides."""

    magic: int
    version: int
    bits: int
    """Of the circle's identifiers."""
    network: str
    """Circles of one width are told apart by it."""
    contact: Contact
    """Who speaks, and where it is reached."""
    instance: int
    """A random number of each start: a node that has started again has none of its connections."""
    placed: bool
    """Whether it has a place on the circle, so that others can join through it."""


@dataclass(frozen=True, slots=True)
class Refusal(Message):
    """Nothing more will come: why, for who reads it. The last frame."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Bye(Message):
    """The sender's last frame on this connection; it reads on until the other side has said so, too."""


@dataclass(frozen=True, slots=True)
class Placed(Message):
    """The sender has got a place on the circle."""


KINDS: Mapping[int, type[Message]] = MappingProxyType(
    {
        1: Hello,
        2: Refusal,
        3: Bye,
        4: Placed,
        16: messages.Step,
        17: messages.StepAnswer,
        18: messages.Forward,
        19: messages.Found,
        20: messages.Neighbours,
        21: messages.NeighboursAnswer,
        22: messages.Notify,
        23: messages.Ping,
        24: messages.Pong,
        25: messages.Leaving,
        48: data_messages.Get,
        49: data_messages.GetAnswer,
        50: data_messages.Put,
        51: data_messages.Remove,
        52: data_messages.Begun,
        53: data_messages.WriteAnswer,
        54: data_messages.Fetch,
        55: data_messages.FetchAnswer,
        56: data_messages.Store,
        57: data_messages.StoreAnswer,
        58: data_messages.Claim,
        59: data_messages.ClaimAnswer,
        60: data_messages.Own,
        61: data_messages.OwnAnswer,
        62: data_messages.Compare,
        63: data_messages.CompareAnswer,
        64: data_messages.Pull,
        65: data_messages.PullAnswer,
        66: data_messages.Offer,
        67: data_messages.OfferAnswer,
        68: data_messages.Give,
        69: data_messages.GiveAnswer,
    }
)
"""By the octet that says which message a frame has; those below 16 are about the connection."""
UPKEEP = 128
"""Added to a kind."""
MESSAGES = tuple(kind for number, kind in KINDS.items() if number >= 16)


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds of one message, sizes in octets."""

    frame: int = 2 * 1024 * 1024
    """Of a message with its fields."""
    items: int = 4096
    """Of one sequence."""

    def __post_init__(self) -> None:
        positive("frame", self.frame, 512)
        positive("items", self.items)


class _Wrong(Exception):
    """What is wrong with a field."""


Write = Callable[[bytearray, Any], None]
Read = Callable[[bytes, int], tuple[Any, int]]


class _Type(NamedTuple):
    """How values of a type are written and read."""

    write: Write
    read: Read


class Codec:
    """Writes and reads the messages of one circle."""

    def __init__(self, circle: Circle, limits: WireLimits | None = None) -> None:
        self.circle = circle
        self.limits = limits or WireLimits()
        own = _integer(circle.size)
        self._by_kind = {kind: (each, self._record(each, _NUMBER if each is Hello else own)) for kind, each in KINDS.items()}
        self._by_class = {each: (kind, self._by_kind[kind][1].write) for kind, each in KINDS.items()}

    def encode(self, message: Message, upkeep: bool = False) -> bytes:
        """The frame; raises LocalProtocolError for a message that is out of bounds, or none of the table."""
        try:
            kind, write = self._by_class[type(message)]
        except KeyError:
            raise LocalProtocolError(f"{type(message).__name__} is no message of the ring's protocol") from None
        out = bytearray(5)
        try:
            write(out, message)
        except _Wrong as wrong:
            raise LocalProtocolError(f"{type(message).__name__}: {wrong}") from None
        size = len(out) - 4
        if size > self.limits.frame:
            raise LocalProtocolError(f"{type(message).__name__} of {size} octets; at most {self.limits.frame} are sent")
        out[0:4] = size.to_bytes(4, "big")
        out[4] = kind | UPKEEP if upkeep else kind
        return bytes(out)

    def decode(self, body: bytes) -> Message:
        """A frame without its length; raises RemoteProtocolError for anything but the octets of a message."""
        found = self._by_kind.get(body[0] & ~UPKEEP) if body else None
        if found is None:
            raise RemoteProtocolError(f"there is no message of kind {body[0]}" if body else "an empty frame")
        kind, record = found
        try:
            message, end = record.read(body, 1)
        except _Wrong as wrong:
            raise RemoteProtocolError(f"{kind.__name__}: {wrong}") from None
        except IndexError:
            raise RemoteProtocolError(f"{kind.__name__}: it ends within a field") from None
        if end != len(body):
            raise RemoteProtocolError(f"{kind.__name__}: {len(body) - end} octets after its fields")
        made: Message = message
        return made

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, circle: Circle, limits: WireLimits) -> "Codec":
        """The same one for many nodes."""
        return cls(circle, limits)

    # From the classes of messages

    def _record(self, kind: Any, ident: _Type) -> _Type:
        """Of a dataclass or a NamedTuple: its fields, one after another."""
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)
        types = [(name, self._type(hints[name], name, ident)) for name in names]
        writers = [(name, each.write) for name, each in types]
        readers = [each.read for _, each in types]

        def write(out: bytearray, value: Any) -> None:
            for name, each in writers:
                each(out, getattr(value, name))

        def read(data: bytes, at: int) -> tuple[Any, int]:
            values = []
            for each in readers:
                value, at = each(data, at)
                values.append(value)
            return kind(*values), at

        return _Type(write, read)

    def _type(self, hint: Any, name: str, ident: _Type) -> _Type:
        plain = {bool: _BOOL, bytes: _BYTES, str: _STR, float: _FLOAT}
        if hint in plain:
            return plain[hint]
        if hint is int:
            return ident if name in _IDENTIFIERS else _NUMBER
        if hint is Contact:
            return _contact(ident)
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (UnionType, Union) and len(arguments) == 2 and arguments[1] is type(None):
            return _optional(self._type(arguments[0], name, ident))
        if origin is Sequence or (origin is tuple and arguments[1:] == (...,)):
            return _sequence(self._type(arguments[0], name, ident), self.limits.items)
        if isinstance(hint, type) and (is_dataclass(hint) or hasattr(hint, "_fields")):
            return self._record(hint, ident)
        raise TypeError(f"{name}: {hint} cannot be written")


def _integer(size: int) -> _Type:
    """Whole numbers from 0 below a size."""

    def write(out: bytearray, value: int) -> None:
        if not 0 <= value < size:
            raise _Wrong(f"{value} is not from 0 to {size - 1}")
        if value < 128:
            out.append(value)
        else:
            count = (value.bit_length() + 7) >> 3
            out.append(128 + count)
            out += value.to_bytes(count, "big")

    def read(data: bytes, at: int) -> tuple[int, int]:
        first = data[at]
        if first < 128:
            if first >= size:
                raise _Wrong(f"a number above {size - 1}")
            return first, at + 1
        at += 1
        end = at + first - 128
        if end > len(data):
            raise IndexError
        value = int.from_bytes(data[at:end], "big")
        if value < 128 or not data[at]:
            raise _Wrong("a number is written longer than it is")
        if value >= size:
            raise _Wrong(f"a number above {size - 1}")
        return value, end

    return _Type(write, read)


_NUMBER, _LENGTH = _integer(1 << MOST_BITS), _integer(1 << 32)
_DOUBLE = Struct(">d")


def _write_bool(out: bytearray, value: bool) -> None:
    out.append(1 if value else 0)


def _read_bool(data: bytes, at: int) -> tuple[bool, int]:
    if data[at] > 1:
        raise _Wrong(f"{data[at]} is neither 0 nor 1")
    return data[at] == 1, at + 1


def _write_float(out: bytearray, value: float) -> None:
    if isnan(value):
        raise _Wrong("a float that is no number")
    out += _DOUBLE.pack(value)


def _read_float(data: bytes, at: int) -> tuple[float, int]:
    if at + 8 > len(data):
        raise IndexError
    (value,) = _DOUBLE.unpack_from(data, at)
    if isnan(value):
        raise _Wrong("a float that is no number")
    return value, at + 8


def _write_bytes(out: bytearray, value: bytes) -> None:
    _LENGTH.write(out, len(value))
    out += value


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _LENGTH.read(data, at)
    end = at + length
    if end > len(data):
        raise IndexError
    return data[at:end], end


def _write_str(out: bytearray, value: str) -> None:
    try:
        _write_bytes(out, value.encode())
    except UnicodeEncodeError:
        raise _Wrong("text that is no UTF-8") from None


def _read_str(data: bytes, at: int) -> tuple[str, int]:
    octets, at = _read_bytes(data, at)
    try:
        return octets.decode(), at
    except UnicodeDecodeError:
        raise _Wrong("text that is no UTF-8") from None


_BOOL = _Type(_write_bool, _read_bool)
_FLOAT = _Type(_write_float, _read_float)
_BYTES = _Type(_write_bytes, _read_bytes)
_STR = _Type(_write_str, _read_str)


def is_place(address: str) -> bool:
    """Whether it is HOST:PORT as a contact has it: a name in lower case, an IPv4 address, or an IPv6 one in brackets."""
    return (
        len(address) <= LONGEST_ADDRESS
        and _ADDRESS.fullmatch(address) is not None
        and int(address.rpartition(":")[2]) < 65536
    )


def _contact(ident: _Type) -> _Type:
    def write(out: bytearray, value: Contact) -> None:
        if not is_place(value.address):
            raise _Wrong(f"{value.address[:80]!r} is no HOST:PORT")
        ident.write(out, value.ident)
        _write_str(out, value.address)

    def read(data: bytes, at: int) -> tuple[Contact, int]:
        number, at = ident.read(data, at)
        address, at = _read_str(data, at)
        if not is_place(address):
            raise _Wrong(f"{address[:80]!r} is no HOST:PORT")
        return Contact(number, address), at

    return _Type(write, read)


def _optional(inner: _Type) -> _Type:
    def write(out: bytearray, value: Any) -> None:
        _write_bool(out, value is not None)
        if value is not None:
            inner.write(out, value)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        there, at = _read_bool(data, at)
        return inner.read(data, at) if there else (None, at)

    return _Type(write, read)


def _sequence(inner: _Type, most: int) -> _Type:
    def write(out: bytearray, value: Sequence[Any]) -> None:
        if len(value) > most:
            raise _Wrong(f"{len(value)} items; at most {most} are sent")
        _LENGTH.write(out, len(value))
        for item in value:
            inner.write(out, item)

    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        count, at = _LENGTH.read(data, at)
        if count > most:
            raise _Wrong(f"{count} items; at most {most} are read")
        if count > len(data) - at:
            raise IndexError
        items = []
        for _ in range(count):
            item, at = inner.read(data, at)
            items.append(item)
        return tuple(items), at

    return _Type(write, read)
