"""One control socket for a world whose hosts are processes of their own: asks them, and merges what they say."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, gatherResults
from twisted.internet.task import deferLater

from netstack.world.addresses import AddressTable
from netstack.world.control.mail import ONE as MAIL
from netstack.world.control.names import ONE, text
from netstack.world.control.objects import ONE as OBJECTS
from netstack.world.control.remote import RemoteControl
from netstack.world.control.ring import ONE as RING
from netstack.world.control.server import ControlError, Stream, Verb
from netstack.world.control.verbs import client_of, host_of, hosts_of, look_up_alone
from netstack.world.model import World

Arguments = Mapping[str, Any]
Message = dict[str, Any]
SETTLE = 0.05
"""Seconds for the last messages of a conversation to be written by the processes that send and receive them."""
WINDOW = 0.2
"""Seconds for which a followed message waits for its twin from the process at the other end."""
MOST_FLOWS = 10_000
"""Flows remembered while following."""


class MergedVerbs:
    """The verbs of `WorldVerbs` for a world in many processes. `hosts` are the connections to those that live."""

    def __init__(
        self,
        reactor: Any,
        world: World,
        table: AddressTable,
        hosts: dict[str, RemoteControl],
        about: Mapping[str, Any],
        pids: Callable[[], Mapping[str, int]],
        stop: Callable[[], None],
    ) -> None:
        self.reactor = reactor
        self.world = world
        self.table = table
        self.hosts = hosts
        self.about = about
        """What `status` says of the world beside its hosts."""
        self._pids = pids
        self._stop = stop
        self._tracing = DeferredLock()

    def verbs(self) -> dict[str, Verb]:
        """Verb -> handler."""
        one = ("inspect", "ca", *ONE, *OBJECTS, *MAIL, *RING)
        all_of_them = ("flush", "links.set", "journal.enable", "journal.disable", "journal.clear", "keys.list")
        return {
            "status": self.status,
            "environment": self.environment,
            "resolve": self.traced("resolve"),
            "get": self.traced("get"),
            "mail.send": self.traced("mail.send"),
            "ring.lookup": self.traced("ring.lookup"),
            "links.list": self.links_list,
            "journal.read": self.journal_read,
            "journal.follow": self.journal_follow,
            "keys.roll": self.by_signer("keys.roll"),
            "keys.seen": self.by_signer("keys.seen"),
            "stop": self.stop,
            **{verb: self.by_one(verb) for verb in one},
            **{verb: self.by_all(verb) for verb in all_of_them},
        }

    async def status(self, arguments: Arguments, stream: Stream) -> object:
        """The world; a host whose process is gone is down."""
        found = await self._ask(self.hosts, "status")
        hosts: dict[str, Any] = {}
        for host in self.world.hosts.values():
            if host.name in found:
                hosts |= found[host.name]["hosts"]
            else:
                addresses = list(self.table.hosts[host.name])
                hosts[host.name] = {
                    "address": addresses[0],
                    "addresses": addresses,
                    "site": host.site,
                    "state": "down",
                    "services": [],
                }
        return {**self.about, "hosts": hosts}

    async def environment(self, arguments: Arguments, stream: Stream) -> object:
        """{"host"} -> as WorldVerbs says, and the process whose namespaces are the host's."""
        name = self._name(arguments)
        view = await self._call(name, "environment", arguments)
        return {**view, "pid": self._pids()[name]}

    async def stop(self, arguments: Arguments, stream: Stream) -> object:
        """End the world, after it has drained."""
        self._stop()
        return {"stopping": True}

    def by_signer(self, verb: str) -> Verb:
        """By the host that signs {"zone"}."""

        async def ask(arguments: Arguments, stream: Stream) -> object:
            zone = text(arguments, "zone").rstrip(".").lower() or "."
            found = await self._ask(self.hosts, "keys.list", {"zone": zone})
            for name, answer in found.items():
                if answer["keys"]:
                    return await self._call(name, verb, arguments)
            raise ControlError(f"no zone {zone} is signed here; netstack keys list shows those that are", "usage")

        return ask

    async def links_list(self, arguments: Arguments, stream: Stream) -> object:
        """Every process has the same links."""
        return await self._call(next(iter(self.hosts), ""), "links.list", arguments)

    async def journal_read(self, arguments: Arguments, stream: Stream) -> object:
        """All hosts' rows, each message once."""
        wanted = self._filter(arguments)
        answers = await self._ask(self.hosts, "journal.read", self._all(arguments))
        rows = merged(row for answer in answers.values() for row in answer["messages"])
        return {"messages": [row for row in rows if wanted(row)]}

    async def journal_follow(self, arguments: Arguments, stream: Stream) -> object:
        """All hosts' rows as they are written, each message once, up to two WINDOWs late."""
        wanted = self._filter(arguments)
        waiting: list[Message] = []
        known: dict[tuple[Any, ...], None] = {}
        followed = [remote.follow("journal.follow", self._all(arguments), waiting.append) for remote in self.hosts.values()]
        over = stream.ended()
        try:
            while not over.called:
                batch = tuple(waiting)
                await deferLater(self.reactor, WINDOW)
                known.update((flow(row), None) for row in waiting if row["by_sender"])
                del waiting[: len(batch)]
                for row in merged(batch, known):
                    if wanted(row):
                        stream.send(row)
                while len(known) > MOST_FLOWS:
                    del known[next(iter(known))]
        finally:
            for result, leave in followed:
                result.addErrback(lambda failure: failure.trap(ControlError) and None)
                leave()
        return {"dropped": stream.dropped}

    def by_one(self, verb: str) -> Verb:
        """A verb for the host that the arguments name, or for any where they name none."""

        async def ask(arguments: Arguments, stream: Stream) -> object:
            name = self._name(arguments) if "host" in arguments else next(iter(self.hosts), "")
            return await self._call(name, verb, arguments)

        return ask

    def by_all(self, verb: str) -> Verb:
        """A verb for every host, or for those named; the answers' numbers and lists are added up."""

        async def ask(arguments: Arguments, stream: Stream) -> object:
            names = hosts_of(self.world, self.table, arguments)
            wanted = {name: self._remote(name) for name in names} or self.hosts
            answers = await self._ask(wanted, verb, self._all(arguments))
            total: dict[str, Any] = {}
            for answer in answers.values():
                for key, value in answer.items():
                    adds = isinstance(value, (int, list)) and not isinstance(value, bool) and key in total
                    total[key] = total[key] + value if adds else value
            return total

        return ask

    def traced(self, verb: str) -> Verb:
        """A conversation begun by one host; with {"trace": true} the messages of all."""

        async def talk(arguments: Arguments, stream: Stream) -> object:
            name = client_of(self.world, self.table, arguments)
            asked = {**arguments, "host": name, "trace": False, "cold": False}
            await self._tracing.acquire()
            try:
                if arguments.get("cold"):
                    await self._ask(self.hosts, "flush")
                if not arguments.get("trace"):
                    if arguments.get("progress"):
                        return await self._remote(name).follow(verb, asked, partial(_pass_on, stream))[0]
                    return await self._call(name, verb, asked)
                octets = verb == "resolve" or bool(arguments.get("octets"))
                found = await self._recorded(lambda: self._call(name, verb, asked), octets)
                if verb == "resolve":
                    asked_for = text(arguments, "name"), text(arguments, "type", "A").upper()
                    return look_up_alone(found, name, *asked_for, arguments)
                return found
            finally:
                self._tracing.release()

        return talk

    async def _recorded(self, talk: Callable[[], Deferred[Any]], octets: bool) -> dict[str, Any]:
        rows: list[Message] = []
        followed = [remote.follow("journal.follow", {"octets": octets}, rows.append) for remote in self.hosts.values()]
        await self._ask(self.hosts, "status")  # answered in order: every journal is on now
        try:
            result = await talk()
            await deferLater(self.reactor, SETTLE)
        finally:
            for _, leave in followed:
                leave()
        await gatherResults([ended for ended, _ in followed], consumeErrors=True)
        return {**result, "messages": merged(rows)}

    def _all(self, arguments: Arguments) -> Arguments:
        """The arguments for a host: it knows itself alone, so filters by host are not its to apply."""
        return {key: value for key, value in arguments.items() if key != "hosts"}

    def _filter(self, arguments: Arguments) -> Callable[[Message], bool]:
        hosts = set(hosts_of(self.world, self.table, arguments))
        return lambda row: not hosts or row["from"] in hosts or row["to"] in hosts

    def _name(self, arguments: Arguments) -> str:
        return host_of(self.world, self.table, arguments)

    def _remote(self, name: str) -> RemoteControl:
        remote = self.hosts.get(name)
        if remote is None:
            raise ControlError(f"{name} is down: its process has ended")
        return remote

    def _call(self, name: str, verb: str, arguments: Arguments | None = None) -> Deferred[Any]:
        return self._remote(name).call(verb, arguments)

    async def _ask(
        self, hosts: Mapping[str, RemoteControl], verb: str, arguments: Arguments | None = None
    ) -> dict[str, Any]:
        """The answers of several hosts; those that are gone are left out."""
        names = list(hosts)
        calls = [hosts[name].call(verb, arguments).addErrback(_gone) for name in names]
        answers = await gatherResults(calls, consumeErrors=True)
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}


def merged(rows: Iterable[Message], known: Iterable[tuple[Any, ...]] = ()) -> list[Message]:
    """Rows of several processes in order of time, each message once.

    `known` are flows whose sender is known to write its rows itself.
    """
    ordered = sorted(rows, key=lambda row: row["time"])
    flows = {flow(row) for row in ordered if row["by_sender"]}.union(known)
    return [row for row in ordered if row["by_sender"] or flow(row) not in flows]


def flow(row: Message) -> tuple[Any, ...]:
    """The direction of a flow that a row belongs to."""
    return row["transport"], *row["from_address"], *row["to_address"]


def _gone(failure: Any) -> None:
    failure.trap(ControlError)
    if failure.value.kind != "failed":
        failure.raiseException()


def _pass_on(stream: Stream, item: object) -> None:
    """What a client is too slow for is dropped: the next item says more."""
    stream.send(item)
