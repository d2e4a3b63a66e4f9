"""The access links of a world's sites while it runs: what a packet between two addresses crosses, changed live."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from netstack.kernel.links import Link, LinkSettings
from netstack.world.addresses import AddressTable
from netstack.world.model import FREE, World

Direction = Literal["up", "down", "both"]


class SiteLinks:
    """Implements `kernel.links.Links`: the uplink of the source's site, then the downlink of the destination's.

    Hosts of one site have its LAN between them. Foreign addresses (a dig, a browser) have no link of their own.
    """

    def __init__(self, world: World, table: AddressTable, shaped: bool = True, senders_elsewhere: bool = False) -> None:
        """Not `shaped`: every link begins without delay, loss or bound on its rate, whatever the world says."""
        self.senders_elsewhere = senders_elsewhere
        self.up = {name: site.up if shaped else FREE for name, site in world.sites.items()}
        self.down = {name: site.down if shaped else FREE for name, site in world.sites.items()}
        self.lan = {name: site.lan if shaped else FREE for name, site in world.sites.items()}
        self._table = table
        self._up, self._down, self._lan = (_links(each) for each in (self.up, self.down, self.lan))
        self._paths: dict[tuple[str | None, str | None], tuple[Link, ...]] = {}

    def path(self, source: str, destination: str) -> Sequence[Link]:
        """What a packet crosses; the links stay the same while their settings change."""
        sites = self._table.site_of
        key = sites.get(source), sites.get(destination)
        try:
            return self._paths[key]
        except KeyError:
            found = self._paths[key] = self._path(*key)
            return found

    def change(self, site: str, direction: Direction = "both", **settings: Any) -> None:
        """Set some of `rate_bps`, `delay`, `loss` and `queue` of a site's access link; raises KeyError for no such site.

        It counts at once for all packets, but a connection that was opened while its whole path was free stays free.
        """
        for name, wanted, links in (("up", self.up, self._up), ("down", self.down, self._down)):
            if direction in (name, "both"):
                wanted[site] = replace(wanted[site], **settings)
                links[site].settings = _settings(wanted[site])

    def settings(self, site: str) -> dict[str, LinkSettings]:
        """The three links of a site now."""
        return {"up": self.up[site], "down": self.down[site], "lan": self.lan[site]}

    def carried(self, site: str, direction: Literal["up", "down", "lan"]) -> tuple[int, float]:
        """Octets that a link of a site has taken since the start, headers too, and when, by its hosts' clock, it will have
        sent all that waits for it. A link without any setting counts nothing.
        """
        link = {"up": self._up, "down": self._down, "lan": self._lan}[direction][site]
        return link.octets, link.free

    def _path(self, source: str | None, destination: str | None) -> tuple[Link, ...]:
        if source is not None and source == destination:
            return (self._lan[source],)
        crossed = ((self._up, source), (self._down, destination))
        return tuple(links[site] for links, site in crossed if site is not None)


def _links(wanted: Mapping[str, LinkSettings]) -> dict[str, Link]:
    return {name: Link(_settings(each)) for name, each in wanted.items()}


def _settings(wanted: LinkSettings) -> LinkSettings | None:
    return None if wanted == FREE else wanted
