"""`netstack register`: what the API is sent, what people are told; end to end it is a step of the tour in README.md."""

import argparse
from typing import Any

import pytest

from netstack.cli import register
from netstack.cli.arguments import parser
from netstack.cli.errors import CommandError

HOSTS: dict[str, Any] = {
    "dns1.utopia.com": {"addresses": ["10.0.0.1", "10.0.0.2"], "services": []},
    "dns.utopia.org": {"addresses": ["10.0.0.3"], "services": []},
    "registrar.test": {"addresses": ["10.0.0.4"], "services": [{"plugin": "netstack-registrar"}]},
}


def options(*arguments: str) -> argparse.Namespace:
    return parser().parse_args(["register", "utopia.com", *arguments])


def test_what_is_sent() -> None:
    told = register.wish(options("--ns", "dns1.utopia.com", "--ns", "x.utopia.com=10.9.9.9,2001:db8::1", "--ns",
                                 "dns.utopia.org", "--ds", "1 13 2 ab"), HOSTS)  # fmt: skip
    assert told == {
        "name": "utopia.com",
        "servers": [
            {"name": "dns1.utopia.com", "addresses": ["10.0.0.1", "10.0.0.2"]},
            {"name": "x.utopia.com", "addresses": ["10.9.9.9", "2001:db8::1"]},
            {"name": "dns.utopia.org", "addresses": []},
        ],
        "ds": ["1 13 2 ab"],
    }
    assert register.wish(options("--ns", "a", "--secret", "s"), HOSTS)["secret"] == "s"
    assert register.registrar(HOSTS) == "registrar.test"


@pytest.mark.parametrize(
    ("status", "told", "line"),
    [
        (409, {"detail": "utopia.com is in use"}, "netstack: utopia.com is in use"),
        (204, {"state": "deleted"}, "utopia.com is given up"),
        (201, {"state": "registered", "name": "utopia.com", "expires": "2027-01-02T03:04:05Z", "servers": [], "secret": "x"},
         "utopia.com is registered, until 2027-01-02\nits secret, which is shown this once: x"),
    ],
)  # fmt: skip
def test_what_people_are_told(status: int, told: dict[str, Any], line: str) -> None:
    assert register.said("utopia.com", status, told) == line


@pytest.mark.parametrize(("arguments", "why"), [((), "--ns"), (("--delete",), "--secret")])
def test_bad_usage(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        register.run(options(*arguments))
    with pytest.raises(CommandError, match="no host"):
        register.registrar({})
