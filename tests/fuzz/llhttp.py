"""llhttp, the parser of Node.js, as a judge of single messages: through httptools, strict as it is by default."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

_REQUEST_LINE = re.compile(rb"((?:\r?\n)*)([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \r\n]+) HTTP/1\.([0-9])\r\n")
_OTHER_METHOD = ("Invalid method encountered", "Expected space after method")
_STATUS_LINE = re.compile(rb"HTTP/1\.([2-9]) ")
_HEAD = re.compile(rb"(?:\r?\n)*(?:(?!\r?\n)[^\n]+\n)*")
_UPGRADE = re.compile(rb"^(u)pgrade(?=[ \t]*:)", re.IGNORECASE | re.MULTILINE)
_EXTENSIONS = (
    "Invalid character in chunk size", "Invalid character in chunk extensions",
    "Invalid character in chunk extensions name", "Invalid character in chunk extensions value",
)  # fmt: skip
_SPACED_EXTENSION = re.compile(rb"[ \t][;=]|[;=][ \t]")
Rules = Mapping[str, tuple[str, Callable[[bytes], bool]]]
"""Name of a rule -> what is said of octets that break it, as a regular expression, and whether some do."""
Pairs = list[tuple[str, str]]


@dataclass
class Judgement:
    """What it makes of some octets."""

    octets: bytes
    error: str = ""
    """Why it refuses them."""
    begun: int = 0
    complete: int = 0
    early: bool = False
    """A message was complete before the last octet."""
    target: bytes = b""
    reason: bytes = b""
    status: int = 0
    minor: str = ""
    keep_alive: bool = False
    fields: Pairs = field(default_factory=list)
    trailers: Pairs = field(default_factory=list)
    body: bytes = b""
    in_head: bool = True
    keeps_alive: Callable[[], bool] = bool

    # What llhttp calls.

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_status(self, part: bytes) -> None:
        self.reason += part

    def on_header(self, name: bytes, value: bytes) -> None:
        pair = name.decode("latin-1"), value.decode("latin-1").strip(" \t")
        (self.fields if self.in_head else self.trailers).append(pair)

    def on_headers_complete(self) -> None:
        self.in_head = False

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.complete += 1
        self.keep_alive = self.keeps_alive()

    @property
    def spaced_extension(self) -> bool:
        """It refuses white space in the extension of a chunk, which is bad and has to be read (RFC 9112 §7.1.1)."""
        return self.error in _EXTENSIONS and _SPACED_EXTENSION.search(self.octets) is not None

    @property
    def wrong_about_the_connection(self) -> bool:
        """It lets trailers speak for the connection (RFC 9110 §6.5.1: they do not), and in HTTP/1.0 `keep-alive` weighs
        more than `close` to it (RFC 9112 §9.3: close comes first).
        """
        options = [value.lower() for name, value in self.fields if name.lower() == "connection"]
        both = self.minor == "1.0" and "close" in ",".join(options) and "keep-alive" in ",".join(options)
        return both or any(name.lower() == "connection" for name, _ in self.trailers)

    @property
    def whole(self) -> bool:
        """The octets are one message, which ends with the last of them."""
        return not self.error and self.begun == self.complete == 1 and not self.early


def request(octets: bytes) -> Judgement:
    """Its judgement of a request. What it is not made for is put in terms that it knows, which frame a message the same:
    methods of its list, minor versions 0 and 1, no Upgrade (RFC 9110 §7.8: a server may ignore it).
    """
    judgement = _feed(HttpRequestParser, octets)
    match = _REQUEST_LINE.match(octets)
    if match and (judgement.error in _OTHER_METHOD or match[2] in (b"CONNECT", b"PRI") or match[4] > b"1"):
        target = b"/" if match[2] == b"CONNECT" else match[3]
        line = b"%bPOST %b HTTP/1.%b\r\n" % (match[1], target, min(match[4], b"1"))
        judgement = _feed(HttpRequestParser, line + octets[match.end() :])
        if match[2] == b"CONNECT":
            judgement.target = match[3]
    return judgement


def response(octets: bytes) -> Judgement:
    """Its judgement of a response to GET, in the same way."""
    if match := _STATUS_LINE.match(octets):
        octets = b"HTTP/1.1 " + octets[match.end() :]
    return _feed(HttpResponseParser, octets)


def _feed(parser: Callable[[Judgement], HttpRequestParser | HttpResponseParser], octets: bytes) -> Judgement:
    head = _HEAD.match(octets)
    end = head.end() if head else 0
    octets = _UPGRADE.sub(rb"\1~gr|d^", octets[:end]) + octets[end:]
    judgement = Judgement(octets)
    made = parser(judgement)
    judgement.keeps_alive = made.should_keep_alive
    try:
        made.feed_data(octets[:-1])
        judgement.early = judgement.complete > 0
        made.feed_data(octets[-1:])
    except HttpParserUpgrade:
        judgement.error = "upgrade"
    except HttpParserError as error:
        judgement.error = str(error)
    judgement.minor = made.get_http_version()
    if isinstance(made, HttpResponseParser):
        judgement.status = made.get_status_code()
    judgement.fields = _restored(judgement.fields)
    judgement.trailers = _restored(judgement.trailers)
    return judgement


def _restored(pairs: Pairs) -> Pairs:
    return [("upgrade" if re.fullmatch(r"(?i)u~gr\|d\^", name) else name, value) for name, value in pairs]


def stricter(rules: Rules, octets: bytes, reason: str, seen: Counter[str]) -> None:
    """What llhttp takes and we refuse, for `reason`, breaks the rule that the reason is about."""
    about = {name: holds for name, (said, holds) in rules.items() if re.search(said, reason)}
    assert about, f"llhttp takes what was refused, {reason!r}: {octets!r}"
    broken = next((name for name, holds in about.items() if holds(octets)), None)
    assert broken is not None, f"{reason!r} is not so: {octets!r}"
    seen[broken] += 1


def values(octets: bytes, name: str) -> list[bytes]:
    """Of the first request's fields with that name."""
    head = octets.lstrip(b"\r\n").split(b"\r\n\r\n")[0]
    return [each.strip(b" \t") for each in re.findall(rb"(?i)\r\n%b:([^\r]*)" % name.encode(), head)]


def bare(octets: bytes) -> bool:
    """Whether there is a line feed or carriage return without the other."""
    return re.search(rb"\r(?!\n)|(?<!\r)\n", octets) is not None


def too_large(octets: bytes, limit: int) -> bool:
    """Whether a body is said to have more octets than `limit`, at once or in chunks."""
    stated = [int(each) for each in values(octets, "content-length") if each.isdigit()]
    chunks = [int(each, 16) for each in re.findall(rb"\n([0-9A-Fa-f]+)[;\r \t]", octets)]
    return max(stated, default=0) > limit or sum(chunks) > limit


def bad_chunk(octets: bytes) -> bool:
    """A size of more than 16 digits; an extension without a value or a name, or whose value goes on in quotes."""
    return bool(re.search(rb'\n[0-9A-Fa-f]{17,}|[;=][ \t]*[;=\r]|;[^\r"]*=[^\r";= \t]+"', octets))
