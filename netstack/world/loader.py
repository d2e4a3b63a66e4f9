"""World files: TOML -> World. Every problem is reported at once, with file, key and what was expected.

A file may extend another (`base = "textbook"`): tables are merged, other values replaced, and `false` in place of a table
removes it. Worlds are found by name in `search_path()`.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from netstack.kernel.links import LinkSettings
from netstack.world.control.paths import WORLD_NAME, is_world_name
from netstack.world.model import (
    NEGATIVE_TTL,
    PROFILES,
    TTL,
    Host,
    Service,
    Site,
    World,
    Zone,
    enclosing,
    world_of,
)
from netstack.world.problems import Problem, WorldError, one_of, path
from netstack.world.quantities import parse_delay, parse_loss, parse_rate
from netstack.world.validate import NOT_A_NAME, is_name, problems

T = TypeVar("T")
DEFAULT = "textbook"
MOST_BASES = 8
_SHIPPED = Path(__file__).with_name("worlds")
"""A link to deploy/worlds in a checkout, a folder of package data in an installation."""


def load(world: str | os.PathLike[str] = DEFAULT) -> World:
    """The world of a file, or of a name in the search path; raises WorldError."""
    file = find(world)
    table = _read(file, ())
    return parse(table, str(file), default_name=file.stem)


def parse(table: Mapping[str, object], file: str = "world", default_name: str = "world") -> World:
    """The world that a table (as of TOML) describes; raises WorldError."""
    reader = _WorldReader(table, file, default_name)
    world = reader.world()
    found = [*reader.problems, *(problems(world) if not reader.problems else ())]
    if found:
        raise WorldError(file, found)
    return world


def extended(base: str, changes: Mapping[str, object], name: str) -> World:
    """A world of the search path with a table merged onto its own, as of a file with `base`; raises WorldError."""
    table = _merge(_read(find(base), ()), changes)
    table.pop("name", None)
    return parse(table, f"{base}, extended", name)


def find(world: str | os.PathLike[str]) -> Path:
    """The file of a world: a path that has a "/" or ends in ".toml", or a name that the search path knows."""
    text = os.fspath(world)
    if "/" in text or text.endswith(".toml"):
        file = Path(text)
        if _is_file(file):
            return file
        if "/" in text:
            raise WorldError(text, [Problem("", "there is no such file")])
    name = text.removesuffix(".toml")
    for folder in search_path():
        file = folder / f"{name}.toml"
        if _is_file(file):
            return file
    raise WorldError(text, [Problem("", f"there is no such world; expected a file or {one_of(known())}")])


def known() -> list[str]:
    """The names of the worlds in the search path, sorted."""
    return sorted({file.stem for folder in search_path() if folder.is_dir() for file in folder.glob("*.toml")})


def search_path() -> list[Path]:
    """Folders of world files: the user's own (`$XDG_CONFIG_HOME/netstack/worlds`), then those that come with netstack."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [Path(config) / "netstack" / "worlds", _SHIPPED]


