"""Names that a resolver answers by itself, forwarders with the root behind them, addresses that nobody is asked at."""

import dns.name
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.hardening import HARDENED, TEXTBOOK
from netstack.dns.local import ABSENT, EMPTY, LocalZones
from netstack.dns.zone import Zone
from netstack.kernel.real import real_machine
from netstack.taps import resolver as tap
from tests.addresses import own_address
from tests.dns.internet import Answer, Internet, question, server, textbook, texts
from tests.dns.test_recursor import GAIA, refusing, silent

ONE = "1." + "0." * 31 + "ip6.arpa"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("localhost A", "NOERROR 127.0.0.1"),
        ("LocalHost AAAA", "NOERROR ::1"),
        ("www.localhost A", "NOERROR 127.0.0.1"),
        ("localhost MX", "NOERROR SOA localhost."),
        ("1.0.0.127.in-addr.arpa PTR", "NOERROR localhost."),
        (f"{ONE} PTR", "NOERROR localhost."),
        ("1.0.0.127.in-addr.arpa A", "NOERROR SOA 127.in-addr.arpa."),
        ("2.0.0.127.in-addr.arpa PTR", "NXDOMAIN SOA 127.in-addr.arpa."),
        ("5.1.168.192.in-addr.arpa PTR", "NXDOMAIN SOA 168.192.in-addr.arpa."),
        ("10.in-addr.arpa NS", "NOERROR 10.in-addr.arpa."),
        ("10.in-addr.arpa SOA", "NOERROR 10.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 10800"),
        ("10.in-addr.arpa PTR", "NOERROR SOA 10.in-addr.arpa."),
        ("1.31.172.in-addr.arpa PTR", "NXDOMAIN SOA 31.172.in-addr.arpa."),
        ("1.127.100.in-addr.arpa PTR", "NXDOMAIN SOA 127.100.in-addr.arpa."),
        ("x.d.f.ip6.arpa PTR", "NXDOMAIN SOA d.f.ip6.arpa."),
        ("invalid A", "NXDOMAIN SOA invalid."),
        ("a.b.invalid A", "NXDOMAIN SOA invalid."),
        ("abc.onion AAAA", "NXDOMAIN SOA onion."),
        ("onion SOA", "NXDOMAIN SOA onion."),
        ("printer.home.arpa A", "NXDOMAIN SOA home.arpa."),
        # names like others
        ("gaia.cs.umass.edu A", None),
        ("host.test A", None),
        ("32.172.in-addr.arpa PTR", None),
        ("in-addr.arpa NS", None),
        ("10.in-addr.arpa DS", None),  # the parent's to say
        (". NS", None),
        ("notlocalhost A", None),
    ],
)
def test_local_names(asked: str, expected: str | None) -> None:
    outcome = LocalZones().answer(question(*asked.split()))
    if outcome is None or expected is None:
        assert (outcome, expected) == (None, None)
        return
    records = [str(rdata) for rrset in outcome.answer for rdata in rrset]
    shown = records if outcome.soa is None else ["SOA", str(outcome.soa.name)]
    assert " ".join([Rcode.to_text(outcome.rcode), *shown]).lower() == expected.lower()


def test_a_forwarder_knows_its_zones_better() -> None:
    local = LocalZones([dns.name.from_text("10.in-addr.arpa"), dns.name.from_text("1.168.192.in-addr.arpa"), dns.name.root])
    assert local.answer(question("1.10.in-addr.arpa", "PTR")) is None
    assert local.answer(question("5.1.168.192.in-addr.arpa", "PTR")) is None
    assert local.answer(question("5.2.168.192.in-addr.arpa", "PTR")) is not None


def test_they_are_a_feature_of_the_hardened_profile() -> None:
    assert (HARDENED.local_zones, TEXTBOOK.local_zones) == (True, False)
    assert len(EMPTY) == len(set(EMPTY)) >= 90
    assert ABSENT == ("invalid", "onion")


# Forwarders, then the root


@pytest.mark.parametrize(
    ("forwarder", "asked"),
    [
        (silent, True),
        (refusing(Rcode.SERVFAIL), True),
        (refusing(Rcode.REFUSED), True),
        (textbook()["10.0.0.4"], False),
    ],
)
def test_what_forwarders_do_not_answer_is_asked_from_the_root(forwarder: Answer, asked: bool) -> None:
    net = Internet({**textbook(), "10.0.0.9": forwarder}, forward={dns.name.root: ["10.0.0.9"]})
    net.resolver.algorithm.forward_first = True
    began = net.now
    assert texts(net.resolve("gaia.cs.umass.edu")) == GAIA
    assert net.log[0][0] == "10.0.0.9"
    assert [address for address, _ in net.log[1:]] == (["10.0.0.1", "10.0.0.2", "10.0.0.4"] if asked else [])
    assert net.now - began < 2.0


def test_without_that_they_are_the_last_word() -> None:
    net = Internet({**textbook(), "10.0.0.9": silent}, forward={dns.name.root: ["10.0.0.9"]})
    assert net.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL


# Addresses


def test_nobody_is_asked_at_our_own_address() -> None:
    root = "@ NS a.root-servers.net.\na.root-servers.net. A 10.0.0.1\nedu. NS a.edu.\na.edu. A 10.0.0.7\na.edu. A 0.0.0.0\n"
    net = Internet({"10.0.0.1": server((".", root)), "10.0.0.7": textbook()["10.0.0.2"]})
    net.resolver.algorithm.avoided.add("10.0.0.7")
    assert net.resolve("gaia.cs.umass.edu").rcode == Rcode.SERVFAIL
    assert {address for address, _ in net.log} == {"10.0.0.1"}
    assert Zone.from_text(".", "$TTL 5\n@ SOA a. b. 1 2 3 4 5\n" + root).lookup(dns.name.from_text("a.edu"), RdataType.A)


def test_what_cannot_be_is_said() -> None:
    address = own_address()
    machine = real_machine("resolver", (address,))
    with pytest.raises(ValueError, match=f"forward: {address} is this resolver's own address"):
        tap.build(tap.Config((), forward=(address,)), machine)
    with pytest.raises(ValueError, match="forward_first: expected forwarders"):
        tap.Config((("a.root", "10.0.0.1"),), forward_first=True)
    with pytest.raises(ValueError, match="forward_first: expected forwarders to ask first, and hints"):
        tap.Config((), forward=("10.0.0.1",), forward_first=True)
