"""Access links of a running world."""

from random import Random

import pytest

from netstack.kernel.links import LinkSettings, shaped
from netstack.world.addresses import addresses
from netstack.world.loader import load
from netstack.world.quantities import parse_delay, parse_loss, parse_rate
from netstack.world.sites import SiteLinks

WORLD = load("textbook")
TABLE = addresses(WORLD, "loopback")
CSE, APRICOT = TABLE.first("cse.nyu.edu"), TABLE.first("apricot.nyu.edu")
GAIA, ALICE = TABLE.first("gaia.cs.umass.edu"), TABLE.first("alice.crepes.fr")
STUDENT, SCHOOL = TABLE.first("student.someschool.test"), TABLE.first("www.someschool.edu")


def crossed(links: SiteLinks, source: str, destination: str) -> list[LinkSettings | None]:
    return [link.settings for link in links.path(source, destination)]


def test_unshaped_until_changed() -> None:
    links = SiteLinks(WORLD, TABLE, shaped=False)
    there = links.path(CSE, GAIA)
    assert not shaped(there)
    links.change("umass", delay=0.03)
    late = LinkSettings(delay=0.03)
    assert [link.settings for link in there] == [None, late]  # a path that was asked for before sees the change
    assert crossed(links, GAIA, CSE) == [late, None]
    assert crossed(links, "127.0.0.1", GAIA) == [late]
    assert crossed(links, CSE, APRICOT) == [None]
    links.change("umass", "down", delay=0.0)
    assert not shaped(there)
    assert crossed(links, GAIA, CSE) == [late, None]
    with pytest.raises(KeyError):
        links.change("moon", delay=1.0)
    with pytest.raises(TypeError):
        links.change("nyu", colour=1)


def test_shaped_as_the_world_says() -> None:
    links = SiteLinks(WORLD, TABLE)
    assert crossed(links, CSE, ALICE) == [
        LinkSettings(rate_bps=100e6, delay=0.005),
        LinkSettings(rate_bps=10e6, delay=0.015),
    ]
    assert crossed(links, STUDENT, SCHOOL) == [LinkSettings(rate_bps=100e6)]
    assert crossed(links, CSE, APRICOT) == [None]
    assert links.settings("nyu")["up"] == LinkSettings(rate_bps=100e6, delay=0.005)


def test_flows_of_a_site_share_its_link() -> None:
    links = SiteLinks(WORLD, TABLE)
    assert links.path(CSE, GAIA)[0] is links.path(APRICOT, ALICE)[0]
    assert links.path(CSE, GAIA)[0] is not links.path(GAIA, CSE)[1]


@pytest.mark.parametrize(
    ("value", "rate"),
    [(1540000, 1.54e6), ("1.54 Mbit/s", 1.54e6), ("15M", 15e6), ("64kbit", 64e3), ("1 Gbps", 1e9), ("unlimited", None)],
)
def test_rates(value: object, rate: float | None) -> None:
    assert parse_rate(value) == rate


@pytest.mark.parametrize("value", [0, -1, "0", "fast", "1 parsec", "", None, True, float("nan"), float("inf"), [1], "-5M"])
def test_bad_rates(value: object) -> None:
    with pytest.raises(ValueError, match="is not a rate; expected"):
        parse_rate(value)


def test_delays_and_losses() -> None:
    assert [parse_delay(value) for value in ("20 ms", "20ms", 0.02, "2e-2", "0")] == [0.02, 0.02, 0.02, 0.02, 0.0]
    assert [parse_loss(value) for value in ("1 %", 0.01, "0.01", "100%")] == [0.01, 0.01, 0.01, 1.0]
    for bad in ("x", -1, True, None):
        with pytest.raises(ValueError, match="is not a time; expected"):
            parse_delay(bad)
        with pytest.raises(ValueError, match="is not a loss; expected"):
            parse_loss(bad)
    with pytest.raises(ValueError, match="from 0 to 1"):
        parse_loss("101 %")


def test_what_a_link_has_carried() -> None:
    links = SiteLinks(WORLD, TABLE)
    rate = WORLD.sites["someschool"].down.rate_bps
    assert rate is not None
    for link in links.path(GAIA, STUDENT):
        link.arrival(2.0, 1000, Random(1))
    assert links.carried("someschool", "down") == (1000, 2.0 + 8000 / rate)
    assert links.carried("someschool", "up") == (0, 0.0)
