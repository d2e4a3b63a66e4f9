"""`netstack zone check|dump|freeze|thaw` and `netstack reload`: zones before, and while, they are served."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS, USAGE, WARNINGS, CommandError
from netstack.cli.paged import lines_to, pages


def run(options: argparse.Namespace) -> int:
    """As the action says."""
    actions = {"check": check, "dump": dump, "freeze": freeze, "thaw": freeze, "reload": reload}
    return actions[options.action](options)


def check(options: argparse.Namespace) -> int:
    """0 when the file is a zone and nothing is doubtful about it, 3 with doubts, 1 when it is none."""
    from netstack.dns.serial import serial_of
    from netstack.dns.source import Source, checked
    from netstack.kernel.disk import RealDisk

    path = Path(options.file)
    zone, remarks = checked(Source(options.origin, RealDisk(path.absolute().parent), path.name))
    errors = [remark for remark in remarks if remark.serious]
    serial = None if zone is None else serial_of(zone.soa)
    if options.json:
        found = [
            {
                "file": each.file,
                "line": each.line or None,
                "severity": "error" if each.serious else "warning",
                "text": each.text,
            }
            for each in remarks
        ]
        render.print_json({"zone": options.origin, "serial": serial, "names": zone and len(zone.nodes), "remarks": found})
    else:
        for each in remarks:
            place = f"{each.file}:{each.line}" if each.line else each.file
            print(f"{place}: {'error' if each.serious else 'warning'}: {each.text}")
        if zone is not None and not errors:
            print(f"zone {options.origin}: serial {serial}, {len(zone.nodes)} names")
    if errors:
        return FAIL
    return WARNINGS if remarks else PASS


def dump(options: argparse.Namespace) -> int:
    """The zone as a master file; of a host that is up, or with --state from the files of one that runs alone."""
    if options.state is not None:
        lines_to(options.output, stored(options.state, options.zone or options.host), as_json=options.json)
        return PASS
    if options.zone is None:
        raise CommandError("expected HOST ZONE, or --state DIRECTORY ZONE", USAGE, "usage")
    with Client(options.name) as client:
        lines_to(options.output, pages(client, "zone.dump", host=options.host, zone=options.zone), as_json=options.json)
    return PASS


def stored(directory: str, origin: str) -> Iterator[str]:
    """The lines of a zone that a server keeps in its state directory: one that is a copy, takes updates or is signed."""
    import dns.exception
    import dns.name

    from netstack.dns.dump import lines
    from netstack.dns.store import StoreError, ZoneStore
    from netstack.kernel.disk import RealDisk

    if not Path(directory).is_dir():
        raise CommandError(f"{directory} is no directory", USAGE, "usage")
    try:
        found = ZoneStore(RealDisk(directory), dns.name.from_text(origin)).load()
    except dns.exception.DNSException as error:
        raise CommandError(f"{origin!r} is not a domain name: {error}", USAGE, "usage") from None
    except (StoreError, OSError) as error:
        raise CommandError(str(error)) from None
    if found is None:
        raise CommandError(f"{directory} keeps no zone {origin}: a primary's zone that does not change is in its own file")
    return lines(found.zone)


def freeze(options: argparse.Namespace) -> int:
    """Refuse a zone's updates, so that its file may be changed and reloaded; or take them again."""
    with Client(options.name) as client:
        found = client.call(f"zone.{options.action}", host=options.host, zone=options.zone)
    if options.json:
        render.print_json(found)
    else:
        print(
            f"{options.zone}: {'updates are refused until: netstack zone thaw' if found['frozen'] else 'updates are taken'}"
        )
    return PASS


def reload(options: argparse.Namespace) -> int:
    """0 when all files are served as they are now, 3 with warnings, 1 when one was refused."""
    with Client(options.name, timeout=None) as client:
        found = client.call("zone.reload", host=options.host, zone=options.zone, force=options.force)["zones"]
    if options.json:
        render.print_json({"zones": found})
    else:
        for each in found:
            print(outcome(each))
            for warning in each["warnings"]:
                print(f"  warning: {warning}")
        if not found:
            print(f"{options.host} has no zone from a file")
    if any(each["result"] == "refused" for each in found):
        return FAIL
    return WARNINGS if any(each["warnings"] for each in found) else PASS if found else USAGE


def outcome(zone: dict[str, Any]) -> str:
    """One line about a zone."""
    said = {"asked": "its primary is asked", "refused": "not loaded"}.get(zone["result"], zone["result"])
    serial = "" if zone["serial"] is None else f", serial {zone['serial']}"
    return f"{zone['zone']}: {said}{serial}" + (f": {zone['reason']}" if zone["reason"] else "")
