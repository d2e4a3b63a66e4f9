"""DANE and MTA-STS: mail waits rather than go to somebody else; nobody who only suppresses records can undo them."""

from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netstack.smtp.events import Recipient
from netstack.smtp.tlspolicy import parse_policy
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
        assert town.crepes.policies.counts == {"validation-failure": 1}


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
    assert town.crepes.policies.counts == {"starttls-not-supported": 1}


POLICY = "version: STSv1\nmode: enforce\nmx: mail.hamburger.edu\nmax_age: 86400\n"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (POLICY, True),
        (POLICY.replace("mail.", "*."), True),
        (POLICY.replace("mail.", "other."), False),
        (POLICY.replace("mail.", "other.").replace("enforce", "testing"), True),
        ("", True),
    ],
)
def test_mta_sts(town: Town, policy: str, expected: bool) -> None:
    town.crepes.resolver.table["_mta-sts.hamburger.edu", "TXT"] = ['"v=STSv1; id=1;"']
    town.crepes.policy = policy
    assert arrives(town) is expected


def test_a_policy_is_not_undone_by_hiding_it(town: Town) -> None:
    town.crepes.resolver.table["_mta-sts.hamburger.edu", "TXT"] = ['"v=STSv1; id=1;"']
    town.crepes.policy = POLICY.replace("mail.", "other.")
    assert not arrives(town)
    del town.crepes.resolver.table["_mta-sts.hamburger.edu", "TXT"]
    town.crepes.policy = ""
    assert not arrives(town)
    town.run(3 * 86400)
    assert len(town.hamburger.boxes.mail) == 2


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
    with pytest.raises(ValueError, match=r"."):
        parse_policy(text)


def test_policies_are_read() -> None:
    policy = parse_policy(POLICY.replace("\n", "\r\n") + "mx: *.example.net\r\nfuture: x\r\n")
    assert (policy.mode, policy.max_age) == ("enforce", 86400)
    assert policy.allows("MAIL.hamburger.edu.")
    assert policy.allows("a.example.net")
    assert not policy.allows("a.b.example.net")
    assert not policy.allows("example.net")
