"""The finger table, and who of those a node knows is closest to a key, beside the plain way of finding it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.ring.identifiers import Circle, Contact
from netstack.ring.shortcuts import Known, Shortcuts

CIRCLE = Circle(8)
idents = st.integers(0, CIRCLE.size - 1)
contacts = st.builds(Contact, idents, st.sampled_from(["", "a:1"]))


@given(st.lists(st.tuples(st.sampled_from(["put", "drop", "forget", "below"]), st.integers(0, 9), contacts)))
def test_shortcuts_are_a_mapping(steps: list[tuple[str, int, Contact]]) -> None:
    shortcuts, model = Shortcuts(), dict[int, Contact]()
    for what, exponent, node in steps:
        before, version = dict(model), shortcuts.version
        if what == "put":
            shortcuts[exponent] = model[exponent] = node
        elif what == "drop":
            assert shortcuts.pop(exponent, None) == model.pop(exponent, None)
        elif what == "below":
            shortcuts.drop_below(exponent)
            model = {number: each for number, each in model.items() if number >= exponent}
        else:
            shortcuts.forget(node)
            model = {number: each for number, each in model.items() if each != node}
        assert dict(shortcuts) == model
        assert len(shortcuts) == len(model)
        assert (shortcuts.version != version) is (model != before)
        assert list(shortcuts.nodes()) == [model[each] for each in sorted(model)]


def test_a_shortcut_that_is_not_there() -> None:
    shortcuts = Shortcuts()
    shortcuts[3] = Contact(1)
    with pytest.raises(KeyError):
        shortcuts[2]
    with pytest.raises(KeyError):
        del shortcuts[4]


@given(idents, st.lists(idents), st.lists(st.tuples(st.integers(0, 9), idents)), idents, st.integers(1, 5))
def test_the_closest_before_a_key(
    me: int, successors: list[int], fingers: list[tuple[int, int]], key: int, most: int
) -> None:
    shortcuts, known = Shortcuts(), Known(CIRCLE, Contact(me))
    for exponent, ident in fingers:
        shortcuts[exponent] = Contact(ident)
        chain = [Contact(each) for each in successors]
        all_known = {*successors, *(each.ident for each in shortcuts.values())}
        between = [each for each in all_known if CIRCLE.within(me, each, key) and each != me]
        between.sort(key=lambda each: CIRCLE.distance(each, key))
        assert [each.ident for each in known.before(key, most, chain, shortcuts)] == between[:most]
