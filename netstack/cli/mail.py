"""`netstack mail account`: what a mail server knows of its users."""

import argparse
import secrets
import sys
from dataclasses import replace

from netstack.cli import render
from netstack.cli.errors import PASS, USAGE, CommandError


def run(options: argparse.Namespace) -> int:
    """As the action says."""
    return {"account": account}[options.action](options)


def account(options: argparse.Namespace) -> int:
    """Print the line for an address and the password on standard input."""
    from netstack.mail.accounts import account_line, new_account, size

    if sys.stdin.isatty():
        from getpass import getpass

        password = getpass("Password: ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        made = new_account(options.address, password, secrets.token_bytes(16), scram=not options.no_scram)
        made = replace(made, octets=size(options.octets), messages=size(options.messages))
    except ValueError as error:
        raise CommandError(str(error), USAGE, "usage") from None
    if options.json:
        render.print_json({"account": made.name, "line": account_line(made)})
    else:
        print(account_line(made))
    return PASS
