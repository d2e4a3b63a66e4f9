"""Zone files, updates and transfers that are wrong in every way, from one seed, and what is claimed of each.

Messages are put together from octets: their counts, lengths, pointers and order of records are ours to be wrong about.
"""

import re
import struct
from collections import Counter
from random import Random

import dns.name
import dns.rdata
import dns.rdatatype
from dns.rcode import Rcode
from dns.rdataclass import RdataClass

from netstack.dns.access import Access, Grant, UpdatePolicy
from netstack.dns.authority import Authority, Reply
from netstack.dns.history import Difference, changed
from netstack.dns.nameserver import Change, Nameserver, ZoneRules
from netstack.dns.transfer import Current, Incoming, Increments, TransferError, WholeZone
from netstack.dns.tsig import Key, ReplyCheck, Signer, signed_query
from netstack.dns.update import Refused, apply
from netstack.dns.wire import MalformedMessage
from netstack.dns.zone import Zone, ZoneError
from netstack.sansio import Now
from tests.fuzz import seeded
from tests.fuzz.garbage import damaged

ORIGIN = dns.name.from_text("umass.edu")
KEY = Key.make("updates", b"0123456789")
NOW = Now(0.0, 1_700_000_000.0)

FILES = (
    "$TTL 60\n@ SOA dns h 1 2h 1h 2w 1h\n@ NS dns\ndns A 10.0.0.1\n",
    "$ORIGIN cs\n$TTL 1h\n@ IN SOA a b (1 2 3 4\n 5) ; five\n@ IN NS a\na AAAA 2001:db8::1\n",
    '@ 60 SOA a b 1 2 3 4 5\n@ 60 NS a\n*.w 60 TXT "a;b" "\\034\\"" x\\.y\n',
    "$TTL 1\n@ SOA a b 1 2 3 4 5\n@ NS a\n$GENERATE 1-3 h$ A 10.0.0.$\n",
    "$TTL 1\n@ SOA a b 1 2 3 4 5\n@ NS a\nsub NS ns.sub\nns.sub A 10.1.1.1\nd DNAME e\nc CNAME d\n",
    "$TTL 1\n@ SOA a b 1 2 3 4 5\n@ NS a\n@ MX 10 m\nx TYPE65280 \\# 3 abcdef\ns SRV 1 2 3 t\nq HTTPS 1 . alpn=h2\n",
)
WORDS = (
    *re.findall(
        r"\S+",
        r'''$TTL $ORIGIN ( ) (( " "unclosed \ \0 \300 \# ; @ . .. * *.* a..b -1 0 4294967296 2w2w2w2w2w 1.2.3 :::: IN CH HS
        ANY CLASS255 SOA NS CNAME DNAME NSEC3 RRSIG TYPE0 TYPE65535 TYPE65536 OPT TSIG AXFR 99999999999999999999''',
    ),
    "$INCLUDE /etc/passwd", "$INCLUDE x", "$GENERATE 0-99999999 a$ A 10.0.0.1", "$GENERATE 1-2/0 x$ A 1.1.1.1",
    "$GENERATE 5-1 $ NS a", "$GENERATE 0-1 ${0,99999,d} TXT $", "\\# 4 00", "a" * 64, "a." * 140, "x" * 70000,
    "\u00e9", "\u2603", "\x00", "\x0c", "\r", "\r\n", "\n", "\n\n", "\t", " ", "\ufeff", "\x85", "\u2028",
)  # fmt: skip
"""What is put into zone files."""


def zone_file(rng: Random) -> str:
    """A file with words taken away, doubled, put in and exchanged; now and then octets that are no words at all."""
    text = rng.choice(FILES)
    if rng.randrange(8) == 0:
        return damaged(rng, text.encode()).decode("utf-8", "replace")
    parts = re.findall(r"\S+|\s", text)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(parts))
        match rng.randrange(5):
            case 0:
                del parts[at : at + rng.choice((1, 1, 3))]
                parts = parts or ["."]
            case 1:
                parts.insert(at, rng.choice(parts))
            case 2:
                parts[at] = rng.choice(WORDS)
            case 3:
                parts.insert(at, rng.choice(WORDS))
            case 4:
                other = rng.randrange(len(parts))
                parts[at], parts[other] = parts[other], parts[at]
    return "".join(parts)


