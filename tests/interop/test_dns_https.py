"""Other people's programs and DNS over HTTPS (RFC 8484): clients of ours, and nginx between two of ours."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dns.message
import pytest

from netstack.dns.doh import MEDIA, target
from tests.addresses import own_address
from tests.interop.dns_programs import HEAD, PORT, named, run, unbound
from tests.interop.dns_secure import NAME, Trust
from tests.interop.programs import need
from tests.processes import running, twistd

QUERY = dns.message.make_query("gaia.cs.umass.edu", "A", id=0).to_wire()

TAC = """
import time
from twisted.application.service import Application
from twisted.internet import reactor
from netstack.dns import ZoneText
from netstack.kernel.real import real_machine
from netstack.kernel.tls import HostTLS
from netstack.taps import dns, resolver

application = Application("internet")
listen = ("udp:{port}", "tcp:{port}")

def add(tap, config, name, address):
    tls = HostTLS.from_files(reactor, time.time, {trust.certificate!r}, {trust.key!r}, {trust.ca!r})
    tap.build(config, real_machine(name, (address,), tls=tls)).setServiceParent(application)

zones = tuple(ZoneText(*zone) for zone in {zones!r})
add(dns, dns.Config(zones, listen), "ours", {ours!r})
hints = (("a.root-servers.net", {ours!r}),)
https = ("tls:{https}", "tcp:{plain}")
add(resolver, resolver.Config(hints, listen, port={port}, https=https), "resolver", {resolver!r})
for name, address, server in {forwards!r}:
    add(resolver, resolver.Config((), listen, forward=(server,)), name, address)
