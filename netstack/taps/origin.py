"""netstack-origin: a Web server of files under virtual hosts (RFC 9110, RFC 9112)."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from netstack.http.access import FORMATS, AccessLog, LogLimits
from netstack.http.application import ApplicationLimits, ApplicationServer
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.mounts import MountedOrigin
from netstack.http.passwords import parse_verifiers
from netstack.http.server import Origin, OriginOptions, Site
from netstack.http.service import Answering, HTTPService
from netstack.http.store import StoreLimits
from netstack.http.uploads import CHANGED, UploadLimits
from netstack.http.values import authority
from netstack.http.wsgi import WSGILimits
from netstack.kernel.database import DatabaseLimits
from netstack.kernel.disk import Disk, RealDisk
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.sansio.bounds import bounds_of
from netstack.shop.limits import ShopLimits
from netstack.taps.mounting import Mounting, chosen, mounts, parameters
from netstack.taps.standalone import WorkerOptions, endpoints, placed

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
    languages: tuple[str, ...] = ("en", "fr")
    """Endings of file names that are languages; the first is that of files without one."""
    ranges: int = 16
    """Ranges of one request; one that asks for more gets the whole file."""
    writers: tuple[str, ...] = ()
    """Lines of `python -m netstack.http.passwords`: who may PUT and DELETE, over TLS only; if nobody, nobody may."""
    hsts: int = 0
    """Seconds for which browsers that came by HTTPS are told to use nothing else (RFC 6797); 0 tells them nothing."""
    redirect_to_https: bool = False
    """Plain endpoints answer 301 to the first `tls` endpoint."""
    http2: bool = True
    """HTTP/2 is spoken too: with those who agree on it under TLS, and in the clear with those who begin so."""
    grace: float = 5.0
    """Seconds that connections get to end by themselves when the service stops."""
    access_log: bool = True
    access_file: str = ""
    """A file of the machine's disk; empty for the process's log."""
    access_format: str = "combined"
    log: LogLimits = field(default_factory=LogLimits)
    uploads: UploadLimits = field(default_factory=UploadLimits)
    http: HTTPLimits = field(default_factory=HTTPLimits)
    store: StoreLimits = field(default_factory=StoreLimits)
    connections: StreamLimits = field(default_factory=StreamLimits)
    mount: tuple[str, ...] = ()
    """Applications beside the files, PATH=NAME: shop (at / alone), search, upload."""
    wsgi: tuple[str, ...] = ()
    """WSGI applications, PATH=MODULE:OBJECT."""
    cleartext: bool = False
    """Applications take what is personal without TLS, too."""
    application: ApplicationLimits = field(default_factory=ApplicationLimits)
    wsgi_limits: WSGILimits = field(default_factory=WSGILimits)
    database: DatabaseLimits = field(default_factory=DatabaseLimits)
    shop: ShopLimits = field(default_factory=ShopLimits)

    @property
    def mounting(self) -> Mounting:
        """The applications; raises ValueError."""
        return Mounting(self.mount, self.wsgi, self.cleartext, self.shop, self.database, self.application, self.wsgi_limits)

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
        for language in self.languages:
            if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", language):
                raise ValueError(f"languages: {language!r} is not a language such as en or pt-BR")
        if len(set(self.languages)) != len(self.languages) or not self.languages:
            raise ValueError("languages: at least one was expected, and none twice")
        try:
            parse_verifiers(self.writers)
        except ValueError as error:
            raise ValueError(f"writers: {error}") from None
        if self.redirect_to_https and not any(each.kind == "tls" for each in endpoints("listen", self.listen)):
            raise ValueError("redirect_to_https: a tls endpoint was expected")
        if self.access_format not in FORMATS:
            raise ValueError(f"access_format: {self.access_format!r} is none of {', '.join(FORMATS)}")
        for name, number in (("ranges", self.ranges), ("hsts", self.hsts), ("grace", self.grace)):
            if not number >= 0:
                raise ValueError(f"{name}: a number not below zero was expected")
        _ = self.mounting


def build(config: Config, machine: Machine, state: Disk | None = None) -> IService:
    """The service of one host; what applications keep is on the disk `state`, the machine's unless one is given."""
    file = config.access_file
    if file and machine.worker is not None and not machine.worker.is_owner:
        file = f"{file}-{machine.worker.number}"
    log = AccessLog(machine, config.access_format, file, config.log) if config.access_log else None
    options = OriginOptions(
        config.default_site, config.index, config.languages, config.ranges, config.store, config.uploads,
        parse_verifiers(config.writers),
    )  # fmt: skip
    counts = requests(machine.registry)
    origin = Origin(machine, config.sites, options, counts, log)
    answering: Answering = origin
    closers: list[Callable[[], None]] = []
    if config.mount or config.wsgi:
        made, closers = mounts(config.mounting, machine, state or machine.disk)
        names = tuple(name for site in config.sites for name in site.names)
        applications = ApplicationServer(made, names, config.application, counts, log)
        answering = MountedOrigin(origin, made, applications)
    if machine.worker is not None:
        machine.worker.handle(CHANGED, lambda asker, data: told(origin))
        machine.worker.join()
    service: Any = HTTPService(
        machine, placed(machine, endpoints("listen", config.listen)), answering, config.http, config.connections,
        config.server, config.hsts, config.redirect_to_https, config.grace, config.http2,
        lambda: _each(closers),
    )  # fmt: skip
    built: IService = service
    return built


