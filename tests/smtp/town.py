"""Two mail hosts of the simulated Internet, crepes.fr and hamburger.edu, and mailboxes that are lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from twisted.internet.defer import Deferred, succeed

from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint
from netstack.kernel.metrics import traffic
from netstack.kernel.resolver import FakeResolver
from netstack.mail.accounts import Account, Accounts, new_account
from netstack.mail.credentials import Authenticator
from netstack.smtp.admission import Admission, AdmissionLimits
from netstack.smtp.courier import Courier, CourierOptions
from netstack.smtp.dialogue import Dialogue, connect
from netstack.smtp.directory import Directory, parse_aliases
from netstack.smtp.envelope import Fate
from netstack.smtp.limits import QueueLimits, SMTPLimits
from netstack.smtp.metrics import Receptions, collector
from netstack.smtp.mta_sts import NoPolicy, STSLimits
from netstack.smtp.offer import Offer
from netstack.smtp.queue import LOCAL, Job, Outcome, Queue, Session
from netstack.smtp.reception import Check, Reception, ReceptionOptions
from netstack.smtp.service import Door, SMTPService
from netstack.smtp.submitting import Authorship, ShortLines
from netstack.smtp.tlspolicy import Policies
from netstack.smtp.wire import Reply
from netstack.world.simulated import Simulation

PASSWORD = "ketchup"
TABLE = {
    ("crepes.fr", "MX"): ["10 mail.crepes.fr."],
    ("mail.crepes.fr", "A"): ["192.0.2.1"],
    ("hamburger.edu", "MX"): ["10 mail.hamburger.edu.", "20 backup.hamburger.edu."],
    ("mail.hamburger.edu", "A"): ["192.0.2.2"],
    ("backup.hamburger.edu", "A"): ["192.0.2.3"],
    ("elsewhere.test", "A"): ["192.0.2.4"],
}
SMTP = SMTPLimits(message=100_000, command_seconds=60, greeting_seconds=60, final_seconds=120)


@cache
def account(name: str) -> Account:
    """With the password PASSWORD."""
    return new_account(name, PASSWORD, b"salt" * 4, scram=False)


class Boxes:
    """Where local mail ends, across restarts."""

    usable = True

    def __init__(self) -> None:
        self.mail: list[tuple[str, str, bytes]] = []
        """Sender, recipient, octets."""

    async def deliver(self, job: Job) -> Sequence[Outcome]:
        for index in job.indexes:
            self.mail.append((str(job.envelope.sender or ""), str(job.envelope.recipients[index].mailbox), job.content))
        return [Outcome(Fate.DELIVERED, "2.0.0", "") for _ in job.indexes]

    def close(self) -> Deferred[None]:
        return succeed(None)


@dataclass(frozen=True)
class _Offer(Offer):
    """One that leaves some extensions out."""

    without: frozenset[str] = frozenset()

    def extensions(self, limits: SMTPLimits, secure: bool) -> list[str]:
        lines = Offer.extensions(self, limits, secure)
        return [line for line in lines if line.partition(" ")[0] not in self.without]


class Office:
    """A mail host: port 25 for all, 587 for its users."""

    def __init__(
        self, simulation: Simulation, name: str, address: str, domain: str, users: Sequence[str], aliases: str = ""
    ) -> None:
        self.simulation, self.domain = simulation, domain
        self.accounts = Accounts([account(f"{user}@{domain}") for user in users], [domain])
        self.aliases = parse_aliases(aliases.splitlines())
        self.boxes = Boxes()
        self.limits = QueueLimits()
        self.resolver = FakeResolver(TABLE)
        self.admission = AdmissionLimits()
        self.without: frozenset[str] = frozenset()
        """Extensions that it does not offer."""
        self.sts = STSLimits()
        self.policy = ""
        """What every MTA-STS server says."""
        self.fetched: list[str] = []
        self.host = simulation.host(name, address)
        self.host.program = self.program
        self.host.start()
        self.service: Any = None

    def program(self, host: Any) -> None:
        machine = self.simulation.machine(host, resolver=self.resolver)
        directory = Directory(self.accounts, frozenset({self.domain}), self.aliases)
        metrics = collector(machine.registry)
        own = frozenset({machine.name})
        policies = self.policies = Policies(machine, self.fetch, limits=self.sts)
        options = CourierOptions(machine.name, own, smtp=SMTP)
        courier = Courier(machine, options, traffic(machine.registry, "smtp", "client"), policies, metrics.timed)

        metrics.tls, metrics.policies = courier.by_tls, policies.counts

        def session(destination: str) -> Session:
            return self.boxes if destination == LOCAL else courier.session(destination)

        queue = metrics.queue = Queue(machine, machine.name, directory.lane, session, self.limits, delayed=metrics.delayed)
        authenticator = Authenticator(machine, self.accounts)
        doors = []
        for kind, port in (("mx", 25), ("submission", 587)):
            counts = metrics.receptions.setdefault(kind, Receptions())
            options = ReceptionOptions(machine.name, kind)  # type: ignore[arg-type]
            checks: list[Check] = []
            if kind == "submission":
                checks = [Authorship(directory, counts.mismatches), ShortLines(machine)]
            reception = Reception(
                machine, options, directory, queue, authenticator, counts, checks, Admission(machine, self.admission)
            )
            mechanisms = ("PLAIN", "LOGIN") if kind == "submission" else ()
            offer = _Offer(machine.name, starttls=True, mechanisms=mechanisms, without=self.without)
            doors.append(Door([Endpoint("tcp", port, machine.address)], offer, reception))
        self.service = SMTPService(machine, doors, queue, self.boxes, SMTP, StreamLimits(), policies=policies)
        self.service.privilegedStartService()
        self.service.startService()

    async def fetch(self, url: str) -> str:
        """In place of HTTPS."""
        self.fetched.append(url)
        if not self.policy:
            raise NoPolicy(url)
        return self.policy

    @property
    def queue(self) -> Queue:
        queue: Queue = self.service.queue
        return queue


class Town:
    """Both offices, and a client somewhere."""

    def __init__(self, seed: int = 1) -> None:
        self.simulation = Simulation(seed)
        self.crepes = Office(self.simulation, "mail.crepes.fr", "192.0.2.1", "crepes.fr", ["alice"], ALIASES)
        self.hamburger = Office(self.simulation, "mail.hamburger.edu", "192.0.2.2", "hamburger.edu", ["bob", "eve"], ALIASES)
        self.client = self.simulation.host("client", "192.0.2.9")
        self.run(1)

    def run(self, seconds: float) -> None:
        self.simulation.run(for_seconds=seconds)

    def restart(self, office: Office, admission: AdmissionLimits) -> None:
        """Boot an office again, with other rules."""
        office.admission = admission
        office.host.kill()
        office.host.boot()
        self.run(1)

    def ask(self, work: Any, *arguments: Any, **named: Any) -> Any:
        """Run a coroutine function on the client."""
        return self.simulation.ask(self.client, lambda: Deferred.fromCoroutine(work(*arguments, **named)))

    async def dialogue(self, address: str, port: int = 25, hello: str = "client.test", log_in: str = "") -> Dialogue:
        """A connection to a server, after EHLO; `log_in` as that user, under TLS."""
        machine = self.simulation.machine(self.client)
        name = {"192.0.2.1": "mail.crepes.fr", "192.0.2.2": "mail.hamburger.edu"}[address]
        dialogue, _ = await connect(
            machine, address, port, traffic(machine.registry, "smtp", "client"), SMTP, StreamLimits(), start_tls_name=name
        )
        await dialogue.hello(hello)
        if log_in:
            await dialogue.start_tls()
            await dialogue.hello(hello)
            reply = await dialogue.authenticate("PLAIN", f"\0{log_in}\0{PASSWORD}".encode())
            assert isinstance(reply, Reply)
            assert reply.code == 235, reply
        return dialogue


ALIASES = """
postmaster@hamburger.edu: bob@hamburger.edu
both@hamburger.edu: bob@hamburger.edu, eve@hamburger.edu, both@hamburger.edu
list@hamburger.edu: owner=eve@hamburger.edu bob@hamburger.edu gone@elsewhere.test
away@hamburger.edu: alice@crepes.fr
"""
