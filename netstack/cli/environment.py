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

CURL_PORTS = (80, 443, 25, 465, 587)
PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
CA_VARIABLES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


def environment(view: Mapping[str, Any], directory: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Write what the programs need into `directory` and return their environment.

    `view` is the control verb `environment`: host, address, resolver, proxy, offset, ports, names, ca (a path), world.
    """
    make_private(directory.parent)
    make_private(directory)
    table = {key: view[key] for key in ("address", "resolver", "offset", "ports", "names", "ca", "proxy")}
    _write(directory / "table.json", json.dumps(table))
    _write(directory / ".curlrc", curl_configuration(view))
    programs = directory / "bin"
    make_private(programs)
    for name in wrapper.PROGRAMS:
        command = [sys.executable, "-I", "-S", wrapper.__file__, name]
        _write(programs / name, f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', 0o700)
    changed = on_host(view, inherited, by_name=False)
    changed["CURL_HOME"] = str(directory)
    changed["NETSTACK_TABLE"] = str(directory / "table.json")
    others = [folder for folder in inherited.get("PATH", os.defpath).split(":") if not wrapper.is_ours(folder)]
    changed["PATH"] = ":".join([str(programs), *others])
    return changed


def on_host(view: Mapping[str, Any], inherited: Mapping[str, str], by_name: bool = True) -> dict[str, str]:
    """The part that every substrate with real programs needs: whom to trust, the site's proxy, who and where one is.

    `by_name`: programs resolve the names of the world, the proxy's too.
    """
    changed = dict(inherited)
    for variable in (*PROXY_VARIABLES, "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        changed.pop(variable, None)  # a proxy of the machine's own network knows no name of this world
    proxy = view["proxy"]
    if proxy is not None:
        place = f"http://{proxy['host' if by_name else 'address']}:{proxy['port']}"
        changed.update(dict.fromkeys(PROXY_VARIABLES, place))
    changed.update(dict.fromkeys(CA_VARIABLES, view["ca"]))
    changed["NETSTACK_NAME"] = view["world"]
    changed["NETSTACK_HOST"] = view["host"]
    return changed


def curl_configuration(view: Mapping[str, Any]) -> str:
    """A .curlrc: where each name's standard ports are, the CA, and the host's own address as the source.

    With a proxy it has addresses alone, for requests that go past the proxy: curl would ask it for tunnels to `connect-to`.
    """
    lines = [f'cacert = "{view["ca"]}"', f'interface = "{view["address"]}"']
    offset = view["offset"]
    if view["proxy"] is not None:
        ports = dict.fromkeys(port + shift for shift in (0, offset) for port in CURL_PORTS)
        lines += [f'resolve = "{name}:{port}:{each[0]}"' for name, each in sorted(view["names"].items()) for port in ports]
        return "\n".join(lines) + "\n"
    for name, addresses in sorted(view["names"].items()):
        for port in CURL_PORTS:
            lines.append(f'connect-to = "{name}:{port}:{addresses[0]}:{port + offset}"')
        for port in [port + offset for port in CURL_PORTS] if offset else ():
            lines.append(f'connect-to = "{name}:{port}:{addresses[0]}:{port}"')
        lines.append(f'connect-to = "{name}::{addresses[0]}:"')  # any other port: refused there, not an unknown name
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write whole or not at all: another `exec` may be reading."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.replace(path)
