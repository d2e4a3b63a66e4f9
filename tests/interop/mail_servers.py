"""Postfix, Exim and OpenSMTPD, each in a mount namespace in which it is installed and its files are the test's own."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.addresses import own_address
from tests.interop.debian import unpacked
from tests.interop.dns_secure import Trust
from tests.interop.programs import need
from tests.processes import Running, wait_until

PORT = 2525
USER, PASSWORD = "box", "How about pickles?"
"""Who may log in, under TLS: at Exim always, at Postfix where `options` say so."""
BOX = "box"
"""Every recipient's mail comes into this Maildir."""
_ACCOUNTS = {"postfix": 9101, "postdrop": 9102, "Debian-exim": 9103, "opensmtpd": 9104, "opensmtpq": 9105, "box": 9106}

_NAMESPACE = """
set -e
mount -t overlay overlay -o lowerdir="$ROOT/etc:/etc" /etc
mount -t overlay overlay -o lowerdir="$PACKAGES/usr:/usr" /usr
for each in lib spool log mail; do mount --bind "$ROOT/var/$each" "/var/$each"; done
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
"""


@dataclass
class MailServer:
    """One that runs: `domain` is its own, mail for hamburger.edu goes to ours."""

    kind: str
    address: str
    domain: str
    root: Path
    process: Running

    def mail(self) -> list[bytes]:
        """What is in its Maildir, with the line ends of this system."""
        directory = self.root / "var" / "mail" / BOX / "new"
        files = sorted(directory.iterdir(), key=lambda each: each.stat().st_mtime_ns) if directory.is_dir() else []
        return [each.read_bytes() for each in files]

    def wait_for_mail(self, count: int) -> list[bytes]:

        def arrived() -> list[bytes]:
            found = self.mail()
            return found if len(found) >= count else []

        return wait_until(arrived, f"{count} messages are there", told=lambda: self.process.log + self.log())

    def log(self) -> str:
        return "".join(
            each.read_text("utf-8", "replace") for each in (self.root / "var" / "log").rglob("*") if each.is_file()
        )


def _postfix(root: Path, address: str, trust: Trust, ours: str, options: str) -> str:
    package = unpacked("postfix")
    etc = root / "etc" / "postfix"
    shutil.copytree(package / "etc" / "postfix", etc)
    for name in ("postfix-files", "postfix-files.d"):
        if (package / "usr/share/postfix" / name).is_file():
            shutil.copy(package / "usr/share/postfix" / name, etc)
    (etc / "dynamicmaps.cf").write_text("")
    master = (package / "usr/share/postfix/master.cf.dist").read_text()
    lines = [line for line in master.splitlines() if line and not line.startswith(("#", "smtp      inet"))]
    services = re.sub(r"(?m)^(\S+ +\S+ +\S+ +\S+ +)y ", r"\1n ", "\n".join(lines))  # nothing runs in a chroot
    (etc / "master.cf").write_text(f"{address}:{PORT} inet n - n - 200 smtpd\n{services}\n")
    (etc / "main.cf").write_text(f"""
compatibility_level = 3.6
myhostname = mail.postfix.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
virtual_mailbox_domains = postfix.test
virtual_mailbox_base = /var/mail
virtual_mailbox_maps = inline:{{ {{ box@postfix.test = {BOX}/ }}, {{ other@postfix.test = {BOX}/ }} }}
virtual_uid_maps = static:9106
virtual_gid_maps = static:9106
transport_maps = inline:{{ {{ hamburger.edu = smtp:[{ours}]:{PORT} }} }}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = may
smtpd_tls_security_level = may
smtpd_tls_cert_file = {trust.certificate}
smtpd_tls_key_file = {trust.key}
smtputf8_enable = yes
alias_maps =
maillog_file = /var/log/postfix.log
smtpd_client_connection_count_limit = 0
{options}
""")
    return (
        "mkdir -p /var/spool/postfix /var/lib/postfix; chown postfix /var/lib/postfix; postfix check || true;"
        " exec /usr/lib/postfix/sbin/master -d"
    )


def _exim(root: Path, address: str, trust: Trust, ours: str, options: str) -> str:
    (root / "etc" / "exim4").mkdir()
    (root / "etc" / "exim4" / "exim4.conf").write_text(f"""
primary_hostname = mail.exim.test
local_interfaces = {address}
daemon_smtp_ports = {PORT}
domainlist local_domains = exim.test
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
tls_advertise_hosts = *
tls_certificate = {trust.certificate}
tls_privatekey = {trust.key}
log_file_path = /var/log/exim-%slog
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
keep_environment =
smtp_accept_queue_per_connection = 0
{options}
begin acl
rcpt:
  accept domains = +local_domains : hamburger.edu
         verify = recipient
  accept authenticated = *
         !domains = +local_domains
  deny message = relay not permitted
begin routers
ours:
  driver = manualroute
  domains = hamburger.edu
  transport = remote
  route_list = * {ours}
  self = send
box:
  driver = accept
  domains = +local_domains
  local_parts = box : other
  transport = maildir
begin transports
remote:
  driver = smtp
  port = {PORT}
  hosts_try_dane =
  tls_verify_certificates =
maildir:
  driver = appendfile
  maildir_format
  directory = /var/mail/{BOX}
  create_directory
  user = box
  group = box
begin retry
* * F,1h,1m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_advertise_condition = ${{if def:tls_in_cipher}}
  server_condition = ${{if and {{{{eq {{$auth2}}{{{USER}}}}}{{eq {{$auth3}}{{{PASSWORD}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_advertise_condition = ${{if def:tls_in_cipher}}
  server_condition = ${{if and {{{{eq {{$auth1}}{{{USER}}}}}{{eq {{$auth2}}{{{PASSWORD}}}}}}}}}
  server_set_id = $auth1
""")
    return "mkdir -p /var/spool/exim4; chown Debian-exim:Debian-exim /var/spool/exim4 /var/log; exec exim4 -bdf -q1m"


