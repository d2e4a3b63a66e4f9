"""RDAP look-ups by whoisit, a client that other people wrote: found by a bootstrap registry (RFC 9224), and missed."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.addresses import own_address
from tests.interop.programs import need_library
from tests.processes import running, twistd
from tests.registrar.killed import KEY, OFFSET, ZONE

whoisit = need_library("whoisit")
pytestmark = pytest.mark.slow

DIGEST = "ab" * 32
WISH = {
    "name": "bücher.com",
    "servers": [{"name": "dns1.bücher.com", "addresses": ["192.0.2.1", "2001:db8::1"]}, "ns.elsewhere.test"],
    "ds": [f"12345 13 2 {DIGEST}"],
    "registrant": "Alice",
    "secret": "a secret of hers",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A registry, a registrar with one domain, and whoisit's bootstrap registry, which names it for com."""
    directory: Path = tmp_path_factory.mktemp("registrar")
    registry, registrar = own_address(), own_address()
    (directory / "keys").write_text(KEY)
    (directory / "zone").write_text(ZONE)
    common = (f"--port-offset={OFFSET}", f"--tsig={directory}/keys")
    tld = twistd(
        "netstack-dns", *common, f"--address={registry}", f"--zone=com={directory}/zone", f"--state={directory}/tld",
        "--update=com=registrar delegations",
    )  # fmt: skip
    command = twistd(
        "netstack-registrar", *common, f"--address={registrar}", f"--registry=com={registry}%registrar", "--plain",
        f"--state={directory}/state", "--no-access-log",
    )  # fmt: skip
    with running(*tld, ready="on tcp:"), running(*command, ready="registers domains below"):
        client = http.client.HTTPConnection(registrar, 80 + OFFSET, timeout=20)
        client.request("POST", "/api/domains", json.dumps(WISH), {"Content-Type": "application/json"})
        answer = client.getresponse()
        assert answer.status == 201, answer.read()
        client.close()
        here = [f"http://{registrar}:{80 + OFFSET}/rdap/"]
        keys = {"asn": "1-2", "dns": "com", "ipv4": "192.0.2.0/24", "ipv6": "2001:db8::/32"}
        services = {kind: {"services": [[[key], here]]} for kind, key in keys.items()}
        services["object"] = {"services": [[["nobody@example.com"], ["X"], here]]}
        whoisit.load_bootstrap_data(json.dumps(services | {"timestamp": 1_700_000_000}), allow_insecure=True)
        try:
            yield
        finally:
            whoisit.clear_bootstrapping()


@pytest.mark.parametrize("name", ["xn--bcher-kva.com", "XN--BCHER-KVA.com", "bücher.com"])
def test_a_domain(service: None, name: str) -> None:
    found = whoisit.domain(name)
    assert (found["type"], found["handle"], found["name"]) == ("domain", "XN--BCHER-KVA.COM", "xn--bcher-kva.com")
    assert found["unicode_name"].lower() == "bücher.com"
    assert [server.lower() for server in found["nameservers"]] == ["dns1.xn--bcher-kva.com", "ns.elsewhere.test"]
    assert set(next(iter(found["nameserver_ips"].values()))) == {"192.0.2.1", "2001:db8::1"}
    assert found["status"] == ["active"]
    assert found["dnssec"] is True
    assert [(each["key_tag"], each["digest"].lower()) for each in found["dnssec_ds_data"]] == [(12345, DIGEST)]
    assert (found["expiration_date"] - found["registration_date"]).days == 365
    assert "Alice" not in str(found)


def test_a_domain_that_nobody_has(service: None) -> None:
    with pytest.raises(whoisit.errors.ResourceDoesNotExist):
        whoisit.domain("nobody.com")
