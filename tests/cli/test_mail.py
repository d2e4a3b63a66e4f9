"""`netstack mail`: sent from a host, with and without a password, with a file; read; queued while a server is away."""

import email
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.world import as_json, netstack, up_in
from tests.processes import wait_until

NAME = "post"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with up_in(tmp_path_factory.mktemp("m"), "textbook", NAME):
        yield


@pytest.mark.xdist_group("cli-mail")
def test_mail_is_sent_and_read(world: None, tmp_path: Path) -> None:
    picture, password = tmp_path / "kiwi.gif", tmp_path / "password"
    picture.write_bytes(bytes(range(256)))
    password.write_text("tomato\n")
    sent = netstack(
        "mail", "send", "--name", NAME, "--from", "alice@crepes.fr", "--to", "bob@hamburger.edu", "--subject", "crêpes",
        "--body", "Do you like ketchup?", "--attach", str(picture), "--password-file", str(password),
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    assert "mail.crepes.fr says 250" in sent.stdout
    wait_until(lambda: "crêpes" in netstack("mail", "ls", "bob@hamburger.edu", "--name", NAME).stdout, "it is delivered")
    read = netstack("mail", "read", "bob@hamburger.edu", "1", "--name", NAME)
    message = email.message_from_string(read.stdout)
    assert message["From"] == "alice@crepes.fr"
    [attached] = [part for part in message.walk() if part.get_filename() == "kiwi.gif"]
    assert attached.get_payload(decode=True) == bytes(range(256))


@pytest.mark.xdist_group("cli-mail")
def test_who_is_refused_is_told(world: None, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("mustard\n")
    told = netstack(
        "mail", "send", "--name", NAME, "--from", "alice@crepes.fr", "--to", "bob@hamburger.edu", "--body", "x",
        "--password-file", str(wrong),
    )  # fmt: skip
    assert told.returncode != 0
    assert "535" in told.stderr
    nobody = netstack("mail", "send", "--name", NAME, "--from", "alice@crepes.fr", "--to", "x@hamburger.edu", "--body", "x")
    assert nobody.returncode == 1
    assert "550" in nobody.stdout + nobody.stderr


@pytest.mark.xdist_group("cli-mail")
def test_a_queue_is_looked_at_and_changed(world: None, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("tomato\n")
    sent = netstack(
        "mail", "send", "--name", NAME, "--from", "alice@crepes.fr", "--to", "x@gaia.cs.umass.edu", "--body", "x",
        "--password-file", str(password),
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    rows = as_json("mail", "queue", "list", "--name", NAME)
    assert json.dumps(rows).count("x@gaia.cs.umass.edu") == 1, rows
    number = rows[0]["message"] if "message" in rows[0] else rows[0]["number"]
    for action in ("freeze", "thaw", "flush"):
        done = netstack("mail", "queue", action, "mail.crepes.fr", str(number), "--name", NAME)
        assert done.returncode == 0, done.stderr
    shown = netstack("mail", "queue", "show", "mail.crepes.fr", str(number), "--name", NAME)
    assert "x@gaia.cs.umass.edu" in shown.stdout
    assert netstack("mail", "queue", "remove", "mail.crepes.fr", str(number), "--name", NAME).returncode == 0
    assert as_json("mail", "queue", "list", "--name", NAME) == []
