"""netstack-upper against other people's clients: the section's own programs, nc, ncat, socat, openssl s_client."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from netstack.kernel.authority import Authority
from tests.addresses import own_address
from tests.interop.programs import need
from tests.processes import Running, running, twistd

SCRIPTS = Path(__file__).parent / "socket_programming"
NAME = "upper.someschool.edu"


@dataclass(frozen=True)
class Served:
    """Where the two servers listen, in both modes; `ca` is the file of the CA that signed their certificate."""

    upper: str
    lengths: str
    ca: Path
    process: Running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("tls")
    now = time.time()
    authority = Authority.kept(directory / "ca", lambda: now)
    certificate, key = authority.issue([NAME]).pem()
    (directory / "leaf.pem").write_bytes(certificate)
    (directory / "leaf.key").write_bytes(key)
    first, second = own_address(), own_address()
    everywhere = ("--listen=udp:12000", "--listen=tcp:12000", "--listen=tls:12001", "--idle=20", "--linger=5")
    tls = (f"--certificate={directory}/leaf.pem", f"--key={directory}/leaf.key")
    upper = twistd("netstack-upper", f"--address={first}", *everywhere, *tls)
    lengths = twistd("netstack-upper", f"--address={second}", *everywhere, *tls, "--mode=lengths")
    ready = {"ready": "answers sentences on", "count": 3}
    with running(*upper, **ready) as process, running(*lengths, **ready):
        yield Served(first, second, directory / "ca" / "ca.pem", process)


def output(*command: str, given: bytes, seconds: float = 60, held: bool = False) -> bytes:
    """What a program prints when it is given some input, which does not end before the answer when it is `held`."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        try:
            if not held:
                return program.communicate(given, seconds)[0]
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write(given)
            program.stdin.flush()
            return program.stdout.read()
        finally:
            program.kill()


@pytest.mark.parametrize(
    ("script", "stands_for", "printed"),
    [("udp_client.py", "hostname", "HELLO, WÖRLD"), ("tcp_client.py", "servername", "From Server: HELLO, WÖRLD")],
)
def test_the_sections_own_clients(served: Served, tmp_path: Path, script: str, stands_for: str, printed: str) -> None:
    """As they are printed, with the server's address where the reader puts it; they send no newline."""
    program = tmp_path / script
    program.write_text((SCRIPTS / script).read_text().replace(f"'{stands_for}'", repr(served.upper)))
    shown = output(sys.executable, "-X", "utf8", str(program), given="hello, wörld\n".encode()).decode()
    assert shown == f"Input lowercase sentence:{printed}\n"


def test_the_sections_tcp_client_in_the_other_mode(served: Served, tmp_path: Path) -> None:
    program = tmp_path / "tcp_client.py"
    program.write_text((SCRIPTS / "tcp_client.py").read_text().replace("'servername'", repr(served.lengths)))
    shown = output(sys.executable, str(program), given=b"what do you want\n")
    assert shown == b"Input lowercase sentence:From Server: 4 2 3 4\n"


def test_nc_over_tcp(served: Served) -> None:
    nc = need("nc")
    assert output(nc, "-q", "1", served.upper, "12000", given=b"what do you want?\n") == b"WHAT DO YOU WANT?\n"
    assert output(nc, "-q", "1", served.lengths, "12000", given=b"what do you want?\n") == b"4 2 3 5\n"


def test_nc_that_closes_its_side_first(served: Served) -> None:
    assert output(need("nc"), "-N", served.upper, "12000", given=b"hello") == b"HELLO"
    assert output(need("nc"), "-N", served.upper, "12000", given=b"") == b""


def test_nc_over_udp(served: Served) -> None:
    assert output(need("nc"), "-u", "-W", "1", "-w", "20", served.upper, "12000", given=b"hello\n") == b"HELLO\n"


def test_ncat(served: Served) -> None:
    assert output(need("ncat"), served.upper, "12000", given=b"hello") == b"HELLO"


def test_ncat_verifies_the_certificate(served: Served) -> None:
    ncat = need("ncat")
    tls = ("--ssl-verify", "--ssl-trustfile", str(served.ca), "--ssl-servername")
    assert output(ncat, *tls, NAME, served.upper, "12001", given=b"hello", held=True) == b"HELLO"
    assert output(ncat, *tls, "other.someschool.edu", served.upper, "12001", given=b"hello", held=True) == b""


def test_socat(served: Served) -> None:
    socat = need("socat")
    assert output(socat, "-t2", "-", f"TCP:{served.upper}:12000", given=b"hello") == b"HELLO"
    assert output(socat, "-t0.3", "-", f"UDP:{served.upper}:12000", given=b"hello") == b"HELLO"
    tls = f"OPENSSL:{served.upper}:12001,cafile={served.ca},commonname={NAME}"
    assert output(socat, "-t2", "-", tls, given=b"hello") == b"HELLO"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client(served: Served, version: str) -> None:
    client = need("openssl")
    verified = ("-CAfile", str(served.ca), "-verify_return_error", "-verify_hostname", NAME, "-servername", NAME)
    shown = output(
        client, "s_client", "-quiet", version, *verified, "-connect", f"{served.upper}:12001",
        given=b"hello\n",
    )  # fmt: skip
    assert shown == b"HELLO\n"
