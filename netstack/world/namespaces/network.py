"""The wire between namespaces: one bridge in the supervisor's namespace, a veth pair to each host."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute

BRIDGE = "world"
INTERFACE = "eth0"
_LOOPBACK_INDEX = 1


@contextmanager
def _netlink() -> Iterator[Any]:
    route = IPRoute()
    try:
        yield route
    finally:
        route.close()


def wire(pids: Sequence[int]) -> None:
    """Give the namespace of each process an `eth0` on one bridge. Cost: two netlink exchanges for a host."""
    with _netlink() as route:
        route.link("set", index=_LOOPBACK_INDEX, state="up")
        route.link("add", ifname=BRIDGE, kind="bridge")
        (bridge,) = route.link_lookup(ifname=BRIDGE)
        route.link("set", index=bridge, state="up")
        for number, pid in enumerate(pids):
            name = f"host{number}"
            route.link("add", ifname=name, kind="veth", peer={"ifname": INTERFACE, "net_ns_pid": pid})
            (port,) = route.link_lookup(ifname=name)
            route.link("set", index=port, master=bridge, state="up")


def configure(addresses: Sequence[str], prefix: int) -> None:
    """Inside a host's namespace: loopback up, the host's addresses on `eth0`, the first one as its source."""
    with _netlink() as route:
        route.link("set", index=_LOOPBACK_INDEX, state="up")
        (eth0,) = route.link_lookup(ifname=INTERFACE)
        for address in addresses:
            route.addr("add", index=eth0, address=address, prefixlen=prefix)
        route.link("set", index=eth0, state="up")
