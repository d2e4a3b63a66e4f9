"""Options of zones that change: what is read from them, and what is said of those that cannot be."""

from pathlib import Path

import pytest
from twisted.python import usage

from netstack.dns.tsig import Key
from netstack.dns.zone import ZoneText
from netstack.taps import dns as tap
from netstack.taps.changing import Changing, Peer

KEY = Key.make("transfer", b"secret")
ZONE = ZoneText("umass.edu", "$TTL 60\n@ SOA dns h 1 60 60 60 60\n@ NS dns\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", Peer("10.0.0.1")),
        ("10.0.0.1:5353", Peer("10.0.0.1", 5353)),
        ("10.0.0.1%transfer", Peer("10.0.0.1", 53, KEY.name)),
        ("2001:db8::1", Peer("2001:db8::1")),
        ("[2001:db8::1]:5353%Transfer.", Peer("2001:db8::1", 5353, KEY.name)),
    ],
)
def test_peers(text: str, expected: Peer) -> None:
    assert Peer.parse(text) == expected


@pytest.mark.parametrize("text", ["", "dns.umass.edu", "10.0.0.1:0", "10.0.0.1:x", "10.0.0.1:70000", "%transfer"])
def test_peers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Peer.parse(text)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"transfer": (("umass.edu", "nobody"),)}, "transfer: umass.edu: expected one of the keys"),
        ({"update": (("umass.edu", "nobody zone"),)}, "update: umass.edu: expected one of the keys"),
        ({"update": (("umass.edu", "transfer"),)}, "update: .*expected KEY"),
        ({"notify": (("umass.edu", "somewhere"),)}, "notify: .*expected ADDRESS"),
        ({"notify": (("a..b", "10.0.0.1"),)}, "notify: .*expected a domain name"),
        ({"secondary": (("a.test", "10.0.0.1%transfer,10.0.0.2"),)}, "secondary: a.test: expected one key"),
        ({"secondary": (("a.test", "10.0.0.1"), ("A.test", "10.0.0.1"))}, "secondary: a zone is given more than once"),
        (
            {"secondary": (("a.test", "10.0.0.1"),), "update": (("a.test", "transfer zone"),)},
            "update: a.test is a secondary's copy",
        ),
    ],
)
def test_configurations_that_cannot_be(fields: dict[str, tuple[tuple[str, str], ...]], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Changing((KEY,), **fields)


def test_a_zone_is_ours_or_a_copy() -> None:
    with pytest.raises(ValueError, match=r"secondary: umass\.edu is a zone of our own"):
        tap.Config((ZONE,), changing=Changing(secondary=(("umass.edu", "10.0.0.1"),)))


def test_zones_that_are_not_there() -> None:
    with pytest.raises(ValueError, match=r"transfer: expected the origin of a zone that is served, got 'nyu\.edu'"):
        tap.Config((ZONE,), changing=Changing((KEY,), transfer=(("nyu.edu", "transfer"),)))


def options(*arguments: str) -> tap.Options:
    made = tap.Options()
    made.parseOptions(list(arguments))
    return made


def test_the_command_line(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text('key "transfer" { algorithm hmac-sha256; secret "c2VjcmV0"; };')
    config = options(
        f"--tsig={keys}", "--secondary=umass.edu=10.0.0.1%transfer", "--transfer=*=transfer", "--transfers-out=3",
        "--notify=umass.edu=10.0.0.2:5353",
    ).config()  # fmt: skip
    changing = config.changing
    assert changing.keys == (KEY,)
    assert changing.secondary == (("umass.edu", "10.0.0.1%transfer"),)
    assert changing.transfer == (("*", "transfer"),)
    assert changing.notify == (("umass.edu", "10.0.0.2:5353"),)
    assert changing.limits.transfers_out == 3
    assert "c2VjcmV0" not in repr(config)
    assert "b'secret'" not in repr(config)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tsig=/nowhere/keys"], "--tsig /nowhere/keys"),
        (["--transfer=umass.edu"], "--transfer umass.edu: expected ORIGIN="),
        (["--secondary=umass.edu=10.0.0.1%nobody"], "secondary: umass.edu: expected one of the keys"),
        (["--secondary=umass.edu=10.0.0.1", "--transfers-in=0"], "transfers_in: expected a number above 0"),
    ],
)
def test_command_lines_that_cannot_be(arguments: list[str], expected: str) -> None:
    with pytest.raises(usage.UsageError, match=expected):
        options(*arguments)