def check_zone_file(rng: Random, seen: Counter[str]) -> None:
    """A zone, or ZoneError that says where."""
    text = zone_file(rng)
    try:
        Zone.from_text("umass.edu", text, "file")
    except ZoneError:
        seen["refused"] += 1
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} for {text!r}") from error
    else:
        seen["zones"] += 1


# Messages

NAMES = tuple(
    wire
    for text in ("umass.edu", "www.umass.edu", "a.b.c.umass.edu", "*.umass.edu", "nyu.edu", ".", "WWW.UMASS.EDU")
    if (wire := dns.name.from_text(text).to_wire()) is not None
)
BAD_NAMES = (
    b"\xc0\x0c", b"\xc0\x00", b"\xff\xff", b"\xc0", b"\x40abc\0", b"\x80", b"\x3f" + b"a" * 62, b"\x01", b"",
    b"\x3fa" + b"b" * 62 + (b"\x3f" + b"c" * 63) * 3 + b"\0",
)  # fmt: skip
"""Pointers to the zone's name, to the header, forwards, cut off; labels of forbidden kinds, cut off; 255 octets and more."""
TEXTS = (
    ("A", "10.0.0.2"), ("AAAA", "2001:db8::1"), ("NS", "dns.umass.edu."), ("CNAME", "www.umass.edu."), ("TXT", '"x"'),
    ("MX", "5 m.umass.edu."),
    ("SOA", "dns.umass.edu. h.umass.edu. 9 1 1 1 1"), ("DNAME", "x.umass.edu."), ("DS", "1 13 2 " + "00" * 32),
    ("SRV", "1 2 3 t."), ("HTTPS", "1 . alpn=h2"), ("NSEC3PARAM", "1 0 0 -"), ("DNSKEY", "257 3 13 AAAA"),
)  # fmt: skip
RDATA = tuple(
    (int(dns.rdatatype.from_text(rdtype)), dns.rdata.from_text(RdataClass.IN, rdtype, text).to_wire() or b"")
    for rdtype, text in TEXTS
)
TYPES = (0, 1, 2, 5, 6, 15, 16, 28, 39, 41, 43, 46, 47, 48, 50, 51, 65, 249, 250, 251, 252, 255, 257, 65280, 65535)


def name(rng: Random) -> bytes:
    """Mostly one that is a name."""
    if rng.randrange(30):
        return rng.choice(NAMES)
    return rng.choice(BAD_NAMES) if rng.randrange(3) else b"\xc0" + rng.randbytes(1)


def record(rng: Random, classes: tuple[int, ...]) -> bytes:
    """A record; its type, class, TTL and length need not be those of its octets."""
    number, rdata = rng.choice(RDATA)
    how = rng.randrange(40)
    if how == 0:
        number = rng.choice(TYPES)
    elif how == 1:
        rdata = rdata[: rng.randrange(len(rdata) + 1)]
    elif how == 2:
        rdata = rng.randbytes(rng.choice((0, 1, 4, 40)))
    elif how == 3:
        rdata = rng.choice(BAD_NAMES) + rdata
    rdclass = rng.choice(classes) if rng.randrange(20) else rng.choice((0, 1, 3, 254, 255, 65535))
    if rdclass != 1 and rng.randrange(4):
        rdata = b""
    length = len(rdata) if rng.randrange(40) else rng.choice((0, 1, len(rdata) + 1, 65535))
    ttl = rng.choice((0, 0, 60, 2**31, 2**32 - 1))
    return name(rng) + struct.pack("!HHIH", number, rdclass, ttl, length) + rdata


