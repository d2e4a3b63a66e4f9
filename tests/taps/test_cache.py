"""The tap with real Options."""

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from netstack.cache.options import ProxyLimits, TunnelLimits
from netstack.cache.rules import Rules
from netstack.cache.store import StoreLimits
from netstack.http.transfer import UpstreamLimits
from netstack.kernel.real import real_machine
from netstack.taps.cache import Config, Options, build, named_rules
from netstack.taps.resolving import hosts_of, nameservers, server
from netstack.taps.standalone import endpoints


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


def test_the_defaults_are_safe() -> None:
    config = parsed().config()
    assert config == Config()
    assert config.allow == ("127.0.0.0/8", "::1/128")
    assert config.purge_key == ""


def test_every_kind_of_option_reaches_the_config(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef\n")
    config = parsed(
        "--listen=tcp:8080", "--origin=www.a.test,a.test=https://10.0.0.1", "--allow=10.0.0.0/8", "--ports=80", "--via=edge",
        "--forwarded=both", "--targets=CDN-Cache-Control", f"--purge-key={key}", "--heuristic=0", "--stale-if-error=60",
        "--share-cookies", "--ignore-requests", "--store-memory=1000000", "--upstream-per-host=3", "--max-waiting=0",
        "--no-access-log", "--upstream-http2", "--no-http2", "--connect-seconds=3",
        "--reach=127.0.0.0/8", "--reach=10.0.0.0/8", "--deny=bad.test", "--tunnel-to=a.test", "--tunnel-ports=443,8443",
        "--max-tunnels=7",
    ).config()  # fmt: skip
    assert (config.listen, config.sites, config.allow, config.ports) == (
        ("tcp:8080",), ("www.a.test,a.test=https://10.0.0.1",), ("10.0.0.0/8",), "80",
    )  # fmt: skip
    assert config.rules == Rules(heuristic=0, stale_if_error_seconds=60, share_cookies=True, obey_requests=False)
    assert config.proxy == ProxyLimits(waiting=0)
    assert config.store == StoreLimits(memory=1_000_000)
    assert config.upstream == UpstreamLimits(per_host=3)
    assert config.dial.connect_seconds == 3
    assert (config.reach, config.denied) == (("127.0.0.0/8", "10.0.0.0/8"), ("bad.test",))
    assert (config.tunnel_names, config.tunnel_ports) == (("a.test",), "443,8443")
    assert config.tunnels == TunnelLimits(tunnels=7)
    assert config.purge_key == "0123456789abcdef"
    assert (config.http2, config.upstream_http2, config.access_log) == (False, True, False)


def test_the_name_tells_caches_of_one_machine_apart(tmp_path: Path) -> None:
    machine = real_machine("localhost", state_directory=tmp_path)
    bound = endpoints("listen", ("tcp:3128",))
    config = Config(targets=("CDN-Cache-Control",))
    assert named_rules(config, machine, list(bound)) == Rules(name="localhost:3128", targets=("cdn-cache-control",))
    machine.name = "cache.someschool.edu"
    assert named_rules(config, machine, list(bound)).name == "cache.someschool.edu"
    assert named_rules(Config(name="edge"), machine, list(bound)).name == "edge"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen=udp:3128"], "listen: udp:3128 is a datagram endpoint"),
        (["--allow=everybody"], "allow: expected networks"),
        (["--ports=web"], "ports: 'web' is not a port"),
        (["--origin=www.a.test"], "sites: 'www.a.test' is not NAME"),
        (["--origin=A.test=http://b"], "sites: 'A.test' is not a host's name"),
        (["--origin=a.test=ftp://b"], "sites: 'ftp://b' is not an origin"),
        (["--no-forward"], "forward: a cache that is no forward proxy"),
        (["--forwarded=all"], "forwarded: 'all' is none of"),
        (["--via=a b"], "name: 'a b' has characters"),
        (["--purge-key=/nowhere"], "--purge-key /nowhere"),
        (["--ready-octets=0"], "ready-octets: expected a number above 0"),
        (["--store-memory=0"], "memory: expected a number above 0"),
        (["--resolver=dns.test"], "--resolver 'dns.test' is not ADDRESS"),
        (["--workers=2"], "workers"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parsed(*arguments)


def test_a_service_is_built_and_listens_nowhere_yet(tmp_path: Path) -> None:
    machine = real_machine("test", state_directory=tmp_path)
    service = build(Config(), machine)
    assert service.running == 0
    assert machine.registry.get_sample_value("netstack_cache_objects") == 0


def test_the_names_of_the_system() -> None:
    assert hosts_of("127.0.0.1 localhost a.Test # b.test\n::1 localhost\nnonsense x\n") == {
        "localhost": ["127.0.0.1", "::1"],
        "a.test": ["127.0.0.1"],
    }
    given = [
        "# x",
        "nameserver 10.0.0.1",
        "options y",
        "nameserver z",
        *(f"nameserver {it}" for it in ("::1", "10.0.0.2", "10.0.0.3")),
    ]
    assert nameservers("\n".join(given)) == ["10.0.0.1", "::1", "10.0.0.2"]
    assert [server(each) for each in ("10.0.0.1", "10.0.0.1:5353", "::1", "[::1]:5353")] == [
        ("10.0.0.1", 53), ("10.0.0.1", 5353), ("::1", 53), ("::1", 5353),
    ]  # fmt: skip
