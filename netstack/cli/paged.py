"""Answers that come in pieces, written as they come."""

import json
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from netstack.cli.client import Client
from netstack.cli.errors import CommandError


def pages(client: Client, verb: str, **arguments: object) -> Iterator[Any]:
    """The items of a verb that answers `{"items", "next"}`, however many there are.

    The first are asked for at once: what is refused is refused before anything is written.
    """
    return _from(client, verb, client.call(verb, **arguments), arguments["host"])


def _from(client: Client, verb: str, answer: Any, host: object) -> Iterator[Any]:
    while True:
        yield from answer["items"]
        if answer["next"] is None:
            return
        answer = client.call(verb, host=host, next=answer["next"])


def lines_to(path: str | None, items: Iterator[Any], as_json: bool) -> None:
    """Write each item as a line, or all as one JSON list, to a file or to standard output."""
    if path is None:
        _write(sys.stdout, items, as_json)
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            _write(file, items, as_json)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error


def _write(file: TextIO, items: Iterator[Any], as_json: bool) -> None:
    if not as_json:
        file.writelines(f"{item}\n" for item in items)
        return
    file.write("[")
    for number, item in enumerate(items):
        file.write((",\n" if number else "\n") + json.dumps(item))
    file.write("\n]\n")
