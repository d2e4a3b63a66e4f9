"""What a control client can ask of a world that this process has brought up."""

import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import DeferredLock

from netstack.kernel.journal import Row
from netstack.sansio import Address
from netstack.world.addresses import AddressTable
from netstack.world.compose import proxy_of, standard_ports
from netstack.world.control.keys import KeyVerbs
from netstack.world.control.mail import MailVerbs
from netstack.world.control.names import NameVerbs, origin_of, text
from netstack.world.control.objects import ObjectVerbs
from netstack.world.control.ring import RingVerbs
from netstack.world.control.server import ControlError, Stream, Verb
from netstack.world.model import World
from netstack.world.problems import nearest
from netstack.world.running import Running, RunningHost

if TYPE_CHECKING:
    from netstack.http.client import Seen
    from netstack.http.wire import Response

Arguments = Mapping[str, Any]
MOST_OCTETS = 48 * 1024 * 1024
"""Of the rows in one answer of `journal.read`; the newest are kept."""
ROW = 400
"""Octets of a row beside its data, about."""
PATIENCE = 15.0
"""Seconds for a reply of the resolver, which has time-outs of its own below that."""
FETCH, MOST_SECONDS = 30.0, 86_400
"""Seconds for a response to come whole."""
EVERY = 0.1
"""Seconds between items that tell of progress."""
DIRECTIONS = ("up", "down", "both")


