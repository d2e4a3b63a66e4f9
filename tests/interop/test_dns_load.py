"""dnsperf and resperf, which count: every query of a mix that is known beforehand has the reply that it should have."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.interop.dns_programs import PORT
from tests.interop.programs import need
from tests.interop.test_dns_programs import Net, net

__all__ = ["net"]

MIX = {
    "NOERROR": ["gaia.cs.umass.edu A", "www.umass.edu A", "x.wild.umass.edu TXT", "umass.edu MX", "cnn.umass.edu A",
                "gaia.moved.umass.edu A", "umass.edu HTTPS", "mail.umass.edu AAAA", "cs.umass.edu A", "many.umass.edu A"],
    "NXDOMAIN": ["nowhere.umass.edu A", "x.gaia.cs.umass.edu A", "no.moved.umass.edu A", "dangling.umass.edu A"],
}  # fmt: skip
TIMES = 40


def written(*arguments: str, directory: Path) -> str:
    done = subprocess.run(
        (need(arguments[0]), *arguments[1:]), capture_output=True, text=True, timeout=60, check=False, cwd=directory
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions"
    lines = [asked for all_of_them in MIX.values() for asked in all_of_them]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    "options",
    [(), ("-e",), ("-D",), ("-E", "10:0102030405060708"), ("-E", "65001:0102"), ("-m", "tcp")],
    ids=["plain", "edns", "do", "cookie", "unknown option", "tcp"],
)
@pytest.mark.parametrize("server", ["ours", "resolver"])
def test_dnsperf(net: Net, server: str, options: tuple[str, ...], questions: Path) -> None:
    address = getattr(net, server)
    command = ("dnsperf", "-s", address, "-p", str(PORT), "-d", str(questions), "-n", str(TIMES), "-q", "20", "-t", "10")
    text = written(*command, *options, directory=questions.parent)
    assert f"Queries completed:    {TIMES * sum(map(len, MIX.values()))} (100.00%)" in text, text
    counted = dict(re.findall(r"(\w+) (\d+) \(", text.partition("Response codes:")[2].partition("\n")[0]))
    assert counted == {rcode: str(TIMES * len(asked)) for rcode, asked in MIX.items()}, text


@pytest.mark.parametrize("server", ["ours", "resolver"])
def test_resperf(net: Net, server: str, questions: Path) -> None:
    questions.write_text(questions.read_text() * 200)
    command = (
        "resperf", "-s", getattr(net, server), "-p", str(PORT), "-d", str(questions), "-m", "800", "-r", "2", "-t", "5",
        "-b", "1024",  # kilobytes that may wait for resperf; its default of 32 loses replies when it has to wait for a core
        "-P", str(questions.parent / "plot"),
    )  # fmt: skip
    text = written(*command, directory=questions.parent)
    sent, completed, lost = (re.search(rf"Queries {word}: +(\d+)", text) for word in ("sent", "completed", "lost"))
    assert sent is not None, text
    assert completed is not None, text
    assert lost is not None, text
    assert (completed[1], lost[1]) == (sent[1], "0"), text
    assert int(sent[1]) > 500
    assert set(re.findall(r"([A-Z]+) \d+ \(", text.partition("Response codes:")[2].partition("\n")[0])) == set(MIX), text
