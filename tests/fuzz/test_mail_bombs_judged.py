"""Messages made to cost pass a mail host that judges what comes in (SPF, DKIM, DMARC), and signs what its users send."""

import smtplib
import ssl
import time
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from netstack.smtp.authentication import dkim
from tests.addresses import own_address
from tests.fuzz.test_mail_bombs import BOMBS, HEAD
from tests.fuzz.test_mail_bombs_pass import CPU, WAIT, answered
from tests.interop.smtp_hosts import BOB, EVE, MX, PASSWORD, SUBMISSION, mail_host
from tests.processes import running, twistd

OWN = b"From: <bob@hamburger.edu>\r\n"
ZONE = """$TTL 3600
hamburger.edu. SOA ns.hamburger.edu. h.hamburger.edu. 1 3600 600 86400 60
hamburger.edu. NS ns.hamburger.edu.
ns.hamburger.edu. A 192.0.2.1
hamburger.edu. TXT "v=spf1 ip4:127.0.0.0/8 -all"
_dmarc.hamburger.edu. TXT "v=DMARC1; p=reject"
s._domainkey.hamburger.edu. TXT {key}
"""


@pytest.mark.xdist_group("smtp-floods")
def test_they_are_judged_and_signed_and_nobody_waits(tmp_path: Path) -> None:
    key = generate_private_key(65537, 2048)
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    record = dkim.public_record(key)
    (tmp_path / "zone").write_text(
        ZONE.format(key=" ".join(f'"{record[at : at + 200]}"' for at in range(0, len(record), 200)))
    )
    names = own_address()
    zone = twistd(
        "netstack-dns",
        f"--zone=hamburger.edu={tmp_path}/zone",
        f"--address={names}",
        "--listen=udp:5300",
        "--listen=tcp:5300",
    )
    options = (
        f"--dkim=hamburger.edu:s={tmp_path}/key.pem",
        "--max-text-line=2000000",
        "--max-errors=100",
        "--max-head=2000000",
        "--max-fields=400000",
    )
    with (
        running(*zone, ready="serves 1 zones on tcp"),
        mail_host(tmp_path, *options, authentication=True, resolver=f"{names}:5300") as host,
    ):
        before, longest, taken, signed = host.process.cpu(), 0.0, 0, 0
        trust = ssl.create_default_context(cafile=host.certificate_file)
        with (
            smtplib.SMTP(host.address, MX, "crepes.fr", timeout=120) as server,
            smtplib.SMTP(host.address, SUBMISSION, "crepes.fr", timeout=120) as user,
        ):
            trust.check_hostname = False
            user.starttls(context=trust)
            user.login(BOB, PASSWORD)
            for bomb in BOMBS.values():
                own = bomb.replace(HEAD, OWN, 1)
                with suppress(smtplib.SMTPDataError):  # refused, and said so
                    server.sendmail(
                        BOB, [BOB], dkim.sign(own, key, "hamburger.edu", "s", time.time()) + own, ["BODY=8BITMIME"]
                    )
                    taken += 1
                with suppress(smtplib.SMTPDataError):
                    user.sendmail(BOB, [EVE], own, ["BODY=8BITMIME"])
                    signed += 1
                longest = max(longest, answered(host))
        judged, sent = host.arrived(0, BOB, taken), host.arrived(0, EVE, signed)
        spent = host.process.cpu() - before
        passed = sum(b"\tdkim=pass" in each.content[:2000] for each in judged)
        print(f"{taken} judged, {passed} pass, {signed} signed: {spent:.1f} s of CPU, others wait {longest:.2f} s at most")
        assert len(judged) == taken > len(BOMBS) // 2
        assert passed >= 10
        assert len(sent) == signed > len(BOMBS) // 3  # lines of a head that cannot be folded are refused
        assert all(each.content.startswith(b"DKIM-Signature:") for each in sent)
        assert spent < 2 * CPU * len(BOMBS)
        assert longest < WAIT
