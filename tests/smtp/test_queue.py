"""The queue: retries, reports, lanes, crashes; five days take milliseconds in the simulated Internet (RFC 5321 §4.5.4.1)."""

import email
from collections.abc import Sequence
from email.message import Message
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from netstack.kernel.resolver import FakeResolver
from netstack.mail.addresses import Mailbox, parse_mailbox
from netstack.smtp.envelope import Destination, Envelope, Fate
from netstack.smtp.limits import QueueLimits
from netstack.smtp.queue import LOCAL, Job, Outcome, Queue, Unreachable
from netstack.smtp.routes import NoRoute, Route, route
from netstack.smtp.spool import SpoolLimits
from netstack.world.simulated import Simulation

DAY, HOUR = 86400.0, 3600.0
DOWN = Outcome(Fate.WAITING, "4.4.1", "connection refused", "mail.hamburger.edu")
TAKEN = Outcome(Fate.RELAYED, "2.0.0", "ok", "mail.hamburger.edu")
STORED = Outcome(Fate.DELIVERED, "2.0.0", "")
NOBODY = Outcome(Fate.FAILED, "5.1.1", "550 5.1.1 no such user", "mail.hamburger.edu")


class Elsewhere:
    """The Internet: what each address says, and what came."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.says: dict[str, Outcome] = {}
        self.down: set[str] = set()
        self.came: list[tuple[float, str, str, bytes]] = []
        """When, over which session, to whom, what."""
        self.opened: list[str] = []
        self.tries: list[float] = []
        self.takes = 0.0

    def session(self, destination: str) -> "Way":
        self.opened.append(destination)
        return Way(self, destination, len(self.opened))


class Way:
    usable = True

    def __init__(self, world: Elsewhere, destination: str, number: int) -> None:
        self.world, self.destination, self.number = world, destination, number

    async def deliver(self, job: Job) -> Sequence[Outcome]:
        world = self.world
        world.tries.append(world.simulation.now)
        if world.takes:
            pause: Deferred[None] = Deferred()
            reactor: Any = world.simulation.hosts["mail"].reactor
            reactor.callLater(world.takes, pause.callback, None)
            await pause
        if self.destination in world.down:
            raise Unreachable(DOWN)
        outcomes = []
        for index in job.indexes:
            to = str(job.envelope.recipients[index].mailbox)
            outcome = world.says.get(to, STORED if self.destination == LOCAL else TAKEN)
            outcomes.append(outcome)
            if outcome.fate is not Fate.FAILED and outcome.fate is not Fate.WAITING:
                world.came.append((world.simulation.now, f"{self.destination}#{self.number}", to, job.content))
        return outcomes

    def close(self) -> None:
        pass


class Office:
    """A mail host with a queue."""

    def __init__(self, limits: QueueLimits | None = None, seed: int = 1, spool: SpoolLimits | None = None) -> None:
        self.simulation = Simulation(seed)
        self.host = self.simulation.host("mail", "192.0.2.1")
        self.world = Elsewhere(self.simulation)
        self.limits, self.spool = limits, spool
        self.queue = self.start()

    def start(self) -> Queue:
        machine = self.simulation.machine(self.host)

        def lane(mailbox: Mailbox) -> str:
            return LOCAL if mailbox.domain == "crepes.fr" else mailbox.domain

        self.queue = Queue(machine, "mail.crepes.fr", lane, self.world.session, self.limits, self.spool)
        self.simulation.ask(self.host, self.queue.start)
        return self.queue

    def send(
        self, *to: str, sender: str = "alice@crepes.fr", content: bytes = b"Subject: x\r\n\r\nhi\r\n", **rest: Any
    ) -> int:
        found = parse_mailbox(sender) if sender else None
        recipients = [Destination(parse_mailbox(each)) for each in to]
        envelope = Envelope(found, recipients, self.host.wall(), **rest)
        number: int = self.simulation.ask(self.host, self.queue.accept, [envelope], content)
        return number

    def run(self, seconds: float) -> None:
        self.simulation.run(for_seconds=seconds)

    @property
    def letters(self) -> list[Message]:
        """What came back to alice."""
        return [email.message_from_bytes(content) for _, _, to, content in self.world.came if to == "alice@crepes.fr"]


def status(letter: Message) -> list[dict[str, str]]:
    """The fields about each recipient."""
    _, report, _ = letter.get_payload()  # type: ignore[misc]
    return [dict(part.items()) for part in report.get_payload()[1:]]  # type: ignore[union-attr]


def test_a_message_goes_to_everybody() -> None:
    office = Office()
    office.send("bob@hamburger.edu", "eve@crepes.fr", "joe@hamburger.edu", "x@someschool.edu")
    office.run(1)
    assert sorted((lane.partition("#")[0], to) for _, lane, to, _ in office.world.came) == [
        ("", "eve@crepes.fr"), ("hamburger.edu", "bob@hamburger.edu"), ("hamburger.edu", "joe@hamburger.edu"),
        ("someschool.edu", "x@someschool.edu"),
    ]  # fmt: skip
    assert not office.queue.messages
    assert len(office.world.tries) == 3


def test_it_is_tried_about_every_half_hour_at_first_then_less_often_and_arrives() -> None:
    office = Office()
    office.world.down.add("hamburger.edu")
    office.send("bob@hamburger.edu")
    office.run(3 * HOUR)
    pauses = [b - a for a, b in zip(office.world.tries, office.world.tries[1:], strict=False)]
    assert 3 <= len(pauses) <= 4
    assert all(1800 * 1.5**n * 0.9 <= pause <= 1800 * 1.5**n * 1.1 for n, pause in enumerate(pauses))
    office.world.down.clear()
    office.run(5 * HOUR)
    assert [to for _, _, to, _ in office.world.came] == ["bob@hamburger.edu"]
    assert not office.queue.messages


def test_a_dead_server_a_notice_and_after_five_days_a_report() -> None:
    office = Office()
    office.world.down.add("hamburger.edu")
    office.send("bob@hamburger.edu", content=b"Subject: ketchup\r\n\r\nDo you like it?\r\n")
    office.run(4.9 * DAY)
    [delay] = office.letters
    assert delay["Subject"] == "Your message is delayed"
    assert status(delay)[0]["Action"] == "delayed"
    assert 4 * HOUR < office.world.came[0][0] < 9 * HOUR
    office.run(DAY)
    _, failure = office.letters
    assert 5 * DAY <= office.world.came[1][0] < 5 * DAY + 1
    assert failure["Subject"] == "Your message was not delivered"
    assert failure.get_content_type() == "multipart/report"
    assert failure["Auto-Submitted"] == "auto-replied"
    [about] = status(failure)
    assert about["Final-Recipient"] == "rfc822; bob@hamburger.edu"
    assert (about["Action"], about["Status"]) == ("failed", "4.4.7")
    assert "connection refused" in about["Diagnostic-Code"]
    original = failure.get_payload()[2].get_payload()[0]  # type: ignore[union-attr]
    assert original["Subject"] == "ketchup"
    assert not office.queue.messages
    assert 30 < len(office.world.tries) < 50


def test_a_report_about_a_report_is_never_sent() -> None:
    office = Office()
    office.world.says["gone@hamburger.edu"] = NOBODY
    office.send("gone@hamburger.edu", sender="")
    office.send("gone@hamburger.edu", sender="gone@hamburger.edu")
    office.run(10 * DAY)
    assert not office.world.came
    assert not office.queue.messages
    assert office.queue.counts.reports == 1


@pytest.mark.parametrize(
    ("notify", "outcome", "subjects"),
    [
        (None, TAKEN, []),
        (None, NOBODY, ["Your message was not delivered"]),
        (frozenset({"NEVER"}), NOBODY, []),
        (frozenset({"SUCCESS"}), NOBODY, []),
        (frozenset({"SUCCESS"}), TAKEN, ["Your message was delivered"]),
        (frozenset({"SUCCESS"}), Outcome(Fate.RELAYED, "2.0.0", "ok", relayed_dsn=True), []),
        (frozenset({"FAILURE", "DELAY"}), NOBODY, ["Your message was not delivered"]),
    ],
)
def test_the_sender_s_wishes(notify: frozenset[str] | None, outcome: Outcome, subjects: list[str]) -> None:
    office = Office()
    office.world.says["bob@hamburger.edu"] = outcome
    recipient = Destination(parse_mailbox("bob@hamburger.edu"), notify, "rfc822;bob+x@hamburger.edu")
    envelope = Envelope(
        parse_mailbox("alice@crepes.fr"), [recipient], office.host.wall(), returns="HDRS", envelope_id="my id"
    )
    office.simulation.ask(office.host, office.queue.accept, [envelope], b"Subject: secret\r\n\r\nbody\r\n")
    office.run(60)
    assert [letter["Subject"] for letter in office.letters] == subjects
    for letter in office.letters:
        _, report, what = letter.get_payload()  # type: ignore[misc]
        assert report.get_payload()[0]["Original-Envelope-Id"] == "my+20id"  # type: ignore[union-attr]
        assert status(letter)[0]["Original-Recipient"] == "rfc822; bob+2Bx@hamburger.edu"
        assert what.get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr]


def test_who_is_done_is_not_tried_again() -> None:
    office = Office()
    office.world.says["late@hamburger.edu"] = Outcome(Fate.WAITING, "4.2.2", "452 full")
    office.send("bob@hamburger.edu", "late@hamburger.edu", "eve@crepes.fr")
    office.run(60)
    office.world.says.clear()
    office.run(HOUR)
    assert sorted(to for _, _, to, _ in office.world.came) == ["bob@hamburger.edu", "eve@crepes.fr", "late@hamburger.edu"]


def test_a_crash_repeats_nothing_that_was_noted_and_forgets_nothing() -> None:
    office = Office()
    office.world.says["late@hamburger.edu"] = Outcome(Fate.WAITING, "4.2.2", "452 full")
    office.send("bob@hamburger.edu", "late@hamburger.edu")
    office.send("x@someschool.edu", body="8BITMIME", utf8=True, require_tls=True)
    office.run(60)
    frozen = office.send("y@someschool.edu", frozen=True)
    for _ in range(3):
        office.host.power_off()
        office.run(1)
        office.host.boot()
        office.start()
        office.run(60)
    assert sorted(to for _, _, to, _ in office.world.came) == ["bob@hamburger.edu", "x@someschool.edu"]
    office.world.says.clear()
    office.run(HOUR)
    assert sorted(to for _, _, to, _ in office.world.came)[1] == "late@hamburger.edu"
    assert list(office.queue.messages) == [frozen]
    office.simulation.ask(office.host, office.queue.freeze, frozen, False)
    office.run(1)
    assert not office.queue.messages


def test_connections_are_used_again_and_bounded() -> None:
    office = Office(QueueLimits(per_destination=2, per_connection=10))
    office.world.takes = 0.1
    for _ in range(60):
        office.send("bob@hamburger.edu")
    office.run(0.05)
    assert len(office.world.opened) == 2
    office.run(60)
    assert len(office.world.came) == 60
    assert 6 <= len(office.world.opened) <= 8
    office.world.opened.clear()
    office.send("bob@hamburger.edu")
    office.run(1)
    office.send("bob@hamburger.edu")
    office.run(10)
    assert len(office.world.opened) == 1


def test_many_dead_hosts_whose_attempts_end_at_once() -> None:
    office = Office(QueueLimits(keep=30, first_retry=60, growth=1, jitter=0, connections=200))
    domains = [f"d{number}.test" for number in range(400)]
    office.world.down.update(domains)
    for domain in domains:
        office.send(f"bob@{domain}")
    office.simulation.call(office.host, lambda: office.queue.flush([*office.queue.messages]))
    office.run(600)  # connections that are kept are used again, one within the other if they could
    assert office.queue.counts.deferred >= 5 * len(domains)
    stopped: list[object] = []
    office.simulation.call(office.host, lambda: office.queue.stop().addCallback(stopped.append))
    office.run(10)
    assert stopped == [None]


def test_one_attempt_defers_all_that_waits_for_a_dead_host() -> None:
    office = Office(QueueLimits(per_destination=1))
    office.world.takes = 30
    office.world.down.add("hamburger.edu")
    for _ in range(100):
        office.send("bob@hamburger.edu")
    office.run(60)
    assert len(office.world.tries) <= 2
    assert office.queue.counts.deferred >= 100
    office.world.down.clear()
    office.world.takes = 0
    office.run(HOUR)
    assert len(office.world.came) == 100


def test_one_domain_does_not_hold_up_the_others() -> None:
    office = Office(QueueLimits(connections=3, per_destination=2))
    office.world.takes = 10
    for _ in range(50):
        office.send("bob@hamburger.edu")
    office.send("x@someschool.edu")
    office.run(25)
    assert "x@someschool.edu" in [to for _, _, to, _ in office.world.came]
    office.run(HOUR)
    assert len(office.world.came) == 51


def test_what_people_do_to_it() -> None:
    office = Office()
    office.world.down.add("hamburger.edu")
    one, two = office.send("bob@hamburger.edu"), office.send("eve@hamburger.edu")
    office.run(60)
    office.world.down.clear()
    assert office.simulation.ask(office.host, office.queue.flush, [one, 999]) == 1
    office.run(60)
    assert list(office.queue.messages) == [two]
    assert office.simulation.ask(office.host, office.queue.freeze, two)
    office.run(DAY)
    assert list(office.queue.messages) == [two]
    assert office.simulation.ask(office.host, office.queue.remove, two)
    assert not office.simulation.ask(office.host, office.queue.remove, two)
    assert not office.simulation.ask(office.host, office.queue.freeze, two)
    office.run(1)
    assert len(office.queue.spool) == 0


def test_a_full_disk_loses_no_report() -> None:
    office = Office()
    office.world.says["gone@hamburger.edu"] = NOBODY
    office.world.takes = 1
    office.send("gone@hamburger.edu")
    office.host.disk.room = office.host.disk.used
    office.run(10)
    assert not office.letters
    office.host.disk.room = float("inf")
    office.run(2 * HOUR)
    assert [letter["Subject"] for letter in office.letters] == ["Your message was not delivered"]


def test_stopping_waits_for_what_is_on_its_way() -> None:
    office = Office()
    office.world.takes = 5
    office.send("bob@hamburger.edu")
    office.run(1)
    office.simulation.ask(office.host, office.queue.stop)
    assert [to for _, _, to, _ in office.world.came] == ["bob@hamburger.edu"]
    office.host.kill()
    office.host.boot()
    office.start()
    office.run(60)
    assert len(office.world.came) == 1


TABLE = {
    ("hamburger.edu", "MX"): ["20 b.hamburger.edu.", "10 a.hamburger.edu.", "20 c.hamburger.edu.", "30 mail.crepes.fr."],
    ("crepes.fr", "MX"): ["10 mail.crepes.fr."],
    ("nomail.test", "MX"): ["0 ."],
    ("nomail2.test", "MX"): ["10 ."],
    ("host.test", "A"): ["192.0.2.9"],
}


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (
            "hamburger.edu",
            {
                ("a.hamburger.edu", "b.hamburger.edu", "c.hamburger.edu"),
                ("a.hamburger.edu", "c.hamburger.edu", "b.hamburger.edu"),
            },
        ),
        ("host.test", {("host.test",)}),
        ("[192.0.2.7]", {("192.0.2.7",)}),
        ("[IPv6:2001:db8::7]", {("2001:db8::7",)}),
        ("by.hand.test", {("smart.test",)}),
        ("crepes.fr", "5.4.6"),
        ("nomail.test", "5.1.10"),
        ("nomail2.test", "5.1.10"),
        ("no.such.test", "5.1.2"),
    ],
)
def test_routes(domain: str, expected: set[tuple[str, ...]] | str) -> None:
    by_hand = {".hand.test": Route(("smart.test",), 587, by_mx=False)}
    seen = set()
    for seed in range(12):
        found: list[Any] = []
        going = route(FakeResolver(TABLE), Random(seed), domain, frozenset({"mail.crepes.fr"}), by_hand)
        Deferred.fromCoroutine(going).addBoth(found.append)
        if isinstance(expected, str):
            assert isinstance(found[0].value, NoRoute)
            assert found[0].value.status == expected
        else:
            seen.add(found[0].hosts)
    assert isinstance(expected, str) or seen == expected
