"""Kaminsky's race: who makes a resolver ask for names that nobody asked for before, and answers before the server does.

The forger knows all that can be known: which server will be asked, and by his own name server's log the resolver's port and
last id. He guesses the rest, each guess once, from the moment of the query until the genuine reply comes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dns.flags import Flag
from dns.message import QueryMessage
from dns.name import from_text
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import from_text as records

from netstack.dns.cache import Rank
from netstack.dns.hardening import FEATURES
from netstack.dns.identity import FIRST_PORT, IDS, PORTS
from netstack.dns.wire import AA, QR
from netstack.lab.bench import Bench
from netstack.world.session import Session, SimulatedSession
from netstack.world.simulated.forging import Forger

RESOLVER, CLIENT, EVIL = "dns.nyu.edu", "cse.nyu.edu", "dns.evil.edu"
SERVERS = {"umass.edu": "dns.umass.edu", "edu": "a.edu-servers.net"}
"""Zone -> its only server."""
SITES = {"umass.edu": "umass", "edu": "core"}
KNOWN = "gaia.cs.umass.edu"
FORGED = "198.51.100.66"
"""Where the forger wants clients to go (RFC 5737)."""
ONE_WAY = 0.05
"""Seconds from the servers to the resolver: the race lasts twice as long."""
BURSTS = 20
"""Moments of a race at which forged replies arrive."""
UNLIMITED = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Defence:
    """What a resolver has against forgers. `ports`, `ids`: how many there are to guess among."""

    source_port: str = "random"
    id: str = "random"
    ports: int = PORTS
    ids: int = IDS
    features: tuple[str, ...] = ()
    wrong_replies: int = UNLIMITED
    """After so many to one query it is asked over TCP."""
    server_cookies: bool = True
    """Whether the zone's server knows cookies."""

    def world(self, bench: Bench) -> Session:
        """Eight hosts and the forger's own; the resolver of nyu.edu is so defended."""
        resolver = {
            "features": list(self.features),
            "limits": {"forged": self.wrong_replies},
            "identity": {"source-port": self.source_port, "id": self.id, "ports": self.ports, "ids": self.ids},
        }
        cookies = {"cookies": "on" if self.server_cookies else "off"}
        far = {"delay": f"{ONE_WAY * 1000:g} ms"}
        return bench.changed(
            "small",
            {
                "sites": {"core": far, "umass": far, "elsewhere": {"resolver": False}},
                "zones": {"evil.edu": {"site": "elsewhere", "servers": [EVIL]}},
                "hosts": {
                    RESOLVER: {"site": "nyu", "services": {"resolver": resolver}},
                    EVIL: {"site": "elsewhere", "services": {"dns": {}}},
                    **{name: {"site": SITES[zone], "services": {"dns": cookies}} for zone, name in SERVERS.items()},
                },
            },
            "forgers",
        )

    def space(self, letters: int = 0) -> float:
        """Among how many equally likely queries a blind forger guesses, for a name of so many letters."""
        ports = 1 if self.source_port == "fixed" else self.ports
        ids = self.ids if self.id == "random" else 1
        case = 2.0**letters if "mixed-case" in self.features else 1.0
        return ports * ids * case * (2.0**64 if "cookies" in self.features and self.server_cookies else 1.0)

    def success(self, guesses: int, letters: int = 0) -> float:
        """The probability that one race is won: each guess is another port and id, and the case is guessed once for each.

        Wrong replies that reach the query's port count towards `wrong_replies`: of a fixed port all, else one in `ports`.
        """
        ports = 1 if self.source_port == "fixed" else self.ports
        ids = self.ids if self.id == "random" else 1
        tried = min(guesses, ports * ids, self.wrong_replies * ports)
        return tried / self.space(letters)


ALL = FEATURES
"""Every feature of the hardened profile."""


def letters(zone: str) -> int:
    """Those of a name with digits before the zone: what 0x20 has to work with."""
    return sum(letter.isalpha() for letter in zone)


def reply(
    name: str, answer: tuple[str, ...] = (), authority: tuple[str, ...] = (), additional: tuple[str, ...] = ()
) -> bytes:
    """A forged reply without its id; records as `NAME TYPE DATA`. An answer has authority."""
    message = QueryMessage(id=0)
    message.flags = Flag(QR | (AA if answer else 0))
    message.find_rrset(message.question, from_text(name), RdataClass.IN, RdataType.A, create=True)
    for section, texts in ((message.answer, answer), (message.authority, authority), (message.additional, additional)):
        for text in texts:
            owner, rdtype, data = text.split(" ", 2)
            data += "." if rdtype in ("NS", "CNAME") else ""
            section.append(records(from_text(owner), 86400, "IN", rdtype, data))
    return bytes(message.to_wire())[2:]


