"""A site on disk and an origin that serves it, for other people's clients."""

import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netstack.kernel.authority import Authority
from tests.addresses import own_address
from tests.processes import Running, running, twistd

NAME = "www.someschool.edu"
PORT, TLS_PORT = 8080, 8443
PAGE = "/somedepartment/home.index"
LARGE = bytes(range(256)) * 40_000


@dataclass(frozen=True)
class Served:
    """Where the origin listens; `ca` is the file of the CA that signed its certificate."""

    address: str
    root: Path
    ca: Path
    process: Running

    @property
    def plain(self) -> str:
        """The start of its URLs without a name."""
        return f"http://{self.address}:{PORT}"


def png(shade: int) -> bytes:
    """A picture of 8 by 8 pixels."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    lines = zlib.compress((b"\0" + bytes([shade]) * 8) * 8)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", lines) + part(b"IEND", b"")


def write(root: Path) -> None:
    """The site's files."""
    department = root / "somedepartment"
    (department / "images").mkdir(parents=True)
    (root / "nothing").mkdir()
    (root / "index.html").write_text("<!DOCTYPE html><title>Some School</title><p>Welcome.</p>\n")
    for number in range(10):
        (department / "images" / f"{number}.png").write_bytes(png(number * 25))
    images = "".join(f'<img src="images/{number}.png" alt="{number}">\n' for number in range(10))
    (department / "home.index").write_text(f"<!DOCTYPE html><title>Some Department</title>\n{images}")
    (department / "index.html").write_text("<!DOCTYPE html><title>Index</title>\n")
    (root / "large.bin").write_bytes(LARGE)
    (root / "a b.txt").write_text("a space\n")
    (root / "empty.txt").write_text("")


@contextmanager
def serving(directory: Path, *options: str) -> Iterator[Served]:
    """The origin as a process of its own, plain and TLS, with an access log; nothing wrong may be in its log."""
    root = directory / "site"
    root.mkdir()
    write(root)
    now = time.time()
    authority = Authority.kept(directory / "ca", lambda: now)
    certificate, key = authority.issue([NAME]).pem()
    (directory / "leaf.pem").write_bytes(certificate)
    (directory / "leaf.key").write_bytes(key)
    address = own_address()
    command = twistd(
        "netstack-origin", f"--address={address}", f"--listen=tcp:{PORT}", f"--listen=tls:{TLS_PORT}",
        f"--site={NAME}={root}", f"--certificate={directory}/leaf.pem", f"--key={directory}/leaf.key",
        "--idle-seconds=3", "--head-seconds=2", *options,
    )  # fmt: skip
    with running(*command, ready="serves HTTP on", count=2) as process:
        yield Served(address, root, directory / "ca" / "ca.pem", process)
