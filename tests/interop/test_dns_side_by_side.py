"""The same zone in BIND, NSD and ours: the same questions, right ones and wrong ones, get the same replies.

Where they do not, `DIFFERENT` says whose reply is another and why ours is as it is; a row that is no longer true fails.
"""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest

from tests.addresses import own_address
from tests.interop.dns_programs import PORT, named, nsd
from tests.processes import running, twistd

ZONE = (
    """$TTL 2d
@            SOA   dns hostmaster 2026112001 2h 1h 2w 1h
             NS    dns
             NS    dns.elsewhere.org.
             MX    10 mail
             MX    20 relay.far.example.net.
             MX    30 alias
             A     10.1.0.1
             TXT   "v=spf1 -all" "second string"
             CAA   0 issue "ca.test"
             HTTPS 1 . alpn="h2,http/1.1" ipv4hint=10.1.0.1
             LOC   42 21 54 N 71 06 18 W -24m 30m
             NAPTR 100 10 "U" "E2U+sip" "!^.*$!sip:info@x.test!" .
dns          A     10.1.0.8
mail         A     10.1.0.2
             AAAA  2001:db8::2
gaia.cs      A     10.1.0.3
alias        CNAME gaia.cs
alias2       CNAME alias
dangling     CNAME nowhere
away         CNAME www.elsewhere.org.
below        CNAME host.phys
loop         CNAME loop2
loop2        CNAME loop
cnn          A     10.1.1.1
             A     10.1.1.2
             A     10.1.1.3
_sip._tcp    SRV   0 5 5060 mail
             SRV   0 9 5060 alias
_dns         SVCB  1 dns alpn=dot
svcalias     HTTPS 0 svctarget
svctarget    HTTPS 1 . alpn=h2
             A     10.1.0.30
_443._tcp    TLSA  3 1 1 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
odd          TYPE65280 \\# 3 010203
host         SSHFP 1 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
             HINFO "PC" "UNIX"
             RP    admin.x.test. .
a.b.c        TXT   deep
*.wild       A     10.1.0.9
             TXT   wild
x.y.wild     A     10.1.0.10
*.wcname     CNAME gaia.cs
*.wmx        MX    5 mail
1.0          PTR   gaia.cs
phys         NS    dns.phys
             NS    dns.elsewhere.org.
dns.phys     A     10.1.0.20
             AAAA  2001:db8::20
bare         NS    ns.elsewhere.org.
sib          NS    dns.phys
signed       NS    dns.signed
signed       DS    4711 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF
dns.signed   A     10.1.0.21
old          DNAME new
host.new     A     10.1.0.40
www.new      CNAME host.new
gone         DNAME elsewhere.org.
far          DNAME LONGnew
*.wdname     DNAME new
""".replace("LONG", "x." * 20)
    + "".join(f"many A 10.2.0.{number}\n" for number in range(1, 101))
)


@dataclass(frozen=True)
class Net:
    """Where each answers."""

    ours: str
    bind: str
    nsd: str


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    directory = tmp_path_factory.mktemp("side")
    (directory / "zone").write_text(ZONE)
    made = Net(own_address(), "127.0.0.1", own_address())
    options = (
        "recursion no; minimal-responses no-auth; minimal-any yes; allow-transfer { none; }; dnssec-validation no;"
        "version none; hostname none; server-id none;"
    )
    zones = f'zone "side.test" {{ type primary; file "{directory}/zone"; }};'
    ours = (
        "netstack-dns", f"--zone=side.test={directory}/zone", f"--address={made.ours}", f"--listen=udp:{PORT}",
        f"--listen=tcp:{PORT}", f"--state={directory}/state", "--rotation=fixed",
    )  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(running(*twistd(*ours), ready="serves 1 zones on tcp"))
        stack.enter_context(named(directory / "named", made.bind, options, zones))
        settings = "minimal-responses: yes\n    hide-version: yes\n    rrl-ratelimit: 0"
        stack.enter_context(nsd(directory, made.nsd, "zone:\n    name: side.test\n    zonefile: zone", settings))
        yield made


