"""Message heads of HTTP/1.0 and HTTP/1.1 to and from octets (RFC 9112 §2-§6, RFC 9110 §5).

llhttp in its strict mode reads the field lines; start lines, Host, target and framing go by the rules here, and so does
the reason that a peer is given. Whatever two parsers could understand differently is refused: bare CR or LF, obs-fold,
white space before a colon, Transfer-Encoding beside Content-Length, more than one Content-Length or Host.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from netstack.http.limits import HTTPLimits
from netstack.http.values import authority, tokens
from netstack.sansio import LocalProtocolError, RemoteProtocolError

# RFC 9110 §5.6.2: token = 1*tchar
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TOKEN = re.compile(TOKEN)
# RFC 9112 §3: request-line = method SP request-target SP HTTP-version. The target is any visible ASCII: browsers send "|".
_REQUEST_LINE = re.compile(rb"(%b) ([!-~]+) HTTP/([0-9])\.([0-9])" % TOKEN)
# RFC 9112 §4: status-line = HTTP-version SP status-code SP [ reason-phrase ]; some servers leave out the last SP too.
_STATUS_LINE = re.compile(rb"HTTP/([0-9])\.([0-9]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
# RFC 9112 §5: field-line = field-name ":" OWS field-value OWS; RFC 9110 §5.5: VCHAR, obs-text, SP and HTAB.
VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
_VALUE = re.compile(VALUE)
# RFC 9112 §3.2.2: absolute-form
_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")
_PREFIX = b"POST / HTTP/1.1\r\n"
"""llhttp is given this start line in place of the real one, which has been judged already: the fields are its part."""

REQUEST_LINE_REST = 64
"""Octets that a request line may have beside its target: method, version, spaces."""
_ONCE_IN_REQUESTS = frozenset({"content-length", "host"})
_ONCE_IN_RESPONSES = frozenset({"content-length"})

STATUS_LINES: Mapping[int, bytes] = MappingProxyType(
    {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
    | {413: b"HTTP/1.1 413 Content Too Large\r\n", 414: b"HTTP/1.1 414 URI Too Long\r\n"}
)
"""RFC 9110 §15; a server answers HTTP/1.0 clients with its own version too (§6.2)."""


def status_line(status: int) -> bytes:
    """With an empty reason phrase for a status that nobody knows (RFC 9112 §4)."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class BadMessage(RemoteProtocolError):
    """A message that is refused with the status `code`."""

    code: int

    def __init__(self, reason: str, code: int = 400) -> None:
        super().__init__(reason, code)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A request's head. Names of fields are in lower case, repeated ones joined by ", " (RFC 9110 §5.3)."""

    method: str
    target: str
    """As it was sent."""
    path: str
    """Still percent-encoded, without the query; "*" for the asterisk form."""
    query: str | None
    host: str | None
    """In lower case, from the target or else the Host field; None only in HTTP/1.0."""
    port: int | None
    minor: int
    """1 for HTTP/1.1, 0 for HTTP/1.0; 1 also for HTTP/2."""
    fields: Mapping[str, str]
    keep_alive: bool
    length: int
    """Octets of the body; meaningless when `chunked`."""
    chunked: bool
    """The body's length is known when it ends: chunked in HTTP/1.1, without Content-Length in HTTP/2."""
    expects_continue: bool
    asks_keep_alive: bool = False
    """Connection: keep-alive was sent; then the answer says how long (RFC 9112 appendix C.2.2)."""
    http2: bool = False
    scheme: str | None = None
    """Of an absolute-form target, in lower case, or of HTTP/2's :scheme; None where the connection alone says it."""

    @property
    def version(self) -> str:
        """As logs have it."""
        return "HTTP/2.0" if self.http2 else f"HTTP/1.{self.minor}"


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """A response's head."""

    status: int
    reason: str
    minor: int
    fields: Mapping[str, str]
    field_lines: Sequence[tuple[str, str]]
    """As they were sent, in order."""
    http2: bool = False

    @property
    def version(self) -> str:
        """As people write it."""
        return "HTTP/2" if self.http2 else f"HTTP/1.{self.minor}"

    @property
    def keep_alive(self) -> bool:
        """Whether the server means to keep the connection (RFC 9112 §9.3), and its framing can be trusted (§6.1)."""
        return _keeps_alive(self.fields, self.minor) and (self.minor > 0 or "transfer-encoding" not in self.fields)


