"""`netstack zone compile`: a master file made into one that a server opens at once, however many names it has."""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from netstack.cli import render
from netstack.cli.errors import FAIL, PASS, USAGE, CommandError

_OFTEN = 5000
"""Lines, or names, after which the progress is shown anew."""


def run(options: argparse.Namespace) -> int:
    """Compile; raises CommandError that says where the master file is wrong."""
    import dns.exception
    import dns.name

    from netstack.dns.masterfile import MasterFile
    from netstack.dns.octets import octets_of
    from netstack.dns.source import including
    from netstack.dns.zone import ZoneError
    from netstack.dns.zonefile import Compiler
    from netstack.kernel.disk import RealDisk

    began, path, target = time.monotonic(), Path(options.file), Path(options.output)
    include = including(path.name, RealDisk(path.absolute().parent).read)
    gc.disable()  # millions of records, none of which is garbage before the end
    with _Progress(options.json) as progress:
        try:
            origin = dns.name.from_text(options.origin)
        except dns.exception.DNSException as error:
            raise CommandError(f"{options.origin!r} is not a domain name: {error}", USAGE, "usage") from error
        try:
            with path.open(encoding="utf-8", newline="\n") as file:
                size = max(1, os.fstat(file.fileno()).st_size)
                lines = _counted(file, lambda octets: progress.show("reading", octets, size))
                compiler = Compiler(octets_of(origin))
                for record in MasterFile(origin, options.file, include).records(lines):
                    compiler.add(record)
        except OSError as error:
            raise CommandError(f"cannot read {options.file}: {error.strerror}", USAGE) from error
        except (ZoneError, UnicodeDecodeError) as error:
            raise CommandError(str(error), FAIL, "zone") from error
        try:
            octets = _replace(target, compiler.chunks(lambda done, all: progress.show("writing", done, all)))
        except ZoneError as error:
            raise CommandError(f"{options.file}: {error}", FAIL, "zone") from error
        except OSError as error:
            raise CommandError(f"cannot write {target}: {error.strerror}", USAGE) from error
    seconds = time.monotonic() - began
    if options.json:
        about = {"names": compiler.names, "records": compiler.records, "octets": octets, "seconds": round(seconds, 3)}
        render.print_json({"origin": options.origin, "file": str(target), **about})
    else:
        print(f"{target}: {compiler.names} names, {compiler.records} records, {octets} octets")
    return PASS


def _replace(target: Path, pieces: Iterable[bytes]) -> int:
    """Create or replace a file at once, so that a server that has the old one open is not disturbed; its octets."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            octets = sum(out.write(piece) for piece in pieces)
            out.flush()
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(descriptor, 0o666 & ~mask)
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return octets


def _counted(file: IO[str], show: Callable[[int], None]) -> Iterator[str]:
    octets = 0
    for number, line in enumerate(file):
        octets += len(line)
        if number % _OFTEN == 0:
            show(octets)
        yield line


class _Progress:
    """A bar on standard error where that is a terminal."""

    def __init__(self, quiet: bool) -> None:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._quiet = quiet or not sys.stderr.isatty()

    def __enter__(self) -> "_Progress":
        if not self._quiet:
            from rich.progress import Progress

            self._bar = Progress(console=render.console(error=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, what: str, done: int, all: int) -> None:
        """So much of a part of the work is done."""
        if self._bar is None:
            return
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=all)
        self._bar.update(self._tasks[what], completed=done)
