"""`netstack mail send`: a message from a host of the world, to the user's own server or to the recipients'."""

import argparse
import mimetypes
import os
import re
import sys
from contextlib import nullcontext
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS, USAGE, CommandError
from netstack.cli.get import Bar

LARGEST = 48 * 1024 * 1024
"""Octets of a message and of all that it is made of."""
SHOWN = 256 * 1024
"""Octets from which on a bar is shown."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LINES = re.compile(rb"\r\n|\r|\n")


def run(options: argparse.Namespace) -> int:
    """0 when every recipient was accepted, else 1."""
    content = message(options)
    if not options.to:
        raise CommandError("--to: expected at least one address", USAGE, "usage")
    server, port = place(options.server)
    with Client(options.name) as client, NamedTemporaryFile(prefix="netstack-mail-") as file:  # mode 0600
        file.write(content)
        file.flush()
        client.timeout(options.timeout)
        shown = sys.stderr.isatty() and not options.json and len(content) >= SHOWN
        with Bar(render.console(error=True)) if shown else nullcontext() as bar:
            found = client.hear(
                "mail.send",
                bar or (lambda item: None),
                **{"from": options.sender},
                to=options.to,
                host=options.host or of_domain(client, options.sender),
                file=file.name,
                server=server,
                port=port,
                user=options.user,
                password=password(options),
                cleartext=options.cleartext,
                hello=options.hello,
                helo=options.helo,
                trace=options.trace,
                progress=shown,
            )
    code = PASS if all(each["accepted"] for each in found["recipients"]) else FAIL
    if options.json:
        render.print_json(found)
        return code
    if options.trace:
        shown_on = render.console()
        shown_on.print(render.ladder(found["messages"], shown_on.width), markup=False)
    for each in found["recipients"]:
        print(f"{each['to']}: {each['server']} says {each['said']}")
    return code


def message(options: argparse.Namespace) -> bytes:
    """The octets to send: a whole message as it is given, or one made of the text and the attached files."""
    if options.message is not None:
        if options.body is not None or options.attach or options.subject is not None:
            raise CommandError("--message is a whole one: expected no --body, --subject, --attach", USAGE, "usage")
        return _LINES.sub(b"\r\n", _read(options.message))
    text = options.body if options.body is not None else _text(_read("-"))
    made = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    try:
        made["From"], made["To"] = options.sender, ", ".join(options.to)
        if options.subject is not None:
            made["Subject"] = options.subject
        for name, value in made.items():
            if _CONTROLS.search(str(value)):  # also in an encoded word, which is decoded and may be written as it is
                raise ValueError(f"{name}: expected no line break and no other control character")
        made.set_content(text)
        for path in options.attach:
            kind = (mimetypes.guess_type(path)[0] or "application/octet-stream").split("/")
            made.add_attachment(_read(path), *kind, filename=os.path.basename(path))
        octets = made.as_bytes()
    except ValueError as error:  # a line break in a field
        raise CommandError(str(error), USAGE, "usage") from None
    if len(octets) > LARGEST:
        raise CommandError(f"the message has {len(octets)} octets; at most {LARGEST} are sent", USAGE, "usage")
    return octets


def place(given: str | None) -> tuple[str, int]:
    """Host and port of --server; 0 for the usual port."""
    host, _, port = (given or "").partition(":")
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise CommandError(f"--server {given}: expected HOST or HOST:PORT", USAGE, "usage")
    return host, int(port or 0)


def password(options: argparse.Namespace) -> str | None:
    """The first line of --password-file; with --user alone it is asked for."""
    if options.password_file is not None:
        return _text(_read(options.password_file)).partition("\n")[0].rstrip("\r")
    if options.user is None:
        return None
    if not sys.stdin.isatty():
        raise CommandError("--user needs --password-file, where nobody can be asked", USAGE, "usage")
    from getpass import getpass

    return getpass("Password: ")


def of_domain(client: Client, sender: str) -> str | None:
    """The first host in the sender's domain where a person sits, if there is one."""
    domain = "." + sender.rpartition("@")[2].lower()
    hosts: dict[str, Any] = client.call("status")["hosts"]
    return next((name for name, host in hosts.items() if name.endswith(domain) and not host["services"]), None)


def _read(path: str) -> bytes:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(LARGEST + 1)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", USAGE, "usage") from None
    if len(data) > LARGEST:
        raise CommandError(f"{path}: expected at most {LARGEST} octets", USAGE, "usage")
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CommandError("expected UTF-8; --attach sends a file as it is", USAGE, "usage") from None
