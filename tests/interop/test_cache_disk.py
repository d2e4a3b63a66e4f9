"""A cache with a disk tier under curl: what it served before a stop or a kill -9 it serves after it, without the origin."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.addresses import own_address
from tests.cache.stores import KIB, MIB, body_of
from tests.interop.programs import need
from tests.processes import PATIENCE, ROOT, TWISTD, Running, running
from tests.taps.test_workers import HEALTH, metrics

KNOWN = "objects are on the cache's disk"
"""Logged when all that was on disk is known; until then large objects are not written."""
SIZES = {"small.bin": 1000, "inline.bin": 40 * KIB, "large.bin": 3 * MIB}


def command(plugin: str, address: str, port: int, state: Path, *options: str) -> tuple[str, ...]:
    listen = f"--listen=tcp:{port}:interface={address}"
    return TWISTD, "--nodaemon", "--pidfile=", plugin, listen, f"--address={address}", f"--state={state}", *options


def curl(proxy: str, url: str, *options: str) -> bytes:
    done = subprocess.run(["curl", "-s", "-x", proxy, *options, url], capture_output=True, timeout=30, check=True)
    return done.stdout


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_loses_nothing_that_was_written(tmp_path: Path, ending: signal.Signals) -> None:
    address, files = own_address(), tmp_path / "files"
    files.mkdir()
    for number, (name, size) in enumerate(SIZES.items()):
        (files / name).write_bytes(body_of(number, size))
        os.utime(files / name, (time.time() - 30 * 86400,) * 2)
    cache = command(
        "netstack-cache", address, 3128, tmp_path / "cache", "--resolver=127.0.0.1:9", "--reach=127.0.0.0/8",
        f"--store-disk={64 * MIB}", f"--store-inline={64 * KIB}", f"--health={HEALTH}",
    )  # fmt: skip
    origin = command("netstack-origin", address, 8080, tmp_path / "origin", f"--site={address}={files}")
    proxy, urls = f"http://{address}:3128", [f"http://{address}:8080/{name}" for name in SIZES]
    first = Running(cache, {**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        first.wait_for("serves HTTP on")
        first.wait_for(KNOWN)
        with running(*origin, ready="serves HTTP on"):
            for number, (url, size) in enumerate(zip(urls, SIZES.values(), strict=True)):
                assert curl(proxy, url) == body_of(number, size)
        written = 'netstack_cache_store_events_total{event="written"}'
        first.wait_until(lambda: metrics(address)[written] >= len(SIZES), "all are written")
        assert curl(proxy, urls[2], "-r", "1000-1999") == body_of(2, 3 * MIB)[1000:2000], "by sendfile, and a part alone"
        first.process.send_signal(ending)
        first.process.wait(PATIENCE)
    finally:
        first.end()
    assert not first.trouble()
    with running(*cache, ready="serves HTTP on") as second:
        counted = "netstack_cache_objects"  # tables are read while it serves
        second.wait_until(lambda: metrics(address)[counted] >= len(SIZES), "all are known again")
        for number, (url, size) in enumerate(zip(urls, SIZES.values(), strict=True)):
            got = curl(proxy, url, "-D", str(tmp_path / "head"))
            assert got == body_of(number, size), (tmp_path / "head").read_text()
            assert "; hit" in (tmp_path / "head").read_text()
        assert curl(proxy, urls[2], "-r", "-7") == body_of(2, 3 * MIB)[-7:]
        assert not second.trouble()


def test_one_store_is_one_process_s(tmp_path: Path) -> None:
    address = own_address()
    cache = command("netstack-cache", address, 3128, tmp_path, f"--store-disk={MIB}")
    with running(*cache, ready="serves HTTP on"):
        again = subprocess.run(cache, capture_output=True, text=True, timeout=30, check=False)
    assert again.returncode != 0
    assert "another service keeps its files here" in again.stdout + again.stderr


def test_a_full_disk_is_seen_in_metrics_and_log_and_by_no_client(tmp_path: Path) -> None:
    need("unshare")
    address, files, state = own_address(), tmp_path / "files", tmp_path / "cache"
    files.mkdir()
    state.mkdir()
    for number in range(60):
        (files / f"{number}.bin").write_bytes(body_of(number, 200 * KIB if number % 3 else 2 * MIB))
        os.utime(files / f"{number}.bin", (time.time() - 30 * 86400,) * 2)
    cache = command(
        "netstack-cache", address, 3128, state, "--resolver=127.0.0.1:9", "--reach=127.0.0.0/8", "--store-retry=0.5",
        f"--store-disk={64 * MIB}", f"--store-memory={8 * MIB}", "--health=9102",
    )  # fmt: skip
    script = f"mount -t tmpfs -o size=6m none {state} && exec {' '.join(cache)}"
    origin = command("netstack-origin", address, 8080, tmp_path / "origin", f"--site={address}={files}")
    full = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script)
    with running(*origin, ready="serves HTTP on"), running(*full, ready=KNOWN) as served:
        for _ in range(2):
            for number in range(60):
                got = curl(f"http://{address}:3128", f"http://{address}:8080/{number}.bin")
                assert got == (files / f"{number}.bin").read_bytes()
        metrics = subprocess.run(
            ["curl", "-s", f"http://{address}:9102/metrics"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        served.wait_for("nothing is written to the cache's disk for 0.5 s")
    events = dict(re.findall(r'store_events_total\{event="(\w+)"\} ([0-9.]+)', metrics))
    assert float(events["disk_failed"]) >= 1
    assert float(events["not_written"]) >= 1
    assert float(events["written"]) >= 1
    assert float(events["corrupt"]) == 0
