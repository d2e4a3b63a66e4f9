"""The store: deliveries and what becomes of them, on both disks."""

from pathlib import Path

import pytest

from netstack.mail import Mailbox
from netstack.mail.store import (
    Change,
    FolderRefused,
    MessageTooLarge,
    NoSuchFolder,
    OverQuota,
    Quota,
    StoreBusy,
    StoreError,
    search,
)
from netstack.sansio import FileSlice
from tests.mail.stage import ALICE, Stage


@pytest.fixture(params=["real", "simulated"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    return Stage(tmp_path if request.param == "real" else None)


LARGE = b"Subject: large\r\n\r\n" + b"x" * 200_000
SMALL = b"Subject: small\r\n\r\nDo you like ketchup?\r\n"


def test_a_message_comes_as_it_was_sent(stage: Stage) -> None:
    delivered = stage.do(stage.store.deliver(ALICE, Mailbox("bob", "hamburger.edu"), SMALL))
    assert (delivered.uid, delivered.again) == (1, False)
    folder, [message] = stage.do(stage.account.snapshot("inbox"))
    assert (folder.name, folder.messages, folder.next_uid, folder.id) == ("INBOX", 1, 2, delivered.folder)
    assert stage.read(message) == b"Return-Path: <bob@hamburger.edu>\r\n" + SMALL
    stage.wait(1)
    assert stage.read(message) == b"Return-Path: <bob@hamburger.edu>\r\n" + SMALL, "from its file now"
    [path] = stage.machine.disk.list(f"mail/accounts/{ALICE}/files/0")
    assert stage.machine.disk.read(f"mail/accounts/{ALICE}/files/0/{path}") == stage.read(message)


@pytest.mark.parametrize("octets", [b"", b"x", b"\x00\xff\r\n.\r\n", LARGE])
def test_any_octets_are_kept(stage: Stage, octets: bytes) -> None:
    stage.deliver(octets)
    assert stage.texts() == {1: octets}
    assert stage.do(stage.store.append(ALICE, octets)).uid == 2
    stage.wait(1)
    assert stage.texts() == {1: octets, 2: octets}


@pytest.mark.parametrize("octets", [SMALL, LARGE])
def test_a_file_is_read_and_closed(stage: Stage, octets: bytes) -> None:
    stage.machine.disk.write("queue/1", b"before" + octets + b"after")

    def part(length: int) -> FileSlice:
        return FileSlice(stage.machine.disk.open("queue/1"), 6, length)

    stage.deliver(part(len(octets)))
    assert stage.texts() == {1: octets}
    with pytest.raises(StoreError):
        stage.deliver(part(len(octets) + 6))
    stage.simulation.forget_problems()
    assert stage.texts() == {1: octets}
    assert stage.machine.disk.list(f"mail/accounts/{ALICE}").count("incoming") <= 1


def test_many_share_a_commit(stage: Stage) -> None:
    stage.deliver(b"first")
    before = stage.account._database.commits
    outcomes = [stage.start(stage.store.deliver(ALICE, None, b"%d" % number)) for number in range(100)]
    stage.wait(1)
    assert [outcome[0].uid for outcome in outcomes] == list(range(2, 102))
    assert stage.account._database.commits - before <= 4, "deliveries, and what went into its files"


def test_a_delivery_that_has_a_name_is_made_once(stage: Stage) -> None:
    for message in (b"one", LARGE):
        name = f"queue-id {len(message)}"
        first = stage.do(stage.store.deliver(ALICE, None, message, once=name))
        again = stage.do(stage.store.deliver(ALICE, None, message, once=name))
        assert (again.id, again.uid, again.folder, again.again) == (first.id, first.uid, first.folder, True)
    assert list(stage.texts()) == [1, 2]
    stage.restart("kill")
    assert stage.do(stage.store.deliver(ALICE, None, b"one", once="queue-id 3")).again
    stage.wait(1)
    assert stage.machine.disk.list(f"mail/accounts/{ALICE}/incoming") == []


def test_only_so_many_are_remembered() -> None:
    stage = Stage(remembered=2)
    for name in ("one", "two", "three", "four", "one", "four"):
        stage.deliver(name.encode(), once=name)
    assert list(stage.texts().values()) == [b"one", b"two", b"three", b"four", b"one"]


def test_bounds(stage: Stage) -> None:
    with pytest.raises(OverQuota) as full:
        stage.deliver(b"x" * 1000, quota=Quota(10, 1000))
    assert (full.value.status, full.value.temporary) == ("4.2.2", True)
    stage.deliver(b"one", quota=Quota(1, 1000))
    with pytest.raises(OverQuota):
        stage.deliver(b"two", quota=Quota(1, 1000))
    small = Stage(message=1000)
    with pytest.raises(MessageTooLarge) as large:
        small.deliver(b"x" * 1000)
    assert (large.value.status, large.value.temporary) == ("5.2.3", False)
    with pytest.raises(ValueError, match="no flag"):
        small.deliver(b"x", flags=["a b"])
    with pytest.raises(NoSuchFolder):
        small.do(small.store.append(ALICE, b"x", "Sent"))
    assert small.do(small.store.usage(ALICE)).messages == 0


def test_one_account_s_work_has_a_bound() -> None:
    stage = Stage(waiting=3)
    stage.deliver(b"first")
    outcomes = [stage.start(stage.store.deliver(ALICE, None, b"x")) for _ in range(20)]
    stage.wait(1)
    refused = [outcome[0].value for outcome in outcomes if hasattr(outcome[0], "value")]
    assert {type(each) for each in refused} == {StoreBusy}
    assert len(stage.texts()) == 21 - len(refused) >= 4


def test_only_so_many_mailboxes_are_open() -> None:
    stage = Stage(accounts=3)
    for number in range(10):
        assert stage.do(stage.store.deliver(f"user{number}@x.test", None, b"hello")).uid == 1
        stage.wait(1)
    assert len(stage.store._accounts) == 3
    assert stage.do(stage.store.deliver("user0@x.test", None, b"hello")).uid == 2
    stage.wait(1)
    stops = []
    for number in range(3):
        account = stage.store.account(f"user{number}@x.test")
        folder, _ = stage.do(account.snapshot("INBOX"))
        stops.append(account.watch(folder.id, lambda change: None) if number else account.use())
    with pytest.raises(StoreBusy):
        stage.store.account("user9@x.test")
    stops[0]()
    assert stage.do(stage.store.deliver("user9@x.test", None, b"hello")).uid == 2


def test_deliveries_wait_for_the_disk() -> None:
    """As much as `unsettled` may wait for its file; the rest waits with its sender."""
    stage = Stage(unsettled=10_000, settle_seconds=1)
    outcomes = [stage.start(stage.store.deliver(ALICE, None, b"x" * 3000)) for _ in range(9)]
    stage.wait(0.5)
    assert sum(map(bool, outcomes)) == 3
    stage.wait(10)
    assert all(outcomes)
    assert len(stage.texts()) == 9


def test_flags(stage: Stage) -> None:
    for flags in ([], ["\\seen"], ["\\Flagged", "$Forwarded", "$forwarded"]):
        stage.deliver(b"x", flags=flags)
    account = stage.account
    folder, before = stage.do(account.snapshot("INBOX"))
    assert [(each.bits, each.keywords) for each in before] == [(0, ""), (1, ""), (4, " $Forwarded ")]
    changes: list[Change] = []
    stop = account.watch(folder.id, changes.append)
    shown, refused = stage.do(account.change_flags(folder.id, [1, 2, 9], "add", ["\\Seen", "work"]))
    assert [(each.uid, each.bits, each.keywords) for each in shown] == [(1, 1, " work "), (2, 1, " work ")]
    assert refused == []
    shown, _ = stage.do(account.change_flags(folder.id, [1], "add", ["\\Seen", "WORK"]))
    assert shown[0].keywords == " work "
    assert [[each.uid for each in change.changed] for change in changes] == [[1, 2]], "what changes nothing is no change"
    stage.do(account.change_flags(folder.id, [1], "remove", ["\\Seen", "Work"]))
    stage.do(account.change_flags(folder.id, [2], "replace", ["\\Deleted"]))
    stop()
    shown, refused = stage.do(account.change_flags(folder.id, [1, 3], "add", ["\\Draft"], unchanged_since=before[2].modseq))
    assert ([each.uid for each in shown], refused) == ([3], [1])
    _, after = stage.do(account.snapshot("INBOX"))
    assert [(each.bits, each.keywords) for each in after] == [(0, ""), (8, ""), (20, " $Forwarded ")]
    assert [len(each.changed) for each in changes] == [2, 1, 1]
    assert stage.do(account.folder("INBOX"))[1] == 3, "unseen"
    with pytest.raises(ValueError, match="no flag"):
        stage.do(account.change_flags(folder.id, [1], "add", ["\\Recent"]))


def test_expunging_copying_moving(stage: Stage) -> None:
    for number in range(1, 6):
        stage.deliver(b"message %d" % number)
    account = stage.account
    made = stage.do(account.create("Archive"))
    inbox, _ = stage.do(account.snapshot("INBOX"))
    changes: list[Change] = []
    account.watch(inbox.id, changes.append)
    account.watch(made.id, changes.append)
    quota = stage.store.quota()
    _, pairs = stage.do(account.copy(inbox.id, [1, 2, 99], "Archive", quota))
    assert pairs == [(1, 1), (2, 2)]
    _, pairs = stage.do(account.move(inbox.id, [2, 3], "Archive"))
    assert pairs == [(2, 3), (3, 4)]
    assert stage.do(account.expunge(inbox.id, [1, 4, 4, 77])) == [1, 4]
    stage.wait(1)
    assert stage.texts() == {5: b"message 5"}
    assert stage.texts("Archive") == {1: b"message 1", 2: b"message 2", 3: b"message 2", 4: b"message 3"}
    assert [(change.folder, [each.uid for each in change.added], change.vanished) for change in changes] == [
        (made.id, [1, 2], ()), (made.id, [3, 4], ()), (inbox.id, [], (2, 3)), (inbox.id, [], (1, 4)),
    ]  # fmt: skip
    files = stage.machine.disk.list(f"mail/accounts/{ALICE}/files/0")
    assert files == ["1", "2", "3", "5"], "a file goes when no folder has it any more"
    with pytest.raises(OverQuota):
        stage.do(account.copy(inbox.id, [5], "Archive", Quota(5, 10**9)))
    usage = stage.do(stage.store.usage(ALICE))
    assert (usage.messages, usage.octets) == (5, 5 * (len(b"Return-Path: <>\r\n") + 9))
    _, pairs = stage.do(account.move(inbox.id, [5], "INBOX"))
    assert pairs == [(5, 6)]


def test_what_was_expunged_is_told_to_who_comes_back(stage: Stage) -> None:
    for number in range(4):
        stage.deliver(b"%d" % number)
    account = stage.account
    folder, _ = stage.do(account.snapshot("INBOX"))
    stage.do(account.expunge(folder.id, [2, 3]))
    stage.do(account.change_flags(folder.id, [4], "add", ["\\Seen"]))
    changed, vanished = stage.do(account.since(folder.id, folder.modseq))
    assert ([each.uid for each in changed], vanished) == ([4], [2, 3])
    assert stage.do(account.since(folder.id, stage.do(account.folder("INBOX"))[0].modseq)) == ([], [])


def test_only_so_many_expunged_are_remembered() -> None:
    stage = Stage(vanished=3)
    for number in range(8):
        stage.deliver(b"%d" % number)
    account = stage.account
    folder, _ = stage.do(account.snapshot("INBOX"))
    for uid in (1, 2, 3, 4, 5):
        stage.do(account.expunge(folder.id, [uid]))
    assert stage.do(account.since(folder.id, folder.modseq)) == ([], None)
    assert stage.do(account.since(folder.id, folder.modseq + 2)) == ([], [3, 4, 5])


def test_folders(stage: Stage) -> None:
    account = stage.account
    for name in ("Work/Reports", "Work", "\xc9t\xe9", "Sent"):
        stage.do(account.create(name, "\\Sent" if name == "Sent" else ""))
    stage.do(stage.store.append(ALICE, b"report", "Work/Reports"))
    assert [each.name for each in stage.do(account.folders())] == ["INBOX", "Sent", "Work", "Work/Reports", "\xc9t\xe9"]
    before = stage.do(account.folder("Work/Reports"))[0]
    stage.do(account.rename("Work", "Play"))
    after = stage.do(account.folder("Play/Reports"))[0]
    assert (after.id, after.validity, after.messages) == (before.id, before.validity, 1)
    assert stage.do(account.subscribe("Play")).subscribed
    assert not stage.do(account.subscribe("Play", False)).subscribed
    gone: list[Change] = []
    account.watch(after.id, gone.append)
    stage.do(account.delete("Play/Reports"))
    assert [(each.gone, each.vanished) for each in gone] == [(True, (1,))]
    again = stage.do(account.create("Play/Reports"))
    assert again.validity > before.validity, "RFC 9051 §2.3.1.1"
    stage.deliver(b"hello")
    stage.do(account.rename("INBOX", "Old"))
    assert (stage.texts(), stage.texts("Old")) == ({}, {1: b"hello"})
    for wrong in (
        account.create("inbox"), account.create("Play"), account.create(""), account.create("a//b"), account.create("a/"),
        account.create("a\r\nb"), account.create("x" * 256), account.create("X", "\\Inbox"), account.rename("Play", "Sent"),
        account.rename("Play", "Play/x"), account.delete("INBOX"),
    ):  # fmt: skip
        with pytest.raises(FolderRefused):
            stage.do(wrong)
    for missing in (account.rename("No", "Yes"), account.delete("No"), account.folder("No"), account.snapshot("No")):
        with pytest.raises(NoSuchFolder):
            stage.do(missing)


def test_only_so_many_folders() -> None:
    stage = Stage(folders=3)
    stage.do(stage.account.create("one"))
    stage.do(stage.account.create("two"))
    with pytest.raises(FolderRefused):
        stage.do(stage.account.create("three"))
    with pytest.raises(FolderRefused):
        stage.deliver(b"x", folder="three")


MESSAGES = [
    b"From: Alice <alice@crepes.fr>\r\nTo: bob@hamburger.edu\r\nSubject: Ketchup\r\nMessage-ID: <1@x>\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\nDo you like it?",
    b"From: Bob <bob@hamburger.edu>\r\nCc: alice@crepes.fr\r\nSubject: =?utf-8?q?Re=3A_KETCH=C3=9CP?=\r\n"
    b"Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\n\r\nYes",
    b"Subject: other\r\nMessage-ID: <3@x>\r\n\r\n" + b"x" * 1000,
    b"Subject: Re: Re: Ketchup\r\nReferences: <0@x> <2@x>\r\n\r\nNo",
]


def test_searches(stage: Stage) -> None:
    for number, message in enumerate(MESSAGES):
        stage.deliver(message, date=1_000_000 + number, flags=[["\\Seen"], ["Later"], [], []][number])
    folder, _ = stage.do(stage.account.snapshot("INBOX"))
    cases: list[tuple[search.Where, list[int]]] = [
        (search.EVERY, [1, 2, 3, 4]),
        (search.text("subject", "ketch"), [1, 2, 4]),
        (search.text("subject", "KETCHüP"), [2]),
        (search.text("sender", "BOB"), [2]),
        (search.text("recipients", "alice@"), [2]),
        (search.flagged("\\Seen"), [1]),
        (~search.flagged("\\seen") & ~search.flagged("later"), [3, 4]),
        (search.flagged("LATER") | search.identifier("<3@x>"), [2, 3]),
        (search.size(more_than=1000), [3]),
        (search.size(less_than=1000), [1, 2, 4]),
        (search.between("date", 1_000_001, 1_000_003), [2, 3]),
        (search.between("date", None, 1_000_001), [1]),
        (search.between("sent", 1_700_000_000, None), [1]),
        (search.within([(2, 3), (9, 12)]), [2, 3]),
        (search.within([]), []),
        (search.changed(folder.modseq), [4]),
    ]
    for where, uids in cases:
        assert stage.do(stage.account.search(folder.id, where)) == uids, where
    threads = stage.do(stage.account.threads(folder.id, [1, 2, 3, 4]))
    assert len({threads[1], threads[2], threads[4]}) == 1 < len(set(threads.values())) == 2
    assert stage.do(stage.account.search(folder.id, search.thread(threads[1]))) == [1, 2, 4]


def test_a_thread_that_is_gone_is_forgotten(stage: Stage) -> None:
    stage.deliver(MESSAGES[0])
    folder, _ = stage.do(stage.account.snapshot("INBOX"))
    stage.do(stage.account.expunge(folder.id, [1]))
    stage.deliver(MESSAGES[1])
    stage.deliver(MESSAGES[0])
    stage.deliver(b"no identifier")
    threads = stage.do(stage.account.threads(folder.id, [2, 3, 4]))
    assert (threads[2] == threads[3], threads[4]) == (True, 4)


def test_a_mailbox_that_closes_takes_no_more(stage: Stage) -> None:
    stage.deliver(b"hello")
    outcome = stage.start(stage.store.deliver(ALICE, None, b"last"))
    stage.do(stage.store.close())
    assert outcome[0].uid == 2
    with pytest.raises(StoreBusy):
        stage.deliver(b"late")
    stage.begin()
    assert stage.texts() == {1: b"hello", 2: b"last"}
    assert stage.machine.disk.list(f"mail/accounts/{ALICE}/files/0") == ["1", "2"]


def test_what_is_counted() -> None:
    stage = Stage(message=100_000, accounts=2)
    stage.deliver(b"hello", once="1")
    stage.deliver(b"hello", once="1")
    stage.deliver(LARGE[:80_000])
    for refused in (
        stage.store.deliver(ALICE, None, LARGE), stage.store.deliver(ALICE, None, b"x", quota=Quota(1, 1)),
        stage.store.append(ALICE, b"x", "No"),
    ):  # fmt: skip
        with pytest.raises(StoreError):
            stage.do(refused)
    folder, _ = stage.do(stage.account.snapshot("INBOX"))
    stage.do(stage.account.expunge(folder.id, [1]))
    stage.wait(1)
    value = stage.machine.registry.get_sample_value
    results = {"stored": 2, "again": 1, "large": 1, "quota": 1, "folder": 1, "busy": 0, "failed": 0}
    assert {result: value("netstack_mail_messages_total", {"result": result}) for result in results} == results
    assert value("netstack_mail_stored_bytes_total") == 5 + 80_000 + 2 * len(b"Return-Path: <>\r\n")
    assert (value("netstack_mail_settled_total"), value("netstack_mail_removed_total")) == (2, 1)
    assert (value("netstack_mail_unsettled_bytes"), value("netstack_mail_open_mailboxes")) == (0, 1)
