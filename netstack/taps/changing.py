"""netstack-dns, zones that change: keys, who may transfer and update, whom to notify, where secondaries get their zones."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dns.name import Name
from twisted.python import usage

from netstack.dns.access import Access, Grant, UpdatePolicy, name_of
from netstack.dns.authority import Authority
from netstack.dns.dnssec.signer import Signing
from netstack.dns.forwarders import Forwarder
from netstack.dns.keeper import Upstream, ZoneKeeper
from netstack.dns.limits import ZoneLimits
from netstack.dns.metrics import zone_counts
from netstack.dns.nameserver import Nameserver, ZoneRules
from netstack.dns.notifier import Target
from netstack.dns.tsig import Key, keyring, keys_from_text
from netstack.dns.wire import name_text
from netstack.kernel.machine import Machine
from netstack.sansio import Address
from netstack.taps.standalone import in_use, reason

EVERY = "*"
"""Stands for all zones in `transfer`."""
DOMAIN = 53
_LIMITS = ZoneLimits()


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server: ADDRESS[:PORT][%KEY]. The port is a standard one, shifted as ours are; none is 53.

    A primary may also be tls://ADDRESS[:PORT]#NAME[%KEY] (RFC 9103), with port 853 where none is given.
    """

    address: str
    port: int = DOMAIN
    key: Name | None = None
    name: str | None = None
    """What the certificate must be for, under TLS."""

    @classmethod
    def parse(cls, text: str) -> "Peer":
        """Raises ValueError. An IPv6 address with a port stands in brackets."""
        where, _, key = text.partition("%")
        if where.startswith("tls://"):
            found = Forwarder.parse(where)
            return cls(found.address, found.port, name_of(key) if key else None, found.name)
        address, port = where, str(DOMAIN)
        if where.startswith("["):
            address, _, port = where[1:].partition("]")
            port = port.removeprefix(":") or str(DOMAIN)
        elif where.count(":") == 1:
            address, _, port = where.partition(":")
        try:
            ip_address(address)
            number = int(port)
        except ValueError:
            raise ValueError(f"{text!r}: expected ADDRESS[:PORT][%KEY]") from None
        if not 0 < number < 65536:
            raise ValueError(f"{text!r}: expected a port from 1 to 65535")
        return cls(address, number, name_of(key) if key else None)

    def place(self, machine: Machine) -> Address:
        """Address and port in use."""
        return self.address, in_use(machine, self.port)


@dataclass(frozen=True, slots=True)
class Changing:
    """Raises ValueError that names the field and what was expected. Origins are names such as "umass.edu"."""

    keys: tuple[Key, ...] = field(default=(), repr=False)
    transfer: tuple[tuple[str, str], ...] = ()
    """(origin or "*", key or network): who may transfer a zone; nobody by default."""
    update: tuple[tuple[str, str], ...] = ()
    """(origin, grant): who may change what in it (`Grant.parse`)."""
    notify: tuple[tuple[str, str], ...] = ()
    """(origin, ADDRESS[:PORT][%KEY]): whom to tell of changes."""
    secondary: tuple[tuple[str, str], ...] = ()
    """(origin, ADDRESS[:PORT][%KEY]...): a zone that is transferred from these, tried in this order."""
    limits: ZoneLimits = field(default_factory=ZoneLimits)
    notify_servers: bool = True
    """Whether a zone's own name servers are told of changes, too."""

    def __post_init__(self) -> None:
        known = keyring(self.keys)
        for origin, who in self.transfer:
            self._check(known, "transfer", "." if origin == EVERY else origin, Access.of([who]).keys)
        for origin, text in self.update:
            self._check(known, "update", origin, [_parsed("update", Grant.parse, text).key])
            if origin_of(origin) in self.secondaries():
                raise ValueError(f"update: {origin} is a secondary's copy; its primary takes updates")
        for name in ("notify", "secondary"):
            for origin, text in getattr(self, name):
                peers = [_parsed(name, Peer.parse, each) for each in text.split(",")]
                self._check(known, name, origin, [peer.key for peer in peers if peer.key is not None])
                if name == "notify" and any(peer.name is not None for peer in peers):
                    raise ValueError(f"notify: {origin}: expected no tls:// servers, NOTIFY goes in the clear")
                if name == "secondary" and len({peer.key for peer in peers}) > 1:
                    raise ValueError(f"secondary: {origin}: expected one key for all its primaries")
        if len(self.secondaries()) != len(self.secondary):
            raise ValueError("secondary: a zone is given more than once")

    def check_origins(self, there: Set[Name]) -> None:
        """Raises ValueError for rules about zones that are not `there`, of our own or as copies."""
        for name in ("transfer", "update", "notify"):
            for origin, _ in getattr(self, name):
                if origin != EVERY and origin_of(origin) not in there:
                    raise ValueError(f"{name}: expected the origin of a zone that is served, got {origin!r}")

    def secondaries(self) -> set[Name]:
        """Origins of the zones that are copies."""
        return {origin_of(origin) for origin, _ in self.secondary}

    def _check(self, known: dict[Name, Key], name: str, origin: str, keys: Iterable[Name]) -> None:
        _parsed(name, origin_of, origin)
        for key in keys:
            if key not in known:
                raise ValueError(f"{name}: {origin}: expected one of the keys that are given, got {name_text(key)!r}")


def origin_of(text: str) -> Name:
    """The origin of a zone; raises ValueError."""
    return name_of(text or ".")


def peers_of(text: str) -> list[Peer]:
    """The servers of a list with commas; raises ValueError."""
    return [Peer.parse(each) for each in text.split(",")]