def _each(closers: list[Callable[[], None]]) -> None:
    for close in closers:
        close()


def told(origin: Origin) -> bytes:
    """Another worker has changed a file."""
    origin.forget()
    return b""


_CONNECTIONS, _HTTP, _STORE, _LOG, _UPLOADS = StreamLimits(), HTTPLimits(), StoreLimits(), LogLimits(), UploadLimits()

_HTTP_OPTIONS = {
    "max-head": "head", "max-target": "target", "max-fields": "fields", "max-body": "body", "memo": "memo",
    "head-seconds": "head_seconds", "body-seconds": "body_seconds", "body-part": "body_part", "idle-seconds": "idle_seconds",
    "max-requests": "requests", "max-streams": "streams", "stream-window": "window",
    "connection-window": "connection_window", "stalled-seconds": "stalled_seconds",
    "max-resets": "resets", "max-control-frames": "control_frames",
}  # fmt: skip
_STORE_OPTIONS = {"inline": "inline", "kept": "kept", "paths": "paths", "open-files": "files", "check": "check"}


def _number(option: str, kind: type[int] | type[float]) -> Callable[[str], float]:
    """Reads an option's value; the error names the option."""

    def read(text: str) -> float:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"--{option} {text!r}: a number was expected") from None

    return read


class Options(WorkerOptions):
    """The command line of `twistd netstack-origin`."""

    synopsis = "[--listen ENDPOINT]... --site NAME[,NAME...]=DIRECTORY... [options]"
    longdesc = "Serves files over HTTP/1.0, HTTP/1.1 and HTTP/2 under virtual hosts. Without --listen: tcp:80."
    optFlags = [
        ["no-access-log", None, "Do not log requests."],
        ["redirect-to-https", None, "Plain endpoints answer 301 to the first tls endpoint."],
        ["no-http2", None, "Speak HTTP/1 alone."],
        ["cleartext", None, "Applications take what is personal without TLS, too."],
    ]
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
        ["body-part", None, _HTTP.body_part, "Octets after which body-seconds begin anew.", _number("body-part", int)],
        ["idle-seconds", None, _HTTP.idle_seconds, "Time between requests of a connection.", _number("idle-seconds", float)],
        ["memo", None, _HTTP.memo, "Request heads whose parse is remembered.", _number("memo", int)],
        ["inline", None, _STORE.inline, "Octets up to which a file is kept and sent in one piece.", _number("inline", int)],
        ["kept", None, _STORE.kept, "Octets of files that are kept, for each site.", _number("kept", int)],
        ["paths", None, _STORE.paths, "Paths that are remembered, for each site.", _number("paths", int)],
        ["open-files", None, _STORE.files, "Large files kept open, for each site.", _number("open-files", int)],
        ["check", None, _STORE.check, "Seconds until a file is looked up again.", _number("check", float)],
        ["languages", None, "en,fr", "Endings of names that are languages; the first is that of files without one."],
        ["ranges", None, 16, "Ranges of one request; for more the whole file is sent.", _number("ranges", int)],
        [
            "max-requests",
            None,
            _HTTP.requests,
            "Requests of one connection; 0 for any number.",
            _number("max-requests", int),
        ],
        ["max-streams", None, _HTTP.streams, "Requests at once on a connection of HTTP/2.", _number("max-streams", int)],
        ["stream-window", None, _HTTP.window, "Octets of one body on their way in HTTP/2.", _number("stream-window", int)],
        [
            "connection-window",
            None,
            _HTTP.connection_window,
            "Octets of all bodies of a connection on their way in HTTP/2.",
            _number("connection-window", int),
        ],
        [
            "stalled-seconds",
            None,
            _HTTP.stalled_seconds,
            "Time for a client of HTTP/2 to take the next 8 KiB.",
            _number("stalled-seconds", float),
        ],
        ["max-resets", None, _HTTP.resets, "Streams of a connection reset within 10 s.", _number("max-resets", int)],
        [
            "max-control-frames",
            None,
            _HTTP.control_frames,
            "Frames of a connection within 10 s that carry neither requests nor contents.",
            _number("max-control-frames", int),
        ],
        ["writers", None, None, "File of those who may PUT and DELETE: see python -m netstack.http.passwords."],
        ["upload-memory", None, _UPLOADS.memory, "Octets of uploads under way (503).", _number("upload-memory", int)],
        ["verifying", None, _UPLOADS.verifying, "Passwords being verified (503).", _number("verifying", int)],
        ["hsts", None, 0, "Seconds of Strict-Transport-Security; 0 for none.", _number("hsts", int)],
        ["grace", None, 5.0, "Seconds that connections get to end when the service stops.", _number("grace", float)],
        ["access-file", None, None, "File of the access log [default: the process's log]."],
        ["access-format", None, "combined", "combined or json."],
        ["access-lines", None, _LOG.lines, "Lines that wait to be written.", _number("access-lines", int)],
        ["access-seconds", None, _LOG.seconds, "Seconds that a line waits.", _number("access-seconds", float)],
        ["access-octets", None, _LOG.file, "Octets of the file, which then becomes FILE.1.", _number("access-octets", int)],
        *parameters(_number),
    ]

    def __init__(self) -> None:
        self.sites: list[Site] = []
        self.mounted: list[str] = []
        self.wsgi: list[str] = []
        super().__init__()

    def opt_mount(self, text: str) -> None:
        """An application beside the files: PATH=NAME with search, upload, tracker or shop; may be given more than once."""
        self.mounted.append(text)

    def opt_wsgi(self, text: str) -> None:
        """A WSGI application (PEP 3333): PATH=MODULE:OBJECT; may be given more than once."""
        self.wsgi.append(text)

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

    def _writers(self) -> tuple[str, ...]:
        if not self["writers"]:
            return ()
        try:
            return tuple(Path(self["writers"]).read_text("utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--writers {self['writers']}: {error}") from None

    def _config(self) -> Config:
        return Config(
            sites=tuple(self.sites),
            listen=tuple(self.listen) or ("tcp:80",),
            default_site=self["default-site"],
            server=self["server"],
            index=tuple(name for name in self["index"].split(",") if name),
            languages=tuple(name for name in self["languages"].split(",") if name),
            ranges=self["ranges"],
            writers=self._writers(),
            hsts=self["hsts"],
            redirect_to_https=bool(self["redirect-to-https"]),
            http2=not self["no-http2"],
            grace=self["grace"],
            access_log=not self["no-access-log"],
            access_file=str(Path(self["access-file"]).resolve()).lstrip("/") if self["access-file"] else "",
            access_format=self["access-format"],
            log=bounds_of(LogLimits, self, {"access-lines": "lines", "access-seconds": "seconds", "access-octets": "file"}),
            uploads=bounds_of(UploadLimits, self, {"upload-memory": "memory", "verifying": "verifying"}),
            http=bounds_of(HTTPLimits, self, _HTTP_OPTIONS),
            store=bounds_of(StoreLimits, self, _STORE_OPTIONS),
            connections=bounds_of(StreamLimits, self, {"max-connections": "connections"}),
            mount=tuple(self.mounted),
            wsgi=tuple(self.wsgi),
            cleartext=bool(self["cleartext"]),
            **chosen(self),
        )


def makeService(options: Options) -> IService:
    """For twistd. Sites are directories of the real disk, from its root."""
    config = options.config()

    def built(machine: Machine) -> IService:
        state, machine.disk = machine.disk, RealDisk("/")
        return build(config, machine, state)

    return options.served(config.listen, built, keeps=bool(config.mount))
