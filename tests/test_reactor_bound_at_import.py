"""Modules of Twisted that bind the global reactor when imported are not for services: they break the simulation."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = ("twisted.mail.smtp", "twisted.protocols.ftp", "twisted.web.proxy")


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import statement, with `from a import b` as both `a` and `a.b`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "netstack").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_binds_the_reactor(path: Path) -> None:
    assert not imported(path) & set(FORBIDDEN)