LONG = f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 25}"
QUESTIONS = """
@ A; @ AAAA; @ NS; @ MX; @ SOA; @ TXT; @ CAA; @ HTTPS; @ SVCB; @ LOC; @ NAPTR; @ TYPE65280; @ DS; @ DNSKEY; @ NSEC
dns A; DNS A; mail AAAA; gaia.cs A; gaia.cs MX; cs A; b.c TXT; c TXT; a.b.c TXT; x.a.b.c TXT; host SSHFP; host HINFO
host RP; nowhere A; x.nowhere A; nowhere.gaia.cs A; x.alias A; 1.0 PTR; odd TYPE65280; odd TYPE65281; odd A; cnn A
many A; many A edns; many A tcp; many A edns bufsize=4096; many A edns bufsize=100; alias A; alias CNAME; alias TXT
alias2 A; dangling A; away A; below A; loop A; loop CNAME; alias DS; alias ANY; _sip._tcp SRV; _tcp SRV; _dns SVCB
_dns HTTPS; svcalias HTTPS; svcalias A; svctarget HTTPS; _443._tcp TLSA; x._tcp A; x.wild A; a.b.wild A; wild A
y.wild A; z.y.wild A; x.y.wild A; *.wild A; x.*.wild A; x.wild MX; wcname A; x.wcname A; x.wmx MX; phys A; phys NS
phys DS; host.phys A; dns.phys A; dns.phys AAAA; bare A; x.bare NS; sib A; x.sib A; phys SOA; phys ANY; bare TXT
signed DS; signed A; signed DS do; x.signed DS; signed NS; dns.signed A; old A; old DNAME; host.old A; www.old A
no.old A; host.old CNAME; host.old DNAME; x.gone A; host.old TXT; host.old ANY; LONG.far A; x.wdname DNAME; x.wdname A
y.x.wdname A; @ A class=CH; @ A class=HS; @ A class=ANY; @ A class=NONE; @ A class=7; version.bind. TXT class=CH
id.server. TXT class=CH; hostname.bind. TXT class=CH; version.server. TXT class=CH; x.bind. TXT class=CH
version.bind. A class=CH; @ ANY; dns ANY; nowhere ANY; wild ANY; x.wild ANY; odd ANY; @ ANY tcp; cs ANY; @ RRSIG
@ MAILA; @ MAILB; @ MD; @ MF; @ NULL; @ WKS; @ A rd; @ A cd; @ A ad; @ A z; @ A aa; @ A tc; @ A ra; nowhere A rd cd ad
@ A do; nowhere A do; @ A do cd; dns A edns bufsize=0; @ A edns=1; @ A edns=255; nowhere A edns=1
@ A edns opt=65001:0102; @ A edns opt=3:; @ A edns opt=10:0102030405060708; @ A edns opt=10:01
@ A edns ednsflags=0001; @ A edns ednsflags=4000; @ A edns opt=8:00010000; @ A edns opt=12:0000; @ A edns opt=11:
elsewhere.org. A; . NS; test. A; www.elsewhere.org. A rd; . ANY; SIDE.TEST. SOA; xside.test. A; @ A opcode=1
@ A opcode=2; @ A opcode=3; @ A opcode=6; @ A opcode=15; @ SOA opcode=4; elsewhere.org. SOA opcode=4; @ SOA opcode=5
@ AXFR; @ AXFR tcp; @ IXFR; @ IXFR tcp; elsewhere.org. AXFR tcp; @ OPT; @ TSIG; @ TKEY; @ TYPE0; @ TYPE255 class=ANY
raw=header; raw=short; raw=questionless; raw=two; raw=trailing; raw=cutname; raw=cuttype; raw=loop; raw=forward
raw=label; raw=long; raw=answer; raw=authority; raw=additional; raw=twoopts; raw=optname; raw=optcut; raw=optanswer
raw=reply; raw=counts; raw=tsig
"""

