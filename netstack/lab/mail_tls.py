"""Who gets mail when somebody stands between the servers? With nothing, with DANE, with MTA-STS.

He rewrites DNS answers on their way to the resolver of alice's server, so that mail for hamburger.edu goes to his own
server, which reads it and sends it on; or he stands in bob's server's place, without TLS, or with a certificate of his
own making. With DANE (RFC 7672) the zone's signed records say who its exchanges are and by which authority; with MTA-STS
(RFC 8461) the domain's Web server says who they are, once, and the sender remembers it. Mail waits rather than go to him,
and that is counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dns.message import Message
from dns.name import from_text
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import from_text as records

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.post_office import BOB, HERS, HIS, hand_in, mailbox, service, sleep
from netstack.smtp.metrics import collector
from netstack.world.session import Session
from netstack.world.simulated import Simulation
from netstack.world.simulated.forging import of_replies, on_the_wire

TITLE = "Mail between servers, and somebody who stands between them"
SUBSTRATES = ("simulated",)

DOMAIN, EVIL, SITE = "hamburger.edu", "mail.evil.test", "crepes"
MESSAGE = b"From: alice@crepes.fr\r\nTo: bob@hamburger.edu\r\nSubject: ketchup\r\n\r\nDo you like ketchup?\r\n"
SOON = 40.0
"""Seconds in which mail comes, if it comes."""
NOTHING, MX, HOST, CLEARTEXT, CERTIFICATE = (
    "nobody does anything",
    "MX records rewritten",
    "the exchange's address rewritten",
    "the exchange offers no TLS",
    "the exchange has a certificate of another authority",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A defence, what is done, and what comes of it."""

    defence: str
    """"none", "tlsa" or "sts"."""
    attack: str
    result: str = ""
    """What alice's server counts for its policy, by RFC 8460's names; empty: there is no policy."""
    arrives: bool = True
    read: bool = False
    """He gets the message."""
    known: bool = True
    """Mail has gone there before."""

    @property
    def title(self) -> str:
        """As it begins a claim."""
        first = "" if self.known else ", first contact"
        return f"{TITLES[self.defence]}, {self.attack}{first}"

    def claims(self, arrived: int | None, read: int | None, counted: int | None) -> list[Claim]:
        """What alice, bob and he see."""
        found = [
            Claim(f"{self.title}: messages in bob's mailbox", int(self.arrives), arrived),
            Claim(f"{self.title}: messages that he has read", int(self.read), read),
        ]
        if self.result:
            found.append(Claim(f"{self.title}: sessions counted as {self.result}", 1, counted))
        return found


TITLES = {"none": "no policy", "tlsa": "DANE", "sts": "MTA-STS"}
SUCCESS, NONE_OFFERED, FAILED = "successful-session", "starttls-not-supported", "validation-failure"
CASES = (
    Case("none", NOTHING),
    Case("none", MX, read=True),
    Case("none", CERTIFICATE),
    Case("none", CLEARTEXT),
    Case("tlsa", NOTHING, SUCCESS),
    Case("tlsa", MX, arrives=False),
    Case("tlsa", HOST, arrives=False),
    Case("tlsa", CERTIFICATE, FAILED, False),
    Case("tlsa", CLEARTEXT, NONE_OFFERED, False),
    Case("sts", NOTHING, SUCCESS),
    Case("sts", MX, FAILED, False),
    Case("sts", HOST, "certificate-host-mismatch", False),
    Case("sts", CERTIFICATE, "certificate-not-trusted", False),
    Case("sts", CLEARTEXT, NONE_OFFERED, False),
    Case("sts", MX, read=True, known=False),
)
NOT_SHOWN = (
    "somebody who takes STARTTLS out of a stream that passes: to the sender it is a server that offers none, and is met so.",
)


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [claim for case in CASES for claim in case.claims(None, None, None)]


def measure(bench: Bench) -> Iterator[Claim]:
    """One message of alice's for each case, in a world of its own."""
    for case in CASES:
        with _world(bench, case) as internet:
            if case.known and case.attack in (MX, HOST):
                hand_in(internet, MESSAGE)
                mailbox(internet, HIS, BOB, 1, SOON)
                internet.drive(_sleep, 60.0)  # the connection is closed by now
            _attack(internet, case)
            boxes, counted = len(mailbox(internet, HIS, BOB, 1, 0.0)), _counts(internet, case)
            hand_in(internet, MESSAGE)
            arrived = len(mailbox(internet, HIS, BOB, boxes + 1, SOON)) - boxes
            yield from case.claims(arrived, _read(internet), _counts(internet, case) - counted)


def _world(bench: Bench, case: Case) -> Session:
    exchange = {"starttls": case.attack != CLEARTEXT}
    return bench.changed(
        "textbook",
        {
            "profile": "textbook" if case.defence == "none" else "hardened",
            "sites": {"elsewhere": {}},
            "zones": {"evil.test": {"site": "elsewhere"}, DOMAIN: {"signed": case.defence == "tlsa"}},
            "hosts": {
                EVIL: {"services": {"smtp": {"relay_for": ["0.0.0.0/0"]}}},
                HIS: {"services": {"smtp": exchange}},
            },
        },
        "mail-tls",
    )


def _attack(internet: Session, case: Case) -> None:
    running: Any = internet
    if case.attack in (MX, HOST):
        internet.flush()
        evil = internet.address(EVIL)
        on_the_wire(running.running.links.networks[SITE].down, of_replies(lambda reply: _forge(reply, case.attack, evil)))
    elif case.attack == CERTIFICATE:
        internet.stop_host(HIS)
        other = Simulation("somebody else").authority
        running.up.host(HIS).leaf = replace(other.issue((HIS,)), chain=(other.certificate,))
        internet.start_host(HIS)


def _forge(message: Message, attack: str, address: str) -> None:
    if len(message.question) != 1 or not message.answer:
        return
    [question] = message.question
    if attack == MX and (question.name, question.rdtype) == (from_text(DOMAIN), RdataType.MX):
        message.answer = [records(question.name, 3600, "IN", "MX", f"5 {EVIL}.")]
    elif attack == HOST and (question.name, question.rdtype) == (from_text(HIS), RdataType.A):
        message.answer = [records(question.name, 3600, "IN", "A", address)]
    elif question.name == from_text(f"_mta-sts.{DOMAIN}"):
        message.answer = []
        message.set_rcode(Rcode.NXDOMAIN)


def _read(internet: Session) -> int:
    """Messages that his server took."""
    running: Any = internet.running
    return int(collector(running.hosts[EVIL].machine.registry).receptions["mx"].messages)


def _counts(internet: Session, case: Case) -> int:
    found: int = service(internet.running, HERS).policies.counts.get((case.defence, case.result), 0)
    return found


async def _sleep(running: Any, seconds: float) -> None:
    await sleep(running.hosts[HERS].machine, seconds)
