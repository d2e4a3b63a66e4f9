"""Field blocks of one connection as requests, those that come again without reading them again (RFC 7541, RFC 9113 §8)."""

from hpack import HPACKError, OversizedHeaderListError

from netstack.http.engine.heads import Heads
from netstack.http.engine.http2.fields import FieldDecoder, Pairs, parse_request
from netstack.http.engine.http2.frames import Code, ConnectionFault
from netstack.http.events import RequestReceived

BLOCKS, BLOCK = 64, 512
"""Blocks that are remembered, and the octets of the longest."""


class OversizedFields(ConnectionFault):
    """A small block that is a large field section, or simply a large one."""


class RequestReader:
    """Keeps the decoder's table; `decode` every block, also those of streams that are not wanted."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads
        self._decoder = FieldDecoder(2 * heads.limits.head)
        self._remembers = heads.limits.memo > 0
        self._known: tuple[dict[bytes, RequestReceived], dict[bytes, RequestReceived]] = {}, {}
        """By blocks, of requests with a body and of those without one, while the table stays as it is."""

    def decode(self, block: bytes) -> Pairs:
        """The fields of a block."""
        try:
            return self._decoder.decode(block)
        except OversizedHeaderListError:
            raise OversizedFields(Code.ENHANCE_YOUR_CALM, "a field section larger than is read") from None
        except (HPACKError, ValueError, IndexError) as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, f"a field block that cannot be read: {error}") from None

    def request(self, block: bytes, ended: bool) -> RequestReceived:
        """The request of a block whose stream has ended with it, or goes on; raises Malformed and BadMessage."""
        known = self._known[ended]
        received = known.get(block)
        if received is not None:
            received.again = True
            return received
        before = self._decoder.version
        pairs = self.decode(block)
        changed = self._decoder.version != before
        if changed:
            self._known = {}, {}
        octets = sum([len(name) + len(value) for name, value in pairs])
        received = self._heads.remembered((ended, pairs), octets, parse_request)
        if self._remembers and not changed and len(block) <= BLOCK and "authorization" not in received.request.fields:
            if len(known) >= BLOCKS:
                known.clear()
            known[block] = received
        return received
