"""Nodes of a ring as processes on loopback: one process imports everything and forks; each has a directory and a gateway.

Secure ones have TLS among them, with identifiers that are hashes of their keys and certificates that an issuer gives them as
they join, a process of its own.

`Fleet` is used by tests; `python -m tests.ring.fleet` is the process that forks.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.processes import ROOT, environment_of

PORT, GATEWAY, ISSUER = 4160, 8160, 4161
BITS = 160
TROUBLE = (b"Traceback", b"Unhandled", b"#error", b"#critical")


@dataclass
class Process:
    """One node."""

    name: str
    address: str
    log: Path
    pid: int = 0
    place: str = ""
    ident: int = 0

    @property
    def is_up(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").exists()

    def resident(self) -> tuple[int, int]:
        """Octets in memory, and its share of them where processes have them together."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
        return sizes["Rss"], sizes["Pss"]


@dataclass
class Answer:
    status: int
    body: bytes
    fields: Mapping[str, str] = field(default_factory=dict)


class Fleet:
    """Nodes that come and go. `settings` are fields of the ring's and the data's options."""

    def __init__(
        self, directory: Path, secure: bool = False, tokens: int = 128, patience: float = 60.0, **settings: Any
    ) -> None:
        """`tokens`: that the issuer of `secure` nodes knows, one for each node that is ever started. `patience`: seconds
        until a key that cannot be asked for is given up.
        """
        self.directory = directory
        self.patience = patience
        self.settings = settings
        self.nodes: dict[str, Process] = {}
        """Those that should be up."""
        self._count = 0
        self._net = f"127.{20 + os.getpid() % 200}"
        self._pool = ThreadPoolExecutor(16)
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.ring.fleet"],
            cwd=ROOT, env=environment_of(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.tokens = [f"a-token-of-node-{number}-of-the-fleet" for number in range(1, tokens + 1)] if secure else []
        self.issuer: Process | None = self._issue() if secure else None

    def _issue(self) -> Process:
        """Start the issuer."""
        from netstack.kernel.authority import Authority

        address = f"{self._net}.200.1"
        self.web, self.authority = (
            Authority.kept(self.directory / "authorities" / name, time.time, f"{name} of the fleet")
            for name in ("web", "nodes")
        )
        leaf = self.web.issue((), (address,))
        folder = self.directory / "authorities"
        issuer = Process("issuer", address, self.directory / "issuer.log", place=f"{address}:{ISSUER}")
        told = {
            "name": "issuer", "address": address, "state": str(self.directory / "issuer"), "log": str(issuer.log),
            "leaf": [each.decode() for each in leaf.pem()], "tokens": "\n".join(self.tokens),
            "authority": [(folder / "nodes" / each).read_text() for each in ("ca.pem", "ca.key")], "settings": {},
        }  # fmt: skip
        issuer.pid = self._fork(told)["pid"]
        return issuer

    def _fork(self, told: Mapping[str, Any]) -> Any:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        print(json.dumps(told), file=self._parent.stdin, flush=True)
        return json.loads(self._parent.stdout.readline())

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill([*self.nodes.values(), *([self.issuer] if self.issuer else [])])
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait(10)
        self._pool.shutdown()

    # Coming and going

    def start(self, count: int = 1) -> list[Process]:
        """So many more, which join through some that are there."""
        return [self._start() for _ in range(count)]

    def _start(self, **more: Any) -> Process:
        number = self._count = self._count + 1
        name = f"node{number}"
        address = f"{self._net}.{number // 250}.{number % 250 + 1}"
        through = [f"{each.address}:{PORT}" for each in list(self.nodes.values())[:3]]
        node = Process(name, address, self.directory / f"{name}.log", place=f"{address}:{PORT}")
        told = {"name": name, "address": address, "state": str(self.directory / name), "log": str(node.log), "join": through}
        if self.issuer is not None:
            told |= {
                "issuer": f"https://{self.issuer.place}", "token": self.tokens[number - 1], "trust": self.web.pem().decode(),
                "authorities": self.authority.pem().decode(),
            }  # fmt: skip
        answer = self._fork(told | {"settings": self.settings} | more)
        node.pid, node.ident = answer["pid"], int(answer["ident"])
        self.nodes[name] = node
        return node

    def kill(self, nodes: Iterable[Process]) -> None:
        """SIGKILL, all at once."""
        for each in nodes:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
            self.nodes.pop(each.name, None)

    def leave(self, node: Process, seconds: float = 60.0) -> float:
        """SIGTERM, and until it is gone: seconds."""
        begun = time.monotonic()
        os.kill(node.pid, signal.SIGTERM)
        self.nodes.pop(node.name, None)
        while node.is_up:
            assert time.monotonic() - begun < seconds, node.log.read_text()
            time.sleep(0.02)
        return time.monotonic() - begun

    def trouble(self) -> list[str]:
        """Lines of all logs that report an error of ours."""
        return [
            f"{path.name}: {line.decode(errors='replace')}"
            for path in sorted(self.directory.glob("*.log"))
            for line in path.read_bytes().splitlines()
            if any(word in line for word in TROUBLE)
        ]

    # HTTP

    def ask(self, node: Process, method: str, path: str, body: bytes | None = None, seconds: float = 20.0) -> Answer:
        """One request to a node's gateway; status 0 where there is none."""
        connection = http.client.HTTPConnection(node.address, GATEWAY, timeout=seconds)
        try:
            connection.request(method, path, body, {"Connection": "close"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
        except OSError:
            return Answer(0, b"")
        finally:
            connection.close()

    def each(self, work: Any, items: Sequence[Any], at_once: int = 4) -> list[Any]:
        """Apply to all, some at once."""
        shares = [items[start::at_once] for start in range(at_once)]
        done = list(self._pool.map(lambda share: [work(item) for item in share], shares))
        return [done[at % at_once][at // at_once] for at in range(len(items))]

    def insist(self, path: str, method: str = "GET", body: bytes | None = None) -> Answer:
        """Ask a node, then others, until it is no 503 and somebody answers."""
        end = time.monotonic() + self.patience
        at = hash(path)
        while True:
            nodes = list(self.nodes.values())
            answer = self.ask(nodes[at % len(nodes)], method, path, body)
            if answer.status not in (0, 503) or time.monotonic() > end:
                return answer
            at += 1
            time.sleep(0.1)

    def put_all(self, keys: Sequence[str]) -> None:
        """A value under each key, which says the key."""
        answers = self.each(lambda key: self.insist(f"/keys/{key}", "PUT", key.encode()), keys)
        wrong = [(key, each.status, each.body) for key, each in zip(keys, answers, strict=True) if each.status != 204]
        assert not wrong, wrong[:3]

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Keys that nobody has a value of."""
        answers = self.each(lambda key: self.insist(f"/keys/{key}"), keys)
        odd = [
            (key, each.status, each.body) for key, each in zip(keys, answers, strict=True)
            if each.status != 404 and (each.status != 200 or each.body != key.encode())
        ]  # fmt: skip
        assert not odd, odd[:3]
        return [key for key, each in zip(keys, answers, strict=True) if each.status == 404]

    # The circle

    def ordered(self) -> list[Process]:
        """Clockwise."""
        return sorted(self.nodes.values(), key=lambda each: each.ident)

    def is_settled(self) -> bool:
        """Whether each node knows who is before it and after it."""
        there = self.ordered()
        if len(there) == 1:
            return True

        def is_right(at: int) -> bool:
            answer = self.ask(there[at], "GET", "/ring", seconds=5.0)
            if answer.status != 200:
                return False
            told = json.loads(answer.body)
            after, before = there[(at + 1) % len(there)], there[at - 1]
            return (
                told["successors"][0]["address"] == after.place
                and told["predecessor"] is not None
                and told["predecessor"]["address"] == before.place
            )

        return all(self.each(is_right, range(len(there))))

    def settle(self, seconds: float = 60.0) -> float:
        """Until all know their neighbours: seconds."""
        begun = time.monotonic()
        while not self.is_settled():
            assert time.monotonic() - begun < seconds, "\n".join(self.trouble()) or "the circle does not settle"
            time.sleep(0.1)
        return time.monotonic() - begun

    def keepers(self, key: str, copies: int, among: Sequence[Process]) -> list[Process]:
        """The node that is responsible for a key and the next ones, out of nodes in their order."""
        from netstack.ring.identifiers import Circle

        at = bisect_left([each.ident for each in among], Circle(BITS).of(key.encode()))
        return [among[(at + step) % len(among)] for step in range(copies)]


def run_node(told: Mapping[str, Any]) -> None:
    """One node with its gateway, until SIGTERM; then it leaves politely."""
    from twisted.internet import reactor as installed
    from twisted.internet.defer import maybeDeferred
    from twisted.logger import globalLogBeginner, textFileLogObserver

    reactor: Any = installed
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    from netstack.kernel.real import real_machine

    machine = real_machine(told["name"], (told["address"],), told["state"])
    service = issuer_of(machine, told) if "tokens" in told else composed(machine, told)
    service.privilegedStartService()
    service.startService()

    def stop(*_: object) -> None:
        reactor.callFromThread(left)

    def left() -> None:
        maybeDeferred(service.stopService).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(signal.signal, signal.SIGTERM, stop)
    reactor.run(installSignalHandlers=False)


def composed(machine: Any, told: Mapping[str, Any]) -> Any:
    """A node of netstack-ring."""
    from dataclasses import replace

    from netstack.kernel.authority import authorities
    from netstack.kernel.tls import HostTLS
    from netstack.taps.ring import Config, build

    settings, default = dict(told["settings"]), Config()
    secure = {}
    if "issuer" in told:
        trust = authorities(told["trust"].encode())
        machine.tls = HostTLS(machine.reactor, machine.wall, (), trust)
        secure = {name: told[name] for name in ("issuer", "token", "authorities")}
    config = Config(
        listen=(f"{'tls' if secure else 'tcp'}:{PORT}:interface={told['address']}",),
        http=(f"tcp:{GATEWAY}:interface={told['address']}",),
        network="fleet",
        join=tuple(told["join"]),
        data=replace(default.data, **settings.pop("data", {})),
        ring=replace(default.ring, **settings),
        **secure,
    )
    return build(config, machine)


def issuer_of(machine: Any, told: Mapping[str, Any]) -> Any:
    """netstack-ring as an issuer alone."""
    from netstack.kernel.authority import Leaf
    from netstack.kernel.tls import HostTLS
    from netstack.ring.issuer import IssuerLimits
    from netstack.taps.ring import Config, build

    machine.tls = HostTLS(machine.reactor, machine.wall, (Leaf.from_pem(*(each.encode() for each in told["leaf"])),))
    config = Config(
        network="fleet", issue_only=True, issue=(f"tls:{ISSUER}:interface={told['address']}",),
        issue_authority=tuple(told["authority"]), issue_tokens=told["tokens"], issuing=IssuerLimits(rate=1000.0),
    )  # fmt: skip
    return build(config, machine)


def ident_of(told: Mapping[str, Any]) -> int:
    """A hash of where the node is, as the tap takes by itself; or of its key, which is made here."""
    from netstack.kernel.real import real_machine
    from netstack.ring.credentials import kept_key, public_der
    from netstack.ring.identifiers import Circle

    circle = Circle(BITS)
    if "issuer" not in told:
        return circle.of(f"{told['address']}:{PORT}".encode())
    machine = real_machine(told["name"], (told["address"],), told["state"], reactor=object())
    return circle.of_public_key(public_der(kept_key(machine)))


def main() -> None:
    """Fork a node for each line of standard input; the answer is its process and identifier."""
    import netstack.kernel.real
    import netstack.taps.ring  # noqa: F401

    assert "twisted.internet.reactor" not in sys.modules, "each node gets a reactor of its own"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who is killed is gone at once
    for line in sys.stdin:
        told = json.loads(line)
        ident = ident_of(told)
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                log = os.open(told["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(log, 1)
                os.dup2(log, 2)
                run_node(told)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(0)
        print(json.dumps({"pid": pid, "ident": str(ident)}), flush=True)


if __name__ == "__main__":
    main()