class _Collector:
    """What llhttp calls."""

    __slots__ = ("pairs",)

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))


def bare_line_end(data: bytes | bytearray) -> bool:
    """Whether a line feed without its carriage return is in `data`, or a carriage return before anything else."""
    pairs = data.count(b"\r\n")
    return data.count(b"\n") != pairs or data.count(b"\r") != pairs


def parse_request(head: bytes, limits: HTTPLimits) -> Request:
    """A request from its head, the empty line included (RFC 9112 §3); raises BadMessage with the status to answer."""
    line, _, block = head.partition(b"\r\n")
    match = request_line(line, limits)
    if bare_line_end(block):
        raise bare_line_feed()
    minor = 0 if match[4] == b"0" else 1  # RFC 9110 §2.5: a higher minor version is answered as the highest one known
    pairs, complaint = _read_fields(block, limits.fields)
    fields = _join(pairs, _ONCE_IN_REQUESTS)
    method, target = match[1].decode("ascii"), match[2].decode("ascii")
    path, query, place = split_target(method, target)
    named = fields.get("host")
    if named is None and minor:
        raise BadMessage("an HTTP/1.1 request needs a Host field (RFC 9112 §3.2)")
    if named is not None:
        told = authority(named)
        if told is None:
            raise BadMessage(f"Host: {named[:80]!r} is not a host with an optional port")
        place = place or told
    length, chunked = _request_framing(fields, minor)
    if method == "CONNECT" and (length or chunked):
        raise BadMessage("a CONNECT request has no content (RFC 9110 §9.3.6)")
    options = fields.get("connection")
    asked = () if options is None else (*tokens(options),)
    if complaint is not None:
        raise BadMessage(complaint)
    expect = fields.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        raise BadMessage(f"only 100-continue can be expected, not {expect[:80]!r}", 417)
    if not chunked and length > limits.body:
        raise BadMessage(f"the body would have {length} octets; {limits.body} are allowed", 413)
    return Request(
        method, target, path, query,
        place[0] if place else None, place[1] if place else None, minor, MappingProxyType(fields),
        "close" not in asked and (minor == 1 or "keep-alive" in asked), length, chunked,
        expect is not None and minor == 1 and (chunked or length > 0),
        "keep-alive" in asked,
        scheme=None if target[0] == "/" or place is None or "://" not in target else target.partition("://")[0].lower(),
    )  # fmt: skip


def request_line(line: bytes, limits: HTTPLimits) -> re.Match[bytes]:
    """The parts of a request line without its CRLF: method, target, major, minor (RFC 9112 §3); raises BadMessage."""
    longest = limits.target + REQUEST_LINE_REST
    if bare_line_end(line[:longest]):
        raise bare_line_feed()
    if len(line) > longest:
        raise BadMessage(f"the request line is longer than {longest} octets", 414)
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise _explain_request_line(line)
    if len(match[2]) > limits.target:
        raise BadMessage(f"the request target is longer than {limits.target} octets", 414)
    if match[3] != b"1":
        raise BadMessage(f"HTTP/{match[3].decode()}.{match[4].decode()} is not spoken here; HTTP/1.0 and HTTP/1.1 are", 505)
    return match


def parse_response(head: bytes, limits: HTTPLimits) -> Response:
    """A response from its head, the empty line included (RFC 9112 §4); raises BadMessage."""
    if bare_line_end(head):
        raise bare_line_feed()
    line, _, block = head.partition(b"\r\n")
    match = _STATUS_LINE.fullmatch(line)
    if match is None or match[1] != b"1":
        raise BadMessage(f"{line[:80]!r} is not a status line of HTTP/1")
    pairs, complaint = _read_fields(block, limits.fields)
    if complaint is not None:
        raise BadMessage(complaint)
    return Response(
        int(match[3]), (match[4] or b"").decode("latin-1"), int(match[2] != b"0"),
        MappingProxyType(_join(pairs, _ONCE_IN_RESPONSES)), tuple(pairs),
    )  # fmt: skip


