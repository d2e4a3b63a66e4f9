"""The servers that garbage is thrown at: one row each. A new server is a new row of SERVERS."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode

from tests.addresses import own_address
from tests.http.http2 import OPENING, POST, data, request, settings, window
from tests.processes import Running, running, twistd

Where = tuple[str, int] | str
"""An address and port, or the path of a Unix socket."""
PATIENCE = 60.0
"""Seconds in which any answer has come, on a machine that is very busy."""


@dataclass(frozen=True)
class Server:
    """One service under twistd, on its own address."""

    name: str
    port: int
    transports: tuple[str, ...]
    options: Callable[[str, Path], tuple[str, ...]]
    """The command line for an address and a directory."""
    conversations: tuple[bytes, ...]
    """What right clients send over a connection; bytes of these are flipped."""
    answers: Callable[[Any], bool]
    """Ask a right question; whether its answer is right."""
    idle: Callable[[float], tuple[str, ...]]
    """Options that shorten its time-outs to some seconds."""
    drip: bytes
    """What a slow client sends, an octet at a time; it must not be complete within the time-outs."""
    datagrams: tuple[bytes, ...] = ()
    """Right datagrams; the conversations where none are given."""
    latency: bool = True
    """Whether `answers` takes no longer than the server needs."""
    path: str = ""
    """Its Unix socket below the directory, instead of address and port."""


def connect(address: Where) -> socket.socket:
    """A connection with a bound on every wait."""
    if isinstance(address, str):
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(PATIENCE)
        made.connect(address)
    else:
        made = socket.create_connection(address, PATIENCE)
        made.settimeout(PATIENCE)
    return made


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the server's end of the connection, also when it is a reset."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def upper_options(address: str, directory: Path) -> tuple[str, ...]:
    return ("netstack-upper", f"--address={address}", "--listen=tcp:12000", "--listen=udp:12000")


def upper_answers(address: tuple[str, int]) -> bool:
    with connect(address) as connection, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        connection.sendall(b"still there?")
        datagrams.settimeout(PATIENCE)
        datagrams.sendto(b"and you?", address)
        return read_all(connection) == b"STILL THERE?" and datagrams.recv(65536) == b"AND YOU?"


def health_options(address: str, directory: Path) -> tuple[str, ...]:
    return (*upper_options(address, directory), "--health=9100")


def health_answers(address: tuple[str, int]) -> bool:
    with connect(address) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return read_all(connection).startswith(b"HTTP/1.1 200 ")


ZONE = """$TTL 3600
@ SOA dns.umass.edu. hostmaster.umass.edu. 1 3600 600 86400 300
@ NS dns
dns A 128.119.40.1
gaia.cs A 128.119.40.111
www CNAME gaia.cs
text TXT "some words" "and more"
*.wild A 128.119.40.2
"""


def dns_options(address: str, directory: Path) -> tuple[str, ...]:
    (directory / "umass.edu.zone").write_text(ZONE)
    listen = [f"--listen={kind}:5300:interface={address}" for kind in ("udp", "tcp")]
    small = "--compiled-bytes=100000"  # full before the memory is first looked at
    return ("netstack-dns", f"--zone=umass.edu={directory}/umass.edu.zone", small, *listen)


def dns_query(name: str, rdtype: str, size: int = 1232) -> bytes:
    return dns.message.make_query(name, rdtype, id=4711, use_edns=0 if size else -1, payload=size or None).to_wire()


def dns_answers(address: tuple[str, int]) -> bool:
    query = dns.message.make_query("gaia.cs.umass.edu", "A")
    over_tcp = dns.query.tcp(query, address[0], PATIENCE, address[1])  # it is refused where nobody listens yet
    over_udp = dns.query.udp(query, address[0], PATIENCE, address[1])
    return all("128.119.40.111" in reply.to_text() for reply in (over_udp, over_tcp))


def resolver_options(address: str, directory: Path) -> tuple[str, ...]:
    """A resolver whose root does not answer: every good question costs it a resolution that fails."""
    listen = [f"--listen={kind}:5300:interface={address}" for kind in ("udp", "tcp")]
    root = ("--hint=a.root-servers.net=127.0.0.1", "--upstream-port=9")
    return ("netstack-resolver", *root, "--first-timeout=0.01", "--deadline=0.02", *listen)


def resolver_answers(address: tuple[str, int]) -> bool:
    query = dns.message.make_query("gaia.cs.umass.edu", "A")
    over_tcp = dns.query.tcp(query, address[0], PATIENCE, address[1])  # it is refused where nobody listens yet
    over_udp = dns.query.udp(query, address[0], PATIENCE, address[1])
    return over_udp.rcode() == over_tcp.rcode() == dns.rcode.SERVFAIL


QUERIES = tuple(
    dns_query(name, rdtype, size)
    for name, rdtype, size in (
        ("gaia.cs.umass.edu", "A", 1232),
        ("www.umass.edu", "AAAA", 0),
        ("umass.edu", "SOA", 512),
        ("x.y.wild.umass.edu", "ANY", 4096),
        ("no.such.umass.edu", "HTTPS", 1232),
        (".", "NS", 0),
    )
)


def origin_options(address: str, directory: Path) -> tuple[str, ...]:
    site = directory / "site"
    site.mkdir(exist_ok=True)
    (site / "index.html").write_text("<p>What do you want?</p>\n")
    (site / "large.bin").write_bytes(bytes(range(256)) * 400)
    return (
        "netstack-origin",
        f"--site=www.someschool.edu={site}",
        f"--listen=tcp:8080:interface={address}",
        "--no-access-log",
        "--memo=64",  # full before the memory is first looked at
    )


def origin_answers(address: tuple[str, int]) -> bool:
    with connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: www.someschool.edu\r\nConnection: close\r\n\r\n")
        reply = read_all(connection)
    return reply.startswith(b"HTTP/1.1 200 ") and reply.endswith(b"<p>What do you want?</p>\n")


REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: www.someschool.edu\r\nUser-Agent: Mozilla/5.0\r\nAccept-Language: fr\r\n\r\n",
    b"GET /large.bin HTTP/1.1\r\nHost: www.someschool.edu\r\nRange: bytes=10-500\r\n\r\n",
    b"HEAD /index.html HTTP/1.1\r\nHost: www.someschool.edu\r\nIf-Modified-Since: Wed, 09 Sep 2015 09:23:24 GMT\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: www.someschool.edu\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /a%20b/../x?q=1 HTTP/1.1\r\nHost: www.someschool.edu\r\nContent-Length: 3\r\n\r\nabc" + b"GET / HTTP/1.0\r\n\r\n",
)


MULTIPLEXED = (
    OPENING + b"".join(request(number).serialize() for number in (1, 3, 5)),
    OPENING
    + request(1, ended=False, fields=POST).serialize()
    + data(1, b"hello").serialize()
    + data(1, b"", True).serialize(),
    OPENING + settings(INITIAL_WINDOW_SIZE=10).serialize() + request(1).serialize() + window(1, 100).serialize() * 3,
)
"""The same over HTTP/2."""


def cache_options(address: str, directory: Path) -> tuple[str, ...]:
    """A cache whose origins are all down."""
    return (
        "netstack-cache", f"--listen=tcp:8080:interface={address}", "--origin=www.someschool.edu=http://127.0.0.1:9",
        "--resolver=127.0.0.1:9", "--connect-seconds=0.2", "--memo=64", "--no-access-log", f"--state={directory}/state",
        "--ports=9", "--reach=127.0.0.0/8",
    )  # fmt: skip


def cache_answers(address: tuple[str, int]) -> bool:
    with connect(address) as connection:
        connection.sendall(b"GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        reply = read_all(connection)
    return reply.startswith(b"HTTP/1.1 502 ") and b"error=connection_refused" in reply


THROUGH = (
    b"GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: 127.0.0.1:9\r\nCache-Control: max-age=5, max-stale\r\n\r\n",
    b'GET /index.html HTTP/1.1\r\nHost: www.someschool.edu\r\nRange: bytes=1-2\r\nIf-Range: "x"\r\nVia: 1.1 other\r\n\r\n',
    b"POST http://127.0.0.1:9/a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PURGE / HTTP/1.1\r\nHost: www.someschool.edu\r\nPurge-Key: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: www.someschool.edu\r\nMax-Forwards: 0\r\n\r\n",
    b"TRACE http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n",
    b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n\r\nhello",
)
"""For a proxy."""


def registrar_options(address: str, directory: Path) -> tuple[str, ...]:
    """A registrar whose registry does not answer."""
    (directory / "key").write_text('key "k" { algorithm hmac-sha256; secret "c2VjcmV0IHNlY3JldCBzZWNyZXQ="; };\n')
    return (
        "netstack-registrar", f"--tsig={directory}/key", "--registry=com=127.0.0.1:9%k", "--patience=0.05", "--plain",
        f"--listen=tcp:8080:interface={address}", f"--state={directory}/state", "--no-access-log",
    )  # fmt: skip


def registrar_answers(address: tuple[str, int]) -> bool:
    with connect(address) as connection:
        connection.sendall(b"GET /rdap/help HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        reply = read_all(connection)
    return reply.startswith(b"HTTP/1.1 200 ") and b"rdap_level_0" in reply


WISH = b'{"name": "utopia.com", "servers": ["ns.x.test", {"name": "a.utopia.com", "addresses": ["10.0.0.1"]}], "years": 1}'
FORM = b"name=utopia.com&server=a.utopia.com&addresses=10.0.0.1&server=&addresses=&ds=&years=1&token=1.ab"
REGISTRATIONS = (
    b"POST /api/domains HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    % (len(WISH), WISH),
    b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%b"
    % (len(FORM), FORM),
    b"DELETE /api/domains/utopia.com HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n\r\n",
    b"GET /rdap/domain/xn--bcher-kva.com HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /manage?name=b%C3%BCcher.com HTTP/1.1\r\nHost: x\r\n\r\n",
)


def control_options(address: str, directory: Path) -> tuple[str, ...]:
    return ("netstack-internet", "--world=small", f"--state={directory}/state")


def control_answers(path: str) -> bool:
    with connect(path) as connection:
        connection.sendall(b'{"id": 1, "verb": "inspect", "arguments": {"host": "gaia.cs.umass.edu"}}\n')
        answer = json.loads(connection.makefile("rb").readline())
        return bool(answer["result"]["zones"] == [] and answer["result"]["resolver"] is None)


CONTROL = tuple(
    json.dumps({"id": number, "verb": verb, "arguments": arguments}).encode() + b"\n"
    for number, (verb, arguments) in enumerate(
        (
            ("status", {}),
            ("inspect", {"host": "dns.nyu.edu"}),
            ("environment", {"host": "cse.nyu.edu"}),
            ("resolve", {"name": "gaia.cs.umass.edu", "type": "A", "host": "cse.nyu.edu", "trace": True}),
            ("get", {"url": "https://gaia.cs.umass.edu/", "host": "cse.nyu.edu", "headers": [["Accept", "text/html"]]}),
            ("flush", {"hosts": ["dns.nyu.edu"]}),
            ("links.list", {}),
            ("links.set", {"site": "umass", "direction": "up", "changes": {"delay": 0.001, "rate_bps": None, "loss": 0}}),
            ("journal.enable", {"hosts": ["cse.nyu.edu"]}),
            ("journal.read", {"hosts": ["cse.nyu.edu"], "protocol": "dns", "octets": True}),
            ("journal.follow", {"hosts": [], "protocol": "http"}),
            ("cancel", {"id": 10}),
            ("journal.clear", {}),
            ("journal.disable", {}),
            ("ca", {}),
        )
    )
)
"""A request for each verb but `stop`, which would do what it says."""

SERVERS = (
    Server(
        name="upper",
        port=12000,
        transports=("tcp", "udp"),
        options=upper_options,
        conversations=(b"what do you want?", "à l'œuf, ß, ΐ\n".encode(), b"x" * 5000),
        answers=upper_answers,
        idle=lambda seconds: (f"--idle={seconds}", "--linger=2"),
        drip=b"",  # the first octet is the sentence
    ),
    Server(
        name="health",  # the same responder in every service
        port=9100,
        transports=("tcp",),
        options=health_options,
        conversations=(
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nUser-Agent: Prometheus/2.42.0\r\nAccept: text/plain\r\n\r\n",
            b"GET /livez HTTP/1.0\r\n\r\n",
            b"HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        answers=health_answers,
        idle=lambda seconds: (),
        drip=b"",
        latency=False,
    ),
    Server(
        name="dns",
        port=5300,
        transports=("tcp", "udp"),
        options=dns_options,
        conversations=tuple(len(query).to_bytes(2, "big") + query for query in QUERIES),
        answers=dns_answers,
        idle=lambda seconds: (f"--tcp-idle={seconds}", "--tcp-connections=6000"),
        drip=(len(QUERIES[0]) * 40).to_bytes(2, "big") + QUERIES[0] * 40,
        datagrams=QUERIES,
    ),
    Server(
        name="resolver",
        port=5300,
        transports=("tcp", "udp"),
        options=resolver_options,
        conversations=tuple(len(query).to_bytes(2, "big") + query for query in QUERIES),
        answers=resolver_answers,
        idle=lambda seconds: (f"--tcp-idle={seconds}", "--tcp-connections=6000"),
        drip=(len(QUERIES[0]) * 40).to_bytes(2, "big") + QUERIES[0] * 40,
        datagrams=QUERIES,
        latency=False,
    ),
    Server(
        name="origin",
        port=8080,
        transports=("tcp",),
        options=origin_options,
        conversations=REQUESTS + MULTIPLEXED,
        answers=origin_answers,
        idle=lambda seconds: (f"--head-seconds={seconds}", f"--idle-seconds={seconds}"),
        drip=b"GET / HTTP/1.1\r\nHost: www.someschool.edu\r\nX-Slow: " + b"z" * 2000,
    ),
    Server(
        name="cache",
        port=8080,
        transports=("tcp",),
        options=cache_options,
        conversations=THROUGH + MULTIPLEXED,
        answers=cache_answers,
        idle=lambda seconds: (f"--head-seconds={seconds}", f"--idle-seconds={seconds}"),
        drip=b"GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"z" * 2000,
    ),
    Server(
        name="registrar",
        port=8080,
        transports=("tcp",),
        options=registrar_options,
        conversations=REGISTRATIONS,
        answers=registrar_answers,
        idle=lambda seconds: (f"--head-seconds={seconds}", f"--idle-seconds={seconds}"),
        drip=b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"z" * 2000,
        latency=False,
    ),
    Server(
        name="control",
        port=0,
        path="netstack/small/control.sock",
        transports=("unix",),
        options=control_options,
        conversations=(*CONTROL, b"".join(CONTROL)),
        answers=control_answers,
        idle=lambda seconds: (),  # its clients are programs of the same user, and may follow for hours
        drip=b"",
        latency=False,
    ),
)


def wait_until_up(server: Server, process: Running, address: Where) -> None:
    """Until it answers; fails with its log when it does not, or wrongly."""

    def answers() -> bool:
        assert server.answers(address)
        return True

    process.wait_until(answers, f"{server.name} answers")


@contextmanager
def started(server: Server, directory: Path, *more: str) -> Iterator[tuple[Running, Any]]:
    """The server in a process of its own, and where it answers; nothing wrong is in its log at the end."""
    own = own_address()
    address: Where = str(directory / server.path) if server.path else (own, server.port)
    command = twistd(*server.options(own, directory), *more)
    with running(*command, ready="starting up", XDG_RUNTIME_DIR=str(directory)) as process:
        wait_until_up(server, process, address)
        yield process, address
