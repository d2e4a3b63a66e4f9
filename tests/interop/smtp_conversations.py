"""Runs dialogues with a server, all at the same time, and writes down what it replies."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence

from netstack.sansio import RemoteProtocolError
from netstack.smtp.wire import Reply, ReplyReader
from tests.interop.smtp_dialogues import OWN, SECURE, Row

QUIET = 3.0
"""Seconds without an octet after which our side is closed, and a reply that has not come does not come."""
PATIENCE = 60.0
TOGETHER = 10


async def run_rows(address: str, port: int, submission: int, domain: str, rows: Sequence[Row]) -> Mapping[str, str]:
    """What a server replies to each row, by its name, the greeting and the reply to QUIT left out: codes with their
    enhanced codes, "-" where none came, "end" where it closed instead of answering QUIT, "open" where it did neither,
    "TLS" where what came was none, or was TLS and should not have been."""
    room = asyncio.Semaphore(TOGETHER)

    async def one(row: Row) -> str:
        async with room:
            return await _run(row, address, submission if row.submission else port, domain)

    found = await asyncio.gather(*(one(row) for row in rows))
    return {row.name: replies for row, replies in zip(rows, found, strict=True)}


async def _run(row: Row, address: str, port: int, domain: str) -> str:
    reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port, limit=2**20), PATIENCE)
    found: list[str] = []
    try:
        greeting = await _reply(reader, PATIENCE)
        if greeting is None or greeting.code != 220:
            return f"greeting {greeting}"
        for step in row.steps:
            if step == SECURE:
                writer.write(b"STARTTLS\r\n")
                reply = await _reply(reader, PATIENCE)
                found.append(_written(reply))
                if reply is None or reply.code != 220:
                    break
                await writer.start_tls(_whoever())
                continue
            lines = [step] if isinstance(step, str) else step
            octets = step if isinstance(step, bytes) else b"".join(f"{line}\r\n".encode("latin-1") for line in lines)
            writer.write(octets.replace(OWN.encode(), domain.encode()))
            for _ in range(1 if isinstance(step, bytes) else len(lines)):
                reply = await _reply(reader, QUIET)
                if reader.at_eof() and reply is None:
                    break
                found.append(_written(reply))
            if reader.at_eof():
                break
        writer.write(b"QUIT\r\n")
        goodbye = False
        while (reply := await _reply(reader, QUIET)) is not None:
            goodbye = reply.code == 221
            if not goodbye:
                found.append(_written(reply))
        if not goodbye:
            found.append("end" if reader.at_eof() else "open")
    except (ConnectionError, ssl.SSLError, RemoteProtocolError) as error:
        found.append("TLS" if not isinstance(error, ConnectionError) else "end")
    finally:
        writer.transport.abort()
    return " ".join(_shortened(found))


def _whoever() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _written(reply: Reply | None) -> str:
    if reply is None:
        return "-"
    return f"{reply.code}/{reply.enhanced}" if reply.enhanced else str(reply.code)


def _shortened(found: Sequence[str]) -> list[str]:
    """Replies that are the same in a row are counted."""
    shortened: list[str] = []
    count = 0
    for at, each in enumerate(found):
        count += 1
        if at + 1 == len(found) or found[at + 1] != each:
            shortened.append(each if count == 1 else f"{count}x{each}")
            count = 0
    return shortened


async def _reply(reader: asyncio.StreamReader, seconds: float) -> Reply | None:
    """The next one; None when it does not come, or none can come."""
    lines = ReplyReader(1000)
    while True:
        try:
            line = await asyncio.wait_for(reader.readuntil(b"\n"), seconds)
        except (asyncio.IncompleteReadError, TimeoutError):
            return None
        found = lines.line(line.rstrip(b"\r\n"))
        if found is not None:
            return found


def classes(replies: str) -> list[str]:
    """The first digits of replies, and how the connection ended."""
    return [word[0] if word[0].isdigit() else word for word in _words(replies)]


def codes(ours: str, theirs: str) -> list[tuple[str, str]]:
    """Replies at the same places and of the same class, up to the first that is not, whose codes differ."""
    found = []
    for one, other in zip(_words(ours), _words(theirs), strict=False):
        if one[0] != other[0]:
            break
        (code, _, enhanced), (their_code, _, their_enhanced) = one.partition("/"), other.partition("/")
        if code != their_code:
            found.append((code, their_code))
        elif enhanced and their_enhanced and enhanced != their_enhanced:
            found.append((one, other))
    return found


def _words(replies: str) -> list[str]:
    words = []
    for word in replies.split():
        count, times, reply = word.rpartition("x")
        words += [reply] * (int(count) if times else 1)
    return words
