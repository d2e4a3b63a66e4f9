"""The access links of a world's sites while it runs: what a packet between two addresses crosses, changed live."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from netstack.kernel.links import LinkSettings
from netstack.world.addresses import AddressTable
from netstack.world.model import FREE, World

Direction = Literal["up", "down", "both"]


class SiteLinks:
    """Implements `kernel.links.Links`: the uplink of the source's site, then the downlink of the destination's.

    Hosts of one site have its LAN between them. Foreign addresses (a dig, a browser) have no link of their own.
    """

    def __init__(self, world: World, table: AddressTable, shaped: bool = True) -> None:
        """Not `shaped`: every link begins without delay, loss or bound on its rate, whatever the world says."""
        self.up = {name: site.up if shaped else FREE for name, site in world.sites.items()}
        self.down = {name: site.down if shaped else FREE for name, site in world.sites.items()}
        self.lan = {name: site.lan if shaped else FREE for name, site in world.sites.items()}
        self._table = table
        self._paths: dict[tuple[str | None, str | None], LinkSettings | None] = {}

    def path(self, source: str, destination: str) -> LinkSettings | None:
        """What a packet crosses now; None when nothing of it delays, loses or bounds."""
        sites = self._table.site_of
        key = sites.get(source), sites.get(destination)
        try:
            return self._paths[key]
        except KeyError:
            found = self._paths[key] = self._path(*key)
            return found

    def change(self, site: str, direction: Direction = "both", **settings: Any) -> None:
        """Set some of `rate_bps`, `delay`, `loss` and `queue` of a site's access link; raises KeyError for no such site."""
        for name, links in (("up", self.up), ("down", self.down)):
            if direction in (name, "both"):
                links[site] = replace(links[site], **settings)
        self._paths.clear()

    def settings(self, site: str) -> dict[str, LinkSettings]:
        """The three links of a site now."""
        return {"up": self.up[site], "down": self.down[site], "lan": self.lan[site]}

    def _path(self, source: str | None, destination: str | None) -> LinkSettings | None:
        if source is not None and source == destination:
            crossed = [self.lan[source]]
        else:
            crossed = [links[site] for links, site in ((self.up, source), (self.down, destination)) if site is not None]
        joined = series(crossed)
        return None if joined == FREE else joined


def series(links: Iterable[LinkSettings]) -> LinkSettings:
    """One link that does what several do one after another; the slowest one's rate and queue bound it."""
    joined = FREE
    for link in links:
        slower = link.rate_bps is not None and (joined.rate_bps is None or link.rate_bps < joined.rate_bps)
        joined = LinkSettings(
            link.rate_bps if slower else joined.rate_bps,
            joined.delay + link.delay,
            1 - (1 - joined.loss) * (1 - link.loss),
            link.queue if slower or joined.queue is None else joined.queue,
        )
    return joined
