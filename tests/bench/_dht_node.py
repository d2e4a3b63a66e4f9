"""A node of kademlia (PyPI) or OpenDHT (Debian) that does what its standard input says; `ring_beside` runs it.

It imports nothing of this project: OpenDHT's bindings are there for Debian's interpreter alone. A line is a JSON array: a
number, put or get or asked, a key, a value; the answer the number and what came of it. `asked` is how many requests the node
has sent to others since it was asked for that the last time.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

HOST = "127.0.0.1"
Do = Callable[[str, str, str], Awaitable[object]]


async def kademlia(port: int, through: int, name: str, copies: int) -> Do:
    """Its k is how many nodes keep a key, and how many a bucket has."""
    network: Any = importlib.import_module("kademlia.network")
    digest: Any = importlib.import_module("kademlia.utils").digest
    server = network.Server(ksize=copies, node_id=digest(name))
    await server.listen(port, HOST)
    sent = [0]
    protocol = server.protocol

    def counted(call: Any) -> Any:
        def count(*arguments: Any) -> Any:
            sent[0] += 1
            return call(*arguments)

        return count

    for each in ("ping", "find_node", "find_value", "store"):
        setattr(protocol, each, counted(getattr(protocol, each)))
    if through:
        await server.bootstrap([(HOST, through)])

    async def do(what: str, key: str, value: str) -> object:
        if what == "put":
            return bool(await server.set(key, value))
        if what == "get":
            return await server.get(key)
        asked, sent[0] = sent[0], 0
        return asked

    return do


async def opendht(port: int, through: int, name: str, copies: int) -> Do:
    """It keeps a key at eight nodes; told to, it gives keys to nodes that are closer, and asks as much as it wants."""
    dht: Any = importlib.import_module("opendht")
    config = dht.DhtConfig()
    config.setNodeId(dht.InfoHash.get(name))
    config.setMaintainStorage(True)
    config.setRateLimit(-1, -1)
    node = dht.DhtRunner()
    node.run(port=port, config=config, ipv4=HOST, ipv6="")
    if through:
        node.bootstrap(HOST, str(through))

    async def do(what: str, key: str, value: str) -> object:
        if what == "put":
            return bool(await asyncio.to_thread(node.put, dht.InfoHash.get(key), dht.Value(value.encode())))
        if what == "get":
            found = await asyncio.to_thread(node.get, dht.InfoHash.get(key))
            return found[0].data.decode() if found else None
        return sum(node.getNodeMessageStats())  # which begin anew

    return do


async def main(program: str, port: str, through: str, name: str, copies: str) -> None:
    do = await {"kademlia": kademlia, "opendht": opendht}[program](int(port), int(through), name, int(copies))
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        number, what, key, value = json.loads(line)
        try:
            answer = await do(what, key, value)
        except Exception as error:
            answer = None
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        print(json.dumps([number, answer]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
