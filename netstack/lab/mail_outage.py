"""What becomes of mail while its server is down: it waits in the sender's queue, is tried again, and told of in the end.

The chapter: tried again about every half hour, given up after several days with a message to the sender. Here the pauses
begin at 30 minutes and grow (RFC 5321 §4.5.4.1); after four hours the sender is told that it waits, after five days that
it was given up (RFC 3464). The clock is virtual.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.post_office import ALICE, BOB, HERS, HIS, WORLD, body, hand_in, mailbox, service, sleep
from netstack.mail.message import date_of, head
from netstack.smtp.limits import QueueLimits

TITLE = "A mail server that is down: queued, tried again, delivered or given up"
SUBSTRATES = ("simulated",)

MESSAGE = b"From: alice@crepes.fr\r\nTo: bob@hamburger.edu\r\nSubject: ketchup\r\n\r\nDo you like ketchup?\r\n"
MINUTE, HOUR = 60.0, 3600.0
LIMITS = QueueLimits()
DOWN = 2 * HOUR
LOOKED = 30.0
"""Seconds between looks at the queue."""


def due() -> list[float]:
    """When a message is tried whose server never comes back: seconds since it was sent, without jitter."""
    found, pause = [0.0], LIMITS.first_retry
    while found[-1] < LIMITS.lifetime:
        found.append(min(found[-1] + pause, LIMITS.lifetime))
        pause = min(pause * LIMITS.growth, LIMITS.longest_retry)
    return found


DUE = due()
TOLD = next(at for at in DUE if at >= LIMITS.delay_notice)
BACK = next(at for at in DUE if at > DOWN)
# (claim, model, tolerance, unit)
SHORT = (
    ("down for two hours: minutes from the first attempt to the second", 30, 0.15, "min"),
    ("down for two hours: minutes from the second attempt to the third", 45, 0.15, "min"),
    ("down for two hours: attempts in vain", sum(at <= DOWN for at in DUE), 0.0, ""),
    ("back again: minutes from sending to the delivery", BACK / MINUTE, 0.15, "min"),
    ("back again: messages in bob's mailbox", 1, 0.0, ""),
    ("back again: reports in alice's mailbox", 0, 0.0, ""),
    ("back again: messages left in her server's queue", 0, 0.0, ""),
)
LONG = (
    ("down for good: hours to the notice that it waits, after the first attempt beyond four", TOLD / HOUR, 0.01, "h"),
    ("down for good: hours until it is given up", LIMITS.lifetime / HOUR, 0.001, "h"),
    ("down for good: attempts", len(DUE), 0.06, ""),
    ("down for good: notices that it waits", 1, 0.0, ""),
    ("down for good: reports that it failed", 1, 0.0, ""),
    ("down for good: of these with the status 4.4.7, expired", 1, 0.0, ""),
    ("down for good: reports that bring the message back", 1, 0.0, ""),
    ("down for good: messages left in her server's queue", 0, 0.0, ""),
)


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [Claim(text, model, None, tolerance, unit) for text, model, tolerance, unit in (*SHORT, *LONG)]


def measure(bench: Bench) -> Iterator[Claim]:
    """Stops bob's server, has alice send, and looks at her server's queue."""
    yield from _claims(SHORT, _short(bench))
    yield from _long(bench)


def _claims(promises: Sequence[tuple[str, float, float, str]], measured: Sequence[float]) -> Iterator[Claim]:
    for (text, model, tolerance, unit), value in zip(promises, measured, strict=True):
        yield Claim(text, model, value, tolerance, unit)


def _short(bench: Bench) -> list[float]:
    with bench.world(WORLD) as internet:
        internet.stop_host(HIS)
        hand_in(internet, MESSAGE)
        attempts = internet.drive(_watch, DOWN, within=DOWN + HOUR)
        internet.start_host(HIS)
        delivered = internet.drive(_watch, DOWN, DOWN, within=DOWN + HOUR)
        box = mailbox(internet, HIS, BOB)
        told = mailbox(internet, HERS, ALICE, 1, 5.0)
        left = internet.drive(_waiting)
    pauses = [(later - earlier) / MINUTE for earlier, later in pairwise(attempts)]
    return [*pauses[:2], len(attempts), delivered[-1] / MINUTE, len(box), len(told), left]


def _long(bench: Bench) -> Iterator[Claim]:
    with bench.world(WORLD) as internet:
        internet.stop_host(HIS)
        hand_in(internet, MESSAGE)
        attempts = internet.drive(_watch, LIMITS.lifetime + HOUR, within=LIMITS.lifetime + 2 * HOUR)
        reports = mailbox(internet, HERS, ALICE, 2)
        left = internet.drive(_waiting)
    delays = [report for report in reports if b"\r\nAction: delayed" in report]
    failures = [report for report in reports if b"\r\nAction: failed" in report]
    measured = (
        _age(delays),
        _age(failures),
        len(attempts),
        len(delays),
        len(failures),
        sum(b"\r\nStatus: 4.4.7" in report for report in failures),
        sum(body(MESSAGE) in report for report in failures),
        left,
    )
    first, *rest = _claims(LONG, measured)
    after = next((at for at in attempts if at >= LIMITS.delay_notice), TOLD)  # pauses vary: so does which one it is
    yield replace(first, model=after / HOUR)
    yield from rest


def _age(reports: Sequence[bytes]) -> float:
    """Hours from the message, whose arrival a report tells, to the first report; -1 without one."""
    for report in reports:
        end = date_of(head(report).get(b"date") or b"")
        came = next((line for line in report.splitlines() if line.startswith(b"Arrival-Date: ")), b"")
        start = date_of(came.removeprefix(b"Arrival-Date: "))
        if end is not None and start is not None:
            return (end - start) / HOUR
    return -1


async def _watch(running: Any, seconds: float, since: float = 0.0) -> list[float]:
    """When attempts for alice's message had ended, in seconds since it was sent, which is `since` seconds ago.

    The queue is looked at twice a minute, for so long or until the message has left it.
    """
    machine, queue = running.hosts[HERS].machine, service(running, HERS).queue
    now = machine.reactor.seconds
    start, end = now() - since, now() + seconds
    known = sum(_attempts(queue)) if since else 0
    found: list[float] = []
    while now() < end:
        of_message = _attempts(queue)
        if not of_message:
            return [*found, now() - start]
        if of_message[0] > known:
            found.append(now() - start)
            known = of_message[0]
        await sleep(machine, LOOKED)
    return found


def _attempts(queue: Any) -> list[int]:
    """Of the message, not of reports, which have no sender."""
    return [each.recipients[0].attempts for each in queue.messages.values() if each.sender is not None]


def _waiting(running: Any) -> int:
    return len(service(running, HERS).queue.messages)
