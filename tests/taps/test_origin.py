"""netstack-origin with real options."""

from pathlib import Path

import pytest
from twisted.application.service import IServiceMaker, ServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from netstack.http.limits import HTTPLimits
from netstack.http.service import HTTPService
from netstack.kernel.limits import StreamLimits
from netstack.taps.origin import Config, Options, Site, makeService
from tests.taps.numbers import numbers, taken


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions([*arguments])
    return options


def test_options_become_a_config(tmp_path: Path) -> None:
    options = parsed(
        "--listen", "tcp:8080:interface=127.0.0.1", "--site", f"www.a.test,a.test={tmp_path}", "--default-site", "refuse",
        "--max-body", "10", "--idle-seconds", "2.5", "--max-connections", "5", "--no-access-log", "--index", "x.html",
    )  # fmt: skip
    assert options.config() == Config(
        sites=(Site(("www.a.test", "a.test"), str(tmp_path.resolve()).lstrip("/")),),
        listen=("tcp:8080:interface=127.0.0.1",),
        default_site="refuse",
        index=("x.html",),
        access_log=False,
        http=HTTPLimits(body=10, idle_seconds=2.5),
        connections=StreamLimits(connections=5),
    )


def test_the_service_serves_a_directory_of_the_real_disk(tmp_path: Path) -> None:
    (service,) = makeService(parsed("--listen", "tcp:0:interface=127.0.0.1", "--site", f"a.test={tmp_path}"))  # type: ignore[attr-defined]
    assert isinstance(service, HTTPService)
    assert [str(listener.endpoint) for listener in service.listeners] == ["tcp:0:interface=127.0.0.1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one site"),
        (["--site", "a.test"], "NAME"),
        (["--site", "a.test=/no/such/directory"], "no directory"),
        (["--site", "A.test=."], "lower case"),
        (["--site", "a.test:80=."], "without a port"),
        (["--site", "a.test=.", "--site", "a.test=."], "twice"),
        (["--site", "a.test=.", "--listen", "udp:80"], "datagram"),
        (["--site", "a.test=.", "--listen", "8080"], "not an endpoint"),
        (["--site", "a.test=.", "--listen", "tls:443"], "--certificate"),
        (["--site", "a.test=.", "--certificate", "x.pem"], "go together"),
        (["--site", "a.test=.", "--certificate", "/x.pem", "--key", "/x.key"], "/x.pem"),
        (["--site", "a.test=.", "--default-site", "b.test"], "b.test"),
        (["--site", "a.test=.", "--server", "a\nb"], "server"),
        (["--site", "a.test=.", "--max-body", "-1"], "body"),
        (["--site", "a.test=.", "--max-body", "many"], "max-body"),
        (["--site", "a.test=.", "--index", "../x"], "index"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parsed(*arguments)


MAY_BE_NOTHING = {
    "memo",
    "body-part",
    "inline",
    "kept",
    "paths",
    "open-files",
    "check",
    "ranges",
    "max-requests",
    "hsts",
    "grace",
}


@pytest.mark.parametrize("option", numbers(Options))
def test_a_bound_that_bounds_nothing_is_named_by_its_option(option: str) -> None:
    assert taken(lambda argument: parsed("--site", "a.test=.", argument), option) == (
        ["0"] if option in MAY_BE_NOTHING else []
    )


def test_the_plugin_is_found() -> None:
    found = [plugin for plugin in getPlugins(IServiceMaker) if isinstance(plugin, ServiceMaker)]
    assert [plugin.module for plugin in found if plugin.tapname == "netstack-origin"] == ["netstack.taps.origin"]
