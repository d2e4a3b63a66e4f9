"""netstack-registrar's options: what they become, and what is said of wrong ones."""

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from netstack.taps.registrar import Options

KEY = 'key "registrar" { algorithm hmac-sha256; secret "c2VjcmV0IHNlY3JldCBzZWNyZXQ="; };\n'


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_text(KEY)
    return f"--tsig={tmp_path}/key"


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(arguments)
    return options


def test_options_become_a_configuration(key: str) -> None:
    config = parsed(
        key, "--registry=com=192.0.2.1:5353%registrar", "--registry=co.uk=[2001:db8::1]:53%Registrar", "--listen=tcp:8080",
        "--answer-to=registrar.test", "--reserved=nic,mine", "--least-servers=1", "--most-ds=2", "--wrong-secrets=3",
        "--patience=0.5", "--max-body=1000", "--bodies=2000", "--ttl=300", "--plain",
    ).config()  # fmt: skip
    assert config.registries == (("com", "192.0.2.1:5353%registrar"), ("co.uk", "[2001:db8::1]:53%Registrar"))
    assert (config.listen, config.names, config.reserved) == (("tcp:8080",), ("registrar.test",), ("nic", "mine"))
    assert (config.least_servers, config.policy.most_ds, config.ttl, config.plain) == (1, 2, 300, True)
    assert (config.limits.wrong_secrets, config.limits.patience) == (3, 0.5)
    assert (config.http.body, config.application.bodies) == (1000, 2000)
    assert "c2Vj" not in repr(config)
    assert "secret" not in repr(config.keys).lower()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "registries: expected at least one"),
        (("--registry=com",), r"com: '': expected ADDRESS"),
        (("--registry=com=192.0.2.1",), "one of the keys"),
        (("--registry=com=192.0.2.1%other",), "one of the keys"),
        (("--registry=Com=192.0.2.1%registrar",), "lower case"),
        (("--registry=c_m=192.0.2.1%registrar",), "1123"),
        (("--registry=com=192.0.2.1%registrar", "--registry=com=192.0.2.2%registrar"), "once"),
        (("--registry=com=192.0.2.1%registrar", "--listen=udp:80"), "datagram"),
        (("--registry=com=192.0.2.1%registrar", "--listen=tls:443"), "certificate"),
        (("--registry=com=192.0.2.1%registrar", "--answer-to=A.test"), "names"),
        (("--registry=com=192.0.2.1%registrar", "--least-servers=14"), "least_servers"),
        (("--registry=com=192.0.2.1%registrar", "--most-years=0"), "most_years"),
        (("--registry=com=192.0.2.1%registrar", "--domains=0"), "domains"),
        (("--registry=com=192.0.2.1%registrar", "--answers=0"), "answers"),
        (("--registry=com=192.0.2.1%registrar", "--ttl=-1"), "ttl"),
        (("--registry=com=192.0.2.1%registrar", "--max-body=-1"), "body"),
        (("--tsig=/nowhere",), "nowhere"),
    ],
)
def test_wrong_options_are_told(key: str, arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parsed(key, *arguments)
