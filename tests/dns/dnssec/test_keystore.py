"""Keys and their lives on the disk: what is missing, damaged, or was put there by hand."""

import json
from pathlib import Path

import dns.name
import dns.rdatatype
import pytest

from netstack.dns.dnssec.delegations import Overlay
from netstack.dns.dnssec.keys import KeyFormatError, make_key
from netstack.dns.dnssec.keystore import DIRECTORY, KeyStore
from netstack.dns.dnssec.lifecycle import REMEMBERED, Life, from_text, initial, shifted, to_text
from netstack.dns.zone import Zone
from netstack.kernel.disk import RealDisk
from netstack.kernel.real import real_machine
from tests.dns.dnssec.signed import ZONE, keys

UMASS = dns.name.from_text("umass.edu")


def store(directory: Path, split: bool = False) -> KeyStore:
    return KeyStore(real_machine("test", state_directory=directory), UMASS, split=split)


@pytest.mark.parametrize("split", [False, True])
def test_lives_are_kept(split: bool, tmp_path: Path) -> None:
    first = store(tmp_path, split)
    held = first.load()
    assert [each.state for each in held] == ["active"] * (1 + split)
    new = first.make("zsk" if split else "csk")
    first.save((*held, new))
    again = store(tmp_path).load()
    assert to_text(again) == to_text(first.held)
    assert again[-1].state == "made"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / DIRECTORY).iterdir()} == {0o600}


def test_a_key_that_was_put_there_by_hand_begins_a_rollover(tmp_path: Path) -> None:
    store(tmp_path).load()
    key = make_key(UMASS, b"5" * 48, True)
    (tmp_path / DIRECTORY / f"{key.file}.key").write_text(key.public_text())
    (tmp_path / DIRECTORY / f"{key.file}.private").write_text(key.private_text())
    assert [(each.role, each.state) for each in store(tmp_path).load()] == [("csk", "active"), ("csk", "made")]


def test_a_key_in_use_that_is_gone_is_named(tmp_path: Path) -> None:
    (held,) = store(tmp_path).load()
    (tmp_path / DIRECTORY / f"{held.file}.private").unlink()
    with pytest.raises(KeyFormatError, match=rf"state-umass\.edu\.: the key .*{held.tag:05}, which is in use, is not there"):
        store(tmp_path).load()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"keys": [1]}', '{"keys": [{"file": "x"}]}', "\xff"],
)
def test_a_state_that_is_damaged_is_named_and_left(text: str, tmp_path: Path) -> None:
    store(tmp_path).load()
    file = tmp_path / DIRECTORY / "state-umass.edu."
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(KeyFormatError, match=r"keys/state-umass\.edu\."):
        store(tmp_path).load()
    assert file.read_bytes() == text.encode("latin-1")


def test_removed_keys_need_no_files_and_are_not_remembered_for_ever() -> None:
    held = initial(keys("umass.edu"), 1000.0)
    gone = [each for number in range(30) for each in initial([make_key(UMASS, bytes([number + 50]) * 48, True)], 1.0)]
    lives = tuple(type(each)(each.file, each.record, each.role, Life(1.0, removed=2.0), None) for each in gone)
    read = from_text(to_text((*lives, *held)), keys("umass.edu"))
    assert len(read) == REMEMBERED + 1
    assert [each.state for each in read[-2:]] == ["removed", "active"]
    moved = shifted(read, 50.0)
    assert moved[-1].life.published == 1050.0


def test_keys_of_another_configuration_count_for_nothing(tmp_path: Path) -> None:
    """A world with another seed has other keys."""
    machine = real_machine("test", state_directory=tmp_path)
    first = KeyStore(machine, UMASS, keys("umass.edu"))
    first.save(first.load())
    assert to_text(KeyStore(machine, UMASS, keys("umass.edu")).load()) == to_text(first.held)
    first.save((*first.held, first.make("csk")))
    other = KeyStore(machine, UMASS, keys("umass.edu", seed=7))
    for _ in range(2):
        states = {each.tag: each.state for each in other.load()}
        assert states == {first.held[-1].tag: "removed", keys("umass.edu", seed=7)[0].tag: "active"}
        other.save(other.held)


def test_a_request_is_taken_once(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.load()
    assert one.requested() is None
    (tmp_path / DIRECTORY / "roll-umass.edu.").write_text(" CSK\n")
    assert (one.requested(), one.requested()) == ("csk", None)


def test_the_children_s_records_over_a_zone_file(tmp_path: Path) -> None:
    zone = Zone.from_text("umass.edu", ZONE.replace("ADDRESS", "10.0.0.1"))
    overlay = Overlay(RealDisk(tmp_path))
    assert overlay.over(zone) is zone
    safe = dns.name.from_text("safe.umass.edu")
    wanted = next(rrset for rrset in zone.rrsets_at(safe) if rrset.rdtype == dns.rdatatype.DS).copy()
    wanted.items = {keys("umass.edu")[0].ds: None}
    overlay.put(zone, wanted)
    after = Overlay(RealDisk(tmp_path)).over(zone)
    assert [each for each in after.rrsets_at(safe) if each.rdtype == wanted.rdtype] == [wanted]
    other = Zone.from_text("umass.edu", ZONE.replace("ADDRESS", "10.0.0.1").replace("DS    4711", "DS    4712"))
    assert Overlay(RealDisk(tmp_path)).over(other) is other, "the file has other records for the child now"
    file = tmp_path / DIRECTORY / "delegations-umass.edu."
    assert json.loads(file.read_text())["safe.umass.edu."]["file"]
    for text in ("{", "[1]", '{"safe.umass.edu.": {}}'):
        file.write_text(text)
        with pytest.raises(KeyFormatError, match="expected DS records by child"):
            Overlay(RealDisk(tmp_path)).over(zone)
