"""Zones in compiled files against the same zones in memory, and files that are not what they should be."""

import io
from typing import Any

import dns.message
import dns.name
import pytest
from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.authority import Authority
from netstack.dns.compiled import CompiledAnswers
from netstack.dns.masterfile import MasterFile
from netstack.dns.metrics import ServerMetrics
from netstack.dns.octets import octets_of
from netstack.dns.stored import REMEMBERED, StoredZone
from netstack.dns.transfer import messages, whole_zone
from netstack.dns.wire import Question
from netstack.dns.zone import Zone, ZoneError
from netstack.dns.zonefile import TRAILER, Compiler, ZoneFileError
from tests.dns.test_compiled import LINES, SOA, ask, plain, questions, records

ORIGIN = dns.name.from_text("foo.com")


class Octets:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def fileno(self) -> int:
        return -1

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def close(self) -> None:
        pass


def compiled(text: str, origin: str = "foo.com") -> bytes:
    """The file; raises ZoneError."""
    name = dns.name.from_text(origin)
    compiler = Compiler(octets_of(name))
    for record in MasterFile(name).records(io.StringIO(text)):
        compiler.add(record)
    return b"".join(compiler.chunks())


def stored(data: bytes, origin: str = "foo.com") -> StoredZone:
    return StoredZone(dns.name.from_text(origin), Octets(data), len(data))


def text_of(lines: list[str]) -> str:
    return SOA + "".join(f"{line}\n" for line in lines)


@given(st.lists(records, max_size=16), st.lists(questions(), min_size=1, max_size=6), st.booleans())
def test_a_compiled_zone_answers_as_the_same_zone_in_memory(lines: list[str], asked: list[bytes], stream: bool) -> None:
    good: list[str] = []
    for line in lines:
        try:
            zone = Zone.from_text("foo.com", text_of([*good, line]))
        except ZoneError:
            with pytest.raises(ZoneError):
                compiled(text_of([*good, line]))
        else:
            good.append(line)
    text = text_of(good)
    zone = Zone.from_text("foo.com", text)
    file = stored(compiled(text))
    assert {str(rrset) for rrset in file} == {str(rrset) for rrset in zone}
    assert len(file.nodes) == len(zone.nodes)
    assert set(file.nodes) == set(zone.nodes)
    assert [node.cut for node in file.nodes.values()] == [zone.nodes[name].cut for name in file.nodes]
    bypass, oracle = CompiledAnswers(Authority([file]), ServerMetrics(), "1", 1 << 20), Authority([zone])
    slow = Authority([stored(compiled(text))])
    for data in asked * 2:
        expected = plain(oracle, data)
        assert ask(bypass, data) == expected
        assert plain(slow, data) == expected


def test_a_transfer_has_all_records_and_the_zone_cannot_be_changed() -> None:
    text = text_of([*LINES, *(f"h{number} A 10.0.1.1" for number in range(300))])
    file, zone = stored(compiled(text)), Zone.from_text("foo.com", text)
    sent, expected = list(whole_zone(file)), list(whole_zone(zone))
    assert sent[0] == sent[-1] == expected[0]
    assert set(sent) == set(expected)
    assert len(sent) == len(expected)
    assert next(iter(messages(1, Question(ORIGIN, RdataType.AXFR), whole_zone(file))))
    with pytest.raises(ZoneError, match="cannot be changed"):
        file.with_names({})


def test_names_at_hand_are_bounded() -> None:
    many = 3 * REMEMBERED // 2
    file = stored(compiled(text_of([f"h{number} A 10.0.0.1" for number in range(many)])))
    for number in range(many):
        assert file.nodes.find(b"\2h%d" % number + b"\3foo\3com\0") is not None or number > 9
        file.nodes.find(b"%c" % len(f"h{number}") + b"h%d" % number + octets_of(ORIGIN))
    assert len(file.stored._young) + len(file.stored._old) <= REMEMBERED


def test_a_record_longer_than_the_first_read() -> None:
    file = stored(compiled(text_of([f"big TXT {'x' * 200}{number}" for number in range(90)])))
    node = file.nodes.get(dns.name.from_text("big.foo.com"))
    octets = None if node is None else node.octets(16)
    assert octets is not None
    assert octets.count == 90
    assert sum(len(rrset) for rrset in file) == 92


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["www A 10.0.0.1", "www CNAME @"], "www.foo.com: expected no other data beside a CNAME record"),
        (["@ DNSKEY 257 3 13 aaaa"], "signed zones are not compiled"),
        (["www SOA a b 1 2 3 4 5"], "expected a SOA record at the origin alone"),
        (["d DNAME net.", "x.d A 10.0.0.1"], "expected no names below a DNAME record"),
        (["d DNAME net.", "d NS ns"], "expected no DNAME record beside a delegation"),
    ],
)
def test_what_is_no_zone_is_not_compiled(lines: list[str], said: str) -> None:
    with pytest.raises(ZoneError, match=said):
        compiled(text_of(lines))


@pytest.mark.parametrize("text", ["", "$TTL 1h\n@ NS ns\n", "$TTL 1h\n@ SOA ns x 1 2 3 4 5\n"])
def test_a_zone_without_soa_or_servers_is_not_compiled(text: str) -> None:
    with pytest.raises(ZoneError, match="at the origin"):
        compiled(text)


def test_files_that_are_cut_off_at_any_octet_are_refused() -> None:
    data = compiled(text_of(LINES))
    for size in [*range(64), *range(64, len(data), 41), len(data) - 1]:
        with pytest.raises(ZoneFileError, match="netstack zone compile"):
            stored(data[:size])


def test_files_with_any_octet_changed_are_refused() -> None:
    data = compiled(text_of(LINES))
    for at in [*range(64), *range(64, len(data) - TRAILER, 13), *range(len(data) - TRAILER, len(data), 7)]:
        damaged = bytearray(data)
        damaged[at] ^= 0x40
        with pytest.raises(ZoneFileError):
            stored(bytes(damaged))


def test_another_version_and_another_zone_are_told_apart() -> None:
    data = compiled(text_of(LINES))
    with pytest.raises(ZoneFileError, match="version 9; this server reads version 1"):
        stored(data[:15] + b"\x09" + data[16:])
    with pytest.raises(ZoneFileError, match=r"expected the zone bar\.org, got foo\.com"):
        stored(data, "bar.org")


@pytest.mark.parametrize("damage", ["cut", "zeros", "other"])
def test_a_file_that_changes_while_it_is_served_is_told_once_and_answered_by_servfail(damage: str) -> None:
    data = compiled(text_of([f"h{number} A 10.0.0.1" for number in range(100)]))
    file = Octets(data)
    zone = StoredZone(ORIGIN, file, len(data))
    authority = Authority([zone])
    said: list[str] = []

    def damaged(why: str) -> None:
        said.append(why)
        authority.withdraw(zone.origin)

    zone.stored.damaged = damaged
    bypass = CompiledAnswers(authority, ServerMetrics(), "1", 1 << 20)
    if damage == "cut":
        del file.data[100:]
    elif damage == "zeros":
        file.data[100:-TRAILER] = bytes(len(data) - TRAILER - 100)
    else:
        file.data[:] = compiled(text_of([f"other{number} TXT longer" for number in range(100)]))
    for number in range(40, 60):
        query = dns.message.make_query(f"h{number}.foo.com", "A").to_wire()
        reply: Any = ask(bypass, query)
        assert dns.message.from_wire(reply).rcode() == 2
    assert len(said) == 1
    assert "replace such files by renaming" in said[0]
