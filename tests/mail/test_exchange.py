"""Maildirs and mbox files: read and written, with Python's `mailbox` as the judge; and by the command."""

import json
import mailbox
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.mail import utf7
from netstack.mail.exchange import Item, NotAMailbox, read, with_crlf, write_maildir, write_mbox
from netstack.mail.store import MessageTooLarge
from netstack.mail.transfer import export_items, import_items
from tests.mail.stage import ALICE, Stage

ITEMS = [
    Item("INBOX", b"Subject: one\r\n\r\nbody\r\n", ("\\Seen",), 1_700_000_000.0, "bob@hamburger.edu"),
    Item(
        "INBOX",
        b"Subject: two\r\n\r\nFrom here\r\n>From there\r\n>>From\r\n\r\n",
        ("\\Flagged", "\\Answered"),
        1_700_000_001.0,
    ),
    Item("Work/2026", b"Subject: caf\xc3\xa9\r\n\r\n\xff\x00.\r\n", ("\\Draft", "$Forwarded"), 1_600_000_000.0),
    Item("\xc9t\xe9", b"\r\nno head\r\n", (), 1_000_000_000.0),
    Item("INBOX", b"Subject: no body\r\n\r\n", ("\\Deleted", "\\Seen"), 1_700_000_002.0),
]


def sorted_items(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (item.folder, item.date or 0))


def without_senders(items: list[Item]) -> list[Item]:
    return [Item(item.folder, item.octets, tuple(sorted(item.flags)), item.date) for item in sorted_items(items)]


def test_a_maildir_and_back(tmp_path: Path) -> None:
    assert write_maildir(tmp_path / "mail", ITEMS) == 5
    assert without_senders(list(read(tmp_path / "mail", "INBOX", 1000))) == without_senders(ITEMS)
    judge = mailbox.Maildir(str(tmp_path / "mail"), create=False)
    assert sorted(judge.list_folders()) == ["&AMk-t&AOk-", "Work.2026"]
    assert sorted((message["subject"], "".join(sorted(message.get_flags()))) for message in judge) == [
        ("no body", "ST"), ("one", "S"), ("two", "FR"),
    ]  # fmt: skip
    [work] = judge.get_folder("Work.2026")
    assert (sorted(work.get_flags()), work.get_date()) == (["D", "P"], 1_600_000_000)


def test_a_maildir_of_another_program(tmp_path: Path) -> None:
    judge = mailbox.Maildir(str(tmp_path / "mail"))
    message = mailbox.MaildirMessage(b"Subject: hello\n\nworld\n")
    message.set_subdir("cur")
    message.set_flags("RS")
    message.set_date(1_234_567_890)
    judge.add(message)
    judge.add(b"Subject: new\n\nmessage\n")
    judge.add_folder("Sent").add(b"Subject: sent\n\n")
    (tmp_path / "mail" / "cur" / ".hidden").write_bytes(b"x")
    found = {item.octets: item for item in read(tmp_path / "mail", "Old", 1000)}
    assert sorted(found) == [
        b"Subject: hello\r\n\r\nworld\r\n",
        b"Subject: new\r\n\r\nmessage\r\n",
        b"Subject: sent\r\n\r\n",
    ]
    hello = found[b"Subject: hello\r\n\r\nworld\r\n"]
    assert (hello.folder, hello.flags, hello.date) == ("Old", ("\\Answered", "\\Seen"), 1_234_567_890)
    assert found[b"Subject: sent\r\n\r\n"].folder == "Sent"


def test_an_mbox_and_back(tmp_path: Path) -> None:
    items = [Item("INBOX", item.octets, item.flags, item.date, item.sender) for item in ITEMS]
    assert write_mbox(tmp_path / "box", items[:2]) == 2
    assert write_mbox(tmp_path / "box", items[2:]) == 3
    back = without_senders(list(read(tmp_path / "box", "INBOX", 1000)))
    assert back == without_senders(items)
    judge = mailbox.mbox(str(tmp_path / "box"), create=False)
    assert [message["subject"] for message in judge][:2] == ["one", "two"]
    assert [message.get_flags() for message in judge] == ["RO", "OAF", "OT", "O", "ROD"]
    assert judge[0].get_from() == "bob@hamburger.edu Tue Nov 14 22:13:20 2023"


