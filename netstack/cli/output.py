"""Files that commands write."""

from pathlib import Path

from netstack.cli.errors import CommandError


def write(path: str, data: bytes) -> None:
    """Create or replace a file; raises CommandError that names it."""
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
