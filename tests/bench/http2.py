"""HTTP/2 of the origin beside nginx's: CPU per request with h2load, in the clear and under TLS, paired runs."""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.http import BROWSER, LOAD_CORE, SERVER_CORE, Measured, Subject, report_row, subjects


@dataclass(frozen=True)
class Load:
    """So many requests of one path, over so many connections with so many streams each."""

    title: str
    path: str
    count: int
    secure: bool = False
    connections: int = 32
    streams: int = 10
    fields: tuple[str, ...] = ()


FIELDS = tuple(field.lower() for field in BROWSER if not field.startswith("Connection"))
LOADS = (
    Load("1 KB, 10 streams", "/1k.txt", 60_000, fields=FIELDS),
    Load("1 KB, one stream", "/1k.txt", 30_000, streams=1, fields=FIELDS),
    Load("1 KB, TLS, 10 streams", "/1k.txt", 60_000, secure=True, fields=FIELDS),
    Load("1 KB, TLS, one stream", "/1k.txt", 30_000, secure=True, streams=1, fields=FIELDS),
    Load("10 MB", "/10m.bin", 100, connections=4, streams=2),
    Load("10 MB, TLS", "/10m.bin", 50, secure=True, connections=4, streams=2),
)


def measure(subject: Subject, load: Load) -> Measured:
    scheme, port = ("https", subject.tls_port) if load.secure else ("http", subject.port)
    command = [
        "taskset", "-c", str(LOAD_CORE),
        "h2load", "-n", str(load.count), "-c", str(load.connections), "-m", str(load.streams),
        *(option for field in load.fields for option in ("-H", field)), f"{scheme}://127.0.0.1:{port}{load.path}",
    ]  # fmt: skip
    before = subject.cpu()
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    spent = subject.cpu() - before
    found = re.search(r"finished in ([\d.]+)(m?s)", shown)
    octets = re.search(r"\((\d+)\) total", shown)
    assert found is not None, shown
    assert octets is not None, shown
    assert f"{load.count} succeeded, 0 failed, 0 errored" in shown, shown
    took = float(found[1]) / (1000 if found[2] == "ms" else 1)
    return Measured(load.count / took, int(octets[1]) / took, spent / load.count * 1e6, spent / int(octets[1]) * 1e9)


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--load", type=int, action="append", help="number of a load; may be repeated")
    options = parser.parse_args(list(arguments))
    if SERVER_CORE == LOAD_CORE or not shutil.which("h2load"):
        print("two cores and h2load are needed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        chosen = [each for each in subjects(Path(temporary), http2=True) if each.name != "twisted.web"]
        started: list[Subject] = []
        try:
            for subject in chosen:
                started.append(subject)
                subject.start()
            print(f"medians of {options.runs} paired runs, one server at a time on one core; HTTP/2 by h2load")
            for number, load in enumerate(LOADS):
                if options.load and number not in options.load:
                    continue
                runs: dict[str, list[Measured]] = {subject.name: [] for subject in chosen}
                for _ in range(options.runs):
                    for subject in chosen:
                        runs[subject.name].append(measure(subject, load))
                report_row(f"{load.title} ({load.connections} connections)", runs)
        finally:
            for subject in started:
                subject.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
