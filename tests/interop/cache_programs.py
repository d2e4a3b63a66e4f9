"""Squid, Varnish and nginx as Debian installs them, made reverse proxies in front of one origin."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.programs import need
from tests.processes import running, twistd, wait_until

PORT = 8080
ELSEWHERE = {"TZ": "Asia/Tokyo"}
"""The time zone of the machine must not matter (RFC 9111 §4.2)."""

SQUID = """
http_port {address}:{port} accel vhost
cache_peer {origin[0]} parent {origin[1]} 0 no-query originserver no-digest
never_direct allow all
http_access allow all
visible_hostname squid.test
pid_filename {directory}/pid
access_log none
cache_log {directory}/cache.log
coredump_dir {directory}
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
refresh_pattern ^ftp: 1440 20% 10080
refresh_pattern -i (/cgi-bin/|\\?) 0 0% 0
refresh_pattern . 0 20% 4320
"""
NGINX = """
{user} daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off; lingering_timeout 1s;
    {paths}
    proxy_cache_path {directory}/cache keys_zone=cache:10m;
    server {{
        listen {address}:{port};
        location / {{
            proxy_pass http://{origin[0]}:{origin[1]}; proxy_set_header Host $http_host;
            proxy_cache cache; proxy_cache_key $scheme$http_host$request_uri; proxy_cache_revalidate on;
        }}
    }}
}}
"""


@contextmanager
def squid(directory: Path, address: str, origin: tuple[str, int]) -> Iterator[None]:
    """A Squid in front of an origin."""
    program = need("squid")
    directory.mkdir()
    directory.chmod(0o777)  # it gives up its rights
    (directory / "squid.conf").write_text(SQUID.format(address=address, port=PORT, origin=origin, directory=directory))
    name = "netstack" + address.replace(".", "x")  # of its shared memory, which two Squids must not share
    with _started(address, program, "-N", "-n", name, "-f", f"{directory}/squid.conf"):
        yield


@contextmanager
def varnish(directory: Path, address: str, origin: tuple[str, int]) -> Iterator[None]:
    """A Varnish with its built-in VCL. By default it serves what was stale for less than ten seconds, whatever the origin
    says; without that more of it can be seen."""
    program = need("varnishd")
    command = (program, "-F", "-j", "none", "-n", str(directory), "-a", f"{address}:{PORT}")
    with _started(address, *command, "-b", f"{origin[0]}:{origin[1]}", "-s", "malloc,64m", "-p", "default_grace=0"):
        yield


@contextmanager
def nginx(directory: Path, address: str, origin: tuple[str, int]) -> Iterator[None]:
    """An nginx with a cache, keyed also by Host, that validates."""
    program = need("nginx")
    directory.mkdir()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    user = "user root;" if os.geteuid() == 0 else ""
    paths = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    (directory / "nginx.conf").write_text(
        NGINX.format(user=user, address=address, port=PORT, origin=origin, directory=directory, paths=paths)
    )
    with _started(address, program, "-c", f"{directory}/nginx.conf", "-e", f"{directory}/error.log"):
        yield


@contextmanager
def _started(address: str, *command: str) -> Iterator[None]:
    """A server that accepts connections; ended by its process id."""
    environment = {**os.environ, **ELSEWHERE}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        try:
            wait_until(lambda: _accepts(process, address), f"{command[0]} listens")
            yield
        finally:
            process.terminate()


def _accepts(process: "subprocess.Popen[bytes]", address: str) -> bool:
    assert process.poll() is None, f"{process.args!r} did not start"
    socket.create_connection((address, PORT), 5).close()
    return True


@contextmanager
def ours(directory: Path, address: str, origin: tuple[str, int]) -> Iterator[None]:
    """A netstack-cache in front of an origin, as the edge of a CDN."""
    directory.mkdir()
    command = twistd(
        "netstack-cache", f"--address={address}", f"--listen=tcp:{PORT}", "--no-forward", "--targets=CDN-Cache-Control",
        f"--origin=a.test,b.test=http://{origin[0]}:{origin[1]}", f"--state={directory}", "--no-access-log",
        "--upstream-per-host=1000",
    )  # fmt: skip
    with running(*command, ready="is a Web cache", **ELSEWHERE):
        yield
