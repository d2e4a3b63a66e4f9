"""netstack-smtp with real options."""

from dataclasses import replace
from pathlib import Path
from signal import SIGHUP
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.application.service import IServiceMaker, ServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from netstack.kernel.authority import Authority
from netstack.kernel.limits import StreamLimits
from netstack.mail.addresses import parse_mailbox
from netstack.mail.limits import AddressLimits, HeadLimits, MimeLimits
from netstack.smtp.admission import AdmissionLimits
from netstack.smtp.authentication.spf import SPFLimits
from netstack.smtp.courier import CourierLimits
from netstack.smtp.directory import NoSuchUser
from netstack.smtp.limits import QueueLimits, SMTPLimits
from netstack.smtp.mta_sts import STSLimits
from netstack.smtp.routes import Route
from netstack.smtp.service import SMTPService
from netstack.taps.mail_bounds import CONNECTIONS
from netstack.taps.smtp import Config, Options, makeService
from tests.taps.numbers import numbers, taken

NOBODY = "bob@hamburger.edu\n"
ALIASES = "both@hamburger.edu: eve@hamburger.edu, alice@crepes.fr\n"


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions([*arguments])
    return options


def of(*arguments: str) -> Config:
    return parsed("--domain", "hamburger.edu", *arguments).config()


