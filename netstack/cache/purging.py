"""Removing stored responses before their time: by PURGE, which is no method of an RFC but of every cache, and by control."""

from hmac import compare_digest
from ipaddress import ip_address
from typing import TYPE_CHECKING

from netstack.cache.errors import refusal
from netstack.http.events import Respond
from netstack.http.values import http_date
from netstack.http.wire import Request
from netstack.sansio import Peer

if TYPE_CHECKING:
    from netstack.cache.proxy import Proxy

FIELD = "purge-key"


class Purging:
    """Who may purge, and what it does."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy

    def asked(self, request: Request, peer: Peer, key: bytes) -> Respond:
        """The answer to a PURGE of one URL: 200 when something was removed, 404 when nothing was there."""
        proxy, wall = self._proxy, self._proxy.machine.wall()
        wanted = proxy.options.purge_key
        if not wanted:
            return refusal(405, "Nothing can be purged here: the cache has no --purge-key.", wall, b"Allow: GET, HEAD\r\n")
        if peer.security is None and not _loopback(peer.remote[0]):
            proxy.counts.refused["key"] += 1
            return refusal(403, "PURGE needs TLS, or a client on the cache's own machine.", wall)
        if not compare_digest(request.fields.get(FIELD, "").encode("latin-1"), wanted):
            proxy.counts.refused["key"] += 1
            return refusal(403, "PURGE needs the field Purge-Key with the cache's key.", wall)
        count = proxy.remove(key)
        proxy.counts.purged["method"] += count
        if not count:
            return refusal(404, "Nothing is stored under this URL.", wall)
        text = f"{count} stored {'response' if count == 1 else 'responses'} removed\n".encode()
        fields = f"Date: {http_date(wall)}\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n"
        return Respond(200, fields.encode(), text)

    def url(self, url: str) -> int:
        """Remove what is stored under a URL; raises ValueError for what is none."""
        return self._removed(self._proxy.url_key(url))

    async def below(self, prefix: str) -> int:
        """Remove all whose URL begins so, also from the disk; everything for an empty prefix."""
        count, wanted = 0, b"GET " + prefix.encode("latin-1", "replace")
        store = self._proxy.store
        for key in store.receiving(wanted):
            count += self._removed(key)
        async for stored in store.everything(wanted):
            count += self._removed(stored.key)
        return count

    def _removed(self, key: bytes) -> int:
        count = self._proxy.remove(key)
        self._proxy.counts.purged["control"] += count
        return count


def _loopback(address: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
