"""The `netstack` command."""

from netstack.cli.arguments import main

__all__ = ["main"]
