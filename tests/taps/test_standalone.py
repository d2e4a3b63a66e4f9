"""What every service under twistd does with options and ports that cannot be: one line that says what is wrong."""

import socket
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from tests.addresses import own_address
from tests.processes import ROOT, running, twistd


def upper(directory: Path) -> tuple[str, ...]:
    return ("netstack-upper",)


def dns(directory: Path) -> tuple[str, ...]:
    zone = directory / "zone"
    zone.write_text("$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n")
    return ("netstack-dns", f"--zone=example.={zone}")


def resolver(directory: Path) -> tuple[str, ...]:
    return ("netstack-resolver", "--hint=a.root-servers.net=127.0.0.1")


def origin(directory: Path) -> tuple[str, ...]:
    return ("netstack-origin", f"--site=www.someschool.edu={directory}")


SERVICES = [upper, dns, resolver, origin]


@pytest.mark.parametrize("service", SERVICES)
def test_a_port_in_use_is_one_line(service: Callable[[Path], tuple[str, ...]], tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((own_address(), 0))
        other.listen()
        address, port = other.getsockname()
        command = twistd(*service(tmp_path), f"--listen=tcp:{port}:interface={address}")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    shown = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"cannot listen on tcp:{port}:interface={address} for localhost: Address already in use" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--health=99999",), "health: expected a number from 0 to 65535"),
        (("--health=-1",), "health: expected"),
        (("--port-offset=-70",), "port-offset: expected"),
        (("--listen=tcp:60000", "--port-offset=6000"), "port-offset: expected a number from 0 to 5535"),
        (("--handshake=nan",), "handshake: expected a number above 0"),
    ],
)
def test_numbers_out_of_range(
    service: Callable[[Path], tuple[str, ...]], options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    name, *least = service(tmp_path)
    with pytest.raises(UsageError, match=said):
        import_module(f"netstack.taps.{name.partition('-')[2]}").Options().parseOptions([*least, *options])


@pytest.mark.parametrize(("port", "most"), [(0, 65535), (65536, 65535), (60000, 59535)])
def test_the_port_of_servers_that_are_asked(port: int, most: int) -> None:
    from netstack.taps.resolver import Options

    with pytest.raises(UsageError, match=f"upstream-port: expected a number from 1 to {most}, got {port}"):
        Options().parseOptions(["--hint=a=127.0.0.1", f"--port-offset={65535 - most}", f"--upstream-port={port}"])


@pytest.mark.parametrize("option", ["--tcp-idle=nan", "--tcp-connections=0", "--udp-payload=70000", "--tcp-pipeline=-1"])
def test_bounds_of_the_name_server(option: str, tmp_path: Path) -> None:
    from netstack.taps.dns import Options

    with pytest.raises(UsageError, match=option[2:].partition("=")[0].replace("-", "_") + ": expected"):
        Options().parseOptions([*dns(tmp_path)[1:], option])


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_no_number_is_told_with_its_option(service: Callable[[Path], tuple[str, ...]], tmp_path: Path) -> None:
    name, *least = service(tmp_path)
    with pytest.raises(UsageError, match=r"^workers: expected a whole number, got 'two'$"):
        import_module(f"netstack.taps.{name.partition('-')[2]}").Options().parseOptions([*least, "--workers", "two"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--update=other.=up zone",), "update: expected the origin of a zone that is served, got 'other.'"),
        (("--transfer=other.=127.0.0.1",), "transfer: expected the origin of a zone that is served, got 'other.'"),
        (("--notify=other.=127.0.0.1",), "notify: expected the origin of a zone that is served, got 'other.'"),
        (("--tsig=nothing",), "--tsig nothing: No such file or directory"),
    ],
)
def test_rules_of_the_name_server(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    from netstack.taps.dns import Options

    keys = tmp_path / "keys"
    keys.write_text('key "up" { algorithm hmac-sha256; secret "c2VjcmV0IHNlY3JldCBzZWNyZXQ="; };\n')
    with pytest.raises(UsageError) as raised:
        Options().parseOptions([*dns(tmp_path)[1:], f"--tsig={keys}", *options])
    assert str(raised.value) == said


def shown_by(*arguments: str) -> str:
    done = subprocess.run(twistd(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_after_a_wrong_option_the_error_is_what_is_seen() -> None:
    lines = shown_by("netstack-dns").split("\n")
    assert "zones: expected at least one zone" in lines[-2]
    assert "twistd netstack-dns --help lists all options." in lines
    assert len(lines) < 8


@pytest.mark.parametrize("more", [(), ("--workers=2",)])
def test_ports_that_an_offset_makes_impossible(more: tuple[str, ...], tmp_path: Path) -> None:
    said = "port-offset: expected at most 65482 for port 53, got 65500\n"
    assert said in shown_by(*dns(tmp_path), "--port-offset=65500", *more)
    notify = "--notify=example.=127.0.0.1:65000"
    assert "for port 65000, got 6000\n" in shown_by(*dns(tmp_path), "--port-offset=6000", notify)


def test_files_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    state = f"--state={tmp_path / 'file'}"
    assert f"{tmp_path}/file: Not a directory\n" in shown_by("netstack-dns", "--secondary=a.test=127.0.0.1", state)
    name, *least = dns(tmp_path)
    (tmp_path / "keys").mkdir()
    for suffix in ("key", "private"):
        (tmp_path / f"keys/Kexample.+013+00001.{suffix}").write_text("no key\n")
    assert "keys/Kexample.+013+00001: " in shown_by(name, *least, "--sign=example.", f"--state={tmp_path}")


@pytest.mark.parametrize("more", [(), ("--workers=2",)])
def test_files_are_one_service_s_alone(more: tuple[str, ...], tmp_path: Path) -> None:
    command = ("netstack-dns", "--secondary=a.test=127.0.0.1", f"--state={tmp_path}/state")
    with running(*twistd(*command, f"--listen=tcp:0:interface={own_address()}"), ready="serves"):
        said = shown_by(*command, *more)
    assert f"{tmp_path}/state: another service keeps its files here (process " in said
    assert "stop it, or give this one a --state of its own" in said
