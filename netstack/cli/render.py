"""What people see: tables of hosts and services, quantities, messages. Programs read `--json` instead."""

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

WIDTH = 100
"""Columns when the output is not a terminal."""


def console(error: bool = False) -> Any:
    """A terminal's own width, or 100 columns for pipes and files."""
    from rich.console import Console

    terminal = (sys.stderr if error else sys.stdout).isatty()
    return Console(stderr=error, width=None if terminal else WIDTH, highlight=False, soft_wrap=False)


def print_json(value: object) -> None:
    """One JSON document, indented for people who look at it all the same."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def status_table(status: Mapping[str, Any]) -> Any:
    """What runs where."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("host", "site", "address", "state", "services"):
        table.add_column(column, overflow="fold", no_wrap=column in ("address", "state"))
    for name, host in status["hosts"].items():
        colour = {"ready": "green", "starting": "yellow"}.get(host["state"], "red")
        services = ", ".join(filter(None, (service_text(service) for service in host["services"]))) or "-"
        table.add_row(name, host["site"], host["address"], f"[{colour}]{host['state']}[/]", services)
    return table


def service_text(service: Mapping[str, Any]) -> str:
    """A service and its ports, such as `dns udp/8053 tcp/8053`."""
    ports: list[str] = []
    for endpoint in service["endpoints"]:
        kind = "tls" if endpoint["tls"] else endpoint["transport"]
        text = f"{kind}/{endpoint['port']}"
        if text not in ports:
            ports.append(text)
    return " ".join([service["name"], *ports])


def rate_text(rate: float | None) -> str:
    """Bits per second, such as `1.54 Mbit/s`."""
    if rate is None:
        return "unlimited"
    for factor, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if rate >= factor:
            return f"{rate / factor:g} {unit}"
    return f"{rate:g} bit/s"


def delay_text(delay: float) -> str:
    """Seconds, such as `50 ms`."""
    return f"{delay:g} s" if delay >= 1 or delay == 0 else f"{delay * 1e3:g} ms"


def loss_text(loss: float) -> str:
    """A probability in per cent."""
    return f"{loss * 100:g} %"


def message_line(row: Mapping[str, Any]) -> str:
    """One message of the journal on one line, for `netstack trace`."""
    clock = datetime.fromtimestamp(row["time"]).strftime("%H:%M:%S.%f")[:-3]
    secure = " (tls)" if row.get("secure") else ""
    return f"{clock}  {row['from']} → {row['to']}  {row['protocol']}{secure}  {row['summary']}  {row['bytes']} octets"


def ladder(messages: Iterable[Mapping[str, Any]], width: int) -> str:
    """The messages as a ladder diagram, as the chapter draws a look-up."""
    from netstack.cli.rows import row_of
    from netstack.kernel.ladder import ladder as drawn

    return drawn([row_of(message) for message in messages], width)
