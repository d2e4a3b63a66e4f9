"""The names of a service that runs outside a world: the system's hosts file, then its resolvers or those that are named."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.python import usage

from netstack.dns.client import StubResolver
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import is_address
from netstack.sansio import Address
from netstack.taps.standalone import MachineOptions

HOSTS, RESOLV = Path("/etc/hosts"), Path("/etc/resolv.conf")


class ResolvingOptions(MachineOptions):
    """Adds `--resolver`: the machine looks names up."""

    def __init__(self) -> None:
        self.resolvers: list[str] = []
        super().__init__()

    def opt_resolver(self, text: str) -> None:
        """A DNS server to ask, ADDRESS[:PORT]; may be repeated [default: the system's, after its hosts file]."""
        try:
            server(text)
        except ValueError as error:
            raise usage.UsageError(f"--resolver {error}") from None
        self.resolvers.append(text)

    def machine(self) -> Machine:
        machine = super().machine()
        machine.resolver = system_names(machine, self.resolvers)
        return machine


class SystemNames:
    """The kernel's Resolver interface: hosts first, then DNS."""

    def __init__(self, hosts: Mapping[str, Sequence[str]], dns: StubResolver) -> None:
        self._hosts = hosts
        self._dns = dns

    async def addresses(self, name: str) -> Sequence[str]:
        found = self._hosts.get(name.lower().rstrip("."))
        return found if found is not None else await self._dns.addresses(name)

    async def records(self, name: str, rdtype: str) -> Sequence[str]:
        return await self._dns.records(name, rdtype)

    async def proved(self, name: str, rdtype: str) -> Sequence[str] | None:
        return await self._dns.proved(name, rdtype)


def system_names(machine: Machine, servers: Sequence[str] = (), hosts: Path = HOSTS, resolv: Path = RESOLV) -> SystemNames:
    """`servers`: `ADDRESS[:PORT]` in place of the system's; raises ValueError."""
    chosen = [server(text) for text in servers] or [(address, 53) for address in nameservers(_read(resolv))]
    return SystemNames(hosts_of(_read(hosts)), StubResolver(machine, chosen or [("127.0.0.1", 53)]))


def server(text: str) -> Address:
    """An address and port from `ADDRESS[:PORT]`, an IPv6 address with a port in brackets."""
    host, _, port = (
        text.rpartition(":") if text.count(":") == 1 or (text.startswith("[") and "]:" in text) else (text, "", "53")
    )
    host = host.strip("[]")
    if not is_address(host) or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not ADDRESS or ADDRESS:PORT")
    return host, int(port)


def nameservers(text: str) -> list[str]:
    """The servers of a resolv.conf, at most three as everybody else reads it (resolv.conf(5))."""
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver" and is_address(words[1])][:3]


def hosts_of(text: str) -> dict[str, list[str]]:
    """Name -> addresses of a hosts file (hosts(5))."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if is_address(address):
            for name in names:
                found.setdefault(name.lower(), []).append(address)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
