"""The tap with real Options, and the plugin under twistd."""

import re
import subprocess
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from netstack.kernel.real import real_machine
from netstack.sockets.service import SentenceService
from netstack.taps.upper import Config, Options, build
from tests.processes import ROOT, twistd


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


def test_the_defaults_are_those_of_the_section() -> None:
    assert parsed().config() == Config()
    assert Config().listen == ("udp:12000", "tcp:12000")


def test_every_option_reaches_the_config() -> None:
    options = parsed(
        "--listen=tcp:7:interface=127.0.0.9", "--listen", "udp:7", "--mode=lengths", "--sentence=10", "--connections=3",
        "--idle=1.5", "--linger=2",
    )  # fmt: skip
    assert options.config() == Config(("tcp:7:interface=127.0.0.9", "udp:7"), "lengths", 10, 3, 1.5, 2.0)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--mode=lower", "mode: expected one of upper, lengths, got 'lower'"),
        ("--listen=sctp:7", "expected KIND:PORT"),
        ("--listen=tcp:http", "expected KIND:PORT"),
        ("--listen=tls:12000", "--certificate"),
        ("--idle=0", "idle: expected a number above 0"),
        ("--idle=nan", "idle: expected a number above 0"),
        ("--sentence=0", "sentence: expected a number from 1"),
        ("--connections=many", "many"),
        ("--address=localhost", "expected an IPv4 or IPv6 address"),
        ("--certificate=/nowhere.pem", "go together"),
        ("--trust=/nowhere.pem", "/nowhere.pem"),
        ("--nonsense=1", "nonsense"),
    ],
)
def test_a_wrong_option_is_named(argument: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parsed(argument)


def test_file_environment_and_command_line_in_this_order(tmp_path: Path) -> None:
    file = tmp_path / "upper.toml"
    file.write_text('[upper]\nlisten = ["tcp:7"]\nmode = "lengths"\nidle = 3\nlinger = 4.0\n')
    options = Options()
    options.environment = {"NETSTACK_UPPER_IDLE": "5", "NETSTACK_UPPER_LINGER": "6", "NETSTACK_DNS_IDLE": "7"}
    options.parseOptions([f"--config={file}", "--linger=8"])
    assert options.config() == Config(("tcp:7",), "lengths", idle=5.0, linger=8.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('mode = "lower"', "upper.toml: mode: expected one of upper, lengths, got 'lower'"),
        ("idel = 3", "upper.toml: idel: no such option; expected idle?"),
        ('idle = "long"', "upper.toml: idle: expected"),
        ("idle = ", "upper.toml: not TOML"),
    ],
)
def test_an_error_in_a_file_names_file_key_and_expectation(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "upper.toml").write_text(text)
    with pytest.raises(UsageError, match=re.escape(said)):
        parsed(f"--config={tmp_path}/upper.toml")


def test_listening_without_an_endpoint_is_named() -> None:
    with pytest.raises(ValueError, match="listen: expected at least one endpoint"):
        Config(listen=())


def test_endpoints_are_placed_on_the_machine(tmp_path: Path) -> None:
    machine = real_machine("upper", ("127.0.0.8", "127.0.0.9"), tmp_path, port_offset=20000)
    service = build(Config(listen=("udp:12000", "tcp:13000:interface=127.0.0.1")), machine)
    assert isinstance(service, SentenceService)
    assert [str(listener.endpoint) for listener in service.listeners] == [
        "udp:32000:interface=127.0.0.8",
        "udp:32000:interface=127.0.0.9",
        "tcp:33000:interface=127.0.0.1",
    ]


def test_twistd_says_what_is_wrong() -> None:
    done = subprocess.run(
        twistd("netstack-upper", "--mode", "lower"), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "mode: expected one of upper, lengths, got 'lower'" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
