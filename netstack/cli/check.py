"""`netstack check`: what this machine has of what netstack needs, and what each lack costs."""

import argparse
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Literal

from netstack.cli import render
from netstack.cli.errors import FAIL, PASS, WARNINGS

Verdict = Literal["ok", "warning", "missing"]
REQUIRED = {
    "twisted": "Twisted",
    "OpenSSL": "pyOpenSSL",
    "service_identity": "service-identity",
    "cryptography": "cryptography",
    "prometheus_client": "prometheus-client",
    "dns": "dnspython",
    "h2": "h2",
    "hpack": "hpack",
    "httptools": "httptools",
    "jinja2": "Jinja2",
    "rich": "rich",
}
OPTIONAL = {"pyroute2": "netstack[namespaces]: hosts in namespaces", "matplotlib": "netstack[plots]: plots of labs"}
PROGRAMS = {
    "dig": "walks through the DNS by hand",
    "curl": "fetching pages by hand",
    "telnet": "typing a request by hand",
    "nc": "typing a request by hand",
    "chromium": "looking at pages in a browser",
    "tshark": "reading captures on a terminal",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    about: str


def run(options: argparse.Namespace) -> int:
    """0 when all is there, 3 when something optional is missing, 1 when `up` cannot work."""
    from netstack.world.loopback import PORT_OFFSET, standard_ports_are_free

    offset = options.port_offset
    if offset is None:
        offset = 0 if standard_ports_are_free("127.254.254.254") else PORT_OFFSET
    found = [*python(), *programs(), *sockets(offset), *namespaces()]
    code = FAIL if any(finding.verdict == "missing" for finding in found) else PASS
    if code == PASS and any(finding.verdict == "warning" for finding in found):
        code = WARNINGS
    if options.json:
        render.print_json({"findings": [asdict(finding) for finding in found], "exit": code})
        return code
    signs = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "missing": "[red]missing[/]"}
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in found:
        table.add_row(signs[finding.verdict], escape(finding.what), escape(finding.about))
    render.console().print(table)
    return code


def python() -> Iterator[Finding]:
    """The interpreter and its packages."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(f"Python {version}", "ok" if sys.version_info >= (3, 11) else "missing", "3.11 or later is needed")
    lacking = [package for module, package in REQUIRED.items() if find_spec(module) is None]
    about = f"pip install {' '.join(lacking)}" if lacking else f"{len(REQUIRED)} packages"
    yield Finding("Python packages", "missing" if lacking else "ok", about)
    for module, about in OPTIONAL.items():
        there = find_spec(module) is not None
        install = "" if there else f"; {sys.executable} -m pip install {module}"
        yield Finding(f"Python package {module}", "ok" if there else "warning", about + install)


def programs() -> Iterator[Finding]:
    """Other people's clients."""
    for program, about in PROGRAMS.items():
        path = shutil.which(program)
        yield Finding(program, "ok" if path else "warning", path or f"not installed; for {about}")


def sockets(offset: int) -> Iterator[Finding]:
    """Whether the addresses and ports of a loopback world can be bound."""
    for kind, number, port in (("udp", socket.SOCK_DGRAM, 53 + offset), ("tcp", socket.SOCK_STREAM, 80 + offset)):
        with socket.socket(socket.AF_INET, number) as found:
            try:
                found.bind(("127.254.254.254", port))
            except OSError as error:
                hint = "; try --port-offset 10000" if error.errno == 13 else ""
                yield Finding(f"{kind} port {port} on 127.x.y.z", "missing", f"{error.strerror}{hint}")
            else:
                yield Finding(f"{kind} port {port} on 127.x.y.z", "ok", f"port offset {offset}")


def namespaces() -> Iterator[Finding]:
    """Whether this user can make network namespaces."""
    unshare = shutil.which("unshare")
    command = ["unshare", "--net", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    works = False
    if unshare:
        try:
            works = subprocess.run([*command, "true"], capture_output=True, timeout=10).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            works = False
    about = "hosts can have namespaces of their own" if works else "not allowed here; loopback and simulated need none"
    yield Finding("network namespaces", "ok" if works else "warning", about)
