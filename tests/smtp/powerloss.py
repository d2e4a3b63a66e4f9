"""A mail host whose power fails, at any place of a run that was traced: what it had answered with 250 is delivered.

The host takes mail from 20 clients, for a mailbox of its own and for another host, and is killed in between. Then the trace
is played: at many places what may be left of the disk is made, and a host is started on it, in virtual time, until it has
nothing more to do.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from socketserver import StreamRequestHandler, ThreadingTCPServer
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from netstack.kernel.disk import RealDisk
from netstack.mail.store import MailStore, NoSuchFolder
from netstack.taps.smtp import Options, build
from netstack.world.simulated import Simulation
from tests.addresses import own_address
from tests.crash.disk import Disk, Left
from tests.crash.replay import IMAGES, Run, moments
from tests.crash.trace import SENDS, Call, Tracing
from tests.processes import Running, environment_of, twistd
from tests.smtp.killed import PORT, SESSIONS, Load, message, recipients
from tests.smtp.town import Office

_TAKEN = re.compile(rb"^250 taken ([0-9]+)\r\n", re.MULTILINE)
_OK = re.compile(rb"^250 ([^\r\n]*)\r\n", re.MULTILINE)
_ID = re.compile(rb"^Message-ID: <([0-9]+)@", re.MULTILINE)
_SOON = 2.0
"""Seconds after which it has been noted that another host has taken a message."""


class _Sink(StreamRequestHandler):
    """The other host: its reply names the message. It takes some only when they come again."""

    server: "_Other"

    def handle(self) -> None:
        with suppress(ConnectionError):
            self.wfile.write(b"220 there\r\n")
            while line := self.rfile.readline():
                self.wfile.write(self._reply(line[:4].upper()))

    def _reply(self, command: bytes) -> bytes:
        if command != b"DATA":
            return b"250 ok\r\n"
        self.wfile.write(b"354 go on\r\n")
        octets = b""
        while not octets.endswith(b"\r\n.\r\n"):
            line = self.rfile.readline()
            if not line:
                raise ConnectionError
            octets += line
        match = _ID.search(octets)
        if match is None:
            return b"554 what is that\r\n"
        if match[1].endswith(b"4") and match[1] not in self.server.seen:
            self.server.seen.add(match[1])
            return b"451 come again\r\n"
        return b"250 taken %s\r\n" % match[1]


class _Other(ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, PORT), _Sink)
        self.seen: set[bytes] = set()


@dataclass
class MailRun(Run):
    """The host's files are in `here`."""

    replies: dict[str, int] = field(default_factory=dict)
    """What the client heard of each message that was taken."""


def _options(state: Path, listen: str, there: str) -> list[str]:
    texts = f"""--name mail.here.test --domain here.test --listen {listen} --state {state} --route there.test={there}
        --no-authentication --no-dane --no-mta-sts --no-starttls --relay-for 127.0.0.0/8 --resolver 127.0.0.1:1
        --first-retry 1 --keep-connection 1 --segment 300000 --store-ledger 3000 --accounts"""
    return [*texts.split(), str(state.parent.parent / "accounts")]


def recorded(directory: Path, strace: str, messages: int, kills: int = 1, seed: int = 1) -> MailRun:
    """A run in which so many messages are sent, and the host is killed so often in between; at last it ends in peace."""
    rng = Random(seed)
    here, there = own_address(), own_address()
    run = MailRun(directory / "disk", [])
    run.root.mkdir()
    (directory / "accounts").write_text("bob@here.test\n")
    sink = _Other(there)
    Thread(target=sink.serve_forever, daemon=True).start()
    load = Load(here, messages)
    clients = [Thread(target=load.client, args=(which,), daemon=True) for which in range(SESSIONS)]
    options = _options(run.root / "here", f"tcp:{PORT}", f"{there}:{PORT}")
    for boot in range(kills + 1):
        tracing = Tracing(strace, directory / f"trace-{boot}")
        command = twistd("netstack-smtp", "--address", here, *options)
        killed_at = rng.choice([0, rng.randint(5, 40)]) if boot < kills else 0
        started = Running(tracing.around(*command, killed_at=killed_at), environment_of())
        started.wait_for("takes mail on", seconds=60)
        if boot == 0:
            for client in clients:
                client.start()
        if boot < kills:
            enough = messages * (boot + rng.uniform(0.3, 0.9)) / (kills + 1)
            while len(load.taken) < enough and started.process.poll() is None and not load.stop.is_set():
                load.stop.wait(0.01)
            started.process.kill()
            started.process.wait(20)
        else:
            for client in clients:
                client.join(60)
            Event().wait(1.5)  # what is left is delivered and noted
            started.end()
        assert not started.trouble(), "".join(started.lines)
        run.ended(tracing, started.process.pid)
    sink.shutdown()
    sink.server_close()
    run.replies = {reply: number for number, reply in load.taken.items()}
    assert len(run.replies) == len(load.taken), "replies that differ"
    return run


@dataclass
class Told:
    """What became of the messages, summed over all images of the disk; only those that had been answered with 250 count."""

    images: int = 0
    taken: int = 0
    once: int = 0
    twice: int = 0
    """By the other host, which had taken them right before."""
    never: int = 0


