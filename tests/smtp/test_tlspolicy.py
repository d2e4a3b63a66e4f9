"""DANE and MTA-STS: mail waits rather than go to somebody else; nobody who only suppresses records can undo them."""

from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from netstack.smtp.events import Recipient
from netstack.smtp.mta_sts import FILE, NoPolicy, STSLimits, STSPolicies, parse_policy
from netstack.world.simulated import Simulation
from tests.smtp.test_offices import MESSAGE, submitted
from tests.smtp.town import Town

TLSA = ("_25._tcp.mail.hamburger.edu", "TLSA")
SIGNED = {"hamburger.edu", "mail.hamburger.edu", TLSA[0]}


@pytest.fixture
def town() -> Town:
    return Town()


def digest(town: Town, selector: int, of_ca: bool = False) -> str:
    leaf = town.hamburger.host.leaf
    assert leaf is not None
    certificate = town.simulation.authority.certificate if of_ca else leaf.certificate
    octets = certificate.public_bytes(Encoding.DER)
    if selector:
        octets = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(octets).hexdigest()


def arrives(town: Town) -> bool:
    assert town.ask(submitted, town, "bob@hamburger.edu").code == 250
    town.run(20)
    arrived = bool(town.hamburger.boxes.mail)
    assert arrived is not bool(town.crepes.queue.messages)
    return arrived


@pytest.mark.parametrize(
    ("records", "signed", "expected"),
    [
        (["3 1 1 {leaf key}"], SIGNED, True),
        (["3 0 1 {leaf}"], SIGNED, True),
        (["3 1 1 " + "00" * 32, "3 1 1 {leaf key}"], SIGNED, True),
        (["3 1 1 " + "00" * 32], SIGNED, False),
        (["3 1 1 " + "00" * 32], SIGNED - {TLSA[0]}, True),
        (["3 1 1 " + "00" * 32], SIGNED - {"hamburger.edu"}, True),
        (["3 1 1 " + "00" * 32], SIGNED - {"mail.hamburger.edu"}, True),
        (["1 1 1 " + "00" * 32], SIGNED, True),
        (["3 1 1 00"], SIGNED, True),
    ],
)
def test_dane(town: Town, records: list[str], signed: set[str], expected: bool) -> None:
    filled = [each.replace("{leaf key}", digest(town, 1)).replace("{leaf}", digest(town, 0)) for each in records]
    town.crepes.resolver.table[TLSA] = filled
    town.crepes.resolver.signed = signed
    assert arrives(town) is expected
    if not expected:
        assert town.crepes.policies.counts == {("tlsa", "validation-failure"): 1}


def test_dane_without_tls(town: Town) -> None:
    town.crepes.resolver.table[TLSA] = ["3 1 1 " + digest(town, 1)]
    town.crepes.resolver.signed = SIGNED
    offer: Any = town.hamburger.service.listeners[0].factory
    engine = offer.engine

    def without() -> Any:
        made = engine()
        object.__setattr__(made._offer, "starttls", False)
        return made

    offer.engine = without
    assert not arrives(town)
    assert town.crepes.policies.counts == {("tlsa", "starttls-not-supported"): 1}


POLICY = "version: STSv1\nmode: enforce\nmx: mail.hamburger.edu\nmax_age: 86400\n"


RECORD = ("_mta-sts.hamburger.edu", "TXT")


@pytest.mark.parametrize(
    ("policy", "expected", "counted"),
    [
        (POLICY, True, {("sts", "successful-session"): 1}),
        (POLICY.replace("mail.", "*."), True, {("sts", "successful-session"): 1}),
        (POLICY.replace("mail.", "other."), False, {("sts", "validation-failure"): 2}),
        (POLICY.replace("mail.", "other.").replace("enforce", "testing"), True, {("sts", "validation-failure"): 1}),
        (POLICY.replace("mail.", "other.").replace("enforce", "none"), True, {}),
        (POLICY.replace("version", "x"), True, {("sts", "sts-policy-invalid"): 1}),
        ("", True, {("sts", "sts-policy-fetch-error"): 1}),
    ],
)
def test_mta_sts(town: Town, policy: str, expected: bool, counted: dict[tuple[str, str], int]) -> None:
    town.crepes.resolver.table[RECORD] = ['"v=STSv1; id=1;"']
    town.crepes.policy = policy
    assert arrives(town) is expected
    assert town.crepes.policies.counts == counted


