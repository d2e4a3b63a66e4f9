"""Requests, sound and damaged, through the server's engine, with llhttp as the judge of what it accepts and refuses."""

import re
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from httptools import parse_url

from netstack.http.engine import Heads
from netstack.http.events import BodyReceived, RequestEnded, RequestReceived, RequestRefused, Respond
from netstack.http.limits import HTTPLimits
from netstack.http.wire import BadMessage, Request
from netstack.sansio import Command, Event
from tests.fuzz import llhttp
from tests.fuzz.http_messages import VECTORS, Pairs, Sound, hurt, joined, pieces, sound_request
from tests.http.conversation import Server

LIMITS = HTTPLimits(head=2048, target=512, fields=20, body=4096, buffered=2048, memo=64, memo_head=512)
"""Small, so that inputs go beyond them."""
HEADS = Heads(LIMITS)


def first_line(octets: bytes) -> bytes:
    return octets.lstrip(b"\r\n").split(b"\r\n")[0]


def target(octets: bytes) -> bytes:
    return first_line(octets).split(b" ")[1]


def no_host(text: bytes) -> bool:
    """Whether it is no `uri-host [":" port]` (RFC 3986 §3.2.2), in other words than ours."""
    host, colon, port = text.rpartition(b":") if not text.endswith(b"]") else (text, b"", b"")
    host, port = (host, port) if colon else (text, b"")
    if port.strip(b"0123456789") or len(port) > 5 or int(port or 0) > 65535:
        return True
    if host.startswith(b"[") and host.endswith(b"]"):
        return bool(host[1:-1].strip(b"0123456789abcdefABCDEF:.")) or host == b"[]"
    return not host or any(octet <= 32 or octet >= 127 or octet in b'"/:<>?@[\\]^`{|}#' for octet in host)


def bad_host(octets: bytes) -> bool:
    absolute = re.match(rb"(?i)https?://([^/?#]*)", target(octets))
    return any(map(no_host, llhttp.values(octets, "host") + ([absolute[1]] if absolute else [])))


STRICTER: llhttp.Rules = {
    "RFC 9110 §7.2: no host": ("not a host with an optional port", bad_host),
    "RFC 9112 §3.2: without Host": ("needs a Host", lambda octets: not llhttp.values(octets, "host")),
    "RFC 9112 §3.2: two Hosts": ("more than one Host", lambda octets: len(llhttp.values(octets, "host")) > 1),
    "RFC 9112 §2.2: bare LF or CR": (
        "must end in CRLF", llhttp.bare
    ),
    "RFC 9112 §3: no request line": (
        "not a request line|version is missing",
        lambda octets: re.fullmatch(rb"[!-~]+ [!-~]+ HTTP/1\.[0-9]", first_line(octets)) is None,
    ),
    "RFC 9112 §3.2: form of the target": (
        'must begin with "/"|fragment|target of CONNECT',
        lambda octets: b"#" in target(octets) or target(octets)[:1] != b"/" or first_line(octets).startswith(b"CONNECT "),
    ),
    "RFC 9110 §2.5: other version": (
        "is not spoken here", lambda octets: re.search(rb" HTTP/[^1]", first_line(octets)) is not None
    ),
    "RFC 9112 §6.1: transfer coding in 1.0": (
        "HTTP/1.0 has no",
        lambda octets: first_line(octets).endswith(b"HTTP/1.0") and bool(llhttp.values(octets, "transfer-encoding")),
    ),
    "RFC 9112 §6.1: unknown transfer coding": (
        "transfer coding .* is not known",
        lambda octets: {each.lower() for each in llhttp.values(octets, "transfer-encoding")} != {b"chunked"},
    ),
    "RFC 9110 §9.3.6: CONNECT with a content": (
        "CONNECT request has no content",
        lambda octets: first_line(octets).startswith(b"CONNECT ")
        and bool(llhttp.values(octets, "content-length") or llhttp.values(octets, "transfer-encoding")),
    ),
    "RFC 9112 §7.1: chunk": ("is not the size of a chunk", llhttp.bad_chunk),
    "RFC 9110 §10.1.1: expectation": (
        "can be expected", lambda octets: {each.lower() for each in llhttp.values(octets, "expect")} != {b"100-continue"}
        or len(llhttp.values(octets, "expect")) > 1,
    ),
    "RFC 9110 §15.5.14: body": (
        "octets; 4096 are allowed|more than 4096 octets|Content-Length is too large",
        lambda octets: llhttp.too_large(octets, LIMITS.body),
    ),
    "RFC 9110 §15.5.15: target": (
        "the request (line|target) is longer", lambda octets: len(first_line(octets)) > LIMITS.target
    ),
    "RFC 6585 §5: fields": (
        "more than 20 field lines|the (head is|trailers are) longer",
        lambda octets: octets.count(b"\n") > LIMITS.fields or len(octets) > LIMITS.head,
    ),
    "RFC 9112 §7.1.1: length of extensions": ("chunk's size line is longer", lambda octets: len(octets) > LIMITS.chunk_line),
}  # fmt: skip
"""Where our own rules refuse what llhttp takes: by which rule, what is said, and whether the octets do break it."""


@dataclass
class Message:
    """A request that was accepted, and which octets it was."""

    request: Request
    start: int
    end: int | None = None
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)


