"""Mail hosts of a world: what follows for their Config, for zones and for certificates; rules; mail from end to end."""

from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netstack.mail.accounts import Accounts
from netstack.smtp.envelope import Destination, Envelope
from netstack.smtp.mta_sts import parse_policy
from netstack.world import compose, loader, mail
from netstack.world.addresses import addresses
from netstack.world.problems import WorldError
from netstack.world.session import open_session
from netstack.world.simulated import Simulation
from netstack.world.zones import problems, zone_texts

HOST = "mail.hamburger.edu"


def changed(options: Any, **more: Any) -> Any:
    """The textbook's world with other options for the host."""
    return loader.extended("textbook", {"hosts": {HOST: {"services": {"smtp": options}}}, **more}, "changed")


def config(world: Any, host: str = HOST) -> Any:
    composer = compose.Composer(world, addresses(world, "simulated"))
    one = world.hosts[host]
    return composer.config(one, one.service("smtp"), ["10.0.0.1"])


def test_a_host_has_the_mail_of_its_zone() -> None:
    world = loader.load()
    found = config(world)
    assert found.domains == ("hamburger.edu",)
    assert found.listen == ("tcp:25:interface=10.0.0.1",)
    assert found.submission == ("tcp:587:interface=10.0.0.1", "tls:465:interface=10.0.0.1")
    assert (found.cleartext, found.authentication, found.dane, found.mta_sts, found.dkim) == (True, False, False, False, ())
    assert Accounts.parse(found.accounts).login("bob@hamburger.edu").verifies("pickle")  # type: ignore[union-attr]
    assert mail.host_of(world, "hamburger.edu") == HOST
    assert (HOST, (HOST,)) in compose.certified(world)
    assert {25, 465, 587} <= set(compose.standard_ports(world))


def test_zones_name_their_mail_hosts_once() -> None:
    texts = zone_texts(loader.load(), addresses(loader.load(), "simulated"))
    assert "hamburger.edu. IN MX 10 mail.hamburger.edu." in texts["hamburger.edu"].splitlines()
    assert sum(" MX " in line for line in texts["foo.com"].splitlines()) == 1, "a zone's own records count"
    assert "v=spf1" not in "".join(texts.values())


def test_the_hardened_profile_signs_and_publishes() -> None:
    world = loader.extended("textbook", {"profile": "hardened"}, "hard")
    found = config(world)
    assert (found.cleartext, found.authentication, found.dane, found.mta_sts) == (False, True, True, True)
    [(domain, selector, pem)] = found.dkim
    assert (domain, selector, "PRIVATE KEY" in pem) == ("hamburger.edu", mail.SELECTOR, True)
    assert problems(world) == []
    text = zone_texts(world, addresses(world, "simulated"))["hamburger.edu"]
    for record in (
        'v=spf1 mx -all"',
        'v=DMARC1; p=reject"',
        "world._domainkey.hamburger.edu. IN TXT",
        f'{HOST}. IN TXT "v=spf1 a',
    ):
        assert record in text
    assert config(loader.extended("textbook", {"profile": "hardened"}, "hard")) == found, "keys follow from the world"


def test_the_hardened_profile_says_who_its_servers_are() -> None:
    world = loader.extended("textbook", {"profile": "hardened"}, "hard")
    table = addresses(world, "simulated")
    authority = Simulation(1).authority
    public = authority.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = zone_texts(world, table, authority.pem())["hamburger.edu"]
    assert f"_25._tcp.{HOST}. IN TLSA 2 1 1 {sha256(public).hexdigest()}" in text.splitlines()
    assert '_smtp._tls.hamburger.edu. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@hamburger.edu"' in text.splitlines()
    assert '_mta-sts.hamburger.edu. IN TXT "v=STSv1; id=' in text
    assert " TLSA " not in zone_texts(world, table)["hamburger.edu"], "nobody knows the CA"
    policy = parse_policy(mail.policy(world, "hamburger.edu"))
    assert (policy.mode, policy.patterns) == ("enforce", (HOST,))
    site = world.hosts["mta-sts.hamburger.edu"]
    assert (site.derived, site.site) == (True, "hamburger")
    assert ("mta-sts.hamburger.edu", ("mta-sts.hamburger.edu",)) in compose.certified(world)
    unsigned = loader.extended("textbook", {"profile": "hardened", **UNSIGNED}, "hard")
    text = zone_texts(unsigned, table, authority.pem())["hamburger.edu"]
    assert " TLSA " not in text
    assert "_mta-sts." in text
    assert not any(name.startswith("mta-sts.") for name in loader.load().hosts)


