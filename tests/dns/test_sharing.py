"""The zones of one server in several processes: who serves what when, whatever is lost in between."""

from collections.abc import Callable
from random import Random
from typing import Any

import dns.message
import dns.name
import dns.update
import pytest
from dns.name import Name
from dns.opcode import Opcode
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from netstack.dns.requests import message
from netstack.dns.serial import serial_of
from netstack.dns.sharing import AGAIN, Entry, Told, told_from
from netstack.dns.tsig import Key, signed_query
from netstack.dns.zone import ZoneText
from netstack.kernel.disk import RealDisk
from netstack.kernel.machine import Machine
from netstack.kernel.real import real_machine
from netstack.kernel.workers.channel import Unanswered
from netstack.kernel.workers.worker import Hello, Worker
from netstack.taps import dns as tap
from netstack.taps.changing import Changing

KEY = Key.make("updates", b"0123456789")
UMASS = dns.name.from_text("umass.edu")
TEXT = "$TTL 60\n@ SOA dns h 1 60 60 600 60\n@ NS dns\ndns A 10.0.0.1\n" + (f"cs NS ns.nyu.edu.\ncs DS 1 13 2 {64 * '0'}\n")


class Inline:
    """Work for threads, done at once."""

    def __call__(self, work: Callable[[], Any], cost: float = 0.0) -> Deferred[Any]:
        return maybeDeferred(work)


class Place(Worker):
    """A worker whose parent is the test."""

    def __init__(self, process: "Process", number: int) -> None:
        super().__init__(Hello(number, 2, bytes(16).hex(), {}))
        self.process = process
        self.channel.ask = self._parent  # type: ignore[method-assign]
        self.joined = False

    def ask_owner(self, subject: str, data: bytes) -> Deferred[bytes]:
        owner = self.process.owner
        if owner is None:
            return Deferred.fromCoroutine(nobody())
        return maybeDeferred(owner.channel.handlers[subject], self.number, data)

    def tell_others(self, subject: str, data: bytes) -> Deferred[bytes]:
        told: Deferred[bytes] = Deferred()
        self.process.telling.append((told, subject, data))
        return told

    def _parent(self, subject: str, data: bytes = b"", to: int = 255) -> Deferred[bytes]:
        assert subject == "join"
        self.joined = True
        return maybeDeferred(lambda: b"")


async def nobody() -> bytes:
    raise Unanswered("there is no owner")


class Process:
    """An owner and a follower; what the owner tells arrives when the test says so."""

    def __init__(self, tmp_path: Any) -> None:
        self.directory = tmp_path
        self.clock = Clock()
        self.boots = 0
        self.owner: Place | None = None
        self.telling: list[tuple[Deferred[bytes], str, bytes]] = []
        self.owner_service: Any = None
        self.follower, self.follower_service = self.make(1)

    def make(self, number: int) -> tuple[Place, Any]:
        place = Place(self, number)
        machine: Machine = real_machine("dns", reactor=self.clock)
        machine.worker, machine.offload, machine.disk = place, Inline(), RealDisk(self.directory)  # type: ignore[assignment]
        self.boots += 1
        machine.rng = Random(self.boots)
        changing = Changing((KEY,), update=(("umass.edu", "updates zone"),))
        config = tap.Config((ZoneText("umass.edu", TEXT),), ("tcp:53",), changing=changing)
        return place, tap.build(config, machine)

    def start_owner(self) -> None:
        self.owner, service = self.make(0)
        self.owner_service = service
        for each in service.listeners:
            each.disownServiceParent()
        service.startService()

    def start_follower(self) -> None:
        for each in tuple(self.follower_service.service.listeners):
            each.disownServiceParent()
        self.follower_service.startService()

    def deliver(self) -> None:
        """All that was told."""
        telling, self.telling = self.telling, []
        for told, subject, data in telling:
            maybeDeferred(self.follower.channel.handlers[subject], 0, data).chainDeferred(told)

    def update(self, name: str, through: Any) -> list[Rcode]:
        """Add a name; the codes of the reply, once there is one."""
        update = dns.update.UpdateMessage("umass.edu")
        update.replace(name, 60, "A", "10.0.0.2")
        data, _ = signed_query(update.to_wire(), KEY, through.machine.wall())
        codes: list[Rcode] = []
        assert through.special.receive(data, "udp", "10.0.0.9", lambda reply: codes.append(Rcode(reply[3] & 15)))
        return codes

    def serials(self) -> tuple[int, int]:
        zones = (self.owner_service.authority.zones, self.follower_service.authority.zones)
        one, two = (serial_of(each[UMASS].soa) for each in zones)
        return one, two


