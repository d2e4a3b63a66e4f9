"""How many round trips does a page with ten images take? It depends on how connections are used.

Objects are small and links unlimited, so that what counts is waiting: a round trip to set a connection up (another for
TLS), one for each request that has to wait for the response before it. The resolver knows the name beforehand. Exact in
virtual time; where time is real, computing takes some of it, too.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session

TITLE = "Round trips of a page with ten images"
SUBSTRATES = ("simulated", "loopback")

WORLD, HOST = "textbook", "cse.nyu.edu"
PATH = "www.someschool.edu/somedepartment/home.index"
RTT = 0.1
CHANGES = {
    "sites": {
        "nyu": {"rate": "unlimited", "delay": "20 ms"},
        "someschool": {"rate": "unlimited", "delay": "30 ms", "lan": {"rate": "unlimited"}},
    }
}
"""20 ms and 30 ms, there and back."""
TOLERANCE = {"simulated": 0.001, "loopback": 0.1}
ROUND_TRIPS = "{what}: round trips for the page and its ten images"
CONNECTIONS = "{what}: connections"

# (what, mode, scheme, round trips, connections)
WAYS = (
    ("non-persistent, one after another", "non-persistent", "http", 22, 11),
    ("non-persistent, five at once", "parallel", "http", 6, 11),
    ("persistent without pipelining", "persistent", "http", 12, 1),
    ("persistent with pipelining", "pipelined", "http", 3, 1),
    ("HTTP/2", "http2", "http", 3, 1),
    ("HTTP/2 under TLS 1.3", "http2", "https", 4, 1),
    ("non-persistent under TLS 1.3, one after another", "non-persistent", "https", 33, 11),
)


class Incomplete(Exception):
    """An object did not come: the time of the rest proves nothing."""


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [claim for what, _, _, trips, made in WAYS for claim in _claims(on, what, trips, made, None, None)]


def measure(bench: Bench) -> Iterator[Claim]:
    """Fetches the page in each way, with the world's clock."""
    with bench.changed(WORLD, CHANGES, "connections") as internet:
        internet.fetch(f"http://{PATH}", HOST)
        for what, mode, scheme, trips, connections in WAYS:
            took, made = _fetched(internet, mode, scheme)
            yield from _claims(bench.on, what, trips, connections, took / RTT, made)


def _claims(on: str, what: str, trips: int, connections: int, measured: float | None, made: int | None) -> Sequence[Claim]:
    return (
        Claim(ROUND_TRIPS.format(what=what), trips, measured, tolerance=TOLERANCE[on], unit="round trips"),
        Claim(CONNECTIONS.format(what=what), connections, made, unit="connections"),
    )


def _fetched(internet: Session, mode: str, scheme: str) -> tuple[float, int]:
    page = internet.ask(HOST, _fetch, f"{scheme}://{PATH}", mode)
    missing = [part.url for part in page.parts if part.result is None or part.result.status != 200]
    if missing or len(page.parts) != 11:
        raise Incomplete(f"{mode}: {len(page.parts)} parts, without {', '.join(missing) or 'some images'}")
    return page.seconds, page.connections


async def _fetch(machine: Any, url: str, mode: str) -> Any:
    from netstack.http.page import Mode, fetch_page

    return await fetch_page(machine, url, Mode(mode))
