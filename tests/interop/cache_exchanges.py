"""Rows of the conformance table on sockets: an origin and clients on both sides of somebody's cache."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.cache.conformance import Seen, body_of, problem, reply_to
from tests.cache.steps import Row, Step, written

PATIENCE = 10.0
"""Seconds for one response."""
AT_ONCE = 150
"""Rows under way."""


@dataclass
class Message:
    """A message as it was read: start line, fields in lower case with lines joined, body."""

    start: str
    fields: Mapping[str, str]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.start.split(" ", 2)[1])


class Origin:
    """Answers each request as the step says that its row is at."""

    def __init__(self) -> None:
        self._at: dict[str, tuple[Row, int]] = {}
        self._seen: dict[str, list[Mapping[str, str]]] = {}

    def enter(self, row: Row, number: int) -> list[Mapping[str, str]]:
        """From now on a row is at this step; the requests that come are put into the list."""
        self._at[row.name] = row, number
        self._seen[row.name] = []
        return self._seen[row.name]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while (message := await read_message(reader)) is not None and await self._answer(message, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, message: Message, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        method, target, version = message.start.split(" ")
        name = target.partition("://")[2].partition("/")[2] if "://" in target else target[1:]
        name = name.partition("?")[0].partition("/")[0]
        row, number = self._at[name]
        self._seen[name].append(message.fields)
        reply = reply_to(row.steps[number], message.fields)
        if reply.dead:
            return False
        await asyncio.sleep(reply.delay)
        body = body_of(name, number, reply)
        if reply.interim is not None and version == "HTTP/1.1":
            writer.write(
                b"HTTP/1.1 %d Interim\r\n%b\r\n" % (reply.interim[0], block(written(reply.interim[1], time.time())))
            )
            await writer.drain()
        lines = [(key, value.replace("%ROW%", name)) for key, value in written(reply.fields, time.time())]
        chunked = reply.chunked and version == "HTTP/1.1"
        if chunked:
            lines.append(("Transfer-Encoding", "chunked"))
        elif reply.status not in (204, 304) and not reply.chunked:
            lines.append(("Content-Length", str(len(body))))
        going = version == "HTTP/1.1" and "close" not in message.fields.get("connection", "").lower()
        going = going and reply.cut is None
        if not going and not any(key.lower() == "connection" for key, _ in lines):
            lines.append(("Connection", "close"))
        head = b"HTTP/1.1 %d Made\r\n%b\r\n" % (reply.status, block(lines))
        sent = body if reply.cut is None else body[: reply.cut]
        if method == "HEAD":
            sent = b""
        elif chunked:
            sent = b"%x\r\n%b\r\n" % (len(sent), sent)
            if reply.cut is None:
                sent += b"0\r\n%b\r\n" % block(written(reply.trailers, time.time()))
        writer.write(head + sent)
        await writer.drain()
        return going


def block(lines: Sequence[tuple[str, str]]) -> bytes:
    """Field lines."""
    return "".join(f"{name}: {value}\r\n" for name, value in lines).encode("latin-1")


async def read_message(reader: asyncio.StreamReader, method: str = "") -> Message | None:
    """The next message, 1xx responses noted; `method` is that of the request when it is a response."""
    interim: list[int] = []
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return None
        start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            key, value = name.lower(), value.strip()
            fields[key] = f"{fields[key]}, {value}" if key in fields else value
        message = Message(start, fields, interim=interim)
        if not method or message.status >= 200:
            break
        interim.append(message.status)
    if method and (method == "HEAD" or message.status in (204, 304)):
        return message
    if "chunked" in fields.get("transfer-encoding", "").lower():
        while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
            message.body += await reader.readexactly(size)
            await reader.readuntil(b"\n")
        while (await reader.readuntil(b"\n")).strip():
            pass
    elif "content-length" in fields:
        message.body = await reader.readexactly(int(fields["content-length"]))
    elif method:
        message.body = await reader.read()
    return message


async def ask(place: tuple[str, int], step: Step, row: Row) -> Message:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection(*place)
    try:
        lines = [("Host", step.host), *written(step.fields, time.time())]
        if step.content:
            lines.append(("Content-Length", str(len(step.content))))
        writer.write(f"{step.method} /{row.name}{step.path} HTTP/1.1\r\n".encode() + block(lines) + b"\r\n" + step.content)
        message = await asyncio.wait_for(read_message(reader, step.method), PATIENCE)
        if message is None:
            raise ConnectionError("closed without a response")
        return message
    finally:
        writer.close()


async def run_row(place: tuple[str, int], origin: Origin, row: Row) -> str | None:
    """What is wrong in a row."""
    for number, step in enumerate(row.steps):
        await asyncio.sleep(step.wait)
        requests = origin.enter(row, number)
        try:
            message = await ask(place, step, row)
            seen = Seen(requests, message.status, message.fields, message.body)
            seen.interim = message.interim
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError) as error:
            seen = Seen(requests, 0, {"error": repr(error)}, b"")
        if step.settle:
            await asyncio.sleep(step.settle)
        if wrong := problem(row, number, seen):
            return wrong
    return None


async def run_rows(place: tuple[str, int], origin: Origin, rows: Sequence[Row]) -> dict[str, str]:
    """What is wrong, by the names of the rows."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(row: Row) -> tuple[str, str | None]:
        async with gate:
            return row.name, await run_row(place, origin, row)

    # rows that wait begin first
    ordered = sorted(rows, key=lambda row: -sum(step.wait for step in row.steps))
    return {name: wrong for name, wrong in await asyncio.gather(*map(one, ordered)) if wrong is not None}
