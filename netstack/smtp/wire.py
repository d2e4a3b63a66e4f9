"""Commands, replies and message data of SMTP to and from octets (RFC 5321 §2.3, §4.1, §4.2, §4.5.2).

Lines end in CRLF and nothing else. A bare CR or LF is refused wherever it stands, since two servers that read it
differently see two different mails (SMTP smuggling, CVE-2023-51764 and its kin).
"""

import re
from codecs import latin_1_decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import IncrementalNewlineDecoder

from netstack.sansio import LocalProtocolError, RemoteProtocolError

# RFC 5321 §4.1.2: esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-"); esmtp-value = 1*(%d33-60 / %d62-126),
# and UTF-8 (RFC 6531 §3.3)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\x00- =\x7f]+))?")
# RFC 3461 §4: xtext = *( xchar / hexchar ), hexchar = "+" 2(%x30-39 / %x41-46)
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
# RFC 5321 §4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
_REPLY_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
# RFC 2034 §4, RFC 3463 §2: class "." subject "." detail
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
"""What no command has; a tab is white space."""
END = b"\r\n.\r\n"
"""Ends a message (RFC 5321 §4.1.1.4)."""
_DOT = ord(".")
_DOTS = 20
"""That are looked at one by one."""
_UNDECIDED = b"\r\n."
"""Behind them the end may come, or a dot that is taken off."""
_WHOLE_ENDS = (None, "\r\n")
"""What is seen where no end of a line is a bare CR or LF."""


class BadCommand(RemoteProtocolError):
    """A command that is refused with a reply: `code`, an enhanced status code (RFC 3463) and a text that says why."""

    code: int

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(text, code)
        self.enhanced = enhanced


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply (RFC 5321 §4.2); `enhanced` is "" where there is none (RFC 2034)."""

    code: int
    lines: tuple[str, ...]
    enhanced: str = ""

    @property
    def ok(self) -> bool:
        """Done (2yz), or the message may come (354)."""
        return self.code < 400

    @property
    def positive(self) -> bool:
        """It is done: the first digit says so (RFC 5321 §4.3.2)."""
        return self.code // 100 == 2

    @property
    def lasting(self) -> bool:
        """A failure that trying again does not mend (5yz)."""
        return self.code >= 500

    @property
    def text(self) -> str:
        """All lines in one."""
        return " ".join(self.lines)

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


@lru_cache(1024)
def encode_reply(reply: Reply) -> bytes:
    """A reply's lines, each with the code, and the enhanced status code where there is one (RFC 2034 §4).

    Control characters become "?": what a peer said may stand in a reply's text, and must not end its line.
    """
    texts = [f"{reply.enhanced} {line}" if reply.enhanced else line for line in reply.lines or ("",)]
    lines = []
    for text in texts:
        clean = text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)
        lines.append(clean.encode("utf-8", "replace")[:500])
    code = b"%d" % reply.code
    return b"".join([code + b"-" + line + b"\r\n" for line in lines[:-1]]) + code + b" " + lines[-1] + b"\r\n"


class ReplyReader:
    """Joins reply lines; `line` gives the reply when its last one has come. Raises RemoteProtocolError."""

    def __init__(self, most_lines: int) -> None:
        self._most = most_lines
        self._code = 0
        self._lines: list[str] = []

    def line(self, line: bytes) -> Reply | None:
        match = _REPLY_LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError(f"{line[:80]!r} is not a reply of an SMTP server")
        code = int(match[1])
        if self._lines and code != self._code:
            raise RemoteProtocolError(f"a reply that begins with {self._code} goes on with {code}")
        if len(self._lines) >= self._most:
            raise RemoteProtocolError(f"a reply of more than {self._most} lines")
        self._code = code
        self._lines.append((match[3] or b"").decode("utf-8", "replace"))
        if match[2] == b"-":
            return None
        lines, self._lines = self._lines, []
        enhanced = ""
        first = _ENHANCED.match(lines[0])
        if first is not None and first[1][0] == str(code)[0]:
            enhanced = first[1]
            lines = [each[len(enhanced) :].lstrip(" ") if each.startswith(enhanced) else each for each in lines]
        return Reply(code, tuple(lines), enhanced)


def split_command(line: bytes) -> tuple[str, str]:
    """The verb in upper case and its argument without white space around it (RFC 5321 §2.4); `line` has no CRLF.

    Raises BadCommand for octets that no command has: controls, and what is not UTF-8 (RFC 6531 §3.3).
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise BadCommand(500, "5.5.2", "a command is ASCII, or UTF-8 with SMTPUTF8") from None
    if _CONTROL.search(text):
        raise BadCommand(500, "5.5.2", "control characters in a command")
    verb, _, argument = text.replace("\t", " ").partition(" ")
    return verb.upper(), argument.strip(" ")


