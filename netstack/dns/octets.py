"""Names and RRsets as octets, ready to be put into replies (RFC 1035 §3.1, §3.2.1, compression §4.1.4); pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dns.name import Name
from dns.rdatatype import RdataType
from dns.rrset import RRset

HEADER = 12
_TC = 0x02
_LENGTHS = [bytes([length]) for length in range(64)]
_POINTERS = 0x3FFF
"""The last place in a message that a pointer can tell."""
_ASKED = b"\xc0\x0c"
"""The pointer to the question's name."""
_COMPRESSED: dict[int, tuple[int, int]] = {
    RdataType.NS: (0, 1), RdataType.CNAME: (0, 1), RdataType.PTR: (0, 1), RdataType.MX: (2, 1), RdataType.SOA: (0, 2),
}  # fmt: skip
"""Types whose records have names that may be compressed (RFC 3597 §4): octets before them, and how many names."""
_HOSTS: dict[int, int] = {RdataType.MX: 2, RdataType.NS: 0, RdataType.SRV: 6}
"""Types whose records name hosts: octets before the name (RFC 1035 §3.3.9, §3.3.11, RFC 2782)."""


def octets_of(name: Name) -> bytes:
    """A name's octets in lower case, not compressed: what names are found by."""
    return b"".join([_LENGTHS[len(label)] + label for label in name.labels]).lower()


class NameOctets:
    """A name to be written into messages: each label as written, and the octets in lower case of the name from there on."""

    __slots__ = ("key", "labels")

    def __init__(self, octets: bytes) -> None:
        """`octets`: the whole name, not compressed."""
        self.key = octets.lower()
        self.labels: list[tuple[bytes, bytes]] = []
        at = 0
        while octets[at]:
            after = at + octets[at] + 1
            self.labels.append((octets[at:after], self.key[at:]))
            at = after

    def octets(self) -> bytes:
        """The whole name as written."""
        return b"".join([label for label, _ in self.labels]) + b"\0"

    def write(self, out: bytearray, known: dict[bytes, int]) -> None:
        """Append to a message in which the names from the places `known` are."""
        for label, key in self.labels:
            place = known.get(key)
            if place is not None:
                out += (0xC000 | place).to_bytes(2, "big")
                return
            if len(out) <= _POINTERS:
                known[key] = len(out)
            out += label
        out.append(0)


_Parts = tuple[bytes, tuple[NameOctets, ...], bytes]
"""A record's type, class, TTL, room for the length and what is before the names; the names; what is after them."""


def name_end(octets: bytes, at: int) -> int:
    """Where a name that is not compressed ends."""
    while octets[at]:
        at += octets[at] + 1
    return at + 1


class RRsetOctets:
    """One RRset: `bodies` are its records without the owner's name, or `parts` where they have names to be compressed."""

    __slots__ = ("_name", "_owner", "bodies", "count", "hosts", "parts", "rdtype", "source", "ttl", "written")

    def __init__(self, owner: bytes, rdtype: int, ttl: int, rdatas: Sequence[bytes], source: object = None) -> None:
        """`rdatas`: each record's data. Names in it and `owner` are not compressed. `source`: what it was made of."""
        self.source = source
        self.written: Name | None = None
        """The owner in the library's form, where somebody compares it."""
        self.rdtype = rdtype
        self.ttl = ttl
        self.count = len(rdatas)
        self._owner = owner
        self._name: NameOctets | None = None
        self.bodies: tuple[bytes, ...] = ()
        self.parts: tuple[_Parts, ...] = ()
        head = rdtype.to_bytes(2, "big") + b"\0\1" + ttl.to_bytes(4, "big")
        names = _COMPRESSED.get(rdtype)
        if names is None:
            self.bodies = tuple([head + len(rdata).to_bytes(2, "big") + rdata for rdata in rdatas])
        else:
            self.parts = tuple([_parts(head, rdata, *names) for rdata in rdatas])
        self.hosts: tuple[NameOctets, ...] = ()
        """Of each record that names a host, in order."""
        place = _HOSTS.get(rdtype)
        if place is not None:
            self.hosts = tuple([NameOctets(rdata[place : name_end(rdata, place)]) for rdata in rdatas])

    @classmethod
    def of(cls, rrset: RRset) -> "RRsetOctets":
        """From the library's form."""
        return cls(rrset.name.to_wire() or b"", rrset.rdtype, rrset.ttl, [rdata.to_wire() or b"" for rdata in rrset], rrset)

    @property
    def name(self) -> NameOctets:
        """The owner's."""
        if self._name is None:
            self._name = NameOctets(self._owner)
        return self._name

    @property
    def target(self) -> NameOctets:
        """Of a CNAME record."""
        return self.parts[0][1][0]

    def beside(self, apex: bytes) -> frozenset[bytes]:
        """Of the names in it, the parts that are one label longer than `apex` and end so."""
        names = [name for _, them, _ in self.parts for name in them]
        return frozenset(
            key for name in names for label, key in name.labels if len(key) == len(apex) + len(label) and key.endswith(apex)
        )

    def write(self, out: bytearray, known: dict[bytes, int], owner: NameOctets | None, first: int = 0) -> None:
        """Append to a message, beginning with the record `first`, counted around; `owner` None is the question's name."""
        if self.bodies:
            bodies = self.bodies[first:] + self.bodies[:first] if first else self.bodies
            if owner is None:
                out += _ASKED + _ASKED.join(bodies)
                return
            for body in bodies:
                owner.write(out, known)
                out += body
            return
        for before, names, rest in self.parts[first:] + self.parts[:first] if first else self.parts:
            if owner is None:
                out += _ASKED
            else:
                owner.write(out, known)
            start = len(out) + 10
            out += before
            for name in names:
                name.write(out, known)
            out += rest
            out[start - 2 : start] = (len(out) - start).to_bytes(2, "big")