@dataclass(slots=True)
class Races:
    """Races for names of one zone, in a world that is up."""

    internet: Session
    zone: str
    defence: Defence
    packets: int = 0
    """Forged replies sent."""
    reached: int = 0
    """Of these, to a port that was open."""
    _count: int = 0
    _start: int = 0
    _own: int = 0
    forger: Any = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.internet, SimulatedSession):
            raise TypeError("nothing forged leaves the simulation")
        self.forger = Forger(self.internet.up.host(EVIL))
        self.warm()

    def warm(self) -> None:
        """The resolver knows the servers, and their cookies, as it would after a day's work."""
        for _ in range(2):
            self.internet.resolve(KNOWN, host=CLIENT)
            self.internet.resolve(f"nothing{self._next()}.{self.zone}", host=CLIENT)

    def flush(self) -> None:
        """Begin anew, warm."""
        self.internet.flush()
        self.warm()

    def race(self, guesses: int, forged: Callable[[str], bytes] | None = None) -> tuple[str, bool]:
        """One race for a name that nobody asked for: the name, and whether the resolver has the forged address for it."""
        name = f"{self._next()}.{self.zone}"
        tail = reply(name, answer=(f"{name} A {FORGED}",)) if forged is None else forged(name)
        port, first = self._learned() if "fixed" in (self.defence.source_port, self.defence.id) else (None, None)
        simulation, address = self.simulation, self.internet.address
        self.trigger(name)
        began, source = simulation.now, (address(SERVERS[self.zone]), 53)
        packets = self._packets(guesses, port, first, tail)
        part, left = -(-guesses // BURSTS), guesses
        bursts = []
        for number in range(BURSTS):
            count = min(part, left)
            left -= count
            if count > 0:
                simulation.run(until=began + 2 * ONE_WAY * number / BURSTS)
                octets = count * (len(tail) + 30)
                bursts.append(self.forger.burst(_first(packets, count), source, address(RESOLVER), octets))
        simulation.run(until=began + 8 * ONE_WAY)
        self.packets += sum(burst.sent for burst in bursts)
        self.reached += sum(burst.arrived for burst in bursts)
        return name, self._has(name)

    def run(self, races: int, guesses: int) -> list[bool]:
        """Which of so many races are won: a client asks each time, and is sent to the wrong place."""
        won = []
        for _ in range(races):
            name, poisoned = self.race(guesses)
            won.append(poisoned and self.internet.resolve(name, host=CLIENT).records == (FORGED,))
        return won

    @property
    def counts(self) -> Any:
        """The resolver's own."""
        return self._service.recursor.counts

    @property
    def simulation(self) -> Any:
        """The world's."""
        session: Any = self.internet
        return session.up.simulation

    @property
    def _service(self) -> Any:
        return next(it.service for it in self.internet.running.hosts[RESOLVER].services if it.plugin == "resolver")

    def _next(self) -> int:
        self._count += 1
        return self._count

    def trigger(self, name: str) -> None:
        """A client's query; who sends it does not wait for the reply."""
        message = QueryMessage(id=1)
        message.flags = Flag.RD
        message.find_rrset(message.question, from_text(name), RdataClass.IN, RdataType.A, create=True)
        query, address = message.to_wire(), self.internet.address
        self.forger.send(bytes(query), (address(CLIENT), 40_000), (address(RESOLVER), 53))

    def _learned(self) -> tuple[int, int]:
        """The resolver's port and last id, from the log of the forger's own name server."""
        self.internet.record(EVIL)
        self._own += 1
        self.trigger(f"{self._own}.evil.edu")
        self.simulation.run(for_seconds=0.5)
        row = next(row for row in self.internet.rows() if row.source_name == EVIL)
        return row.destination[1], int.from_bytes(row.data[:2], "big")

    def _packets(self, guesses: int, port: int | None, last: int | None, tail: bytes) -> Iterator[tuple[int, bytes]]:
        """Port and octets of each forged reply, no two the same: through the space of ports and ids in long strides."""
        defence = self.defence
        known_port = port if defence.source_port == "fixed" else None
        ids = defence.ids
        if defence.id != "random" and last is not None:
            step = int(defence.id == "sequential")
            for number in range(guesses):
                yield known_port or FIRST_PORT, (last + step + number * step).to_bytes(4, "big")[2:] + tail
            return
        space = (1 if known_port else defence.ports) * ids
        stride = (int(space * 0.6180339887) | 1) if space > 2 else 1
        guess, self._start = self._start, (self._start + guesses * stride) % space
        heads = [number.to_bytes(2, "big") + tail for number in range(ids)] if guesses > ids else None
        for _ in range(guesses):
            guess = (guess + stride) % space
            number = guess % ids
            at = known_port or FIRST_PORT + guess // ids
            yield at, heads[number] if heads else number.to_bytes(2, "big") + tail

    def _has(self, name: str) -> bool:
        recursor = self._service.recursor
        entry = recursor.cache.get(from_text(name), RdataType.A, self.internet.seconds(), Rank.ANSWER)
        return entry is not None and not entry.negative and entry.rrset[0].address == FORGED


def _first(packets: Iterator[tuple[int, bytes]], count: int) -> Iterator[tuple[int, bytes]]:
    for _ in range(count):
        yield next(packets)
