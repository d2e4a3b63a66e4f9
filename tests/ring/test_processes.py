"""Nodes as processes: some come, some leave in turn, half are killed at once; no key is lost. More in tests/soak."""

import http.client
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from netstack.kernel.authority import Authority
from netstack.ring.credentials import public_der
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.identity import uri
from netstack.ring.wire import MAGIC, Bye, Codec, Hello, Refusal
from tests.ring.fleet import BITS, ISSUER, PORT, Fleet, Process

KEYS = [f"key{number}" for number in range(40)]


def test_nodes_come_and_leave_and_are_killed(tmp_path: Path) -> None:
    with Fleet(tmp_path, data={"patience": 1.0}) as fleet:
        fleet.start(8)
        fleet.settle()
        fleet.put_all(KEYS)
        fleet.start(4)
        fleet.settle()
        assert fleet.missing(KEYS) == []
        for node in list(fleet.nodes.values())[8:]:
            fleet.leave(node)
        fleet.settle()
        assert fleet.missing(KEYS) == []
        fleet.kill(fleet.ordered()[::2])
        fleet.settle()
        assert fleet.missing(KEYS) == []
        assert fleet.trouble() == []


# Under TLS, with certificates of an issuer


def test_nodes_with_certificates_of_an_issuer(tmp_path: Path) -> None:
    """They join, keep keys, one leaves; a foreign certificate and an identifier that is not the key's are refused."""
    with Fleet(tmp_path, secure=True, data={"patience": 1.0}) as fleet:
        fleet.start(4)
        fleet.settle()
        fleet.put_all(KEYS)
        fleet.leave(fleet.ordered()[1])
        fleet.settle()
        assert fleet.missing(KEYS) == []
        node = fleet.ordered()[0]
        key = Ed25519PrivateKey.generate()
        circle = Circle(BITS)
        own = circle.of_public_key(public_der(key))
        granted = (certificate(fleet, key), private(key))
        assert says(fleet, node, granted, own) == ["Hello", "Bye"]
        assert says(fleet, node, granted, (node.ident - 1) % circle.size) == ["Hello", "Refusal: identity"]
        foreign = Authority.seeded(Random(1), time.time() - 60, time.time() + 600)
        leaf = foreign.certify(key.public_key(), (uri("fleet"),), time.time() - 60, time.time() + 600)
        assert says(fleet, node, (leaf.public_bytes(Encoding.PEM).decode(), private(key)), own) == []
        assert fleet.is_settled()
        assert fleet.trouble() == []


def private(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def certificate(fleet: Fleet, key: Ed25519PrivateKey) -> str:
    """From the fleet's issuer, as a client of HTTPS gets it; the key of another node's token is not given one."""
    assert fleet.issuer is not None
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None).public_bytes(Encoding.PEM)
    context = ssl.create_default_context(cadata=fleet.web.pem().decode())
    answers = []
    for token in (fleet.tokens[0], fleet.tokens[-1]):
        connection = http.client.HTTPSConnection(fleet.issuer.address, ISSUER, context=context, timeout=20)
        fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/pkcs10"}
        connection.request("POST", "/certificates", request, fields)
        answer = connection.getresponse()
        answers.append((answer.status, answer.read().decode()))
        connection.close()
    assert [status for status, _ in answers] == [403, 201]
    return answers[1][1]


def says(fleet: Fleet, node: Process, granted: tuple[str, str], ident: int) -> list[str]:
    """What a node says to who shows a certificate, says that it has an identifier, and takes its leave."""
    file = fleet.directory / "granted.pem"
    file.write_text("".join(granted))
    context = ssl.create_default_context(cadata=fleet.authority.pem().decode())
    context.check_hostname = False
    context.load_cert_chain(file)
    codec = Codec(Circle(BITS))
    octets = b""
    with (
        socket.create_connection((node.address, PORT), 20) as plain,
        suppress(OSError),
        context.wrap_socket(plain) as secure,
    ):
        secure.sendall(codec.encode(Hello(MAGIC, 1, BITS, "fleet", Contact(ident, "127.0.0.1:9"), 7, True)))
        secure.sendall(codec.encode(Bye()))
        while more := secure.recv(65536):
            octets += more
    found = []
    while octets:
        end = 4 + int.from_bytes(octets[:4], "big")
        message = codec.decode(octets[4:end])
        found.append(f"Refusal: {message.reason}" if isinstance(message, Refusal) else type(message).__name__)
        octets = octets[end:]
    return found
