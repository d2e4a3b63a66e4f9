"""Whether this kernel lets us make user namespaces."""

import os
import subprocess
import sys

import pytest

from netstack.world.namespaces.linux import CLONE_NEWUSER


def allowed() -> bool:
    """Asked in a process of its own, for it cannot come back."""
    code = f"from netstack.world.namespaces import linux; linux.unshare({CLONE_NEWUSER})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


needs_namespaces = pytest.mark.skipif(
    os.environ.get("CI") != "true" and not allowed(), reason="the kernel does not allow user namespaces"
)
"""Under CI=true nothing is skipped: what needs namespaces fails without them."""
