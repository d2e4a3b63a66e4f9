"""What the chapter shows, the same on every substrate: names, pages, messages, links, and what a person is told."""

import re

import pytest

from tests.behaviour.subjects import Failed, Subject

WORLD = "textbook"
GAIA, CSE, APRICOT = "gaia.cs.umass.edu", "cse.nyu.edu", "apricot.nyu.edu"
SCHOOL = "www.someschool.edu"
HOME = f"{SCHOOL}/somedepartment/home.index"


def test_a_cold_look_up_takes_eight_messages_and_the_next_host_s_two(internet: Subject) -> None:
    internet.cold()
    assert internet.resolve(GAIA, "A", CSE) == ("NOERROR", [internet.address(GAIA)])
    rows = internet.messages()
    assert [(row["from"], row["to"]) for row in rows] == [
        (CSE, "dns.nyu.edu"), ("dns.nyu.edu", rows[1]["to"]), (rows[1]["to"], "dns.nyu.edu"),
        ("dns.nyu.edu", "a.edu-servers.net"), ("a.edu-servers.net", "dns.nyu.edu"),
        ("dns.nyu.edu", rows[5]["to"]), (rows[5]["to"], "dns.nyu.edu"), ("dns.nyu.edu", CSE),
    ]  # fmt: skip
    assert rows[1]["to"].endswith(".root-servers.net")
    assert rows[5]["to"].endswith(".umass.edu")
    assert internet.resolve(GAIA, "A", APRICOT) == ("NOERROR", [internet.address(GAIA)])
    assert len(internet.messages()) == 10


@pytest.mark.parametrize(
    ("name", "rdtype", "records"),
    [
        ("www.foo.com", "CNAME", ["relay1.bar.foo.com."]),
        ("foo.com", "MX", ["10 mail.bar.foo.com."]),
        ("gaia.cs.umass.edu", "AAAA", []),
    ],
)
def test_records(internet: Subject, name: str, rdtype: str, records: list[str]) -> None:
    assert internet.resolve(name, rdtype, CSE) == ("NOERROR", records)


def test_an_address_leads_to_its_name(internet: Subject) -> None:
    pointer = ".".join([*reversed(internet.address(GAIA).split(".")), "in-addr", "arpa"])
    assert internet.resolve(pointer, "PTR", CSE) == ("NOERROR", [f"{GAIA}."])


def test_three_addresses_of_a_replicated_server(internet: Subject) -> None:
    rcode, records = internet.resolve("cnn.com", "A", CSE)
    assert rcode == "NOERROR"
    assert len(set(records)) == 3


def test_a_name_that_does_not_exist(internet: Subject) -> None:
    assert internet.resolve("nobody.umass.edu", "A", CSE) == ("NXDOMAIN", [])
    assert internet.resolve("no.such.tld.example", "A", CSE) == ("NXDOMAIN", [])
    with pytest.raises(Failed, match=r"nobody\.umass\.edu"):
        internet.get("http://nobody.umass.edu/", CSE)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_and_its_ten_images(internet: Subject, scheme: str) -> None:
    page = internet.get(f"{scheme}://{HOME}", CSE)
    assert (page.status, page.secure) == (200, scheme == "https")
    images = re.findall(rb'<img src="([^"]+)"', page.body)
    assert len(images) == 10
    for image in images:
        found = internet.get(f"{scheme}://{SCHOOL}/somedepartment/{image.decode()}", CSE)
        assert found.status == 200
        assert found.body.startswith((b"GIF8", b"\x89PNG", b"\xff\xd8"))


def test_the_map_shows_every_host_and_gives_the_ca(internet: Subject) -> None:
    page = internet.get("http://map.test/", CSE).body.decode()
    cell = r"<td>(?:<a [^>]*>)?([^<]*)(?:</a>)?</td>"
    rows = {found[0]: found[3] for found in re.findall(f"<tr>{cell * 4}</tr>", page)}
    assert {GAIA, CSE, "a.root-servers.net", "dns.umass.edu", "map.test"} <= set(rows)
    assert all(internet.address(host) in page for host in rows)
    assert re.fullmatch(r"dns udp:\d*53 tcp:\d*53 tls:\d*853", rows["a.root-servers.net"])
    assert re.fullmatch(r"origin tcp:\d*80 tls:\d*443", rows[GAIA])
    assert internet.get("http://map.test/ca.pem", CSE).body.startswith(b"-----BEGIN CERTIFICATE-----")


def test_what_is_not_there_is_404(internet: Subject) -> None:
    assert internet.get(f"http://{SCHOOL}/no/such/page", CSE).status == 404


def test_a_certificate_for_another_name_is_refused(internet: Subject) -> None:
    with pytest.raises(Failed, match=r"(?i)certificate|verif|identity"):
        internet.get(f"https://{internet.address(SCHOOL)}/", CSE)


def test_a_page_is_two_messages_after_its_name(internet: Subject) -> None:
    internet.resolve(SCHOOL, "A", CSE)
    internet.get(f"http://{HOME}", CSE)
    internet.cold()
    internet.get(f"https://{HOME}", CSE)
    rows = [row for row in internet.messages() if row["protocol"] == "http"]
    assert [(row["from"], row["to"], row["secure"]) for row in rows] == [(CSE, SCHOOL, True), (SCHOOL, CSE, True)]
    assert rows[0]["to_address"][1] == 443
    assert rows[1]["bytes"] > 500


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_uppercase_server(internet: Subject, transport: str) -> None:
    assert internet.upper("hello, world", transport, CSE) == "HELLO, WORLD"  # type: ignore[arg-type]


def test_the_delay_of_a_link_is_felt(internet: Subject) -> None:
    url = f"http://{SCHOOL}/"

    def least() -> float:
        """Of several, for the machine may have other work."""
        return min(internet.get(url, CSE).seconds for _ in range(3))

    internet.get(url, CSE)
    quick = least()
    internet.delay("someschool", 0.1)
    try:
        slow = least()
    finally:
        internet.delay("someschool", 0.0)
    # a round trip for the handshake and one for the request, each 0.2 s; the way back of a third would make it 0.5 s
    assert 0.39 <= slow - quick < 0.49
    assert least() < 0.39


def test_z_a_host_that_is_down(internet: Subject) -> None:
    """The last one, for the host stays down."""
    host = "www.exotiquecuisine.com"
    assert internet.get(f"http://{host}/", CSE).status == 200
    internet.down(host)
    with pytest.raises(Failed, match=re.escape(host)) as told:
        internet.get(f"http://{host}/", CSE)
    assert re.search(r"refused|reset|no route|unreachable|did not answer|time|within", str(told.value), re.IGNORECASE)
    assert internet.get(f"http://{SCHOOL}/", CSE).status == 200