def body_framing(response: Response, method: str) -> int | bool | None:
    """How a response's body is delimited (RFC 9112 §6.3): its length, True for chunked, None for the connection's end."""
    if method == "HEAD" or response.status in (204, 304) or response.status < 200:
        return 0
    coding = response.fields.get("transfer-encoding")
    stated = response.fields.get("content-length")
    if coding is not None:
        if stated is not None:
            raise BadMessage("Content-Length beside Transfer-Encoding")
        if [*tokens(coding)] != ["chunked"]:
            raise BadMessage(f"transfer coding {coding[:80]!r} is not known", 501)
        return True
    return None if stated is None else content_length(stated)


def request_head(method: str, target: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """The octets of a request's head; raises LocalProtocolError for what would break the message apart."""
    if not _TOKEN.fullmatch(method.encode()) or not re.fullmatch(r"[!-~]+", target):
        raise LocalProtocolError(f"{method} {target!r} cannot be put into a request line")
    return f"{method} {target} HTTP/1.1\r\n".encode() + field_block(fields) + b"\r\n"


def field_block(fields: Iterable[tuple[str, str]]) -> bytes:
    """Field lines, each with its CRLF; raises LocalProtocolError for a name or value that is not allowed."""
    lines = []
    for name, value in fields:
        line = name.encode("latin-1"), value.encode("latin-1")
        if not _TOKEN.fullmatch(line[0]) or not _VALUE.fullmatch(line[1]):
            raise LocalProtocolError(f"field {name!r}: {value!r} has octets that are not allowed")
        lines.append(b"%b: %b\r\n" % line)
    return b"".join(lines)


def bare_line_feed() -> BadMessage:
    """The refusal that a person who typed the request by hand can act on."""
    return BadMessage(
        "Lines must end in CRLF (carriage return, line feed), and this one ends in a bare LF or holds a bare CR. "
        "If you typed the request with nc, use `nc -C` or telnet, which send CRLF; "
        r"with printf, end each line in \r\n."
    )


def read_field_lines(block: bytes, limit: int) -> list[tuple[str, str]]:
    """Field lines up to the empty one by our own grammar (RFC 9112 §5); raises BadMessage that says what is wrong.

    It reads trailers, says what llhttp does not, and is llhttp's oracle in the tests.
    """
    if not block.endswith(b"\r\n"):
        raise BadMessage("the empty line after the fields is missing")
    if block.count(b"\r\n") > limit + 1:
        raise BadMessage(f"more than {limit} field lines", 431)
    pairs = []
    for line in block.split(b"\r\n")[:-2]:
        if line[:1] in (b" ", b"\t"):
            raise BadMessage("a field continued on the next line (obs-fold) is not accepted (RFC 9112 §5.2)")
        name, colon, value = line.partition(b":")
        if not colon:
            raise BadMessage(f"the line {line[:80]!r} is not a field: it has no colon")
        if name.rstrip(b" \t") != name:
            raise BadMessage("white space between a field's name and its colon is not accepted (RFC 9112 §5.1)")
        if not _TOKEN.fullmatch(name):
            raise BadMessage(f"{name[:80]!r} is not the name of a field")
        if not _VALUE.fullmatch(value):
            raise BadMessage(f"the value of {name[:80].decode()} has control characters")
        pairs.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))
    return pairs


def _read_fields(block: bytes, limit: int) -> tuple[list[tuple[str, str]], str | None]:
    """The field lines, and llhttp's complaint when only it has one; raises BadMessage where we know better why."""
    if block.count(b"\r\n") > limit + 1:
        raise BadMessage(f"more than {limit} field lines", 431)
    collector = _Collector()
    try:
        HttpRequestParser(collector).feed_data(_PREFIX + block)
    except HttpParserUpgrade:
        pass  # RFC 9110 §7.8: a server may ignore Upgrade
    except HttpParserError as error:
        return read_field_lines(block, limit), str(error)
    return collector.pairs, None