@pytest.mark.parametrize(
    ("names", "result"),
    [
        (["mail.hamburger.edu"], "successful-session"),
        (["mail.evil.test"], "certificate-host-mismatch"),
        ([], "certificate-not-trusted"),
    ],
)
@pytest.mark.parametrize("mode", ["enforce", "testing"])
def test_a_certificate_of_somebody_else(town: Town, names: list[str], result: str, mode: str) -> None:
    town.crepes.resolver.table[RECORD] = ['"v=STSv1; id=1;"']
    town.crepes.policy = POLICY.replace("enforce", mode)
    authority = town.simulation.authority if names else Simulation(2).authority
    leaf = authority.issue(tuple(names) or ("mail.hamburger.edu",))
    town.hamburger.host.leaf = leaf
    town.restart(town.hamburger, town.hamburger.admission)
    assert arrives(town) is (mode == "testing" or result == "successful-session")
    assert town.crepes.policies.counts["sts", result] == 1


def test_a_policy_is_not_undone_by_hiding_it(town: Town) -> None:
    town.crepes.resolver.table[RECORD] = ['"v=STSv1; id=1;"']
    town.crepes.policy = POLICY.replace("mail.", "other.")
    assert not arrives(town)
    del town.crepes.resolver.table[RECORD]
    town.crepes.policy = ""
    assert not arrives(town)
    town.run(3 * 86400)
    assert len(town.hamburger.boxes.mail) == 2


def policies_of(town: Town) -> STSPolicies:
    found = town.crepes.policies._sts
    assert found is not None
    return found


def test_a_policy_outlives_a_crash(town: Town) -> None:
    town.crepes.resolver.table[RECORD] = ['"v=STSv1; id=1;"']
    town.crepes.policy = POLICY.replace("mail.", "other.")
    assert not arrives(town)
    del town.crepes.resolver.table[RECORD]
    town.crepes.policy = ""
    town.restart(town.crepes, town.crepes.admission)
    assert len(policies_of(town)) == 1
    assert not arrives(town)
    town.run(2 * 86400)
    assert len(town.hamburger.boxes.mail) == 2, "it has ended"
    town.restart(town.crepes, town.crepes.admission)
    assert len(policies_of(town)) == 0


async def find(town: Town, domain: str) -> str:
    found = await town.crepes.policies.sts(domain)
    return "" if found is None else found.mode


def test_policies_in_use_are_fetched_again(town: Town) -> None:
    """Every day while mail has gone there within max_age; a failure is tried again, and what is kept holds."""
    domain, day = "hamburger.edu", 86400
    town.crepes.resolver.table[RECORD] = ['"v=STSv1; id=1;"']
    town.crepes.policy = POLICY.replace("max_age: 86400", f"max_age: {3 * day}")
    assert town.ask(find, town, domain) == "enforce"
    town.run(2.5 * day)
    assert len(town.crepes.fetched) == 3
    town.crepes.policy = ""
    town.run(0.4 * day)
    assert town.ask(find, town, domain) == "enforce"
    town.crepes.policy = POLICY
    town.run(4 * 3600)
    fetched = len(town.crepes.fetched)
    town.run(10 * day)
    assert len(town.crepes.fetched) <= fetched + 7
    assert len(policies_of(town)) == 0, "nobody sends there any more"
    fetched = len(town.crepes.fetched)
    town.run(10 * day)
    assert len(town.crepes.fetched) == fetched


