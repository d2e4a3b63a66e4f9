"""A world as the behaviour tests see it, whatever it runs on: what a person at one of its hosts can do and observe."""

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from netstack.cli.client import Client
from netstack.cli.errors import CommandError
from netstack.kernel.resolver import ResolutionError
from netstack.world.session import Session, open_session

ROOT = Path(__file__).resolve().parents[2]
ASK = """
import socket, sys
kind = socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM
with socket.socket(socket.AF_INET, kind) as client:
    client.settimeout(10)
    client.connect((sys.argv[2], 12000))
    client.send(sys.argv[3].encode())
    sys.stdout.buffer.write(client.recv(2048))
"""


class Failed(Exception):
    """What was tried did not work; the text is what the person is told."""


@dataclass(frozen=True)
class Page:
    status: int
    body: bytes
    secure: bool
    seconds: float
    """From the start of the request to the last octet, names not counted twice."""


class Subject(Protocol):
    """Every method raises Failed."""

    on: str

    def address(self, host: str) -> str: ...

    def cold(self) -> None:
        """Caches are empty and the journal begins anew."""

    def messages(self) -> list[dict[str, Any]]:
        """The journal since `cold`."""

    def resolve(self, name: str, rdtype: str, host: str) -> tuple[str, list[str]]:
        """Response code and records."""

    def get(self, url: str, host: str) -> Page: ...

    def upper(self, sentence: str, transport: Literal["tcp", "udp"], host: str) -> str: ...

    def delay(self, site: str, seconds: float) -> None: ...

    def down(self, host: str) -> None:
        """For good."""


class OfSession:
    """A world in this process."""

    def __init__(self, on: str, session: Session) -> None:
        self.on = on
        self.session = session

    def address(self, host: str) -> str:
        return self.session.address(host)

    def cold(self) -> None:
        self.session.flush()
        self.session.record()

    def messages(self) -> list[dict[str, Any]]:
        return [row.as_json() for row in self.session.rows()]

    def resolve(self, name: str, rdtype: str, host: str) -> tuple[str, list[str]]:
        try:
            found = self.session.resolve(name, rdtype, host)
        except ResolutionError as error:
            raise Failed(str(error)) from error
        return found.rcode, list(found.records)

    def get(self, url: str, host: str) -> Page:
        from netstack.http.client import FetchError

        try:
            result = self.session.fetch(url, host)
        except FetchError as error:
            raise Failed(str(error)) from error
        return Page(result.status, result.body, result.security is not None, result.timing.ended)

    def upper(self, sentence: str, transport: Literal["tcp", "udp"], host: str) -> str:
        return self.session.upper(sentence.encode(), "upper.someschool.edu", transport, host).decode()

    def delay(self, site: str, seconds: float) -> None:
        self.session.link(site, delay=seconds)

    def down(self, host: str) -> None:
        self.session.stop_host(host)


class OfProcesses:
    """A world that `netstack up` runs, asked by its control socket and `netstack exec`."""

    def __init__(self, on: str, name: str, client: Client, environment: dict[str, str]) -> None:
        self.on = on
        self.name = name
        self.client = client
        self.environment = environment
        self.hosts = client.call("status")["hosts"]

    def address(self, host: str) -> str:
        return str(self.hosts[host]["address"])

    def call(self, verb: str, **arguments: object) -> Any:
        try:
            return self.client.call(verb, **arguments)
        except CommandError as error:
            raise Failed(str(error)) from error

    def cold(self) -> None:
        self.call("flush")
        self.call("journal.enable")
        self.call("journal.clear")

    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("journal.read")["messages"]
        return found

    def resolve(self, name: str, rdtype: str, host: str) -> tuple[str, list[str]]:
        found = self.call("resolve", name=name, type=rdtype, host=host)
        records = [line.split(None, 4) for line in found["answer"]]
        return found["rcode"], [data for _, _, _, kind, data in records if kind == rdtype]

    def get(self, url: str, host: str) -> Page:
        found = self.call("get", url=url, host=host)
        return Page(found["status"], base64.b64decode(found["body"]), bool(found["tls"]), found["seconds"])

    def upper(self, sentence: str, transport: Literal["tcp", "udp"], host: str) -> str:
        server = self.address("upper.someschool.edu")
        done = run("exec", "--name", self.name, host, "--", sys.executable, "-c", ASK, transport, server, sentence,
                   environment=self.environment)  # fmt: skip
        if done.returncode != 0:
            raise Failed(done.stderr)
        return done.stdout

    def delay(self, site: str, seconds: float) -> None:
        self.call("links.set", site=site, direction="both", changes={"delay": seconds})

    def down(self, host: str) -> None:
        os.kill(self.call("environment", host=host)["pid"], signal.SIGKILL)


def run(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "netstack.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=ROOT)


@contextmanager
def subject(on: str, world: str, folder: Path) -> Iterator[Subject]:
    """A world that is up on a substrate; without link delays, so that what is slow is what a test made slow."""
    if on != "namespaces":
        with open_session(world, on, shaped=False) as session:
            yield OfSession(on, session)
        return
    name = f"behaviour-{os.getpid()}"
    environment = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = run("up", "--world", world, "--name", name, "--substrate", on, "--detach", environment=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    try:
        with Client(name, environment=environment) as client:
            yield OfProcesses(on, name, client, environment)
    finally:
        stopped = run("down", "--name", name, environment=environment)
    assert stopped.returncode == 0, stopped.stderr
