"""`netstack mail send` makes no field, part or line that its user has not asked for, whatever stands in what he gives."""

import argparse
import email
from email.policy import SMTP
from pathlib import Path

import pytest

from netstack.cli.errors import CommandError
from netstack.cli.post import message

EVIL = {
    "CRLF": "\r\nX-Evil: 1",
    "LF": "\nX-Evil: 1",
    "CR": "\rX-Evil: 1",
    "two lines": "\r\n\r\nX-Evil: 1",
    "folded": "\r\n X-Evil: 1",
    "tab": "\r\n\tX-Evil: 1",
    "vertical tab": "\vX-Evil: 1",
    "form feed": "\fX-Evil: 1",
    "separators": "\x1c\x1d\x1eX-Evil: 1",
    "next line": "\x85X-Evil: 1",
    "U+2028": "\u2028X-Evil: 1\u2029",
    "NUL": "\0X-Evil: 1",
    "encoded": "=?utf-8?q?=0D=0AX-Evil:_1?=",
    "in base64": "=?utf-8?b?DQpYLUV2aWw6IDE=?=",
    "quotes": '";\r\n X-Evil="',
    "quotes alone": '"; X-Evil="1',
    "surrogate": "\udc0aX-Evil: 1",
    "a dot": "\r\n.\r\nMAIL FROM:<evil@x.test>",
    "long": "x" * 3000 + "\nX-Evil: 1",
    "blanks": " " * 2000 + "X-Evil: 1",
    "a name": '"Evil\r\nX-Evil: 1" <a@b.test>',
    "another": "a@b.test>, <evil@x.test",
}
FIELDS = {"From", "To", "Subject", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition"}


def made(tmp_path: Path, **given: object) -> bytes:
    options: dict[str, object] = {"sender": "alice@crepes.fr", "to": ["bob@hamburger.edu"], "subject": "s", "body": "b\n"}
    options |= {"attach": [], "message": None, **given}
    return message(argparse.Namespace(**options))


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("field", ["sender", "to", "subject", "attach", "body"])
def test_no_field_is_made_by_what_is_given(tmp_path: Path, field: str, evil: str) -> None:
    text = EVIL[evil]
    value: object = text if field != "body" else f"b{text}\n"
    if field == "to":
        value = ["bob@hamburger.edu", text]
    elif field == "attach":
        if "/" in text or "\0" in text or len(text) > 200 or evil == "surrogate":
            return  # no name of a file
        path = tmp_path / f"a{text}.txt"
        path.write_bytes(b"attached\n")
        value = [str(path)]
    try:
        octets = made(tmp_path, **{field: value})
    except CommandError:
        return
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")
    assert b"\0" not in octets.partition(b"\r\n\r\n")[0]
    for policy in (email.policy.compat32, SMTP):
        read = email.message_from_bytes(octets, policy=policy)
        parts = [part for part in read.walk() if not part.is_multipart()]
        assert len(parts) == (2 if field == "attach" else 1)
        for part in read.walk():
            assert set(part.keys()) <= FIELDS
        if field != "sender":
            assert read["From"] == "alice@crepes.fr"
        if field != "to":
            assert read["To"] == "bob@hamburger.edu"
    for line in octets.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        assert not line.lower().startswith(b"x-evil")