reactor.callWhenRunning(print, "all is ready")
"""

NGINX = """
worker_processes 1; daemon off; pid {directory}/pid; error_log stderr notice;
events {{ worker_connections 64; }}
http {{
    access_log {directory}/access; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    server {{
        listen {nginx}:{https} ssl; ssl_certificate {trust.certificate}; ssl_certificate_key {trust.key};
        location / {{ proxy_pass http://{resolver}:{plain}; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""


@dataclass(frozen=True)
class Net:
    """Addresses of ours, three of which forward, and of others; ports of DNS over HTTPS, and of HTTP in the clear."""

    ours: str
    resolver: str
    to_nginx: str
    to_bind: str
    to_unbound: str
    nginx: str
    unbound: str
    trust: Trust
    directory: Path
    https: int = PORT + 1
    plain: int = PORT + 2
    bind: int = PORT + 3


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    directory = tmp_path_factory.mktemp("doh")
    made = Net(*(own_address() for _ in range(7)), Trust(directory), directory)
    zones = [
        (".", HEAD + f"@ NS a.root-servers.net.\na.root-servers.net. A {made.ours}\n"
         f"umass.edu. NS {NAME}.\n{NAME}. A {made.ours}\n"),
        ("umass.edu", HEAD + f"@ NS dns\ndns A {made.ours}\ngaia.cs A 10.1.0.3\nwww A {made.resolver}\n"
         + "".join(f"many A 10.2.0.{number}\n" for number in range(1, 100))),
    ]  # fmt: skip
    forwards = [
        (name, address, f"https://{NAME}:{port}/dns-query@{server}")
        for name, address, server, port in (
            ("to-nginx", made.to_nginx, made.nginx, made.https), ("to-bind", made.to_bind, "127.0.0.1", made.bind),
            ("to-unbound", made.to_unbound, made.unbound, made.https),
        )
    ]  # fmt: skip
    key, certificate = made.trust.key, made.trust.certificate
    (directory / "bind.zone").write_text(zones[1][1].replace(made.ours, "127.0.0.1"))
    tls = f'tls local {{ key-file "{key}"; cert-file "{certificate}"; }};'
    primary = f'zone "bind.test" {{ type primary; file "{directory}/bind.zone"; }};'
    options = f"recursion yes; dnssec-validation no; listen-on port {made.bind} tls local http default {{ 127.0.0.1; }};"
    secure = f"""
    interface: {made.unbound}@{made.https}
    https-port: {made.https}
    tls-service-key: {key}
    tls-service-pem: {certificate}
stub-zone:
    name: "umass.edu"
    stub-addr: {made.ours}@{PORT}"""
    (directory / "internet.tac").write_text(TAC.format(port=PORT, zones=zones, forwards=forwards, **vars(made)))
    (directory / "nginx.conf").write_text(NGINX.format(**vars(made)))
    with ExitStack() as stack:
        stack.enter_context(running(*twistd("--python", str(directory / "internet.tac")), ready="all is ready"))
        stack.enter_context(named(directory / "named", "127.0.0.1", options, primary + tls))
        stack.enter_context(unbound(directory, made.unbound, secure))
        yield made


HOST = f"+tls-host={NAME}"
RESOLVE = ("--resolve", NAME + ":{https}:{resolver}", "--cacert", "{ca}", "-sSi", "-w", "%{{http_version}}")
URL = f"https://{NAME}:{{https}}"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            ("dig", "+https", "+tls-ca={ca}", "+tls-hostname=" + NAME, "@{resolver}", "-p", "{https}", "many.umass.edu"),
            ("status: NOERROR", "10.2.0.99", "(HTTPS)"),
        ),
        (
            ("dig", "+https-get", "+padding=128", "@{resolver}", "-p", "{https}", "gaia.cs.umass.edu"),
            ("10.1.0.3", "(HTTPS-GET)", "PAD", "rcvd: 468"),
        ),
        (("dig", "+https=/other", "+tries=1", "@{resolver}", "-p", "{https}", "umass.edu"), ("no servers could",)),
        (
            ("dig", "+http-plain", "@{resolver}", "-p", "{plain}", "gaia.cs.umass.edu"),
            ("10.1.0.3", "(HTTP)"),
        ),
        (
            ("kdig", "+https", "+tls-ca={ca}", HOST, "@{resolver}", "-p", "{https}", "gaia.cs.umass.edu"),
            ("10.1.0.3", "HTTP/2-POST", "200"),
        ),
        (
            ("kdig", "+https", "+https-get", "+tls-ca={ca}", HOST, "@{resolver}", "-p", "{https}", "many.umass.edu"),
            ("10.2.0.99", "HTTP/2-GET"),
        ),
        (
            ("curl", *RESOLVE, "--http1.1", URL + target("/dns-query", QUERY), "-o", "/dev/null", "-D", "-"),
            ("200 OK", MEDIA, "max-age=", "1.1"),
        ),
        (
            ("curl", *RESOLVE, URL + target("/dns-query", QUERY), "-o", "/dev/null", "-D", "-"),
            ("HTTP/2 200", MEDIA, "max-age="),
        ),
        (("curl", *RESOLVE, "--http1.1", "-d", "x", URL + "/dns-query"), ("415 ",)),
        (("curl", *RESOLVE, "-X", "PUT", URL + "/dns-query"), ("HTTP/2 405", "allow: GET, HEAD, POST")),
    ],
)  # fmt: skip
def test_clients(net: Net, program: tuple[str, ...], expected: tuple[str, ...]) -> None:
    written = run(*(word.format(ca=net.trust.ca, **vars(net)) for word in program))
    assert [text for text in expected if text not in written] == [], written


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_finds_names_by_our_resolver(net: Net, version: str) -> None:
    """It asks us where www.umass.edu is, then gets something from there: our resolver's 404."""
    written = run(
        "curl", version, "-sSv", "--doh-insecure", "--doh-url", f"https://{net.resolver}:{net.https}/dns-query",
        f"http://www.umass.edu:{net.plain}/",
    )  # fmt: skip
    assert "404" in written, written
    assert f"({net.resolver}) port {net.plain}" in written


def finds(server: str, zone: str) -> None:
    for name, expected in (("gaia.cs", "10.1.0.3"), ("many", "10.2.0.99"), ("nowhere", "NXDOMAIN")):
        written = run("dig", "+tries=1", f"@{server}", "-p", str(PORT), f"{name}.{zone}")
        assert expected in written, written


@pytest.mark.parametrize(("server", "zone"), [("to_bind", "bind.test"), ("to_unbound", "umass.edu")])
def test_we_ask_others(net: Net, server: str, zone: str) -> None:
    """Both speak HTTP/2 alone."""
    finds(getattr(net, server), zone)


def test_we_ask_through_nginx(net: Net) -> None:
    """Two of ours: nginx ends TLS, and takes HTTP to the other."""
    conf = str(net.directory / "nginx.conf")
    with running(need("nginx"), "-c", conf, ready="start worker process"):
        finds(net.to_nginx, "umass.edu")
        logged = (net.directory / "access").read_text()
    assert "GET /dns-query?dns=" in logged
    assert "502" not in logged