def path_argument(argument: str, keyword: str) -> str:
    """What follows `FROM:` or `TO:`, from the angle bracket on (RFC 5321 §4.1.1.2, §4.1.1.3). Raises BadCommand.

    White space before the bracket is taken, as the chapter's `MAIL FROM: <alice@crepes.fr>` has it (§3.3 forbids to send
    it); an address without brackets gets them.
    """
    if argument[: len(keyword) + 1].upper() != keyword + ":":
        raise BadCommand(501, "5.5.4", f"expected {keyword}:<address>")
    rest = argument[len(keyword) + 1 :].lstrip(" ")
    if not rest:
        raise BadCommand(501, "5.5.4", f"expected {keyword}:<address>")
    if rest.startswith("<"):
        return rest
    path, space, rest = rest.partition(" ")
    return f"<{path}>{space}{rest}"


def parameters(text: str) -> Mapping[str, str | None]:
    """ESMTP parameters by their keyword in upper case; None for one without a value. Raises BadCommand."""
    found: dict[str, str | None] = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise BadCommand(501, "5.5.4", f"{word[:40]!r} is not a parameter")
        keyword = match[1].upper()
        if keyword in found:
            raise BadCommand(501, "5.5.4", f"{keyword} is given twice")
        found[keyword] = match[2]
    return found


def decode_xtext(text: str) -> str:
    """Raises BadCommand (RFC 3461 §4)."""
    if not _XTEXT.fullmatch(text):
        raise BadCommand(501, "5.5.4", f"{text[:40]!r} is not xtext")
    return re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), text)


def encode_xtext(text: str) -> str:
    """ASCII text for a parameter's value (RFC 3461 §4)."""
    return "".join(sign if "!" <= sign <= "~" and sign not in "+=" else f"+{ord(sign):02X}" for sign in text)


def bare_line_end(data: bytes | bytearray) -> bool:
    """Whether a carriage return or line feed stands without the other."""
    ends = IncrementalNewlineDecoder(None, False)  # notes which of CR, LF and CRLF end lines: faster than to count them
    ends.decode(latin_1_decode(data)[0], True)
    return ends.newlines not in _WHOLE_ENDS


def _dotted_line(data: bytes) -> int:
    """Where a line ends behind which a dot stands, or -1. Most has few dots, and a dot alone is found ten times as fast."""
    dot = -1
    for _ in range(_DOTS):
        dot = data.find(b".", dot + 1)
        if dot < 0:
            return -1
        if data[max(dot - 2, 0) : dot] == b"\r\n":
            return dot - 2
    return data.find(b"\r\n.", dot - 1)


