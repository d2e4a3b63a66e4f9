"""netstack-origin, nginx and Apache side by side: the same requests, the same files, every difference explained."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.addresses import own_address
from tests.http.conversation import statuses
from tests.interop.http_requests import APACHE, REQUESTS
from tests.interop.http_site import NAME, PORT, Served, serving, write
from tests.interop.programs import need
from tests.processes import wait_until

MODULES = Path("/usr/lib/apache2/modules")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("origin")) as served:
        yield served


@pytest.fixture(scope="module")
def nginx(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An nginx that serves the same files; its address."""
    program = need("nginx")
    directory = tmp_path_factory.mktemp("nginx")
    address = own_address()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (directory / "nginx.conf").write_text(
        ("user root;" if os.geteuid() == 0 else "")
        + f"""
        daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
        events {{}}
        http {{
            access_log off; lingering_timeout 1s;
            {" ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)}
            server {{ listen {address}:{PORT}; root {served.root}; index index.html home.index; client_max_body_size 1m; }}
        }}
        """
    )
    with started(address, program, "-c", f"{directory}/nginx.conf", "-e", f"{directory}/error.log"):
        yield address


@pytest.fixture(scope="module")
def apache() -> Iterator[str]:
    """An Apache that serves files like these, where its workers, who give up their rights, can read them; its address."""
    program = need("apache2")
    address = own_address()
    modules = ("mpm_event", "authz_core", "dir", "mime")
    with TemporaryDirectory() as name:
        directory, root = Path(name), Path(name, "site")
        directory.chmod(0o755)
        root.mkdir()
        write(root)
        lines = [
            *(f"LoadModule {each}_module {MODULES}/mod_{each}.so" for each in modules),
            *(["User www-data", "Group www-data"] if os.geteuid() == 0 else []),
            f"ServerRoot {name}", f"DefaultRuntimeDir {name}", f"PidFile {name}/pid", f"ErrorLog {name}/error.log",
            f"TypesConfig {name}/types", f"DocumentRoot {root}", f"Listen {address}:{PORT}", f"ServerName {NAME}",
            "DirectoryIndex index.html home.index", "LimitRequestBody 1048576", "TraceEnable off", "Timeout 5",
            "KeepAliveTimeout 2", "<Directory />", "Require all granted", "</Directory>",
        ]  # fmt: skip
        (directory / "types").write_text("text/html html\n")
        (directory / "httpd.conf").write_text("\n".join(lines) + "\n")
        with started(address, program, "-f", f"{directory}/httpd.conf", "-DFOREGROUND"):
            yield address


@contextmanager
def started(address: str, *command: str) -> Iterator[None]:
    """A server that accepts connections at an address."""
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: accepts(process, address), f"{command[0]} listens")
            yield
        finally:
            process.terminate()


def accepts(process: "subprocess.Popen[bytes]", address: str) -> bool:
    """Whether a process that goes on listens there; raises OSError where it does not."""
    assert process.poll() is None, f"{process.args!r} did not start"
    socket.create_connection((address, PORT), 5).close()
    return True


def ask(address: str, request: bytes) -> list[int]:
    """The statuses of everything that is answered on one connection whose sending side is closed at once."""
    with socket.create_connection((address, PORT), 20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
        except ConnectionResetError:
            pass
    return statuses(found)


@pytest.mark.parametrize(("what", "request_octets", "ours", "theirs", "why"), REQUESTS, ids=[row[0] for row in REQUESTS])
def test_ours_and_nginx(
    served: Served, nginx: str, what: str, request_octets: bytes, ours: list[int], theirs: list[int], why: str
) -> None:
    assert (ask(served.address, request_octets), ask(nginx, request_octets)) == (ours, theirs)
    assert (ours != theirs) is bool(why)


@pytest.mark.parametrize(("what", "request_octets", "ours"), [row[:3] for row in REQUESTS], ids=[row[0] for row in REQUESTS])
def test_ours_and_apache(apache: str, what: str, request_octets: bytes, ours: list[int]) -> None:
    theirs, why = APACHE.get(what, (ours, ""))
    assert ask(apache, request_octets) == theirs
    assert (ours != theirs) is bool(why)


def test_every_difference_is_one_of_the_list() -> None:
    assert set(APACHE) <= {row[0] for row in REQUESTS}
    assert len(REQUESTS) >= 60
