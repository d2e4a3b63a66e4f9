"""The store after crashes: what was acknowledged is there, once, with its flags; and an index is made anew from files."""

from pathlib import Path
from random import Random

import pytest

from netstack.mail.store import StoreError, StoreFailed, files, recovery
from netstack.world.simulated.disk import SimulatedDisk
from tests.mail.stage import ALICE, Stage

HOME = f"mail/accounts/{ALICE}"


def message(number: int, rng: Random) -> bytes:
    """A few are larger than what is committed with its row."""
    return b"Message-ID: <%d@x>\r\n\r\n" % number + b"x" * rng.choice([0, 10, 1000, 30_000, 100_000])


@pytest.mark.parametrize("how", ["kill", "power_off"])
@pytest.mark.parametrize("seed", range(12))
def test_whatever_was_acknowledged_is_there_once(seed: int, how: str) -> None:
    rng = Random(seed)
    stage = Stage(settle_seconds=0.05, ledger=2000)
    acknowledged: dict[int, bytes] = {}
    number = 0
    for _ in range(4):
        outcomes = []
        for _ in range(rng.randrange(1, 60)):
            number += 1
            octets = message(number, rng)
            outcomes.append((number, octets, stage.start(stage.store.deliver(ALICE, None, octets, once=f"{number}"))))
        if rng.random() < 0.5 and acknowledged:
            folder, _ = stage.do(stage.account.snapshot("INBOX"))
            uid = rng.choice(list(acknowledged))
            stage.start(stage.account.change_flags(folder.id, [uid], "add", ["\\Flagged"]))
        stage.wait(rng.choice([0.001, 0.003, 0.01, 0.06, 0.2]))
        stage.restart(how)
        acknowledged |= {outcome[0].uid: octets for _, octets, outcome in outcomes if outcome}
        texts = stage.texts()
        assert {uid: texts[uid] for uid in acknowledged} == acknowledged
        lost = [(each, octets) for each, octets, outcome in outcomes if not outcome]
        for each, octets in lost:  # their sender has no answer, and comes again
            delivered = stage.do(stage.store.deliver(ALICE, None, octets, once=f"{each}"))
            acknowledged[delivered.uid] = octets
        assert sorted(stage.texts().values()) == sorted(acknowledged.values()), "nothing twice, whatever was committed"
    stage.wait(1)
    usage = stage.do(stage.store.usage(ALICE))
    assert usage.messages == len(acknowledged)
    assert stage.machine.disk.list(f"{HOME}/incoming" if number else HOME) is not None
    left = stage.account._database
    assert stage.do(left.run(lambda database: database.execute("SELECT COUNT(*) FROM arrived").fetchone())) == (0,)


@pytest.mark.parametrize("how", ["kill", "power_off"])
def test_a_file_that_came_to_its_place_before_the_index_knew_keeps_its_content(how: str) -> None:
    """What a later process writes has another name than files that the index still looks for under their first one."""
    stage = Stage()
    first, second = b"first" * 20_000, b"second" * 20_000
    stage.deliver(first)
    disk = stage.machine.disk.below(HOME)
    stage.simulation.run(for_seconds=10, stop=lambda: files.listed(disk, "files/0") == [1])
    stage.restart(how)
    stage.deliver(second)
    assert stage.texts() == {1: first, 2: second}
    stage.wait(1)
    assert stage.texts() == {1: first, 2: second}


def prepared(tmp_path: Path) -> Stage:
    """A mailbox with folders, flags, and gaps."""
    stage = Stage(tmp_path)
    for number in range(1, 7):
        stage.deliver(b"Message-ID: <%d@x>\r\n\r\nmessage %d" % (number, number), flags=["\\Seen"] if number % 2 else [])
    account = stage.account
    stage.do(account.create("Work"))
    stage.do(account.create("Work/2026", "\\Archive"))
    stage.do(account.create("Gone"))
    folder, _ = stage.do(account.snapshot("INBOX"))
    stage.do(account.copy(folder.id, [1, 2], "Work", stage.store.quota()))
    stage.do(account.move(folder.id, [3], "Work/2026"))
    stage.do(account.expunge(folder.id, [4]))
    stage.do(account.change_flags(folder.id, [5], "replace", ["\\Answered", "$Work"]))
    stage.do(account.rename("Work", "Play"))
    stage.do(account.subscribe("Play"))
    stage.do(account.delete("Gone"))
    return stage