def _parsed(name: str, parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def zone_keeper(
    config: Changing, machine: Machine, authority: Authority, signings: Mapping[Name, Signing] = MappingProxyType({})
) -> ZoneKeeper:
    """The service that keeps the zones, those of `signings` signed; raises StoreError for files of theirs."""
    keys = keyring(config.keys)
    copies = config.secondaries()
    there = {*authority.zones, *copies}
    rules: dict[Name, ZoneRules] = {}
    for zone in sorted(there, key=str):
        who = [word for origin, word in config.transfer if origin == EVERY or origin_of(origin) == zone]
        grants = [Grant.parse(text) for origin, text in config.update if origin_of(origin) == zone]
        policy = UpdatePolicy(grants) if grants else None
        rules[zone] = ZoneRules(Access.of(who), policy, signing=signings.get(zone))
    upstreams: dict[Name, Upstream] = {}
    for origin, text in config.secondary:
        peers = [Peer.parse(each) for each in text.split(",")]
        key = None if peers[0].key is None else keys[peers[0].key]
        upstreams[origin_of(origin)] = Upstream(
            tuple(peer.place(machine) for peer in peers),
            key,
            {peer.place(machine): peer.name for peer in peers if peer.name is not None},
        )
        allowed = [peer.address for peer in peers] if key is None else [name_text(key.name)]
        rules[origin_of(origin)].notify_from = Access.of(allowed + [peer.address for peer in peers])
    targets: dict[Name, list[Target]] = defaultdict(list)
    for origin, text in config.notify:
        for each in text.split(","):
            peer = Peer.parse(each)
            targets[origin_of(origin)].append(Target(peer.place(machine), None if peer.key is None else keys[peer.key]))
    nameserver = Nameserver(authority, keys, rules)
    counts = zone_counts(machine.registry)
    if machine.worker is not None and not machine.worker.is_owner:
        for copy in upstreams:
            authority.withdraw(copy)
        return ZoneKeeper(machine, nameserver, {}, {}, config.limits, counts, owner=False)
    servers = machine.port(DOMAIN) if config.notify_servers else None
    return ZoneKeeper(machine, nameserver, upstreams, targets, config.limits, counts, servers=servers)


def keys_of(path: str) -> list[Key]:
    """What a file that `--tsig` names has; raises UsageError."""
    try:
        return keys_from_text(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise usage.UsageError(f"--tsig {path}: {reason(error)}") from None


class ChangingOptions(usage.Options):
    """Command line of all this; a tap's Options inherit from it."""

    optParameters = [
        ["ixfr-differences", None, _LIMITS.differences, "Differences of a zone that are remembered for IXFR.", int],
        ["ixfr-records", None, _LIMITS.difference_records, "Records in the differences of a zone.", int],
        ["transfers-out", None, _LIMITS.transfers_out, "Zone transfers out at once.", int],
        ["transfers-in", None, _LIMITS.transfers_in, "Zone transfers in at once.", int],
        ["transfer-records", None, _LIMITS.transfer_records, "Records that a transfer in may have.", int],
        ["transfer-idle", None, _LIMITS.transfer_idle, "Seconds between messages of a transfer in.", float],
        ["transfer-time", None, _LIMITS.transfer_time, "Seconds for a transfer in.", float],
        ["least-refresh", None, _LIMITS.least_refresh, "Least seconds between checks of a primary.", float],
        ["notify-servers", None, "on", "NOTIFY a zone's own name servers, too: on or off."],
        ["update-queue", None, _LIMITS.updates, "Updates that wait for the disk.", int],
    ]

    def __init__(self) -> None:
        self.tsig: list[Key] = []
        self.changing: dict[str, list[tuple[str, str]]] = defaultdict(list)
        super().__init__()  # type: ignore[no-untyped-call]

    def opt_tsig(self, path: str) -> None:
        """A file of keys as tsig-keygen writes it (RFC 8945); may be repeated."""
        self.tsig += keys_of(path)

    def opt_transfer(self, value: str) -> None:
        """Who may transfer a zone out, ORIGIN=KEY or ORIGIN=NETWORK, ORIGIN * for all zones; may be repeated."""
        self._pair("transfer", value)

    def opt_update(self, value: str) -> None:
        """Who may change what (RFC 2136), ORIGIN=KEY SCOPE [TYPE...]; may be repeated."""
        self._pair("update", value)

    def opt_notify(self, value: str) -> None:
        """Whom to tell of changes (RFC 1996), ORIGIN=ADDRESS[:PORT][%KEY],...; may be repeated."""
        self._pair("notify", value)

    def opt_secondary(self, value: str) -> None:
        """A zone to transfer from its primaries, ORIGIN=ADDRESS[:PORT][%KEY],... or, over TLS,
        tls://ADDRESS[:PORT]#NAME[%KEY]; may be repeated."""
        self._pair("secondary", value)

    def changes(self) -> Changing:
        """The configuration; raises ValueError."""
        limits = ZoneLimits(
            differences=self["ixfr-differences"],
            difference_records=self["ixfr-records"],
            transfers_out=self["transfers-out"],
            transfers_in=self["transfers-in"],
            transfer_records=self["transfer-records"],
            transfer_idle=self["transfer-idle"],
            transfer_time=self["transfer-time"],
            least_refresh=self["least-refresh"],
            updates=self["update-queue"],
        )
        pairs = {name: tuple(found) for name, found in self.changing.items()}
        if self["notify-servers"] not in ("on", "off"):
            raise ValueError(f"notify-servers: expected on or off, got {self['notify-servers']!r}")
        return Changing(tuple(self.tsig), limits=limits, notify_servers=self["notify-servers"] == "on", **pairs)

    def _pair(self, name: str, value: str) -> None:
        origin, _, rest = value.partition("=")
        if not origin or not rest:
            raise usage.UsageError(f"--{name} {value}: expected ORIGIN=...")
        self.changing[name].append((origin, rest))
