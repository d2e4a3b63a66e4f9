"""A world's CA and its hosts' leaves on the real disk: made once, kept between runs, issued again only when they must be.

`directory`/ca holds the CA; `directory`/hosts/NAME/tls holds a host's leaf, its key and a stamp that says what it is for.
The CA's key is read only when something has to be issued, and dropped at once.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509

from netstack.kernel.authority import Authority, Leaf, TLSError
from netstack.kernel.tls import HostTLS

RENEW = 30 * 86400
"""Seconds before its end from which a leaf is issued anew."""


class Certificates:
    """The certificates of one world."""

    def __init__(self, directory: Path, wall: Callable[[], float], world: str) -> None:
        self.directory = directory
        self.file = directory / "ca" / "ca.pem"
        """The CA's certificate, for clients to trust."""
        self._wall = wall
        self._world = world
        self._trust: tuple[x509.Certificate, ...] = ()
        self._pem = b""
        self._authority: Authority | None = None

    @property
    def pem(self) -> bytes:
        """The CA's certificate; the CA is made if there is none. Raises TLSError when it is damaged."""
        if not self._pem:
            if not self.file.exists():
                self._open()
            self._pem = self.file.read_bytes()
        return self._pem

    def issue(self, wanted: Iterable[tuple[str, tuple[str, ...]]]) -> int:
        """Leaves for hosts and the names that they must carry, where none is at hand; how many were made."""
        made = 0
        authority = sha256(self.pem).hexdigest()
        for host, names in wanted:
            if not names:
                continue
            folder = self._folder(host)
            if self._valid(folder, names, authority):
                continue
            leaf = self._open().issue(names)
            certificate, key = leaf.pem()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            end = int(leaf.certificate.not_valid_after_utc.timestamp())
            _write(folder / "leaf.key", key)
            _write(folder / "leaf.pem", certificate)
            _write(folder / "stamp", _stamp(names, authority, end))
            made += 1
        if self._authority is not None:
            self._authority.drop_key()
            self._authority = None
        return made

    def tls(self, host: str, reactor: Any, anchored: bool = False) -> HostTLS:
        """The identity of a host that was issued one, and its trust in the CA; raises TLSError.

        `anchored`: it sends the CA's certificate after its own.
        """
        folder = self._folder(host)
        leaves = [Leaf.from_files(folder / "leaf.pem", folder / "leaf.key")] if (folder / "leaf.pem").exists() else []
        if anchored:
            leaves = [replace(leaf, chain=self.trust) for leaf in leaves]
        return HostTLS(reactor, self._wall, leaves, self.trust)

    @property
    def trust(self) -> tuple[x509.Certificate, ...]:
        """The CA's certificate, read once."""
        if not self._trust:
            try:
                self._trust = tuple(x509.load_pem_x509_certificates(self.pem))
            except ValueError as error:
                raise TLSError(f"{self.file}: no PEM certificate: {error}") from error
        return self._trust

    def _folder(self, host: str) -> Path:
        return self.directory / "hosts" / host / "tls"

    def _open(self) -> Authority:
        if self._authority is None:
            self._authority = Authority.kept(self.directory / "ca", self._wall, f"netstack world {self._world}")
        return self._authority

    def _valid(self, folder: Path, names: tuple[str, ...], authority: str) -> bool:
        try:
            stamp = (folder / "stamp").read_bytes()
            end = int(stamp.rpartition(b"\n")[2])
        except (OSError, ValueError):
            return False
        return stamp == _stamp(names, authority, end) and self._wall() < end - RENEW


def _stamp(names: tuple[str, ...], authority: str, end: int) -> bytes:
    return f"{' '.join(names)}\n{authority}\n{end}".encode()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all; not synced, for what is lost is issued anew."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
