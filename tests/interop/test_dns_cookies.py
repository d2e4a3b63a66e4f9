"""Servers of one address (anycast) with the same secret: BIND takes our cookies, we take BIND's (RFC 9018)."""

from collections.abc import Iterator
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.addresses import own_address
from tests.interop.dns_programs import named
from tests.processes import running, twistd

OFFSET = 25000
PORT = 53 + OFFSET
SECRET, OTHER = "e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962"
CLIENT = bytes(range(8))
ZONE = "$TTL 60\n@ SOA dns h 1 60 60 60 60\n@ NS dns\ndns A 10.0.0.1\n"


def ask(address: str, cookie: bytes) -> tuple[str, bytes]:
    """RCODE, and the cookie given."""
    option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)
    query = dns.message.make_query("dns.umass.edu", "A", options=[option])
    reply = dns.query.udp(query, address, port=PORT, timeout=10, source="127.0.0.1")
    (given,) = [each for each in reply.options if each.otype == dns.edns.OptionType.COOKIE]
    return dns.rcode.to_text(reply.rcode()), bytes(given.to_wire())


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory, address = tmp_path_factory.mktemp("cookies"), "127.0.0.1"  # it listens on the addresses of interfaces alone
    (directory / "zone").write_text(ZONE)
    zones = f'zone "umass.edu" {{ type primary; file "{directory}/zone"; }};'
    options = f'cookie-algorithm siphash24; cookie-secret "{SECRET}"; require-server-cookie yes; recursion no;'
    with named(directory / "named", address, options, zones, PORT):
        yield address


@pytest.mark.parametrize(("secrets", "good"), [((SECRET,), True), ((OTHER, SECRET), True), ((OTHER,), False)])
def test_cookies_of_bind_and_ours(bind: str, secrets: tuple[str, ...], good: bool, tmp_path: Path) -> None:
    ours = own_address()
    (tmp_path / "zone").write_text(ZONE)
    (tmp_path / "secrets").write_text("\n".join(secrets) + "\n")
    command = twistd(
        "netstack-dns", f"--address={ours}", f"--port-offset={OFFSET}", f"--zone=umass.edu={tmp_path}/zone",
        f"--cookie-secret={tmp_path}/secrets", "--cookies=required",
    )  # fmt: skip
    with running(*command, ready="on tcp:"):
        told = [ask(address, CLIENT) for address in (bind, ours)]
        assert [rcode for rcode, _ in told] == ["BADCOOKIE", "BADCOOKIE"]
        bind_cookie, our_cookie = (cookie for _, cookie in told)
        assert ask(bind, bind_cookie)[0] == "NOERROR"
        assert ask(ours, our_cookie)[0] == "NOERROR"
        assert ask(ours, bind_cookie)[0] == ("NOERROR" if good else "BADCOOKIE")
        assert ask(bind, our_cookie)[0] == ("NOERROR" if secrets[0] == SECRET else "BADCOOKIE")
