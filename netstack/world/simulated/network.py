"""Links and the paths made of them: when a packet arrives, or where it is lost. Times are integer nanoseconds."""

from collections.abc import Callable
from heapq import heappush
from random import Random
from typing import TYPE_CHECKING, Any

from netstack.kernel.links import LinkSettings
from netstack.world.simulated.scheduler import NANOSECONDS, Scheduler, nanoseconds

if TYPE_CHECKING:
    from netstack.world.simulated.host import SimulatedHost

Path = tuple["Link", ...]
Arrive = Callable[..., Any]
Lost = Callable[..., None] | None
Tamper = Callable[[Arrive, tuple[Any, ...]], tuple[Any, ...] | None] | None
"""Given what a packet will call where it arrives, and with what: what it is called with instead; None: it never arrives."""


class Link:
    """One direction of a wire: a drop-tail queue, a rate, a delay, a loss."""

    __slots__ = (
        "carried", "delay", "dropped", "free", "loss", "packets", "plain", "queue", "rate", "settings", "tamper", "up",
    )  # fmt: skip

    def __init__(self, settings: LinkSettings | None = None) -> None:
        self.up = True
        self.tamper: Tamper = None
        """Somebody on the wire (`forging.on_the_wire`)."""
        self.free = 0
        """When the last octet that was accepted will have been sent."""
        self.carried = self.packets = self.dropped = 0
        self.set(settings or LinkSettings())

    def set(self, settings: LinkSettings) -> None:
        """Change the link; what is on its way keeps its times."""
        self.settings = settings
        self.rate = settings.rate_bps
        self.delay = nanoseconds(settings.delay)
        self.loss = settings.loss
        self.queue = settings.queue
        self._judge()

    def cut(self) -> None:
        """Lose everything from now on."""
        self.up = False
        self._judge()

    def heal(self) -> None:
        """The reverse of `cut`."""
        self.up = True
        self._judge()

    def _judge(self) -> None:
        self.plain = self.up and not self.loss and self.rate is None and self.tamper is None
        """Whether crossing it is nothing but a delay."""


class AccessNetwork:
    """What the hosts of one site share: a link to the core, one from it, and their LAN."""

    __slots__ = ("down", "lan", "up")

    def __init__(
        self, up: LinkSettings | None = None, down: LinkSettings | None = None, lan: LinkSettings | None = None
    ) -> None:
        self.up, self.down, self.lan = Link(up), Link(down), Link(lan)


class Network:
    """Who can reach whom, and over what."""

    LOCAL_DELAY = 10e-6
    """From a host to itself, seconds."""

    __slots__ = (
        "_broken",
        "_core",
        "addresses",
        "default",
        "heap",
        "hosts",
        "local",
        "nowhere",
        "rng",
        "scheduler",
        "sequence",
    )

    def __init__(self, scheduler: Scheduler, default: LinkSettings, rng: Random) -> None:
        self.scheduler = scheduler
        self.heap = scheduler.heap
        self.sequence = scheduler.sequence
        self.rng = rng
        self.addresses: dict[str, SimulatedHost] = {}
        self.hosts: dict[str, SimulatedHost] = {}
        self.default = Link(default)
        self._core: Path = (self.default,)
        self.local: Path = (Link(LinkSettings(delay=self.LOCAL_DELAY)),)
        gone = Link()
        gone.cut()
        self.nowhere: Path = (gone,)
        self._broken: dict[tuple[str, str], Path] = {}

    def find(self, address: str, asking: "SimulatedHost") -> "SimulatedHost | None":
        """The host that has an address, as seen from `asking` (whose own is 127.0.0.1)."""
        found = self.addresses.get(address)
        return asking if found is None and address in ("127.0.0.1", "::1") else found

    def path(self, source: "SimulatedHost", destination: "SimulatedHost") -> Path:
        """What a packet crosses: the route set by hand, else the LAN of a common site, else the uplink of the one site,
        the core (one default link for each pair of hosts when it has a rate), the downlink of the other.
        """
        found = source.routes.get(destination)
        if found is not None:
            return found
        if source is destination:
            return self.local
        one, other = source.site, destination.site
        if one is None and other is None and self.default.rate is None:
            return self._core
        if one is other and one is not None:
            found = (one.lan,)
        else:
            core = self.default if self.default.rate is None else Link(self.default.settings)
            found = (*(() if one is None else (one.up,)), core, *(() if other is None else (other.down,)))
            if core.plain and not core.delay and len(found) > 1:
                found = tuple(link for link in found if link is not core)
        source.routes[destination] = found
        return found

    def route(self, source: "SimulatedHost", destination: "SimulatedHost", *links: Link) -> None:
        """Packets from one host to the other cross these links; one direction."""
        if (source.name, destination.name) in self._broken:
            self._broken[source.name, destination.name] = links
        else:
            source.routes[destination] = links

    def cut(self, a: "SimulatedHost", b: "SimulatedHost") -> None:
        """Lose all packets between two hosts, both ways."""
        for x, y in ((a, b), (b, a)):
            if (x.name, y.name) not in self._broken:
                self._broken[x.name, y.name] = self.path(x, y)
                x.routes[y] = self.nowhere

    def heal(self, a: "SimulatedHost", b: "SimulatedHost") -> None:
        """The reverse of `cut`."""
        for x, y in ((a, b), (b, a)):
            if (x.name, y.name) in self._broken:
                x.routes[y] = self._broken.pop((x.name, y.name))

    def carry(self, path: Path, size: int, arrive: Arrive, arguments: tuple[Any, ...], lost: Lost = None) -> None:
        """Call `arrive(*arguments)` when a packet of `size` octets has crossed the path, or `lost` where it fell."""
        time = self.scheduler.now
        for link in path:
            if not link.plain:
                self._cross(path, 0, size, arrive, arguments, lost)
                return
            time += link.delay
        for link in path:
            link.carried += size
            link.packets += 1
        heappush(self.heap, (time, self.sequence(), None, arrive, arguments))

    def _cross(self, path: Path, at: int, size: int, arrive: Arrive, arguments: tuple[Any, ...], lost: Lost) -> None:
        """Cross path[at:], from now on. A queue is entered when the packet is there, so that packets keep their order."""
        now = time = self.scheduler.now
        while at < len(path):
            link = path[at]
            if link.rate is not None and time > now:
                self.scheduler.at(time, None, self._cross, path, at, size, arrive, arguments, lost)
                return
            if not link.up or (link.loss and self.rng.random() < link.loss):
                link.dropped += 1
                if lost is not None:
                    lost(*arguments)
                return
            if link.tamper is not None:
                changed = link.tamper(arrive, arguments)
                if changed is None:
                    return
                arguments = changed
            if link.rate is not None:
                start = max(link.free, time)
                if link.queue is not None and (start - time) * link.rate > link.queue * 8 * NANOSECONDS:
                    link.dropped += 1
                    if lost is not None:
                        lost(*arguments)
                    return
                time = link.free = start + round(size * 8 * NANOSECONDS / link.rate)
            link.carried += size
            link.packets += 1
            time += link.delay
            at += 1
        heappush(self.heap, (time, self.sequence(), None, arrive, arguments))
