"""Keys on the disk, and the options that sign and trust."""

from pathlib import Path

import dns.name
import pytest

from netstack.dns.dnssec.keys import KeyFormatError, anchors
from netstack.dns.dnssec.keystore import DIRECTORY, kept_keys
from netstack.dns.dnssec.lifecycle import Timing
from netstack.dns.dnssec.trust import anchor
from netstack.dns.zone import ZoneText
from netstack.kernel.real import real_machine
from netstack.taps.dns import Config, KeyText
from netstack.taps.resolver import Config as ResolverConfig
from tests.dns.dnssec.signed import ZONE, keys

UMASS = dns.name.from_text("umass.edu")


@pytest.mark.parametrize("split", [False, True], ids=["csk", "ksk+zsk"])
def test_keys_are_made_once(split: bool, tmp_path: Path) -> None:
    machine = real_machine("test", state_directory=tmp_path)
    made = kept_keys(machine, UMASS, split)
    assert [key.entry_point for key in made] == ([True, False] if split else [True])
    again = kept_keys(real_machine("test", state_directory=tmp_path), UMASS, split)
    assert {key.public_text() for key in again} == {key.public_text() for key in made}
    files = sorted(path for path in (tmp_path / DIRECTORY).iterdir())
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / DIRECTORY / "dsset-umass.edu.").read_text().splitlines() == list(anchors(made))
    assert kept_keys(machine, dns.name.from_text("nyu.edu"), False)[0].tag != made[0].tag


def test_a_broken_key_is_named_and_never_replaced(tmp_path: Path) -> None:
    machine = real_machine("test", state_directory=tmp_path)
    (key,) = kept_keys(machine, UMASS, False)
    file = tmp_path / DIRECTORY / f"{key.file}.private"
    file.write_text("nonsense")
    with pytest.raises(KeyFormatError, match=key.file.replace("+", r"\+")):
        kept_keys(machine, UMASS, False)
    assert file.read_text() == "nonsense"


def test_options_that_cannot_be() -> None:
    zone = ZoneText("umass.edu", ZONE.replace("ADDRESS", "10.0.0.1"))
    (key,) = keys("umass.edu")
    assert Config((zone,), sign=("umass.edu",), keys=(KeyText(key.public_text(), key.private_text()),)).given_keys()
    with pytest.raises(ValueError, match="sign: expected the origin of a zone that is served"):
        Config((zone,), sign=("nyu.edu",))
    with pytest.raises(ValueError, match="keys: private key: expected Algorithm 13"):
        Config((zone,), sign=("umass.edu",), keys=(KeyText(key.public_text(), ""),))
    with pytest.raises(ValueError, match="anchors: expected a DS or DNSKEY record"):
        ResolverConfig((("a.root-servers.net", "10.0.0.1"),), anchors=(". IN A 10.0.0.1",))


@pytest.mark.parametrize(
    "text", ["{} DS {ds}", "{} IN DS {ds}", "{} 3600 IN DS {ds}", "{} IN DNSKEY {key}", "{} dnskey {key}"]
)
def test_trust_anchors_in_every_notation(text: str) -> None:
    (key,) = keys("umass.edu")
    assert anchor(text.format("umass.edu.", ds=key.ds.to_text(), key=key.record.to_text())) == (UMASS, key.ds)


@pytest.mark.parametrize("text", ["", ".", "DS", ". DS", ". DS 1 13 2", ". DS 1 13 2 xyz", "..x DS 1 13 2 00", ". NS a."])
def test_what_is_no_trust_anchor(text: str) -> None:
    with pytest.raises(ValueError, match="expected a DS or DNSKEY record"):
        anchor(text)


def test_negative_trust_anchors_are_zones() -> None:
    hints = (("a.root-servers.net", "10.0.0.1"),)
    assert ResolverConfig(hints, negative_anchors=("umass.edu",)).negative_anchors == ("umass.edu",)
    with pytest.raises(ValueError, match=r"negative_anchors: expected a zone's name, got 'a\.\.b'"):
        ResolverConfig(hints, negative_anchors=("a..b",))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"parents": (("nyu.edu", "10.0.0.1"),)}, "parents: expected the origin of a zone that is signed, got 'nyu.edu'"),
        ({"parents": (("umass.edu", "somewhere"),)}, r"parents: umass.edu: 'somewhere': expected ADDRESS"),
    ],
)
def test_parents_that_cannot_be(fields: dict[str, tuple[tuple[str, str], ...]], expected: str) -> None:
    zone = ZoneText("umass.edu", ZONE.replace("ADDRESS", "10.0.0.1"))
    with pytest.raises(ValueError, match=expected):
        Config((zone,), sign=("umass.edu",), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [{"safety": 0}, {"ds_ttl": -1}])
def test_waits_that_cannot_be(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected a number above 0"):
        Timing(**fields)
