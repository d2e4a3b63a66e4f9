"""Certificates from an issuer: got at the start, renewed while the node runs, refused to whom they are not for."""

from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP192R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from netstack.http.client import ClientOptions, fetch
from netstack.kernel.authority import Authority, Leaf
from netstack.kernel.resolver import FakeResolver
from netstack.ring.credentials import Renewal
from netstack.ring.identifiers import Circle
from netstack.ring.identity import Certified, uri
from netstack.ring.issuer import IssuerLimits, parse_tokens
from netstack.taps.ring import Config, build
from netstack.world.simulated import Simulation

TOKENS = [f"a token of node {number}".replace(" ", "-") for number in (1, 2, 3)]
URL = "https://issuer.test:4161"


class Town:
    """node1 is an issuer, too; node2 and node3 join with tokens."""

    def __init__(self, profile: Any = "hashed", seconds: float = 600.0, rate: float = 60.0) -> None:
        self.simulation = Simulation(5)
        self.profile = profile
        self.seconds, self.rate = seconds, rate
        epoch = self.simulation.epoch
        issuing = Authority.seeded(Random(11), epoch - 86400, epoch + 10 * 86400 * 365, "ring issuer")
        key: Any = issuing._key
        self.authority = tuple(each.decode() for each in Leaf(issuing.certificate, key).pem())
        self.issuer = issuing
        self.services: dict[int, Any] = {}
        self.resolver = FakeResolver({("issuer.test", "A"): ["192.0.2.1"]})

    def node(self, number: int, token: str, ident: int = -1) -> None:
        host = self.simulation.host(f"node{number}", f"192.0.2.{number}")

        def program(_: Any) -> None:
            names = ("issuer.test",) if number == 1 else ()
            machine = self.simulation.machine(host, resolver=self.resolver, names=names)
            first = number == 1
            config = Config(
                ("tls:4160",), bits=32, ident=ident, identity=self.profile, authorities=self.authority[0],
                join=() if first else ("192.0.2.1:4160",), issuer=URL, token=token, renewal=Renewal(),
                issue=("tls:4161",) if first else (), issue_authority=self.authority if first else (),
                issue_tokens="\n".join(self.tokens()) if first else "", issuing=IssuerLimits(self.seconds, self.rate),
            )  # fmt: skip
            service: Any = build(config, machine)
            self.services[number] = service
            service.privilegedStartService()
            service.startService()

        host.program = program
        host.start()

    def tokens(self) -> list[str]:
        if self.profile == "hashed":
            return TOKENS
        return [f"{token} {10 * number}" for number, token in enumerate(TOKENS, 1)]

    def run(self, seconds: float) -> None:
        self.simulation.run(for_seconds=seconds)

    def ask(self, body: bytes, token: str = TOKENS[1], media: str = "application/pkcs10", url: str = URL) -> Any:
        host = self.simulation.hosts.get("client") or self.simulation.host("client", "192.0.2.77")

        async def work() -> Any:
            machine = self.simulation.machine(host, resolver=self.resolver)
            fields = (("Authorization", f"Bearer {token}"), ("Content-Type", media))
            return await fetch(machine, f"{url}/certificates", "POST", fields, body, ClientOptions())

        return self.simulation.ask(host, work)


def request(key: Any, signed_by: Any = None) -> bytes:
    algorithm = None if isinstance(key, Ed25519PrivateKey) else SHA256()
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, algorithm)
    return made.public_bytes(Encoding.DER)


def key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


@pytest.mark.parametrize("profile", ["hashed", "given"])
def test_joiners_get_certificates_and_renew_them(profile: str) -> None:
    town = Town(profile, seconds=60.0)
    for number in (1, 2, 3):
        town.node(number, TOKENS[number - 1], 10 * number if profile == "given" else -1)
    town.run(8.0)
    assert all(service.placed for service in town.services.values())
    contacts = sorted(service.peer.me for service in town.services.values())
    assert sorted({town.services[2].peer.me, *town.services[2].peer.node.successors}) == contacts
    before = {number: service.links._instance for number, service in town.services.items()}
    town.run(200.0)
    registry = town.services[2].links.machine.registry
    assert registry.get_sample_value("netstack_ring_renewals_total", {"result": "done"}) >= 4
    assert registry.get_sample_value("netstack_ring_renewals_total", {"result": "failed"}) == 0
    left = registry.get_sample_value("netstack_ring_certificate_end_seconds") - town.simulation.epoch - town.simulation.now
    assert 0 < left < 61
    assert {number: service.links._instance for number, service in town.services.items()} == before
    assert sorted({town.services[2].peer.me, *town.services[2].peer.node.successors}) == contacts
    assert sum(service.counts.gone for service in town.services.values()) == 0


