"""Zones that change in a world: who is a secondary and transfers them, who may update delegations, the keys of both.

TSIG keys follow from the world's name and seed, as those of signed zones do, so that every process of a world knows them.
Whoever has the world file has them: they protect nothing outside of the world.
"""

from collections.abc import Mapping
from hashlib import sha512
from typing import TYPE_CHECKING

from netstack.kernel.disk import Disk
from netstack.world import signing
from netstack.world.addresses import AddressTable
from netstack.world.model import World, Zone

if TYPE_CHECKING:
    from netstack.dns.tsig import Key
    from netstack.taps.changing import Changing

TRANSFER = "transfer"
"""First label of the key for the transfers of a zone."""
BEGUN = "registrations/begun"
PATIENCE, ATTEMPTS = 0.25, 7
"""A host may ask before the other one listens: the first repetition comes soon."""


def replicated(world: World, zone: Zone) -> bool:
    """Whether the zone's further servers are secondaries that transfer it from the first; one that recurses is none."""
    return len(zone.servers) > 1 and _changeable(world, zone)


def updated(world: World, zone: Zone) -> bool:
    """Whether the zone takes updates."""
    return bool(zone.updates) and _changeable(world, zone)


def copied(world: World, zone: Zone, host: str) -> bool:
    """Whether a host has its zone from another."""
    return host != zone.servers[0] and replicated(world, zone)


def changes(world: World, host: str) -> bool:
    """Whether any zone of a host changes."""
    return any(replicated(world, zone) or updated(world, zone) for zone in world.served_by(host))


def key(world: World, name: str) -> "Key":
    """The key of a name: a host's for its updates, or that of `transfer_key`."""
    from netstack.dns.tsig import Key

    return Key.make(name, sha512(f"tsig key {world.name} {world.seed} {name}".encode()).digest()[:32])


def transfer_key(zone: str) -> str:
    """The name of the key under which a zone is transferred and its secondaries are told of changes."""
    return TRANSFER if zone == "." else f"{TRANSFER}.{zone}"


def config(world: World, table: AddressTable, host: str) -> "Changing":
    """What the host's server does about its zones that change."""
    from netstack.dns.limits import ZoneLimits
    from netstack.taps.changing import Changing

    keys: dict[str, None] = {}
    transfer, update, notify, secondary = [], [], [], []
    for zone in world.served_by(host):
        signer = transfer_key(zone.name)
        primary, *others = zone.servers
        if replicated(world, zone):
            keys[signer] = None
            transfer.append((zone.name, signer))
            if host == primary:
                notify += [(zone.name, f"{table.first(other)}%{signer}") for other in others]
            else:
                secondary.append((zone.name, f"{table.first(primary)}%{signer}"))
        if host == primary and updated(world, zone):
            keys |= dict.fromkeys(zone.updates)
            update += [(zone.name, f"{who} delegations") for who in zone.updates]
    return Changing(
        tuple(key(world, name) for name in keys), tuple(transfer), tuple(update), tuple(notify), tuple(secondary),
        ZoneLimits(patience=PATIENCE, attempts=ATTEMPTS),
    )  # fmt: skip


def begin(world: World, texts: Mapping[str, str], host: str, disk: Disk) -> None:
    """Before a server starts: what its disk kept of zones is forgotten if the world says something else of them now.

    Addresses may be others than in the last run, while serial numbers begin anew with each.
    """
    import dns.name

    from netstack.dns.store import ZoneStore

    for zone in world.served_by(host):
        kept = updated(world, zone) or signing.signed(world, zone.name)
        if copied(world, zone, host) or (host == zone.servers[0] and kept):
            ZoneStore(disk, dns.name.from_text(zone.name)).belong_to(texts[zone.name])


def begin_registrar(world: World, texts: Mapping[str, str], host: str, disk: Disk) -> None:
    """The same for a registrar: what it registered went with the zones that had it."""
    from netstack.dns.store import keep_under
    from netstack.registrar.store import JOURNAL

    texts_of_registries = "".join(texts[zone.name] for zone in world.zones.values() if host in zone.updates)
    keep_under(disk, BEGUN, texts_of_registries, (JOURNAL,))


def _changeable(world: World, zone: Zone) -> bool:
    return not any(_recurses(world, server) for server in zone.servers)


def _recurses(world: World, host: str) -> bool:
    service = world.hosts[host].service("dns")
    return service is not None and service.options.get("recursion") is True
