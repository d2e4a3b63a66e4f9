"""Mail for one mailbox of this host goes straight into it before 250; all other mail goes through the queue."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from netstack.kernel.limits import StreamLimits
from netstack.kernel.metrics import traffic
from netstack.mail.store import StoreFailed
from netstack.smtp.dialogue import connect
from netstack.smtp.events import Recipient
from netstack.smtp.limits import SMTPLimits
from netstack.taps.smtp import Config, build
from netstack.world.simulated import Simulation

MESSAGE = b"Subject: ketchup\r\n\r\nDo you like it?\r\n"
CONFIG = Config(
    domains=("hamburger.edu",),
    accounts=("bob@hamburger.edu", "eve@hamburger.edu messages=1"),
    aliases=(
        "robert@hamburger.edu: bob@hamburger.edu",
        "list@hamburger.edu: owner=eve@hamburger.edu bob@hamburger.edu gone@elsewhere.test",
    ),
    listen=("tcp:25:interface=192.0.2.2",),
    authentication=False,
)


class Host:
    """As the tap builds it, and a client."""

    def __init__(self) -> None:
        self.simulation = Simulation(1)
        self.host = self.simulation.host("mail.hamburger.edu", "192.0.2.2")
        self.host.program = self.program
        self.client = self.simulation.host("client", "192.0.2.9")
        self.host.start()
        self.simulation.run(for_seconds=1)

    def program(self, host: Any) -> None:
        self.service: Any = build(CONFIG, self.simulation.machine(host))
        self.service.privilegedStartService()
        self.service.startService()
        self.passed: list[int] = []
        """Messages that have gone through the queue."""
        spool = self.service.queue.spool
        accept = spool.accept

        def watched(*arguments: Any, **named: Any) -> Deferred[int]:
            kept: Deferred[int] = accept(*arguments, **named)
            return kept.addCallback(lambda number: self.passed.append(number) or number)  # type: ignore[func-returns-value]

        spool.accept = watched

    def send(self, *to: str, count: int = 1, notify: str = "") -> list[int]:
        """So many at once, each on a connection of its own: the replies to the messages."""

        parameters = (("NOTIFY", notify),) if notify else ()

        async def one() -> int:
            machine = self.simulation.machine(self.client)
            counted = traffic(machine.registry, "smtp", "client")
            dialogue, _ = await connect(machine, "192.0.2.2", 25, counted, SMTPLimits(), StreamLimits())
            await dialogue.hello("client.test")
            sent = await dialogue.send("alice@crepes.fr", [Recipient(each, parameters) for each in to], MESSAGE)
            dialogue.quit()
            return sent.of(0).code

        codes = self.simulation.ask(
            self.client, lambda: gatherResults([Deferred.fromCoroutine(one()) for _ in range(count)])
        )
        return list(codes)

    def mail(self, name: str = "bob@hamburger.edu") -> Sequence[bytes]:
        """What is in a mailbox."""
        account = self.service.mailboxes.account(name)

        async def read() -> list[bytes]:
            _, found = await account.snapshot("INBOX")
            return [account.content(each).read_at(0, each.size) for each in found]

        return list(self.simulation.ask(self.host, lambda: Deferred.fromCoroutine(read())))


@pytest.fixture
def host() -> Host:
    return Host()


def test_it_is_in_the_mailbox_when_the_client_is_told(host: Host) -> None:
    assert host.send("bob@hamburger.edu") == [250]
    host.host.power_off()  # nothing waits in the queue, and nothing is lost
    host.host.boot()
    host.simulation.run(for_seconds=1)
    [octets] = host.mail()
    assert b" id 1\r\n" in octets
    host.send("bob@hamburger.edu")
    assert b" id 1\r\n" not in host.mail()[1], "no number is given twice"
    assert octets.startswith(b"Return-Path: <alice@crepes.fr>\r\nReceived: from client.test ([192.0.2.9])\r\n")
    assert octets.endswith(MESSAGE)
    assert not host.service.queue.messages


def test_those_that_come_together_share_a_commit(host: Host) -> None:
    host.send("bob@hamburger.edu")
    database = host.service.mailboxes.account("bob@hamburger.edu")._database
    before = database.commits
    assert host.send("robert@hamburger.edu", count=50) == [250] * 50
    assert database.commits - before < 20
    assert len(host.mail()) == 51
    assert host.passed == []
    counts = host.service.queue.counts
    assert (counts.accepted, counts.delivered) == (51, 51)


@pytest.mark.parametrize(
    ("to", "notify", "passed"),
    [
        (["bob@hamburger.edu"], "", 0),
        (["robert@hamburger.edu"], "FAILURE,DELAY", 0),
        (["bob+lists@hamburger.edu"], "", 0),
        (["bob@hamburger.edu"], "SUCCESS", 2),  # and the report about it
        (["bob@hamburger.edu", "eve@hamburger.edu"], "", 1),
        (["list@hamburger.edu"], "", 2),  # and the report to its owner
    ],
)
def test_who_takes_which_way(host: Host, to: list[str], notify: str, passed: int) -> None:
    assert host.send(*to, notify=notify) == [250]
    host.simulation.run(for_seconds=5)
    assert [octets for octets in host.mail() if octets.endswith(MESSAGE)] == list(host.mail())
    assert len(host.mail()) == 1
    assert len(host.passed) == passed


def test_who_is_gone_gets_no_more_mail_and_who_is_new_does(host: Host) -> None:
    assert host.send("robert@hamburger.edu") == [250]
    host.service.know(replace(CONFIG, accounts=("robert@hamburger.edu",), aliases=()).directory)
    assert host.send("robert@hamburger.edu") == [250]
    assert host.send("bob@hamburger.edu") == [550]
    assert (len(host.mail()), len(host.mail("robert@hamburger.edu"))) == (1, 1)


def test_a_mailbox_that_is_full_makes_it_wait(host: Host) -> None:
    assert host.send("eve@hamburger.edu") == [250]
    assert host.send("eve@hamburger.edu") == [250]
    [envelope] = host.service.queue.messages.values()
    assert (envelope.recipients[0].status, len(host.passed)) == ("4.2.2", 1)


def test_what_the_store_has_in_spite_of_an_error_is_not_there_twice(host: Host) -> None:
    host.send("bob@hamburger.edu")
    store = host.service.mailboxes
    deliver = store.deliver

    def deaf(*arguments: Any, **named: Any) -> Deferred[Any]:
        store.deliver = deliver

        def lost(delivered: object) -> None:
            raise StoreFailed("the disk did not answer")

        return deliver(*arguments, **named).addCallback(lost)  # type: ignore[no-any-return]

    store.deliver = deaf
    assert host.send("bob@hamburger.edu") == [250]
    host.simulation.run(for_seconds=5)
    assert (len(host.mail()), len(host.passed)) == (2, 1)
    assert not host.service.queue.messages