class DataReader:
    """A message as it comes after DATA (RFC 5321 §4.5.2): finds its end, takes the added dots off, keeps the bounds.

    `read` takes what it can from the buffer. Once it has raised BadCommand nothing that follows can be trusted.
    """

    def __init__(self, longest_line: int) -> None:
        self._longest = longest_line
        self._before = b"\r\n"
        """The last octets that were taken: the message begins as if after a line."""
        self._line = 0
        """Octets of the line that has not ended."""
        self.ended = False
        self.too_long = False
        """A line was longer than allowed; reading goes on to the end."""

    def read(self, buffer: bytearray) -> bytes:
        """Some of the message, maybe nothing; `ended` when all of it has come. Raises BadCommand."""
        before = self._before
        joined = before + buffer
        stuffed = _dotted_line(joined)
        at = joined.find(END, stuffed) if stuffed >= 0 else -1
        if at >= 0:
            self.ended = True
            joined = joined[: at + 2]
            del buffer[: at + len(END) - len(before)]
        else:  # octets that may begin the end stay in the buffer
            kept = next((count for count in (4, 3, 2, 1) if joined.endswith(END[:count])), 0)
            joined = joined[: max(len(before), len(joined) - kept)]
            del buffer[: len(joined) - len(before)]
        taken = joined[len(before) :]
        if bare_line_end(taken):  # a pair is never cut in two: what is kept begins with its carriage return
            raise BadCommand(521, "5.5.2", "lines of a message end in CRLF, and one has a bare CR or LF")
        self._measure(taken)
        self._before = joined[-2:]
        return joined.replace(b"\r\n.", b"\r\n")[len(before) :] if 0 <= stuffed < len(joined) - 2 else taken

    def whole(self, data: bytes) -> bytes | None:
        """The rest of the message, where it is all of what comes, with nothing that needs a closer look; else None, and
        `read` takes it. Not for octets that follow others which `read` has left in its buffer."""
        if not data.endswith(END):
            return None
        return self._plain(data[: 2 - len(END)])

    def part(self, data: bytes) -> bytes | None:
        """As `whole`, where more is to come."""
        if len(data) < 2 or data[-1] in _UNDECIDED:
            return None
        return self._plain(data)

    def _plain(self, data: bytes) -> bytes | None:
        """Take what is the message's as it stands."""
        begins = self._before == b"\r\n" and data[0] == _DOT
        if self.too_long or begins or _dotted_line(data) >= 0 or bare_line_end(data) or not self._fits(data):
            return None
        self._go_on(data)
        self._before = data[-2:]
        return data

    def _fits(self, taken: bytes) -> bool:
        """Whether no line is too long, going on with the one that has not ended."""
        began = -self._line
        while len(taken) - began >= self._longest:  # go on behind the last line that ends in time
            end = taken.rfind(b"\n", max(began, 0), began + self._longest)
            if end < 0:
                return False
            began = end + 1
        return True

    def _measure(self, taken: bytes) -> None:
        self.too_long = self.too_long or not self._fits(taken)
        self._go_on(taken)

    def _go_on(self, taken: bytes) -> None:
        """Octets of the line that has not ended."""
        ended = taken.rfind(b"\n") + 1
        self._line = len(taken) - ended if ended else self._line + len(taken)


class DotStuffer:
    """A message on its way out, in pieces (RFC 5321 §4.5.2). Raises LocalProtocolError for a bare CR or LF."""

    def __init__(self) -> None:
        self._before = b"\r\n"

    def feed(self, data: bytes) -> bytes:
        """A piece with the dots added that its lines need."""
        if not data:
            return b""
        before = self._before
        joined = before + data
        open_pair = before.endswith(b"\r")
        pairs = data.count(b"\r\n") + (open_pair and data.startswith(b"\n"))
        if data.count(b"\n") != pairs or data.count(b"\r") + open_pair != pairs + data.endswith(b"\r"):
            raise LocalProtocolError("lines of a message end in CRLF, and one has a bare CR or LF")
        self._before = joined[-2:]
        return joined.replace(b"\r\n.", b"\r\n..")[len(before) :] if b"\r\n." in joined else data

    def end(self) -> bytes:
        """What ends the message; a last line without its CRLF gets one."""
        if self._before.endswith(b"\r"):
            raise LocalProtocolError("lines of a message end in CRLF, and the last one in a bare CR")
        return END[2:] if self._before == b"\r\n" else END


def command_line(verb: str, argument: str = "", values: Iterable[tuple[str, str | None]] = ()) -> bytes:
    """A command with its CRLF; raises LocalProtocolError for what would end its line."""
    words = [verb + (f" {argument}" if argument else "")]
    words += [key if value is None else f"{key}={value}" for key, value in values]
    line = " ".join(words)
    if any(sign < " " or sign == "\x7f" for sign in line):
        raise LocalProtocolError(f"{line[:80]!r} cannot be sent as a command")
    return line.encode() + b"\r\n"
