"""Postfix, Exim and OpenSMTPD bring mail to ours by STARTTLS and take it from ours; smtp-source and smtp-sink."""

import email
import os
import re
import smtplib
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.addresses import own_address
from tests.interop.dns_secure import Trust
from tests.interop.mail_servers import KINDS, PORT, MailServer, mail_server, packages_of
from tests.interop.smtp_hosts import BOB, NAME, Host, mail_host
from tests.processes import Running
from tests.smtp.capturing import ENDINGS

HEAD = b"From: <alice@crepes.fr>\r\nMessage-ID: <%b>\r\nDate: Fri, 27 Nov 2026 12:00:00 +0000\r\nSubject: lunch\r\n"
MIME = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
BROKEN_TLS = {"opensmtpd"}
"""Debian 12's build offers STARTTLS and ends every handshake with an error, `openssl s_client`'s too: ours then says it in
the clear (RFC 7435 §4)."""
SINK = f"{own_address()}:2599"
"""Where Postfix's smtp-sink listens."""
BODIES = {
    "dots": b"\r\n.\r\n..\r\n.dot\r\nFrom here\r\n\r\n trailing \t\r\n",
    "eight bits": MIME + b"\r\n" + "Crêpes où ça ?\r\n".encode(),
    "large": b"\r\n" + b"0123456789 how about pickles? .\r\n.\r\n" * 5000,
    "long line": b"\r\n" + b"x" * 990 + b"\r\n",
    "no line at its end": b"\r\n",
}


@dataclass(frozen=True)
class Pair:
    theirs: MailServer
    ours: Host


@pytest.fixture(scope="module", params=[pytest.param(kind, marks=pytest.mark.xdist_group(f"smtp-{kind}")) for kind in KINDS])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    kind: str = request.param
    packages_of(kind)
    directory = tmp_path_factory.mktemp(kind)
    for each in (
        directory,
        *(above for above in directory.parents if above.stat().st_uid == os.getuid() and len(above.parts) > 2),
    ):
        each.chmod(0o755)  # they read their keys as users of their own
    trust = Trust(directory / "theirs", f"mail.{kind}.test")
    address = own_address()
    options = ("--relay-for=127.0.0.0/8", "--first-retry=2")
    with mail_server(kind, trust, address) as theirs:
        route = f"--route={theirs.domain}={theirs.address}:{PORT}"
        with mail_host(directory, route, *options, address=address) as ours:
            yield Pair(theirs, ours)


