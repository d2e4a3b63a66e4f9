"""Sound and damaged messages of HTTP/1 from one seed."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzz.garbage import damaged
from tests.http import vectors

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Sound:
    """A message as it was meant."""

    octets: bytes
    start: str
    """The request's method and target, the response's status."""
    fields: Pairs
    body: bytes = b""
    trailers: Sequence[tuple[str, str]] = ()
    closes: bool = False
    """The connection ends after it."""


FIELDS = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"), ("Accept", "*/*"),
    ("Accept-Language", "en-US,en;q=0.5"), ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Upgrade-Insecure-Requests", "1"), ("Referer", "http://a.test/?q=\xe9"), ("Cookie", "a=1; b=2"), ("Cookie", "c=3"),
    ("Cache-Control", "max-age=0"), ("If-None-Match", '"x", W/"y"'), ("Range", "bytes=0-1,5-"), ("TE", "trailers"),
    ("Authorization", "Basic YTpi"), ("X-Empty", ""), ("x", "\t"), ("Expect", "100-continue"), ("Via", "1.1 a"),
    ("X-Long", "y" * 300), ("Set-Cookie", "a=1, b"), ("Upgrade", "h2c"), ("Connection", "upgrade, http2-settings"),
    ("!#$%&'*+-.^_`|~", ":"), ("Content-Type", "text/plain"), ("Content-Lengths", "7"), ("Transfer-Encodings", "chunked"),
    ("Host-", "b.test"), ("Keep-Alive", "timeout=5"),
)  # fmt: skip
TARGETS = (
    "/", "/index.html", "/a/b?c=d&e", "/?", "/%2e%2e/%00", "/a|b\"<>^`{}\\", "//x//", "/;a=b", "http://b.test/x?y",
    "https://[::1]:8443/", "HTTP://B.test:80", "http://b.test?q", "/" + "t" * 300,
)  # fmt: skip
METHODS = ("GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW", "M-SEARCH", "get")
SPACE = ("", " ", " ", " ", "\t", " \t ")
EXTENSIONS = ("", "", "", ";a", ";a=b", ';a="b;\\"c"', ";a;b=1")


def _line(rng: Random, name: str, value: str) -> bytes:
    name = rng.choice((name, name, name.lower(), name.upper()))
    return f"{name}:{rng.choice(SPACE)}{value}{rng.choice(SPACE[:4])}\r\n".encode("latin-1")


def _chunked(rng: Random, body: bytes, trailers: Pairs) -> bytes:
    out = b""
    while body:
        size = rng.randint(1, len(body))
        digits = rng.choice((f"{size:x}", f"{size:X}", f"{size:06x}"))
        out += f"{digits}{rng.choice(EXTENSIONS)}\r\n".encode() + body[:size] + b"\r\n"
        body = body[size:]
    out += rng.choice((b"0", b"000")) + rng.choice(EXTENSIONS).encode() + b"\r\n"
    return out + b"".join(_line(rng, *pair) for pair in trailers) + b"\r\n"


def _content(rng: Random) -> bytes:
    return rng.choice((b"hello", b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n", rng.randbytes(rng.randrange(1, 200)), b"\r\n\r\n"))


def sound_request(rng: Random) -> Sound:
    """One that everybody understands alike."""
    minor = rng.choice((1, 1, 1, 1, 0))
    method, target = rng.choice(METHODS), rng.choice(TARGETS)
    fields = rng.sample(FIELDS, rng.choice((0, 1, 3, 10)))
    if minor or rng.randrange(2):
        fields.insert(rng.randrange(len(fields) + 1), ("Host", rng.choice(("a.test", "A.test:8080", "[::1]", "a.test."))))
    closes = not minor
    if rng.randrange(6) == 0:
        option = rng.choice(("close", "keep-alive", "x, Close", "Keep-Alive, x"))
        fields.append(("Connection", option))
        closes = "close" in option.lower() if minor else "keep" not in option.lower()
    body, trailers, framed = b"", [], b""
    kind = rng.randrange(5)
    if kind == 0 and minor:
        body = framed = b"" if rng.randrange(4) == 0 else _content(rng)
        trailers = rng.sample(FIELDS[:6], 2) if rng.randrange(3) == 0 else []
        framed = _chunked(rng, body, trailers)
        fields.insert(rng.randrange(len(fields) + 1), ("Transfer-Encoding", rng.choice(("chunked", "Chunked"))))
    elif kind == 1:
        body = framed = _content(rng)
        fields.insert(rng.randrange(len(fields) + 1), ("Content-Length", rng.choice(("%d", "%04d")) % len(body)))
    elif kind == 2:
        fields.append(("Content-Length", "0"))
    line = f"{method} {target} HTTP/1.{minor}\r\n".encode()
    head = line + b"".join(_line(rng, *pair) for pair in fields) + b"\r\n"
    return Sound(head + framed, f"{method} {target}", fields, body, trailers, closes)


STATUSES = (
    "200 OK",
    "200",
    "200 ",
    "404 Not Found",
    "500 caf\xe9",
    "206 Partial Content",
    "301 Moved",
    "304 Not Modified",
    "204 x",
)


def sound_response(rng: Random, method: str) -> Sound:
    """A response to a request of that method; one in ten has an end only when the connection has."""
    minor = rng.choice((1, 1, 1, 1, 0))
    status = rng.choice(STATUSES)
    fields = [pair for pair in rng.sample(FIELDS, rng.choice((0, 1, 3, 8))) if pair[0] not in ("Connection", "Upgrade")]
    closes = not minor
    if rng.randrange(8) == 0:
        fields.append(("Connection", "close"))
        closes = True
    empty = method == "HEAD" or status[:3] in ("204", "304")
    body, trailers, framed = b"", [], b""
    kind = rng.randrange(10)
    if kind < 4 and minor:
        body = b"" if rng.randrange(4) == 0 else _content(rng)
        trailers = rng.sample(FIELDS[:6], 2) if rng.randrange(3) == 0 else []
        framed = _chunked(rng, body, trailers)
        fields.append(("Transfer-Encoding", "chunked"))
    elif kind < 9:
        body = framed = b"" if rng.randrange(4) == 0 else _content(rng)
        fields.append(("Content-Length", str(len(body))))
    elif not empty:
        body = framed = _content(rng)
        closes = True
    if empty:
        body, trailers, framed = b"", [], b""
    line = f"HTTP/1.{minor} {status}\r\n".encode("latin-1")
    head = line + b"".join(_line(rng, *pair) for pair in fields) + b"\r\n"
    interim = rng.choice((b"", b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"))
    return Sound(interim + head + framed, status[:3], fields, body, trailers, closes)


LINES = (
    b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: 5, 5", b"Content-Length: +5", b"Content-Length:",
    b"Content-Length : 5", b"Content-Length\t: 5", b"Content-Length: 0x5", b"Content-Length: 5 5", b"Content-Length: -0",
    b"Content-Length: 99999999999999999999999", b"Content-Length: 18446744073709551621", b"Content-Length: 4097",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding:", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked;q=1", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding : chunked",
    b" Transfer-Encoding: chunked", b"transfer-encoding:chunked,", b'Transfer-Encoding: "chunked"',
    b"Transfer_Encoding: chunked", b"Transfer-Encoding: ,chunked", b"\tchunked", b" folded",
    b"Transfer-Encoding: chunked\rX: y", b"Transfer-Encoding: chunked\nX: y", b"Host: b.test", b"Host:", b"Host: a b",
    b"Host: a/b", b"Connection: close", b"Connection: keep-alive", b"Connection: content-length",
    b"Connection: keep-alive, close", b"Connection:,, close ,", b"Upgrade: websocket", b"Expect: 100-continue",
    b"Expect: 200-x", b"X: a\0b", b"X: \x7f", b": empty", b"no colon", b"X\0: y", b"caf\xe9: x", b"a b: c", b"", b"\r",
    b"0", b"5", b"5;a b", b'5;a="', b"5;", b"5 ; a = b", b"-1", b"0x5", b"FFFFFFFFFFFFFFFF", b"100000000",
    b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"HTTP/1.1 200 OK", b"HTTP/1.1 101 x", b"HTTP/1.1 100 x", b"X: " + b"z" * 3000,
)  # fmt: skip
"""Put among the lines of a message: most are ways in which one request was smuggled in another (RFC 9112 §11.2)."""
WORDS = (
    b"0", b"1", b"5", b"-1", b"+5", b"0x5", b"5_0", b"99999999999999999999", b"chunked", b"CHUNKED", b"identity",
    b"close", b"keep-alive", b"HTTP", b"http", b"HTTP/1.1", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"1.1", b"GET",
    b"CONNECT", b"PRI", b"*", b"/", b"http://x", b"a:443", b"Host", b"Content-Length", b"Transfer-Encoding",
    b"Connection", b"Upgrade", b"200", b"204", b"304", b"100", b"101", b"999", b" ", b"  ", b"\t", b"\r", b"\n", b"\r\n",
    b"\r\n\r\n", b"\n\n", b"\0", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xff", b"\xc2\xa0", b":", b";", b",", b"=", b'"',
    b"\\", b"#", b"?", b"@", b"%", b"a" * 600,
)  # fmt: skip
_WORD = re.compile(rb"[A-Za-z0-9_.-]+|.", re.DOTALL)


def of_lines(rng: Random, octets: bytes) -> bytes:
    """Lines taken away, doubled, exchanged, put in, ended otherwise."""
    lines = octets.split(b"\r\n")
    at = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        case 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3 | 4:
            lines.insert(at, rng.choice(LINES))
        case 5:
            end = rng.choice((b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n\r\n", b" \r\n", b""))
            return b"\r\n".join(lines[: at + 1]) + end + b"\r\n".join(lines[at + 1 :])
    return b"\r\n".join(lines)


def of_words(rng: Random, octets: bytes) -> bytes:
    """A word taken away, doubled, put in or exchanged for another."""
    words = _WORD.findall(octets)
    if not words:
        return rng.choice(WORDS)
    at = rng.randrange(len(words))
    match rng.randrange(5):
        case 0:
            del words[at]
        case 1:
            words.insert(at, words[at])
        case 2:
            words.insert(at, rng.choice(WORDS))
        case 3:
            words[at] = words[at].swapcase()
        case 4:
            words[at] = rng.choice(WORDS)
    return b"".join(words)


DAMAGES: tuple[Callable[[Random, bytes], bytes], ...] = (damaged, of_lines, of_lines, of_words, of_words)
VECTORS = tuple(
    row[1]
    for table in (vectors.GOOD, vectors.BAD, vectors.GOOD_BODIES, vectors.BAD_BODIES)
    for row in table
    if len(row[1]) < 2000
)


def hurt(rng: Random, octets: bytes) -> bytes:
    """Once, twice or three times in these ways."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        octets = rng.choice(DAMAGES)(rng, octets)
    return octets


def pieces(rng: Random, octets: bytes) -> list[bytes]:
    """In one, in a few or octet by octet."""
    if rng.randrange(60) == 0:
        return [octets[at : at + 1] for at in range(len(octets))]
    cuts = sorted(rng.randrange(len(octets) + 1) for _ in range(rng.choice((0, 1, 1, 2, 5))))
    return [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]


def joined(pairs: Pairs) -> dict[str, str]:
    """RFC 9110 §5.3."""
    fields: dict[str, str] = {}
    for name, value in pairs:
        name = name.lower()
        value = value.strip(" \t")
        between = "; " if name == "cookie" else ", "
        fields[name] = fields[name] + between + value if name in fields else value
    return fields
