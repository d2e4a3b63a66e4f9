"""Our mail hosts as processes, and what is in their mailboxes."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from netstack.mail.accounts import account_line, new_account
from netstack.mail.store.files import path_of
from tests.addresses import own_address
from tests.interop.dns_secure import Trust
from tests.processes import Running, running, twistd

MX, SUBMISSION, SUBMISSIONS = 2525, 2587, 2465
PASSWORD = "How about pickles?"
NAME = "mail.hamburger.edu"
BOB, EVE = "bob@hamburger.edu", "eve@hamburger.edu"
_TRACE = re.compile(
    rb"\AReturn-Path: <(?P<sender>[^\r\n]*)>\r\nReceived: from [^\r\n]+\r\n(?:\t[^\r\n]*\r\n)*?"
    rb"\tby mail\.hamburger\.edu with (?P<protocol>[A-Z0-9]+) id [0-9A-F]+(?:\r\n\tfor <[^\r\n]*>)?;\r\n\t[^\r\n]+\r\n"
)


def mailbox(state: Path, account: str) -> list[bytes]:
    """Every message of an account's INBOX, as it is kept, in the order of arrival."""
    directory = state / "mail" / "accounts" / account
    if not (directory / "index.sqlite").exists():
        return []
    with closing(sqlite3.connect(f"file:{directory}/index.sqlite?mode=ro", uri=True)) as database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'once'").fetchone() is None:  # it is being made
            return []
        rows = database.execute(
            "SELECT message.file, arrived.octets, arrived.source FROM message"
            " LEFT JOIN arrived ON arrived.file = message.file JOIN folder ON folder.id = message.folder"
            " WHERE folder.name = 'INBOX' ORDER BY uid"
        ).fetchall()
    found = []
    for file, octets, source in rows:
        found.append(octets if octets is not None else content(directory, file, source))
    return found


def content(directory: Path, file: int, source: str | None) -> bytes:
    """Of a message that has a file: where it came, until it has been moved to its place."""
    if source:
        with suppress(FileNotFoundError):
            return (directory / source).read_bytes()
    return (directory / path_of(file)).read_bytes()


@dataclass(frozen=True)
class Arrived:
    """A message in a mailbox without what our server put in front of it."""

    sender: str
    protocol: str
    content: bytes

    @classmethod
    def of(cls, octets: bytes) -> "Arrived":
        trace = _TRACE.match(octets)
        assert trace is not None, octets[:500]
        return cls(trace["sender"].decode(), trace["protocol"].decode(), octets[trace.end() :])


@dataclass
class Host:
    """A mail host of ours; one process after the other may be it."""

    domain = "hamburger.edu"

    address: str
    state: Path
    trust: Trust
    process: Running

    def arrived(self, number: int, account: str = BOB, count: int = 1) -> list[Arrived]:
        """The messages from `number` on, without their trace; waits for `count` of them."""
        return [Arrived.of(each) for each in self.messages(number, account, count)]

    def messages(self, number: int, account: str = BOB, count: int = 1) -> list[bytes]:
        """The same as they are kept."""

        def found() -> list[bytes]:
            there = mailbox(self.state, account)
            return there[number:] if len(there) >= number + count else []

        return self.process.wait_until(found, f"{count} messages more than {number} for {account}")

    def count(self, account: str = BOB) -> int:
        return len(mailbox(self.state, account))

    @property
    def certificate_file(self) -> str:
        return self.trust.ca


@contextmanager
def mail_host(
    directory: Path,
    *options: str,
    users: Sequence[str] = (BOB, EVE),
    address: str = "",
    password: str = PASSWORD,
    authentication: bool = False,
    resolver: str = "127.0.0.1:9",
) -> Iterator[Host]:
    """mail.hamburger.edu with MX, STARTTLS on the submission port, and implicit TLS; nothing wrong may be in its log.

    `authentication`: it looks at SPF, DKIM and DMARC, asking the resolver.
    """
    if not authentication:
        options = ("--no-authentication", *options)
    address = address or own_address()
    trust = Trust(directory, NAME)
    lines = [account_line(new_account(user, password, bytes(16))) for user in users]
    (directory / "accounts").write_text("\n".join(lines) + "\n")
    state = directory / "state"
    command = twistd(
        "netstack-smtp", f"--name={NAME}", f"--address={address}", "--domain=hamburger.edu", f"--state={state}",
        f"--accounts={directory}/accounts", f"--listen=tcp:{MX}", f"--submission=tcp:{SUBMISSION}",
        f"--submission=tls:{SUBMISSIONS}", f"--certificate={trust.certificate}", f"--key={trust.key}",
        f"--trust={trust.ca}", f"--resolver={resolver}", *options,
    )  # fmt: skip
    with running(*command, ready="takes mail on") as process:
        yield Host(address, state, trust, process)