def shown(stage: Stage) -> object:
    """All that a client sees, but modseqs and the next UIDs."""
    found = []
    for folder in stage.do(stage.account.folders()):
        _, messages = stage.do(stage.account.snapshot(folder.name))
        rows = [(each.uid, each.file, each.bits, each.keywords, each.size, round(each.date, 2)) for each in messages]
        key = (folder.name, folder.validity, folder.messages, folder.octets, folder.subscribed, folder.special)
        found.append((key, rows, stage.texts(folder.name)))
    return found


@pytest.mark.parametrize("ledger", ["appended", "anew"])
def test_an_index_that_is_gone_is_made_anew(tmp_path: Path, ledger: str) -> None:
    stage = prepared(tmp_path)
    if ledger == "anew":
        stage.do(stage.account._settler._rewrite())
    before, folder = shown(stage), stage.do(stage.account.folder("INBOX"))[0]
    stage.restart("close")
    for file in (tmp_path / HOME).glob("index.sqlite*"):
        file.unlink()
    assert shown(stage) == before
    after = stage.do(stage.account.folder("INBOX"))[0]
    assert after.next_uid > folder.next_uid + 1000, "a UID that was given is not given again"
    changed, vanished = stage.do(stage.account.since(after.id, folder.modseq))
    assert (len(changed), vanished) == (after.messages, None), "clients look at everything again"
    assert stage.deliver(b"new") == after.next_uid
    stage.restart("close")
    assert stage.deliver(b"newer") == after.next_uid + 1, "and only once"


@pytest.mark.parametrize("damage", [b"no database at all, but long enough to be looked at" * 100, b"\xff" * 16])
def test_an_index_that_is_damaged_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    stage = prepared(tmp_path)
    before = shown(stage)
    stage.restart("close")
    with (tmp_path / HOME / "index.sqlite").open("r+b") as file:
        file.write(damage)
    assert shown(stage) == before
    stage.simulation.forget_problems()
    assert list((tmp_path / HOME).glob("index.sqlite.damaged-*"))


def test_messages_that_only_a_damaged_index_has_are_rescued(tmp_path: Path) -> None:
    """Those in its rows, and large ones whose files have their first names yet."""
    stage = Stage(tmp_path, settle_seconds=1000.0)
    texts = {stage.deliver(text): text for text in (b"small", b"large" * 100_000)}
    stage.restart("kill")
    recovery.set_aside(stage.machine.disk.below(HOME), stage.machine.wall())
    assert sorted(stage.texts().values()) == sorted(texts.values())
    stage.simulation.forget_problems()


def test_without_index_and_ledger_there_are_the_messages(tmp_path: Path) -> None:
    stage = prepared(tmp_path)
    stage.restart("close")
    for file in (*(tmp_path / HOME).glob("index.sqlite*"), tmp_path / HOME / "ledger"):
        file.unlink()
    assert list(stage.texts().values()) == [b"Message-ID: <%d@x>\r\n\r\nmessage %d" % (n, n) for n in (1, 2, 3, 5, 6)]
    assert [each.name for each in stage.do(stage.account.folders())] == ["INBOX"]


def test_files_that_no_row_knows_are_adopted(tmp_path: Path) -> None:
    """As after an older index was put back."""
    stage = Stage(tmp_path)
    stage.deliver(b"one")
    stage.restart("close")
    (tmp_path / HOME / "files" / "0" / "7").write_bytes(b"found")
    (tmp_path / HOME / "incoming").mkdir(exist_ok=True)
    (tmp_path / HOME / "incoming" / "3").write_bytes(b"never acknowledged")
    assert stage.texts() == {1: b"one", 2: b"found"}
    stage.wait(1)
    assert list((tmp_path / HOME / "incoming").iterdir()) == []
    stage.deliver(b"next")
    stage.restart("close")
    assert stage.texts() == {1: b"one", 2: b"found", 3: b"next"}


