"""Debian packages that exclude each other, downloaded and unpacked beside the system: `python tests/interop/debian.py`.

Nothing of them is installed. CI downloads them before the tests; elsewhere the first test that needs them does.
"""

import os
import subprocess
from pathlib import Path

MAIL_SERVERS = ("postfix", "sasl2-bin", "exim4-base", "exim4-daemon-light", "opensmtpd")


def cache() -> Path:
    """Where they are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "netstack-tests" / "debian"


def unpacked(package: str) -> Path:
    """The directory that holds a package's files; raises CalledProcessError, FileNotFoundError where it cannot be had."""
    found = cache() / package
    if not found.is_dir():
        found.parent.mkdir(parents=True, exist_ok=True)
        partial = found.with_suffix(".partial")
        partial.mkdir(exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", package], cwd=partial, check=True, capture_output=True)
        [archive] = partial.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, partial], check=True)
        archive.unlink()
        partial.chmod(0o755)
        partial.rename(found)
    return found


if __name__ == "__main__":
    for each in MAIL_SERVERS:
        print(unpacked(each))
