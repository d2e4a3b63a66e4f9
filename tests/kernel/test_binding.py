"""Channel bindings: both ends of a connection have the same, no two connections do."""

from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from twisted.internet.task import Clock

from netstack.kernel.authority import Authority
from netstack.kernel.tls import HostTLS, agreed
from netstack.sansio import Security

WALL = 1_700_000_000.0


def handshake(host: HostTLS, version: int) -> tuple[Security, Security]:
    """What the server and a client of it know of their connection."""
    server = host.accepting()()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    ends = [client, server]
    for _ in range(6):
        for end, other in (ends, ends[::-1]):
            with suppress(SSL.WantReadError):
                end.do_handshake()
            with suppress(SSL.WantReadError):
                other.bio_write(end.bio_read(65536))
    return agreed(server), agreed(client)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("kept", [True, False])
def test_both_ends_have_the_same(tmp_path: Path, kept: bool, version: int) -> None:
    authority = Authority.kept(tmp_path, lambda: WALL) if kept else Authority.seeded(Random(1), WALL - 1, WALL + 1e6)
    leaf = authority.issue(["mail.crepes.fr"])
    host = HostTLS(Clock(), lambda: WALL, [leaf])
    first, second = handshake(host, version), handshake(host, version)
    for server, client in (first, second):
        assert server.binding("tls-unique") is None
        for kind in ("tls-exporter", "tls-server-end-point"):
            assert server.binding(kind) == client.binding(kind)
    if version == SSL.TLS1_3_VERSION:
        exported = [each[0].binding("tls-exporter") for each in (first, second)]
        assert [len(each or b"") for each in exported] == [32, 32]
        assert exported[0] != exported[1]
    else:
        assert first[0].binding("tls-exporter") is None, "RFC 9266 §4.2"
    of_the_leaf = leaf.certificate.fingerprint(hashes.SHA256()) if kept else None
    assert first[0].binding("tls-server-end-point") == of_the_leaf, "Ed25519 signs without a hash: RFC 5929 §4.1 has none"


def test_without_tls_there_is_none() -> None:
    assert Security("TLSv1.3", "x").binding("tls-exporter") is None
