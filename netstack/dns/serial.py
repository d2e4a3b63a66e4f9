"""Serial number arithmetic (RFC 1982) of 32-bit zone serials."""

from typing import Any

from dns.rrset import RRset

_HALF = 1 << 31
_ALL = (1 << 32) - 1


def newer(serial: int, than: int) -> bool:
    """Whether one serial is greater than another (RFC 1982 §3.2); False both ways where that is undefined."""
    return 0 < (serial - than) & _ALL < _HALF


def following(serial: int) -> int:
    """The next serial; 0 is passed over, as many programs take it for none."""
    return (serial + 1) & _ALL or 1


def serial_of(soa: RRset) -> int:
    """The serial of a SOA RRset."""
    rdata: Any = soa[0]
    return int(rdata.serial)