def _opensmtpd(root: Path, address: str, trust: Trust, ours: str, options: str) -> str:
    for name in ("certificate", "key"):  # it takes files of its own user alone
        (root / "etc" / name).write_bytes(Path(getattr(trust, name)).read_bytes())
        (root / "etc" / name).chmod(0o600)
    (root / "etc" / "resolv.conf").write_text("lookup file\n")  # it asks for every client's name before it greets
    (root / "etc" / "smtpd.conf").write_text(f"""
pki mail cert "/etc/certificate"
pki mail key "/etc/key"
table boxes {{ "box@opensmtpd.test" = "box", "other@opensmtpd.test" = "box" }}
listen on {address} port {PORT} tls pki mail hostname mail.opensmtpd.test
action "box" maildir "/var/mail/{BOX}" virtual <boxes>
action "ours" relay host "smtp://{ours}:{PORT}" helo mail.opensmtpd.test
match from any for domain "opensmtpd.test" action "box"
match from any for domain "hamburger.edu" action "ours"
{options}
""")
    return "mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd; chmod 711 /var/spool/smtpd; exec smtpd -d -f /etc/smtpd.conf"


_Setup = Callable[[Path, str, Trust, str, str], str]
_KINDS: dict[str, tuple[_Setup, str, tuple[str, ...]]] = {
    "postfix": (_postfix, "starting the Postfix", ("postfix",)),
    "exim": (_exim, "daemon started", ("exim4-daemon-light", "exim4-base")),
    "opensmtpd": (_opensmtpd, "smtpd: info: OpenSMTPD", ("opensmtpd",)),
}
KINDS = (*_KINDS,)


POSTFIX_LOGINS = """
smtpd_sasl_auth_enable = yes
smtpd_tls_auth_only = yes
cyrus_sasl_config_path = /etc/postfix/sasl
"""


def postfix_accounts(root: Path) -> None:
    """Let Postfix's Cyrus SASL know USER and PASSWORD, for POSTFIX_LOGINS."""
    etc = root / "etc"
    (etc / "postfix" / "sasl").mkdir(exist_ok=True)
    (etc / "postfix" / "sasl" / "smtpd.conf").write_text(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: /etc/sasldb2\n"
    )
    program = unpacked("sasl2-bin") / "usr" / "sbin" / "saslpasswd2"
    command = [str(program), "-p", "-c", "-f", str(etc / "sasldb2"), "-u", "mail.postfix.test", USER]
    subprocess.run(command, input=PASSWORD.encode(), check=True, capture_output=True)
    (etc / "sasldb2").chmod(0o644)


def packages_of(kind: str) -> Path:
    """Where a server's package is unpacked. Without what that needs the test is skipped; under CI=true it fails."""
    for program in ("apt-get", "dpkg-deb", "unshare"):
        need(program)
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("mail servers change their user: this test runs as root")
    try:
        for each in reversed(_KINDS[kind][2]):
            found = unpacked(each)
        return found
    except subprocess.CalledProcessError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{kind} cannot be downloaded: {error.stderr}")


@contextmanager
def mail_server(kind: str, trust: Trust, ours: str, options: str = "") -> Iterator[MailServer]:
    """The server on an address of its own; `ours` is where mail for hamburger.edu goes. Ended by its process id."""
    packages = packages_of(kind)
    setup = _KINDS[kind][0]
    address = own_address()
    with tempfile.TemporaryDirectory(prefix=f"{kind}-", ignore_cleanup_errors=True) as directory:
        root = Path(directory)
        root.chmod(0o755)  # its users are not root
        for each in ("etc", "var/lib", "var/spool", "var/log", "var/mail"):
            (root / each).mkdir(parents=True)
        for each in ("var/log", "var/mail"):
            (root / each).chmod(0o777)
        for file, line in (("passwd", "{0}:x:{1}:{1}::/var/mail:/bin/sh\n"), ("group", "{0}:x:{1}:\n")):
            more = "".join(line.format(name, number) for name, number in _ACCOUNTS.items())
            (root / "etc" / file).write_text(Path("/etc", file).read_text() + more)
        start = setup(root, address, trust, ours, options)
        if POSTFIX_LOGINS in options:
            postfix_accounts(root)
        process = Running(
            [need("unshare"), "--mount", "bash", "-c", _NAMESPACE + start],
            {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ROOT": str(root), "PACKAGES": str(packages), "LC_ALL": "C"},
        )
        server = MailServer(kind, address, f"{kind}.test", root, process)
        try:
            _wait_until_up(server)
            yield server
        finally:
            process.end()


def _wait_until_up(server: MailServer) -> None:
    def greets() -> bool:
        assert server.process.process.poll() is None, server.process.log + server.log()
        with socket.create_connection((server.address, PORT), 20) as probe:
            probe.recv(100)
        return True

    wait_until(greets, f"{server.kind} greets", told=lambda: server.process.log + server.log())
