"""Other people's programs that interop tests run."""

import os
import shutil

import pytest


def need(program: str) -> str:
    """The path of a program. Without it the test is skipped and says why; under CI=true it fails."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not installed, and CI must run every interop test")
        pytest.skip(f"{program} is not installed")
    return path
