"""netstack-upper: sentences come back in upper case (or as word lengths), over UDP, TCP and TLS."""

from dataclasses import dataclass, replace
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from netstack.kernel.machine import Machine
from netstack.sansio.bounds import positive
from netstack.sockets.answers import MODES
from netstack.sockets.engine import Bounds
from netstack.sockets.service import SentenceService
from netstack.taps.standalone import WorkerOptions, endpoints, placed


@dataclass(frozen=True, slots=True)
class Config:
    """What the service answers, where, and its bounds. Raises ValueError that names the field and what was expected."""

    listen: tuple[str, ...] = ("udp:12000", "tcp:12000")
    """Endpoints with standard ports: `build` puts `machine.port()` over them."""
    mode: str = "upper"
    """"upper", or "lengths": the lengths of the words."""
    sentence: int = 65_536
    """Octets of a connection's first read that are answered."""
    connections: int = 10_000
    """Open at once."""
    idle: float = 60.0
    """Seconds for a connection's sentence to come."""
    linger: float = 30.0
    """Seconds for a client to take its answer."""

    def __post_init__(self) -> None:
        endpoints("listen", self.listen)
        if self.mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {self.mode!r}")
        for key in ("sentence", "connections"):
            positive(key, getattr(self, key), at_least=1)
        for key in ("idle", "linger"):
            positive(key, getattr(self, key))


DEFAULT = Config()


def build(config: Config, machine: Machine) -> IService:
    """The service on a machine."""
    limits = replace(machine.limits, connections=config.connections, idle=config.idle, linger=config.linger)
    service: Any = SentenceService(
        machine,
        placed(machine, endpoints("listen", config.listen)),
        MODES[config.mode],
        Bounds(sentence=config.sentence),
        limits,
    )
    built: IService = service
    return built


class Options(WorkerOptions):
    """Command line of `twistd netstack-upper`."""

    synopsis = "[--listen ENDPOINT]... [--mode upper|lengths] [options]"
    longdesc = (
        "Answers the sentences of the socket-programming section's clients. Without --listen: udp:12000 and tcp:12000."
    )
    optParameters = [
        ["mode", None, DEFAULT.mode, "The answer: upper, or lengths for the lengths of the words."],
        ["sentence", None, DEFAULT.sentence, "Octets of a connection's first read that are answered.", int],
        ["connections", None, DEFAULT.connections, "Connections open at once.", int],
        ["idle", None, DEFAULT.idle, "Seconds for a connection's sentence to come.", float],
        ["linger", None, DEFAULT.linger, "Seconds for a client to take its answer.", float],
    ]

    def postOptions(self) -> None:
        super().postOptions()
        self.config()

    def config(self) -> Config:
        """The configuration; raises UsageError."""
        try:
            return Config(
                tuple(self.listen) or DEFAULT.listen,
                self["mode"],
                self["sentence"],
                self["connections"],
                self["idle"],
                self["linger"],
            )
        except ValueError as error:
            raise usage.UsageError(str(error)) from None


def makeService(options: Options) -> IService:
    """For twistd."""
    config = options.config()
    return options.served(config.listen, lambda machine: build(config, machine))
