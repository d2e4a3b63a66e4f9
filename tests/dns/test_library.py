"""What dnspython remembers of messages does not grow with what is sent."""

import sys
from random import Random

import dns.flags
import dns.rdata
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from netstack.dns.library import COMBINATIONS
from netstack.dns.wire import parse_query

NAMED = ("QR", "AA", "TC", "RD", "RA", "AD", "CD")


def query(rng: Random) -> bytes:
    """With a record of any class and type in the additional section, and any flags."""
    head = rng.randbytes(2) + bytes([rng.getrandbits(8) & 7, rng.getrandbits(8)]) + b"\0\1\0\0\0\0\0\1"
    return head + b"\0\0\1\0\1" + b"\0" + rng.randbytes(4) + bytes(4) + b"\0\2ab"


def test_types_classes_and_flags_of_strangers_are_not_kept() -> None:
    rng = Random(1)
    for _ in range(500):
        parse_query(query(rng), 1232)
    classes, blocks = len(dns.rdata._rdata_classes), sys.getallocatedblocks()
    for _ in range(5000):
        parse_query(query(rng), 1232)
    assert len(dns.rdata._rdata_classes) == classes
    assert len(dns.flags.Flag._value2member_map_) <= COMBINATIONS
    assert sys.getallocatedblocks() < blocks + 5000, "without the bound each message leaves sixteen blocks behind"


def test_what_is_known_is_read_as_before() -> None:
    assert dns.rdata.from_text("IN", "A", "10.0.0.1").to_text() == "10.0.0.1"
    for rdclass, rdtype, text in (
        ("CH", "TXT", '"x"'),
        ("IN", "TYPE65280", "\\# 2 abcd"),
        ("CLASS7", "TYPE9999", "\\# 1 00"),
    ):
        rdata = dns.rdata.from_text(rdclass, rdtype, text)
        octets = rdata.to_wire()
        assert octets is not None
        kind, number = RdataClass.from_text(rdclass), RdataType.from_text(rdtype)
        assert dns.rdata.from_wire(kind, number, octets, 0, len(octets)) == rdata
    for value in range(0, 65536, 7):
        flags = dns.flags.Flag(value)
        assert int(flags) == value
        shown = dns.flags.to_text(flags).split()
        assert [name for name in NAMED if name in shown] == [name for name in NAMED if value & dns.flags.Flag[name]]
