"""DNS servers beside BIND, NSD and Unbound: queries/s, CPU per query, latency and memory; authoritative, and cached."""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench._dns_servers import (
    COOKIE,
    LOAD_CORE,
    ORIGIN,
    SERVER_CORE,
    Run,
    Subject,
    bind_resolver,
    bind_zone,
    load,
    nsd,
    ours,
    resident,
    running,
    serve,
    slowest,
    unbound,
    warm,
)

GROUPS = ("authoritative", "million", "cached")


@dataclass(slots=True)
class Bench:
    """One run of all, and what came of it."""

    directory: Path
    names: int
    many: int
    runs: int
    seconds: float
    results: list[dict[str, Any]] = field(default_factory=list)
    bar: Progress | None = None
    task: Any = None

    def step(self, text: str) -> None:
        """Tell what is done now."""
        if self.bar is not None:
            self.bar.update(self.task, description=text, advance=1)

    def path(self, name: str) -> Path:
        return self.directory / name

    def zone(self, names: int) -> Path:
        """A zone of so many names, a root that refers to it, and questions: random ones, each once, made-up ones."""
        path = self.path(f"zone{names}")
        with path.open("w") as out:
            out.write("$TTL 1d\n@ SOA ns hostmaster 1 2h 1h 2w 1h\n@ NS ns\nns A 127.78.0.3\n")
            out.writelines(f"host{n} A 10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}\n" for n in range(names))
        self.path("root.zone").write_text(
            f"$TTL 1d\n@ SOA ns x 1 2h 1h 2w 1h\n@ NS ns.{ORIGIN}.\n{ORIGIN}. NS ns.{ORIGIN}.\nns.{ORIGIN}. A 127.78.0.3\n"
        )
        rng = Random(1)
        for name, lines in (
            ("each", (f"host{n}.{ORIGIN} A\n" for n in range(min(names, 100_000)))),
            ("names", (f"host{rng.randrange(names)}.{ORIGIN} A\n" for _ in range(200_000))),
            ("made-up", (f"{rng.getrandbits(40):x}.{ORIGIN} A\n" for _ in range(200_000))),
        ):
            with self.path(f"{name}{names}").open("w") as out:
                out.writelines(lines)
        return path

    def compare(self, group: str, work: str, subjects: list[Subject], queries: Path, *options: str) -> None:
        """Paired runs of all subjects, and the latency at half of each one's rate."""
        found: dict[str, list[Run]] = {it.name: [] for it in subjects}
        if options:
            for subject in subjects:
                warm(subject, self.path(f"each{self.names}"), *options)
        for number in range(self.runs):
            for subject in subjects:
                self.step(f"{group}, {work}: {subject.name}, run {number + 1}")
                found[subject.name].append(load(subject, queries, self.seconds, *options))
        own = found[subjects[0].name]
        for subject in subjects:
            runs = found[subject.name]
            pairs = list(zip(runs, own, strict=True))
            rate = statistics.median(it.rate for it in runs)
            self.step(f"{group}, {work}: {subject.name}, latency")
            self.results.append(
                {
                    "group": group, "work": work, "server": subject.name, "rate": round(rate),
                    "cpu_us": round(statistics.median(it.cpu for it in runs) * 1e6, 2),
                    "of_our_rate": round(statistics.median(it.rate / mine.rate for it, mine in pairs), 2),
                    "of_our_cpu": round(statistics.median(it.cpu / mine.cpu for it, mine in pairs), 2),
                    "p99_us": round(slowest(subject, queries, rate / 2) * 1e6), "lost": sum(it.lost for it in runs),
                    "mib": round(resident(subject.pid) / 2**20),
                }
            )  # fmt: skip

    def authoritative(self) -> None:
        """A small zone: replies that are kept, replies that are made, names that do not exist, cookies."""
        zone = self.zone(self.names)
        own = Subject("netstack-dns", "127.78.0.1", ours("authoritative", zone))
        further = [
            Subject(f"netstack-dns, {text}", f"127.78.0.{10 + place}", ours(kind, zone))
            for place, (kind, text) in enumerate(
                (("again", "nothing kept"), ("rates", "rates"), ("single", "no batches"), ("plain", "dnspython"))
            )
        ]
        # BIND listens on addresses of interfaces alone
        others = [Subject("NSD", "127.78.0.3", nsd(zone)), Subject("BIND", "127.0.0.1", bind_zone(zone))]
        with running([own, *further, *others], self.directory):
            for subject in (own, *further, *others):
                self.step(f"warming {subject.name}")
                warm(subject, self.path(f"each{self.names}"))
            names = self.path(f"names{self.names}")
            self.compare("authoritative", "names", [own, *others, *further], names)
            self.compare("authoritative", "names, cookies", [own, *others], names, *COOKIE)
            self.compare("authoritative", "made-up names", [own, *others], self.path(f"made-up{self.names}"))

    def million(self) -> None:
        """A big zone, ours from its compiled file."""
        zone = self.zone(self.many)
        began = time.monotonic()
        self.step("compiling")
        command = [
            sys.executable,
            "-m",
            "netstack.cli",
            "zone",
            "compile",
            ORIGIN,
            str(zone),
            "-o",
            f"{zone}.nszone",
            "--json",
        ]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        told |= {"group": "million", "work": "compiling", "seconds": round(time.monotonic() - began, 1)}
        subjects = [
            Subject("netstack-dns", "127.78.0.1", ours("authoritative", f"{zone}.nszone")),
            Subject("NSD", "127.78.0.3", nsd(zone)),
            Subject("BIND", "127.0.0.1", bind_zone(zone)),
        ]
        self.step("starting")
        with running(subjects, self.directory):
            self.results.append(told)
            self.results += [
                {"group": "million", "work": "start", "server": it.name, "seconds": round(it.seconds, 2), "names": self.many,
                 "mib": round(it.empty / 2**20)}
                for it in subjects
            ]  # fmt: skip
            self.compare("million", "names", subjects, self.path(f"names{self.many}"))
            self.compare("million", "made-up names", subjects, self.path(f"made-up{self.many}"))

    def cached(self) -> None:
        """Answers that a resolver has."""
        zone = self.zone(self.names)
        source = Subject("NSD", "127.78.0.3", nsd(zone))
        subjects = [
            Subject("netstack-resolver", "127.78.0.6", ours("resolver", source.address)),
            Subject("Unbound", "127.78.0.7", unbound(source.address)),
            Subject("BIND", "127.0.0.1", bind_resolver(source.address)),
        ]
        with running([source, *subjects], self.directory):
            for subject in subjects:
                self.step(f"warming {subject.name}")
                for _ in range(3):
                    warm(subject, self.path(f"each{self.names}"))
                octets = (resident(subject.pid) - subject.empty) / self.names
                self.results.append(
                    {
                        "group": "cached",
                        "work": "entry",
                        "server": subject.name,
                        "octets": round(octets),
                        "names": self.names,
                    }
                )
            names = self.path(f"names{self.names}")
            self.compare("cached", "names", subjects, names)
            self.compare("cached", "names, cookies", subjects, names, *COOKIE)


