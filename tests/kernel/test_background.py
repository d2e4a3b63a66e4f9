"""What long work changes of the interpreter, and sets back."""

import gc
import sys

import pytest

from netstack.kernel.background import INTERVAL, background


def now() -> tuple[bool, float]:
    return gc.isenabled(), round(sys.getswitchinterval(), 6)


@pytest.mark.parametrize("collects", [True, False])
def test_the_last_of_several_works_sets_all_back(collects: bool) -> None:
    whole = now()
    try:
        if not collects:
            gc.disable()
        before = now()
        with background():
            assert now() == (False, INTERVAL)
            with pytest.raises(ValueError, match="failed"), background():
                raise ValueError("failed")
            assert now() == (False, INTERVAL)
        assert now() == before
    finally:
        if whole[0]:
            gc.enable()