def test_a_node_keeps_its_key_and_its_certificate() -> None:
    town = Town(seconds=86400.0)
    for number in (1, 2):
        town.node(number, TOKENS[number - 1])
    town.run(8.0)
    me = town.services[2].peer.me
    town.simulation.hosts["node2"].kill()
    town.run(2.0)
    town.simulation.hosts["node2"].boot()
    town.run(8.0)
    assert town.services[2].peer.me == me
    assert town.services[2].placed
    registry = town.services[2].links.machine.registry
    assert registry.get_sample_value("netstack_ring_renewals_total", {"result": "done"}) == 0


def test_an_issuer_that_is_away_is_asked_again() -> None:
    town = Town()
    town.node(2, TOKENS[1])
    town.run(100.0)
    assert not town.services[2].placed
    failed = town.services[2].counts.renewals["failed"]
    assert 3 <= failed <= 8
    town.node(1, TOKENS[0])
    town.run(400.0)
    assert town.services[2].placed


def test_who_gets_none() -> None:
    town = Town()
    town.node(1, TOKENS[0])
    town.run(8.0)
    granted = town.ask(request(key(1)))
    assert granted.status == 201
    made = x509.load_pem_x509_certificates(granted.body)
    circle = Circle(32)
    assert Certified(circle, "ring", "hashed").ident(made[0]) >= 0
    made[0].verify_directly_issued_by(town.issuer.certificate)
    assert town.ask(request(key(1))).status == 201, "renewing is asking again"
    der = bytearray(request(key(1)))
    der[-1] ^= 1
    small = ec_key(SECP192R1())
    for body, changes, status, text in (
        (request(key(2)), {}, 403, "another key"),
        (request(key(1)), {"token": "a-token-that-nobody-has"}, 401, "token"),
        (request(key(1)), {"token": ""}, 401, "token"),
        (request(key(1)), {"media": "text/plain"}, 415, "application/pkcs10"),
        (bytes(der), {}, 422, "does not prove"),
        (b"no request", {}, 422, "no certification request"),
        (request(small), {"token": TOKENS[2]}, 422, "curves"),
        (bytes(20_000), {}, 413, "16384"),
        (request(key(1)), {"url": URL + "/other"}, 404, "/certificates"),
    ):
        found = town.ask(body, **changes)
        assert (found.status, text in found.body.decode()) == (status, True), (status, found.status, found.body)
    registry = town.simulation.machine(town.simulation.hosts["node1"]).registry
    counted = {
        sample.labels["reason"]: sample.value
        for family in registry.collect()
        if family.name == "netstack_ring_issuer_refusals"
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert counted["token"] == 2
    assert counted["key"] == 1


def test_a_token_stays_its_keys_over_a_restart() -> None:
    town = Town()
    town.node(1, TOKENS[0])
    town.run(8.0)
    assert town.ask(request(key(1))).status == 201
    town.simulation.hosts["node1"].power_off()
    town.simulation.hosts["node1"].boot()
    town.run(8.0)
    assert town.ask(request(key(2))).status == 403
    assert town.ask(request(key(1))).status == 201


def test_many_requests_are_refused() -> None:
    town = Town(rate=5.0)
    town.node(1, TOKENS[0])
    town.run(8.0)
    statuses = [town.ask(request(key(1))).status for _ in range(8)]
    assert statuses[:4] == [201] * 4
    assert statuses[-1] == 429
    town.run(60.0)
    assert town.ask(request(key(1))).status == 201


@pytest.mark.parametrize(
    ("text", "profile", "said"),
    [
        ("short", "hashed", "line 1: expected a token of at least 16 characters"),
        ("# all\na-token-that-is-long 5", "hashed", "line 2: expected a token alone"),
        ("a-token-that-is-long", "given", "line 1: expected a token and an identifier"),
        ("a-token-that-is-long five", "given", "line 1: expected a token and an identifier"),
    ],
)
def test_wrong_lines_of_tokens(text: str, profile: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_tokens(text, profile)


def test_the_uri_of_a_network() -> None:
    assert (uri("a b/c"), uri("ring", 5)) == ("ring://a%20b%2Fc/", "ring://ring/5")