def test_a_failure_is_not_repeated_at_once(town: Town) -> None:
    town.crepes.resolver.table[RECORD] = ['"v=STSv1; id=1;"']
    for _ in range(5):
        assert town.ask(find, town, "hamburger.edu") == ""
    assert town.crepes.fetched == ["https://mta-sts.hamburger.edu/.well-known/mta-sts.txt"]
    town.run(town.crepes.sts.pause)
    town.crepes.policy = POLICY
    assert town.ask(find, town, "hamburger.edu") == "enforce"


def test_many_ask_and_one_fetches(town: Town) -> None:
    town.crepes.resolver.table[RECORD] = ['"v=STSv1; id=1;"']
    town.crepes.policy = POLICY
    asked: list[Deferred[str]] = []

    async def slowly(url: str) -> str:
        town.crepes.fetched.append(url)
        await deferLater(town.crepes.policies._machine.reactor, 1.0)
        return POLICY

    policies_of(town)._fetch = slowly

    async def many() -> list[str]:
        asked.extend(Deferred.fromCoroutine(find(town, "hamburger.edu")) for _ in range(20))
        return [await each for each in asked]

    assert town.ask(many) == ["enforce"] * 20
    assert len(town.crepes.fetched) == 1


def test_what_is_kept_is_bounded(town: Town) -> None:
    """In memory and on disk, whatever is fetched; a line that a crash cut off, or somebody wrote, costs nothing else."""
    town.crepes.sts = STSLimits(policies=3)
    town.restart(town.crepes, town.crepes.admission)
    town.crepes.policy = POLICY
    for number in range(400):
        domain = f"x{number % 5}.test"
        town.crepes.resolver.table[f"_mta-sts.{domain}", "TXT"] = [f'"v=STSv1; id={number};"']
        assert town.ask(find, town, domain) == "enforce"
    town.run(1)
    disk = town.crepes.policies._machine.disk
    assert len(policies_of(town)) == 3
    assert len(disk.read(FILE).splitlines()) <= 120
    ended = b'["x.test","1",0,"enforce",10,["mail.x.test"]]'
    junk = [b"[1]", b"[]", b"null", b'{"a":1}', ended, b'["y.test","1",1e400,"enforce",9,["a b"]]', b"[" * 5000, b'["z']
    disk.write(FILE, disk.read(FILE) + b"\n".join(junk))
    town.crepes.resolver.table.clear()
    town.restart(town.crepes, town.crepes.admission)
    assert [town.ask(find, town, f"x{number}.test") for number in range(5)] == ["", "", "enforce", "enforce", "enforce"]


def test_require_tls(town: Town) -> None:
    async def send() -> int:
        dialogue = await town.dialogue("192.0.2.1", 587, log_in="alice@crepes.fr")
        sent = await dialogue.send("alice@crepes.fr", [Recipient("bob@hamburger.edu")], MESSAGE, [("REQUIRETLS", None)])
        return sent.of(0).code

    assert town.ask(send) == 250
    town.run(10)
    assert [to for _, to, _ in town.hamburger.boxes.mail] == ["bob@hamburger.edu"]


@pytest.mark.parametrize(
    "text",
    [
        "", "version: STSv1", POLICY.replace("STSv1", "STSv2"), POLICY.replace("enforce", "maybe"),
        POLICY.replace("86400", "x"), POLICY.replace("mx: mail.hamburger.edu\n", ""), POLICY.replace("mail.", "a b"),
        POLICY.replace("86400", "99999999999"),
    ],
)  # fmt: skip
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(NoPolicy) as raised:
        parse_policy(text)
    assert raised.value.result == "sts-policy-invalid"


def test_policies_are_read() -> None:
    policy = parse_policy(POLICY.replace("\n", "\r\n") + "mx: *.example.net\r\nfuture: x\r\n")
    assert (policy.mode, policy.max_age) == ("enforce", 86400)
    assert policy.allows("MAIL.hamburger.edu.")
    assert policy.allows("a.example.net")
    assert not policy.allows("a.b.example.net")
    assert not policy.allows("example.net")
