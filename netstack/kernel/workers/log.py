"""A worker's log: lines for its parent, which writes the time to them."""

import sys

from twisted.logger import ILogObserver, LogEvent, eventAsText
from zope.interface import implementer


@implementer(ILogObserver)
class _Lines:
    def __call__(self, event: LogEvent) -> None:
        text = eventAsText(event, includeTimestamp=False)
        if text:
            sys.__stdout__.write(text + "\n")  # type: ignore[union-attr]
            sys.__stdout__.flush()  # type: ignore[union-attr]


def observer() -> ILogObserver:
    """For twistd's --logger."""
    return _Lines()
