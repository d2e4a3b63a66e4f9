"""Responses, sound and damaged, through the client's engine, with llhttp as the judge of what it accepts and refuses."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from netstack.http.engine import ClientEngine
from netstack.http.events import BodyReceived, InterimReceived, ResponseEnded, ResponseReceived, SendRequest
from netstack.http.limits import HTTPLimits
from netstack.http.wire import BadMessage, Response
from netstack.sansio import Close, Event, Now
from tests.fuzz import llhttp
from tests.fuzz.http_messages import VECTORS, Pairs, Sound, hurt, joined, pieces, sound_response

LIMITS = HTTPLimits(head=2048, fields=20, body=4096)
"""Small, so that inputs go beyond them."""
NOW = Now(0.0, 0.0)


@dataclass
class Answer:
    """A response that was accepted, and which octets it was; interim ones have no end of their own."""

    response: Response
    method: str
    start: int
    end: int | None = None
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    reusable: bool = False
    until_close: bool = False


class Asking:
    """What a connection with requests under way makes of octets, and of their end."""

    def __init__(self, methods: Iterable[str]) -> None:
        self.engine = ClientEngine(LIMITS)
        for method in methods:
            self.engine.send(SendRequest(method, "/", [("Host", "a.test")]), NOW)
        self.answers: list[Answer] = []
        self.fault: BadMessage | None = None
        self.closed = self.ended = False
        self.fed = self.read = 0

    def run(self, parts: list[bytes]) -> "Asking":
        for part in parts:
            self.fed += len(part)
            self.take(self.engine.receive(part, NOW))
            waiting = len(self.engine._buffer)
            assert self.closed or waiting <= LIMITS.head + len(part), f"{waiting} octets are kept"
        self.ended = True
        self.take(self.engine.eof(NOW))
        return self

    def take(self, events: Iterable[Event]) -> None:
        if self.closed:
            return
        try:
            for event in events:
                if isinstance(event, Close):
                    self.closed = True
                    return
                self.keep(event)
        except BadMessage as error:
            self.closed = True
            self.fault = error

    def keep(self, event: Event) -> None:
        here = self.fed - len(self.engine._buffer)
        if isinstance(event, InterimReceived):
            self.answers.append(Answer(event.response, "GET", self.read, here))
            self.read = here
        elif isinstance(event, ResponseReceived):
            self.answers.append(Answer(event.response, event.method, self.read))
        elif isinstance(event, BodyReceived):
            self.answers[-1].body += event.data
        elif isinstance(event, ResponseEnded):
            last = self.answers[-1]
            last.end = self.read = here
            last.trailers, last.reusable, last.until_close = [*event.trailers], event.reusable, self.ended


METHODS = ("GET", "GET", "GET", "HEAD", "POST", "OPTIONS")


def stream(rng: Random) -> tuple[list[str], bytes, list[Sound]]:
    """Methods of requests, and responses to them: one in five streams is sound, in the others one response is not."""
    methods = [rng.choice(METHODS) for _ in range(rng.choice((1, 1, 2, 3)))]
    parts = [sound_response(rng, method) for method in methods]
    octets = [part.octets for part in parts]
    if rng.randrange(5) == 0:
        last = next((at for at, each in enumerate(parts, 1) if each.closes), len(parts))
        return methods[:last], b"".join(octets[:last]), parts[:last]
    at = rng.randrange(len(octets))
    octets[at] = hurt(rng, rng.choice((octets[at], octets[at], octets[at], rng.choice(VECTORS))))
    return methods, b"".join(octets), []


def check(rng: Random, seen: Counter[str]) -> None:
    """What is accepted is the same to llhttp; what is refused is to llhttp too, or for a reason of STRICTER that holds."""
    methods, octets, sound = stream(rng)
    asking = Asking(methods).run(pieces(rng, octets))
    whole = Asking(methods).run([octets])
    assert [each.response.status for each in asking.answers] == [each.response.status for each in whole.answers], repr(
        octets
    )
    assert (asking.fault is None) is (whole.fault is None), f"{asking.fault}, {whole.fault}: {octets!r}"
    for answer in asking.answers:
        if answer.end is not None:
            compare(octets[answer.start : answer.end], answer, seen)
    if asking.fault is not None:
        unread = asking.answers[-1].start if asking.answers and asking.answers[-1].end is None else asking.read
        judge(octets[unread:], str(asking.fault), seen)
    else:
        assert asking.closed, "neither closed nor refused"
        seen["closed"] += 1
    finals = [each for each in asking.answers if each.response.status >= 200]
    for answer, meant in zip(finals, sound, strict=False):
        assert (answer.response.status, answer.response.fields) == (int(meant.start), joined(meant.fields)), repr(octets)
        assert (answer.body, joined(answer.trailers)) == (meant.body, joined(meant.trailers)), repr(octets)
        assert answer.reusable is not meant.closes, repr(octets)
        seen["sound"] += 1
    assert not sound or len(finals) == len(sound), f"{len(finals)} of {len(sound)} responses: {asking.fault} {octets!r}"


def compare(octets: bytes, answer: Answer, seen: Counter[str]) -> None:
    """llhttp reads the same response, which ends with the same octet."""
    response, judgement = answer.response, llhttp.response(octets)
    if judgement.spaced_extension:
        seen["white space in chunk extensions"] += 1
        return
    if answer.method == "HEAD" and response.status >= 200:  # llhttp cannot be told
        assert not judgement.in_head, f"{judgement} for {octets!r}"
        assert octets.endswith(b"\r\n\r\n"), repr(octets)
    elif answer.until_close:
        assert not judgement.error, f"{judgement} for {octets!r}"
        assert not judgement.in_head, f"{judgement} for {octets!r}"
    else:
        assert judgement.whole, f"accepted, but llhttp: {judgement} for {octets!r}"
        if response.status >= 200 and not judgement.wrong_about_the_connection:
            assert judgement.keep_alive is answer.reusable, f"{judgement} for {octets!r}"
    assert (judgement.status, judgement.reason.decode("latin-1")) == (response.status, response.reason), repr(octets)
    assert joined(judgement.fields) == response.fields, repr(octets)
    assert (judgement.body, judgement.trailers) == (answer.body, answer.trailers), repr(octets)
    seen["accepted"] += 1


def judge(octets: bytes, reason: str, seen: Counter[str]) -> None:
    """What is refused breaks a rule."""
    judgement = llhttp.response(octets)
    if judgement.error and not judgement.complete:
        seen["refused by both"] += 1
        return
    llhttp.stricter(STRICTER, octets, reason, seen)


def status_line(octets: bytes) -> bool:
    return re.match(rb"HTTP/1\.[0-9] [1-5][0-9][0-9]( [\t -~\x80-\xff]*)?\r\n", octets) is not None


STRICTER: llhttp.Rules = {
    "RFC 9112 §4: no status line": ("not a status line", lambda octets: not status_line(octets)),
    "RFC 9112 §2.2: bare LF or CR": ("must end in CRLF", llhttp.bare),
    "RFC 9112 §8: the connection ended": (
        "closed the connection", lambda octets: not llhttp.response(octets).complete or not octets.endswith(b"\r\n\r\n")
    ),
    "RFC 9112 §9.2: not asked for": ("was not asked for", lambda octets: True),
    "RFC 9112 §6.1: unknown transfer coding": (
        "(?i)transfer.(en)?coding.* is not known|invalid `Transfer-Encoding`",
        lambda octets: [each.lower() for each in llhttp.values(octets, "transfer-encoding")] != [b"chunked"],
    ),
    "a tab after the coding, which it refuses in requests": (
        "Request has invalid `Transfer-Encoding`",
        lambda octets: re.search(rb"(?i)chunked *\t[ \t]*\r\n", octets) is not None,
    ),
    "RFC 9110 §6.5.1: trailer": (
        "is no trailer", lambda octets: re.search(rb"(?is)\r\n\r\n.*\ntransfer-encoding:", octets) is not None
    ),
    "RFC 9112 §7.1: chunk": ("is not the size of a chunk", llhttp.bad_chunk),
    "RFC 9112 §7.1.1: length of extensions": (
        "chunk's size line is longer", lambda octets: len(octets) > LIMITS.chunk_line
    ),
    "too large a body": (
        "octets; 4096 are allowed|more than 4096 octets|longer than allowed",
        lambda octets: llhttp.too_large(octets, LIMITS.body) or len(octets) > LIMITS.body,
    ),
    "too large a head": (
        "more than 20 field lines|the (response's head is|trailers are) longer",
        lambda octets: octets.count(b"\n") > LIMITS.fields or len(octets) > LIMITS.head,
    ),
}  # fmt: skip
"""Where our own rules refuse what llhttp takes: by which rule, what is said, and whether the octets do break it."""