def _join(pairs: Iterable[tuple[str, str]], once: frozenset[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        name = name.lower()
        if name not in fields:
            fields[name] = value
        elif name in once:
            raise BadMessage(f"more than one {name.title()} field")
        else:
            fields[name] += ("; " if name == "cookie" else ", ") + value
    return fields


def _explain_request_line(line: bytes) -> BadMessage:
    words = line.split(b" ")
    if len(words) == 2 and words[0] in (b"GET", b"HEAD", b"POST"):
        return BadMessage(f"the version is missing: {words[0].decode()} TARGET HTTP/1.1 was expected")
    if len(words) == 3 and re.fullmatch(rb"HTTP/[0-9]+(\.[0-9]+)?", words[2]) and words[2][:6] not in (b"HTTP/1", b"HTTP/0"):
        return BadMessage(f"{words[2][:20].decode()} is not spoken here; HTTP/1.0 and HTTP/1.1 are", 505)
    return BadMessage("the first line is not a request line: METHOD SP TARGET SP HTTP/1.1 was expected")


def split_target(method: str, target: str) -> tuple[str, str | None, tuple[str, int | None] | None]:
    """Path, query and the authority in the target (RFC 9112 §3.2)."""
    place = None
    if method == "CONNECT":
        place = authority(target)
        if place is None or place[1] is None:
            raise BadMessage("the target of CONNECT is a host with a port (RFC 9112 §3.2.3)")
        return target, None, place
    if target[0] != "/":
        if target == "*" and method == "OPTIONS":
            return "*", None, None
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            raise BadMessage('the request target must begin with "/", or be an absolute http URL (RFC 9112 §3.2)')
        place = authority(match[2])
        if place is None:
            raise BadMessage(f"{match[2][:80]!r} is not a host with an optional port")
        if method == "OPTIONS" and not match[3]:
            return "*", None, place  # for the server as a whole: RFC 9112 §3.2.4
        target = match[3] if match[3].startswith("/") else "/" + match[3]
    elif "#" in target:
        raise BadMessage("a fragment is not part of a request target (RFC 9112 §3.2)")
    path, question, query = target.partition("?")
    return path, query if question else None, place


def _request_framing(fields: Mapping[str, str], minor: int) -> tuple[int, bool]:
    """Length of the body, or that it is chunked (RFC 9112 §6.3); refuses what another parser could read differently."""
    coding = fields.get("transfer-encoding")
    stated = fields.get("content-length")
    if coding is None:
        return (0 if stated is None else content_length(stated)), False
    if stated is not None:
        raise BadMessage("Content-Length beside Transfer-Encoding is not accepted (RFC 9112 §6.3)")
    if not minor:
        raise BadMessage("HTTP/1.0 has no Transfer-Encoding (RFC 9112 §6.1)")
    codings = [*tokens(coding)]
    if codings == ["chunked"]:
        return 0, True
    if not codings or codings[-1] != "chunked" or codings.count("chunked") > 1:
        raise BadMessage("the last transfer coding of a request, and no other, must be chunked (RFC 9112 §6.3)")
    raise BadMessage(f"transfer coding {codings[0][:80]!r} is not known here", 501)


def content_length(stated: str) -> int:
    """The value of Content-Length (RFC 9110 §8.6); raises BadMessage."""
    if not _DIGITS.fullmatch(stated):
        raise BadMessage(f"Content-Length: {stated[:80]!r} is not a number of octets")
    digits = stated.lstrip("0") or "0"
    if len(digits) > 18:
        raise BadMessage("Content-Length is too large", 413)
    return int(digits)


def _keeps_alive(fields: Mapping[str, str], minor: int) -> bool:
    """RFC 9112 §9.3."""
    options = fields.get("connection")
    if options is None:
        return minor == 1
    asked = [*tokens(options)]
    return "close" not in asked and (minor == 1 or "keep-alive" in asked)