def message(rng: Random, flags: int, question: bytes, sections: list[list[bytes]], identity: int = 5) -> bytes:
    """With counts that lie now and then, octets that follow, and a size of 64 KiB once in a while."""
    counts = [1, *map(len, sections)]
    if rng.randrange(20) == 0:
        counts[rng.randrange(len(counts))] = rng.choice((0, 1, 2, 3, 255, 65535))
    data = struct.pack("!2H4H", identity, flags, *counts) + question + b"".join(b"".join(each) for each in sections)
    how = rng.randrange(24)
    if how == 0:
        data += rng.randbytes(rng.choice((1, 11, 65535 - len(data))))
    elif how == 1:
        data = data[: rng.randrange(12, len(data))]
    elif how == 2:
        data = damaged(rng, data)
    return data[:65535]


def update(rng: Random) -> bytes:
    """An UPDATE (RFC 2136 §2)."""
    zone = name(rng) if rng.randrange(8) == 0 else NAMES[0]
    question = zone + struct.pack("!HH", 6 if rng.randrange(12) else rng.choice(TYPES), 1 if rng.randrange(12) else 255)
    many = 1600 if rng.randrange(300) == 0 else 3
    prerequisites = [record(rng, (1, 254, 255)) for _ in range(rng.randrange(3) if rng.randrange(2) else 0)]
    changes = [record(rng, (1, 1, 254, 255)) for _ in range(rng.randrange(many + 1))]
    return message(rng, 0x2800, question, [prerequisites, changes, []], rng.getrandbits(16))


def nameserver() -> Nameserver:
    """A primary that takes updates under KEY."""
    zone = Zone.from_text("umass.edu", FILES[0] + "www A 10.0.0.2\nsub NS ns.sub\nns.sub A 10.1.1.1\n")
    rules = {ORIGIN: ZoneRules(Access.of(["updates"]), UpdatePolicy([Grant.parse("updates zone")]))}
    return Nameserver(Authority([zone]), {KEY.name: KEY}, rules)


SERVER = nameserver()
REFUSALS = {
    Rcode.FORMERR, Rcode.SERVFAIL, Rcode.NXDOMAIN, Rcode.REFUSED, Rcode.NOTIMP, Rcode.NOTAUTH, Rcode.NOTZONE, Rcode.YXDOMAIN,
    Rcode.YXRRSET, Rcode.NXRRSET, Rcode.NOERROR,
}  # fmt: skip


def check_update(rng: Random, seen: Counter[str]) -> None:
    """A reply of its id, or a change that leads to a whole zone or is refused; the zone served stays as it is."""
    data = update(rng)
    sent = data
    if rng.randrange(6) and data[10:12] != b"\xff\xff":
        sent, _ = signed_query(data, KEY, NOW.wall)
        if rng.randrange(10) == 0:
            sent = damaged(rng, sent)
    served = SERVER.authority.zones[ORIGIN]
    try:
        outcome = SERVER.receive(sent, True, "10.0.0.9", NOW)
        if isinstance(outcome, Reply):
            assert outcome.data[:2] == sent[:2]
            assert outcome.data[2] & 0x80
            assert outcome.rcode in REFUSALS
            seen[outcome.rcode.name] += 1
        elif isinstance(outcome, Change):
            try:
                found = apply(served, outcome.update, lambda owner, rdtype: True)
                after = served if found is None else changed(served, [found])
            except (Refused, ZoneError) as refused:
                code = getattr(refused, "rcode", Rcode.REFUSED)
                assert code in REFUSALS - {Rcode.NOERROR}
                seen[code.name] += 1
            else:
                assert after.soa.name == ORIGIN
                seen["changes" if found else "nothing"] += 1
        else:
            seen["other"] += 1
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} for {sent.hex()}") from error


def soa(serial: int, owner: bytes = NAMES[0]) -> bytes:
    rdata = NAMES[0] + NAMES[0] + struct.pack("!5I", serial, 1, 1, 1, 1)
    return owner + struct.pack("!HHIH", 6, 1, 60, len(rdata)) + rdata


