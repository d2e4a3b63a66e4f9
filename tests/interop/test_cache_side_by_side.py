"""netstack-cache, Squid, Varnish and nginx side by side: the conformance table, every difference explained."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.addresses import own_address
from tests.cache.conformance import ROWS
from tests.interop import cache_differences
from tests.interop.cache_exchanges import Origin, run_rows
from tests.interop.cache_programs import PORT, nginx, ours, squid, varnish

Start = Callable[[Path, str, tuple[str, int]], AbstractContextManager[None]]
CACHES: Mapping[str, tuple[Start, cache_differences.Differences]] = {
    "ours": (ours, cache_differences.OURS),
    "squid": (squid, cache_differences.SQUID),
    "varnish": (varnish, cache_differences.VARNISH),
    "nginx": (nginx, cache_differences.NGINX),
}


@pytest.fixture(scope="module")
def results() -> Mapping[str, Mapping[str, str]]:
    """For each cache what is wrong, by the names of the rows; all rows of all caches at the same time."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # Squid gives up its rights
        return asyncio.run(_all(Path(name)))


async def _all(directory: Path) -> dict[str, Mapping[str, str]]:
    with ExitStack() as stack:
        origins = []
        for name, (start, _) in CACHES.items():
            origin, place, address = Origin(), (own_address(), PORT), own_address()
            server = await asyncio.start_server(origin.serve, *place, backlog=1000)
            stack.callback(server.close)
            origins.append((name, origin, address, start(directory / name, address, place)))
        # they start at the same time; a thread for each, as they are waited for
        await asyncio.gather(*(asyncio.to_thread(stack.enter_context, context) for *_, context in origins))
        found = await asyncio.gather(*(run_rows((address, PORT), origin, ROWS) for _, origin, address, _ in origins))
    return {name: wrong for (name, *_), wrong in zip(origins, found, strict=True)}


@pytest.mark.parametrize("name", CACHES)
def test_what_is_otherwise_is_what_is_explained(results: Mapping[str, Mapping[str, str]], name: str) -> None:
    explained = {row for _, rows in CACHES[name][1] for row in rows.split()}
    wrong = results[name]
    assert {row: wrong[row] for row in sorted(set(wrong) - explained)} == {}, "not explained"
    assert sorted(explained - set(wrong)) == [], "explained, but it does as the table asks"


@pytest.mark.parametrize("name", CACHES)
def test_explanations_are_of_rows(name: str) -> None:
    rows = [row for _, rows in CACHES[name][1] for row in rows.split()]
    assert len(set(rows)) == len(rows)
    assert set(rows) <= {row.name for row in ROWS}
    assert all(why.endswith(".") for why, _ in CACHES[name][1])
