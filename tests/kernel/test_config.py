"""Options from a file, the environment and the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.python import usage

from netstack.kernel.config import LayeredOptions


class Options(LayeredOptions):
    service = "demo"
    optFlags = [["no-log", None, "Do not log."]]
    optParameters = [
        ["connect", None, 1.0, "Seconds.", float],
        ["connections", None, 10, "At once.", int],
        ["mode", None, "upper", "What to do."],
    ]

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.listen: list[str] = []
        super().__init__()  # type: ignore[no-untyped-call]

    def opt_listen(self, value: str) -> None:
        """Where."""
        if ":" not in value:
            raise usage.UsageError(f"expected KIND:PORT, got {value!r}")
        self.listen.append(value)

    def postOptions(self) -> None:
        if self["mode"] not in ("upper", "lower"):
            raise usage.UsageError(f"mode: expected upper or lower, got {self['mode']!r}")


Read = Callable[..., Options]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(toml: str = "", environment: dict[str, str] | None = None, *arguments: str) -> Options:
        path = tmp_path / "demo.toml"
        path.write_text(toml)
        options = Options(environment or {})
        options.parseOptions([*arguments, "--config", str(path)])
        return options

    return read


def values(options: Options) -> dict[str, Any]:
    return {**options, "listen": options.listen}


NOTHING = {"no-log": 0, "connect": 1.0, "connections": 10, "mode": "upper", "listen": []}


def test_nothing_given(read: Read) -> None:
    assert values(read()) == NOTHING


def test_the_file(read: Read) -> None:
    options = read('connect = 3\nmode = "lower"\nlisten = ["udp:1", "tcp:2"]\nno_log = true\n')
    assert values(options) == {"no-log": 1, "connect": 3.0, "connections": 10, "mode": "lower", "listen": ["udp:1", "tcp:2"]}
    assert values(read('[demo]\nconnections = 5\nlisten = "udp:1"\n')) == {**NOTHING, "connections": 5, "listen": ["udp:1"]}


def test_the_environment_is_above_the_file(read: Read) -> None:
    environment = {"NETSTACK_DEMO_CONNECTIONS": "7", "NETSTACK_DEMO_LISTEN": "tcp:3 tcp:4", "NETSTACK_DEMO_NO_LOG": "false"}
    options = read("connections = 5\nno-log = true\nconnect = 2.5", environment | {"NETSTACK_OTHER_X": "1"})
    assert values(options) == {**NOTHING, "connections": 7, "listen": ["tcp:3", "tcp:4"], "connect": 2.5}


def test_the_command_line_is_above_all(read: Read) -> None:
    options = read(
        'connections = 5\nlisten = ["udp:1"]', {"NETSTACK_DEMO_MODE": "lower"}, "--listen=tcp:9", "--mode", "upper"
    )
    assert values(options) == {**NOTHING, "connections": 5, "listen": ["tcp:9"]}
    assert read("connections = 5", {}, "--connect", "4")["connections"] == 5
    assert read("connections = 5", {}, "--connecti", "4")["connections"] == 4


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("connections = 3")
    options = Options({"NETSTACK_DEMO_CONFIG": str(tmp_path / "x.toml")})
    options.parseOptions([])
    assert options["connections"] == 3


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("connectionz = 5", r"demo\.toml: connectionz: no such option; expected connections\?"),
        ("zzz = 5", r"demo\.toml: zzz: no such option; expected one of connect, connections, listen, mode, no-log"),
        ('connections = "5"', r"demo\.toml: connections: expected a whole number, got '5'"),
        ("connections = true", r"demo\.toml: connections: expected a whole number, got True"),
        ("connections = 1.5", r"demo\.toml: connections: expected a whole number, got 1\.5"),
        ('connect = "x"', r"demo\.toml: connect: expected a number, got 'x'"),
        ("mode = 3", r"demo\.toml: mode: expected text, got 3"),
        ("listen = [3]", r"demo\.toml: listen: expected text, or a list of texts, got 3"),
        ('listen = ["x"]', r"demo\.toml: listen: expected KIND:PORT, got 'x'"),
        ("no-log = 1", r"demo\.toml: no-log: expected true or false, got 1"),
        ("demo = 1", r"demo\.toml: demo: expected a table, got 1"),
        ("=", r"demo\.toml: not TOML: "),
        ('mode = "sideways"', r"demo\.toml: mode: expected upper or lower, got 'sideways'"),
        ("help = true", r"demo\.toml: help: no such option"),
    ],
)
def test_errors_name_file_and_key(read: Read, toml: str, said: str) -> None:
    with pytest.raises(usage.UsageError, match=said):
        read(toml)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CONNECTIONS", "many", "environment NETSTACK_DEMO_CONNECTIONS: connections: expected a whole number, got 'many'"),
        ("NOLOG", "1", "environment NETSTACK_DEMO_NOLOG: nolog: no such option; expected no-log?"),
        ("NO_LOG", "1", "environment NETSTACK_DEMO_NO_LOG: no-log: expected true or false, got '1'"),
        ("MODE", "sideways", "environment NETSTACK_DEMO_MODE: mode: expected upper or lower, got 'sideways'"),
    ],
)
def test_errors_name_the_variable(read: Read, name: str, value: str, said: str) -> None:
    with pytest.raises(usage.UsageError) as caught:
        read("", {f"NETSTACK_DEMO_{name}": value})
    assert str(caught.value) == said


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(usage.UsageError, match=r"/nonexistent/x\.toml: No such file"):
        Options({}).parseOptions(["--config", "/nonexistent/x.toml"])
