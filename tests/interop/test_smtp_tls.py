"""What a hardened world says of its mail servers, judged by OpenSSL (DANE) and curl (MTA-STS)."""

import subprocess
from collections.abc import Iterator

import pytest

from netstack.smtp.mta_sts import NoPolicy, parse_policy
from netstack.world import loader
from netstack.world.session import Session, open_session
from tests.interop.programs import need

HOST, DOMAIN = "mail.hamburger.edu", "hamburger.edu"


@pytest.fixture(scope="module")
def internet() -> Iterator[Session]:
    with open_session(loader.extended("textbook", {"profile": "hardened"}, "hard"), "loopback", 3) as session:
        yield session


def finger(internet: Session, record: str, *options: str) -> subprocess.CompletedProcess[str]:
    """OpenSSL says STARTTLS to bob's server, and believes nobody but the TLSA record."""
    port = internet.running.port_offset + 25
    return subprocess.run(
        [need("openssl"), "s_client", "-connect", f"{internet.address(HOST)}:{port}", "-starttls", "smtp", "-brief",
         "-verify_return_error", "-no-CAfile", "-no-CApath", "-no-CAstore", "-dane_tlsa_domain", HOST,
         "-dane_tlsa_rrdata", record, *options],
        input="", capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_openssl_finds_the_server_that_its_tlsa_record_names(internet: Session) -> None:
    [record] = internet.resolve(f"_25._tcp.{HOST}", "TLSA", "alice.crepes.fr").records
    assert record.startswith("2 1 1 ")
    right = finger(internet, record)
    assert right.returncode == 0, right.stderr
    assert "Verification: OK" in right.stderr
    assert "DANE TLSA 2 1 1" in right.stderr
    assert finger(internet, f"2 1 1 {'00' * 32}").returncode != 0
    assert finger(internet, record, "-dane_tlsa_domain", "mail.evil.test").returncode != 0


def test_curl_gets_the_policy(internet: Session) -> None:
    [record] = internet.resolve(f"_mta-sts.{DOMAIN}", "TXT", "alice.crepes.fr").records
    assert record.startswith('"v=STSv1; id=')
    name, port = f"mta-sts.{DOMAIN}", internet.running.port_offset + 443
    fetched = subprocess.run(
        [need("curl"), "-sS", "--fail", "--cacert", str(internet.running.ca), "--connect-to",
         f"{name}:443:{internet.address(name)}:{port}", f"https://{name}/.well-known/mta-sts.txt"],
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    policy = parse_policy(fetched.stdout.decode())
    assert (policy.mode, policy.patterns) == ("enforce", (HOST,))
    assert fetched.stdout.endswith(b"\r\n")
    with pytest.raises(NoPolicy):
        parse_policy(fetched.stdout.decode().replace("STSv1", "STSv2"))
