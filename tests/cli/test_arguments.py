"""The command line: what is understood, what is refused, and the exit codes."""

import json

import pytest

from netstack.cli.arguments import main, parser
from netstack.cli.get import readable
from netstack.cli.namespaces import missing


def usage_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("inspect",),
        ("resolve",),
        ("link", "nyu", "--delay", "fast"),
        ("link", "nyu", "--rate", "0"),
        ("link", "nyu", "--loss", "2"),
        ("up", "--port-offset", "-1"),
        ("up", "--port-offset", "40000"),
        ("up", "--name", "../../etc"),
        ("up", "--substrate", "paper"),
        ("link", "nyu", "--delay", "250"),
        ("link", "nyu", "--rate", "10"),
        ("link", "nyu", "--loss", "1"),
        ("trace", "--count", "0"),
        ("trace", "--seconds", "nan"),
        ("capture",),
        ("ca", "import"),
        ("lab",),
        ("lab", "run", "--on", "kubernetes"),
    ],
)
def test_bad_usage_is_code_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_code(*arguments) == 2
    assert "usage: netstack" in capsys.readouterr().err


def test_help_is_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_code("--help") == 0
    text = capsys.readouterr().out
    for command in ("up", "down", "status", "inspect", "exec", "resolve", "get", "link", "trace", "capture", "lab", "check"):
        assert f"    {command} " in text
    for command in ("up", "exec", "resolve"):
        assert usage_code(command, "--help") == 0


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("delay", "50ms", 0.05),
        ("delay", "2 s", 2.0),
        ("delay", "0", 0.0),
        ("loss", "0", 0.0),
        ("rate", "1.54Mbit", 1_540_000.0),
        ("rate", "1.54 Mbit/s", 1_540_000.0),
        ("rate", "56k", 56_000.0),
        ("rate", "unlimited", None),
        ("loss", "1%", 0.01),
        ("loss", "0.25", 0.25),
    ],
)
def test_quantities(option: str, text: str, value: float | None) -> None:
    options = parser().parse_args(["link", "nyu", f"--{option}", text])
    assert getattr(options, option) == (pytest.approx(value) if value is not None else None)


def test_exec_leaves_the_programs_own_options_alone() -> None:
    options = parser().parse_args(["exec", "--name", "a", "cse.nyu.edu", "--", "dig", "--json", "-p", "5"])
    assert (options.host, options.name, options.json) == ("cse.nyu.edu", "a", False)
    assert [part for part in options.program if part != "--"] == ["dig", "--json", "-p", "5"]


def test_resolve_defaults() -> None:
    options = parser().parse_args(["resolve", "gaia.cs.umass.edu", "mx", "--from", "cse.nyu.edu"])
    assert (options.query, options.type, options.host, options.cold, options.trace) == (
        "gaia.cs.umass.edu", "MX", "cse.nyu.edu", False, False,
    )  # fmt: skip


@pytest.mark.parametrize("command", [("status",), ("down",), ("inspect", "x"), ("link",), ("ca", "export"), ("trace",)])
def test_no_world_is_code_2_and_says_what_to_do(
    command: tuple[str, ...], private: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert "netstack up" in capsys.readouterr().err
    assert main([*command, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "not-running"


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_code() == 2
    assert "bring a world up" in capsys.readouterr().err


def test_a_quantity_without_its_unit_is_refused_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_code("link", "umass", "--delay", "250") == 2
    assert "'250' has no unit; expected for example 250ms" in capsys.readouterr().err


def test_a_url_without_its_scheme_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "gaia.cs.umass.edu/"]) == 2
    assert main(["get", "ftp://gaia.cs.umass.edu/"]) == 2
    assert "try http://gaia.cs.umass.edu/" in capsys.readouterr().err


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    text = missing(ModuleNotFoundError("No module named 'pyroute2'", name="pyroute2"))
    assert text.endswith("-m pip install pyroute2")


@pytest.mark.parametrize(
    ("body", "shown"), [(b"<p>\xc3\xa9t\xc3\xa9\r\n\t", True), (b"GIF89a\x00", False), (b"\xff\xd8", False)]
)
def test_what_a_terminal_is_spared(body: bytes, shown: bool) -> None:
    assert readable(body) is shown
