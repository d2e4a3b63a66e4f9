"""A zone's files: whatever octet a crash stops at, what was answered for is there; other people's octets are refused."""

from pathlib import Path

import dns.name
import pytest

from netstack.dns.history import Difference, difference
from netstack.dns.serial import serial_of
from netstack.dns.store import StoreError, ZoneStore
from netstack.dns.zone import Zone
from netstack.kernel.disk import RealDisk

ORIGIN = dns.name.from_text("umass.edu")


def zone(serial: int) -> Zone:
    records = "".join(f"h{number} A 10.0.0.{number}\n" for number in range(1, serial))
    return Zone.from_text("umass.edu", f"$TTL 2d\n@ SOA dns h {serial} 2h 1h 2w 1h\n@ NS dns\ndns A 10.0.0.1\n{records}")


STEPS: list[Difference] = [difference(zone(serial), zone(serial + 1)) for serial in range(1, 6)]


def lines(found: Zone) -> list[str]:
    return sorted(line for rrset in found for line in rrset.to_text().splitlines())


def loaded(disk: RealDisk) -> tuple[int, list[tuple[int, int]]]:
    """The serial of what is there, and the versions that differences lead between."""
    stored = ZoneStore(disk, ORIGIN).load()
    assert stored is not None
    assert lines(stored.zone) == lines(zone(serial_of(stored.zone.soa)))
    return serial_of(stored.zone.soa), [(serial_of(each.old), serial_of(each.new)) for each in stored.differences]


def test_a_copy_and_its_journal(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    store = ZoneStore(disk, ORIGIN)
    assert store.load() is None
    store.write(zone(1))
    assert loaded(disk) == (1, [])
    store.append(STEPS[:2])
    store.append(STEPS[2:3])
    assert loaded(disk) == (4, [(1, 2), (2, 3), (3, 4)])
    store.write(zone(4), STEPS[1:3])
    store.append(STEPS[3:])
    store.close()
    assert loaded(disk) == (6, [(2, 3), (3, 4), (4, 5), (5, 6)])


def test_a_journal_cut_off_anywhere(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    store = ZoneStore(disk, ORIGIN)
    store.write(zone(1))
    ends = []
    for step in STEPS:
        store.append([step])
        ends.append(store.journal_octets)
    journal = disk.read("zones/umass.edu/journal")
    assert ends[-1] == len(journal)
    for cut in range(len(journal) + 1):
        (tmp_path / "zones/umass.edu/journal").write_bytes(journal[:cut])
        whole = sum(end <= cut for end in ends)
        stored = ZoneStore(disk, ORIGIN).load()
        assert stored is not None
        assert serial_of(stored.zone.soa) == 1 + whole
        assert stored.torn == cut - (ends[whole - 1] if whole else 0)


def test_a_crash_between_copy_and_journal(tmp_path: Path) -> None:
    """The copy is replaced first: the journal may still be that of before."""
    disk = RealDisk(tmp_path)
    store = ZoneStore(disk, ORIGIN)
    store.write(zone(1))
    store.append(STEPS[:3])
    before = disk.read("zones/umass.edu/journal")
    store.write(zone(5), STEPS[2:4])
    (tmp_path / "zones/umass.edu/journal").write_bytes(before)
    assert loaded(disk) == (5, [])
    store.write(zone(4), STEPS[:3])
    (tmp_path / "zones/umass.edu/journal").write_bytes(before)
    assert loaded(disk) == (4, [(1, 2), (2, 3), (3, 4)])


def test_files_that_are_something_else(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    store = ZoneStore(disk, ORIGIN)
    store.write(zone(1))
    data = disk.read("zones/umass.edu/copy")
    for wrong in (b"", b"$TTL 2d\n", data[:-1], data[:60] + b"\xff" + data[61:]):
        disk.write("zones/umass.edu/copy", wrong)
        with pytest.raises(StoreError, match=r"zones/umass\.edu/copy"):
            ZoneStore(disk, ORIGIN).load()


def test_every_zone_has_files_of_its_own(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    for origin in (".", "a/b.test", r"\.\..test"):
        made = Zone.from_text(origin, "$TTL 2d\n@ SOA dns h 3 2h 1h 2w 1h\n@ NS dns\n")
        ZoneStore(disk, dns.name.from_text(origin)).write(made)
    assert len(disk.list("zones")) == 3
    stored = ZoneStore(disk, dns.name.root).load()
    assert stored is not None
    assert stored.zone.origin == dns.name.root


def test_when_a_copy_was_last_the_primarys(tmp_path: Path) -> None:
    store = ZoneStore(RealDisk(tmp_path), ORIGIN)
    assert store.last_refresh() is None
    store.refreshed(1_763_683_200.4)
    assert store.last_refresh() == 1_763_683_200
