"""The registrar's side of a top-level domain: one signed, atomic UPDATE for each change (RFC 2136, RFC 8945), and looks.

Updates go by TCP, once: a datagram that was repeated could meet its own prerequisites and be told that the name is taken.
"""

import struct
from dataclasses import dataclass
from typing import Any

import dns.message
import dns.name
import dns.update
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.limits import ZoneLimits
from netstack.dns.requests import NoReply, request
from netstack.dns.tsig import Key
from netstack.dns.wire import AA, MalformedMessage, Question, make_query, parse_reply
from netstack.kernel.machine import Machine
from netstack.registrar.events import Change, Delegation, NameServer
from netstack.sansio import Address

ADDRESSES = (RdataType.A, RdataType.AAAA)
TTL = 172_800
"""Of delegations: two days, as the chapter's records live."""
PAYLOAD = 1232
TAKEN = frozenset({Rcode.YXDOMAIN, Rcode.YXRRSET, Rcode.NXDOMAIN, Rcode.NXRRSET})
"""A prerequisite does not hold: the registry says something else of the domain than it was thought to."""


class Unreachable(Exception):
    """The registry did not answer, or could not just now: whether it carried a change out is not known."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A zone in which domains are registered, the server that takes its updates, and the key that is shared with it."""

    origin: str
    server: Address
    key: Key
    ttl: int = TTL


@dataclass(frozen=True, slots=True)
class Said:
    """What a registry says of a name."""

    in_use: bool
    delegation: Delegation | None = None
    """Where it refers to name servers."""

    def is_(self, wanted: Delegation | None) -> bool:
        """Whether that is the delegation, in whatever order."""
        if wanted is None or self.delegation is None:
            return wanted is None and not self.in_use
        return _unordered(self.delegation) == _unordered(wanted)


def update_message(identity: int, origin: str, change: Change, ttl: int) -> bytes:
    """The octets of the UPDATE of a change: what must be so (RFC 2136 §2.4), what goes, what comes."""
    before, after = change.delegations
    domain = dns.name.from_text(change.name)
    message = dns.update.UpdateMessage(dns.name.from_text(origin), id=identity)
    if before is None:
        message.absent(domain)
    else:
        for server in before.servers:
            message.present(domain, "NS", server.name + ".")
        message.delete(domain, "NS")
        message.delete(domain, "DS")
        for server in before.servers:
            if server.addresses:
                for rdtype in ADDRESSES:
                    message.delete(dns.name.from_text(server.name), rdtype)
    if after is not None:
        for server in after.servers:
            message.add(domain, ttl, "NS", server.name + ".")
            for address in server.addresses:
                message.add(dns.name.from_text(server.name), ttl, "AAAA" if ":" in address else "A", address)
        for ds in after.ds:
            message.add(domain, ttl, "DS", ds)
    return bytes(message.to_wire())


class RegistryClient:
    """Talks to one registry."""

    def __init__(self, machine: Machine, registry: Registry, patience: float) -> None:
        self.registry = registry
        self._machine = machine
        self._limits = ZoneLimits(patience=patience, attempts=1)

    async def update(self, change: Change) -> Rcode:
        """Have a change carried out; what the registry answers. Raises Unreachable."""
        identity = self._machine.rng.getrandbits(16)
        data = update_message(identity, self.registry.origin, change, self.registry.ttl)
        rcode = Rcode((await self._ask(data))[3] & 15)
        if rcode == Rcode.SERVFAIL:
            raise Unreachable(f"the registry of .{self.registry.origin} cannot change anything now")
        return rcode

    async def look(self, domain: str) -> Said:
        """What the registry says of a name now; raises Unreachable."""
        name = dns.name.from_text(domain)
        reply = await self._query(name, RdataType.NS)
        if reply.rcode() == Rcode.NXDOMAIN:
            return Said(False)
        if reply.rcode() != Rcode.NOERROR:
            raise Unreachable(f"the registry of .{self.registry.origin} answers {Rcode.to_text(reply.rcode())}")
        cut: Any = next((each for each in reply.authority if each.name == name and each.rdtype == RdataType.NS), None)
        if int(reply.flags) & AA or cut is None:
            return Said(True)
        glue: dict[Name, list[str]] = {}
        for rrset in reply.additional:
            if rrset.rdtype in ADDRESSES and rrset.name.is_subdomain(name):
                glue.setdefault(rrset.name, []).extend(rdata.address for rdata in rrset)
        servers = tuple(
            NameServer(rdata.target.to_text(omit_final_dot=True).lower(), tuple(glue.get(rdata.target, ()))) for rdata in cut
        )
        ds = await self._query(name, RdataType.DS)
        texts = tuple(str(rdata) for rrset in ds.answer if rrset.rdtype == RdataType.DS for rdata in rrset)
        return Said(True, Delegation(servers, texts))

    async def _query(self, name: Name, rdtype: RdataType) -> dns.message.Message:
        identity = self._machine.rng.getrandbits(16)
        data = await self._ask(make_query(identity, Question(name, rdtype), False, PAYLOAD), stream=False)
        try:
            return parse_reply(data)
        except MalformedMessage as error:
            raise Unreachable(f"the registry of .{self.registry.origin}: {error}") from error

    async def _ask(self, data: bytes, stream: bool = True) -> bytes:
        try:
            return await request(self._machine, self.registry.server, data, self.registry.key, self._limits, stream)
        except (NoReply, struct.error) as error:
            raise Unreachable(f"the registry of .{self.registry.origin}: {error}") from error


def _unordered(delegation: Delegation) -> tuple[frozenset[tuple[str, frozenset[str]]], frozenset[str]]:
    servers = frozenset((server.name, frozenset(server.addresses)) for server in delegation.servers)
    return servers, frozenset(text.lower() for text in delegation.ds)