@pytest.fixture
def process(tmp_path: Any) -> Process:
    return Process(tmp_path)


def test_a_follower_serves_when_it_has_what_the_owner_has(process: Process) -> None:
    process.start_follower()
    inner: IService = process.follower_service.service
    assert not inner.running
    process.start_owner()
    process.clock.advance(AGAIN)
    assert inner.running
    assert process.follower.joined


@pytest.mark.parametrize("through", ["owner", "follower"])
def test_an_update_is_answered_when_every_worker_has_it(process: Process, through: str) -> None:
    process.start_owner()
    process.start_follower()
    service = process.owner_service if through == "owner" else process.follower_service.service
    first = process.update("www", service)
    assert process.serials() == (2, 1)
    assert first == []
    again = process.update("www", service)  # changes nothing, and says that the name is there
    assert again == []
    process.deliver()
    assert first == again == [Rcode.NOERROR]
    assert process.serials() == (2, 2)


def test_a_version_that_was_missed_is_asked_for(process: Process) -> None:
    process.start_owner()
    process.start_follower()
    lost = process.update("one", process.owner_service)
    process.telling.pop()[0].callback(b"")
    assert lost == [Rcode.NOERROR]
    late = process.update("two", process.owner_service)
    process.deliver()
    assert late == [Rcode.NOERROR]
    assert process.serials() == (3, 3)
    assert dns.name.from_text("one.umass.edu") in {rrset.name for rrset in process.follower_service.authority.zones[UMASS]}


def test_an_update_while_there_is_no_owner_is_servfail(process: Process) -> None:
    process.start_owner()
    process.start_follower()
    process.owner = None
    assert process.update("www", process.follower_service.service) == [Rcode.SERVFAIL]


def test_what_a_child_says_of_its_keys_reaches_the_owner(process: Process) -> None:
    """RFC 9859: a NOTIFY of CDS records may come to any worker."""
    process.start_owner()
    process.start_follower()
    told: list[tuple[Name, Name]] = []
    process.owner_service.keeper.announced = lambda origin, child: told.append((origin, child))
    codes: list[Rcode] = []
    child = dns.name.from_text("cs.umass.edu")
    data = message(1, Opcode.NOTIFY, child, RdataType.CDS)
    special = process.follower_service.service.special
    assert special.receive(data, "udp", "10.0.0.9", lambda reply: codes.append(Rcode(reply[3] & 15)))
    assert codes == [Rcode.NOERROR]
    assert told == [(UMASS, child)]


def test_another_owner_is_asked_for_all_that_differs(process: Process) -> None:
    process.start_owner()
    process.start_follower()
    unknown = process.update("www", process.owner_service)
    process.telling.clear()  # it is on disk, and its owner is killed before it tells
    process.owner_service.stopService()
    process.start_owner()
    assert process.serials() == (2, 1)
    assert unknown == []
    process.follower.channel.handlers["owner"](255, b"")
    assert process.serials() == (2, 2)


def test_a_zone_that_is_no_more_or_cannot_be_served(process: Process) -> None:
    process.start_owner()
    process.start_follower()
    ours, theirs = process.owner_service.authority, process.follower_service.authority
    ours.withdraw(UMASS)
    process.deliver()
    assert theirs.unavailable == {UMASS}
    assert theirs.zones == {}
    ours.unavailable.clear()
    ours.changed()
    process.deliver()
    assert theirs.unavailable == set()


ENTRIES = st.builds(
    Told,
    st.sampled_from(Entry),
    st.sampled_from([dns.name.root, UMASS, dns.name.from_text("a" * 63 + ".edu")]),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=300),
)


@given(st.lists(ENTRIES))
def test_what_is_told_is_read(entries: list[Told]) -> None:
    assert list(told_from(b"".join(each.octets() for each in entries))) == entries