@dataclass
class Played:
    """What is known of the messages at a place of the trace."""

    now: float = 0.0
    taken: set[int] = field(default_factory=set)
    relayed: dict[int, list[float]] = field(default_factory=dict)
    """When the host heard that the other one had taken it."""
    deaths: list[float] = field(default_factory=list)
    """When it was killed."""

    def is_noted(self, number: int) -> bool:
        """Whether the host lived long enough after that to have noted it."""
        lives = [
            (heard, min([death for death in self.deaths if death >= heard], default=self.now))
            for heard in self.relayed.get(number, ())
        ]
        return any(end - heard > _SOON for heard, end in lives)


def replayed(run: MailRun, cuts: int, seed: int = 1) -> Told:
    """Let the power fail at so many places, two images each. Fails where a message is lost, or there twice for no reason."""
    rng = Random(seed)
    told, disk, played = Told(), Disk(run.root), Played()
    for moment in moments(run, disk, cuts, rng, lambda call: call.name in SENDS and bool(_numbers(run, call))):
        if moment.boot > len(played.deaths):
            played.deaths.append(played.now)
        _look(run, played, moment.call, moment.ended)
        for left in moment.lefts:
            _survived(disk, left, played, rng, told)
    assert played.taken == set(run.replies.values()), "every reply is in the trace"
    return told


def _numbers(run: MailRun, call: Call) -> list[int]:
    """Messages that a call tells a client are taken."""
    if not call.descriptors or not call.descriptors[0][1].startswith("socket:"):
        return []
    texts = [text.decode() for text in _OK.findall(call.data)]
    return [run.replies[text] for text in texts if text in run.replies]


def _look(run: MailRun, played: Played, call: Call, ends: bool) -> None:
    played.now = max(played.now, call.time)
    if call.name in SENDS and not ends:
        played.taken.update(_numbers(run, call))
    elif call.name == "recvfrom" and ends and call.result > 0:
        for number in _TAKEN.findall(call.data):
            played.relayed.setdefault(int(number), []).append(call.time)


def _survived(disk: Disk, left: Left, played: Played, rng: Random, told: Told) -> None:
    """A host on what is left of a disk delivers what it has."""
    with TemporaryDirectory(dir=IMAGES) as name:
        image = Path(name, "disk")
        image.mkdir()
        disk.write(image, left, rng)
        (image.parent / "accounts").write_text("bob@here.test\n")
        local, remote, reports = _delivered(image, played.now, rng.random() < 0.5)
    told.images += 1
    said = f"after {left} at {played.now}"
    assert not reports, f"{said}: the sender was told of what was never taken: {reports[0]!r}"
    for number in {*local, *remote}:
        octets = {*local.get(number, ()), *remote.get(number, ())}
        assert all(each.endswith(message(number)) for each in octets), f"{said}: message {number} is damaged"
    assert max(map(len, local.values()), default=0) <= 1, f"{said}: twice in a mailbox"
    for number in played.taken:
        before = len(played.relayed.get(number, ()))
        for to in recipients(number):
            count = len(local.get(number, ())) if to == "bob@here.test" else len(remote.get(number, ())) + before
            told.taken += 1
            told.once += count == 1
            told.twice += count > 1
            told.never += count == 0
            assert count, f"{said}: message {number} for {to} is lost"
        again = number in remote and played.is_noted(number)
        assert not again, f"{said}: message {number} was sent again, long after it had been taken"


Found = dict[int, list[bytes]]


def _delivered(image: Path, now: float, again: bool) -> tuple[Found, Found, list[bytes]]:
    """In the mailbox here, there, and reports. `again`: at first the other host is down, and then this one is killed."""
    simulation = Simulation(1, epoch=now)
    office = Office(simulation, "mail.there.test", "192.0.2.2", "there.test", ["alice", "bob"])
    host = simulation.host("mail.here.test", "192.0.2.1")
    services: list[Any] = []

    def program(host: Any) -> None:
        options = Options()
        options.parseOptions(_options(image / "here", "tcp:25", "192.0.2.2:25"))
        machine = replace(simulation.machine(host), disk=RealDisk(image / "here"))
        services.append(build(options.config(), machine))
        services[-1].privilegedStartService()
        services[-1].startService()

    host.program = program
    if again:
        office.host.kill()
        host.start()
        simulation.run(for_seconds=5)
        host.kill()
        office.host.boot()
        host.boot()
    else:
        host.start()
    simulation.run(for_seconds=120)
    here = simulation.ask(host, _mailbox, services[-1].mailboxes)
    assert not services[-1].queue.messages
    simulation.ask(host, services[-1].stopService)
    mail = office.boxes.mail
    there = _by_number([octets for _, to, octets in mail if to.startswith("bob")])
    return _by_number(here), there, [octets for _, to, octets in mail if not to.startswith("bob")]


async def _mailbox(store: MailStore) -> list[bytes]:
    account = store.account("bob@here.test")
    try:
        _, found = await account.snapshot("INBOX")
    except NoSuchFolder:
        return []
    texts = []
    for each in found:
        opened = account.content(each)
        texts.append(opened.read_at(0, each.size))
        opened.close()
    return texts


def _by_number(texts: Sequence[bytes]) -> Found:
    found: Found = {}
    for octets in texts:
        match = _ID.search(octets)
        assert match is not None, f"no message of ours: {octets[:200]!r}"
        found.setdefault(int(match[1]), []).append(octets)
    return found
