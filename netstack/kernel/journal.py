"""The journal: the protocol messages that hosts sent, in a ring bounded by rows and octets; off by default per host.

A message is one row: its sender writes it when the sender is one of our hosts' sockets, the receiver only when the sender
is foreign (a dig, a browser). In one process `Journal.ours` tells the two apart; rows of several processes are merged by
who reads them (`world/control/merged.py`): a receiver's row is dropped when the other process has the sender's.

Convention: `Row.data` is the message as it went over the flow, in plaintext, framing included: over TCP a DNS message has
its length prefix (RFC 1035 §4.2.2), over UDP it is the datagram. The rows of one direction of a stream, joined, are the
octets of the stream; that is what the pcapng export relies on. Octets that an engine does not hold (a body sent straight
from a file) are counted in `Row.omitted`, and follow `data`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from netstack.sansio import Address, Message


@dataclass(frozen=True, slots=True)
class Row:
    """One message. Ports are the standard ones; `time` is the wall clock in seconds."""

    time: float
    source: Address
    destination: Address
    source_name: str
    destination_name: str
    transport: str
    """"tcp" or "udp"."""
    protocol: str
    """"dns", "http", ...; the protocol's house."""
    summary: str
    data: bytes
    """The message's octets in plaintext, also when it went under TLS."""
    secure: bool = False
    by_sender: bool = True
    omitted: int = 0
    """Octets after `data` that belong to the message and were not kept."""

    def as_json(self) -> dict[str, Any]:
        """The row as every `--json` shows it (docs: "Interfaces that other programs rely on")."""
        return {
            "time": self.time,
            "from": self.source_name,
            "to": self.destination_name,
            "protocol": self.protocol,
            "summary": self.summary,
            "bytes": len(self.data) + self.omitted,
            "transport": self.transport,
            "secure": self.secure,
            "from_address": list(self.source),
            "to_address": list(self.destination),
            "by_sender": self.by_sender,
        }


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are wanted; every condition that is given must hold."""

    hosts: frozenset[str] = frozenset()
    """One end is among these, by name or address."""
    protocols: frozenset[str] = frozenset()
    text: str = ""
    """Part of the summary, in any case."""
    since: float = float("-inf")
    """Seconds of the wall clock; included."""
    until: float = float("inf")
    """Excluded."""

    def __call__(self, row: Row) -> bool:
        ends = (row.source_name, row.destination_name, row.source[0], row.destination[0])
        return (
            self.since <= row.time < self.until
            and (not self.protocols or row.protocol in self.protocols)
            and (not self.hosts or not self.hosts.isdisjoint(ends))
            and self.text.lower() in row.summary.lower()
        )


_Entry = tuple[Message, float, str, str, Address, Address, bool]
"""A message and what `Journal.write_all` was told about its flow."""


class Journal:
    """The journal of one process or one simulated world.

    `names` turns an address into a host's name; `standard` turns a port in use into the standard one.
    """

    def __init__(
        self,
        capacity: int = 100_000,
        names: Callable[[str], str] | None = None,
        standard: Callable[[int], int] | None = None,
        octets: int = 256 * 1024 * 1024,
    ) -> None:
        """At most `capacity` rows whose data are at most `octets`: older ones give way."""
        self.capacity = capacity
        self.most_octets = octets
        self.octets = 0
        """Of the rows' data."""
        self._kept: deque[_Entry] = deque()
        self.enabled: set[str] = set()
        """Names of the hosts that record; drivers look it up at every step."""
        self.ours: dict[tuple[str, Address], int] = {}
        """(transport, address) of our drivers' open sockets, counted: a server's connections share its address."""
        self.written = 0
        """Rows since the start, also those that the ring has dropped."""
        self._names = names or (lambda address: address)
        self._standard = standard or (lambda port: port)
        self._waiting: list[Callable[[Row], None]] = []

    def opened(self, transport: str, address: Address) -> None:
        """A driver opened a socket: its messages are its own to write."""
        end = transport, address
        self.ours[end] = self.ours.get(end, 0) + 1

    def closed(self, transport: str, address: Address) -> None:
        """The reverse of `opened`."""
        end = transport, address
        others = self.ours.pop(end, 0) - 1
        if others > 0:
            self.ours[end] = others

    def enable(self, *hosts: str) -> None:
        """Record the messages of these hosts from now on."""
        self.enabled.update(hosts)

    def disable(self, *hosts: str) -> None:
        """Stop recording for these hosts; without names, for all."""
        self.enabled.difference_update(hosts or tuple(self.enabled))

    def clear(self) -> None:
        """Forget all rows."""
        self._kept.clear()
        self.octets = 0

    def subscribe(self, follower: Callable[[Row], None]) -> Callable[[], None]:
        """Call `follower` with each new row; the returned function ends it."""
        self._waiting.append(follower)
        return lambda: self._waiting.remove(follower)

    def write(
        self,
        time: float,
        transport: str,
        protocol: str,
        sent: bool,
        local: Address,
        remote: Address,
        summary: str,
        data: bytes,
        secure: bool = False,
        omitted: int = 0,
    ) -> None:
        """Add a message seen by the socket at `local`; one received from a socket of ours is its sender's to write."""
        message = Message(sent, summary, data, remote, omitted)
        self.write_all(time, transport, protocol, local, remote, secure, (message,))

    def write_all(
        self,
        time: float,
        transport: str,
        protocol: str,
        local: Address,
        remote: Address,
        secure: bool,
        messages: Iterable[Message],
    ) -> None:
        """The same for the messages of one flow, in their order."""
        kept = self._kept
        for message in messages:
            if not message.sent and (transport, remote) in self.ours:
                continue
            entry = message, time, transport, protocol, local, remote, secure
            kept.append(entry)
            self.written += 1
            self.octets += len(message.data)
            while len(kept) > self.capacity or (self.octets > self.most_octets and len(kept) > 1):
                self.octets -= len(kept.popleft()[0].data)
            if self._waiting:
                row = self._row(entry)
                for follower in tuple(self._waiting):
                    follower(row)

    def _row(self, entry: "_Entry") -> Row:
        """Names and standard ports are looked up when a row is read: most rows leave the ring unread."""
        message, time, transport, protocol, local, remote, secure = entry
        source, destination = (local, remote) if message.sent else (remote, local)
        return Row(
            time,
            (source[0], self._standard(source[1])),
            (destination[0], self._standard(destination[1])),
            self._names(source[0]),
            self._names(destination[0]),
            transport,
            protocol,
            message.summary,
            message.data,
            secure,
            message.sent,
            message.omitted,
        )

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, tuple(self._kept))

    def after(self, written: int) -> list[Row]:
        """The rows that came after the first `written` ones, as far as the ring still has them.

        A reader that polls remembers `journal.written` and loses nothing unless more rows came than the ring holds.
        """
        kept = self._kept
        new = min(self.written - written, len(kept))
        return [self._row(entry) for entry in islice(kept, len(kept) - new, None)] if new > 0 else []
