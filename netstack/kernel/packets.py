"""IP packets that would have carried the journal's messages: IPv4 and IPv6, UDP and TCP (RFC 791, 8200, 768, 9293).

The journal holds messages, not packets; what is written here is what a network without loss would have shown. All packets
of a message carry the time of its row, the handshake that of the flow's first row. The receiver acknowledges every second
segment and the last one of a message.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple
from zlib import crc32

from netstack.kernel.journal import Row
from netstack.sansio import Address

MTU = 1500
WINDOW = 65535
FIN, SYN, PSH, ACK = 0x01, 0x02, 0x08, 0x10
TCP, UDP = 6, 17

PLAIN_PORT = {443: 80, 465: 25, 853: 53, 990: 21, 993: 143, 995: 110}
"""Port of a protocol under TLS -> port on which its plaintext is shown, so that dissectors know it."""


class Packet(NamedTuple):
    """One IP packet. `length` is that on the wire; `data` is shorter when the journal did not keep all octets."""

    time: float
    data: bytes
    length: int
    comment: str | None = None


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): one's complement of the one's complement sum of 16-bit words."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address: str) -> bytes:
    """4 or 16 octets of an address as text, without its zone; raises ValueError."""
    return ip_address(address.partition("%")[0]).packed


@dataclass(slots=True)
class _End:
    """One end of a flow as it is shown."""

    ip: bytes
    port: int
    sequence: int = 0
    """Of the next octet it sends."""


@dataclass(slots=True)
class _Flow:
    ends: dict[Address, _End]
    client: Address
    note: str
    time: float = 0.0


class Synthesizer:
    """Turns rows into packets, flow by flow.

    At most `flows` TCP flows are remembered; the one that was silent the longest is ended to make room.
    """

    def __init__(self, flows: int = 10_000) -> None:
        self.flows = flows
        self._tcp: dict[tuple[Address, Address], _Flow] = {}
        self._shown: set[tuple[bytes, int, bytes, int]] = set()
        self._identification: dict[bytes, int] = {}

    def packets(self, row: Row) -> Iterator[Packet]:
        """The packets of one message, those of a new connection's handshake before it.

        Raises ValueError for a row that no packet can carry: ends of two address families, a datagram that is too long.
        """
        return self._datagram(row) if row.transport == "udp" else self._segments(row)

    def end(self, row: Row) -> Iterator[Packet]:
        """The end of the TCP connection that the row belongs to, if it is open."""
        flow = self._tcp.pop(_key(row), None)
        if flow is not None:
            yield from self._finish(flow)

    def end_all(self) -> Iterator[Packet]:
        """The end of all open connections, at the time of the last message."""
        latest = max((flow.time for flow in self._tcp.values()), default=0.0)
        for flow in self._tcp.values():
            flow.time = latest
            yield from self._finish(flow)
        self._tcp.clear()

    def _datagram(self, row: Row) -> Iterator[Packet]:
        source, destination = packed(row.source[0]), packed(row.destination[0])
        length = 8 + len(row.data) + row.omitted
        if len(source) != len(destination) or length + 20 > 65535:
            raise ValueError(f"no datagram goes from {row.source} to {row.destination} with {length - 8} octets")
        header = struct.pack("!HHHH", row.source[1], row.destination[1], length, 0)
        sum_ = _transport_checksum(source, destination, UDP, header + row.data) if not row.omitted else 0
        header = header[:6] + struct.pack("!H", sum_ or 0xFFFF)
        yield self._ip(row.time, source, destination, UDP, header + row.data, row.omitted, f"{row.protocol}: {row.summary}")

    def _segments(self, row: Row) -> Iterator[Packet]:
        key = _key(row)
        flow = self._tcp.pop(key, None)
        if flow is None:
            if len(self._tcp) >= self.flows:
                yield from self._finish(self._tcp.pop(next(iter(self._tcp))))
            flow = self._open(row)
            self._tcp[key] = flow
            yield from self._handshake(flow, row.time)
        else:
            self._tcp[key] = flow  # the most recent one is the last
        flow.time = row.time
        sender, receiver = flow.ends[row.source], flow.ends[row.destination]
        size = MTU - 20 - (20 if len(sender.ip) == 4 else 40)
        total = len(row.data) + row.omitted
        comment: str | None = f"{row.protocol}: {row.summary}{flow.note}"
        if row.omitted:
            comment = f"{comment} ({row.omitted} octets of it were not kept)"
        unanswered = 0
        for start in range(0, total, size):
            end = min(start + size, total)
            kept = row.data[start:end]
            flags = ACK | PSH if end == total else ACK
            yield self._tcp_packet(row.time, sender, receiver, flags, kept, end - start - len(kept), comment)
            comment = None
            unanswered += 1
            if unanswered == 2 or end == total:
                unanswered = 0
                yield self._tcp_packet(row.time, receiver, sender, ACK)

    def _open(self, row: Row) -> _Flow:
        """The side with the lower port is taken for the server, save for FTP's data connections from port 20."""
        source, destination = row.source, row.destination
        client = source if source[1] == 20 or (source[1] >= destination[1] != 20) else destination
        server = destination if client == source else source
        shown_client, shown_server = _End(packed(client[0]), client[1]), _End(packed(server[0]), server[1])
        if len(shown_client.ip) != len(shown_server.ip) or client == server:
            raise ValueError(f"no connection goes from {client} to {server}")
        note = ""
        if row.secure and server[1] in PLAIN_PORT:
            shown_server.port = PLAIN_PORT[server[1]]
            note = f" [went under TLS to port {server[1]}, shown as plaintext on port {shown_server.port}]"
        elif row.secure:
            note = " [went under TLS, shown as plaintext]"
        while (shown := (shown_client.ip, shown_client.port, shown_server.ip, shown_server.port)) in self._shown:
            # The same ports were used before, or twice at once (80 and 443): another client port keeps the streams apart.
            shown_client.port = shown_client.port + 1 if shown_client.port < 65535 else 32768
            if shown_client.port == client[1]:
                break
        self._remember(shown)
        for end, other in ((shown_client, shown_server), (shown_server, shown_client)):
            end.sequence = crc32(struct.pack("!HH", end.port, other.port) + end.ip + other.ip)
        return _Flow({client: shown_client, server: shown_server}, client, note)

    def _remember(self, shown: tuple[bytes, int, bytes, int]) -> None:
        if len(self._shown) >= 10 * self.flows:
            self._shown.clear()
        self._shown.add(shown)

    def _handshake(self, flow: _Flow, time: float) -> Iterator[Packet]:
        client, server = self._ends(flow)
        yield self._tcp_packet(time, client, server, SYN)
        yield self._tcp_packet(time, server, client, SYN | ACK)
        yield self._tcp_packet(time, client, server, ACK)

    def _finish(self, flow: _Flow) -> Iterator[Packet]:
        client, server = self._ends(flow)
        yield self._tcp_packet(flow.time, server, client, FIN | ACK)
        yield self._tcp_packet(flow.time, client, server, FIN | ACK)
        yield self._tcp_packet(flow.time, server, client, ACK)

    @staticmethod
    def _ends(flow: _Flow) -> tuple[_End, _End]:
        client = flow.ends[flow.client]
        return client, next(end for address, end in flow.ends.items() if address != flow.client)

    def _tcp_packet(
        self,
        time: float,
        sender: _End,
        receiver: _End,
        flags: int,
        data: bytes = b"",
        omitted: int = 0,
        comment: str | None = None,
    ) -> Packet:
        """One segment; moves the sender's sequence number on (RFC 9293 §3.1, §3.4)."""
        options = b""
        if flags & SYN:
            options = struct.pack("!BBH", 2, 4, MTU - 20 - (20 if len(sender.ip) == 4 else 40))
        header = struct.pack(
            "!HHIIBBHHH", sender.port, receiver.port, sender.sequence, receiver.sequence if flags & ACK else 0,
            (5 + len(options) // 4) << 4, flags, WINDOW, 0, 0,
        ) + options  # fmt: skip
        sum_ = 0 if omitted else _transport_checksum(sender.ip, receiver.ip, TCP, header + data)
        header = header[:16] + struct.pack("!H", sum_) + header[18:]
        used = len(data) + omitted + (1 if flags & (SYN | FIN) else 0)
        sender.sequence = (sender.sequence + used) & 0xFFFFFFFF
        return self._ip(time, sender.ip, receiver.ip, TCP, header + data, omitted, comment)

    def _ip(
        self,
        time: float,
        source: bytes,
        destination: bytes,
        protocol: int,
        payload: bytes,
        omitted: int,
        comment: str | None,
    ) -> Packet:
        length = len(payload) + omitted
        if len(source) == 16:
            header = struct.pack("!IHBB", 6 << 28, length, protocol, 64) + source + destination
        else:
            identification = self._identification.get(source, 0)
            self._identification[source] = (identification + 1) & 0xFFFF
            dont_fragment = 0x4000
            header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, identification, dont_fragment, 64, protocol, 0)
            header += source + destination
            header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
        return Packet(time, header + payload, len(header) + length, comment)


def _key(row: Row) -> tuple[Address, Address]:
    first, second = sorted((row.source, row.destination))
    return first, second


def _transport_checksum(source: bytes, destination: bytes, protocol: int, segment: bytes) -> int:
    """Over the pseudo header and the segment, whose checksum field is 0 (RFC 9293 §3.1, RFC 8200 §8.1)."""
    if len(source) == 4:
        pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(segment))
    else:
        pseudo = source + destination + struct.pack("!IHBB", len(segment), 0, 0, protocol)
    return checksum(pseudo + segment)