def _is_file(path: Path) -> bool:
    """Whether there is a file; what the system cannot have as a name is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _read(file: Path, above: tuple[Path, ...]) -> dict[str, object]:
    """A file's table, merged onto those of its bases."""
    try:
        table: dict[str, object] = tomllib.loads(file.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise WorldError(str(file), [Problem("", f"not TOML: {error}")]) from None
    except RecursionError:
        raise WorldError(str(file), [Problem("", "not a world: brackets within brackets without end")]) from None
    except UnicodeDecodeError as error:
        raise WorldError(str(file), [Problem("", f"not UTF-8: octet {error.start} is wrong")]) from None
    except OSError as error:
        raise WorldError(str(file), [Problem("", error.strerror or str(error))]) from None
    base = table.pop("base", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise WorldError(str(file), [Problem("base", f"{base!r} is not text; expected a world's name or file")])
    beside = file.parent / (base if base.endswith(".toml") else base + ".toml")
    try:
        lower = beside if _is_file(beside) else find(base)
    except WorldError as error:
        raise WorldError(str(file), [Problem("base", str(error))]) from None
    if lower.resolve() in {one.resolve() for one in (*above, file)} or len(above) >= MOST_BASES:
        raise WorldError(str(file), [Problem("base", f"{base} leads back here; expected another world")])
    merged = _read(lower, (*above, file))
    merged.pop("name", None)  # of the file that was asked for, or else its own name
    return _merge(merged, table)


def _merge(lower: dict[str, object], upper: Mapping[str, object]) -> dict[str, object]:
    for key, value in upper.items():
        below = lower.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            lower[key] = _merge(below, value)
        elif isinstance(below, dict) and value is False:
            del lower[key]
        else:
            lower[key] = value
    return lower


class _Table:
    """One table of the file: hands out its values by key and reports what is wrong with them."""

    def __init__(self, values: Mapping[str, object], keys: tuple[str, ...], found: list[Problem]) -> None:
        self.values = dict(values)
        self.keys = keys
        self.found = found

    def wrong(self, key: str, text: str) -> None:
        """Report a problem with the value of a key of this table."""
        self.found.append(Problem(path(*self.keys, *([key] if key else [])), text))

    def text(self, key: str, default: str = "") -> str:
        return self._typed(key, str, "text", default)

    def integer(self, key: str, default: int) -> int:
        return self._typed(key, int, "a whole number", default)

    def maybe_integer(self, key: str) -> int | None:
        return self._typed(key, int, "a whole number", 0) if key in self.values else None

    def maybe_boolean(self, key: str) -> bool | None:
        return self._typed(key, bool, "true or false", False) if key in self.values else None

    def names(self, key: str) -> tuple[str, ...]:
        """A list of names; a single one may stand without brackets."""
        value = self.values.pop(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
            self.wrong(key, f"{value!r} is not a list of names")
            return ()
        if len(set(listed)) < len(listed):
            self.wrong(key, "a name stands there twice")
        return tuple(listed)

    def quantity(self, key: str, parser: Callable[[object], T], default: T) -> T:
        """A value that a parser of `quantities` understands."""
        if key not in self.values:
            return default
        try:
            return parser(self.values.pop(key))
        except ValueError as error:
            self.wrong(key, str(error))
            return default

    def table(self, key: str) -> "_Table":
        """A table below this one; an empty one when it is absent."""
        return _Table(self._typed(key, dict, "a table", {}), (*self.keys, key), self.found)

    def tables(self) -> "list[tuple[str, _Table]]":
        """All entries, each of which must be a table."""
        return [(key, self.table(key)) for key in tuple(self.values)]

    def done(self, *expected: str) -> None:
        """Report the keys that nobody asked for."""
        for key in self.values:
            self.wrong(key, f"unknown key; expected {one_of(expected)}")

    def _typed(self, key: str, kind: type[T], noun: str, default: T) -> T:
        if key not in self.values:
            return default
        value = self.values.pop(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.wrong(key, f"{value!r} is not {noun}")
            return default
        return value


class _WorldReader:
    """Reads the tables of one world."""

    def __init__(self, table: Mapping[str, object], file: str, default_name: str) -> None:
        self.problems: list[Problem] = []
        self.top = _Table(table, (), self.problems)
        self.file = file
        self.default_name = default_name

    def world(self) -> World:
        """The world, or as much of it as can be read; `problems` says what is wrong."""
        top = self.top
        name, title, seed = top.text("name", self.default_name), top.text("title"), top.integer("seed", 1)
        profile = top.text("profile", "textbook")
        if profile not in PROFILES:
            top.wrong("profile", f"unknown profile {profile!r}; expected {one_of(PROFILES)}")
        if not is_world_name(name):
            top.wrong("name", f"{name!r} is not a world's name; expected {WORLD_NAME}")
        sites = [self._site(*entry) for entry in top.table("sites").tables()]
        zones = {key: self._zone(key, table) for key, table in top.table("zones").tables()}
        hosts = [self._host(key, table, zones) for key, table in top.table("hosts").tables()]
        top.done("base", "name", "title", "seed", "profile", "sites", "zones", "hosts")
        return world_of(
            name,
            sites,
            (host for host in hosts if host is not None),
            zones.values(),
            PROFILES.get(profile, PROFILES["textbook"]),
            seed,
            title,
            self.file,
        )

    def _site(self, name: str, table: _Table) -> Site:
        both = self._link(table, LinkSettings())
        up, down, lan = (table.table(key) for key in ("up", "down", "lan"))
        resolver: str | None = None
        if table.values.get("resolver") is False:
            del table.values["resolver"]
        else:
            resolver = table.text("resolver", f"resolver.{name}.test")
        site = Site(
            name,
            self._link(up, both),
            self._link(down, both),
            self._link(lan, LinkSettings()),
            resolver,
            table.text("proxy") or None,
            table.text("about"),
        )
        for link in (up, down, lan):
            link.done("rate", "delay", "loss", "queue")
        table.done("rate", "delay", "loss", "queue", "up", "down", "lan", "resolver", "proxy", "about")
        return site

    def _link(self, table: _Table, default: LinkSettings) -> LinkSettings:
        queue = table.maybe_integer("queue")
        if queue is not None and queue < 1:
            table.wrong("queue", f"{queue} is out of range; expected at least 1 octet")
        return LinkSettings(
            table.quantity("rate", parse_rate, default.rate_bps),
            table.quantity("delay", parse_delay, default.delay),
            table.quantity("loss", parse_loss, default.loss),
            default.queue if queue is None else queue,
        )

    def _zone(self, name: str, table: _Table) -> Zone:
        named = "servers" in table.values
        servers = table.names("servers")
        if not named:
            servers = (f"dns.{name}",)
        zone = Zone(
            name,
            servers,
            table.text("records"),
            table.integer("ttl", TTL),
            table.integer("negative_ttl", NEGATIVE_TTL),
            table.text("site") or None,
            table.maybe_boolean("signed"),
            table.names("updates"),
            table.maybe_boolean("reverse") is True,
            table.maybe_boolean("delegated") is not False,
        )
        table.done("servers", "records", "ttl", "negative_ttl", "site", "signed", "updates", "reverse", "delegated")
        return zone

    def _host(self, name: str, table: _Table, zones: Mapping[str, Zone]) -> Host | None:
        near = (zones[zone].site for zone in enclosing(name) if zone in zones and zone != ".")
        site = table.text("site") or next(filter(None, near), None)
        host = Host(
            name,
            site or "",
            table.integer("addresses", 1),
            tuple(self._service(*entry) for entry in table.table("services").tables()),
            table.names("aliases"),
            table.maybe_integer("ttl"),
            about=table.text("about"),
        )
        table.done("site", "addresses", "services", "aliases", "ttl", "about")
        if site is None and not is_name(name):
            table.wrong("", NOT_A_NAME)
            return None
        if site is None:
            table.wrong("site", "missing; expected the name of a site, here or in the host's zone")
            return None
        return host

    def _service(self, name: str, table: _Table) -> Service:
        plugin = table.text("plugin", name)
        return Service(name, plugin, dict(table.values))
