"""Synthesised packets: checksums, lengths, sequence numbers; checked by a receiver written from the RFCs."""

import struct
from collections import defaultdict
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.kernel.journal import Row
from netstack.kernel.packets import ACK, FIN, MTU, SYN, Packet, Synthesizer, checksum
from netstack.sansio import Address

A, B, SIX, SEVEN = ("127.1.0.1", 40000), ("127.1.0.2", 80), ("2001:db8::6", 50000), ("2001:db8::7", 25)


def row(source: Address = A, destination: Address = B, data: bytes = b"x", transport: str = "tcp", **more: object) -> Row:
    return Row(1.0, source, destination, "a.test", "b.test", transport, "test", "message", data, **more)  # type: ignore[arg-type]


def ones_sum(data: bytes) -> int:
    """The sum that must be 0xFFFF when the checksum in `data` is right (RFC 1071 §1)."""
    return ~checksum(data) & 0xFFFF


@dataclass
class Receiver:
    """Takes packets as a strict host would: every checksum and every sequence number must be the expected one."""

    expected: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    streams: dict[tuple[bytes, bytes], bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    datagrams: list[bytes] = field(default_factory=list)

    def take(self, packet: Packet) -> None:
        data = packet.data
        assert packet.length == len(data)
        if data[0] >> 4 == 4:
            assert ones_sum(data[:20]) == 0xFFFF
            assert struct.unpack_from("!H", data, 2)[0] == len(data)
            protocol, source, destination, payload = data[9], data[12:16], data[16:20], data[20:]
            pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(payload))
        else:
            assert data[0] >> 4 == 6
            assert struct.unpack_from("!H", data, 4)[0] == len(data) - 40
            protocol, source, destination, payload = data[6], data[8:24], data[24:40], data[40:]
            pseudo = source + destination + struct.pack("!IHBB", len(payload), 0, 0, protocol)
        assert ones_sum(pseudo + payload) == 0xFFFF
        ends = (source + payload[:2], destination + payload[2:4])
        if protocol == 17:
            assert struct.unpack_from("!H", payload, 4)[0] == len(payload)
            self.datagrams.append(payload[8:])
        else:
            assert len(data) <= MTU
            self.segment(ends, payload)

    def segment(self, ends: tuple[bytes, bytes], payload: bytes) -> None:
        sequence, acknowledged, offset, flags = struct.unpack_from("!IIBB", payload, 4)
        body = payload[(offset >> 4) * 4 :]
        if flags & SYN:
            assert ends not in self.expected
        else:
            assert sequence == self.expected[ends]
        if flags & ACK:
            assert acknowledged == self.expected[ends[1], ends[0]]
        self.streams[ends] += body
        self.expected[ends] = (sequence + len(body) + bool(flags & (SYN | FIN))) & 0xFFFFFFFF


def deliver(rows: list[Row], synthesizer: Synthesizer | None = None) -> tuple[Receiver, list[Packet]]:
    synthesizer = synthesizer or Synthesizer()
    receiver = Receiver()
    packets = [packet for one in rows for packet in synthesizer.packets(one)]
    packets += synthesizer.end_all()
    for packet in packets:
        receiver.take(packet)
    return receiver, packets


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0xFFFF), (b"\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", 0x220D), (b"\xff\xff", 0), (b"\x01", 0xFEFF)],
)
def test_checksum(data: bytes, expected: int) -> None:
    """The second case is the example of RFC 1071 §3."""
    assert checksum(data) == expected


def test_a_flow_has_handshake_segments_acknowledgements_and_an_end() -> None:
    _, packets = deliver([row(data=b"q" * 3000), row(B, A, data=b"r")])
    shape = [(packet.data[33], packet.length - 40) for packet in packets]
    assert shape == [
        (0x02, 4), (0x12, 4), (0x10, 0),
        (0x10, 1460), (0x10, 1460), (0x10, 0), (0x18, 80), (0x10, 0),
        (0x18, 1), (0x10, 0),
        (0x11, 0), (0x11, 0), (0x10, 0),
    ]  # fmt: skip


ENDS = st.sampled_from([(A, B), (B, A), (SIX, SEVEN), (SEVEN, SIX), (("127.9.9.9", 40000), B), (A, ("127.1.0.2", 443))])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ENDS, st.binary(max_size=4000), st.sampled_from(["tcp", "udp"]), st.booleans()), max_size=20))
def test_every_row_arrives(messages: list[tuple[tuple[Address, Address], bytes, str, bool]]) -> None:
    rows = [row(*ends, data=data, transport=transport, secure=secure) for ends, data, transport, secure in messages]
    receiver, _ = deliver(rows)
    assert receiver.datagrams == [one.data for one in rows if one.transport == "udp"]
    streams: dict[tuple[Address, Address], bytes] = defaultdict(bytes)
    for one in rows:
        if one.transport == "tcp":
            streams[one.source, one.destination] += one.data
    assert sorted(filter(None, streams.values())) == sorted(bytes(s) for s in receiver.streams.values() if s)


def test_tls_is_shown_on_the_plaintext_port_and_says_so() -> None:
    """The same client port used to 80 and to 443 stays two streams."""
    plain, tls = row(data=b"plain"), row(A, (B[0], 443), data=b"tls", secure=True)
    receiver, packets = deliver([plain, tls])
    assert sorted(bytes(s) for s in receiver.streams.values() if s) == [b"plain", b"tls"]
    assert {ends[1][-2:] for ends, stream in receiver.streams.items() if stream} == {struct.pack("!H", 80)}
    comments = [packet.comment for packet in packets if packet.comment]
    assert comments == [
        "test: message",
        "test: message [went under TLS to port 443, shown as plaintext on port 80]",
    ]


def test_the_lower_port_is_the_server_also_when_it_speaks_first() -> None:
    _, packets = deliver([row(SEVEN, SIX, data=b"220 ready\r\n")])
    assert packets[0].data[40:44] == struct.pack("!HH", 50000, 25)
    _, packets = deliver([row(("127.0.0.1", 20), ("127.0.0.2", 50001))])
    assert packets[0].data[20:24] == struct.pack("!HH", 20, 50001)


def test_octets_that_were_not_kept_are_counted_in_the_lengths() -> None:
    packets = list(Synthesizer().packets(row(data=b"head", omitted=2000)))[3:]
    assert [(packet.length - 40, len(packet.data) - 40) for packet in packets] == [(1460, 4), (544, 0), (0, 0)]
    assert "2000 octets of it were not kept" in str(packets[0].comment)


def test_the_number_of_remembered_flows_is_bounded() -> None:
    synthesizer = Synthesizer(flows=2)
    rows = [row(("127.0.0.1", 40000 + number)) for number in range(5)]
    receiver, packets = deliver([*rows, replace(rows[0], data=b"again")], synthesizer)
    assert sum(bool(packet.data[33] & FIN) for packet in packets) == 12
    assert sorted(bytes(s) for s in receiver.streams.values() if s) == [b"again", b"x", b"x", b"x", b"x", b"x"]


@pytest.mark.parametrize(
    "wrong",
    [
        row(A, SEVEN), row(A, SEVEN, transport="udp"), row(A, A), row(("name", 1)),
        row(data=bytes(65_508), transport="udp"), row(transport="udp", omitted=70_000),
    ],
)  # fmt: skip
def test_a_row_that_no_packet_can_carry_is_an_error(wrong: Row) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(Synthesizer().packets(wrong))
