"""The environment of `netstack exec` on loopback: a CA bundle, curl's `connect-to` lines, programs that know the names."""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netstack.cli import wrapper
from netstack.world.control.paths import make_private

CA_VARIABLES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


def environment(view: Mapping[str, Any], directory: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Write what the programs need into `directory` and return their environment.

    `view` is the control verb `environment`: host, address, resolver, offset, names, ca (a path), world.
    """
    make_private(directory.parent)
    make_private(directory)
    table = {key: view[key] for key in ("address", "resolver", "offset", "names", "ca")}
    _write(directory / "table.json", json.dumps(table))
    _write(directory / ".curlrc", curl_configuration(view))
    programs = directory / "bin"
    make_private(programs)
    for name in wrapper.PROGRAMS:
        command = [sys.executable, "-I", "-S", wrapper.__file__, name]
        _write(programs / name, f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', 0o700)
    changed = on_host(view, inherited)
    changed["CURL_HOME"] = str(directory)
    changed["NETSTACK_TABLE"] = str(directory / "table.json")
    others = [folder for folder in inherited.get("PATH", os.defpath).split(":") if not wrapper.is_ours(folder)]
    changed["PATH"] = ":".join([str(programs), *others])
    return changed


def on_host(view: Mapping[str, Any], inherited: Mapping[str, str]) -> dict[str, str]:
    """The part that every substrate with real programs needs: whom to trust, no proxy, who and where one is."""
    changed = dict(inherited)
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        changed.pop(variable, None)  # a proxy of the machine's own network knows no name of this world
    changed.update(dict.fromkeys(CA_VARIABLES, view["ca"]))
    changed["NETSTACK_NAME"] = view["world"]
    changed["NETSTACK_HOST"] = view["host"]
    return changed


def curl_configuration(view: Mapping[str, Any]) -> str:
    """A .curlrc: where each name's standard ports are, the CA, and the host's own address as the source."""
    lines = [f'cacert = "{view["ca"]}"', f'interface = "{view["address"]}"']
    offset = view["offset"]
    for name, addresses in sorted(view["names"].items()):
        for port in (80, 443):
            lines.append(f'connect-to = "{name}:{port}:{addresses[0]}:{port + offset}"')
        for port in (80 + offset, 443 + offset) if offset else ():
            lines.append(f'connect-to = "{name}:{port}:{addresses[0]}:{port}"')
        lines.append(f'connect-to = "{name}::{addresses[0]}:"')  # any other port: refused there, not an unknown name
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write whole or not at all: another `exec` may be reading."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.replace(path)