def test_options_override_the_profile() -> None:
    world = changed({"users": {"eve@fast.edu": "x"}, "domains": ["hamburger.edu", "fast.edu"], "authentication": True,
                     "submission": ["tcp:588"], "queue": {"first-retry": 60}},
                    zones={"fast.edu": {"site": "hamburger"}})  # fmt: skip
    found = config(world)
    assert (found.authentication, found.submission, found.queue.first_retry) == (True, ("tcp:588:interface=10.0.0.1",), 60)
    assert {account.name for account in Accounts.parse(found.accounts)} == {"bob@hamburger.edu", "eve@fast.edu"}
    assert "fast.edu. IN MX 10 mail.hamburger.edu." in zone_texts(world, addresses(world, "simulated"))["fast.edu"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"domains": ["nowhere.zz"]}, "nowhere.zz falls into no zone"),
        ({"domains": []}, "[] is not a list of domains"),
        ({"users": ["bob"]}, "expected names with passwords"),
        ({"users": {"bob": ""}}, "expected names with passwords"),
        ({"users": {"eve@crepes.fr": "x"}}, "eve@crepes.fr is in no domain of mail.hamburger.edu, which has hamburger.edu"),
    ],
)
def test_what_cannot_be_is_told(options: Any, told: str) -> None:
    with pytest.raises(WorldError) as raised:
        changed(options)
    assert told in str(raised.value)


def test_a_host_that_finds_nobody_is_told() -> None:
    with pytest.raises(WorldError, match="the site core has no resolver"):
        changed({}, sites={"core": {"resolver": False}}, hosts={HOST: {"site": "core"}})


def test_a_user_that_cannot_be_is_told() -> None:
    (problem,) = compose.problems(changed({"users": {"a+b": "x"}}))
    assert problem.key == f'hosts."{HOST}".services.smtp.users'


UNSIGNED = {"zones": {"hamburger.edu": {"signed": False}}}


@pytest.mark.parametrize(
    ("changes", "on", "sessions"),
    [
        ({}, "simulated", {}),
        ({"profile": "hardened"}, "simulated", {("tlsa", "successful-session"): 1}),
        ({"profile": "hardened", **UNSIGNED}, "simulated", {("sts", "successful-session"): 1}),
        ({"profile": "hardened"}, "loopback", {("tlsa", "successful-session"): 1}),
        ({"profile": "hardened", **UNSIGNED}, "loopback", {("sts", "successful-session"): 1}),
    ],
)
def test_mail_reaches_a_mailbox(changes: Any, on: str, sessions: dict[tuple[str, str], int]) -> None:
    """Where the profile asks for it, by DANE, or by MTA-STS where the zone is not signed."""
    world = loader.extended("textbook", changes, "mail")
    with open_session(world, on, 5) as internet:
        content = b"From: alice@crepes.fr\r\nSubject: ketchup\r\n\r\nDo you like ketchup?\r\n"
        internet.drive(_accept, "mail.crepes.fr", "alice@crepes.fr", "bob@hamburger.edu", content)
        box = internet.drive(_mailbox, HOST, "bob@hamburger.edu")
        counted = dict(smtp(internet.running, "mail.crepes.fr").policies.counts)
    assert [octets.endswith(content) for octets in box] == [True]
    assert (b"spf=pass" in box[0]) == (b"dmarc=pass" in box[0]) == (world.profile.name == "hardened")
    assert counted == sessions


def smtp(running: Any, host: str) -> Any:
    """The service of a host."""
    return next(each.service for each in running.hosts[host].services if each.plugin == "smtp")


def _accept(running: Any, host: str, sender: str, recipient: str, content: bytes) -> Any:
    from netstack.mail.addresses import parse_mailbox

    to = [Destination(parse_mailbox(recipient))]
    return smtp(running, host).queue.accept(
        [Envelope(parse_mailbox(sender), to, running.hosts[host].machine.wall())], content
    )


async def _mailbox(running: Any, host: str, account: str) -> list[bytes]:
    from twisted.internet.task import deferLater

    box = smtp(running, host).mailboxes.account(account)
    found: list[Any] = []
    for _ in range(60):
        _, found = await box.snapshot("INBOX")
        if found:
            break
        await deferLater(running.hosts[host].machine.reactor, 1.0)
    octets = []
    for message in found:
        file = box.content(message)
        octets.append(file.read_at(0, message.size))
        file.close()
    return octets