def _parts(head: bytes, rdata: bytes, before: int, names: int) -> _Parts:
    start, found = before, []
    for _ in range(names):
        after = name_end(rdata, start)
        found.append(NameOctets(rdata[start:after]))
        start = after
    return head + b"\0\0" + rdata[:before], tuple(found), rdata[start:]


class Placed(NamedTuple):
    """An RRset of a reply: under which name, None for the question's, and which record is first."""

    octets: RRsetOctets
    owner: NameOctets | None
    first: int = 0


def suffixes(name: bytes) -> Iterator[int]:
    """Where its labels begin."""
    at = 0
    while name[at]:
        yield at
        at += name[at] + 1


def message(
    data: bytes, end: int, flags: int, rcode: int, rest: bytes, answers: bytes = b"\0\0", authorities: bytes = b"\0\0",
    more: bool = False,
) -> bytes:  # fmt: skip
    """A reply of so many records in two sections, which are `rest`; `more`: with an OPT record."""
    return (
        data[:2] + bytes((0x80 | flags | data[2] & 1, data[3] & 0x10 | rcode, 0, 1)) + answers + authorities
        + (b"\0\1" if more else b"\0\0") + data[HEADER : end + 5] + rest
    )  # fmt: skip


def filled(
    data: bytes,
    end: int,
    flags: int,
    rcode: int,
    opt: bytes,
    room: int,
    answer: list[Placed],
    authority: list[Placed],
    additional: list[Placed],
    referral: bool,
) -> bytes:
    """A reply with records, as many as `wire.to_wire` puts into so much room, which the OPT record is not part of."""
    known: dict[bytes, int] = {}
    name = data[HEADER : end + 1].lower()
    for at in suffixes(name):
        known[name[at:]] = HEADER + at
    out = bytearray(data[: end + 5])
    for octets, owner, first in answer:
        octets.write(out, known, owner, first)
    for octets, owner, _ in authority:
        octets.write(out, known, owner)
    needed, third = len(out), sum(placed.octets.count for placed in additional)
    for octets, owner, _ in additional:
        octets.write(out, known, owner)
    if len(out) > room:
        if not additional or referral or needed > room:
            return message(data, end, flags | _TC, rcode, opt, more=bool(opt))
        del out[needed:]
        third = 0
    out += opt
    out[2:HEADER] = (
        bytes((0x80 | flags | data[2] & 1, data[3] & 0x10 | rcode, 0, 1))
        + sum(placed.octets.count for placed in answer).to_bytes(2, "big")
        + sum(placed.octets.count for placed in authority).to_bytes(2, "big")
        + (third + bool(opt)).to_bytes(2, "big")
    )
    return bytes(out)
