"""The private CA, leaves by SNI, verification of names, ALPN, STARTTLS: over transports in memory and a Clock."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test.iosim import IOPump, connect, makeFakeClient, makeFakeServer
from zope.interface import implementer

from netstack.kernel.authority import Authority, Leaf, TLSError, authorities
from netstack.kernel.tls import HostTLS

START, END = 1_700_000_000.0, 1_800_000_000.0
DURING = 1_750_000_000.0


@implementer(IHandshakeListener)
class End(Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: Failure | None = None
        self.done = False

    def handshakeCompleted(self) -> None:
        self.done = True

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.lost = reason


class Ends:
    """A client and a server joined under TLS."""

    def __init__(
        self,
        server: HostTLS,
        client: HostTLS,
        name: str,
        server_alpn: Sequence[str] = (),
        client_alpn: Sequence[str] = (),
        clock: Clock | None = None,
    ) -> None:
        self.client, self.server = End(), End()
        self.clock = clock or Clock()
        above_server = server.server(Factory.forProtocol(lambda: self.server), server_alpn).buildProtocol(None)
        above_client = client.client(Factory.forProtocol(lambda: self.client), name, client_alpn).buildProtocol(None)
        self.pump: IOPump = connect(above_server, makeFakeServer(above_server), above_client, makeFakeClient(above_client))
        self.flush()

    def flush(self) -> None:
        for _ in range(5):
            self.pump.flush()
            self.clock.advance(0)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.seeded(Random(1), START, END)


def host(clock: Clock, leaves: Sequence[Leaf] = (), trust: Sequence[Authority] = (), now: float = DURING) -> HostTLS:
    return HostTLS(clock, lambda: now, leaves, [each.certificate for each in trust])


def handshake(authority: Authority, leaves: Sequence[Leaf], name: str, now: float = DURING, **alpn: Sequence[str]) -> Ends:
    clock = Clock()
    return Ends(host(clock, leaves), host(clock, (), [authority], now), name, clock=clock, **alpn)


def test_a_handshake_and_bytes_both_ways(authority: Authority) -> None:
    ends = handshake(authority, [authority.issue(["www.someschool.edu"])], "www.someschool.edu")
    assert ends.client.done
    assert ends.server.done
    ends.client.transport.write(b"question")
    ends.flush()
    ends.server.transport.write(b"answer")
    ends.flush()
    assert (ends.server.heard, ends.client.heard) == (b"question", b"answer")


def test_the_leaf_is_chosen_by_the_name_asked_for(authority: Authority) -> None:
    leaves = [authority.issue([name]) for name in ("a.test", "b.test", "*.c.test")]
    for name, carries in (("a.test", "a.test"), ("B.test", "b.test"), ("x.c.test", "*.c.test"), ("b.test.", "b.test")):
        ends = handshake(authority, leaves, name)
        assert ends.client.done, name
        peer = ends.client.transport.getPeerCertificate().to_cryptography()
        assert Leaf(peer, leaves[0].key).names == (carries,)


def test_certificates_are_renewed_while_a_server_runs(authority: Authority) -> None:
    clock = Clock()
    server, client = host(clock, [authority.issue(["a.test"])]), host(clock, (), [authority])
    before = Ends(server, client, "a.test", clock=clock)
    server.renew([authority.issue(["b.test"])])
    after, wrong = Ends(server, client, "b.test", clock=clock), Ends(server, client, "a.test", clock=clock)
    assert (before.client.done, after.client.done, wrong.client.done) == (True, True, False)
    before.client.transport.write(b"still here")
    before.flush()
    assert before.server.heard == b"still here"


@pytest.mark.parametrize("name", ["other.test", "a.b.c.test", "192.0.2.2"])
def test_a_wrong_name_ends_the_handshake(authority: Authority, name: str) -> None:
    ends = handshake(authority, [authority.issue(["a.test", "*.c.test"], ["192.0.2.1"])], name)
    assert not ends.client.done
    assert not ends.server.done
    assert isinstance(ends.client.lost.value, TLSError)  # type: ignore[union-attr]
    assert str(ends.client.lost.value) == f"{name}: its certificate is for another name"  # type: ignore[union-attr]


def test_an_address_is_a_name(authority: Authority) -> None:
    assert handshake(authority, [authority.issue([], ["192.0.2.1"])], "192.0.2.1").client.done


def test_only_the_worlds_ca_is_trusted(authority: Authority) -> None:
    foreign = Authority.seeded(Random(2), START, END, "netstack simulated CA")
    ends = handshake(authority, [foreign.issue(["a.test"])], "a.test")
    assert not ends.client.done
    assert "not issued by a CA that is trusted" in str(ends.client.lost.value) or "signature" in str(ends.client.lost.value)  # type: ignore[union-attr]


@pytest.mark.parametrize(("now", "said"), [(START - 10, "not valid yet"), (END + 10, "expired")])
def test_certificates_are_judged_at_the_machines_time(authority: Authority, now: float, said: str) -> None:
    ends = handshake(authority, [authority.issue(["a.test"])], "a.test", now)
    assert not ends.client.done
    assert said in str(ends.client.lost.value)  # type: ignore[union-attr]


def test_the_time_is_read_at_each_handshake(authority: Authority) -> None:
    clock, times = Clock(), [DURING, END + 1, DURING]
    client = HostTLS(clock, lambda: times.pop(0), (), [authority.certificate])
    server = host(clock, [authority.issue(["a.test"])])
    assert [Ends(server, client, "a.test", clock=clock).client.done for _ in range(3)] == [True, False, True]


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [(["h2", "http/1.1"], ["http/1.1", "h2"], b"h2"), (["http/1.1"], ["h2"], None), ([], ["h2"], None), (["h2"], [], None)],
)
def test_alpn(authority: Authority, ours: list[str], theirs: list[str], agreed: bytes | None) -> None:
    leaves = [authority.issue(["first.test"]), authority.issue(["a.test"])]
    ends = handshake(authority, leaves, "a.test", server_alpn=ours, client_alpn=theirs)
    assert ends.client.done
    assert ends.client.transport.negotiatedProtocol == ends.server.transport.negotiatedProtocol == agreed


def test_old_versions_are_refused(authority: Authority) -> None:
    clock = Clock()
    server = host(clock, [authority.issue(["a.test"])]).server(Factory.forProtocol(End)).buildProtocol(None)
    wire = connect(server, makeFakeServer(server), Protocol(), makeFakeClient(Protocol()))
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_1_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    old = SSL.Connection(context, None)
    old.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        old.do_handshake()
    server.dataReceived(old.bio_read(4096))
    wire.flush()
    assert not server.wrappedProtocol or not server.wrappedProtocol.done


def test_a_peer_may_take_its_leave_in_the_middle_of_a_handshake(authority: Authority) -> None:
    """The record after its first message is an alert, close_notify (RFC 5246 §7.2.1)."""
    clock, end = Clock(), End()
    server = host(clock, [authority.issue(["a.test"])]).server(Factory.forProtocol(lambda: end)).buildProtocol(None)
    wire = connect(server, makeFakeServer(server), Protocol(), makeFakeClient(Protocol()))
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    leaving = SSL.Connection(context, None)
    leaving.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        leaving.do_handshake()
    server.dataReceived(leaving.bio_read(4096))
    server.dataReceived(bytes.fromhex("15030300020100"))
    wire.flush()
    assert end.lost is not None
    assert end.lost.check(ConnectionLost)


@pytest.mark.parametrize("buffered", [b"", b"x" * 300_000])
def test_starttls_on_a_connection_in_use(authority: Authority, buffered: bytes) -> None:
    clock = Clock()
    server_tls, client_tls = host(clock, [authority.issue(["mail.test"])]), host(clock, (), [authority])
    server, client = End(), End()
    pump = connect(server, makeFakeServer(server), client, makeFakeClient(client))
    server.transport.write(buffered + b"220 go")
    plain_server, plain_client = server.transport, client.transport
    assert server_tls.start(plain_server, server, None) is server.transport
    pump.flush()
    assert client.heard.endswith(b"220 go")
    client.heard = b""
    client_tls.start(plain_client, client, "mail.test")
    for _ in range(3):
        pump.flush()
        clock.advance(0)
    assert server.done
    assert client.done
    client.transport.write(b"EHLO")
    clock.advance(0)
    pump.flush()
    assert server.heard == b"EHLO"


def test_seeded_authorities_repeat_whatever_the_order() -> None:
    one, two = (Authority.seeded(Random(7), START, END) for _ in range(2))
    a = one.issue(["a.test"])
    one.issue(["b.test"])
    two.issue(["b.test"])
    assert one.pem() == two.pem()
    assert a.pem() == two.issue(["a.test"]).pem()
    assert Authority.seeded(Random(8), START, END).pem() != one.pem()
    lengths = {len(one.issue([f"{n:03}.test"]).certificate.public_bytes(Encoding.DER)) for n in range(100)}
    assert len(lengths) == 1


def test_the_size_of_a_seeded_handshake_repeats() -> None:
    sizes = set()
    for seed in range(20):
        authority = Authority.seeded(Random(seed), START, END)
        clock = Clock()
        sent: list[int] = []
        server = host(clock, [authority.issue(["a.test"])]).server(Factory.forProtocol(End)).buildProtocol(None)
        client = host(clock, (), [authority]).client(Factory.forProtocol(End), "a.test").buildProtocol(None)
        ends = makeFakeServer(server), makeFakeClient(client)
        for end in ends:
            write: Any = end.write
            end.write = lambda data, write=write, sent=sent: (sent.append(len(data)), write(data))  # type: ignore[method-assign]
        pump = connect(server, ends[0], client, ends[1])
        for _ in range(3):
            pump.flush()
            clock.advance(0)
        assert client.wrappedProtocol.done
        sizes.add(tuple(sent))
    assert len(sizes) == 1


def test_the_ca_is_made_once_and_kept(tmp_path: Path) -> None:
    first = Authority.kept(tmp_path / "ca", lambda: DURING)
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600
    second = Authority.kept(tmp_path / "ca", lambda: DURING + 86400)
    assert first.pem() == second.pem() == (tmp_path / "ca" / "ca.pem").read_bytes()
    leaf = second.issue(["a.test"])
    assert handshake(first, [leaf], "a.test").client.done
    assert leaf.certificate.not_valid_after_utc.timestamp() == DURING + 86400 * 366


def test_a_damaged_ca_is_an_error_that_names_it(tmp_path: Path) -> None:
    Authority.kept(tmp_path / "ca", lambda: DURING)
    (tmp_path / "ca" / "ca.key").write_bytes(b"garbage")
    with pytest.raises(TLSError, match=r"damaged.*ca\.key.*private key.*remove"):
        Authority.kept(tmp_path / "ca", lambda: DURING)


def test_nothing_is_issued_without_the_key() -> None:
    authority = Authority.seeded(Random(1), START, END)
    leaf = authority.issue(["a.test"])
    authority.drop_key()
    with pytest.raises(TLSError, match="dropped"):
        authority.issue(["b.test"])
    assert handshake(authority, [leaf], "a.test").client.done


def test_a_certificate_has_what_strict_clients_ask_for(tmp_path: Path) -> None:
    authority = Authority.kept(tmp_path, lambda: DURING)
    certificate = authority.issue(["a.test"], ["192.0.2.1"]).certificate
    find = certificate.extensions.get_extension_for_class
    assert not find(x509.BasicConstraints).value.ca
    assert find(x509.KeyUsage).value.digital_signature
    assert [usage.dotted_string for usage in find(x509.ExtendedKeyUsage).value] == ["1.3.6.1.5.5.7.3.1"]
    assert find(x509.AuthorityKeyIdentifier).value.key_identifier == (
        authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    )
    certificate.verify_directly_issued_by(authority.certificate)


def test_files_of_a_single_service(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue(["a.test"]).pem()
    (tmp_path / "c.pem").write_bytes(certificate)
    (tmp_path / "k.pem").write_bytes(key)
    (tmp_path / "other.pem").write_bytes(authority.issue(["b.test"]).pem()[1])
    (tmp_path / "ca.pem").write_bytes(authority.pem())
    (tmp_path / "empty").write_bytes(b"")
    clock, wall = Clock(), lambda: DURING
    server = HostTLS.from_files(clock, wall, tmp_path / "c.pem", tmp_path / "k.pem")
    client = HostTLS.from_files(clock, wall, trust=tmp_path / "ca.pem")
    assert Ends(server, client, "a.test", clock=clock).client.done
    for arguments, said in (
        ((tmp_path / "c.pem",), "go together"),
        ((tmp_path / "c.pem", tmp_path / "other.pem"), "does not belong"),
        ((tmp_path / "c.pem", tmp_path / "empty"), "no PEM private key"),
        ((tmp_path / "empty", tmp_path / "k.pem"), "no PEM certificate"),
        ((tmp_path / "none", tmp_path / "k.pem"), "none: No such file"),
        ((None, None, tmp_path / "empty"), "empty: no PEM certificate"),
    ):
        with pytest.raises(TLSError, match=said):
            HostTLS.from_files(clock, wall, *arguments)


def test_what_is_missing_is_said() -> None:
    tls = HostTLS(Clock(), lambda: DURING)
    with pytest.raises(TLSError, match="has none"):
        tls.server(Factory())
    with pytest.raises(TLSError, match="has none"):
        tls.client(Factory(), "a.test")


def test_one_bad_authority_stops_nobody() -> None:
    pem = Authority.seeded(Random(1), 0.0, 1e9).certificate.public_bytes(Encoding.PEM)
    bad = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert len(authorities(pem + bad + pem)) == 2
    for none in (b"", bad, bad + bad, b"text"):
        with pytest.raises(ValueError, match=r"."):
            authorities(none)
