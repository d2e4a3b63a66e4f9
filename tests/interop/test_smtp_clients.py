"""Other people's mail clients against our servers: what they are told, and what is in the mailbox, octet for octet."""

import os
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.interop.programs import need
from tests.interop.smtp_hosts import BOB, EVE, MX, NAME, PASSWORD, SUBMISSION, SUBMISSIONS, Host, mail_host

pytestmark = pytest.mark.xdist_group("smtp-clients")
HEAD = (
    b"From: Bob <bob@hamburger.edu>\r\nTo: bob@hamburger.edu\r\nSubject: lunch\r\n"
    b"Date: Fri, 27 Nov 2026 12:00:00 +0000\r\nMessage-ID: <lunch@hamburger.edu>\r\n"
)
ASCII = (
    HEAD + b"\r\nDo you like ketchup?\r\n.\r\n..\r\n.dots before\r\nFrom here on\r\n\r\n trailing \t \r\n"
    b"%s\r\n\tHow about pickles?\r\n" % (b"long " * 199)
)
MIME = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
EIGHT_BIT = HEAD + f"{MIME}\r\nCrêpes où ça ?\r\n".encode()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with mail_host(tmp_path_factory.mktemp("mail"), "--max-errors=100") as found:
        yield found


def run(*command: str, given: bytes = b"", status: int = 0, **environment: str) -> str:
    """What a program shows, either way; it has to end with `status`."""
    done = subprocess.run(
        command, input=given, capture_output=True, timeout=60, check=False, env={**os.environ, **environment}
    )
    shown = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == status, shown
    return shown


SWAKS = {
    "cleartext": (MX, "ESMTP", []),
    "HELO": (MX, "SMTP", ["--protocol", "SMTP"]),
    "STARTTLS": (MX, "ESMTPS", ["--tls"]),
    "pipelined": (MX, "ESMTP", ["--pipeline"]),
    "PLAIN": (SUBMISSION, "ESMTPSA", ["--tls", "--auth", "PLAIN", "--auth-user", BOB, "--auth-password", PASSWORD]),
    "LOGIN": (SUBMISSION, "ESMTPSA", ["--tls", "--auth", "LOGIN", "--auth-user", BOB, "--auth-password", PASSWORD]),
    "implicit TLS": (SUBMISSIONS, "ESMTPSA", ["--tls-on-connect", "--auth", "PLAIN", "-au", BOB, "-ap", PASSWORD]),
}


@pytest.mark.parametrize("way", SWAKS)
def test_swaks(host: Host, tmp_path: Path, way: str) -> None:
    port, protocol, options = SWAKS[way]
    (tmp_path / "message").write_bytes(ASCII.replace(b"\r\n", b"\n"))
    before = host.count()
    run(
        need("swaks"), "--server", host.address, "--port", str(port), "--helo", "crepes.fr", "--from", BOB, "--to", BOB,
        "--data", f"@{tmp_path}/message", "--tls-ca-path", host.trust.ca, "--tls-sni", NAME,
        "--suppress-data", *options,
    )  # fmt: skip
    [message] = host.arrived(before)
    assert (message.sender, message.protocol) == (BOB, protocol)
    assert message.content in (ASCII, ASCII + b"\r\n")  # swaks ends every message with an empty line


