"""Nonsense on every port of both servers, as processes: nothing in the log, no growth, and the next client is served."""

import socket
from collections.abc import Iterator
from random import Random

import dns.message
import dns.query
import pytest

from tests.addresses import own_address
from tests.dns.internet import SOA
from tests.processes import Running, running, twistd

OFFSET = 22000
PORT = 53 + OFFSET


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[str, Running]]]:
    """An authoritative server of the root, and a resolver that asks it and another that is not there."""
    root, resolver, nobody = own_address(), own_address(), own_address()
    zone = tmp_path_factory.mktemp("zones") / "root.zone"
    zone.write_text(SOA + f"@ NS a.root.\na.root. A {root}\ngaia.edu. A 10.1.0.1\ndead. NS ns.dead.\nns.dead. A {nobody}\n")
    shifted = f"--port-offset={OFFSET}"
    first = twistd("netstack-dns", f"--zone=.={zone}", f"--address={root}", shifted, "--tcp-idle=1")
    second = twistd(
        "netstack-resolver", f"--hint=a.root={root}", f"--address={resolver}", shifted, "--tcp-idle=1", "--deadline=1"
    )
    with running(*first, ready="on tcp:") as one, running(*second, ready="on tcp:") as two:
        yield [(root, one), (resolver, two)]


def recorded() -> list[bytes]:
    """Sound queries to begin with."""
    queries = [
        dns.message.make_query(name, rdtype, use_edns=edns)
        for name, rdtype in (("gaia.edu", "A"), ("nowhere.edu", "TYPE65280"), ("x.dead", "MX"), (".", "ANY"))
        for edns in (0, -1)
    ]
    return [query.to_wire() for query in queries]


def nonsense(rng: Random, count: int) -> Iterator[bytes]:
    """Random octets, and sound queries with octets changed, left out or put in."""
    sound = recorded()
    for number in range(count):
        if number % 3 == 0:
            yield rng.randbytes(rng.randrange(80))
            continue
        data = bytearray(rng.choice(sound))
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(2, len(data))
            match rng.randrange(3):
                case 0:
                    data[place] = rng.randrange(256)
                case 1:
                    data[place:place] = rng.randbytes(rng.randrange(4))
                case _:
                    del data[place : place + rng.randrange(3)]
        yield bytes(data)


def serves(address: str) -> None:
    """A sound query is answered, over both transports."""
    query = dns.message.make_query("gaia.edu", "A")
    for ask in (dns.query.udp, dns.query.tcp):
        assert "10.1.0.1" in str(ask(query, address, port=PORT, timeout=10))


def bombard(address: str, rng: Random, count: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.0)
        for number, data in enumerate(nonsense(rng, count)):
            client.sendto(data, (address, PORT))
            if number % 50 == 49:
                serves(address)  # lets the server keep up: what is lost tests nothing
                while True:
                    try:
                        assert len(client.recv(65535)) <= 1232
                    except BlockingIOError:
                        break


def test_datagrams(servers: list[tuple[str, Running]]) -> None:
    rng = Random(1)
    for address, process in servers:
        bombard(address, rng, 500)
        before = process.resident()
        bombard(address, rng, 2500)
        assert process.resident() < before * 1.05 + 500_000
        assert process.trouble() == []


def test_streams(servers: list[tuple[str, Running]]) -> None:
    rng = Random(2)
    for address, process in servers:
        for data in nonsense(rng, 150):
            with socket.create_connection((address, PORT), timeout=10) as client:
                framed = len(data).to_bytes(2, "big") + data
                client.sendall(framed if rng.random() < 0.6 else data)
                if rng.random() < 0.5:
                    client.shutdown(socket.SHUT_WR)
        serves(address)
        assert process.trouble() == []


def test_a_client_that_drips_is_closed(servers: list[tuple[str, Running]]) -> None:
    for address, _ in servers:
        with socket.create_connection((address, PORT), timeout=10) as client:
            client.sendall(b"\0\x20")
            assert client.recv(1) == b""
        serves(address)


def test_a_flood_of_questions_that_nobody_answers(servers: list[tuple[str, Running]]) -> None:
    """Each waits for a server that is not there; others are served meanwhile."""
    address, process = servers[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for number in range(3000):
            client.sendto(dns.message.make_query(f"x{number}.dead", "A").to_wire(), (address, PORT))
            if number % 50 == 0:
                serves(address)  # from the cache, whatever waits
        client.settimeout(10)
        reply = dns.message.from_wire(client.recv(65535))
    assert reply.rcode().name == "SERVFAIL"
    serves(address)
    assert process.trouble() == []
