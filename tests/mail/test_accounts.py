"""Accounts: lines of a file, names in any spelling, log-ins that take as long for nobody."""

import sys
from io import StringIO
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from netstack.cli import main
from netstack.kernel.machine import Machine
from netstack.kernel.passwords import NOBODY, Verifier
from netstack.mail import sasl
from netstack.mail.accounts import Account, Accounts, account_line, new_account, parse_account
from netstack.mail.addresses import parse_mailbox
from netstack.mail.credentials import Authenticator, CredentialLimits, TooManyLogins
from netstack.mail.scram import ScramKeys
from netstack.sansio import Security
from netstack.world.simulated import Simulation

ALICE = new_account("Alice@crepes.fr", "hungry", b"0123456789abcdef")
BOB = new_account("bob@hamburger.edu", "secret", b"fedcba9876543210", scrypt=False)


def test_a_line_and_back() -> None:
    line = f"{account_line(ALICE)} octets=500M messages=1000"
    account = parse_account(line)
    assert (account.name, account.octets, account.messages) == ("alice@crepes.fr", 500 * 1024 * 1024, 1000)
    assert account.verifies("hungry")
    assert not account.verifies("angry")
    assert parse_account(account_line(account)) == account
    assert BOB.verifies("secret")
    assert not BOB.verifies("secret ")
    assert not BOB.verifies("se\x07cret")
    assert not Account("carol@crepes.fr").verifies("")


def test_what_looks_alike_is_alike() -> None:
    for scrypt in (True, False):
        made = new_account("a@x.test", "pass\xa0w\u00f6rd", b"salt of sixteen!", scrypt=scrypt, scram=not scrypt)
        assert made.verifies("pass wo\u0308rd")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("alice", "local-part@domain"),
        ("alice@crepes.fr nonsense", "was expected"),
        ("alice@crepes.fr $scrypt$ln=99,r=8,p=1$aa$aa", "ln from"),
        ("alice@crepes.fr $scrypt$ln=14,r=8,p=1$a$aa", "base64"),
        ("alice@crepes.fr SCRAM-SHA-256$0:aa$aa:aa", "RFC 5803"),
        ("alice@crepes.fr SCRAM-SHA-256$4096:aaaa$aaaa:aaaa", "RFC 5803"),
        ("alice@crepes.fr octets=many", "a number"),
        ("alice@crepes.fr octets=-1", "a number"),
        ('"a@b"@crepes.fr', "no quotes"),
        ("alice+lists@crepes.fr", "none of '\\+'"),
        ("alice@[192.0.2.1]", "has a domain"),
        ("bob@hamburger.edu", "there twice"),
    ],
)
def test_lines_that_are_none(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"^line 2: .*{says}"):
        Accounts.parse(["bob@hamburger.edu", line])


def test_whose_mailbox_it_is() -> None:
    accounts = Accounts.parse(["# people", "", "Alice@Crepes.FR", "bob@hamburger.edu", "jürgen@bücher.test"], ["list.test"])
    cases = {
        "alice@crepes.fr": "alice@crepes.fr",
        "ALICE@crepes.fr": "alice@crepes.fr",
        "alice+lists@crepes.fr": "alice@crepes.fr",
        "bob@crepes.fr": None,
        "carol@hamburger.edu": None,
        "ju\u0308rgen@xn--bcher-kva.test": "jürgen@xn--bcher-kva.test",
    }
    for address, name in cases.items():
        found = accounts.find(parse_mailbox(address, utf8=True))
        assert (found and found.name) == name
    assert accounts.domains == {"crepes.fr", "hamburger.edu", "xn--bcher-kva.test", "list.test"}
    assert [each.name for each in accounts][:2] == ["alice@crepes.fr", "bob@hamburger.edu"]
    logins = {"alice": "alice@crepes.fr", "Bob@Hamburger.edu": "bob@hamburger.edu", "bob": None, "alice+x": None, "": None}
    for name, account in logins.items():
        login = accounts.login(name)
        assert (login and login.name) == account


@pytest.fixture
def machine() -> Any:
    simulation = Simulation(1)
    host = simulation.host("mail.crepes.fr", "10.0.0.1")
    return simulation.machine(host), simulation


def outcome(simulation: Simulation, awaitable: Any) -> Any:
    seen: list[Any] = []
    Deferred.fromCoroutine(awaitable).addBoth(seen.append)
    simulation.run(for_seconds=5)
    return seen[0]


