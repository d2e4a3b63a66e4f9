"""The command line: which commands there are, what they take, and which module carries each out.

Only the module of the command that was asked for is imported, so that `netstack exec` costs little.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from netstack.cli.errors import FAIL, PASS, USAGE, CommandError

NAME_VARIABLE = "NETSTACK_NAME"
"""Which world commands talk to, when `--name` does not say; `netstack exec` sets it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 pass, 1 fail, 2 nothing to run or bad usage, 3 warnings."""
    commands = parser()
    options = commands.parse_args(arguments)
    if not hasattr(options, "module"):
        commands.print_help(sys.stderr)
        commands.exit(USAGE)
    try:
        run: Callable[[argparse.Namespace], int] = import_module(f"netstack.cli.{options.module}").run
        code = run(options)
        sys.stdout.flush()
    except CommandError as error:
        if options.json:
            print(json.dumps({"error": {"kind": error.kind, "message": str(error)}}))
        else:
            print(f"netstack: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 128 + 2
    except BrokenPipeError:  # `netstack status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PASS
    return code


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="netstack",
        description="Bring up an Internet of DNS servers, Web servers and hosts on this machine, and use it.",
        epilog="Exit codes: 0 pass, 1 fail, 2 nothing to run or bad usage, 3 warnings.",
    )
    commands = top.add_subparsers(metavar="COMMAND")

    def common(sub: argparse.ArgumentParser, world: bool) -> None:
        sub.add_argument("--json", action="store_true", help="print JSON")
        if world:
            sub.add_argument(
                "--name",
                default=os.environ.get(NAME_VARIABLE),
                metavar="NAME",
                type=_world_name,
                help="the world to talk to, when more than one is up",
            )

    def command(
        name: str, about: str, module: str | None = None, world: bool = True, **more: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".", **more)  # type: ignore[arg-type]
        sub.set_defaults(module=module or name, command=name)
        common(sub, world)
        return sub

    def more(
        group: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, about: str, world: bool = True
    ) -> argparse.ArgumentParser:
        """An action of a command."""
        sub = group.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        common(sub, world)
        sub.set_defaults(action=name)
        return sub

    up = command("up", "bring a world up")
    up.add_argument("--world", default="textbook", metavar="FILE", help="world file, or the name of one that is shipped")
    up.add_argument("--detach", action="store_true", help="return as soon as everything is ready")
    up.add_argument(
        "--port-offset",
        type=_port_offset,
        metavar="N",
        help="added to every port (default: 0 where ports below 1024 may be bound, else 10000)",
    )
    up.add_argument("--substrate", choices=("loopback", "namespaces"), default="loopback", help="default: loopback")
    up.add_argument(
        "--shaped",
        action="store_true",
        help="links begin with the world's rates, delays and losses (default: free)",
    )
    up.add_argument("--trace", nargs="*", metavar="HOST", help="record the messages of these hosts (none named: all)")
    up.add_argument("--timeout", type=_seconds, default=60.0, metavar="SECONDS", help="for --detach (default: 60)")

    down = command("down", "stop a world")
    down.add_argument("--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="for it to drain (default: 30)")

    command("status", "show the hosts and services of a world")

    inspect = command("inspect", "show one host: addresses, services, zones")
    inspect.add_argument("host", metavar="HOST")

    execute = command(
        "exec", "run a program as if on a host", "execute", usage="netstack exec [--name NAME] HOST -- COMMAND ..."
    )
    execute.add_argument("host", metavar="HOST")
    execute.add_argument("program", metavar="COMMAND", nargs=argparse.REMAINDER)

    resolve = command("resolve", "look a name up from a host")
    resolve.add_argument("query", metavar="NAME", help="or an address, whose name is then asked for")
    resolve.add_argument("type", metavar="TYPE", nargs="?", default="A", type=str.upper)
    resolve.add_argument(
        "--from", dest="host", metavar="HOST", help="the host that asks (default: the world's first client)"
    )
    resolve.add_argument("--cold", action="store_true", help="empty the resolvers' caches first")
    resolve.add_argument("--trace", action="store_true", help="show the messages")
    resolve.add_argument("--sections", action="store_true", help="and what is in each of them: flags, records, TTLs, glue")

    get = command("get", "fetch a URL from a host")
    get.add_argument("url", metavar="URL")
    get.add_argument("--from", dest="host", metavar="HOST", help="the host that asks (default: the world's first client)")
    get.add_argument("--trace", action="store_true", help="show the messages")
    get.add_argument("--http2", action="store_true", help="speak HTTP/2, in the clear too")
    get.add_argument(
        "--page",
        nargs="?",
        const="persistent",
        choices=["non-persistent", "parallel", "persistent", "pipelined", "http2"],
        help="fetch what the page shows as well, in this way (default: persistent), and draw when each part came",
    )
    get.add_argument("-o", "--output", metavar="FILE", help="write the body here (default: standard output)")
    get.add_argument(
        "--if-changed",
        action="store_true",
        help="only when the server has another content than the -o FILE of the last time (its date, and FILE.etag)",
    )
    get.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="for the whole response (default: 30)"
    )
    get.add_argument(
        "--cookies",
        metavar="FILE",
        help="send the cookies of this file, keep what the server sets there (as curl -b -c)",
    )
    get.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="send this field too")

    register = command("register", "register a domain at the world's registrar")
    register.add_argument("domain", metavar="DOMAIN")
    register.add_argument(
        "--ns", action="append", default=[], metavar="NAME[=ADDRESS,...]", help="a name server, the primary first; repeat it"
    )
    register.add_argument("--ds", action="append", default=[], metavar="RECORD", help="a DS record's data; repeat it")
    register.add_argument("--secret", default="", metavar="TEXT", help="of the domain (default: one is made and shown)")
    register.add_argument("--delete", action="store_true", help="give the domain up; needs --secret")
    register.add_argument("--from", dest="host", metavar="HOST", help="the host that asks (default: the first client)")

    link = command("link", "show or set a site's access link")
    link.add_argument("site", metavar="SITE", nargs="?")
    link.add_argument(
        "--delay",
        metavar="TIME",
        type=_quantity("parse_delay", "250ms or 0.25s"),
        default=argparse.SUPPRESS,
        help="one way, such as 50ms",
    )
    link.add_argument(
        "--rate",
        metavar="RATE",
        type=_quantity("parse_rate", "1.54Mbit or 64kbit"),
        default=argparse.SUPPRESS,
        help="such as 1.54Mbit, or unlimited",
    )
    link.add_argument(
        "--loss", metavar="LOSS", type=_quantity("parse_loss", "1%"), default=argparse.SUPPRESS, help="such as 1%% or 0.01"
    )
    link.add_argument("--direction", choices=("up", "down", "both"), default="both", help="default: both")

    keys = command("keys", "list the keys of signed zones, or roll them over")
    keys.add_argument("action", choices=("list", "roll", "seen"), nargs="?", default="list", help="default: list")
    keys.add_argument("zone", metavar="ZONE", nargs="?")
    keys.add_argument("role", choices=("csk", "ksk", "zsk"), nargs="?", help="for roll, where a zone has two kinds of keys")

    trace = command("trace", "show messages as they happen")
    trace.add_argument("hosts", metavar="HOST", nargs="*", help="default: all hosts")
    trace.add_argument("--protocol", metavar="PROTOCOL", help="only this one, such as dns or http")
    trace.add_argument("--count", type=_positive, metavar="N", help="end after N messages")
    trace.add_argument("--seconds", type=_seconds, metavar="SECONDS", help="end after this time")
    trace.add_argument("--no-follow", action="store_true", help="show what was recorded so far, then end")
    switch = trace.add_mutually_exclusive_group()
    switch.add_argument("--on", action="store_true", help="start recording, then end; --no-follow shows it later")
    switch.add_argument("--off", action="store_true", help="stop recording")

    capture = command("capture", "write messages as a packet capture for Wireshark")
    capture.add_argument("-o", "--output", metavar="FILE", required=True, help="a pcapng file; - is standard output")
    capture.add_argument("hosts", metavar="HOST", nargs="*", help="default: all hosts")
    capture.add_argument("--seconds", type=_seconds, metavar="SECONDS", help="record this long (default: until Ctrl-C)")
    capture.add_argument("--no-follow", action="store_true", help="write what was recorded so far, then end")

    cache = command("cache", "look at what resolvers remember and Web caches have stored", "caches")
    caches = cache.add_subparsers(metavar="dump|ls|inspect|purge", required=True)
    cache_dump = more(caches, "dump", "all that a host's resolver has in its cache")
    cache_dump.add_argument("host", metavar="HOST")
    cache_dump.add_argument("-o", "--output", metavar="FILE", help="write it here (default: standard output)")

    for verb, about in (
        ("ls", "what a Web cache has stored"),
        ("inspect", "all that is known of what a Web cache has stored under a URL"),
        ("purge", "have a Web cache forget what it has stored"),
    ):
        web = more(caches, verb, about)
        web.set_defaults(module="objects")
        web.add_argument("--at", metavar="HOST", help="the cache, when the world has more than one")
        if verb == "ls":
            web.add_argument("prefix", metavar="PREFIX", nargs="?", help="only URLs that begin so")
            web.add_argument("-o", "--output", metavar="FILE", help="write it here (default: standard output)")
        else:
            web.add_argument("url", metavar="URL", nargs="?" if verb == "purge" else None)
        if verb == "purge":
            web.add_argument("--prefix", metavar="PREFIX", help="all URLs that begin so")
            web.add_argument("--all", action="store_true", help="everything")

    flush = command("flush", "have caches forget what they know", "caches")
    flush.add_argument("host", metavar="HOST", nargs="?", help="default: all hosts")
    flush.add_argument("query", metavar="NAME", nargs="?", help="a resolver forgets this name alone")
    flush.add_argument("--tree", action="store_true", help="and all below it")
    flush.set_defaults(action="flush")

    reload = command("reload", "read a name server's zone files again", "zones")
    reload.add_argument("host", metavar="HOST")
    reload.add_argument("zone", metavar="ZONE", nargs="?", help="default: all its zones")
    reload.add_argument("--force", action="store_true", help="whatever the serial number says")
    reload.set_defaults(action="reload")

    zone = command("zone", "check, compile and dump zones", "zones", world=False)
    zones = zone.add_subparsers(metavar="check|compile|dump|freeze|thaw", required=True)
    zone_check = more(zones, "check", "look whether a master file is a zone, and what is doubtful about it", world=False)
    zone_check.add_argument("origin", metavar="ORIGIN")
    zone_check.add_argument("file", metavar="FILE")
    about = "a master file into one that is opened at once and served from the disk"
    zone_compile = more(zones, "compile", about, world=False)
    zone_compile.add_argument("origin", metavar="ORIGIN")
    zone_compile.add_argument("file", metavar="FILE", help="the master file")
    zone_compile.add_argument("-o", "--output", metavar="FILE", required=True, help="such as ORIGIN.nszone")
    zone_compile.set_defaults(module="compile")
    zone_dump = more(zones, "dump", "a zone as it is served, as a master file")
    zone_dump.add_argument("host", metavar="HOST", help="or, with --state, the zone")
    zone_dump.add_argument("zone", metavar="ZONE", nargs="?")
    zone_dump.add_argument("-o", "--output", metavar="FILE", help="write it here (default: standard output)")
    zone_dump.add_argument("--state", metavar="DIRECTORY", help="from the state directory of a server that runs alone")
    for verb, about in (("freeze", "refuse a zone's updates, so that its file may change"), ("thaw", "take them again")):
        zone_freeze = more(zones, verb, about)
        zone_freeze.add_argument("host", metavar="HOST")
        zone_freeze.add_argument("zone", metavar="ZONE")

    ring = command("ring", "keys of a ring, the way to them, and its nodes")
    rings = ring.add_subparsers(metavar="put|get|rm|lookup|show|join|leave", required=True)
    for verb, about in (
        ("put", "keep a value under a key, in the place of all others"),
        ("get", "the values of a key"),
        ("rm", "remove all values of a key"),
        ("lookup", "who is responsible for a key, and the way there"),
        ("show", "what nodes know of the circle"),
        ("join", "have a node that has left join again, or another circle"),
        ("leave", "have a node hand over what it keeps and go"),
    ):
        sub = more(rings, verb, about)
        sub.set_defaults(module="ring", at=None)
        if verb in ("show", "join", "leave"):
            sub.add_argument("host", metavar="HOST", nargs="?" if verb == "show" else None, help="the node")
            if verb == "join":
                sub.add_argument(
                    "--through", action="append", metavar="NODE",
                    help="a node that is on the circle, a host or HOST:PORT; repeat it (default: the others of the world)",
                )  # fmt: skip
            continue
        sub.add_argument("--at", metavar="HOST", help="the node that is asked (default: the first)")
        sub.add_argument("key", metavar="KEY", nargs="?" if verb == "lookup" else None)
        if verb == "put":
            sub.add_argument("value", metavar="VALUE", nargs="?", help="default: standard input")
            sub.add_argument("--ttl", type=float, metavar="SECONDS", help="how long it is kept")
            sub.add_argument("--add", action="store_true", help="beside the values that are there")
        elif verb == "lookup":
            sub.add_argument("--ident", type=int, metavar="NUMBER", help="an identifier in place of a key's")
            sub.add_argument("--forwarding", action="store_true", help="nodes hand the question on, as the chapter has it")
            sub.add_argument("--trace", action="store_true", help="show every message")

    mail = command("mail", "send mail; queues, mailboxes and accounts of mail servers", world=False)
    mails = mail.add_subparsers(metavar="send|queue|ls|read|account|import|export", required=True)
    mail_send = more(mails, "send", "send a message from a host: to the user's own server, or to the recipients'")
    mail_send.set_defaults(module="post")
    mail_send.add_argument("--from", dest="sender", metavar="ADDRESS", required=True, help="such as alice@crepes.fr")
    mail_send.add_argument("--to", action="append", default=[], metavar="ADDRESS", required=True, help="repeat it")
    mail_send.add_argument("--subject", metavar="TEXT")
    mail_send.add_argument("--body", metavar="TEXT", help="the text (default: standard input)")
    mail_send.add_argument("--attach", action="append", default=[], metavar="FILE", help="repeat it")
    mail_send.add_argument("--message", metavar="FILE", help="a whole message as it is, with or without a header; -: stdin")
    mail_send.add_argument("--host", metavar="HOST", help="that sends (default: an end host of the sender's domain)")
    mail_send.add_argument(
        "--server",
        metavar="HOST[:PORT]",
        help="default: who logs in, the mail host of the sender's domain (465); else those of the recipients (25)",
    )
    mail_send.add_argument("--user", metavar="NAME", help="log in as that (default: the sender's address)")
    mail_send.add_argument("--password-file", metavar="FILE", help="its first line is the password; who has none is asked")
    mail_send.add_argument("--cleartext", action="store_true", help="send the password without TLS, too")
    mail_send.add_argument("--helo", action="store_true", help="say HELO and not EHLO, as in the chapter")
    mail_send.add_argument("--hello", metavar="NAME", help="the name to say there (default: the host's)")
    mail_send.add_argument("--trace", action="store_true", help="show the messages")
    mail_send.add_argument(
        "--timeout", type=_seconds, default=600.0, metavar="SECONDS", help="for each answer (default: 600)"
    )
    queue = more(mails, "queue", "what waits on mail hosts, and have it tried now, kept back or removed", world=False)
    queues = queue.add_subparsers(metavar="list|show|flush|freeze|thaw|remove", required=True)
    for verb, about in (
        ("list", "the messages that wait, and why"),
        ("show", "one message, with its beginning"),
        ("flush", "have messages tried now, all of a host or some"),
        ("freeze", "have messages not tried any more, until thawed"),
        ("thaw", "have frozen messages tried again"),
        ("remove", "forget messages; nobody is told"),
    ):
        queue_action = more(queues, verb, about)
        queue_action.set_defaults(module="queues")
        queue_action.add_argument("host", metavar="HOST", nargs="?" if verb == "list" else None)
        if verb != "list":
            queue_action.add_argument("messages", metavar="MESSAGE", nargs="*", help="numbers, as list shows them")
    for verb, about in (("ls", "the messages of a mailbox"), ("read", "a message of a mailbox, as it came")):
        mail_box = more(mails, verb, about)
        mail_box.set_defaults(module="queues")
        mail_box.add_argument("address", metavar="ADDRESS", help="such as bob@hamburger.edu")
        if verb == "read":
            mail_box.add_argument("uid", metavar="UID", type=_positive, help="its number in the folder, as ls shows it")
        mail_box.add_argument("--folder", default="INBOX", metavar="NAME", help="default: INBOX")
        mail_box.add_argument("--at", metavar="HOST", help="the mail host (default: that in the address's domain)")
    about = "print an account's line for a file of accounts; the password is read from standard input"
    mail_account = more(mails, "account", about, world=False)
    mail_account.add_argument("address", metavar="ADDRESS", help="such as alice@crepes.fr")
    mail_account.add_argument("--no-scram", action="store_true", help="a verifier by scrypt alone, for PLAIN and LOGIN")
    mail_account.add_argument("--octets", default="0", metavar="SIZE", help="of all its messages, such as 500M")
    mail_account.add_argument("--messages", default="0", metavar="COUNT", help="that it may have")
    verbs = {"import": "a Maildir or an mbox file into a mailbox", "export": "a mailbox into a Maildir or an mbox file"}
    for verb, about in verbs.items():
        mail_move = more(mails, verb, about, world=False)
        mail_move.add_argument("address", metavar="ADDRESS", help="whose mailbox, such as bob@hamburger.edu")
        mail_move.add_argument("path", metavar="PATH", help="the Maildir or the file")
        mail_move.add_argument("--folder", metavar="NAME", help="this one alone (default: INBOX for an import, else all)")
        mail_move.add_argument("--state", metavar="DIRECTORY", required=True, help="of the mail server, which does not run")
        if verb == "export":
            mail_move.add_argument("--format", choices=("maildir", "mbox"), default="maildir", help="default: maildir")

    lab = command("lab", "run labs", world=False)
    labs = lab.add_subparsers(metavar="list|run", required=True)
    lab_list = labs.add_parser("list", help="which labs there are")
    lab_list.add_argument("--json", action="store_true", help="print JSON")
    lab_list.set_defaults(action="list")
    lab_run = labs.add_parser("run", help="run labs: the model's numbers beside the measured ones")
    lab_run.add_argument("labs", metavar="NAME", nargs="*")
    lab_run.add_argument("--all", action="store_true", help="every lab that runs there")
    lab_run.add_argument("--on", metavar="SUBSTRATE", default="simulated", choices=("simulated", "loopback", "namespaces"))
    lab_run.add_argument("--seed", type=int, metavar="N", default=1)
    lab_run.add_argument("--full", action="store_true", help="the long run, minutes; else a sample where there is one")
    lab_run.add_argument("--plot", metavar="DIRECTORY", help="write plots there")
    lab_run.add_argument("--json", action="store_true", help="print JSON")
    lab_run.set_defaults(action="run")

    check = command("check", "look whether this machine has what netstack needs", world=False)
    check.add_argument("--port-offset", type=_port_offset, metavar="N", help="the offset that `up` will be given")

    validate = command("validate", "check a world file", world=False)
    validate.add_argument("file", metavar="FILE", help="world file, or the name of one that is shipped")

    ca = command("ca", "the world's certificate authority")
    ca.add_argument("action", choices=("export",))
    ca.add_argument("-o", "--output", metavar="FILE", help="where to write the certificate (default: standard output)")
    return top


def _world_name(text: str) -> str:
    from netstack.world.control.paths import WORLD_NAME, is_world_name

    if not is_world_name(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a world's name: expected {WORLD_NAME}")
    return text


def _port_offset(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 32000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port offset: expected a number from 0 to 32000")
    return int(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds: expected a number more than 0")
    return value


def _quantity(parser: str, example: str) -> Callable[[str], object]:
    """A quantity with its unit: who types `--delay 250` means milliseconds, and would wait for minutes."""

    def parse(text: str) -> object:
        from netstack.world import quantities

        try:
            value = getattr(quantities, parser)(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not understood; expected for example {example}") from None
        if value and text.strip()[-1].isdigit() and not (parser == "parse_loss" and value < 1):
            raise argparse.ArgumentTypeError(f"{text!r} has no unit; expected for example {example}")
        return value

    return parse


__all__ = ["FAIL", "PASS", "USAGE", "main", "parser"]
