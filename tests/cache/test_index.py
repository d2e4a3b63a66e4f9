"""The index of the disk tier against a dictionary, and what its files' octets mean."""

from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.cache.index import Index, hash_of

HASHES = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**64 - 1, 7, 8, 15, 2**63, 2**63 + 8]))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), HASHES), max_size=200), st.sampled_from([1, 5000]))
def test_slots_are_found_by_their_hashes(steps: list[tuple[bool, int]], expected: int) -> None:
    index, model = Index(expected), dict[int, tuple[int, int]]()
    for number, (adding, hashed) in enumerate(steps, 1):
        if adding or not model:
            slot = index.add(hashed, number, 2 * number, 3 * number)
            assert slot not in model
            model[slot] = (hashed, number)
        else:
            slot = sorted(model)[hashed % len(model)]
            index.remove(slot)
            del model[slot]
        for other in {hashed, *(it for it, _ in model.values())}:
            assert sorted(index.find(other)) == [slot for slot, (it, _) in sorted(model.items()) if it == other]
        assert len(index) == len(model)
    for slot, (hashed, number) in model.items():
        assert (index.hashes[slot], index.files[slot], index.offsets[slot], index.sizes[slot]) == (
            hashed,
            number,
            2 * number,
            3 * number,
        )


def test_an_object_takes_some_thirty_octets() -> None:
    index = Index(100_000)
    for number in range(100_000):
        index.add(hash_of(b"%d" % number, b"secret"), 1, number, 1)
    assert index.octets / 100_000 < 36
    for slot in range(1, 100_001):
        index.remove(slot)
    before = index.octets
    for number in range(100_000):
        index.add(hash_of(b"%d" % number, b"other"), 1, number, 1)
    assert index.octets <= before + 1_000_000