def test_passwords_are_verified_in_threads(machine: tuple[Machine, Simulation]) -> None:
    host, simulation = machine
    login = Authenticator(host, Accounts([ALICE, BOB]))
    assert outcome(simulation, login.password("alice@crepes.fr", "hungry")) == ALICE
    assert outcome(simulation, login.password("alice", "hungry")) == ALICE
    assert outcome(simulation, login.password("bob@hamburger.edu", "secret")) == BOB
    assert outcome(simulation, login.password("alice@crepes.fr", "angry")) is None
    assert outcome(simulation, login.password("carol@crepes.fr", "hungry")) is None


def test_there_is_a_bound(machine: tuple[Machine, Simulation]) -> None:
    host, simulation = machine
    login = Authenticator(host, Accounts([BOB]), CredentialLimits(verifying=1))
    first = Deferred.fromCoroutine(login.password("bob@hamburger.edu", "secret"))
    refused = outcome(simulation, login.password("bob@hamburger.edu", "secret"))
    assert refused.check(TooManyLogins)
    assert first.called
    assert outcome(simulation, login.password("bob@hamburger.edu", "secret")) == BOB


def test_nobody_costs_what_somebody_costs() -> None:
    assert Accounts([ALICE]).stand_in.scrypt == Verifier(14, 8, 1, NOBODY.salt, NOBODY.digest)
    cheap = Accounts([BOB, Account("x@x.test", scram=ScramKeys.make("x", b"salt", 4096)), BOB]).stand_in
    assert (cheap.scrypt, cheap.scram and cheap.scram.iterations in (4096, 15_000)) == (None, True)
    assert Accounts().stand_in.scrypt == NOBODY
    assert not Accounts([BOB]).stand_in.verifies("")


@pytest.mark.parametrize("kind", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
@pytest.mark.parametrize(
    ("name", "password", "authorization", "account"),
    [
        ("ALICE@crepes.fr", "hungry", "", "alice@crepes.fr"),
        ("alice", "hungry", "alice@crepes.fr", "alice@crepes.fr"),
        ("alice", "hungry", "bob@hamburger.edu", None),
        ("alice", "angry", "", None),
        ("carol", "hungry", "", None),
    ],
)
def test_exchanges(
    machine: tuple[Machine, Simulation], kind: str, name: str, password: str, authorization: str, account: str | None
) -> None:
    host, simulation = machine
    login = Authenticator(host, Accounts([ALICE, BOB]))
    security = Security("TLSv1.3", "x", binding={"tls-exporter": b"e" * 32}.get)
    assert kind in login.mechanisms(security)
    exchange = login.server(kind, security if kind.endswith("PLUS") else None)
    client = sasl.client(
        kind, name, password, login.nonce(), "" if kind == "LOGIN" else authorization, security.binding, [kind]
    )
    if kind == "SCRAM-SHA-256":
        client = sasl.client(kind, name, password, login.nonce(), authorization)
    if kind == "LOGIN" and authorization:
        account = "alice@crepes.fr"
    step = exchange.begin(client.first())
    while not isinstance(step, sasl.Success | sasl.Failure):
        if isinstance(step, sasl.Challenge):
            step = exchange.respond(client.respond(step.data))
        step = outcome(simulation, login.answer(exchange, step))
    assert step == (sasl.Success(account) if account else step)
    assert isinstance(step, sasl.Success) is (account is not None)


def test_without_tls_no_password_goes_as_it_is(machine: tuple[Machine, Simulation]) -> None:
    login = Authenticator(machine[0], Accounts([ALICE]))
    assert login.mechanisms(None) == ("SCRAM-SHA-256",)
    assert login.mechanisms(Security("TLSv1.3", "x")) == ("SCRAM-SHA-256", "PLAIN", "LOGIN")
    with pytest.raises(LookupError):
        login.server("SCRAM-SHA-256-PLUS", None)


def test_nobody_stays_nobody_after_a_restart(machine: tuple[Machine, Simulation]) -> None:
    host, _ = machine
    first = Authenticator(host, Accounts([ALICE])).scram("carol@crepes.fr")
    assert str(Authenticator(host, Accounts([ALICE, BOB])).scram("carol@crepes.fr")) == str(first)
    assert Authenticator(host, Accounts([ALICE])).scram("alice@crepes.fr") == ALICE.scram


def test_a_line_from_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("hungry\n"))
    assert main(["mail", "account", "Alice@crepes.fr", "--octets", "1G"]) == 0
    account = parse_account(capsys.readouterr().out)
    assert (account.name, account.octets, account.verifies("hungry")) == ("alice@crepes.fr", 1 << 30, True)
    assert account.scram is not None
    assert account.scram.verifies("hungry")
    for wrong, says in ((["alice"], "local-part@domain"), (["alice@x.test"], "a password was expected")):
        assert main(["mail", "account", *wrong]) == 2
        assert says in capsys.readouterr().err
