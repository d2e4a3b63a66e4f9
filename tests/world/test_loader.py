"""World files: what they mean, and what the errors of bad ones say."""

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.world import compose, zones
from netstack.world.loader import find, known, load, parse
from netstack.world.model import FREE
from netstack.world.problems import WorldError
from tests.processes import ROOT

GOOD = """
[sites]
core = { resolver = false }
nyu = { resolver = "dns.nyu.edu", rate = "1.5 Mbit/s", delay = "20 ms", up = { rate = 64000, loss = "1 %" } }

[zones]
"." = { site = "core", servers = ["a.root-servers.net"] }
"nyu.edu" = { site = "nyu" }

[hosts]
"cse.nyu.edu" = {}
"www.nyu.edu" = { aliases = "web.nyu.edu", addresses = 2, services = { origin = {} } }
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def read(text: str) -> Any:
    return parse(tomllib.loads(text), "bad.toml")


def test_defaults_are_derived() -> None:
    world = read(GOOD)
    assert list(world.hosts) == ["cse.nyu.edu", "www.nyu.edu", "a.root-servers.net", "dns.nyu.edu"]
    server = world.hosts["dns.nyu.edu"]
    assert server.derived
    assert [service.plugin for service in server.services] == ["dns", "resolver"]
    assert world.hosts["cse.nyu.edu"].site == "nyu"
    assert world.resolver_of("cse.nyu.edu") == "dns.nyu.edu"
    assert world.resolver_of("a.root-servers.net") is None
    assert world.hosts["www.nyu.edu"].aliases == ("web.nyu.edu",)
    site = world.sites["nyu"]
    assert (site.up.rate_bps, site.up.delay, site.up.loss) == (64_000, 0.02, 0.01)
    assert (site.down.rate_bps, site.down.delay, site.down.loss) == (1_500_000, 0.02, 0)
    assert site.lan == FREE


def test_a_web_cache_of_a_site_is_derived() -> None:
    world = read(changed("nyu = {", 'nyu = { proxy = "cache.nyu.edu",'))
    assert [service.plugin for service in world.hosts["cache.nyu.edu"].services] == ["cache"]
    assert world.proxy_of("cse.nyu.edu") == "cache.nyu.edu"
    assert world.proxy_of("cache.nyu.edu") is None
    assert world.proxy_of("a.root-servers.net") is None
    assert compose.proxy_of(world, "cse.nyu.edu") == ("cache.nyu.edu", 3128)
    assert compose.problems(world) == []


@pytest.mark.parametrize("options", ['listen = ["tls:443"]', 'forward = false, sites = ["www.nyu.edu=http://www.nyu.edu"]'])
def test_a_site_needs_a_web_cache_that_programs_can_ask(options: str) -> None:
    host = f'[hosts]\n"cache.nyu.edu" = {{ services = {{ cache = {{ {options} }} }} }}'
    text = changed("nyu = {", 'nyu = { proxy = "cache.nyu.edu",').replace("[hosts]", host)
    (problem,) = compose.problems(read(text))
    assert problem.key == "sites.nyu.proxy"
    assert "expected one that is" in problem.text


BAD = [
    (changed('"cse.nyu.edu" = {}', '"cse.nyu.edu" = { site = "nyuu" }'), 'hosts."cse.nyu.edu".site', "core or nyu"),
    (
        changed('"cse.nyu.edu" = {}', '"cse.nyu.edu" = { adresses = 2 }'),
        'hosts."cse.nyu.edu".adresses',
        "expected site, addre",
    ),
    (changed('"cse.nyu.edu" = {}', '"cse.nyu.edu" = 7'), 'hosts."cse.nyu.edu"', "7 is not a table"),
    (changed("addresses = 2", "addresses = 0"), 'hosts."www.nyu.edu".addresses', "expected 1 to 16"),
    (changed("addresses = 2", "addresses = true"), 'hosts."www.nyu.edu".addresses', "True is not a whole number"),
    (changed("addresses = 2", 'addresses = "2"'), 'hosts."www.nyu.edu".addresses', "'2' is not a whole number"),
    (changed("addresses = 2", "ttl = -1"), 'hosts."www.nyu.edu".ttl', "expected 0 to 2147483647 seconds"),
    (
        changed("origin = {}", "orgin = {}"),
        'hosts."www.nyu.edu".services.orgin',
        "expected dns, resolver, origin, cache, smtp, registrar, ring or upper",
    ),
    (changed("origin = {}", "origin = 80"), 'hosts."www.nyu.edu".services.origin', "80 is not a table"),
    (changed('"web.nyu.edu"', '"cse.nyu.edu"'), 'hosts."www.nyu.edu".aliases', "is a host of its own"),
    (changed('"web.nyu.edu"', '"WEB.nyu.edu"'), 'hosts."www.nyu.edu".aliases', "'WEB.nyu.edu' is not a host's name"),
    (changed('"web.nyu.edu"', '["a.nyu.edu", 3]'), 'hosts."www.nyu.edu".aliases', "is not a list of names"),
    (changed('"cse.nyu.edu"', '"cse.nyu.edu."'), 'hosts."cse.nyu.edu."', "no dot at the end"),
    (
        changed('"cse.nyu.edu" = {}', '"cis.poly.edu" = { site = "nyu" }'),
        'hosts."cis.poly.edu"',
        'zones."poly.edu" or zones.edu',
    ),
    (
        changed('"cse.nyu.edu" = {}', '"cis.poly.edu" = {}'),
        'hosts."cis.poly.edu".site',
        "missing; expected the name of a site",
    ),
    (changed('"1.5 Mbit/s"', '"fast"'), "sites.nyu.rate", "'fast' is not a rate; expected bits per second"),
    (changed('"1.5 Mbit/s"', "0"), "sites.nyu.rate", "0 is not a rate"),
    (changed('"20 ms"', "-0.02"), "sites.nyu.delay", "-0.02 is not a time; expected seconds"),
    (changed('"20 ms"', "nan"), "sites.nyu.delay", "nan is not a time"),
    (changed('"1 %"', "2"), "sites.nyu.up.loss", "expected a probability from 0 to 1"),
    (changed('loss = "1 %"', "los = 1"), "sites.nyu.up.los", "unknown key; expected rate, delay, loss or queue"),
    (changed('loss = "1 %"', "queue = 0"), "sites.nyu.up.queue", "expected at least 1 octet"),
    (changed('"dns.nyu.edu"', '"dns nyu"'), "sites.nyu.resolver", "'dns nyu' is not a host's name"),
    (changed('resolver = "dns.nyu.edu"', 'proxy = "Cache"'), "sites.nyu.proxy", "'Cache' is not a host's name"),
    (changed("nyu = {", "NYU = {"), "sites.NYU", "expected at most 32 of a-z, 0-9 and -"),
    (changed('"." =', '"edu" ='), 'zones."."', "missing; expected the root zone"),
    (changed('["a.root-servers.net"]', "[]"), 'zones.".".servers', "no server"),
    (
        changed('{ site = "core", servers', "{ servers"),
        'zones.".".servers',
        'expected [hosts."a.root-servers.net"] or a site',
    ),
    (
        changed('"nyu.edu" = { site = "nyu" }', '"nyu.edu" = { site = "moon" }'),
        'zones."nyu.edu".site',
        "unknown site 'moon'",
    ),
    (changed('"nyu.edu" = {', '"nyu.edu" = { ttl = 3000000000,'), 'zones."nyu.edu".ttl', "out of range"),
    (changed('"nyu.edu" = {', '"nyu.edu" = { records = 5,'), 'zones."nyu.edu".records', "5 is not text"),
    (changed("[sites]", 'profile = "lax"\n[sites]'), "profile", "expected textbook or hardened"),
    (changed("[sites]", 'seed = "x"\n[sites]'), "seed", "'x' is not a whole number"),
    (changed("[sites]", 'name = "a b"\n[sites]'), "name", "expected letters, digits, - and _"),
    (changed("[sites]", "colour = 1\n[sites]"), "colour", "unknown key; expected base, name, title"),
    ("", "sites", "missing; expected at least one site"),
    ("sites = 1\n", "sites", "1 is not a table"),
]


@pytest.mark.parametrize(("text", "key", "expected"), BAD)
def test_errors_name_file_key_and_expectation(text: str, key: str, expected: str) -> None:
    with pytest.raises(WorldError) as raised:
        read(text)
    line = next(line for line in str(raised.value).splitlines() if line.startswith(f"bad.toml: {key}: "))
    assert expected in line


def test_all_errors_at_once() -> None:
    text = changed("addresses = 2", "addresses = 99").replace("origin = {}", "orgin = {}")
    with pytest.raises(WorldError) as raised:
        read(text)
    assert [problem.key for problem in raised.value.problems] == [
        'hosts."www.nyu.edu".addresses',
        'hosts."www.nyu.edu".services.orgin',
    ]


def test_options_of_services_are_checked_by_their_configs() -> None:
    world = read(
        changed("origin = {}", 'origin = { sever = "x", access-log = 3, listen = ["udp:80"], http = { head = "big" } }')
    )
    texts = [str(problem) for problem in compose.problems(world)]
    key = 'hosts."www.nyu.edu".services.origin'
    assert any(text.startswith(f"{key}.sever: unknown option; expected content, listen") for text in texts)
    assert f"{key}.access_log: 3 is not true or false" in texts
    assert f"{key}.http.head: 'big' is not a whole number" in texts
    world = read(changed("origin = {}", 'origin = { listen = ["udp:80"] }'))
    (problem,) = compose.problems(world)
    assert problem.key == key
    assert "tcp or tls was expected" in problem.text
    (problem,) = compose.problems(read(changed("origin = {}", 'origin = { content = "news" }')))
    assert problem.key == f"{key}.content"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ('content = ["news"]', "content"), ("content = {}", "content"), ("listen = [1]", "listen"),
        ('listen = "tcp:80"', "listen"), ("listen = [[]]", "listen"), ("index = [1]", "index"),
        ("http = 1", "http"), ("http = { head = [] }", "http.head"), ("shop = { visitors = 0 }", "shop"),
        ("database = { octets = -1 }", "database"), ("mount = { a = 1 }", "mount"),
    ],
)  # fmt: skip
def test_options_of_another_type_are_a_problem(options: str, key: str) -> None:
    (problem,) = compose.problems(read(changed("origin = {}", f"origin = {{ {options} }}")))
    assert problem.key.endswith(f".services.origin.{key}")


def test_records_of_zones_are_checked() -> None:
    world = read(changed('"nyu.edu" = {', '"nyu.edu" = { records = "www MX ten mail",'))
    (problem,) = zones.problems(world)
    assert str(problem).endswith('zones."nyu.edu".records: line 1: MX: expecting an integer')
    world = read(changed('"nyu.edu" = {', '"nyu.edu" = { records = "a A 10.0.0.1\\nb A 10.0\\nc MX ten mail",'))
    assert [problem.text.partition(":")[0] for problem in zones.problems(world)] == ["line 2", "line 3"]


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    own = tmp_path / "config" / "netstack" / "worlds"
    own.mkdir(parents=True)
    (own / "mine.toml").write_text('base = "small"\n[hosts]\n"kiwi.nyu.edu" = {}\n"apricot.nyu.edu" = false\n')
    world = load("mine")
    assert world.name == "mine"
    assert "kiwi.nyu.edu" in world.hosts
    assert "apricot.nyu.edu" not in world.hosts
    assert {"mine", "small", "textbook", "intermediate"} <= set(known())
    assert find(own / "mine.toml") == own / "mine.toml"

    for name, text, expected in [
        ("loop", 'base = "loop"\n', "base: loop leads back here"),
        ("nobase", 'base = "nowhere"\n', "base: nowhere: there is no such world; expected a file or"),
        ("number", "base = 1\n", "base: 1 is not text"),
        ("syntax", "[sites\n", "not TOML: "),
    ]:
        file = own / f"{name}.toml"
        file.write_text(text)
        with pytest.raises(WorldError) as raised:
            load(file)
        assert str(raised.value).startswith(f"{file}: {expected}")
    (own / "latin.toml").write_bytes(b'title = "caf\xe9"\n')
    with pytest.raises(WorldError, match="not UTF-8: octet 12"):
        load("latin")
    with pytest.raises(WorldError, match=r"nosuch: there is no such world; expected a file or .*small"):
        load("nosuch")
    with pytest.raises(WorldError, match="there is no such file"):
        load(tmp_path / "no.toml")


@pytest.mark.parametrize("name", ["textbook", "intermediate", "recursive", "small"])
def test_shipped_worlds(name: str) -> None:
    world = load(name)
    assert world.name == name
    assert zones.problems(world) == []
    assert compose.problems(world) == []
    assert len(world.hosts) == {"textbook": 66, "intermediate": 67, "recursive": 66, "small": 8}[name]


@pytest.mark.parametrize("base", ["../nowhere", "a/b", "/nowhere", ".", "..", "", "\\u0000", "x" * 300])
def test_a_base_that_is_not_there(base: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'base = "{base}"')
    with pytest.raises(WorldError, match=r"base: .*there is no such"):
        load(tmp_path / "mine.toml")


def test_a_base_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "lower.toml").write_text(GOOD)
    (tmp_path / "below" / "mine.toml").write_text('base = "../lower"')
    assert load(tmp_path / "below" / "mine.toml").hosts.keys() == load(tmp_path / "lower.toml").hosts.keys()


def test_brackets_without_end(tmp_path: Path) -> None:
    (tmp_path / "deep.toml").write_text("sites = " + "[" * 20_000)
    with pytest.raises(WorldError, match="brackets"):
        load(tmp_path / "deep.toml")


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
tables = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("sites", "hosts", "zones", "name", "seed", "profile"), tables)))
def test_any_table_is_a_world_or_a_world_error(table: dict[str, Any]) -> None:
    with pytest.raises(WorldError):
        parse(table)


@given(st.sampled_from(["hosts", "sites", "zones"]), st.text(max_size=6), tables)
def test_a_bad_value_anywhere_is_a_world_error_at_most(section: str, key: str, value: Any) -> None:
    table = tomllib.loads(GOOD)
    for entry in table[section].values():
        if isinstance(entry, dict):
            entry[key] = value
    with suppress(WorldError):
        assert parse(table).hosts


def test_the_world_of_the_readme(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (tmp_path / "mine.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    (tmp_path / "pages").mkdir()
    world = load(str(tmp_path / "mine.toml"))
    assert [*compose.problems(world), *zones.problems(world)] == []
    assert world.resolver_of("laptop.myschool.org") == "resolver.home.test"