def pem(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def test_options_become_a_config(tmp_path: Path) -> None:
    (tmp_path / "accounts").write_text(NOBODY)
    (tmp_path / "aliases").write_text(ALIASES)
    key = pem(Ed25519PrivateKey.generate())
    (tmp_path / "key.pem").write_text(key)
    found = of(
        "--domain", "fast.edu", "--accounts", f"{tmp_path}/accounts", "--aliases", f"{tmp_path}/aliases", "--listen",
        "tcp:2525", "--submission", "tcp:2587", "--relay-for", "10.0.0.0/8", "--route", ".crepes.fr=relay.test:2525",
        "--dkim", f"hamburger.edu:s1={tmp_path}/key.pem", "--catch-all", "bob@hamburger.edu", "--cleartext",
        "--any-sender", "--any-author", "--verify", "--hello", "--chunking", "--no-starttls", "--no-dane", "--no-mta-sts",
        "--no-authentication", "--no-dmarc", "--max-message", "10", "--lifetime", "3600", "--max-path", "300",
        "--max-head", "1000", "--max-parts", "7", "--spf-void", "3", "--greylist-remembered", "9", "--sts-refresh",
        "60", "--max-exchanges", "3", "--idle", "2.5",
    )  # fmt: skip
    assert found == Config(
        domains=("hamburger.edu", "fast.edu"), accounts=(NOBODY.strip(),), aliases=(ALIASES.strip(),),
        listen=("tcp:2525",), submission=("tcp:2587",), relay_for=("10.0.0.0/8",), routes=(".crepes.fr=relay.test:2525",),
        dkim=(("hamburger.edu", "s1", key),), catch_all="bob@hamburger.edu", cleartext=True, any_sender=True,
        any_author=True, verify=True,
        hello=True, chunking=True, starttls=False, dane=False, mta_sts=False, authentication=False, dmarc=False,
        smtp=SMTPLimits(message=10), queue=QueueLimits(lifetime=3600.0), addresses=AddressLimits(path=300),
        heads=HeadLimits(octets=1000), mime=MimeLimits(parts=7), spf=SPFLimits(void=3),
        admission=AdmissionLimits(greylist_remembered=9), sts=STSLimits(refresh=60.0), courier=CourierLimits(exchanges=3),
        connections=replace(CONNECTIONS, idle=2.5),
    )  # fmt: skip
    assert found.by_hand == {".crepes.fr": Route(("relay.test",), 2525, by_mx=False)}
    assert "PRIVATE KEY" not in repr(found)


def test_mx_submission_or_both() -> None:
    assert (of().listen, of().submission) == (("tcp:25",), ())
    both = of("--submission", "tcp:587")
    assert (both.listen, both.submission) == (("tcp:25",), ("tcp:587",))
    alone = parsed("--submission", "tcp:587").config()
    assert (alone.listen, alone.submission) == ((), ("tcp:587",))


def test_defaults_are_secure() -> None:
    found = of()
    assert found == Config(("hamburger.edu",))
    assert (found.cleartext, found.any_sender, found.any_author, found.verify) == (False, False, False, False)
    assert found.relay_for == ()
    assert (found.starttls, found.dane, found.mta_sts, found.authentication, found.dmarc) == (True,) * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one domain"),
        (["--domain", "a b"], "domains: "),
        (["--domain", "a.test", "--listen", "udp:25"], "datagram"),
        (["--domain", "a.test", "--submission", "587"], "submission: "),
        (["--domain", "a.test", "--submission", "tls:465"], "--certificate"),
        (["--domain", "a.test", "--relay-for", "10.0.0.1/8"], "relay_for: "),
        (["--domain", "a.test", "--route", "b.test"], "DOMAIN=HOST"),
        (["--domain", "a.test", "--route", "b.test=c.test:0"], "DOMAIN=HOST"),
        (["--domain", "a.test", "--accounts", "/no/accounts"], "/no/accounts"),
        (["--domain", "a.test", "--aliases", "/no/aliases"], "/no/aliases"),
        (["--domain", "a.test", "--catch-all", "b"], "catch_all: "),
        (["--domain", "a.test", "--dkim", "a.test:s=/no/key"], "/no/key"),
        (["--domain", "a.test", "--resolver", "dns.test"], "--resolver"),
        (["--domain", "a.test", "--grace", "-1"], "grace"),
        (["--domain", "a.test", "--max-message", "many"], "max-message"),
        (["--domain", "a.test", "--retry-growth", "0.5"], "retry-growth: expected a number from 1"),
        (["--domain", "a.test", "--retry-jitter", "1"], "retry-jitter: expected"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parsed(*arguments)


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("accounts", "bob", "accounts: .*line 1"),
        ("accounts", "bob@hamburger.edu $nothing$", "accounts: .*line 1"),
        ("aliases", "\nboth@hamburger.edu", "aliases: .*line 2"),
        ("aliases", "both@hamburger.edu: owner=", "aliases: .*line 1"),
        ("dkim", "no key", "dkim: "),
        ("dkim", "an elliptic curve", "neither RSA nor Ed25519"),
        ("dkim", "\xe9", "ascii|codec"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, option: str, text: str, message: str) -> None:
    (tmp_path / "file").write_text(pem(ec_key(SECP256R1())) if text == "an elliptic curve" else text)
    value = f"hamburger.edu:s1={tmp_path}/file" if option == "dkim" else f"{tmp_path}/file"
    with pytest.raises(UsageError, match=message):
        of(f"--{option}", value)


MAY_BE_NOTHING = {
    "grace", "retry-jitter", "keep-connection", "client-rate", "account-rate", "greylist", "greylist-kept",
}  # fmt: skip


@pytest.mark.parametrize("option", numbers(Options))
def test_a_bound_that_bounds_nothing_is_named_by_its_option(option: str) -> None:
    assert taken(lambda argument: parsed("--domain", "a.test", argument), option) == (
        ["0"] if option in MAY_BE_NOTHING else []
    )


def made(*arguments: str) -> tuple[Any, Any]:
    """The service, and what it does at a signal."""
    (service,) = makeService(parsed("--domain", "hamburger.edu", *arguments))  # type: ignore[attr-defined]
    assert isinstance(service, SMTPService)
    [signals] = [child for child in service if hasattr(child, "actions")]
    return service, signals.actions[SIGHUP]


def test_the_service_listens_where_it_is_told(tmp_path: Path) -> None:
    service, _ = made(
        "--state", f"{tmp_path}/state", "--port-offset", "10000", "--address", "127.0.0.1", "--address", "127.0.0.2",
        "--submission", "tcp:587:interface=127.0.0.3", "--connect", "3", "--idle", "7", "--max-connections", "5",
    )  # fmt: skip
    assert [str(listener.endpoint) for listener in service.listeners] == [
        "tcp:10025:interface=127.0.0.1", "tcp:10025:interface=127.0.0.2", "tcp:10587:interface=127.0.0.3",
    ]  # fmt: skip
    assert service.listeners[0].factory.limits == StreamLimits(connections=5, idle=7.0, connect=3.0)


def knows(service: Any, text: str) -> bool:
    """Whether the server takes mail for an address, and somebody can log in by it."""
    mailbox, reception = parse_mailbox(text), service.listeners[0].factory.role()._reception
    try:
        reception.directory.find(mailbox)
    except NoSuchUser:
        return False
    return reception.authenticator.accounts.find(mailbox) is not None or mailbox.key in reception.directory.aliases


def test_accounts_and_aliases_are_read_again(tmp_path: Path) -> None:
    accounts, aliases = tmp_path / "accounts", tmp_path / "aliases"
    accounts.write_text(NOBODY)
    aliases.write_text("")
    service, reload = made("--state", f"{tmp_path}/state", "--accounts", str(accounts), "--aliases", str(aliases))
    names = ("bob@hamburger.edu", "eve@hamburger.edu", "both@hamburger.edu")
    assert [knows(service, name) for name in names] == [True, False, False]
    accounts.write_text("eve@hamburger.edu\n")
    aliases.write_text(ALIASES)
    reload()
    assert [knows(service, name) for name in names] == [False, True, True]
    accounts.write_text("nonsense")
    reload()
    assert [knows(service, name) for name in names] == [False, True, True], "a file that is wrong changes nothing"


def test_a_certificate_is_read_again(tmp_path: Path) -> None:
    def write(*names: str) -> None:
        for file, octets in zip((tmp_path / "leaf.pem", tmp_path / "leaf.key"), authority.issue(names).pem(), strict=True):
            file.write_bytes(octets)

    authority = Authority.kept(tmp_path / "ca", lambda: 1_750_000_000.0)
    write("a.test")
    files = ("--certificate", f"{tmp_path}/leaf.pem", "--key", f"{tmp_path}/leaf.key")
    service, reload = made("--state", f"{tmp_path}/state", *files)
    assert [leaf.names for leaf in service.machine.tls.leaves] == [("a.test",)]
    write("b.test")
    reload()
    assert [leaf.names for leaf in service.machine.tls.leaves] == [("b.test",)]
    (tmp_path / "leaf.key").write_text("nonsense")
    reload()
    assert [leaf.names for leaf in service.machine.tls.leaves] == [("b.test",)]


def test_the_plugin_is_found() -> None:
    found = [plugin for plugin in getPlugins(IServiceMaker) if isinstance(plugin, ServiceMaker)]
    assert [plugin.module for plugin in found if plugin.tapname == "netstack-smtp"] == ["netstack.taps.smtp"]
