"""Other people's programs and libraries that interop tests run."""

import os
import shutil
from importlib import import_module
from typing import Any

import pytest


def need(program: str) -> str:
    """The path of a program. Without it the test is skipped and says why; under CI=true it fails."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not installed, and CI must run every interop test")
        pytest.skip(f"{program} is not installed")
    return path


def need_library(name: str) -> Any:
    """A module of somebody else's client. Without it the tests of a file are skipped; under CI=true they fail."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        if os.environ.get("CI") == "true":
            raise
        return pytest.skip(f"{name} is not installed", allow_module_level=True)
