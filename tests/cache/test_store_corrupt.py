"""Any octet of any file may change: what is served then is what was stored, or nothing."""

from functools import lru_cache
from random import Random

import pytest

from tests.cache.stores import KIB, Host, body_of, octets_of, put

KEYS = [b"GET http://www.someschool.edu/%d" % number for number in range(6)]


def contents(number: int) -> tuple[bytes, bytes]:
    return b"meta %d" % number, body_of(number, 6 * KIB if number == 5 else 100)


@lru_cache
def files_of_a_store() -> dict[str, bytes]:
    """Of one that was stopped: a sealed segment, a large object, an unsealed segment, a removal."""
    host = Host(inline=4 * KIB).warm()
    for number, key in enumerate(KEYS[:3]):
        put(host.store, key, contents(number)[1], contents(number)[0])
    host.restart().warm()
    for number, key in enumerate(KEYS[3:], 3):
        put(host.store, key, contents(number)[1], contents(number)[0])
    host.settle()
    host.store.remove(KEYS[0])
    host.settle()
    host.host.kill()
    names = ["format", "removed", *(f"segments/{name}" for name in host.disk.list("store/segments"))]
    names += [
        f"large/{part}/{name}" for part in host.disk.list("store/large") for name in host.disk.list(f"store/large/{part}")
    ]
    return {name: host.disk.read(f"store/{name}") for name in names}


def served(files: dict[str, bytes]) -> int:
    """How many objects a store finds in these files; each one is right."""
    host = Host(inline=4 * KIB)
    for name, data in files.items():
        host.disk.write(f"store/{name}", data)
    host.warm()
    count = 0
    assert host.load(KEYS[0]) == (), "it was removed"
    for number, key in enumerate(KEYS[1:], 1):
        for stored in host.load(key):
            assert (stored.meta, octets_of(stored.body())) == contents(number)
            count += 1
    host.settle()
    host.check()
    return count


def test_unchanged_files() -> None:
    files = files_of_a_store()
    assert {name.split("/")[0] for name in files} == {"format", "removed", "segments", "large"}
    assert served(files) == 5


PLACES = [(name, at) for name, data in sorted(files_of_a_store().items()) for at in range(len(data))]


@pytest.mark.parametrize("seed", range(8))
def test_changed_octets(seed: int) -> None:
    rng, files = Random(seed), files_of_a_store()
    heads = [place for place in PLACES if place[1] < 200 or len(files[place[0]]) - place[1] < 200]
    for name, at in rng.sample(heads, 60) + rng.sample(PLACES, 15):
        data = files[name]
        changed = data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]
        assert served({**files, name: changed}) < 5 or name.startswith("segments")  # a table can be made anew


@pytest.mark.parametrize("seed", range(4))
def test_files_that_are_cut_off_or_grown_or_gone(seed: int) -> None:
    rng, files = Random(seed), files_of_a_store()
    for name in sorted(files):
        data = files[name]
        for changed in (data[: rng.randrange(len(data))], data + rng.randbytes(rng.randrange(1, 300)), data + bytes(100)):
            if name == "removed" and changed[: len(data)] != data:
                continue  # as if it had not been synced: the removal was not done
            served({**files, name: changed})
        if name != "removed":
            served({other: it for other, it in files.items() if other != name})
    without = {name: data for name, data in files.items() if name != "removed"}
    assert served(without) == 0, "nobody knows what was removed"
