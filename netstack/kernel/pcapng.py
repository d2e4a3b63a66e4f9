"""Journal rows to pcapng (draft-ietf-opsawg-pcapng), for Wireshark and its tools; needs no rights, no interface.

Link type RAW: the packets begin with the IP header, so no Ethernet addresses are invented. Each message's first packet
carries the row's summary as its comment; messages that went under TLS are shown in plaintext and their comment says so.
Names of hosts are in name resolution blocks.
"""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from netstack.kernel.journal import Row
from netstack.kernel.packets import Packet, Synthesizer, packed

SECTION, INTERFACE, NAMES, PACKET = 0x0A0D0D0A, 1, 4, 6
OPT_COMMENT, SHB_USERAPPL, IF_NAME, IF_DESCRIPTION, IF_TSRESOL = 1, 4, 2, 3, 9
LINKTYPE_RAW = 101
NRB_IPV4, NRB_IPV6 = 1, 2

ABOUT = (
    "Packets synthesised from netstack's journal of protocol messages: no packet was captured. Handshakes, "
    "acknowledgements and connection ends are those of a network without loss; TLS is shown as plaintext."
)


class Capture:
    """Writes rows to a binary stream as they come; `close` ends the open connections, and does not close the stream."""

    def __init__(self, stream: BinaryIO, flows: int = 10_000, comment: str = ABOUT) -> None:
        self.stream = stream
        self.packets = 0
        self._synthesizer = Synthesizer(flows)
        self._named: set[tuple[str, str]] = set()
        options = _option(OPT_COMMENT, comment) + _option(SHB_USERAPPL, "netstack") + _option(0, b"")
        self._block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options)
        nanoseconds = bytes([9])
        options = (
            _option(IF_NAME, "netstack")
            + _option(IF_DESCRIPTION, "all hosts of the world")
            + _option(IF_TSRESOL, nanoseconds)
            + _option(0, b"")
        )
        self._block(INTERFACE, struct.pack("<HHI", LINKTYPE_RAW, 0, 0) + options)

    def write(self, row: Row, last: bool = False) -> None:
        """Add a message; `last` says that its connection ends with it."""
        self._name(row.source[0], row.source_name)
        self._name(row.destination[0], row.destination_name)
        self._write(self._synthesizer.packets(row))
        if last:
            self._write(self._synthesizer.end(row))

    def flush(self) -> None:
        """Let a reader that follows the file see what was written."""
        self.stream.flush()

    def close(self) -> None:
        """End the open connections."""
        self._write(self._synthesizer.end_all())
        self.stream.flush()

    def _name(self, address: str, name: str) -> None:
        if not name or name == address or (address, name) in self._named:
            return
        self._named.add((address, name))
        ip = packed(address)
        record = ip + name.encode("utf-8", "replace") + b"\0"
        kind = NRB_IPV4 if len(ip) == 4 else NRB_IPV6
        self._block(NAMES, struct.pack("<HH", kind, len(record)) + _padded(record) + bytes(4))

    def _write(self, packets: Iterable[Packet]) -> None:
        for packet in packets:
            stamp = max(0, round(packet.time * 1e9))
            fields = struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet.data), packet.length)
            options = b""
            if packet.comment is not None:
                options = _option(OPT_COMMENT, packet.comment) + _option(0, b"")
            self._block(PACKET, fields + _padded(packet.data) + options)
            self.packets += 1

    def _block(self, kind: int, body: bytes) -> None:
        length = struct.pack("<I", len(body) + 12)
        self.stream.write(struct.pack("<I", kind) + length + body + length)


def write_rows(stream: BinaryIO, rows: Iterable[Row]) -> int:
    """Write all rows; each connection ends with its last message. Returns the number of packets."""
    rows = list(rows)
    last = {frozenset((row.source, row.destination)): number for number, row in enumerate(rows) if row.transport == "tcp"}
    ends = set(last.values())
    capture = Capture(stream)
    for number, row in enumerate(rows):
        capture.write(row, number in ends)
    capture.close()
    return capture.packets


def export(path: str | Path, rows: Iterable[Row]) -> int:
    """`write_rows` into a file."""
    with Path(path).open("wb") as stream:
        return write_rows(stream, rows)


def _option(code: int, value: str | bytes) -> bytes:
    data = value.encode("utf-8", "replace")[:65535] if isinstance(value, str) else value
    return struct.pack("<HH", code, len(data)) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
