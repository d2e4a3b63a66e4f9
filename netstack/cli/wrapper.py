"""Runs another program with what it cannot know by itself: which address and port a name of the world has.

`netstack exec` puts small scripts named dig, telnet, ... first on PATH; each runs this file with a bare Python, so it
imports the standard library alone. The table is a JSON file named by NETSTACK_TABLE: {"address": the host's own,
"resolver": its resolver's or null, "proxy": null or its site's Web cache ({"host", "address", "port"}), "offset": what is
added to standard ports, "ports": [the standard ones of the world's services], "names": {name: [addresses]},
"ca": path of the CA's certificate}.
What is changed of a command line: names of the world become addresses, standard ports the ones in use, and queries
without a server go to the host's own resolver. Everything else is left as it was given.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Table = Mapping[str, Any]


def address_of(table: Table, name: str) -> str | None:
    """The first address of a name or address of this world, else None: not ours to change."""
    found: list[str] | None = table["names"].get(name.rstrip(".").lower())
    if found:
        return found[0]
    return name if any(name in addresses for addresses in table["names"].values()) else None


def port_of(table: Table, port: str) -> str:
    """The port in use for a standard one (number or service name); one that a service has after its shift, or other text,
    is left."""
    number = _SERVICES.get(port, port)
    offset: int = table["offset"]
    if not (number.isascii() and number.isdigit()) or int(number) + offset > 65535:
        return port
    if int(number) not in table["ports"] and int(number) - offset in table["ports"]:
        return port
    return str(int(number) + offset) if offset else port


_SERVICES = {"domain": "53", "ftp": "21", "http": "80", "https": "443", "imap2": "143", "pop3": "110", "smtp": "25"}


def dig(table: Table, arguments: Sequence[str], secure: Sequence[str] = ("+tls",)) -> list[str]:
    """`dig` and `delv`: @SERVER, -p and -b; the port is that of what queries are sent over, TLS by an option in `secure`."""
    found: list[str] = []
    server = port = source = False
    foreign = False
    rest = iter(arguments)
    for argument in rest:
        if argument.startswith("@"):
            address = address_of(table, argument[1:])
            server, foreign = True, address is None
            found.append("@" + (address or argument[1:]))
        elif argument == "-p":
            port = True
            found += [argument, port_of(table, next(rest, ""))]
        elif argument.startswith("-p") and argument[2:].isdigit():
            port = True
            found.append("-p" + port_of(table, argument[2:]))
        else:
            source = source or argument.startswith("-b")
            found.append(argument)
    if foreign or (not server and table["resolver"] is None):
        return found
    before = [] if source else ["-b", table["address"]]
    if not port:
        before += ["-p", port_of(table, _standard(arguments, secure))]
    if not server:
        before.append("@" + table["resolver"])
    return before + found


def kdig(table: Table, arguments: Sequence[str]) -> list[str]:
    """`kdig`: as dig, and each option about TLS turns it on; it reads no CA from the environment."""
    trusting = [f"+tls-ca={table['ca']}" if argument == "+tls-ca" else argument for argument in arguments]
    return dig(table, trusting, ("+tls", "+tls-ca", "+tls-pin", "+tls-hostname", "+tls-sni"))


def _standard(arguments: Sequence[str], secure: Sequence[str]) -> str:
    given = {argument.partition("=")[0] for argument in arguments}
    for option, port in (("+https", "443"), ("+http-plain", "80")):
        if given & {option, f"{option}-get", f"{option}-post"}:
            return port
    return "853" if given & set(secure) else "53"


def drill(table: Table, arguments: Sequence[str]) -> list[str]:
    """`drill`: as dig, its source is -I."""
    changed = dig(table, arguments)
    return ["-I" if argument == "-b" else argument for argument in changed]


def nslookup(table: Table, arguments: Sequence[str]) -> list[str]:
    """`nslookup [-option ...] [NAME [SERVER]]`; without a name it is interactive and asks the host's resolver."""
    options = [argument for argument in arguments if argument.startswith("-") and argument != "-"]
    names = [argument for argument in arguments if argument not in options]
    if len(names) < 2 and table["resolver"] is not None:
        names = [*(names or ["-"]), table["resolver"]]
    elif len(names) >= 2:
        address = address_of(table, names[1])
        if address is None:
            return list(arguments)
        names[1] = address
    if not any(option.startswith("-port=") for option in options):
        options.append("-port=" + port_of(table, "53"))
    return [*options, *names]


