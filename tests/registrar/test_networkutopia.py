"""A start-up registers its domain: nobody finds it before, everybody does afterwards, also when its primary is down."""

import json
from collections.abc import Iterator

import pytest
from twisted.internet.task import deferLater

from netstack.dns.client import query
from netstack.http.client import Result, fetch
from netstack.kernel.machine import Machine
from netstack.world.model import NEGATIVE_TTL
from netstack.world.session import Session, open_session

HOST, DOMAIN, WWW = "cse.nyu.edu", "networkutopia.com", "www.networkutopia.com"
REGISTRAR = "https://registrar.networksolutions.test"
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


def register(internet: Session) -> Result:
    servers = [{"name": name, "addresses": [internet.address(name)]} for name in SERVERS]
    body = json.dumps({"name": DOMAIN, "servers": servers, "registrant": "Network Utopia"}).encode()

    async def ask(machine: Machine) -> Result:
        return await fetch(
            machine, f"{REGISTRAR}/api/domains", "POST", [("Content-Type", "application/json")], body
        )  # fmt: skip

    result: Result = internet.ask(HOST, ask)
    return result


def test_a_start_up_registers_its_domain(internet: Session) -> None:
    assert internet.resolve(WWW, host=HOST).rcode == "NXDOMAIN"
    assert internet.address(WWW) in told(internet, SERVERS[0], WWW, "A"), "its servers are there, but nobody refers to them"
    made = register(internet)
    assert made.status == 201, made.body
    assert register(internet).status == 409
    for server in ("a.gtld-servers.net", "b.gtld-servers.net"):
        assert told(internet, server, DOMAIN, "NS") == sorted(
            [*(f"{name}." for name in SERVERS), *(internet.address(name) for name in SERVERS)]
        )
    rdap = internet.fetch(f"{REGISTRAR}/rdap/domain/{DOMAIN}", HOST)
    assert [server["ldhName"] for server in json.loads(rdap.body)["nameservers"]] == list(SERVERS)

    assert internet.resolve(WWW, host=HOST).rcode == "NXDOMAIN", "the resolver was told so a moment ago, and remembers it"
    if internet.running.substrate == "simulated":

        async def wait(machine: Machine) -> None:
            await deferLater(machine.reactor, NEGATIVE_TTL)  # type: ignore[arg-type]

        internet.ask(HOST, wait)
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
