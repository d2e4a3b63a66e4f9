"""Trust anchors that follow their zone (RFC 5011): in the engine, and a resolver through virtual months."""

from pathlib import Path

import dns.dnssec
import dns.flags
import dns.name
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.dnssec.keys import REVOKED, Key, make_key
from netstack.dns.dnssec.points import HOLD, Point, from_text, observe, to_text, wait
from netstack.dns.dnssec.signatures import Period, signature
from netstack.dns.dnssec.verify import Bogus, entry_keys
from tests.dns.dnssec.test_rollover import DAY, HOUR, Family

ROOT = dns.name.root
NOW = 1_795_000_000.0


def key(number: int) -> Key:
    return make_key(ROOT, bytes([number]) * 48, True)


def revoked(one: Key) -> Key:
    return Key(one.zone, one.private, one.record.replace(flags=one.record.flags | REVOKED))


def served(keys: list[Key], by: list[Key], wall: float) -> tuple[RRset, list[RRset]]:
    rrset = RRset(ROOT, 1, RdataType.DNSKEY)
    rrset.ttl = 172800
    rrset.items = {each.record: None for each in keys}
    return rrset, [signature(rrset, by, Period.of_some(wall, 14 * 86400))]


class Life:
    """A point that looks once a day."""

    def __init__(self) -> None:
        self.point = Point(ROOT, (key(1).ds,))
        self.wall = NOW

    def day(self, keys: list[Key], by: list[Key], times: int = 1) -> dict[int, str]:
        for _ in range(times):
            self.point = observe(self.point, *served(keys, by, self.wall), self.wall)
            self.wall += 86400
        return {dns.dnssec.key_id(each.record): each.state for each in self.point.keys}

    def trusted(self) -> set[int]:
        return {ds.key_tag for ds in self.point.trusted}


def test_a_key_is_trusted_after_thirty_days() -> None:
    life, (a, b) = Life(), (key(1), key(2))
    assert life.trusted() == {a.tag}
    assert life.day([a], [a]) == {a.tag: "valid"}
    assert life.day([a, b], [a]) == {a.tag: "valid", b.tag: "pending"}
    life.day([a, b], [a, b], 29)
    assert life.trusted() == {a.tag}
    assert life.day([a, b], [a, b]) == {a.tag: "valid", b.tag: "valid"}
    assert life.trusted() == {a.tag, b.tag}
    assert life.day([b], [b]) == {a.tag: "missing", b.tag: "valid"}
    assert life.day([revoked(a), b], [revoked(a), b]) == {a.tag: "revoked", b.tag: "valid"}
    assert life.trusted() == {b.tag}
    assert life.day([a, b], [a, b], 40) == {a.tag: "revoked", b.tag: "valid"}, "once revoked, never trusted again"


def test_a_key_that_goes_away_meanwhile_begins_anew() -> None:
    life, (a, b) = Life(), (key(1), key(2))
    life.day([a, b], [a], 20)
    assert life.day([a], [a]) == {a.tag: "valid"}
    assert life.day([a, b], [a], 25) == {a.tag: "valid", b.tag: "pending"}


def test_what_no_trusted_key_signed_changes_nothing() -> None:
    life, (a, b) = Life(), (key(1), key(2))
    life.day([a], [a])
    for keys, by in (([a, b], [b]), ([b], [b]), ([revoked(a), b], [b])):
        with pytest.raises(Bogus):
            life.day(keys, by)
    assert life.trusted() == {a.tag}


def test_a_clock_that_is_set_shortens_the_wait_by_one_look_at_most() -> None:
    life, (a, b) = Life(), (key(1), key(2))
    life.day([a, b], [a], 3)
    life.wall += 100 * 86400
    assert life.day([a, b], [a])[b.tag] == "pending"
    life.wall -= 200 * 86400
    assert life.day([a, b], [a], 5)[b.tag] == "pending"


def test_a_revoked_key_needs_no_other_to_be_revoked_and_the_last_one_stays_distrusted() -> None:
    life, a = Life(), key(1)
    life.day([a], [a])
    assert life.day([revoked(a)], [revoked(a)]) == {a.tag: "revoked"}
    with pytest.raises(Bogus):
        life.day([a], [a])
    keys, _ = served([a, revoked(a)], [a], NOW)
    assert entry_keys(ROOT, keys, life.point.trusted) == [], "everything is bogus then"


def test_on_disk() -> None:
    life, (a, b) = Life(), (key(1), key(2))
    life.day([a, b], [a], 12)
    text = to_text(life.point)
    assert from_text(ROOT, [a.ds], text) == life.point
    assert from_text(ROOT, [b.ds], text) == Point(ROOT, (b.ds,)), "others are configured now"
    for wrong in ("", "{}", "[]", text.replace("pending", "perhaps"), text.replace("257", "x")):
        with pytest.raises(ValueError, match=r".*"):
            from_text(ROOT, [a.ds], wrong)


def test_when_to_look() -> None:
    keys, proof = served([key(1)], [key(1)], NOW)
    assert wait(keys, proof, NOW) == 86400
    assert wait(keys, proof, NOW, failed=True) == 17280
    assert wait(keys, proof, NOW + 13.9 * 86400) == 3600
    assert HOLD == 30 * 86400


def test_a_resolver_follows_the_roots_key_for_months() -> None:
    """The root rolls over its key; the resolver was configured with the old one, loses power now and then, and goes on."""
    net = Family(parents=False)
    following = net.services["resolver"].following
    (first,) = following.points[0].trusted
    net.pass_time(2 * DAY, 12 * HOUR)
    new = net.simulation.ask(net.root, net.keeper("root").roll, ROOT, None).tag
    net.pass_time(20 * DAY, 2 * DAY)
    assert {ds.key_tag for ds in following.points[0].trusted} == {first.key_tag}
    net.resolver.power_off()
    net.resolver.boot()
    net.pass_time(14 * DAY, 2 * DAY)
    following = net.services["resolver"].following
    assert {ds.key_tag for ds in following.points[0].trusted} == {first.key_tag, new}
    net.simulation.ask(net.root, net.keeper("root").parent_has, ROOT)
    net.pass_time(6 * DAY, 12 * HOUR)
    assert {each["tag"]: each["state"] for each in net.keeper("root").listed()} == {first.key_tag: "removed", new: "active"}
    net.resolver.power_off()
    net.resolver.boot()
    net.pass_time(2 * DAY, 12 * HOUR)
    reply = net.ask("www.umass.edu")
    assert (reply.rcode(), bool(reply.flags & dns.flags.AD)) == (Rcode.NOERROR, True)


def test_a_resolver_without_the_feature_is_left_behind(tmp_path: Path) -> None:
    """So that the other test means something."""
    net = Family(parents=False, features=("no-follow-anchors",))
    net.simulation.ask(net.root, net.keeper("root").roll, ROOT, None)
    net.pass_time(2 * DAY, 12 * HOUR)
    net.simulation.ask(net.root, net.keeper("root").parent_has, ROOT)
    net.simulation.run(until=net.simulation.now + 6 * DAY)
    assert net.ask("www.umass.edu").rcode() == Rcode.SERVFAIL
