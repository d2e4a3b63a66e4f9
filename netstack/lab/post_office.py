"""What the labs about mail share: a letter handed in by alice's agent, and bob's mailbox."""

from collections.abc import Sequence
from typing import Any

from netstack.world.session import Session

WORLD = "textbook"
ALICE, BOB = "alice@crepes.fr", "bob@hamburger.edu"
HERS, HIS = "mail.crepes.fr", "mail.hamburger.edu"
AGENT, READER = "alice.crepes.fr", "bob.hamburger.edu"
PASSWORD = "tomato"  # noqa: S105  alice's, as the world file says


def service(running: Any, host: str) -> Any:
    """The mail service of a host."""
    return next(each.service for each in running.hosts[host].services if each.plugin == "smtp")


def hand_in(internet: Session, content: bytes, recipient: str = BOB) -> None:
    """Alice's agent logs in at her server and hands a letter in; raises where it is refused."""
    [posted] = internet.ask(AGENT, _hand_in, content, recipient, within=120.0)
    if not posted.accepted:
        raise ValueError(f"{posted.server}: {posted.reply}")


def mailbox(internet: Session, host: str, account: str, least: int = 1, within: float = 60.0) -> list[bytes]:
    """The messages of an inbox, once it has so many; fewer when they do not come in time."""
    found: list[bytes] = internet.drive(_mailbox, host, account, least, within, within=within + 60.0)
    return found


def body(octets: bytes) -> bytes:
    """What stands after the head."""
    return octets.partition(b"\r\n\r\n")[2]


async def sleep(machine: Any, seconds: float) -> None:
    """On the machine's clock."""
    from twisted.internet.task import deferLater

    await deferLater(machine.reactor, seconds)


async def _hand_in(machine: Any, content: bytes, recipient: str) -> Sequence[Any]:
    from netstack.mail.addresses import parse_mailbox
    from netstack.smtp.agent import Letter, Way, send

    return await send(machine, Letter(parse_mailbox(ALICE), [parse_mailbox(recipient)], content), Way(password=PASSWORD))


async def _mailbox(running: Any, host: str, account: str, least: int, within: float) -> list[bytes]:
    machine = running.hosts[host].machine
    box = service(running, host).mailboxes.account(account)
    end = machine.reactor.seconds() + within
    while True:
        _, found = await box.snapshot("INBOX")
        if len(found) >= least or machine.reactor.seconds() > end:
            break
        await sleep(machine, 0.1)
    octets = []
    for message in found:
        file = box.content(message)
        octets.append(file.read_at(0, message.size))
        file.close()
    return octets