REFUSED = {  # swaks's own exit codes: 23 MAIL, 24 RCPT, 28 AUTH
    "no such user": (MX, 24, "550 5.1.1", ["--to", "mallory@hamburger.edu"]),
    "relaying": (MX, 24, "550 5.7.1 relaying denied", ["--to", "eve@elsewhere.test"]),
    "no log-in": (SUBMISSION, 23, "530 5.7.0", ["--to", BOB, "--tls"]),
    "log-in in the clear": (SUBMISSION, 28, "Host did not advertise", ["--to", BOB, "-a", "PLAIN", "-au", BOB, "-ap", "x"]),
    "wrong password": (
        SUBMISSION, 28, "535 5.7.8", ["--to", BOB, "--tls", "--auth", "PLAIN", "-au", BOB, "-ap", "mustard"],
    ),
    "somebody else's name": (
        SUBMISSION, 23, "553 5.7.1",
        ["--to", BOB, "--from", EVE, "--tls", "--auth", "LOGIN", "-au", BOB, "-ap", PASSWORD],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_swaks_is_refused(host: Host, what: str) -> None:
    port, status, told, options = REFUSED[what]
    sender = [] if "--from" in options else ["--from", BOB]
    before = host.count(), host.count(EVE)
    shown = run(need("swaks"), "--server", host.address, "--port", str(port), *sender, *options, status=status)
    assert told in shown
    assert (host.count(), host.count(EVE)) == before


MSMTP = {
    "PLAIN": (SUBMISSION, "plain", "on"),
    "LOGIN": (SUBMISSION, "login", "on"),
    "SCRAM": (SUBMISSION, "scram-sha-256", "on"),
    "SCRAM over implicit TLS": (SUBMISSIONS, "scram-sha-256", "off"),
    "what it chooses": (SUBMISSION, "on", "on"),
}


@pytest.mark.parametrize("way", MSMTP)
def test_msmtp(host: Host, tmp_path: Path, way: str) -> None:
    port, method, starttls = MSMTP[way]
    (tmp_path / "msmtprc").write_text(
        f"account default\nhost {host.address}\nport {port}\nfrom {BOB}\nauth {method}\nuser {BOB}\npassword {PASSWORD}\n"
        f"tls on\ntls_starttls {starttls}\ntls_trust_file {host.trust.ca}\ntls_host_override {NAME}\n"
        "set_from_header off\nset_date_header off\n"
    )
    (tmp_path / "msmtprc").chmod(0o600)
    before = host.count()
    run(need("msmtp"), f"--file={tmp_path}/msmtprc", BOB, given=EIGHT_BIT.replace(b"\r\n", b"\n"))
    [message] = host.arrived(before)
    assert (message.sender, message.protocol, message.content) == (BOB, "ESMTPSA", EIGHT_BIT)


def test_msmtp_asks_for_reports(host: Host, tmp_path: Path) -> None:
    """DSN parameters (RFC 3461): a report of success comes to the sender, with the message's header."""
    before = host.count(), host.count(EVE)
    run(
        need("msmtp"), "--file=/dev/null", f"--host={host.address}", f"--port={MX}", f"--from={EVE}", "--tls=off",
        "--auth=off", "--dsn-notify=success,failure", "--dsn-return=headers", BOB, given=ASCII.replace(b"\r\n", b"\n"),
    )  # fmt: skip
    assert [each.content for each in host.arrived(before[0])] == [ASCII]
    [report] = host.messages(before[1], EVE)
    assert report.startswith(b"Return-Path: <>\r\n")
    for text in (b"Action: delivered", b"Final-Recipient: rfc822; bob@hamburger.edu", b"Message-ID: <lunch@hamburger.edu>"):
        assert text in report
    assert b"ketchup" not in report


CURL = {
    "smtp": (f"smtp://{NAME}:{MX}", "ESMTP", []),
    "STARTTLS": (f"smtp://{NAME}:{SUBMISSION}", "ESMTPSA", ["--ssl-reqd", "--user", f"{BOB}:{PASSWORD}"]),
    "smtps": (f"smtps://{NAME}:{SUBMISSIONS}", "ESMTPSA", ["--user", f"{BOB}:{PASSWORD}"]),
    "LOGIN": (
        f"smtps://{NAME}:{SUBMISSIONS}", "ESMTPSA", ["--user", f"{BOB}:{PASSWORD}", "--login-options", "AUTH=LOGIN"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", CURL)
def test_curl(host: Host, way: str) -> None:
    url, protocol, options = CURL[way]
    before = host.count()
    resolve = [each for port in (MX, SUBMISSION, SUBMISSIONS) for each in ("--resolve", f"{NAME}:{port}:{host.address}")]
    run(
        need("curl"), "--silent", "--show-error", "--noproxy", "*", url, *resolve, "--cacert", host.trust.ca,
        "--mail-from", BOB, "--mail-rcpt", BOB, "--upload-file", "-", *options, given=ASCII,
    )  # fmt: skip
    [message] = host.arrived(before)
    assert (message.sender, message.protocol, message.content) == (BOB, protocol, ASCII)


def test_curl_says_what_is_refused(host: Host) -> None:
    shown = run(
        need("curl"), "--silent", "--show-error", "--noproxy", "*", f"smtp://{host.address}:{MX}", "--mail-from", BOB,
        "--mail-rcpt", "mallory@hamburger.edu", "--upload-file", "-", given=ASCII, status=55,
    )  # fmt: skip
    assert "RCPT failed: 550" in shown
    asked = "--silent", "--noproxy", "*", f"smtp://{host.address}:{MX}", "--mail-rcpt", BOB, "--request", "VRFY"
    verified = run(need("curl"), *asked)
    assert "252" in verified


def connected(host: Host, port: int = MX) -> smtplib.SMTP:
    """Python's client, under TLS that it has verified where that is possible."""
    context = ssl.create_default_context(cafile=host.trust.ca)
    context.check_hostname = False  # it is called by its address
    if port == SUBMISSIONS:
        return smtplib.SMTP_SSL(host.address, port, "crepes.fr", timeout=30, context=context)
    client = smtplib.SMTP(host.address, port, "crepes.fr", timeout=30)
    if port == SUBMISSION:
        client.starttls(context=context)
    return client


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("port", [SUBMISSION, SUBMISSIONS])
def test_smtplib_logs_in(host: Host, port: int, method: str) -> None:
    before = host.count()
    with connected(host, port) as client:
        client.ehlo()
        assert "auth" in client.esmtp_features
        client.user, client.password = BOB, PASSWORD  # type: ignore[attr-defined]
        code, _ = client.auth(method, getattr(client, f"auth_{method.lower()}"))
        assert code == 235
        client.sendmail(BOB, [BOB], ASCII)
    [message] = host.arrived(before)
    assert (message.protocol, message.content) == ("ESMTPSA", ASCII)


def test_smtplib_with_every_extension(host: Host) -> None:
    """8BITMIME, SIZE, DSN parameters and SMTPUTF8 in one connection; what is refused leaves the rest whole."""
    before = host.count()
    with connected(host) as client:
        client.ehlo()
        assert {"size", "8bitmime", "smtputf8", "dsn", "pipelining", "chunking"} <= client.esmtp_features.keys()
        client.sendmail(
            BOB, [BOB], EIGHT_BIT, ["BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B1"], ["NOTIFY=NEVER", "ORCPT=rfc822;b"]
        )
        refused = client.sendmail(EVE, [BOB, "mallory@hamburger.edu"], ASCII)
        assert {name: code for name, (code, _) in refused.items()} == {"mallory@hamburger.edu": 550}
        assert client.mail(BOB, [f"SIZE={10**12}"])[0] == 552
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "zoë@crêpes.fr", BOB, "Où ça ?"
        message.set_content("Là-bas\n")
        client.send_message(message, "zoë@xn--crpes-6ra.fr", [BOB])
    plain, other, utf8 = host.arrived(before, count=3)
    assert (plain.sender, plain.content) == (BOB, EIGHT_BIT)
    assert (other.sender, other.content) == (EVE, ASCII)
    assert (utf8.sender, utf8.protocol) == ("zoë@xn--crpes-6ra.fr", "UTF8SMTP")
    assert "Subject: Où ça ?\r\n".encode() in utf8.content


def test_the_chapter_typed_into_telnet(host: Host) -> None:
    """HELO, `MAIL FROM: <...>` with its space, a message without a header: the octets that came, after an empty header."""
    before = host.count()
    lines = [
        "HELO crepes.fr", "MAIL FROM: <alice@crepes.fr>", "RCPT TO: <bob@hamburger.edu>", "DATA", "Do you like ketchup?",
        "How about pickles?", ".", "QUIT",
    ]  # fmt: skip
    with subprocess.Popen(
        [need("telnet"), host.address, str(MX)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as telnet:
        assert telnet.stdin is not None
        assert telnet.stdout is not None
        try:
            telnet.stdin.write("".join(f"{line}\n" for line in lines).encode())  # it makes each a CRLF
            telnet.stdin.flush()
            shown = telnet.stdout.read().decode()
        finally:
            telnet.kill()
    replies = [line.strip() for line in shown.splitlines() if line[:3].isdigit()]
    assert replies[:6] == [
        f"220 {NAME} ESMTP", f"250 {NAME} Hello crepes.fr, pleased to meet you", "250 alice@crepes.fr Sender ok",
        "250 bob@hamburger.edu Recipient ok", '354 Enter mail, end with "." on a line by itself', replies[5],
    ]  # fmt: skip
    assert replies[5].startswith("250 Message accepted for delivery, ")
    assert replies[6] == f"221 {NAME} closing connection"
    [message] = host.arrived(before)
    assert (message.sender, message.protocol) == ("alice@crepes.fr", "SMTP")
    assert message.content == b"\r\nDo you like ketchup?\r\nHow about pickles?\r\n"


def test_nc_without_carriage_returns_is_told_so(host: Host) -> None:
    with socket.create_connection((host.address, MX), 30) as client:
        client.sendall(b"HELO crepes.fr\n")
        shown = b"".join(iter(lambda: client.recv(4096), b""))
    assert b"nc -C" in shown