def lines(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("body", BODIES)
def test_they_bring_mail(pair: Pair, body: str) -> None:
    """Under TLS, and octet for octet below what they put in front of it."""
    message = HEAD % f"{body.replace(' ', '-')}@crepes.fr".encode() + BODIES[body]
    before = pair.ours.count()
    with smtplib.SMTP(pair.theirs.address, PORT, "crepes.fr", timeout=30) as client:
        client.sendmail("alice@crepes.fr", [BOB], message, ["BODY=8BITMIME"] if body == "eight bits" else [])
    [arrived] = pair.ours.arrived(before)
    assert (arrived.sender, arrived.protocol) == ("alice@crepes.fr", "ESMTPS")
    assert arrived.content.startswith(b"Received: from ")
    assert arrived.content.endswith(message)


@pytest.mark.parametrize("body", BODIES)
def test_we_bring_mail(pair: Pair, body: str) -> None:
    message = HEAD % f"{body.replace(' ', '-')}@crepes.fr".encode() + BODIES[body]
    before = len(pair.theirs.mail())
    with smtplib.SMTP(pair.ours.address, PORT, "crepes.fr", timeout=30) as client:
        client.sendmail(BOB, [f"box@{pair.theirs.domain}"], message, ["BODY=8BITMIME"] if body == "eight bits" else [])
    [arrived] = pair.theirs.wait_for_mail(before + 1)[before:]
    protocol = re.search(rb"Received: from [^\n]*mail\.hamburger\.edu.*?with (E?SMTPS?)", arrived, re.DOTALL | re.IGNORECASE)
    assert protocol is not None, arrived[:1000]
    assert protocol[1].upper() == (b"ESMTP" if pair.theirs.kind in BROKEN_TLS else b"ESMTPS")
    assert arrived.endswith(lines(message)), arrived[-1000:]


def test_one_message_to_two_of_theirs_and_one_that_is_none(pair: Pair) -> None:
    """What they refuse comes back as a report in their words; the others have the message."""
    before, reports = len(pair.theirs.mail()), pair.ours.count()
    to = [f"{name}@{pair.theirs.domain}" for name in ("box", "other", "nobody")]
    with smtplib.SMTP(pair.ours.address, PORT, "crepes.fr", timeout=30) as client:
        client.sendmail(BOB, to, HEAD % b"three@crepes.fr" + b"\r\nx\r\n")
    assert len(pair.theirs.wait_for_mail(before + 1)) > before  # Exim may write one file for both
    [report] = pair.ours.messages(reports)
    assert report.startswith(b"Return-Path: <>\r\n")
    assert f"Final-Recipient: rfc822; {to[2]}".encode() in report
    assert b"Action: failed" in report
    assert re.search(rb"Diagnostic-Code: smtp; 5[0-9][0-9] ", report)


def test_no_second_mail_reaches_them(pair: Pair) -> None:
    """What they, or somebody, take for the end of a message, in messages that come by BDAT: each arrives as one message, and
    the mail that was written into it is nobody's."""
    before = len(pair.theirs.mail())
    second = b"MAIL FROM:<evil@crepes.fr>\r\nRCPT TO:<box@%b>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
    second %= pair.theirs.domain.encode()
    with smtplib.SMTP(pair.ours.address, PORT, "crepes.fr", timeout=60) as client:
        client.ehlo()
        for number, ending in enumerate(ENDINGS.values()):
            message = HEAD % b"%d@many" % number + b"\r\nhello" + ending + second
            assert client.mail(BOB, ["BODY=BINARYMIME"])[0] == 250
            assert client.rcpt(f"box@{pair.theirs.domain}")[0] == 250
            client.send(b"BDAT %d LAST\r\n" % len(message) + message)
            assert client.getreply()[0] == 250
    expected = sorted(b"%d@many" % number for number in range(len(ENDINGS)))
    count, arrived = len(expected), pair.theirs.wait_for_mail(before + len(expected))[before:]
    while len(_many(arrived)) < len(expected):  # one of an earlier test is among them
        count += 1
        arrived = pair.theirs.wait_for_mail(before + count)[before:]
    assert _many(arrived) == expected
    heads = [each.partition(b"\n\n")[0] for each in arrived]
    assert not [each for each in heads if b"evil@" in each or b"smuggled" in each]
    bodies = [email.message_from_bytes(each).get_payload(decode=True) for each in arrived if b"@many>" in each]
    for ending in ENDINGS.values():
        assert b"hello" + ending + second in [_crlf(each) for each in bodies]


def _crlf(found: object) -> bytes:
    """With the ends of lines of mail, where the Maildir has this system's: in what did not have to be encoded."""
    assert isinstance(found, bytes)
    return found if b"\r" in found or b"\0" in found else found.replace(b"\n", b"\r\n")


def test_many_at_once(pair: Pair) -> None:
    """A hundred messages there and back, all once."""
    before, there = pair.ours.count(), len(pair.theirs.mail())
    for address, to in ((pair.theirs.address, BOB), (pair.ours.address, f"box@{pair.theirs.domain}")):
        with smtplib.SMTP(address, PORT, "crepes.fr", timeout=60) as client:
            for number in range(50):
                client.sendmail(BOB, [to], HEAD % f"{number}@many".encode() + b"\r\nx\r\n")
    identifiers = sorted(f"{number}@many".encode() for number in range(50))
    assert _many(pair.ours.messages(before, count=50)) == identifiers
    count, arrived = 50, pair.theirs.wait_for_mail(there + 50)[there:]
    while len(_many(arrived)) < 50:  # one of an earlier test is among them
        count += 1
        arrived = pair.theirs.wait_for_mail(there + count)[there:]
    assert _many(arrived) == identifiers


def _many(found: Sequence[bytes]) -> list[bytes]:
    return sorted(re.findall(rb"Message-ID: <([0-9]+@many)>", b"".join(found)))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with mail_host(tmp_path_factory.mktemp("load"), "--relay-for=127.0.0.0/8", f"--route=sink.test={SINK}") as found:
        yield found


def postfix_tool(name: str) -> tuple[str, dict[str, str]]:
    """A program of Postfix's package, and its environment."""
    packages = packages_of("postfix")
    return str(packages / "usr" / "sbin" / name), {
        **os.environ,
        "LD_LIBRARY_PATH": str(packages / "usr" / "lib" / "postfix"),
    }


@pytest.mark.xdist_group("smtp-postfix")
@pytest.mark.parametrize("options", [("-d",), ()], ids=["few connections", "many"])
def test_smtp_source_brings_mail(host: Host, options: tuple[str, ...]) -> None:
    source, environment = postfix_tool("smtp-source")
    before = host.count()
    subprocess.run(
        [source, "-s", "10", "-l", "2000", "-m", "100", "-f", "alice@crepes.fr", "-t", BOB, *options,
         f"inet:{host.address}:2525"],
        env=environment, check=True, timeout=60,
    )  # fmt: skip
    found = host.arrived(before, count=100)
    assert len(found) == 100
    assert {len(each.content) for each in found} <= set(range(1990, 2200))


@pytest.mark.xdist_group("smtp-postfix")
def test_smtp_sink_takes_mail(host: Host, tmp_path: Path) -> None:
    sink, environment = postfix_tool("smtp-sink")
    process = Running([sink, "-c", "-D", f"{tmp_path}/%M", "-u", "root", SINK, "100"], environment)
    try:
        process.wait_until(lambda: _listens(SINK), f"smtp-sink listens on {SINK}")
        with smtplib.SMTP(host.address, PORT, "crepes.fr", timeout=60) as client:
            for number in range(20):
                client.sendmail("alice@crepes.fr", ["x@sink.test"], HEAD % f"{number}@sink".encode() + b"\r\n..\r\n")

        def arrived() -> bytes:
            texts = b"".join(each.read_bytes() for each in tmp_path.iterdir())
            return texts if len(re.findall(rb"@sink>", texts)) == texts.count(b"\n..") == 20 else b""

        texts = host.process.wait_until(arrived, "20 messages are in the sink's files")
        assert sorted(re.findall(rb"Message-ID: <(\d+)@sink>", texts), key=int) == [str(each).encode() for each in range(20)]
        assert texts.count(f"X-Helo-Args: {NAME}".encode()) == 20
    finally:
        process.end()


def _listens(where: str) -> bool:
    """Raises OSError where nobody can connect."""
    address, _, port = where.rpartition(":")
    socket.create_connection((address, int(port)), 5).close()
    return True
