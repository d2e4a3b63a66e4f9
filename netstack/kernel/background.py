"""What is changed of the interpreter so that the reactor goes on: beside long work in a thread, among very many objects."""

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERVAL = 0.0005
"""Seconds that a thread waits for the interpreter; by itself it is ten times as long, after each system call."""


class _Interpreter:
    """The switches of this process, counted: the first work sets them, the last one sets them back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works = 0
        self._collects = True
        self._interval = 0.005

    def begin(self) -> None:
        with self._lock:
            if self._works == 0:
                self._collects, self._interval = gc.isenabled(), sys.getswitchinterval()
                gc.disable()  # a million new objects, none of them garbage, lead to pauses of seconds
                sys.setswitchinterval(INTERVAL)
            self._works += 1

    def end(self) -> None:
        with self._lock:
            self._works -= 1
            if self._works == 0:
                sys.setswitchinterval(self._interval)
                if self._collects:
                    gc.enable()


_interpreter = _Interpreter()
_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
_untrack.argtypes, _untrack.restype = (ctypes.py_object,), None


def untracked(thing: object) -> None:
    """The search for cycles passes over it: for objects that are there by the million and would stop the reactor.

    It must be in no cycle when the last of its owners lets go of it.
    """
    _untrack(thing)


@contextmanager
def background() -> Iterator[None]:
    """Around work that makes many objects that stay, and no garbage to speak of."""
    _interpreter.begin()
    try:
        yield
    finally:
        _interpreter.end()