def test_a_ledger_whose_end_is_cut_off_tells_the_rest(tmp_path: Path) -> None:
    stage = prepared(tmp_path)
    stage.restart("close")
    for file in (tmp_path / HOME).glob("index.sqlite*"):
        file.unlink()
    path = tmp_path / HOME / "ledger"
    path.write_bytes(path.read_bytes()[:-200] + b'\xff\x00[1,2\n["M",77,[[1]]]\n["M",1,[["x"]]]\n["Q"]\n5\n')
    total = sum(folder.messages for folder in stage.do(stage.account.folders()))
    assert total >= 6
    texts = {text for folder in stage.do(stage.account.folders()) for text in stage.texts(folder.name).values()}
    assert len(texts) == 5


def test_a_ledger_that_is_damaged_loses_no_message(tmp_path: Path) -> None:
    """Two folders of one name, a name that is none, numbers out of every range, one UID of two messages."""
    stage = prepared(tmp_path)
    stage.restart("close")
    for file in (tmp_path / HOME).glob("index.sqlite*"):
        file.unlink()
    with (tmp_path / HOME / "ledger").open("ab") as file:
        file.write(
            b'["F",50,"Play",1700000000,1,0,""]\n["F",51,"",1,1,0,""]\n["F",52,"x",99999999999,1,0,""]\n["F",-1,"y",1,1,0,""]\n'
            b'["M",50,[[1,2,0,"",Infinity]]]\n["M",50,[[99999999999999999999,2,0,"",1]]]\n["M",50,[[1,3,0,"",1],[2,999,0,"",1]]]\n'
            b'["F",1e3,"z",1,1,0,""]\n["F",53,"inbox",7,1,0,""]\n' + b"[" * 100_000 + b"\n"
        )
    names = [folder.name for folder in stage.do(stage.account.folders())]
    assert names == ["Folder 50", "Folder 51", "Folder 53", "INBOX", "Play", "Play/2026"]
    texts = {text for name in names for text in stage.texts(name).values()}
    assert len(texts) == 5


def test_a_disk_that_is_full_is_told_and_gets_over_it() -> None:
    stage = Stage(unsettled=300_000)
    stage.deliver(b"before")
    stage.wait(1)
    disk = stage.host.disk
    assert isinstance(disk, SimulatedDisk)
    disk.room = disk.used + 5000
    with pytest.raises(StoreFailed) as failed:
        stage.deliver(b"x" * 100_000)
    assert (failed.value.status, failed.value.temporary) == ("4.3.0", True)
    outcomes = [stage.start(stage.store.deliver(ALICE, None, b"x" * 60_000)) for _ in range(10)]
    stage.simulation.run(for_seconds=2, check=False)
    stage.simulation.forget_problems()
    refused = [outcome[0] for outcome in outcomes if outcome[0].__class__.__name__ == "Failure"]
    assert refused, "no more than there is room for in memory"
    assert all(failure.check(StoreError) for failure in refused)
    disk.room = float("inf")
    stage.simulation.run(for_seconds=10, check=False)
    stage.simulation.forget_problems()
    assert len(stage.texts()) == 1 + 10 - len(refused)
    assert stage.account._settler.idle


def test_the_ledger_stays_small() -> None:
    stage = Stage(ledger=3000, settle_seconds=0.01)
    stage.deliver(b"hello")
    folder, _ = stage.do(stage.account.snapshot("INBOX"))
    for number in range(300):
        flags = ["\\Seen"] if number % 2 else ["\\Flagged", "$Work"]
        stage.do(stage.account.change_flags(folder.id, [1], "replace", flags))
        stage.wait(0.05)
    assert len(stage.machine.disk.read(f"{HOME}/ledger")) < 4000
