"""netstack-dns: the authoritative server (RFC 1034 §4.3), one or many zones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from twisted.application.service import IService
from twisted.python import usage

from netstack.dns.authority import Authority, Order, at_random, cyclic, fixed
from netstack.dns.limits import ServerLimits
from netstack.dns.service import AuthoritativeService
from netstack.dns.zone import Zone, ZoneError, ZoneText
from netstack.kernel.machine import Machine
from netstack.taps.standalone import MachineOptions, endpoints, placed

Rotation = Literal["cyclic", "random", "fixed"]
ROTATIONS: tuple[Rotation, ...] = ("cyclic", "random", "fixed")
LISTEN = ("udp:53", "tcp:53")
_LIMITS = ServerLimits()


@dataclass(frozen=True, slots=True)
class ZoneFile:
    """A zone whose master file is on the machine's disk; `path` is relative to the disk's root."""

    origin: str
    path: str


@dataclass(frozen=True, slots=True)
class Config:
    """What a server serves, and where. Raises ValueError that names the field and what was expected."""

    zones: tuple[ZoneText | ZoneFile, ...]
    listen: tuple[str, ...] = LISTEN
    """Endpoints (`netstack.kernel.listen`) with standard ports: `build` puts `machine.port()` over them."""
    rotation: Rotation = "cyclic"
    """The order of an RRset's records: each first in turn, at random, or always as in the zone."""
    limits: ServerLimits = field(default_factory=ServerLimits)

    def __post_init__(self) -> None:
        if not self.zones:
            raise ValueError("zones: expected at least one zone")
        if self.rotation not in ROTATIONS:
            raise ValueError(f"rotation: expected one of {', '.join(ROTATIONS)}, got {self.rotation!r}")
        endpoints("listen", self.listen)
        origins = [zone.origin.rstrip(".").lower() for zone in self.zones]
        twice = {origin or "." for origin in origins if origins.count(origin) > 1}
        if twice:
            raise ValueError(f"zones: {', '.join(sorted(twice))} is given more than once")


def build(config: Config, machine: Machine) -> IService:
    """The service; raises ZoneError for a zone that cannot be served and FileNotFoundError for one that is not there."""
    zones = [_zone(zone, machine) for zone in config.zones]
    orders: dict[Rotation, Order] = {"cyclic": cyclic, "random": at_random(machine.rng.randrange), "fixed": fixed}
    authority = Authority(zones, orders[config.rotation], config.limits.udp_payload)
    bound = placed(machine, endpoints("listen", config.listen))
    service: Any = AuthoritativeService(machine, authority, bound, config.limits)
    found: IService = service
    return found


def _zone(zone: ZoneText | ZoneFile, machine: Machine) -> Zone:
    if isinstance(zone, ZoneText):
        return Zone.from_text(zone.origin, zone.text)
    try:
        return Zone.from_text(zone.origin, machine.disk.read(zone.path).decode("utf-8"))
    except (ZoneError, UnicodeDecodeError) as error:
        raise ZoneError(f"{zone.path}: {error}") from error


class Options(MachineOptions):
    """Command line of `twistd netstack-dns`."""

    synopsis = "[--zone ORIGIN=FILE]... [--listen ENDPOINT]... [options]"
    optParameters = [
        ["rotation", None, "cyclic", "Order of an RRset's records: cyclic, random or fixed."],
        ["udp-payload", None, _LIMITS.udp_payload, "Largest UDP message, octets.", int],
        ["tcp-connections", None, _LIMITS.tcp_connections, "TCP connections open at once.", int],
        ["tcp-idle", None, _LIMITS.tcp_idle, "Seconds without a whole query on a TCP connection.", float],
        ["tcp-pipeline", None, _LIMITS.tcp_pipeline, "Queries of one TCP connection in hand at once.", int],
    ]

    def __init__(self) -> None:
        self.zones: list[ZoneText] = []
        super().__init__()

    def opt_zone(self, value: str) -> None:
        """A zone and its master file (RFC 1035 §5), ORIGIN=FILE; may be repeated."""
        origin, _, path = value.partition("=")
        if not origin or not path:
            raise usage.UsageError(f"--zone {value}: expected ORIGIN=FILE")
        try:
            self.zones.append(ZoneText(origin, Path(path).read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise usage.UsageError(f"--zone {value}: {error}") from error

    def postOptions(self) -> None:
        super().postOptions()
        self.config()

    def config(self) -> Config:
        """The configuration; raises UsageError."""
        limits = ServerLimits(self["udp-payload"], self["tcp-connections"], self["tcp-idle"], self["tcp-pipeline"])
        try:
            config = Config(tuple(self.zones), tuple(self.listen) or LISTEN, self["rotation"], limits)
            for zone in self.zones:
                Zone.from_text(zone.origin, zone.text)
        except ValueError as error:
            raise usage.UsageError(str(error)) from error
        return config


def makeService(options: Options) -> IService:
    """For twistd."""
    machine = options.machine()
    return options.with_health(build(options.config(), machine), machine)