class WorldVerbs:
    """The verbs of one world. `stop` asks the process to end."""

    def __init__(self, running: Running, stop: Callable[[], None]) -> None:
        self.running = running
        self._stop = stop
        self._tracing = DeferredLock()
        """One traced conversation at a time: their rows lie in one journal."""

    def table(self) -> dict[str, Verb]:
        """Verb -> handler."""
        return {
            "status": self.status,
            "inspect": self.inspect,
            "environment": self.environment,
            "resolve": self.resolve,
            "get": self.get,
            "flush": self.flush,
            "links.list": self.links_list,
            "links.set": self.links_set,
            "journal.enable": self.journal_enable,
            "journal.disable": self.journal_disable,
            "journal.read": self.journal_read,
            "journal.follow": self.journal_follow,
            "journal.clear": self.journal_clear,
            **KeyVerbs(self.running).table(),
            "ca": self.ca,
            "stop": self.stop,
            **NameVerbs(self.running, self._host).table(),
            **ObjectVerbs(self._host).table(),
            **MailVerbs(self._host, self._client, self._traced).table(),
            **RingVerbs(self._host, self._client, self._traced).table(),
        }

    async def status(self, arguments: Arguments, stream: Stream) -> object:
        """The whole world, as `netstack status --json` prints it."""
        return self.running.status()

    async def inspect(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"} -> one host, in more detail than `status`."""
        host = self._host(arguments)
        world = self.running.world
        return {
            "name": host.name,
            "about": host.host.about,
            "aliases": list(host.host.aliases),
            "addresses": list(host.machine.addresses),
            "resolver": world.resolver_of(host.name),
            "proxy": world.proxy_of(host.name),
            "zones": [zone.name for zone in world.served_by(host.name)],
            "recording": host.name in host.machine.journal.enabled,
            **host.status(),
        }

    async def environment(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"} -> what a program needs that is run as if on this host."""
        running = self.running
        host = self._host(arguments)
        resolver = running.world.resolver_of(host.name)
        names: dict[str, list[str]] = {}
        for name, one in running.world.hosts.items():
            for also in (name, *one.aliases):
                names[also] = list(running.table.hosts[name])
        return {
            "world": running.name,
            "substrate": running.substrate,
            "host": host.name,
            "address": host.machine.address,
            "resolver": None if resolver is None else running.table.first(resolver),
            "proxy": self._proxy(host.name),
            "offset": running.port_offset,
            "ports": standard_ports(running.world),
            "names": names,
            "ca": str(self._ca()),
        }

    def _proxy(self, host: str) -> dict[str, Any] | None:
        """The Web cache of a host's site, with the port in use."""
        found = proxy_of(self.running.world, host)
        if found is None:
            return None
        name, port = found
        return {"host": name, "address": self.running.table.first(name), "port": port + self.running.port_offset}

    async def ca(self, arguments: Arguments, stream: Stream) -> object:
        """The CA's certificate: its path and PEM text."""
        return {"path": str(self._ca()), "pem": self._ca().read_text()}

    async def stop(self, arguments: Arguments, stream: Stream) -> object:
        """End the process, after it has drained."""
        self._stop()
        return {"stopping": True}

    async def flush(self, arguments: Arguments, stream: Stream) -> object:
        """{"hosts": [...]} -> the number of caches emptied; without hosts all.

        With {"name", "tree"?} resolvers forget that name alone, or all below it too; then also {"forgotten": entries}.
        """
        hosts = self._hosts(arguments) or list(self.running.hosts)
        if arguments.get("name") is None:
            return {"flushed": self.running.flush(hosts)}
        name, tree = origin_of(arguments, "name"), bool(arguments.get("tree"))
        services = [service.service for host in hosts for service in self.running.hosts[host].services]
        controls = [control for it in services if (control := getattr(it, "cache_control", None)) is not None]
        return {"flushed": len(controls), "forgotten": sum([await control.forget(name, tree) for control in controls])}

    async def resolve(self, arguments: Arguments, stream: Stream) -> object:
        """{"name", "type", "host", "cold", "trace"} -> {"answer", "rcode", "messages"}: asked of the site's resolver.

        The messages are those of this look-up, each with its sections under "dns"; others' of the same moment are left out.
        """
        name, rdtype = text(arguments, "name"), text(arguments, "type", "A").upper()
        host = self._client(arguments)

        resolver = self.running.world.resolver_of(host.name)
        if resolver is None:
            raise ControlError(f"{host.name} has no resolver at its site: say which host asks with --from", "usage")
        server = (self.running.table.first(resolver), host.machine.port(53))

        async def look_up() -> dict[str, Any]:
            if arguments.get("cold"):
                self.running.flush()
            return await lookup(host, server, name, rdtype)

        return look_up_alone(await self._traced(look_up, {**arguments, "octets": True}), host.name, name, rdtype, arguments)

    async def get(self, arguments: Arguments, stream: Stream) -> object:
        """{"url", "host", "headers", "http2", "method", "content" (base64), "cookies", "seconds", "trace"} ->
        {"status", "reason", "version", "headers", "body" (base64), "messages"}; "cookies" is the text of a file of cookies,
        and comes back with what the server set. With {"page": MODE}, the way in which
        connections are used, {"mode", "seconds", "connections", "parts", "messages"}. With {"progress": true} items
        {"octets", "length": number or null} tell how much of a long body has come."""
        url = text(arguments, "url")
        host = self._client(arguments)
        headers = arguments.get("headers", [])
        if not isinstance(headers, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in headers):
            raise ControlError("headers: expected [[NAME, VALUE], ...]", "usage")
        method, sent = arguments.get("method", "GET"), arguments.get("content", "")
        if not isinstance(method, str) or not method.isascii() or not method.isalpha():
            raise ControlError(f"method: expected one such as POST, got {method!r}", "usage")
        try:
            content = base64.b64decode(sent, validate=True)
        except (TypeError, ValueError):
            raise ControlError("content: expected base64", "usage") from None
        cookies = arguments.get("cookies")
        if cookies is not None and not isinstance(cookies, str):
            raise ControlError("cookies: expected the text of a file of cookies", "usage")
        mode = arguments.get("page")
        if mode is not None:
            return await self._traced(lambda: load_page(host, url, headers, mode, cookies), arguments)
        seconds = arguments.get("seconds", FETCH)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MOST_SECONDS:
            raise ControlError(f"seconds: expected a number above 0, at most {MOST_SECONDS}, got {seconds!r}", "usage")
        seen = Progress(host.machine.reactor.seconds, stream).seen if arguments.get("progress") else None
        return await self._traced(
            lambda: fetch(host, url, headers, bool(arguments.get("http2")), method, content, cookies, seconds, seen),
            arguments,
        )

    async def links_list(self, arguments: Arguments, stream: Stream) -> object:
        """Site -> {"up", "down", "lan"} -> settings."""
        links = self.running.links
        return {
            site: {name: asdict(settings) for name, settings in links.settings(site).items()}
            for site in self.running.world.sites
        }

    async def links_set(self, arguments: Arguments, stream: Stream) -> object:
        """{"site", "direction": up|down|both, "changes": {rate_bps, delay, loss}} -> the site's links."""
        site, direction, changes = text(arguments, "site"), arguments.get("direction", "both"), arguments.get("changes")
        if site not in self.running.world.sites:
            raise ControlError(f"no site {site}; there are {', '.join(self.running.world.sites)}", "usage")
        if direction not in DIRECTIONS:
            raise ControlError(f"{direction!r} is not a direction; expected up, down or both", "usage")
        self.running.links.change(site, direction, **link_changes(changes))
        return {name: asdict(settings) for name, settings in self.running.links.settings(site).items()}

    async def journal_enable(self, arguments: Arguments, stream: Stream) -> object:
        """{"hosts": [...]} -> record them; without hosts all."""
        self.running.journal.enable(*(self._hosts(arguments) or self.running.hosts))
        return {"enabled": sorted(self.running.journal.enabled)}

    async def journal_disable(self, arguments: Arguments, stream: Stream) -> object:
        """{"hosts": [...]} -> stop recording them; without hosts all."""
        self.running.journal.disable(*self._hosts(arguments))
        return {"enabled": sorted(self.running.journal.enabled)}

    async def journal_clear(self, arguments: Arguments, stream: Stream) -> object:
        """Forget all rows."""
        self.running.journal.clear()
        return {"cleared": True}

    async def journal_read(self, arguments: Arguments, stream: Stream) -> object:
        """{"hosts", "protocol", "octets": bool} -> {"messages"}: what is recorded, the last rows when there are many."""
        wanted, octets = self._filter(arguments), bool(arguments.get("octets"))
        found, left = [], MOST_OCTETS
        for row in reversed(tuple(self.running.journal)):
            left -= ROW + (len(row.data) if octets else 0)
            if left < 0:
                break
            if wanted(row):
                found.append(message(row, octets))
        return {"messages": found[::-1]}

    async def journal_follow(self, arguments: Arguments, stream: Stream) -> object:
        """{"hosts", "protocol", "octets"}: record and stream rows until cancelled -> {"dropped": rows not sent}.

        Hosts that were not recorded before are not recorded after.
        """
        journal = self.running.journal
        wanted, octets = self._filter(arguments), bool(arguments.get("octets"))
        new = set(self._hosts(arguments) or self.running.hosts) - journal.enabled
        journal.enable(*new)

        def row_written(row: Row) -> None:
            if wanted(row):
                stream.send(message(row, octets))

        leave = journal.subscribe(row_written)
        try:
            await stream.ended()
        finally:
            leave()
            if new:
                journal.disable(*new)
        return {"dropped": stream.dropped}

    async def _traced(self, talk: Callable[[], Awaitable[dict[str, Any]]], arguments: Arguments) -> dict[str, Any]:
        """Carry out a conversation; with {"trace": true} its messages, else none."""
        if not arguments.get("trace"):
            return {**await talk(), "messages": []}
        await self._tracing.acquire()
        journal = self.running.journal
        new = set(self.running.hosts) - journal.enabled
        rows: list[Row] = []
        leave = journal.subscribe(rows.append)
        journal.enable(*new)
        try:
            result = await talk()
        finally:
            leave()
            if new:
                journal.disable(*new)
            self._tracing.release()
        return {**result, "messages": [message(row, bool(arguments.get("octets"))) for row in rows]}

    def _host(self, arguments: Arguments) -> RunningHost:
        return self._here(host_of(self.running.world, self.running.table, arguments))

    def _client(self, arguments: Arguments) -> RunningHost:
        return self._here(client_of(self.running.world, self.running.table, arguments))

    def _here(self, name: str) -> RunningHost:
        found = self.running.hosts.get(name)
        if found is None:
            raise ControlError(f"{name} is not run by this process", "usage")
        return found

    def _hosts(self, arguments: Arguments) -> list[str]:
        return hosts_of(self.running.world, self.running.table, arguments)

    def _filter(self, arguments: Arguments) -> Callable[[Row], bool]:
        hosts, protocol = set(self._hosts(arguments)), arguments.get("protocol")

        def wanted(row: Row) -> bool:
            return (not hosts or row.source_name in hosts or row.destination_name in hosts) and (
                protocol is None or row.protocol == protocol
            )

        return wanted

    def _ca(self) -> Path:
        if self.running.ca is None:
            raise ControlError(f"{self.running.name} has no certificate authority")
        return self.running.ca


def host_of(world: World, table: AddressTable, arguments: Arguments) -> str:
    """The host that {"host"} means, by a name or an address of its; raises ControlError."""
    name = text(arguments, "host").rstrip(".").lower()
    for host in world.hosts.values():
        if name == host.name or name in host.aliases or name in table.hosts[host.name]:
            return host.name
    close = nearest(name, [also for host in world.hosts.values() for also in (host.name, *host.aliases)])
    raise ControlError(f"no host {name} in {world.name}{close or '; netstack status lists them'}", "usage")


def hosts_of(world: World, table: AddressTable, arguments: Arguments) -> list[str]:
    """Those that {"hosts"} means; raises ControlError."""
    names = arguments.get("hosts") or []
    if not isinstance(names, list):
        raise ControlError("hosts: expected a list of names", "usage")
    return [host_of(world, table, {"host": name}) for name in names]


def client_of(world: World, table: AddressTable, arguments: Arguments) -> str:
    """The host that asks: the one that {"host"} means, else the first end host of the site that has the most of them."""
    if arguments.get("host") is not None:
        return host_of(world, table, arguments)
    ends = [host for host in world.hosts.values() if not host.services and world.resolver_of(host.name)]
    if not ends:
        raise ControlError("the world has no end host: say which host asks with --from", "usage")
    sites = Counter(host.site for host in ends)
    return max(ends, key=lambda host: sites[host.site]).name


def link_changes(changes: object) -> dict[str, float | None]:
    """The settings of a link that are to be changed, checked."""
    bounds = {"rate_bps": (1e-9, 1e15), "delay": (0.0, 3600.0), "loss": (0.0, 1.0)}
    if not isinstance(changes, dict) or not changes or not set(changes) <= set(bounds):
        raise ControlError(f"changes: expected some of {', '.join(bounds)}", "usage")
    for key, value in changes.items():
        if value is None and key == "rate_bps":
            continue
        low, high = bounds[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ControlError(f"{key}: {value!r} is out of range; expected a number from {low:g} to {high:g}", "usage")
    return dict(changes)


def message(row: Row, octets: bool = False) -> dict[str, Any]:
    """A row as JSON; with its octets in base64 when they are wanted (for a packet capture)."""
    return row.as_json() | ({"data": base64.b64encode(row.data).decode()} if octets else {})


def look_up_alone(found: dict[str, Any], host: str, name: str, rdtype: str, arguments: Arguments) -> dict[str, Any]:
    """The result of a traced look-up with its own messages alone, which say what is in them."""
    from netstack.dns.shown import conversation, octets, sections

    messages = [{**row, "dns": sections(octets(row))} for row in conversation(found["messages"], host, name, rdtype)]
    if not arguments.get("octets"):
        messages = [{key: value for key, value in row.items() if key != "data"} for row in messages]
    return {**found, "messages": messages}


async def lookup(host: RunningHost, resolver: Address, name: str, rdtype: str) -> dict[str, Any]:
    """{"answer": [...], "rcode"} of one query from a host's machine to its resolver; records as in a master file."""
    from dns.exception import DNSException
    from dns.rcode import Rcode
    from dns.rdatatype import RdataType

    from netstack.dns.client import query
    from netstack.kernel.resolver import ResolutionError

    try:
        RdataType.from_text(rdtype)
    except (DNSException, ValueError):
        raise ControlError(f"{rdtype!r} is not a record type", "usage") from None
    try:
        reply = await query(host.machine, resolver, name, rdtype, patience=PATIENCE)
    except ResolutionError as error:
        raise ControlError(str(error), "failed" if error.temporary else "usage") from None
    answer = [line for rrset in reply.answer for line in rrset.to_text().splitlines()]
    return {"answer": answer, "rcode": Rcode.to_text(reply.rcode())}


async def fetch(
    host: RunningHost,
    url: str,
    headers: Sequence[Sequence[str]],
    http2: bool,
    method: str = "GET",
    content: bytes = b"",
    cookies: str | None = None,
    seconds: float = FETCH,
    seen: "Seen | None" = None,
) -> dict[str, Any]:
    """{"status", "reason", "version", "headers", "body"} of a request from a host's machine; over HTTP/1.1 or HTTP/2.

    With `cookies`, a file's text, those are sent, and "cookies" is what the file is to be afterwards.
    """
    from netstack.http import ClientOptions, FetchError
    from netstack.http import fetch as http_fetch
    from netstack.http.cookiefile import BadFile, dumped, loaded

    fields = [(str(name), str(value)) for name, value in headers]
    try:
        options = ClientOptions(timeout=seconds, http2=http2, prior_knowledge=http2)
        jar = None if cookies is None else loaded(cookies, host.machine.wall())
        result = await http_fetch(host.machine, url, method, fields, content, options, jar, seen)
    except BadFile as error:
        raise ControlError(f"cookies: {error}", "usage") from None
    except FetchError as error:
        raise ControlError(str(error)) from None
    security = result.security
    kept = {} if jar is None else {"cookies": dumped(jar, host.machine.wall())}
    return kept | {
        "url": result.url,
        "status": result.status,
        "reason": result.reason,
        "version": result.version,
        "headers": [[name, value] for name, value in result.fields],
        "body": base64.b64encode(result.body).decode(),
        "tls": None if security is None else security.version,
        "seconds": result.timing.ended,
    }


class Progress:
    """Tells the client of a body that takes its time."""

    def __init__(self, seconds: Callable[[], float], stream: Stream) -> None:
        self._seconds, self._stream = seconds, stream
        self._told = seconds()

    def seen(self, response: "Response", octets: int) -> None:
        """So many octets have come."""
        if self._seconds() - self._told < EVERY:
            return
        self._told = self._seconds()
        stated = response.fields.get("content-length", "")
        self._stream.send({"octets": octets, "length": int(stated) if stated.isdecimal() else None})


async def load_page(
    host: RunningHost, url: str, headers: Sequence[Sequence[str]], mode: object, cookies: str | None = None
) -> dict[str, Any]:
    """A page and its objects: when each was asked for and had come, in seconds, and over how many connections."""
    from netstack.http import FetchError
    from netstack.http.cookiefile import BadFile, dumped, loaded
    from netstack.http.page import Mode, fetch_page

    if mode not in [*Mode]:
        raise ControlError(f"page: expected one of {', '.join(Mode)}, got {mode!r}", "usage")
    try:
        jar = None if cookies is None else loaded(cookies, host.machine.wall())
        fields = [(str(name), str(value)) for name, value in headers]
        page = await fetch_page(host.machine, url, Mode(str(mode)), fields, jar=jar)
    except BadFile as error:
        raise ControlError(f"cookies: {error}", "usage") from None
    except FetchError as error:
        raise ControlError(str(error)) from None
    parts = [
        {
            "url": part.url,
            "started": part.started,
            "ended": part.ended,
            "status": None if part.result is None else part.result.status,
            "octets": 0 if part.result is None else len(part.result.body),
            "reused": part.result is not None and part.result.reused,
            "error": part.error,
        }
        for part in page.parts
    ]
    kept = {} if jar is None else {"cookies": dumped(jar, host.machine.wall())}
    return kept | {"mode": str(page.mode), "seconds": page.seconds, "connections": page.connections, "parts": parts}
