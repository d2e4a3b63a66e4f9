"""The timer that a listener's young connections share."""

from twisted.internet.task import Clock

from netstack.kernel.accepting import Nursery


class Child:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.told: list[float] = []

    def grown(self) -> None:
        self.told.append(self.clock.seconds())


def test_each_is_told_once_and_on_time() -> None:
    clock = Clock()
    nursery = Nursery(clock, 5.0)  # type: ignore[arg-type]
    children = [Child(clock) for _ in range(4)]
    for child in children:
        assert nursery.add(child, clock.seconds()) == clock.seconds() + 5
        clock.advance(1)
        assert len(clock.getDelayedCalls()) == 1
    for _ in range(10):
        clock.advance(0.5)
    assert [child.told for child in children] == [[5.0], [6.0], [7.0], [8.0]]
    assert clock.getDelayedCalls() == []


def test_nothing_is_scheduled_when_all_are_gone() -> None:
    clock = Clock()
    nursery = Nursery(clock, 5.0)  # type: ignore[arg-type]
    first, second = Child(clock), Child(clock)
    nursery.add(first, 0.0)
    clock.advance(2)
    nursery.add(second, 2.0)
    nursery.drop(first)
    clock.advance(4)
    assert second.told == []
    nursery.drop(second)
    assert clock.getDelayedCalls() == []
    clock.advance(10)
    assert first.told == second.told == []
    nursery.drop(first)
    nursery.add(first, clock.seconds())
    clock.advance(5)
    assert first.told == [21.0]


def test_one_that_fails_does_not_hold_the_others_up() -> None:
    clock = Clock()
    nursery = Nursery(clock, 5.0)  # type: ignore[arg-type]

    class Bad(Child):
        def grown(self) -> None:
            raise ZeroDivisionError

    nursery.add(Bad(clock), 0.0)
    good = Child(clock)
    nursery.add(good, 0.0)
    failed = False
    try:
        clock.advance(5)
    except ZeroDivisionError:
        failed = True
    clock.advance(0)
    assert failed
    assert good.told == [5.0]
