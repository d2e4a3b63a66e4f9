"""Nodes that lie, and messages that are not as they should be: they are refused, counted by kind, and change nothing."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.lab.ring_lies import ring_with_liars, wrong_answers
from netstack.lab.ring_network import RingNetwork, settled
from netstack.ring.engine import Node, RingOptions
from netstack.ring.faults import Fault
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import (
    Forward,
    Found,
    Joined,
    JoinFailed,
    Leaving,
    LookedUp,
    Message,
    Misbehaved,
    Neighbours,
    NeighboursAnswer,
    NodeGone,
    Notify,
    Ping,
    Pong,
    Step,
    StepAnswer,
)
from netstack.sansio import Event

CHAPTER = [1, 3, 4, 5, 8, 10, 12, 15]
NEAR = RingOptions(3, lookups=2000)
ME, OTHER = Contact(8), Contact(3)


def ring(options: RingOptions = NEAR, idents: Sequence[int] = CHAPTER, bits: int = 4) -> RingNetwork:
    network = RingNetwork()
    for node in settled(Circle(bits), [Contact(each) for each in idents], options):
        network.add(node)
    return network


def refused(network: RingNetwork) -> list[Fault]:
    return [Fault(event.fault) for _, _, event in network.told if isinstance(event, Misbehaved)]


def seen(node: Node) -> tuple[object, ...]:
    return node.predecessor, tuple(node.successors), tuple(node.shortcuts.items()), node.member


MANY = tuple(Contact(each % 16, str(each)) for each in range(200))


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (Step(1, 16), Fault.OUTSIDE),
        (Step(1, -1), Fault.OUTSIDE),
        (Notify(OTHER._replace(ident=99)), Fault.BEHALF),
        (Notify(Contact(7)), Fault.BEHALF),
        (Notify(ME), Fault.BEHALF),
        (Leaving(Contact(16), ()), Fault.OUTSIDE),
        (Leaving(None, (Contact(1 << 200),)), Fault.OUTSIDE),
        (Leaving(None, MANY), Fault.LARGE),
        (NeighboursAnswer(1, None, MANY), Fault.LARGE),
        (StepAnswer(1, False, MANY, MANY), Fault.LARGE),
        (StepAnswer(1, False, (Contact(1, "x" * 300),), ()), Fault.LARGE),
        (StepAnswer(1, True, (OTHER,), ()), Fault.UNASKED),
        (NeighboursAnswer(1, OTHER, (ME,)), Fault.UNASKED),
        (Pong(1), Fault.UNASKED),
        (Found(1, OTHER, (ME.ident, 5)), Fault.UNASKED),
        (Found(1, Contact(5), (ME.ident,)), Fault.BEHALF),
        (Found(1, OTHER, (5,)), Fault.BEHALF),
        (Found(1, OTHER, ()), Fault.BEHALF),
        (Forward(1, 14, Contact(1), (1, 3, 8, 3)), Fault.LOOP),
        (Forward(1, 14, OTHER, ()), Fault.BEHALF),
        (Forward(1, 14, Contact(1), (1, 5)), Fault.BEHALF),
        (Forward(1, 14, Contact(1), (3,)), Fault.BEHALF),
        (Forward(1, 14, OTHER, (3,) * 1002), Fault.LARGE),
        (Forward(1, 14, Contact(99), (99, 3)), Fault.OUTSIDE),
    ],
)
def test_a_message_that_is_not_as_it_should_be(message: Message, fault: Fault) -> None:
    node = ring().nodes[ME]
    before = seen(node)
    assert list(node.receive(OTHER, message, 1.0)) == [Misbehaved(OTHER, fault)]
    assert seen(node) == before
    assert node.outgoing() == []


@pytest.mark.parametrize(("sender", "fault"), [(Contact(8, "elsewhere"), Fault.DOUBLE), (Contact(16), Fault.OUTSIDE)])
def test_a_sender_that_cannot_be(sender: Contact, fault: Fault) -> None:
    node = ring().nodes[ME]
    for message in (Step(1, 3), Notify(sender), Ping(1), Leaving(None, ())):
        assert list(node.receive(sender, message, 1.0)) == [Misbehaved(sender, fault)]
    assert node.outgoing() == []


def test_answers_of_another_node_of_another_kind_and_said_twice() -> None:
    node = ring(RingOptions(3, stabilize=1e9, fix=1e9)).nodes[Contact(1)]
    node.look_up(14, 1.0)
    list(node.on_timer(1.0))
    [(to, step)] = node.outgoing()
    assert isinstance(step, Step)
    answer = StepAnswer(step.number, True, (Contact(15),))
    assert list(node.receive(Contact(4), answer, 1.1)) == [Misbehaved(Contact(4), Fault.FOREIGN)]
    assert list(node.receive(to, Pong(step.number), 1.1)) == [Misbehaved(to, Fault.UNASKED)]
    assert list(node.receive(to, NeighboursAnswer(step.number, None, (ME,)), 1.1)) == [Misbehaved(to, Fault.UNASKED)]
    assert list(node.receive(to, answer, 1.1)) == []
    [(last, check)] = node.outgoing()
    assert last == Contact(15)
    assert isinstance(check, Neighbours)
    assert list(node.receive(to, answer, 1.1)) == [Misbehaved(to, Fault.UNASKED)]
    [found] = node.receive(last, NeighboursAnswer(check.number, Contact(12), (Contact(1),)), 1.2)
    assert isinstance(found, LookedUp)
    assert found.responsible == Contact(15)
    assert list(found.path) == [1, to.ident, 15]


class Replies(Node):
    """A node that answers what it is asked by a function."""

    def __init__(self, like: Node, reply: Callable[[Message], Sequence[Message]]) -> None:
        super().__init__(like.circle, like.me, like.options, Random(1))
        self.predecessor, self.successors = like.predecessor, like.successors
        self.reply = reply

    def receive(self, sender: Contact, message: Message, now: float) -> Iterator[Event]:
        if isinstance(message, Step | Neighbours | Ping):
            for each in self.reply(message):
                self._send(sender, each)
        return iter(())


def closer_for_ever(message: Message) -> Sequence[Message]:
    """Nodes that are not there, each closer than the one before."""
    if isinstance(message, Step):
        fakes = [Contact((message.key - 1 - each) % (1 << 16), f"{message.number}") for each in range(64)]
        return [StepAnswer(message.number, False, fakes, fakes)]
    return []


def claims_for_ever(message: Message) -> Sequence[Message]:
    if isinstance(message, Step):
        fakes = [Contact((message.key + each) % (1 << 16), f"{message.number}") for each in range(64)]
        return [StepAnswer(message.number, True, fakes)]
    return []


LIES: dict[str, Callable[[Message], Sequence[Message]]] = {
    "silence": lambda message: [],
    "closer for ever": closer_for_ever,
    "claims for ever": claims_for_ever,
    "nothing": lambda message: [StepAnswer(message.number, False, ())] if isinstance(message, Step) else [],
    "done with nobody": lambda message: [StepAnswer(message.number, True, ())] if isinstance(message, Step) else [],
    "another kind": lambda message: [Pong(getattr(message, "number", 0))],
    "everything": lambda message: [StepAnswer(getattr(message, "number", 0), False, MANY)],
    "for all numbers": lambda message: [StepAnswer(each, True, (Contact(3),)) for each in range(50)],
}


@pytest.mark.parametrize("paths", [1, 4])
@pytest.mark.parametrize("lie", LIES)
def test_a_look_up_ends_and_finds_its_way_past_a_node_that_lies(lie: str, paths: int) -> None:
    rng = Random(5)
    idents = sorted(rng.sample(range(1 << 16), 32))
    network = ring(RingOptions(4, paths=paths, patience=20), idents, 16)
    network.run(2)
    liars = [Contact(each) for each in rng.sample(idents, 3)]
    for each in liars:
        network.nodes[each] = Replies(network.nodes[each], LIES[lie])
    honest = [each for each in network.nodes if each not in liars]
    asked = {}
    for _ in range(60):
        key = rng.randrange(1 << 16)
        responsible = next((each for each in sorted(network.nodes) if each.ident >= key), min(network.nodes))
        if responsible not in liars:
            asked[network.look_up(rng.choice(honest), key)] = responsible
    network.run(network.now + 20.5)
    for each, responsible in asked.items():
        assert network.done[each].responsible == responsible
    for each in honest:
        node = network.nodes[each]
        assert len(node._lookups) <= 2  # of its shortcuts
        assert len(node._pending) <= 8


def test_who_is_beside_a_liar_keeps_the_neighbours_that_are_there() -> None:
    """It neither hides those that it should name, nor brings in those that are not there."""
    network, honest = ring_with_liars(40, 8, RingOptions(4), seed=2)
    there = sorted(network.nodes)
    expected = {
        each: [there[(place + step) % 40] for step in (1, 2, 3, 4)] for place, each in enumerate(there) if each in honest
    }
    for _ in range(6):
        network.run(network.now + 10)
        for each, successors in expected.items():
            assert network.nodes[each].successors == successors
    before = {each: there[place - 1] for place, each in enumerate(there)}
    assert all(network.nodes[each].predecessor == before[each] for each in honest)


def test_who_joins_between_a_node_and_a_liar_is_found() -> None:
    """Its successor hides it, so it speaks for itself."""
    network, honest = ring_with_liars(40, 8, RingOptions(4, paths=4), seed=2)
    there = sorted(network.nodes)
    place = next(place for place, each in enumerate(there[1:-1], 1) if each in honest and there[place + 1] not in honest)
    me = Contact((there[place].ident + there[place + 1].ident) // 2)
    node = Node(Circle(32), me, RingOptions(4, paths=4), Random(1))
    network.add(node)
    node.join(honest[place // 2], network.now)
    network.serve(node)
    network.run(network.now + 5)
    assert (me, Joined(there[place + 1])) in [(who, event) for _, who, event in network.told]
    assert network.nodes[there[place]].successors[0] == me
    assert node.predecessor == there[place]


def test_paths_without_a_node_in_common_beside_what_theory_expects(capsys: pytest.CaptureFixture[str]) -> None:
    """A look-up comes past no liar with (1 - f)^hops; of d paths one has to."""
    wrong = {}
    with capsys.disabled():
        print("\nliars  paths  wrong   failed  questions")
        for part in (0.0, 0.1, 0.2):
            for paths in (1, 2, 4):
                options = RingOptions(4, stabilize=1e9, fix=1e9, rejoin=0, paths=paths, lookups=2000)
                wrong[part, paths], failed, questions = wrong_answers(128, part, options, 300)
                print(f"{part:5}  {paths:5}  {wrong[part, paths]:5.3f}   {failed:5.3f}  {questions:5.1f}")
                assert failed == 0
    assert all(wrong[0.0, paths] == 0 for paths in (1, 2, 4))
    for part in (0.1, 0.2):
        assert 0.5 * part < wrong[part, 1] < 1 - (1 - part) ** 5
        assert wrong[part, 2] < 0.7 * wrong[part, 1]
        assert wrong[part, 4] < 0.35 * wrong[part, 1]


def test_a_question_that_was_passed_on_and_got_lost() -> None:
    network = ring()
    network.fail(Contact(12))
    found = network.pass_on(Contact(8), 11)
    network.run(4.9)
    assert found not in network.done
    network.run(5.1)
    assert network.done[found].responsible is None
    assert network.done[found].timeouts == 1
    assert network.done[found].path == (8,)


def test_one_answer_to_what_was_passed_on_counts() -> None:
    network = ring(RingOptions(2, shortcuts=False))
    network.recording = True
    found = network.pass_on(Contact(8), 13)
    network.run(2)
    assert network.done[found].responsible == Contact(15)
    [(_, sender, to, message)] = [each for each in network.log if isinstance(each[3], Found)]
    assert list(network.nodes[to].receive(sender, message, network.now)) == [Misbehaved(sender, Fault.UNASKED)]


def test_too_many_look_ups_at_once() -> None:
    node = ring(RingOptions(lookups=2)).nodes[ME]
    node.look_up(1, 0.0)
    node.pass_on(2, 0.0)
    for begin in (node.look_up, node.pass_on):
        with pytest.raises(ValueError, match="2 look-ups are under way"):
            begin(3, 0.0)


def test_a_flood_of_all_messages_leaves_nothing_behind() -> None:
    node = ring(RingOptions(3, named=8, silent=16, lost=4)).nodes[ME]
    rng = Random(3)
    now = 0.0
    for count in range(20_000):
        sender = Contact(rng.randrange(16), f"h{count}")
        named = [Contact(rng.randrange(16), f"n{count + each}") for each in range(8)]
        number = rng.randrange(1 << 30)
        message: Message = rng.choice(
            [
                Notify(sender), Leaving(named[0], named), Ping(number), Step(number, rng.randrange(16)), Neighbours(number),
                Forward(number, rng.randrange(16), sender, (sender.ident,)), NeighboursAnswer(number, named[0], named),
            ]
        )  # fmt: skip
        now += 0.01
        list(node.receive(sender, message, now))
        if node.next_timer() <= now:
            list(node.on_timer(now))
        node.outgoing()
        assert len(node.successors) <= 3
        assert len(node._pending) <= 200
        assert len(node._order) <= 400
        assert len(node._gone) <= 16
        assert len(node.lost) <= 4
        assert len(node._checking) <= 8 + 3 + 1


contacts = st.builds(Contact, st.integers(-1, 16), st.sampled_from(["", "a:1", "x" * 300]))
some = st.lists(contacts, max_size=6).map(tuple)
idents = st.integers(-1, 16)
numbers = st.integers(0, 60)
messages = st.one_of(
    st.builds(Step, numbers, idents),
    st.builds(StepAnswer, numbers, st.booleans(), some, some),
    st.builds(Forward, numbers, idents, contacts, st.lists(idents, max_size=5).map(tuple)),
    st.builds(Found, numbers, contacts, st.lists(idents, max_size=5).map(tuple)),
    st.builds(Neighbours, numbers),
    st.builds(NeighboursAnswer, numbers, st.none() | contacts, some),
    st.builds(Notify, contacts),
    st.builds(Ping, numbers),
    st.builds(Pong, numbers),
    st.builds(Leaving, st.none() | contacts, some),
)


class Low(Random):
    """Numbers begin at 0, so that answers meet questions."""

    def uniform(self, a: float, b: float) -> float:
        return a


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(contacts, messages, st.sampled_from([-1.0, 0.0, 0.1, 1.0, 1e6])), max_size=60),
    st.booleans(),
    st.integers(1, 3),
)
def test_whatever_is_said_a_node_goes_on(said: list[tuple[Contact, Message, float]], joining: bool, paths: int) -> None:
    node = Node(Circle(4), ME, RingOptions(2, paths=paths, timeout=0.3), Low())
    node.start(0.0)
    now = 0.0
    if joining:
        node.join(OTHER, now)
    asked = [node.look_up(14, now), node.pass_on(3, now)]
    ended: list[int] = []

    def take(events: Iterator[Event]) -> None:
        ended.extend(event.number for event in events if isinstance(event, LookedUp))
        for to, _ in node.outgoing():
            assert to != node.me

    for sender, message, step in said:
        take(node.receive(sender, message, now))
        now += step
        take(node.on_timer(now))
        assert node.successors
        assert node.me not in node.successors or node.successors == [node.me]
        assert all(0 <= each.ident < 16 for each in node.successors)
    for _ in range(400):
        now += 0.5
        take(node.on_timer(now))
    assert sorted(ended) == sorted(asked)
    assert not node._lookups or len(node._lookups) == 1


# Clocks


def test_a_clock_that_leaps_makes_nobody_silent() -> None:
    """A process that slept reads the answers after its timer went off."""
    node = ring().nodes[ME]
    list(node.receive(Contact(4), Notify(Contact(4)), 0.9))  # another one takes this node for its successor
    list(node.on_timer(1.0))
    asked = node.outgoing()
    assert {to for to, _ in asked} >= {Contact(10), Contact(5)}
    assert list(node.on_timer(3600.0)) == []
    for to, message in asked:
        if isinstance(message, Neighbours):
            assert list(node.receive(to, NeighboursAnswer(message.number, None, (Contact(12), Contact(15))), 3600.1)) == []
    list(node.on_timer(3600.6))
    assert node.successors[0] == Contact(10)
    assert node.predecessor == Contact(5)


def test_who_is_silent_after_the_leap_is_gone() -> None:
    node = ring().nodes[ME]
    list(node.receive(Contact(4), Notify(Contact(4)), 0.9))  # another one takes this node for its successor
    list(node.on_timer(1.0))
    list(node.on_timer(3600.0))
    events = list(node.on_timer(3600.3))
    assert {event.node for event in events if isinstance(event, NodeGone)} >= {Contact(10), Contact(5)}


@pytest.mark.parametrize("step", [0.0, -5.0])
def test_a_clock_that_stands_still_or_goes_back(step: float) -> None:
    node = ring().nodes[ME]
    now = 100.0
    list(node.on_timer(now))
    for _ in range(200):
        now += step
        assert [event for event in node.on_timer(now) if not isinstance(event, NodeGone)] == []
        node.outgoing()
    assert node.successors[0] == Contact(10)


# The same identifier again


def test_a_node_that_is_restarted_takes_its_old_place() -> None:
    network = ring()
    network.run(2)
    network.fail(ME)
    node = Node(Circle(4), ME, NEAR, Random(9))
    network.add(node)
    node.join(Contact(1), network.now)
    network.serve(node)
    network.run(network.now + 3)
    assert [event for _, who, event in network.told if who == ME and isinstance(event, Joined)] == [Joined(Contact(10))]
    assert [each.ident for each in node.successors] == [10, 12, 15]
    assert node.predecessor == Contact(5)
    assert network.nodes[Contact(5)].successors[0] == ME


def test_while_it_joins_a_node_answers_for_no_key() -> None:
    node = Node(Circle(4), ME, NEAR, Random(9))
    node.join(OTHER, 0.0)
    list(node.on_timer(0.0))
    node.outgoing()
    assert not node.is_responsible(7)
    list(node.receive(OTHER, Step(1, 7), 0.1))
    list(node.receive(OTHER, Neighbours(2), 0.1))
    list(node.receive(OTHER, Forward(3, 7, OTHER, (3,)), 0.1))
    assert node.outgoing() == [(OTHER, StepAnswer(1, False, (), ())), (OTHER, NeighboursAnswer(2, None, ()))]


def test_two_nodes_with_one_identifier() -> None:
    """The one that is there keeps its place."""
    network = ring()
    network.run(2)
    double = Contact(8, "elsewhere")
    node = Node(Circle(4), double, NEAR, Random(9))
    network.add(node)
    node.join(Contact(1), network.now)
    network.serve(node)
    network.run(network.now + 3)
    [failed] = [event for _, who, event in network.told if who == double and isinstance(event, JoinFailed)]
    assert failed == JoinFailed(Contact(1), ME)
    assert (ME, Misbehaved(double, Fault.DOUBLE)) in [(who, event) for _, who, event in network.told]
    assert all(double not in (each.predecessor, *each.successors) for each in network.nodes.values() if each is not node)
    network.fail(ME)
    node.join(Contact(1), network.now)
    network.serve(node)
    network.run(network.now + 6)
    assert (double, Joined(Contact(10))) in [(who, event) for _, who, event in network.told]
    assert network.nodes[Contact(5)].successors[0] == double


def test_who_leaves_is_believed_for_itself_alone() -> None:
    """It names a predecessor that is not there: gone after a ping."""
    network = ring()
    network.run(2)
    node = network.nodes[ME]
    list(node.receive(Contact(5), Leaving(Contact(4, "nobody"), ()), network.now))
    assert node.predecessor == Contact(4, "nobody")
    network.serve(node)
    network.run(network.now + 4)
    assert node.predecessor == Contact(5)  # it is still there
    list(node.receive(Contact(1), Leaving(Contact(15), (Contact(9),)), network.now))
    assert node.predecessor == Contact(5)
    assert [each.ident for each in node.successors] == [10, 12, 15]