SIDE = dns.name.from_text("side.test")
_ASK = SIDE.to_wire() + b"\0\1\0\1"
OPT = b"\0\0\x29\4\xd0\0\0\0\0\0\0"


def _raw(counts: tuple[int, int, int, int], rest: bytes, flags: int = 0) -> bytes:
    return b"\x12\x34" + struct.pack("!5H", flags, *counts) + rest


RAW = {
    "header": _raw((1, 0, 0, 0), b""),
    "short": b"\x12\x34\0\0\0\1\0",
    "questionless": _raw((0, 0, 0, 0), b""),
    "two": _raw((2, 0, 0, 0), _ASK + _ASK),
    "trailing": _raw((1, 0, 0, 0), _ASK + b"garbage"),
    "cutname": _raw((1, 0, 0, 0), b"\4side\4te"),
    "cuttype": _raw((1, 0, 0, 0), SIDE.to_wire() + b"\0"),
    "loop": _raw((1, 0, 0, 0), b"\xc0\x0c\0\1\0\1"),
    "forward": _raw((1, 0, 0, 0), b"\xc0\x20\0\1\0\1" + bytes(20)),
    "label": _raw((1, 0, 0, 0), b"\x80side\0\0\1\0\1"),
    "long": _raw((1, 0, 0, 0), (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1"),
    "answer": _raw((1, 1, 0, 0), _ASK + b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4"),
    "authority": _raw((1, 0, 1, 0), _ASK + b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4"),
    "additional": _raw((1, 0, 0, 1), _ASK + b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4"),
    "twoopts": _raw((1, 0, 0, 2), _ASK + OPT + OPT),
    "optname": _raw((1, 0, 0, 1), _ASK + b"\1x" + OPT),
    "optcut": _raw((1, 0, 0, 1), _ASK + OPT[:-2] + b"\0\4\0\3\0\x09"),
    "optanswer": _raw((1, 1, 0, 0), _ASK + OPT),
    "reply": _raw((1, 0, 0, 0), _ASK, 0x8000),
    "counts": _raw((1, 0, 0, 9), _ASK + OPT),
    "tsig": _raw((1, 0, 0, 1), _ASK + b"\3key\0\0\xfa\0\xff\0\0\0\0\0\3abc"),
}
FLAGS = {"rd": 0x0100, "cd": 0x0010, "ad": 0x0020, "z": 0x0040, "aa": 0x0400, "tc": 0x0200, "ra": 0x0080}


def octets(asked: str) -> bytes:
    """A question's message; names without a final dot are the zone's."""
    if asked.startswith("raw="):
        return RAW[asked[4:]]
    name, rdtype, *words = asked.split()
    options = dict(word.partition("=")[::2] for word in words)
    owner = dns.name.from_text(name.replace("LONG", LONG), SIDE)
    rdclass = options.get("class", "IN")
    flags = sum(FLAGS.get(word, 0) for word in options) | int(options.get("opcode", "0")) << 11
    opt, edns = b"", "do" in options or "edns" in options
    if edns:
        extra = b""
        if "opt" in options:
            code, _, value = options["opt"].partition(":")
            extra = struct.pack("!HH", int(code), len(value) // 2) + bytes.fromhex(value)
        version, size = int(options.get("edns") or "0"), int(options.get("bufsize", "1232"))
        bits = int(options.get("ednsflags", "0"), 16) | (0x8000 if "do" in options else 0)
        opt = b"\0\0\x29" + struct.pack("!HBBHH", size, 0, version, bits, len(extra)) + extra
    number = int(rdclass) if rdclass.isdigit() else dns.rdataclass.from_text(rdclass)
    question = owner.to_wire() + struct.pack("!HH", dns.rdatatype.from_text(rdtype), number)
    authority = b""
    if rdtype == "IXFR":
        authority = b"\xc0\x0c\0\6\0\1\0\0\0\0\0\x16\0\0" + struct.pack("!5I", 2026112001, 1, 1, 1, 1)
    return _raw((1, 0, bool(authority), bool(opt)), question + authority + opt, flags)


@dataclass(frozen=True)
class Seen:
    """A reply as far as it has to agree."""

    head: str
    answer: frozenset[str] = frozenset()
    authority: frozenset[str] = frozenset()
    additional: frozenset[str] = frozenset()
    edns: str = ""

    def __str__(self) -> str:
        parts = (sorted(self.answer), sorted(self.authority), sorted(self.additional))
        return f"{self.head} {self.edns} " + " | ".join(
            ", ".join(part[:4]) + (" ..." if len(part) > 4 else "") for part in parts
        )


def ask(address: str, asked: str, patience: float = 0.4) -> Seen:
    """What a server replies; over UDP within `patience` seconds."""
    stream = asked.endswith(" tcp")
    query = octets(asked.removesuffix(" tcp"))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as client:
        client.settimeout(20.0 if stream else patience)
        client.connect((address, PORT))
        try:
            if stream:
                client.sendall(struct.pack("!H", len(query)) + query)
                data = client.recv(2)
                while len(data) < 2 + struct.unpack("!H", data[:2])[0]:
                    data += client.recv(65535)
                data = data[2:]
            else:
                client.send(query)
                data = client.recv(65535)
        except (TimeoutError, ConnectionResetError, struct.error):
            return Seen("no reply")
    return read(data, query)


def read(data: bytes, query: bytes) -> Seen:
    assert data[:2] == query[:2]
    message = dns.message.from_wire(data, ignore_trailing=True)
    flags = int.from_bytes(data[2:4], "big")
    bits = [name for name, bit in (("QR", 0x8000), *((key.upper(), bit) for key, bit in FLAGS.items())) if flags & bit]
    question = "no question" if not message.question else "question"
    edns = "" if message.edns < 0 else f"EDNS{message.edns} {'DO ' if message.ednsflags & dns.flags.DO else ''}"
    if message.edns >= 0 and message.ednsflags & 0x7FFF:
        edns += f"flags {message.ednsflags & 0x7FFF:x} "
    opcode = dns.opcode.to_text(message.opcode())
    head = f"{opcode} {dns.rcode.to_text(message.rcode())} {' '.join(bits)} {question}"
    sections = (
        frozenset(f"{rrset.name} {rrset.ttl} {rrset.rdtype.name} {rdata}".lower() for rrset in section for rdata in rrset)
        for section in (message.answer, message.authority, message.additional)
    )
    return Seen(head, *sections, edns.strip())


ASKED = [asked.strip() for line in QUESTIONS.strip().splitlines() for asked in re.split(";", line)]
BOTH = "BIND and NSD"
CHAOS = (
    "we REFUSE what we do not tell; BIND has an empty zone for each of these names, NSD tells the host's name unless hidden"
)
CD = "RFC 4035 §3.2.2: CD is copied into the reply; NSD clears it"
META = "types of OPT, TSIG and TKEY are no questions (RFC 6895 §3.1); NSD looks them up"
QUESTION = "NSD leaves the question out of errors"
BROKEN = "BIND gives the question back where it could be read; a header is enough"
DIFFERENT: dict[str, tuple[str, str]] = {
    "many A": ("BIND", "BIND fills a truncated reply with a part of the RRset, which nobody may use (RFC 2181 §9)"),
    "loop A": ("NSD", "RFC 1034 §3.6.2: a loop of aliases is an error"),
    "host.old ANY": ("BIND", "ANY follows what a DNAME makes of the name (RFC 6672 §3.2); BIND stops"),
    "@ A class=HS": ("NSD", QUESTION),
    "@ A class=ANY": ("BIND", "RFC 1034 §6.2.2: any class is ours as well, without authority; BIND says FORMERR"),
    "@ A class=NONE": (BOTH, "BIND: FORMERR; " + QUESTION),
    "@ A class=7": (BOTH, "a class that we do not serve is REFUSED; BIND: NOTIMP; " + QUESTION),
    "version.bind. TXT class=CH": ("BIND", CHAOS),
    "id.server. TXT class=CH": (BOTH, CHAOS),
    "hostname.bind. TXT class=CH": (BOTH, CHAOS),
    "version.bind. A class=CH": ("BIND", CHAOS),
    "@ ANY": (BOTH, "RFC 8482 §4.1: any one RRset; ours is an address"),
    "@ ANY tcp": (BOTH, "RFC 8482 §4.1: the same over TCP, where BIND gives all"),
    "@ MAILA": ("NSD", "obsolete types of questions (RFC 1035 §3.2.3) are NOTIMP"),
    "@ MAILB": ("NSD", "as MAILA"),
    "@ A cd": ("NSD", CD),
    "nowhere A rd cd ad": ("NSD", CD),
    "@ A do cd": ("NSD", CD),
    "@ A edns opt=10:01": (
        "NSD",
        "RFC 7873 §5.2.2: a cookie of a length that cannot be is FORMERR; NSD has no cookies here",
    ),
    "@ SOA opcode=4": (BOTH, "NOTIFY for our own zone is refused; BIND believes anybody on its own address; " + QUESTION),
    "elsewhere.org. SOA opcode=4": ("NSD", "RFC 1996 §3.10: NOTAUTH; NSD says NXDOMAIN"),
    "@ SOA opcode=5": ("NSD", "NSD has no updates"),
    "@ AXFR": (BOTH, "RFC 5936 §4.2: AXFR over UDP is FORMERR; BIND says REFUSED to whom it allows none, NSD NOTIMP"),
    "@ OPT": ("NSD", META),
    "@ TSIG": ("NSD", META),
    "@ TKEY": ("NSD", META),
    "@ TYPE255 class=ANY": (BOTH, "as ANY, and as class ANY"),
    "raw=answer": ("BIND", "a query with answers is FORMERR; BIND passes over them"),
    "raw=authority": ("NSD", "records that a query needs not have are passed over"),
    "raw=additional": ("NSD", "as authority"),
    "raw=twoopts": ("BIND", BROKEN),
    "raw=optname": ("BIND", BROKEN),
    "raw=optcut": ("BIND", BROKEN),
    "raw=optanswer": ("BIND", BROKEN),
    "raw=counts": ("BIND", BROKEN),
    "raw=tsig": ("BIND", BROKEN),
}


def differs(ours: Seen, theirs: Seen, nsd: bool) -> bool:
    """NSD adds addresses to referrals alone; others add them to answers, which nobody has to (RFC 1034 §4.3.2)."""
    if nsd and ours.answer:
        return (ours.head, ours.answer, ours.authority, ours.edns) != (
            theirs.head,
            theirs.answer,
            theirs.authority,
            theirs.edns,
        )
    return ours != theirs


def test_the_same_questions_get_the_same_replies(net: Net) -> None:
    wrong = []
    for asked in ASKED:
        replies = {address: ask(address, asked) for address in (net.ours, net.bind, net.nsd)}
        silent = [address for address, reply in replies.items() if reply.head == "no reply"]
        if len(silent) < len(replies):  # it may be late: the machine may have other work
            replies |= {address: ask(address, asked, 3.0) for address in silent}
        ours, bind, nsd = (replies[address] for address in (net.ours, net.bind, net.nsd))
        found = " and ".join(
            name for name, theirs, is_nsd in (("BIND", bind, False), ("NSD", nsd, True)) if differs(ours, theirs, is_nsd)
        )
        if found != DIFFERENT.get(asked, ("", ""))[0]:
            wrong.append(f"{asked}: {found or 'none'} differs\n  ours {ours}\n  BIND {bind}\n  NSD  {nsd}")
    assert len(ASKED) >= 150
    assert not wrong, f"{len(wrong)} of {len(ASKED)}\n" + "\n".join(wrong)