def transfer(rng: Random, serial: int | None) -> list[bytes]:
    """The messages of a reply to AXFR or IXFR, with records of every kind, SOA records where none belongs or missing."""
    records = [soa(3), NAMES[0] + struct.pack("!HHIH", 2, 1, 60, 15) + b"\3dns\5umass\3edu\0"]
    if serial is not None and rng.randrange(2):
        records[1:] = [soa(serial), *[record(rng, (1,)) for _ in range(rng.randrange(2))], soa(3)]
    records += [record(rng, (1,)) for _ in range(rng.randrange(3) if rng.randrange(3) else 0)]
    records.append(soa(3))
    for _ in range(rng.choice((0, 0, 1, 2))):
        at = rng.randrange(len(records))
        match rng.randrange(4):
            case 0:
                del records[at]
                records = records or [soa(3)]
            case 1:
                records.insert(at, soa(rng.choice((0, 1, 2, 3, 4, 2**31 + 3)), rng.choice(NAMES)))
            case 2:
                records.insert(at, rng.choice(records))
            case 3:
                records += records
    if rng.randrange(400) == 0:
        records[1:1] = [record(rng, (1,)) for _ in range(1500)]
    asked = struct.pack("!HH", 252 if serial is None else 251, 1)
    found = []
    while records:
        size = rng.choice((1, 2, 100_000))
        part, records = records[:size], records[size:]
        question = NAMES[0] + asked if rng.randrange(12) else rng.choice(NAMES) + asked
        flags = 0x8400 if rng.randrange(16) else rng.choice((0x0400, 0x8600, 0x8405, 0xA800, 0x8400))
        found.append(message(rng, flags, question, [part, [], []]))
    return found


def check_transfer(rng: Random, seen: Counter[str]) -> None:
    """TransferError, or an outcome that is whole; what is signed in part is refused, as what is not signed at all."""
    serial = rng.choice((None, 1, 1, 3))
    incoming = Incoming(5, ORIGIN, serial, records=1000)
    sent = transfer(rng, serial)
    check: ReplyCheck | None = None
    if rng.randrange(2):
        sent, check = under_signature(rng, sent)
    outcome = None
    try:
        for data in sent:
            plain = data if check is None else check.check(data, NOW.wall)
            outcome = incoming.receive(plain)
            if outcome is not None:
                break
        if check is not None and outcome is not None and not check.complete:
            raise TransferError("the last message is not signed")
    except (TransferError, MalformedMessage):
        seen["refused"] += 1
        return
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} for {[each.hex() for each in sent]}") from error
    assert outcome is None or isinstance(outcome, Current | WholeZone | Increments)
    if isinstance(outcome, WholeZone):
        assert all(rrset.name.is_subdomain(ORIGIN) for rrset in outcome.zone)
    if isinstance(outcome, Increments):
        assert all(isinstance(each, Difference) for each in outcome.differences)
    seen["unfinished" if outcome is None else type(outcome).__name__] += 1


def under_signature(rng: Random, sent: list[bytes]) -> tuple[list[bytes], ReplyCheck]:
    """Signed as RFC 8945 §5.3.1 says, then stripped of some signatures, damaged or out of order."""
    asked, check = signed_query(struct.pack("!6H", 5, 0, 0, 0, 0, 0), KEY, NOW.wall)
    signer = Signer(KEY, _mac_of(asked))
    whole = [signer.sign(each, NOW.wall) if len(each) < 65000 and each[10:12] != b"\xff\xff" else each for each in sent]
    match rng.randrange(6):
        case 0:
            at = rng.randrange(len(sent))
            whole[at] = sent[at]
        case 1:
            whole[-1] = sent[-1]
        case 2:
            at = rng.randrange(len(whole))
            whole[at] = damaged(rng, whole[at])
        case 3:
            rng.shuffle(whole)
    return whole, check


def _mac_of(signed: bytes) -> bytes:
    from netstack.dns.tsig import split

    _, signature = split(signed)
    assert signature is not None
    return signature.mac


CHECKS: dict[str, seeded.Check] = {
    "zone files": check_zone_file,
    "updates": check_update,
    "transfers": check_transfer,
}


def run(kind: str, count: int, seed: int) -> Counter[str]:
    """So many inputs of a kind; what became of them."""
    return seeded.run(kind, CHECKS[kind], count, seed)
