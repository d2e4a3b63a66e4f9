"""netstack-origin: a Web server of files under virtual hosts (RFC 9110, RFC 9112)."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.server import Origin, Site
from netstack.http.service import HTTPService
from netstack.http.store import StoreLimits
from netstack.http.values import authority
from netstack.kernel.disk import RealDisk
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.taps.standalone import MachineOptions, endpoints, placed

__all__ = ["Config", "Options", "Site", "build", "makeService"]


@dataclass(frozen=True, slots=True)
class Config:
    """What an origin serves, and where. Raises ValueError that names the key and what was expected."""

    sites: tuple[Site, ...]
    listen: tuple[str, ...] = ("tcp:80",)
    """Endpoints (`netstack.kernel.listen`), `tcp` or `tls`, with standard ports: `build` puts `machine.port()` over them."""
    default_site: str = "first"
    """Who answers for a host that no site has, or a request without one: "first", "refuse" (421), or a site's name."""
    server: str = "netstack"
    """The Server field; empty for none."""
    index: tuple[str, ...] = ("index.html", "home.index")
    """Files that stand for their directory, the first that exists."""
    access_log: bool = True
    http: HTTPLimits = field(default_factory=HTTPLimits)
    store: StoreLimits = field(default_factory=StoreLimits)
    connections: StreamLimits = field(default_factory=StreamLimits)

    def __post_init__(self) -> None:
        if not self.sites:
            raise ValueError("sites: at least one site was expected")
        seen: set[str] = set()
        for site in self.sites:
            if not site.names:
                raise ValueError(f"sites: the site of {site.root!r} has no names; at least one was expected")
            for name in site.names:
                if authority(name) != (name, None):
                    raise ValueError(f"sites: {name!r} is not a host's name in lower case without a port")
                if name in seen:
                    raise ValueError(f"sites: {name!r} is given twice")
                seen.add(name)
        for endpoint in endpoints("listen", self.listen):
            if endpoint.kind == "udp":
                raise ValueError(f"listen: {endpoint} is a datagram endpoint; tcp or tls was expected")
        if self.default_site not in ("first", "refuse", *seen):
            raise ValueError(f"default_site: {self.default_site!r} is no site's name; one, first or refuse was expected")
        if not all(0x20 <= ord(sign) < 0x7F for sign in self.server):
            raise ValueError(f"server: {self.server!r} has characters that are not allowed in a field")
        for name in self.index:
            if not name or "/" in name:
                raise ValueError(f"index: {name!r} is not a file's name")
        for bounds in (self.http, self.store, self.connections):
            for bound in fields(bounds):
                if not getattr(bounds, bound.name) >= 0:
                    raise ValueError(f"{bound.name}: a number not below zero was expected")


def build(config: Config, machine: Machine) -> IService:
    """The service of one host."""
    origin = Origin(
        machine.disk,
        config.sites,
        config.default_site,
        config.index,
        config.store,
        requests(machine.registry),
        config.access_log,
    )
    service: Any = HTTPService(
        machine, placed(machine, endpoints("listen", config.listen)), origin, config.http, config.connections, config.server
    )
    built: IService = service
    return built


_CONNECTIONS, _HTTP, _STORE = StreamLimits(), HTTPLimits(), StoreLimits()


def _number(option: str, kind: type[int] | type[float]) -> Callable[[str], float]:
    """Reads an option's value; the error names the option."""

    def read(text: str) -> float:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"--{option} {text!r}: a number was expected") from None

    return read


class Options(MachineOptions):
    """The command line of `twistd netstack-origin`."""

    synopsis = "[--listen ENDPOINT]... --site NAME[,NAME...]=DIRECTORY... [options]"
    longdesc = "Serves files over HTTP/1.0 and HTTP/1.1 under virtual hosts. Without --listen: tcp:80."
    optFlags = [["no-access-log", None, "Do not log requests."]]
    optParameters = [
        ["default-site", None, "first", "Who answers for a host that no site has: first, refuse, or a site's name."],
        ["server", None, "netstack", "The Server field; empty for none."],
        ["index", None, "index.html,home.index", "Files that stand for their directory."],
        ["max-connections", None, _CONNECTIONS.connections, "Open at once.", _number("max-connections", int)],
        ["max-head", None, _HTTP.head, "Octets of a request's head (431).", _number("max-head", int)],
        ["max-target", None, _HTTP.target, "Octets of a request's target (414).", _number("max-target", int)],
        ["max-fields", None, _HTTP.fields, "Field lines of a request (431).", _number("max-fields", int)],
        ["max-body", None, _HTTP.body, "Octets of a request's body (413).", _number("max-body", int)],
        ["head-seconds", None, _HTTP.head_seconds, "Time for a request's head (408).", _number("head-seconds", float)],
        ["body-seconds", None, _HTTP.body_seconds, "Time for a request's body (408).", _number("body-seconds", float)],
        ["idle-seconds", None, _HTTP.idle_seconds, "Time between requests of a connection.", _number("idle-seconds", float)],
        ["memo", None, _HTTP.memo, "Request heads whose parse is remembered.", _number("memo", int)],
        ["inline", None, _STORE.inline, "Octets up to which a file is kept and sent in one piece.", _number("inline", int)],
        ["kept", None, _STORE.kept, "Octets of files that are kept, for each site.", _number("kept", int)],
    ]

    def __init__(self) -> None:
        self.sites: list[Site] = []
        super().__init__()

    def opt_site(self, site: str) -> None:
        """A site: NAME[,NAME...]=DIRECTORY; may be given more than once."""
        names, equals, root = site.partition("=")
        if not equals or not names or not root:
            raise usage.UsageError(f"--site {site!r}: NAME[,NAME...]=DIRECTORY was expected")
        if not os.path.isdir(root):
            raise usage.UsageError(f"--site {site!r}: there is no directory {root!r}")
        self.sites.append(Site(tuple(names.split(",")), str(Path(root).resolve()).lstrip("/")))

    def postOptions(self) -> None:
        super().postOptions()
        self.config()

    def config(self) -> Config:
        """The configuration; raises UsageError."""
        try:
            return self._config()
        except ValueError as error:
            raise usage.UsageError(str(error)) from None

    def _config(self) -> Config:
        return Config(
            sites=tuple(self.sites),
            listen=tuple(self.listen) or ("tcp:80",),
            default_site=self["default-site"],
            server=self["server"],
            index=tuple(name for name in self["index"].split(",") if name),
            access_log=not self["no-access-log"],
            http=HTTPLimits(
                head=self["max-head"],
                target=self["max-target"],
                fields=self["max-fields"],
                body=self["max-body"],
                head_seconds=self["head-seconds"],
                body_seconds=self["body-seconds"],
                idle_seconds=self["idle-seconds"],
                memo=self["memo"],
            ),
            store=StoreLimits(self["inline"], self["kept"]),
            connections=StreamLimits(connections=self["max-connections"]),
        )


def makeService(options: Options) -> IService:
    """For twistd. Sites are directories of the real disk, from its root."""
    machine = options.machine()
    machine.disk = RealDisk("/")
    return options.with_health(build(options.config(), machine), machine)