def host(table: Table, arguments: Sequence[str]) -> list[str]:
    """`host [-options] NAME [SERVER]`."""
    with_value = {"-c", "-N", "-t", "-W", "-R", "-m", "-p"}
    options: list[str] = []
    names: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in with_value:
            options += [argument, next(rest, "")]
        elif argument.startswith("-"):
            options.append(argument)
        else:
            names.append(argument)
    if not names:
        return list(arguments)
    if len(names) == 1:
        if table["resolver"] is None:
            return list(arguments)
        names.append(table["resolver"])
    else:
        address = address_of(table, names[1])
        if address is None:
            return list(arguments)
        names[1] = address
    if "-p" not in options:
        options += ["-p", port_of(table, "53")]
    return [*options, *names]


def telnet(table: Table, arguments: Sequence[str]) -> list[str]:
    """`telnet [-options] HOST [PORT]`."""
    return _host_port(table, arguments, {"-b", "-e", "-l", "-n", "-X", "-S"}, source="-b", default="23")


def nc(table: Table, arguments: Sequence[str]) -> list[str]:
    """`nc [-options] HOST PORT` of OpenBSD's netcat; listening (-l) is left alone."""
    if any(argument.startswith("-") and not argument.startswith("--") and "l" in argument for argument in arguments):
        return list(arguments)
    with_value = {"-I", "-i", "-M", "-m", "-O", "-P", "-p", "-q", "-s", "-T", "-V", "-w", "-W", "-X", "-x"}
    return _host_port(table, arguments, with_value, "-s", "")


def _host_port(table: Table, arguments: Sequence[str], with_value: set[str], source: str | None, default: str) -> list[str]:
    places: list[int] = []
    skip = False
    for number, argument in enumerate(arguments):
        if skip:
            skip = False
        elif argument.startswith("-") and len(argument) > 1:
            skip = argument in with_value
        else:
            places.append(number)
    if not places:
        return list(arguments)
    changed = list(arguments)
    address = address_of(table, changed[places[0]])
    if address is None:
        return changed
    changed[places[0]] = address
    if len(places) > 1:
        changed[places[1]] = port_of(table, changed[places[1]])
    elif default:
        changed.append(port_of(table, default))
    return changed if source is None or source in changed else [source, table["address"], *changed]


def swaks(table: Table, arguments: Sequence[str]) -> list[str]:
    """`swaks --server HOST[:PORT] [--port PORT]`; by itself it looks for MX records where none of this world are."""
    options = {"-s": "--server", "--server": "--server", "-p": "--port", "--port": "--port"}
    changed: list[str] = []
    given = {}
    rest = iter(arguments)
    for argument in rest:
        option, is_one, value = argument.partition("=")
        if option in options:
            given[options[option]] = value if is_one else next(rest, "")
        else:
            changed.append(argument)
    name, _, port = given.get("--server", "").partition(":")
    address = address_of(table, name)
    if address is None:
        if arguments and not name:
            print("netstack: say which server: swaks knows no MX record of this world (--server HOST)", file=sys.stderr)
        return list(arguments)
    secure = not {"-tlsc", "--tlsc", "--tls-on-connect"}.isdisjoint(arguments)
    port = port_of(table, port or given.get("--port", "465" if secure else "25"))
    return ["--server", address, "--port", port, "--local-interface", table["address"], *changed]


