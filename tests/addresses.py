"""Loopback addresses of one test's own, so that tests that run at once can all use the standard ports."""

import os
from itertools import count

_numbers = count()


def own_address() -> str:
    """Another address of 127/8 at every call, also in another process of the same run."""
    number = next(_numbers)
    return f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}.{1 + number % 254}"
