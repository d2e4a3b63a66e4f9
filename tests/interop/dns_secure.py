"""A CA and leaves on the disk, for other people's programs and ours as servers over TLS."""

import time
from pathlib import Path

from netstack.kernel.authority import Authority

NAME = "dns.umass.edu"


class Trust:
    """Files in a directory: `ca`, `certificate` and `key` of a name, and `other`, a CA that signed nothing here."""

    def __init__(self, directory: Path, name: str = NAME) -> None:
        authority = Authority.kept(directory / "ca", time.time)
        self.ca = str(directory / "ca" / "ca.pem")
        Authority.kept(directory / "other", time.time)
        self.other = str(directory / "other" / "ca.pem")
        self.certificate, self.key = str(directory / "leaf.pem"), str(directory / "leaf.key")
        for path, octets in zip((self.certificate, self.key), authority.issue([name]).pem(), strict=True):
            Path(path).write_bytes(octets)
