"""Questions that could not be resolved and are not tried again for a while (RFC 9520); pure."""

from collections import OrderedDict

from netstack.dns.wire import Question


class Failures:
    """The first failure is remembered for `first` seconds, each further one in a row twice as long, up to `longest`."""

    def __init__(self, first: float, longest: float, remembered: int) -> None:
        self.first = first
        self.longest = longest
        self.remembered = remembered
        self._until: OrderedDict[Question, tuple[float, float]] = OrderedDict()
        """When it ends, and how long it was."""

    def __len__(self) -> int:
        return len(self._until)

    def add(self, question: Question, now: float) -> None:
        """It failed."""
        known = self._until.pop(question, None)
        length = self.first if known is None else min(self.longest, known[1] * 2)
        self._until[question] = (now + length, length)
        if len(self._until) > self.remembered:
            self._until.popitem(last=False)

    def note(self, question: Question, now: float) -> None:
        """It failed, unless that is known already."""
        if not self.holds(question, now):
            self.add(question, now)

    def holds(self, question: Question, now: float) -> bool:
        """Whether it failed so shortly ago that it is not tried again."""
        known = self._until.get(question)
        if known is None:
            return False
        if now >= known[0] + known[1]:  # the next failure begins anew
            del self._until[question]
        return now < known[0]

    def ended(self, question: Question) -> None:
        """It was resolved."""
        self._until.pop(question, None)

    def questions(self) -> list[Question]:
        """Those that are remembered."""
        return list(self._until)

    def flush(self) -> None:
        """Forget all."""
        self._until.clear()
