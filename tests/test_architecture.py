"""The rules of the architecture that no linter knows: rooms, sizes, names, plugins, metrics, manners of tests."""

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric
from twisted.application.service import ServiceMaker

from netstack.kernel.machine import Machine
from netstack.kernel.real import real_machine

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "netstack").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PLUGINS = sorted((ROOT / "twisted" / "plugins").glob("netstack_*.py"))
PURE_ROOMS = ("wire", "events", "engine")
SAYS_NOTHING = ("utils", "util", "common", "helpers", "helper", "manager", "managers", "base", "misc")
LONGEST = 600
METRIC = re.compile(r"netstack_[a-z]+(_[a-z0-9]+)+")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# Files


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=name)
def test_files_are_short_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST, "split it by what its parts are about"


def test_names_say_what_is_inside() -> None:
    named = {part for path in [*MODULES, *TESTS] for part in path.relative_to(ROOT).with_suffix("").parts}
    assert named & set(SAYS_NOTHING) == set()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is(path: Path) -> None:
    source = path.read_text()
    assert not source.strip() or ast.get_docstring(ast.parse(source)), "a module begins with its contract"


def test_twisted_stays_a_namespace_package() -> None:
    assert not (ROOT / "twisted" / "__init__.py").exists()
    assert not (ROOT / "twisted" / "plugins" / "__init__.py").exists()


# Rooms


def pure_modules() -> Iterator[str]:
    """Every `wire`, `events` and `engine` of a house, as file or as folder, with all that is in it."""
    for path in MODULES:
        parts = dotted(path).split(".")
        if len(parts) > 2 and parts[2] in PURE_ROOMS:
            yield ".".join(parts)


def test_the_linter_knows_every_pure_room() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["importlinter:contract:pure"]["source_modules"].split()
    patterns = [re.compile(re.escape(each).replace(r"\*", r"[^.]+") + r"(\..*)?") for each in listed]
    assert list(pure_modules())
    assert [each for each in pure_modules() if not any(pattern.fullmatch(each) for pattern in patterns)] == []


def test_the_linter_looks_at_what_exists() -> None:
    """A contract over a module that is gone, or renamed, would hold by itself."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    there = {dotted(path) for path in MODULES}
    listed = [each for each in config["importlinter:contract:pure"]["source_modules"].split() if "*" not in each]
    assert [each for each in listed if each not in there] == []


# Plugins and taps


@pytest.mark.parametrize("path", PLUGINS, ids=name)
def test_a_plugin_only_names_its_tap(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 10
    module = importlib.util.spec_from_file_location(path.stem, path)
    assert module is not None
    assert module.loader is not None
    loaded = importlib.util.module_from_spec(module)
    module.loader.exec_module(loaded)
    makers = [each for each in vars(loaded).values() if isinstance(each, ServiceMaker)]
    assert len(makers) == 1
    (maker,) = makers
    assert maker.tapname == path.stem.replace("_", "-"), (
        "a plugin's name begins with netstack-, so as not to shadow Twisted's"
    )
    tap = importlib.import_module(maker.module)
    assert {"Options", "makeService"} <= set(vars(tap))


def upper() -> Any:
    from netstack.taps.upper import Config

    return Config()


def dns() -> Any:
    from netstack.dns import ZoneText
    from netstack.taps.dns import Config

    zone = "$TTL 60\n@ SOA ns.example. root.example. 1 60 60 60 60\n@ NS ns.example.\nns A 127.0.0.1\n"
    return Config(zones=(ZoneText("example.", zone),))


def resolver() -> Any:
    from netstack.taps.resolver import Config

    return Config(hints=(("a.root-servers.net", "127.0.0.1"),))


def origin() -> Any:
    from netstack.taps.origin import Config, Site

    return Config(sites=(Site(("www.someschool.edu",), "site"),))


def registrar() -> Any:
    from netstack.dns.tsig import Key
    from netstack.taps.registrar import Config

    return Config(registries=(("com", "127.0.0.1%registrar"),), keys=(Key.make("registrar", b"secret"),))


def cache() -> Any:
    from netstack.taps.cache import Config

    return Config()


def smtp() -> Any:
    from netstack.taps.smtp import Config

    return Config(domains=("hamburger.edu",))


def ring() -> Any:
    from netstack.taps.ring import Config

    return Config(bits=4, ident=5)


CONFIGS: dict[str, Callable[[], Any]] = {
    "upper": upper, "dns": dns, "resolver": resolver, "origin": origin, "registrar": registrar, "cache": cache,
    "smtp": smtp, "ring": ring,
}  # fmt: skip
"""For each tap that builds one service: a least configuration. A new tap gets its row here."""
COMPOSE = {"internet"}
"""Taps that build the services of other taps."""


def test_every_tap_has_its_metrics_looked_at() -> None:
    taps = {path.stem.removeprefix("netstack_") for path in PLUGINS}
    assert taps - set(CONFIGS) - COMPOSE == set()


def families(tap: str, machine: Machine) -> list[Metric]:
    """The metric families of a service that was built and not started."""
    module = importlib.import_module(f"netstack.taps.{tap}")
    module.build(CONFIGS[tap](), machine)
    return list(machine.registry.collect())


@pytest.mark.parametrize("tap", sorted(CONFIGS))
def test_metrics_are_named_alike(tap: str, tmp_path: Path) -> None:
    """`netstack_<protocol>_<noun>[_<unit>][_total]`; units are seconds and bytes; every one says what it is."""
    (tmp_path / "site").mkdir()
    found = families(tap, real_machine("test", state_directory=tmp_path))
    assert found, "a service counts what it does"
    names = [family.name for family in found]
    assert len(names) == len(set(names)), "one family is exported twice"
    for family in found:
        assert METRIC.fullmatch(family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|kilobytes|octets|duration)$", family.name), family.name
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels & {"user", "url", "name", "path", "host", "address", "info_hash"} == set(), family.name


# Tests


def calls_of(function: ast.AST) -> Iterator[ast.Call]:
    """Calls made by a function itself; those of functions inside it run elsewhere, in a child process for example."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call):
            yield node
        yield from calls_of(node)


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_tests_neither_sleep_nor_patch(path: Path) -> None:
    tree = ast.parse(path.read_text())
    slept = [
        call.lineno
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test_")
        for call in calls_of(function)
        if ast.unparse(call.func) in ("time.sleep", "sleep")
    ]
    assert slept == [], "wait for what is to happen instead"
    imported = {
        f"{getattr(node, 'module', None) or ''}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not [each for each in imported if "mock" in each.lower()], "give it a fake instead"


@pytest.mark.parametrize("path", [path for path in TESTS if path.name.startswith("test_")], ids=name)
def test_every_test_asserts_something(path: Path) -> None:
    """By an `assert`, by `pytest.raises`, by something that checks (`check_...`), or by a function of the file that does."""
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    asserting = {function.name for function in functions if any(isinstance(node, ast.Assert) for node in ast.walk(function))}
    checks = ("raises", "warns", "fail", "running", "check", "assert", "expect", "verify", "wait_for")
    empty = [
        function.name
        for function in functions
        if function.name.startswith("test_")
        and function.name not in asserting
        and not any(
            (called := ast.unparse(node.func).split(".")[-1]).startswith(checks) or called in asserting
            for node in ast.walk(function)
            if isinstance(node, ast.Call)
        )
    ]
    assert empty == []