def msmtp(table: Table, arguments: Sequence[str]) -> list[str]:
    """`msmtp --host=NAME [--port=PORT]`: the name is kept for the check of the certificate. Its own file is not changed."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    name = given.get("--host", "")
    address = address_of(table, name)
    if address is None:
        if arguments and not name:
            print(
                "netstack: say which server: msmtp's file is not changed (--host=HOST, then --port, --auth, ...)",
                file=sys.stderr,
            )
        return list(arguments)
    secure = given.get("--tls") in ("", "on") and given.get("--tls-starttls") == "off"
    port = port_of(table, given.get("--port", "465" if secure else "25"))
    changed = [argument for argument in arguments if argument.partition("=")[0] not in ("--host", "--port")]
    found = [f"--host={address}", f"--port={port}", f"--source-ip={table['address']}"]
    found += [] if "--tls-trust-file" in given else [f"--tls-trust-file={table['ca']}"]
    found += [] if address == name or "--tls-host-override" in given else [f"--tls-host-override={name}"]
    return [*found, *changed]


def openssl(table: Table, arguments: Sequence[str]) -> list[str]:
    """`openssl s_client -connect HOST:PORT`: the name is kept for SNI and the check of the certificate."""
    changed = list(arguments)
    if not changed or changed[0] != "s_client" or "-connect" not in changed[:-1]:
        return changed
    at = changed.index("-connect") + 1
    name, _, port = changed[at].rpartition(":")
    address = address_of(table, name)
    if address is None:
        return changed
    changed[at] = f"{address}:{port_of(table, port)}"
    return changed if "-servername" in changed or address == name else [*changed, "-servername", name]


def chromium(table: Table, arguments: Sequence[str]) -> list[str]:
    """Chromium and Chrome: every name of the world mapped to its address and ports; no other name is looked up.

    With a proxy at the host's site it is asked for everything, unless the command line says something about proxies.
    """
    rules = [
        f"MAP {name}:{port} {addresses[0]}:{port_of(table, port)}"
        for name, addresses in table["names"].items()
        for port in ("80", "443")
    ]
    proxy = table.get("proxy")
    if proxy is not None:
        rules.append(f"MAP {proxy['host']}:{proxy['port']} {proxy['address']}:{proxy['port']}")
    rules.append("MAP * ~NOTFOUND, EXCLUDE 127.*")
    if proxy is not None and not any(argument.startswith(("--proxy-", "--no-proxy-")) for argument in arguments):
        arguments = [f"--proxy-server=http://{proxy['address']}:{proxy['port']}", *arguments]
    return ["--host-resolver-rules=" + ", ".join(rules), *arguments]


def strange(table: Table, arguments: Sequence[str]) -> list[str]:
    """A program that asks the system's resolver whatever it is told: run as it was given, after a word on why it fails."""
    if any(name in argument.lower() for argument in arguments for name in table["names"]):
        print(
            "netstack: this program asks the system's resolver, which knows no name of this world: use curl or an address"
            " (netstack status), or bring the world up with --substrate namespaces",
            file=sys.stderr,
        )
    return list(arguments)


def wget(table: Table, arguments: Sequence[str]) -> list[str]:
    """`wget`: strange, but where the host's site has a Web cache it asks that, which knows the names."""
    return [f"--ca-certificate={table['ca']}", *arguments] if table.get("proxy") else strange(table, arguments)


def trusting_home(table: Table, directory: str) -> str | None:
    """A home directory whose NSS database trusts the world's CA, for browsers; None where certutil is not installed."""
    certutil = shutil.which("certutil")
    if certutil is None:
        return None
    home = os.path.join(directory, "home")
    database = os.path.join(home, ".pki", "nssdb")
    add = [certutil, "-d", f"sql:{database}", "-A", "-t", "C,,", "-n", "netstack", "-i", table["ca"]]
    if not os.path.exists(database):
        os.makedirs(database, mode=0o700)
        subprocess.run([certutil, "-d", f"sql:{database}", "-N", "--empty-password"], check=False, capture_output=True)
    subprocess.run(add, check=False, capture_output=True)
    return home


PROGRAMS: Mapping[str, Callable[[Table, Sequence[str]], list[str]]] = {
    "dig": dig,
    "kdig": kdig,
    "delv": dig,
    "drill": drill,
    "nslookup": nslookup,
    "host": host,
    "telnet": telnet,
    "nc": nc,
    "netcat": nc,
    "openssl": openssl,
    "chromium": chromium,
    "google-chrome": chromium,
    "wget": wget,
    "swaks": swaks,
    "msmtp": msmtp,
    "ping": strange,
}


def is_ours(folder: str) -> bool:
    """Whether a folder of PATH holds wrappers (of any host): the table lies beside it."""
    return os.path.exists(os.path.join(folder, os.pardir, "table.json"))


def main(program: str, arguments: Sequence[str]) -> None:
    """Become the real program, the next of its name on PATH."""
    with open(os.environ["NETSTACK_TABLE"]) as file:
        table = json.load(file)
    path = [folder for folder in os.environ.get("PATH", os.defpath).split(":") if not is_ours(folder)]
    for folder in path:
        real = os.path.join(folder, program)
        if os.access(real, os.X_OK) and os.path.isfile(real):
            if PROGRAMS[program] is chromium:
                os.environ["HOME"] = (
                    trusting_home(table, os.path.dirname(os.environ["NETSTACK_TABLE"])) or os.environ["HOME"]
                )
            os.execv(real, [program, *PROGRAMS[program](table, arguments)])  # noqa: S606  the user's own command
    print(f"{program}: command not found", file=sys.stderr)
    sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
