"""DNSSEC in a world: which zones are signed, their keys, the DS records of parents, the trust anchors of resolvers.

The keys follow from the world's name and seed, so that every process of a world, whichever host it runs, knows one chain.
Whoever has the world file has them: they protect nothing outside of the world.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha512

from netstack.world.addresses import AddressTable
from netstack.world.model import World, enclosing


def signed(world: World, zone: str) -> bool:
    """Whether a zone is signed: as its table says, else where the profile validates."""
    choice = world.zones[zone].signed
    return world.profile.validation if choice is None else choice


def key_texts(world: World, zone: str) -> tuple[str, str]:
    """The zone's key: the texts of its public and its private file."""
    return _key(f"{world.name} {world.seed} {zone}", zone)[:2]


def ds_lines(world: World, child: str) -> tuple[str, ...]:
    """For the parent's master file."""
    return (_key(f"{world.name} {world.seed} {child}", child)[2],) if signed(world, child) else ()


def anchors(world: World) -> tuple[str, ...]:
    """DS records of the signed zones whose parents cannot vouch for them: the root's, or islands'."""
    return tuple(line for zone in world.zones for line in ds_lines(world, zone) if not _vouched(world, zone))


def parents(world: World, table: AddressTable, zones: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(zone, addresses of its signed parent's servers), as the server of a zone is told them for rollovers."""
    found = []
    for zone in zones:
        above = next((name for name in enclosing(zone) if name != zone and name in world.zones), None)
        if above is not None and signed(world, above):
            servers = [address for server in world.zones[above].servers for address in table.hosts[server]]
            found.append((zone, ",".join(servers)))
    return tuple(found)


def _vouched(world: World, zone: str) -> bool:
    above = next((name for name in enclosing(zone) if name != zone and name in world.zones), None)
    return above is not None and signed(world, above)


@lru_cache(maxsize=10_000)
def _key(seed: str, zone: str) -> tuple[str, str, str]:
    import dns.name

    from netstack.dns.dnssec.keys import MATERIAL, anchors, make_key

    key = make_key(dns.name.from_text(zone), sha512(f"zone key {seed}".encode()).digest()[:MATERIAL], True)
    return key.public_text(), key.private_text(), anchors([key])[0]
