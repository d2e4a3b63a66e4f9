"""`netstack get URL`: fetch a page as a host does: name looked up, connection made, certificate checked, all by ours."""

import argparse
import base64
import os
import sys
from contextlib import nullcontext
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TimeRemainingColumn, TransferSpeedColumn

from netstack.cli import kept, output, render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS, USAGE, CommandError
from netstack.http.cookiefile import LARGEST


def run(options: argparse.Namespace) -> int:
    """0 for a status below 400, else 1."""
    headers = [[part.strip() for part in line.partition(":")[::2]] for line in options.header]
    if not all(name for name, _ in headers) or not all(":" in line for line in options.header):
        raise CommandError("-H: expected 'NAME: VALUE'", USAGE, "usage")
    if "://" not in options.url:
        raise CommandError(f"{options.url!r} is no URL; try http://{options.url.lstrip('/')}", USAGE, "usage")
    if urlsplit(options.url).scheme not in ("http", "https"):
        raise CommandError(f"{options.url!r} is no http or https URL", USAGE, "usage")
    if options.if_changed and (options.page or not options.output):
        raise CommandError("--if-changed needs -o FILE, and is without --page", USAGE, "usage")
    if options.if_changed:
        headers += kept.conditions(options.output)
    with Client(options.name) as client:
        asked = {"url": options.url, "host": options.host, "headers": headers, "http2": options.http2}
        if options.page:
            asked["page"] = options.page
        if options.cookies:
            asked["cookies"] = _cookies(options.cookies)
        if not options.page:
            client.timeout(options.timeout + 30)
            asked["seconds"] = options.timeout
        shown = sys.stderr.isatty() and not options.json and not options.page
        with Bar(render.console(error=True)) if shown else nullcontext() as bar:
            found = client.hear("get", bar or _unheard, trace=options.trace, progress=shown, **asked)
    if options.cookies:
        _keep(options.cookies, found.pop("cookies"))
    if options.page:
        return _page(found, options)
    code = PASS if found["status"] < 400 else FAIL
    body = base64.b64decode(found["body"])
    if options.if_changed:
        kept.keep(options.output, found["status"], found["headers"], body)
    elif options.output:
        output.write(options.output, body)
    if options.json:
        render.print_json(found)
        return code
    notes = render.console(error=True)
    notes.print(f"{found['version']} {found['status']} {found['reason']}", style="bold", markup=False)
    for name, value in found["headers"]:
        notes.print(f"{name}: {value}", markup=False)
    if options.trace:
        notes.print()
        notes.print(render.ladder(found["messages"], notes.width), markup=False)
        notes.print(f"\n[bold]{len(found['messages'])} messages[/]")
    if not options.output:
        notes.print()
        sys.stderr.flush()
        if sys.stdout.isatty() and not readable(body):
            notes.print(f"netstack: {len(body)} octets that are no text; -o FILE writes them to a file", markup=False)
            return code
        sys.stdout.buffer.write(body)
        sys.stdout.flush()
    return code


class Bar:
    """A progress bar, from the first item that tells of a body that takes its time."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, item: dict[str, Any]) -> None:
        """{"octets": how many have come, "length": of how many, or None}."""
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task("", total=item["length"])
        self._bar.update(self._task, total=item["length"], completed=item["octets"])


def _unheard(item: object) -> None:
    """Nobody is shown how far it is."""


def _cookies(file: str) -> str:
    """The text of a file of cookies; one that is not there yet is empty."""
    try:
        with open(file, "rb") as source:
            data = source.read(LARGEST + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise CommandError(f"--cookies {file}: {error.strerror}", USAGE, "usage") from None
    if len(data) > LARGEST:
        raise CommandError(f"--cookies {file}: expected at most {LARGEST} octets", USAGE, "usage")
    return data.decode("utf-8", "replace")


def _keep(file: str, text: str) -> None:
    """The file as it is to be, for its owner alone; replaced as a whole."""
    new = f"{file}.new"
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as target:
            target.write(text)
        os.replace(new, file)
    except OSError as error:
        raise CommandError(f"--cookies {file}: {error.strerror}", FAIL) from None


def _page(found: dict[str, Any], options: argparse.Namespace) -> int:
    """A page with its objects; 0 when all of them came."""
    code = PASS if all(part["status"] is not None and part["status"] < 400 for part in found["parts"]) else FAIL
    if options.json:
        render.print_json(found)
        return code
    shown = render.console()
    if options.trace:
        shown.print(render.ladder(found["messages"], shown.width), markup=False)
    for line in waterfall(found, shown.width):
        shown.print(line, markup=False, highlight=False)
    return code


def waterfall(page: dict[str, Any], width: int) -> list[str]:
    """A line for each part of a page: its status, its octets, and a bar from when it was asked for to when it had come."""
    parts = page["parts"]
    names = [urlsplit(part["url"]).path.rpartition("/")[2] or "/" for part in parts]
    wide = min(24, max(map(len, names)))
    room = max(10, width - wide - 26)
    scale = room / max(page["seconds"], 1e-9)
    lines = []
    for name, part in zip(names, parts, strict=True):
        start = min(room - 1, int(part["started"] * scale))
        bar = "█" * max(1, round((part["ended"] - part["started"]) * scale))
        said = f"{part['status'] or '---'} {part['octets']:>8}"
        lines.append(f"{name[:wide]:{wide}} {said} {' ' * start}{bar[: room - start]:{room - start}} {part['ended']:8.3f} s")
        if part["error"]:
            lines.append(f"{'':{wide}} {part['error']}")
    many = "connection" if page["connections"] == 1 else "connections"
    lines.append(f"\n{len(parts)} parts in {page['seconds']:.3f} s, {page['connections']} {many}, {page['mode']}")
    return lines


def readable(body: bytes) -> bool:
    """Whether a terminal may be sent this: other octets would garble it."""
    try:
        return not any(ord(char) < 32 and char not in "\t\n\r\f" for char in body.decode())
    except UnicodeDecodeError:
        return False
