"""Commands about zones and caches: files checked, zones dumped, reloaded and frozen, caches looked at and emptied."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import dns.name
import pytest

from netstack.dns.store import ZoneStore
from netstack.dns.zone import Zone
from netstack.kernel.disk import RealDisk
from tests.addresses import own_address
from tests.cli.world import as_json, netstack, up_in
from tests.processes import ROOT, running, twistd

pytestmark = pytest.mark.xdist_group("names")
ZONE = "$TTL 2d\n@ SOA ns h 1 2h 1h 2w 1h\n@ NS ns\nns A 10.0.0.1\n"


@pytest.mark.parametrize(
    ("text", "code", "written"),
    [
        (ZONE, 0, "zone foo.com: serial 1, 2 names\n"),
        (ZONE + "@ MX 5 mail\n", 3, "zone: warning: foo.com MX names mail.foo.com, which does not exist\n"),
        (ZONE + "ns 7 A 10.0.0.2\n", 3, "zone:5: warning: ns.foo.com A: TTL 7 is not that of the RRset, which is 172800\n"),
        (
            ZONE + "bad A x\nworse Q x\n",
            1,
            "zone:5: error: A: Text input is malformed.\nzone:6: error: unknown record type 'Q'\n",
        ),
        ("", 1, "zone: error: zone foo.com: expected a SOA record at the origin\n"),
    ],
)
def test_zone_check(tmp_path: Path, text: str, code: int, written: str) -> None:
    (tmp_path / "zone").write_text(text)
    done = netstack("zone", "check", "foo.com", str(tmp_path / "zone"))
    assert (done.returncode, done.stdout.startswith(written), done.stderr) == (code, True, ""), done.stdout


def test_zone_check_as_json(tmp_path: Path) -> None:
    (tmp_path / "zone").write_text(ZONE + "bad A x\n")
    done = netstack("zone", "check", "foo.com", str(tmp_path / "zone"), "--json")
    assert json.loads(done.stdout)["remarks"] == [
        {"file": "zone", "line": 5, "severity": "error", "text": "A: Text input is malformed."}
    ]
    assert netstack("zone", "check", "foo.com", str(tmp_path / "nowhere")).returncode == 1


def test_zone_dump_from_a_state_directory(tmp_path: Path) -> None:
    zone = Zone.from_text("foo.com", ZONE)
    ZoneStore(RealDisk(tmp_path), dns.name.from_text("foo.com")).write(zone)
    done = netstack("zone", "dump", "--state", str(tmp_path), "foo.com", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert netstack("zone", "check", "foo.com", str(tmp_path / "out")).returncode == 0
    assert "ns.foo.com. 172800 IN A 10.0.0.1" in (tmp_path / "out").read_text().splitlines()
    for wrong, said in (("nowhere.com", "keeps no zone nowhere.com"), ("a..b", "not a domain name")):
        done = netstack("zone", "dump", "--state", str(tmp_path), wrong)
        assert done.returncode != 0
        assert said in done.stderr


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with up_in(tmp_path_factory.mktemp("names"), "small", "names"):
        yield "names"


def test_zones_and_caches_of_a_world(up: str, tmp_path: Path) -> None:
    hosts = as_json("status")["hosts"]
    serving = {name: as_json("inspect", name) for name in hosts}
    server, zones = next(
        (name, host["zones"]) for name, host in serving.items() if host["zones"] and "." not in host["zones"]
    )
    zone = zones[0]
    dumped = tmp_path / "dumped"
    assert netstack("zone", "dump", server, zone, "-o", str(dumped)).returncode == 0
    assert netstack("zone", "check", zone, str(dumped)).returncode in (0, 3)
    records = as_json("zone", "dump", server, zone)
    assert records == dumped.read_text().splitlines()
    done = netstack("zone", "dump", server, "nowhere.test")
    assert done.returncode == 2
    assert f"{server} does not serve nowhere.test; it serves" in done.stderr
    resolver = next(host["resolver"] for host in serving.values() if host["resolver"])
    assert netstack("zone", "dump", resolver, zone).returncode == 2

    name = next(line.split()[0] for line in records if " IN A " in line)
    assert as_json("resolve", name)["rcode"] == "NOERROR"
    entries = as_json("cache", "dump", resolver)
    assert f"{name} A" in {f"{entry['name']} {entry['type']}" for entry in entries}
    assert f"\n{name} " in netstack("cache", "dump", resolver).stdout
    assert as_json("flush", resolver, name)["forgotten"] == 1
    assert f"{name} A" not in {f"{entry['name']} {entry['type']}" for entry in as_json("cache", "dump", resolver)}
    assert as_json("flush", resolver, ".", "--tree")["forgotten"] > 0
    assert as_json("cache", "dump", resolver) == []
    assert as_json("flush", resolver) == {"flushed": 1}
    assert netstack("flush", resolver, "--tree").returncode == 2
    assert netstack("flush", resolver, "a..b").returncode == 2
    refused = netstack("cache", "dump", server, "-o", str(dumped))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert records == dumped.read_text().splitlines(), "a file is not touched by what is refused"
    refused = netstack("flush", server)
    assert (refused.returncode, refused.stderr) == (2, f"netstack: {server} has no cache\n")

    address = next(line.split()[-1] for line in records if line.startswith(f"{name} ") and " IN A " in line)
    turned = ".".join(reversed(address.split("."))) + ".in-addr.arpa PTR: NXDOMAIN"
    assert turned in netstack("resolve", address).stdout, "this world has no reverse zone"

    done = netstack("zone", "freeze", server, zone)
    assert (done.returncode, "takes no updates" in done.stderr) == (1, True)
    done = netstack("reload", server, "nowhere.test")
    assert (done.returncode, "expected a zone that this server has from a file" in done.stdout) == (1, True)


def test_a_changed_world_file_is_served_after_a_reload(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("again")
    file = root / "mine.toml"
    text = (ROOT / "deploy/worlds/small.toml").read_text()
    file.write_text(text)
    with up_in(root, str(file), "again"):
        assert netstack("resolve", "new.umass.edu", "TXT").returncode == 1
        host = next(name for name in as_json("status")["hosts"] if "umass.edu" in as_json("inspect", name)["zones"])
        assert as_json("reload", host)["zones"][0]["result"] == "unchanged"
        umass = '"umass.edu" = { site = "umass" }'
        assert umass in text
        file.write_text(text.replace(umass, umass[:-2] + ', records = "new TXT hello\\n" }'))
        done = netstack("reload", host, "umass.edu")
        assert (done.returncode, done.stdout) == (0, "umass.edu: loaded, serial 2\n"), done.stderr
        assert as_json("resolve", "new.umass.edu", "TXT", "--cold")["answer"][0].endswith('TXT "hello"')
        file.write_text(text.replace(umass, umass[:-2] + ', records = "new TXT\\n" }'))
        done = netstack("reload", host)
        assert (done.returncode, "umass.edu: not loaded, serial 2: " in done.stdout) == (1, True), done.stdout
        file.write_text(text.replace('"apricot.nyu.edu" = {}', ""))
        assert "has other hosts or zones than the world that is up" in netstack("reload", host).stdout


def test_a_resolver_alone_writes_its_cache_at_a_signal(tmp_path: Path) -> None:
    address = own_address()
    arguments = ("netstack-resolver", "--hint=a.root=127.0.0.1", f"--address={address}", "--port-offset=24000")
    with running(*twistd(*arguments, f"--state={tmp_path}"), ready="resolves names on tcp") as started:
        started.process.send_signal(signal.SIGUSR1)
        started.wait_for("0 entries of the cache are in cache.dump")
    assert (tmp_path / "cache.dump").read_text().startswith("; Cache dump")
