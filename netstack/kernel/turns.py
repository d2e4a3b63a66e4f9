"""Turns of Twisted's epoll reactor without a log context for each event: a tenth of the cost of a small request."""

import errno
import sys
from functools import partial
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.python import log


def quick(reactor: Any) -> None:
    """Have an epoll reactor read and write without log contexts; any other, or one of a derived type, stays as it is.

    What goes wrong is logged with the same prefix; what is written by Twisted's old `log.msg` meanwhile has none.
    """
    if type(reactor) is EPollReactor:
        reactor.doIteration = partial(_turn, reactor)  # type: ignore[method-assign]


def _turn(reactor: Any, timeout: float | None) -> None:
    """As EPollReactor.doPoll."""
    selectables = reactor._selectables
    try:
        ready = reactor._poller.poll(-1 if timeout is None else timeout, len(selectables))
    except OSError as error:
        if error.errno == errno.EINTR:
            return
        raise
    for descriptor, event in ready:
        selectable = selectables.get(descriptor)
        if selectable is None:  # lost in this turn
            continue
        if event != EPOLLIN and event != EPOLLOUT:
            log.callWithLogger(selectable, reactor._doReadOrWrite, selectable, descriptor, event)
            continue
        try:
            why = selectable.doRead() if event == EPOLLIN else selectable.doWrite()
        except BaseException:
            why = sys.exc_info()[1]
            log.err(system=selectable.logPrefix())
        if why:
            reactor._disconnectSelectable(selectable, why, event == EPOLLIN)
