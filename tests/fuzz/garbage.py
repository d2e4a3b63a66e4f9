"""Random octets and damaged conversations from one seed, and how they are thrown at a server."""

import socket
import struct
from collections.abc import Iterator, Sequence
from random import Random

from tests.fuzz.servers import PATIENCE, Server, Where, connect, read_all
from tests.processes import Running

RESET = struct.pack("ii", 1, 0)
QUIET = 0.02
WARM_UP = 1_000
"""Inputs after which a server has allocated what it keeps."""
GROWTH = 1.05


def damaged(rng: Random, conversation: bytes) -> bytes:
    """A conversation with flipped bytes, or cut, doubled, shuffled, with something put in."""
    octets = bytearray(conversation)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        if octets:
            octets[rng.randrange(len(octets))] = rng.randrange(256)
    at = rng.randrange(len(octets) + 1)
    how = rng.randrange(8)
    if how == 0:
        del octets[at:]
    elif how == 1:
        octets[at:at] = rng.randbytes(rng.choice((1, 2, 16, 300)))
    elif how == 2:
        octets += octets[at:]
    elif how == 3:
        del octets[at : at + rng.randrange(1, 9)]
    elif how == 4:
        octets[at:at] = rng.choice((b"\r\n", b"\n", b"\x00", b"\xff\xff", b"\xc0\x0c", b" ", b":", b"%00", b"0" * 40))
    return bytes(octets)


def inputs(rng: Random, conversations: Sequence[bytes]) -> Iterator[bytes]:
    """Endless: one in five is nothing but random octets."""
    while True:
        if rng.randrange(5) == 0:
            yield rng.randbytes(int(2 ** rng.uniform(0, 12)))
        else:
            yield damaged(rng, rng.choice(conversations))


def throw_stream(rng: Random, address: Where, data: bytes) -> None:
    """Over a connection, in one piece or several; then end it as clients do, or as crashed ones do.

    A server has to close when the client has: a wait past PATIENCE fails with TimeoutError.
    """
    with connect(address) as connection:
        try:
            cut = rng.randrange(len(data) + 1) if rng.randrange(4) == 0 else len(data)
            connection.sendall(data[:cut])
            if cut < len(data):
                connection.sendall(data[cut:])
            if isinstance(address, str) and rng.randrange(32) == 0:
                listen(connection)
            how = rng.randrange(4)
            if how < 2:
                connection.shutdown(socket.SHUT_WR)
                read_all(connection)
            elif how == 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        except (ConnectionResetError, BrokenPipeError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise AssertionError(f"the server kept a connection that its client had ended, after {data!r}") from error


def listen(connection: socket.socket) -> None:
    """Hear answers until there are none for a moment: a conversation of many steps gets on while its client is there."""
    connection.settimeout(QUIET)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        pass
    finally:
        connection.settimeout(PATIENCE)


def throw(server: Server, process: Running, address: Where, count: int, seed: int) -> tuple[int, int]:
    """`count` inputs, shared by the server's transports; its memory after WARM_UP and at the end, in octets."""
    rng = Random(seed)
    streams = inputs(rng, server.conversations)
    datagrams = inputs(rng, server.datagrams or server.conversations)
    warm = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram_socket:
        datagram_socket.setblocking(False)
        if not isinstance(address, str):
            datagram_socket.bind((address[0], 0))
        for number in range(count):
            if number == min(WARM_UP, count // 2):
                assert server.answers(address)
                warm = process.resident()
            if server.transports[number % len(server.transports)] != "udp":
                throw_stream(rng, address, next(streams))
            else:
                datagram_socket.sendto(next(datagrams)[:65507], address)
                drain(datagram_socket)
            if number % 500 == 499:
                assert server.answers(address)
                assert process.trouble() == []
    assert server.answers(address)
    return warm, process.resident()


def drain(datagrams: socket.socket) -> None:
    """Read and drop what has come back."""
    try:
        while True:
            datagrams.recv(65536)
    except BlockingIOError:
        pass


def check_garbage(server: Server, process: Running, address: Where, count: int, seed: int) -> None:
    """The whole claim: it answers, has nothing in its log, and has not grown."""
    warm, after = throw(server, process, address, count, seed)
    print(f"{server.name}: {count} inputs, seed {seed}: {warm / 2**20:.1f} MiB, then {after / 2**20:.1f} MiB")
    assert process.trouble() == []
    assert after <= GROWTH * warm, f"grew from {warm} to {after} octets"


__all__ = ["PATIENCE", "check_garbage", "damaged", "inputs", "throw"]
