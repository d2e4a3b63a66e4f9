"""The access log: a line for each answered request, written in batches: an event for each would cost more than the answer.

Combined format as Apache and nginx write it, or JSON. Lines go to a file of the machine's disk, or to the process's log.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from netstack.http.wire import Request
from netstack.kernel.disk import Appender
from netstack.kernel.machine import Machine
from netstack.sansio.bounds import all_positive

FORMATS = ("combined", "json")
_log = Logger(namespace="netstack.http.access")


@dataclass(frozen=True, slots=True)
class LogLimits:
    """Bounds of an access log."""

    lines: int = 1000
    """That wait to be written."""
    seconds: float = 1.0
    """That a line waits at most."""
    file: int = 64 * 1024 * 1024
    """Octets of a file, which is then renamed to NAME.1; the one of that name before is gone."""

    def __post_init__(self) -> None:
        all_positive(self)


def _to_log(lines: Sequence[str]) -> None:
    _log.info("{count} requests\n{text}", count=len(lines), text="\n".join(lines), lines=tuple(lines))


class _File:
    """Appends to a file of the disk, and begins a new one when it is full."""

    def __init__(self, machine: Machine, path: str, limits: LogLimits) -> None:
        self._disk = machine.disk
        self._path = path
        self._limit = limits.file
        self._appender: Appender | None = None
        self._octets = 0

    def __call__(self, lines: Sequence[str]) -> None:
        try:
            if self._appender is not None and self._octets >= self._limit:
                self._appender.close()
                self._appender = None
                self._disk.rename(self._path, self._path + ".1")
            if self._appender is None:
                self._appender = self._disk.append(self._path)
                self._octets = self._disk.stat(self._path).size
            data = ("\n".join(lines) + "\n").encode("utf-8", "replace")
            self._appender.write(data)
            self._octets += len(data)
        except OSError as error:
            _log.error("the access log {path} cannot be written: {error}", path=self._path, error=str(error))


class AccessLog:
    """Keeps lines until there are many, or for a short time; `flush` when the service stops."""

    def __init__(self, machine: Machine, form: str, path: str = "", limits: LogLimits | None = None) -> None:
        """`path` is a file of the machine's disk; empty for the process's log."""
        self._limits = limits or LogLimits()
        self._most = self._limits.lines
        self._machine = machine
        self._json = form == "json"
        self._sink: Callable[[Sequence[str]], None] = _File(machine, path, self._limits) if path else _to_log
        self._lines: list[str] = []
        self._timer: IDelayedCall | None = None
        self._second = -1
        self._time = ""

    def record(self, client: str, rest: str, octets: int) -> None:
        """A request: `rest` is what `described` said about it."""
        before, after = self.around(self._machine.wall(), rest, octets)
        self.write(f"{before}{client}{after}")

    def around(self, wall: float, rest: str, octets: int) -> tuple[str, str]:
        """What a line has before and after the client, in the second of `wall`."""
        second = int(wall)
        if second != self._second:
            self._second = second
            self._time = _timestamp(second, self._json)
        if self._json:
            return f'{{"time": "{self._time}", "client": "', f'", "octets": {octets}, {rest}'
        first, last = rest.split("\0")
        return "", f" - - [{self._time}] {first} {octets} {last}"

    def write(self, line: str) -> None:
        """One line."""
        lines = self._lines
        lines.append(line)
        count = len(lines)
        if count >= self._most:
            self.flush()
        elif count == 1 and self._timer is None:
            self._timer = self._machine.reactor.callLater(self._limits.seconds, self._late)

    def described(self, request: Request | None, start: str, host: str | None, status: int, cache: str | None = None) -> str:
        """What does not depend on time and client; the same for requests with equal heads, which may keep it.

        `cache`: what a cache did about it, for one more field at the end.
        """
        fields = {} if request is None else request.fields
        line = start if request is None else f"{request.method} {request.target} {request.version}"
        referrer, agent = fields.get("referer", "-"), fields.get("user-agent", "-")
        if self._json:
            told = {"host": host, "request": line, "status": status, "referrer": referrer, "agent": agent}
            return json.dumps(told if cache is None else {**told, "cache": cache})[1:]
        last = "" if cache is None else f' "{_quoted(cache)}"'
        return f'"{_quoted(line)}" {status}\0"{_quoted(referrer)}" "{_quoted(agent)}"{last}'

    def flush(self) -> None:
        """Write what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            self._sink(lines)

    def _late(self) -> None:
        self._timer = None
        self.flush()


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _timestamp(wall: int, as_json: bool) -> str:
    at = datetime.fromtimestamp(wall, UTC)
    if as_json:
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{at.day:02}/{_MONTHS[at.month - 1]}/{at.year:04}:{at.hour:02}:{at.minute:02}:{at.second:02} +0000"


def _quoted(text: str) -> str:
    """Text that cannot end its quotes or its line."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(
        f"\\x{ord(sign):02x}"
        if ord(sign) < 256 and (not sign.isprintable() or sign in '"\\')
        else sign
        if sign.isprintable()
        else "?"
        for sign in text
    )
