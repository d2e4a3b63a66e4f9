"""tshark, capinfos and editcap read the exported journal without a complaint and dissect what is in it."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Literal

import dns.message
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from netstack.kernel.journal import Row
from netstack.kernel.pcapng import Capture, export
from netstack.sansio import Address
from netstack.world.session import open_session
from tests.interop.programs import need

CHECKS = ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum")
COMPLAINTS = (
    "_ws.malformed || _ws.short || tcp.analysis.flags || _ws.expert.severity >= 6291456"
    " || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0"
)
BAD_TRANSPORT = "tcp.analysis.flags || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0"
CLIENT, LOCAL, WEB = "127.20.0.5", "127.20.0.2", "127.30.0.9"
TRANSPORTS: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")
NAMES = {CLIENT: "cse.nyu.edu", LOCAL: "dns.nyu.edu", WEB: "www.someschool.edu", "fd00::1": "six.test"}


def tshark(path: Path, *arguments: str) -> list[str]:
    options = [part for check in CHECKS for part in ("-o", f"{check}:TRUE")]
    command = [need("tshark"), "-r", str(path), *options, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    complaints = [line for line in result.stderr.splitlines() if "Running as user" not in line]
    assert not complaints
    return result.stdout.splitlines()


def row(
    time: float, source: Address, destination: Address, transport: str, protocol: str, data: bytes, secure: bool = False
) -> Row:
    return Row(
        time, source, destination, NAMES.get(source[0], source[0]), NAMES.get(destination[0], destination[0]),
        transport, protocol, f"{protocol} of {len(data)} octets", data, secure,
    )  # fmt: skip


def conversation() -> list[Row]:
    """A look-up over UDP, one over TCP, a page over HTTP on one connection, and one over HTTPS."""
    query = dns.message.make_query("www.someschool.edu", "A", id=7)
    reply = dns.message.make_response(query)
    reply.answer.append(dns.rrset.from_text("www.someschool.edu.", 300, "IN", "A", WEB))
    rows = [
        row(10.0, (CLIENT, 40001), (LOCAL, 53), "udp", "dns", query.to_wire()),
        row(10.1, (LOCAL, 53), (CLIENT, 40001), "udp", "dns", reply.to_wire()),
        row(10.2, (CLIENT, 40002), (LOCAL, 53), "tcp", "dns", query.to_wire(prepend_length=True)),
        row(10.3, (LOCAL, 53), (CLIENT, 40002), "tcp", "dns", reply.to_wire(prepend_length=True)),
    ]
    for secure, port in ((False, 80), (True, 443)):
        for number in range(2):
            request = f"GET /{number}.html HTTP/1.1\r\nHost: www.someschool.edu\r\n\r\n".encode()
            body = b"<p>" + b"words " * 1500
            response = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            time = 11.0 + number / 4 + secure
            rows.append(row(time, (CLIENT, 40003), (WEB, port), "tcp", "http", request, secure))
            rows.append(row(time + 0.1, (WEB, port), (CLIENT, 40003), "tcp", "http", response, secure))
    return rows


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pcapng") / "walk.pcapng"
    export(path, conversation())
    return path


def test_tshark_has_no_complaint(capture: Path) -> None:
    assert tshark(capture, "-Y", COMPLAINTS) == []
    status = tshark(capture, "-Y", "tcp", "-T", "fields", "-e", "tcp.checksum.status", "-e", "ip.checksum.status")
    assert set(status) == {"1\t1"}


def test_tshark_dissects_dns_over_udp_and_tcp(capture: Path) -> None:
    lines = tshark(capture, "-Y", "dns", "-T", "fields", "-e", "udp.port", "-e", "dns.qry.name", "-e", "dns.a")
    assert [line.split("\t")[1:] for line in lines] == [["www.someschool.edu", ""], ["www.someschool.edu", WEB]] * 2
    assert [bool(line.split("\t")[0]) for line in lines] == [True, True, False, False]


def test_tshark_dissects_http_and_the_plaintext_of_https(capture: Path) -> None:
    lines = tshark(capture, "-Y", "http.request", "-T", "fields", "-e", "http.request.full_uri", "-e", "frame.comment")
    assert [line.split("\t")[0] for line in lines] == [f"http://www.someschool.edu/{n}.html" for n in (0, 1)] * 2
    assert ["TLS to port 443" in line for line in lines] == [False, False, True, True]
    lengths = tshark(capture, "-Y", "http.response", "-T", "fields", "-e", "http.content_length", "-e", "http.file_data")
    assert len(lengths) == 4
    assert all(line.startswith("9003\t") and len(line) > 9000 for line in lengths)


def test_names_of_hosts_are_in_the_file(capture: Path) -> None:
    lines = tshark(capture, "-N", "n", "-Y", "dns", "-T", "fields", "-e", "ip.src_host")
    assert lines[:2] == ["cse.nyu.edu", "dns.nyu.edu"]


def test_capinfos_and_editcap_read_it(capture: Path, tmp_path: Path) -> None:
    info = subprocess.run([need("capinfos"), str(capture)], capture_output=True, text=True, check=True).stdout
    assert "pcapng" in info
    assert "no packet was captured" in info
    assert "Strict time order:" in info
    assert "Strict time order:   False" not in info
    copy = tmp_path / "copy.pcapng"
    subprocess.run([need("editcap"), "-r", str(capture), str(copy), "1-2"], capture_output=True, check=True)
    assert len(tshark(copy)) == 2


def test_what_a_running_capture_wrote_so_far_is_readable(tmp_path: Path) -> None:
    """Without its end a file is cut between blocks at worst, and a reader that follows it sees whole messages."""
    path = tmp_path / "live.pcapng"
    with path.open("wb") as stream:
        writer = Capture(stream)
        for one in conversation()[:4]:
            writer.write(one)
        writer.flush()
        assert len(tshark(path, "-Y", "dns")) == 4
        assert tshark(path, "-Y", COMPLAINTS) == []
        for one in conversation()[4:]:
            writer.write(one)
        writer.close()
    assert tshark(path, "-Y", COMPLAINTS) == []
    assert len(tshark(path, "-Y", "http")) == 8


def test_bodies_that_were_not_kept(tmp_path: Path) -> None:
    """They are packets cut short by the capture: lengths and sequence numbers are right, the next exchange is dissected."""
    path, head = tmp_path / "short.pcapng", b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 10000\r\n\r\n"
    rows = []
    for time in (1.0, 2.0):
        rows.append(
            row(time, (CLIENT, 40001), (WEB, 80), "tcp", "http", b"GET /a.png HTTP/1.1\r\nHost: www.someschool.edu\r\n\r\n")
        )
        rows.append(replace(row(time, (WEB, 80), (CLIENT, 40001), "tcp", "http", head), omitted=10_000))
    export(path, rows)
    assert tshark(path, "-Y", COMPLAINTS.replace("_ws.short ||", "")) == []
    assert len(tshark(path, "-Y", "_ws.short")) == 2
    assert len(tshark(path, "-Y", "http.request")) == len(tshark(path, "-Y", "http.response")) == 2
    sent = tshark(path, "-Y", "tcp.srcport == 80", "-T", "fields", "-e", "tcp.len")
    assert sum(map(int, sent)) == 2 * (len(head) + 10_000)


def test_the_journal_of_a_world(tmp_path: Path) -> None:
    """A look-up, pages over HTTP and HTTPS, a picture of several segments, sentences over UDP and TCP."""
    path, client, host = tmp_path / "world.pcapng", "cse.nyu.edu", "www.someschool.edu"
    with open_session("textbook", "simulated") as internet:
        internet.record()
        for url in (f"http://{host}/", f"https://{host}/", f"http://{host}/campus.gif"):
            assert internet.fetch(url, client).status == 200
        for transport in TRANSPORTS:
            internet.upper(b"hello", "upper.someschool.edu", transport, client)
        rows = internet.rows()
    export(path, rows)
    assert tshark(path, "-Y", COMPLAINTS) == []
    assert len(tshark(path, "-Y", "dns")) == sum(one.protocol == "dns" for one in rows) > 8
    assert len(tshark(path, "-Y", "http")) == sum(one.protocol == "http" for one in rows) == 6
    assert len(tshark(path, "-Y", "image-gif")) == 1
    assert len(tshark(path, "-Y", "tcp.port == 12000 && tcp.len > 0")) == len(tshark(path, "-Y", "udp.port == 12000")) == 2


ENDS = st.sampled_from(
    [
        ((CLIENT, 40100), (WEB, 80)), ((WEB, 80), (CLIENT, 40100)), ((CLIENT, 40100), (WEB, 443)),
        (("fd00::1", 50000), ("fd00::2", 12000)), (("fd00::2", 12000), ("fd00::1", 50000)),
    ]
)  # fmt: skip


@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(ENDS, st.sampled_from(["tcp", "udp"]), st.binary(max_size=5000)), min_size=5, max_size=30))
def test_random_rows_have_right_packets(
    tmp_path_factory: pytest.TempPathFactory, messages: list[tuple[tuple[Address, Address], str, bytes]]
) -> None:
    """The octets are no HTTP, so only what IP, TCP and UDP say is looked at."""
    path = tmp_path_factory.mktemp("random") / "rows.pcapng"
    rows = [row(float(n), *ends, transport, "test", data) for n, (ends, transport, data) in enumerate(messages)]
    export(path, rows)
    assert tshark(path, "-Y", BAD_TRANSPORT) == []
    assert len(tshark(path, "-Y", "udp")) == sum(one.transport == "udp" for one in rows)
    sent = tshark(path, "-T", "fields", "-e", "tcp.len")
    assert sum(int(length or 0) for length in sent) == sum(len(one.data) for one in rows if one.transport == "tcp")
