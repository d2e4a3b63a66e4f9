"""A start-up registers its domain: nobody finds it before, everybody does afterwards, also when its primary is down."""

import json
from collections.abc import Iterator

import pytest
from dns.flags import Flag
from dns.rcode import Rcode
from twisted.internet.task import deferLater

from netstack.dns.client import query
from netstack.http.client import Result, fetch
from netstack.kernel.machine import Machine
from netstack.world import signing
from netstack.world.loader import extended
from netstack.world.model import NEGATIVE_TTL, TTL, without
from netstack.world.session import Session, open_session

HOST, DOMAIN, WWW = "cse.nyu.edu", "networkutopia.com", "www.networkutopia.com"
REGISTRAR = "https://registrar.networksolutions.test"
SECRET = "utopia is nowhere"
SERVERS = ("dns1.networkutopia.com", "dns2.networkutopia.com")


@pytest.fixture(scope="module", params=["simulated", "loopback"])
def internet(request: pytest.FixtureRequest) -> Iterator[Session]:
    with open_session("textbook", request.param) as session:
        yield session


def told(internet: Session, server: str, name: str, rdtype: str) -> list[str]:
    """The records that one server gives, referrals and their glue included."""

    async def ask(machine: Machine) -> list[str]:
        reply = await query(machine, (internet.address(server), machine.port(53)), name, rdtype, recursion_desired=False)
        return sorted(str(rdata) for rrset in (*reply.answer, *reply.authority, *reply.additional) for rdata in rrset)

    found: list[str] = internet.ask(HOST, ask)
    return found


def register(internet: Session, *ds: str) -> Result:
    return send(internet, "POST", "/api/domains", {"name": DOMAIN, "secret": SECRET, "ds": ds})


def send(internet: Session, method: str, path: str, wish: dict[str, object]) -> Result:
    """A request of the API, with the domain's name servers in it."""
    servers = [{"name": name, "addresses": [internet.address(name)]} for name in SERVERS]
    body = json.dumps(wish | {"servers": servers}).encode()
    fields = [("Content-Type", "application/json"), ("Authorization", f"Bearer {SECRET}")]

    async def ask(machine: Machine) -> Result:
        return await fetch(machine, f"{REGISTRAR}{path}", method, fields, body)

    result: Result = internet.ask(HOST, ask)
    return result


def time_passes(internet: Session, seconds: float) -> None:
    async def wait(machine: Machine) -> None:
        await deferLater(machine.reactor, seconds)  # type: ignore[arg-type]

    internet.ask(HOST, wait, within=seconds + 60)


def test_a_start_up_registers_its_domain(internet: Session) -> None:
    assert internet.resolve(WWW, host=HOST).rcode == "NXDOMAIN"
    assert internet.address(WWW) in told(internet, SERVERS[0], WWW, "A"), "its servers are there, but nobody refers to them"
    made = register(internet)
    assert made.status == 201, made.body
    assert register(internet).status == 200, "the same once more is no other domain"
    for server in ("a.gtld-servers.net", "b.gtld-servers.net"):
        assert told(internet, server, DOMAIN, "NS") == sorted(
            [*(f"{name}." for name in SERVERS), *(internet.address(name) for name in SERVERS)]
        )
    rdap = internet.fetch(f"{REGISTRAR}/rdap/domain/{DOMAIN}", HOST)
    assert [server["ldhName"] for server in json.loads(rdap.body)["nameservers"]] == list(SERVERS)

    assert internet.resolve(WWW, host=HOST).rcode == "NXDOMAIN", "the resolver was told so a moment ago, and remembers it"
    if internet.running.substrate == "simulated":
        time_passes(internet, NEGATIVE_TTL)
    else:
        internet.flush()
    page = internet.fetch(f"https://{WWW}/", HOST)
    assert (page.status, page.security is not None) == (200, True)
    assert internet.resolve(DOMAIN, "MX", HOST).records == ("10 mail.networkutopia.com.",)
    assert internet.resolve("mail.networkutopia.com", "A", HOST).records == (internet.address("mail.networkutopia.com"),)

    internet.stop_host(SERVERS[0])
    internet.flush()
    assert internet.resolve(WWW, host=HOST).records == (internet.address(WWW),), "the secondary answers alone"
    internet.start_host(SERVERS[0])


def test_a_signed_domain_is_secure_once_its_ds_record_is_inserted() -> None:
    """All zones are signed and the resolvers validate; the registrar's update carries the chain on, or breaks it."""
    world = without(extended("textbook", {"profile": "hardened"}, "signed"), "ring")  # whose nodes ping: days take long
    (line,) = signing.ds_lines(world, DOMAIN)
    right = line.partition(" DS ")[2]
    with open_session(world, "simulated") as internet:

        def asked() -> tuple[str, bool]:
            """The resolver's response code, and whether it vouches for the answer (AD)."""

            async def ask(machine: Machine) -> tuple[str, bool]:
                server = internet.running.table.first("dns.nyu.edu")
                reply = await query(machine, (server, machine.port(53)), WWW, dnssec_ok=True)
                return Rcode.to_text(reply.rcode()), bool(reply.flags & Flag.AD)

            found: tuple[str, bool] = internet.ask(HOST, ask)
            return found

        assert asked() == ("NXDOMAIN", True)
        assert register(internet).status == 201
        time_passes(internet, NEGATIVE_TTL)
        assert asked() == ("NOERROR", False), "without a DS record nobody can vouch for it"
        changes = f"/api/domains/{DOMAIN}/servers"
        assert send(internet, "PUT", changes, {"ds": [right]}).status == 200
        time_passes(internet, TTL)
        assert asked() == ("NOERROR", True)
        assert send(internet, "PUT", changes, {"ds": ["1 13 2 " + "00" * 32]}).status == 200
        time_passes(internet, TTL)
        assert asked() == ("SERVFAIL", False), "a DS record that no key has makes it bogus"