class Reading:
    """What a connection makes of octets."""

    def __init__(self, late: bool) -> None:
        """`late`: requests are answered when their bodies have come, else before that."""
        self.late = late
        self.messages: list[Message] = []
        self.refused: RequestRefused | None = None
        self.fed = self.read = 0
        self.server = Server(self.answer, heads=HEADS)

    def run(self, parts: list[bytes]) -> "Reading":
        for part in parts:
            self.fed += len(part)
            self.server.receive(part)
            waiting = len(self.server.engine._buffer)
            assert self.server.closed or waiting <= LIMITS.head + len(part), f"{waiting} octets are kept"
        assert self.server.fault is None or isinstance(self.server.fault, BadMessage)
        return self

    def answer(self, event: Event) -> list[Command]:
        if isinstance(event, RequestRefused):
            self.refused = event
            return [Respond(event.status, b"")]
        here = self.fed - len(self.server.engine._buffer)
        if isinstance(event, RequestReceived):
            self.messages.append(Message(event.request, self.read))
            if self.late and (event.request.chunked or event.request.length):
                return []
            if not (event.request.chunked or event.request.length):
                self.messages[-1].end = self.read = here
            return [Respond(200, b"")]
        if isinstance(event, BodyReceived):
            self.messages[-1].body += event.data
        elif isinstance(event, RequestEnded):
            self.messages[-1].end = self.read = here
            self.messages[-1].trailers = [*event.trailers]
            return [Respond(200, b"")]
        return []


def stream(rng: Random) -> tuple[bytes, list[Sound]]:
    """Pipelined requests: one in five streams is sound, in the others one request is not."""
    parts = [sound_request(rng) for _ in range(rng.choice((1, 1, 2, 3, 4)))]
    octets = [part.octets for part in parts]
    if rng.randrange(5) == 0:
        return b"".join(octets), parts
    at = rng.randrange(len(octets))
    octets[at] = rng.choice(VECTORS) if rng.randrange(8) == 0 else hurt(rng, rng.choice((octets[at], rng.choice(VECTORS))))
    return b"".join(octets), []


def check(rng: Random, seen: Counter[str]) -> None:
    """What is accepted is the same to llhttp; what is refused is to llhttp too, or for a reason of STRICTER that holds."""
    octets, sound = stream(rng)
    reading = Reading(late=True).run(pieces(rng, octets))
    other = Reading(late=False).run(pieces(rng, octets))
    same = [(each.request.method, each.request.target, each.request.fields) for each in reading.messages]
    early = [(each.request.method, each.request.target, each.request.fields) for each in other.messages]
    assert early == same[: len(early)], f"{early} when answered at once, {same} when answered late: {octets!r}"
    for message in reading.messages:
        if message.end is not None:
            compare(octets[message.start : message.end], message, seen)
    unread = reading.messages[-1].start if reading.messages and reading.messages[-1].end is None else reading.read
    rest = octets[unread:]
    if reading.server.fault is not None:
        assert not sound, f"{reading.server.fault} for {octets!r}"
        assert reading.refused is not None
        assert reading.refused.status == reading.server.fault.code
        judge(rest, str(reading.server.fault), seen)
    elif reading.server.closed:
        seen["closed"] += 1
    else:
        judgement = llhttp.request(rest)
        assert not judgement.complete, f"a whole request waits for more: {rest!r}"
        seen["waiting" if rest else "all read"] += 1
    for message, meant in zip(reading.messages, sound, strict=False):
        assert message.request.method + " " + message.request.target == meant.start
        assert message.request.fields == joined(meant.fields), repr(meant.octets)
        assert (message.body, joined(message.trailers)) == (meant.body, joined(meant.trailers)), repr(meant.octets)
        assert message.request.keep_alive is not meant.closes, repr(meant.octets)
        seen["sound"] += 1
    if sound:
        last = next((at for at, each in enumerate(sound, 1) if each.closes), len(sound))
        assert len(reading.messages) == last, f"{len(reading.messages)} of {last} requests: {octets!r}"


def compare(octets: bytes, message: Message, seen: Counter[str]) -> None:
    """llhttp reads the same request, which ends with the same octet."""
    judgement = llhttp.request(octets)
    if judgement.spaced_extension:
        seen["white space in chunk extensions"] += 1
        return
    request = message.request
    assert judgement.whole, f"accepted, but llhttp: {judgement} for {octets!r}"
    assert (judgement.target.decode(), int(judgement.minor[2] != "0")) == (request.target, request.minor), repr(octets)
    assert joined(judgement.fields) == request.fields, repr(octets)
    assert judgement.body == message.body, repr(octets)
    assert judgement.trailers == message.trailers, repr(octets)
    if not judgement.wrong_about_the_connection:
        assert judgement.keep_alive is request.keep_alive, repr(octets)
    if request.target.startswith("/"):
        url = parse_url(request.target.encode())
        assert (url.path or b"").decode() == request.path, repr(octets)
    seen["accepted"] += 1


def judge(octets: bytes, reason: str, seen: Counter[str]) -> None:
    """What is refused breaks a rule."""
    judgement = llhttp.request(octets)
    if judgement.error and not judgement.complete:
        seen["refused by both"] += 1
        return
    llhttp.stricter(STRICTER, octets, reason, seen)
