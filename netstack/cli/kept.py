"""What is known of a fetched file: its date is its own, its entity tag is in FILE.etag as curl's --etag-save has it."""

import os
from collections.abc import Sequence

from netstack.cli import output
from netstack.http.values import entity_tags, http_date, parse_http_date


def conditions(file: str) -> list[list[str]]:
    """Fields by which a server sends nothing for what the file has already (RFC 9110 §13.1.2, §13.1.3)."""
    try:
        changed = os.stat(file).st_mtime
    except OSError:
        return []
    fields = [["If-Modified-Since", http_date(changed)]]
    try:
        with open(f"{file}.etag", encoding="latin-1") as stored:
            tag = stored.read(1000).strip()
            if os.fstat(stored.fileno()).st_mtime >= changed and entity_tags(tag) is not None:
                fields.append(["If-None-Match", tag])
    except OSError:
        pass  # the date alone
    return fields


def keep(file: str, status: int, headers: Sequence[Sequence[str]], body: bytes) -> None:
    """Replace the file by the content of a 200, and what is known of it; leave it for any other answer."""
    if status != 200:
        return
    fields = {name.lower(): value for name, value in headers}
    output.write(file, body, parse_http_date(fields.get("last-modified", "")))
    if "etag" in fields:
        output.write(f"{file}.etag", fields["etag"].encode("latin-1") + b"\n")
    elif os.path.exists(f"{file}.etag"):
        os.remove(f"{file}.etag")
