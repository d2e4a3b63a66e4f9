"""Sockets of several processes on one port (SO_REUSEPORT): the kernel gives each flow to one of them."""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from netstack.kernel.listen import Endpoint, ListenError, refusal


class SharedPorts:
    """The sockets of one worker: bound by the parent, inherited by the worker, which listens on them.

    The parent does not listen. While a worker is down nothing comes to its ports: the parent closes them and binds others
    for the next one, where it may; ports that only root may bind are kept, and what comes meanwhile waits.
    """

    def __init__(self, name: str, endpoints: Sequence[Endpoint]) -> None:
        self.name = name
        self.endpoints = list(endpoints)
        self._sockets: dict[str, socket.socket] = {}

    def bind(self) -> None:
        """Bind what is not bound; raises ListenError."""
        for endpoint in self.endpoints:
            if str(endpoint) not in self._sockets:
                self._sockets[str(endpoint)] = _bound(endpoint, self.name, shared=True)

    def release(self) -> None:
        """The worker has ended."""
        kept = {str(each) for each in self.endpoints if not _may_bind(each.port)}
        for text in [text for text in self._sockets if text not in kept]:
            self._sockets.pop(text).close()

    def close(self) -> None:
        """Give them all back."""
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()

    def descriptors(self) -> dict[str, int]:
        """By endpoint."""
        return {text: each.fileno() for text, each in self._sockets.items()}


def claim(endpoints: Sequence[Endpoint], name: str) -> None:
    """Raises ListenError unless nobody else has these ports: sharing would hide another server of the same user."""
    for endpoint in endpoints:
        _bound(endpoint, name, shared=False).close()


def _bound(endpoint: Endpoint, name: str, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.interface else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM if endpoint.kind == "udp" else socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        if endpoint.kind != "udp":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found = socket.getaddrinfo(endpoint.interface or None, endpoint.port, family, flags=socket.AI_PASSIVE)
        made.bind(found[0][4])
    except OSError as error:
        made.close()
        raise ListenError(f"cannot listen on {endpoint} for {name}: {refusal(error)}") from None
    return made


def _may_bind(port: int) -> bool:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        first = 1024
    return port >= first or os.geteuid() == 0


def shareable() -> bool:
    """Whether this system spreads flows over the sockets of one port; others give all to one of them."""
    return sys.platform == "linux"