def report(bench: Bench) -> Iterator[str]:
    """The results as tables; ratios are medians of the runs that were made one after another."""
    yield f"{bench.runs} paired runs of {bench.seconds:g} s, servers on core {SERVER_CORE}, load on core {LOAD_CORE}"
    before = None
    for row in bench.results:
        group, work = row["group"], row["work"]
        if work == "compiling":
            yield f"compiling {row['names']} names: {row['seconds']} s, {row['octets'] / 2**20:.0f} MiB"
        elif work == "start":
            yield f"  {row['server']:28}{row['seconds']:8.2f} s to the first reply, {row['mib']} MiB, {row['names']} names"
        elif work == "entry":
            yield f"  {row['server']:28}{row['octets']:8} octets of memory for each of {row['names']} cached answers"
        else:
            if (group, work) != before:
                yield f"{group}: {work}"
                yield (
                    f"{'':30}{'queries/s':>10}{'CPU us':>8}{'of our rate':>13}{'of our CPU':>12}"
                    f"{'p99 us':>8}{'lost':>6}{'MiB':>6}"
                )
                before = group, work
            yield (
                f"  {row['server']:28}{row['rate']:10}{row['cpu_us']:8.2f}{row['of_our_rate']:13.2f}"
                f"{row['of_our_cpu']:12.2f}{row['p99_us']:8}{row['lost']:6}{row['mib']:6}"
            )


@contextmanager
def progress(bench: Bench, groups: list[str]) -> Iterator[None]:
    """A bar on standard error."""
    steps = {
        "authoritative": 7 + (7 + 3 + 3) * (bench.runs + 1), "million": 2 + 6 * (bench.runs + 1),
        "cached": 3 + 6 * (bench.runs + 1),
    }  # fmt: skip
    columns = (TextColumn("{task.percentage:3.0f}%"), BarColumn(20), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bench.bar, bench.task = bar, bar.add_task("starting", total=sum(steps[group] for group in groups))
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "ADDRESS", "ZONE"), help=argparse.SUPPRESS)
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000, help="names of the big zone")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", choices=GROUPS, action="append")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    missing = [program for program in ("dnsperf", "nsd", "named", "unbound", "taskset") if shutil.which(program) is None]
    if missing:
        raise SystemExit(f"needs {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="netstack-bench-") as name:
        Path(name).chmod(0o755)
        bench = Bench(Path(name), options.names, options.many, options.runs, options.seconds)
        groups = options.only or list(GROUPS)
        with progress(bench, groups):
            for group in groups:
                room = bench.directory
                bench.directory = room / group
                bench.directory.mkdir()
                getattr(bench, group)()
                bench.directory = room
    if options.json:
        print(json.dumps({"runs": bench.runs, "seconds": bench.seconds, "results": bench.results}, indent=2))
    else:
        print("\n".join(report(bench)))


if __name__ == "__main__":
    main()