def test_an_mbox_of_another_program(tmp_path: Path) -> None:
    judge = mailbox.mbox(str(tmp_path / "box"))
    message = mailbox.mboxMessage(b"Subject: hello\n\nFrom the start\n")
    message.set_from("bob@hamburger.edu", (2009, 2, 13, 23, 31, 30, 4, 44, 0))
    message.set_flags("RF")
    judge.add(message)
    judge.add(b"Subject: other\n\nbody\n")
    judge.flush()
    first, second = read(tmp_path / "box", "Old", 1000)
    assert first == Item("Old", b"Subject: hello\r\n\r\nFrom the start\r\n", ("\\Seen", "\\Flagged"), 1_234_567_890.0)
    assert (second.octets, second.flags) == (b"Subject: other\r\n\r\nbody\r\n", ())


@pytest.mark.parametrize(
    ("content", "says"), [(None, "was expected"), (b"hello", "begins with From"), (b"From x\n" + b"x" * 2000, "at most")]
)
def test_what_is_no_mailbox(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "box").write_bytes(content)
    with pytest.raises(NotAMailbox, match=says):
        list(read(tmp_path / "box", "INBOX", 1000))
    (tmp_path / "empty").touch()
    assert list(read(tmp_path / "empty", "INBOX", 1000)) == []


BODY = st.lists(
    st.sampled_from([b"From x\r\n", b">From\r\n", b">>From x\r\n", b"\r\n", b"text\r\n", b"\xff\r\n", b"end"])
).map(b"".join)


@given(st.lists(BODY, max_size=5))
def test_any_bodies_come_back_from_an_mbox(tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("mail") / "box"
    items = [Item("INBOX", b"Subject: x\r\n\r\n" + with_crlf(body), (), 1.0) for body in bodies]
    write_mbox(path, items)
    back = [item.octets for item in read(path, "INBOX", 10_000)]
    assert back == [item.octets if item.octets.endswith(b"\r\n") else item.octets + b"\r\n" for item in items]


def test_into_the_store_and_out_of_it(tmp_path: Path) -> None:
    stage = Stage()
    count = stage.do(import_items(stage.store, ALICE, [*ITEMS, Item("INBOX", b"x", ("b\xe4d", "\\Recent"), None)]))
    assert dict(count) == {"INBOX": 4, "Work/2026": 1, "\xc9t\xe9": 1}
    out = list(stage.do(export_items(stage.account)))
    assert without_senders([item for item in out if item.octets != b"x"]) == without_senders(ITEMS)
    assert [item.octets for item in stage.do(export_items(stage.account, "Work/2026"))] == [ITEMS[2].octets]
    with pytest.raises(MessageTooLarge):
        stage.do(import_items(Stage(message=10).store, ALICE, ITEMS))


@pytest.mark.parametrize(("name", "text"), [("a&b", "a&-b"), ("Été", "&AMk-t&AOk-"), ("台北", "&U,BTFw-"), ("~/x", "~/x")])
def test_names_in_utf7(name: str, text: str) -> None:
    assert (utf7.encoded(name), utf7.decoded(text)) == (text, name)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_comes_back_from_utf7(name: str) -> None:
    assert utf7.encoded(name).isascii()
    assert utf7.decoded(utf7.encoded(name)) == name


@pytest.mark.parametrize("text", ["&", "&a", "&AGE-", "&!-", "é", "&2D0-", "a&b-"])
def test_what_is_no_utf7(text: str) -> None:
    with pytest.raises(ValueError, match=r"utf|UTF"):
        utf7.decoded(text)


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    def netstack(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "netstack.cli", "mail", *map(str, arguments), "--state", str(tmp_path / "state")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    write_maildir(tmp_path / "mail", ITEMS)
    done = netstack("import", ALICE, tmp_path / "mail")
    assert (done.returncode, done.stdout) == (0, "INBOX: 3 messages\nWork/2026: 1 message\n\xc9t\xe9: 1 message\n")
    done = netstack("export", ALICE, tmp_path / "box", "--format", "mbox", "--folder", "INBOX", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"account": ALICE, "folders": {"INBOX": 3}})
    assert len(mailbox.mbox(str(tmp_path / "box"), create=False)) == 3
    for arguments, code, says in (
        (("import", ALICE, tmp_path / "nowhere"), 1, "a Maildir"),
        (("import", "alice", tmp_path / "mail"), 2, "local-part@domain"),
        (("export", ALICE, tmp_path / "out", "--folder", "No"), 1, "no folder 'No'"),
    ):
        done = netstack(*arguments)
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr
